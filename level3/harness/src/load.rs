//! Many payments and their outcomes.

use std::sync::Arc;
use std::time::Duration;

use level3::gateway::{Gateway, GatewayConfig, GatewayConfigError};
use level3::request::PaymentRequest;
use level3_domain::answer::{PayError, Status};
use level3_domain::event::NoObserver;
use level3_domain::journal::{MemoryJournal, Standing};
use level3_sim::{Latencies, RandomFaults, Rates, World};
use tokio::time::{Instant, sleep_until};

/// A number of payments that arrive one after another.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// The number of payments.
    pub payments: u32,
    /// The time between two payments.
    pub every: Duration,
    /// How many payments share a gateway and its services. At 10 % failures a breaker opens by chance once in
    /// 111 000 attempts; with few payments for each gateway, that affects few of them.
    pub share: u32,
    /// The failure rate of each call.
    pub rates: Rates,
    /// The seed of the failures.
    pub seed: u64,
}

/// The outcomes of the payments of a [`Load`].
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Charged and recorded.
    pub paid: u32,
    /// Refused by the fraud check: a business answer.
    pub declined: u32,
    /// Failed, without a charge.
    pub failed: u32,
    /// Answered as `Compensating`.
    pub compensating: u32,
    /// Refused before anything was called: a breaker was open, or too many payments were under way.
    pub refused: u32,
    /// Payments whose records differ: charged without a row, a row without a charge, or twice.
    pub unbalanced: u32,
    /// Payments that the journal still has open at the end.
    pub stuck: usize,
    /// The latencies of the paid payments, sorted.
    pub latencies: Vec<Duration>,
    /// The longest latency of all answers.
    pub longest: Duration,
}

/// A confidence interval of a share, in percent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// The observed share.
    pub share: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// The value below which `percent` of the sorted values lie (nearest rank); zero without any.
#[must_use]
pub fn percentile(sorted: &[Duration], percent: u32) -> Duration {
    let rank = (sorted.len() * percent as usize).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

impl Tally {
    /// The share of payments that succeeded, of all that were not declined, with the interval in which
    /// the true share lies in 95 of 100 such runs (Wilson's score interval).
    #[must_use]
    pub fn success(&self) -> Interval {
        let paid = f64::from(self.paid);
        let of = paid + f64::from(self.failed + self.compensating + self.refused);
        if of == 0.0 {
            return Interval { share: 0.0, low: 0.0, high: 100.0 };
        }
        let (share, z) = (paid / of, 1.96_f64);
        let centre = share + z * z / (2.0 * of);
        let spread = z * (share * (1.0 - share) / of + z * z / (4.0 * of * of)).sqrt();
        let scale = 100.0 / (1.0 + z * z / of);
        Interval {
            share: share * 100.0,
            low: (centre - spread) * scale,
            high: (centre + spread) * scale,
        }
    }
}

/// The request number `number`.
#[must_use]
pub fn request(number: u32) -> PaymentRequest {
    PaymentRequest {
        key: format!("key-{number}"),
        order: format!("order-{number}"),
        amount: 1000 + i64::from(number % 9000),
        currency: "USD".to_owned(),
        email: "someone@example.com".to_owned(),
        card: "pm_card_visa".to_owned(),
    }
}

impl Load {
    /// Sends the payments, waits for their answers and for the work after them, and compares the records.
    ///
    /// # Errors
    ///
    /// [`GatewayConfigError`] if the gateway refuses `config`.
    pub async fn run(&self, config: &GatewayConfig) -> Result<Tally, GatewayConfigError> {
        let begin = Instant::now();
        let mut tally = Tally::default();
        let mut cells = Vec::new();
        let mut first = 0;
        while first < self.payments {
            let cell = Cell::new(self, config, first)?;
            first += self.share;
            cells.push(tokio::spawn(cell.run(*self, begin)));
        }
        for cell in cells {
            // A panic of a cell is one of the gateway's: its payments are lost.
            match cell.await {
                Ok(part) => tally.add(part),
                Err(_) => tally.stuck += self.share as usize,
            }
        }
        tally.latencies.sort_unstable();
        Ok(tally)
    }
}

/// A gateway and its payments.
struct Cell {
    world: World,
    journal: MemoryJournal,
    gateway: Gateway,
    first: u32,
}

impl Cell {
    fn new(load: &Load, config: &GatewayConfig, first: u32) -> Result<Self, GatewayConfigError> {
        let faults = RandomFaults::new(load.rates, load.seed);
        let world = World::with(Latencies::ASSIGNMENT, Arc::new(faults), None);
        let journal = MemoryJournal::new();
        let (kept, observer) = (Arc::new(journal.clone()), Arc::new(NoObserver));
        let gateway = Gateway::new(config.clone(), world.providers(), kept, observer)?;
        Ok(Self { world, journal, gateway, first })
    }

    async fn run(self, load: Load, begin: Instant) -> Tally {
        let last = (self.first + load.share).min(load.payments);
        let mut running = Vec::new();
        for number in self.first..last {
            sleep_until(begin + load.every * number).await;
            let gateway = self.gateway.clone();
            running.push(tokio::spawn(async move {
                let begun = Instant::now();
                let reply = gateway.pay(request(number)).await;
                (reply, begun.elapsed())
            }));
        }
        let mut tally = Tally::default();
        for payment in running {
            let Ok((reply, took)) = payment.await else {
                tally.stuck += 1;
                continue;
            };
            tally.longest = tally.longest.max(took);
            match reply.map(|reply| reply.answer.status.clone()) {
                Ok(Status::Paid { .. }) => {
                    tally.paid += 1;
                    tally.latencies.push(took);
                }
                Ok(Status::Declined { .. }) => tally.declined += 1,
                Ok(Status::Failed { .. }) => tally.failed += 1,
                Ok(Status::Compensating { .. }) => tally.compensating += 1,
                Err(PayError::Unavailable { .. } | PayError::Overloaded { .. }) => {
                    tally.refused += 1
                }
                Err(_) => tally.failed += 1,
            }
        }
        self.gateway.drain(Duration::from_secs(300)).await;
        tally.stuck += self.journal.count(Standing::Open) + self.journal.count(Standing::Parked);
        tally.unbalanced += self.unbalanced(&tally);
        tally
    }

    /// Compares the provider's state with the ledger and with the clients' answers.
    fn unbalanced(&self, tally: &Tally) -> u32 {
        use level3_domain::provider::RowStatus::Completed;
        let rows: std::collections::HashMap<_, _> = self
            .world
            .rows()
            .into_iter()
            .filter(|row| row.status == Completed)
            .map(|row| (row.payment, row.amount.minor()))
            .collect();
        let mut charged = std::collections::HashMap::new();
        for intent in self.world.intents() {
            *charged.entry(intent.payment.clone()).or_insert(0) += intent.net();
        }
        charged.retain(|_, net| *net != 0);
        let wrong = charged.iter().filter(|(id, net)| rows.get(id) != Some(net)).count();
        let without_charge = rows.keys().filter(|id| !charged.contains_key(id)).count();
        let untold = rows.len().abs_diff(tally.paid as usize);
        u32::try_from(wrong + without_charge + untold).unwrap_or(u32::MAX)
    }
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.paid += other.paid;
        self.declined += other.declined;
        self.failed += other.failed;
        self.compensating += other.compensating;
        self.refused += other.refused;
        self.unbalanced += other.unbalanced;
        self.stuck += other.stuck;
        self.latencies.extend(other.latencies);
        self.longest = self.longest.max(other.longest);
    }
}
