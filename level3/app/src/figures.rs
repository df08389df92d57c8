//! The counts of a run, taken while payments are under way.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use level3_domain::answer::{PayError, Reply, Status};
use level3_domain::event::{Event, Observer};
use level3_domain::ids::PaymentId;
use level3_harness::Tally;
use tokio::sync::mpsc::UnboundedSender;

/// Slower answers are counted together. A gateway answers within ten seconds, so there should be
/// none.
const SLOWEST_MS: usize = 60_000;
/// The number of payments that the summary names.
const NAMED: usize = 5;

/// A counter that only rises.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The answers to the clients, and the events of the gateway.
#[derive(Debug)]
pub struct Figures {
    pub asked: Counter,
    pub paid: Counter,
    pub declined: Counter,
    /// Payments that failed. `failed_for_good` has those for which another attempt does not help.
    pub failed: Counter,
    pub failed_for_good: Counter,
    pub compensating: Counter,
    pub refused: Counter,
    pub replayed: Counter,
    /// Attempts after the first, of all steps.
    pub retries: Counter,
    /// Steps that were undone.
    pub undone: Counter,
    pub receipts_sent: Counter,
    pub receipts_failed: Counter,
    latencies: Mutex<Latencies>,
    unlucky: Mutex<Vec<Unlucky>>,
    failed_receipts: UnboundedSender<(PaymentId, String)>,
}

/// A payment that an operator may want to look at.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Unlucky {
    /// The key of the request.
    pub key: String,
    /// The answer to the client.
    pub why: String,
}

/// The times of the paid payments: the number of payments for each number of milliseconds.
#[derive(Debug, Default)]
struct Latencies {
    counts: Vec<u32>,
    longest: Duration,
}

/// Three percentiles and the longest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Percentiles {
    pub p50_ms: u64,
    pub p95_ms: u64,
    pub p99_ms: u64,
    pub longest_ms: u64,
}

impl Figures {
    /// Receipts that could not be sent go to the channel `failed_receipts`: the observer must not
    /// wait for a store.
    pub fn new(failed_receipts: UnboundedSender<(PaymentId, String)>) -> Self {
        Self {
            asked: Counter::default(),
            paid: Counter::default(),
            declined: Counter::default(),
            failed: Counter::default(),
            failed_for_good: Counter::default(),
            compensating: Counter::default(),
            refused: Counter::default(),
            replayed: Counter::default(),
            retries: Counter::default(),
            undone: Counter::default(),
            receipts_sent: Counter::default(),
            receipts_failed: Counter::default(),
            latencies: Mutex::default(),
            unlucky: Mutex::default(),
            failed_receipts,
        }
    }

    /// Counts the answer to a client that came after this time.
    pub fn answered(&self, key: &str, result: &Result<Reply, PayError>, took: Duration) {
        let reply = match result {
            Ok(reply) => reply,
            Err(error) => {
                self.refused.add(1);
                self.name(key, error.to_string());
                return;
            }
        };
        self.replayed.add(u64::from(reply.replayed));
        match &reply.answer.status {
            Status::Paid { .. } => {
                self.paid.add(1);
                let mut latencies = self.latencies.lock().unwrap_or_else(PoisonError::into_inner);
                latencies.add(took);
            }
            Status::Declined { .. } => self.declined.add(1),
            Status::Failed { step, reason, retryable } => {
                self.failed.add(1);
                self.failed_for_good.add(u64::from(!retryable));
                self.name(key, format!("{step}: {reason}"));
            }
            Status::Compensating { .. } => {
                self.compensating.add(1);
                self.name(key, "still being undone when the client got its answer".to_owned());
            }
        }
    }

    fn name(&self, key: &str, why: String) {
        let mut unlucky = self.unlucky.lock().unwrap_or_else(PoisonError::into_inner);
        if unlucky.len() < NAMED {
            unlucky.push(Unlucky { key: key.to_owned(), why });
        }
    }

    /// Returns the first few payments that were neither paid nor declined.
    pub fn unlucky(&self) -> Vec<Unlucky> {
        self.unlucky.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the number of payments that have an answer.
    pub fn all(&self) -> u64 {
        let told = [&self.paid, &self.declined, &self.failed, &self.compensating, &self.refused];
        told.into_iter().map(Counter::get).sum()
    }

    /// Returns the share of paid payments among those that were not declined, in percent.
    pub fn success(&self) -> level3_harness::Interval {
        let count = |counter: &Counter| u32::try_from(counter.get()).unwrap_or(u32::MAX);
        let tally = Tally {
            paid: count(&self.paid),
            failed: count(&self.failed),
            compensating: count(&self.compensating),
            refused: count(&self.refused),
            ..Tally::default()
        };
        tally.success()
    }

    pub fn percentiles(&self) -> Percentiles {
        self.latencies.lock().unwrap_or_else(PoisonError::into_inner).percentiles()
    }
}

impl Latencies {
    fn add(&mut self, took: Duration) {
        let ms = usize::try_from(took.as_millis()).unwrap_or(SLOWEST_MS).min(SLOWEST_MS);
        if self.counts.len() <= ms {
            self.counts.resize(ms + 1, 0);
        }
        self.counts[ms] += 1;
        self.longest = self.longest.max(took);
    }

    fn percentiles(&self) -> Percentiles {
        let all: u64 = self.counts.iter().copied().map(u64::from).sum();
        // The percentile by nearest rank.
        let at = |percent: u64| {
            let rank = (all * percent).div_ceil(100).max(1);
            let mut seen = 0;
            let found = self.counts.iter().position(|&count| {
                seen += u64::from(count);
                seen >= rank
            });
            found.map_or(0, |ms| ms as u64)
        };
        let longest_ms = u64::try_from(self.longest.as_millis()).unwrap_or(u64::MAX);
        Percentiles { p50_ms: at(50), p95_ms: at(95), p99_ms: at(99), longest_ms }
    }
}

impl Observer for Figures {
    fn on_event(&self, event: Event) {
        match event {
            Event::Called { attempts, .. } => {
                self.retries.add(u64::from(attempts.saturating_sub(1)));
            }
            Event::Undone { .. } => self.undone.add(1),
            Event::ReceiptSent { .. } => self.receipts_sent.add(1),
            Event::ReceiptParked { payment, cause } => {
                self.receipts_failed.add(1);
                // At the end of the run the receiver is gone; the outbox still has the receipt.
                let _ = self.failed_receipts.send((payment, cause));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.percentiles().p99_ms, 0);
        for ms in 1..=200 {
            latencies.add(Duration::from_millis(ms));
        }
        let seen = latencies.percentiles();
        let expected = Percentiles { p50_ms: 100, p95_ms: 190, p99_ms: 198, longest_ms: 200 };
        assert_eq!(seen, expected);
        latencies.add(Duration::from_secs(3600));
        assert_eq!(latencies.percentiles().longest_ms, 3_600_000);
    }
}
