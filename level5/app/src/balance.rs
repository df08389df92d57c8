//! The proof that no event was lost: what came in must be what went out and what is left.

use level5::event_processor::{Loaded, Metrics};
use serde::Serialize;

/// What is compared. Each count comes from another place, so that an error in one shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Counts {
    /// Events that had not ended, and dead letters, when the journal was opened.
    pub recovered: u64,
    /// Calls of `ingest` that were accepted, counted by the callers.
    pub accepted: u64,
    /// What the processor says at its end.
    pub metrics: Metrics,
    /// Events that services have taken, repeats included, counted by the sink.
    pub taken: u64,
    /// Events that have not ended, read from the journal at the end.
    pub pending: u64,
    /// Dead letters, read from the journal at the end.
    pub dead: u64,
}

/// What the comparison says.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Balance {
    /// Recovered and accepted events.
    pub accepted: u64,
    /// Events that their services have acknowledged.
    pub delivered: u64,
    /// Dead letters that the journal has.
    pub dead: u64,
    /// Events that the journal has and that have not ended.
    pub pending: u64,
    /// Accepted events that are nowhere. Not zero: a defect.
    pub lost: u64,
    /// What does not add up.
    pub wrong: Vec<String>,
}

impl Counts {
    /// The counts of a run that has ended.
    #[must_use]
    pub fn new(recovered: u64, accepted: u64, metrics: Metrics, taken: u64, left: &Loaded) -> Self {
        let (pending, dead) = (left.pending.len() as u64, left.dead.len() as u64);
        Self { recovered, accepted, metrics, taken, pending, dead }
    }

    /// Compares them.
    #[must_use]
    pub fn balance(&self) -> Balance {
        let Self { recovered, accepted, metrics, taken, pending, dead } = self;
        let all = recovered + accepted;
        let ended = metrics.delivered + dead + pending;
        let mut wrong = Vec::new();
        let mut equal = |what: &str, left: u64, right: u64| {
            if left != right {
                wrong.push(format!("{what}: {left} and {right}"));
            }
        };
        equal("accepted, and delivered with dead and pending", all, ended);
        equal("accepted by the callers' count and the processor's", all, metrics.accepted);
        let left = metrics.pending() + metrics.left_in_journal;
        equal("pending by the journal and by the processor", *pending, left);
        equal("dead by the journal and by the processor", *dead, metrics.dead);
        if *taken < metrics.delivered {
            let delivered = metrics.delivered;
            wrong.push(format!("delivered {delivered}, and the services have taken {taken}"));
        }
        let (dead, pending, delivered) = (*dead, *pending, metrics.delivered);
        let lost = all.saturating_sub(ended);
        Balance { accepted: all, delivered, dead, pending, lost, wrong }
    }
}

impl Balance {
    /// Whether everything adds up.
    #[must_use]
    pub fn is_right(&self) -> bool {
        self.wrong.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts() -> Counts {
        let metrics = Metrics {
            accepted: 110,
            delivered: 100,
            dead: 4,
            left_in_journal: 1,
            backlog: [0, 2, 3, 0],
            ..Metrics::default()
        };
        Counts { recovered: 10, accepted: 100, metrics, taken: 103, pending: 6, dead: 4 }
    }

    #[test]
    fn a_right_run_balances() {
        let balance = counts().balance();
        assert!(balance.is_right(), "{balance:?}");
        assert_eq!((balance.accepted, balance.delivered, balance.lost), (110, 100, 0));
    }

    #[test]
    fn every_count_that_is_wrong_shows() {
        let change: [fn(&mut Counts); 7] = [
            |it| it.recovered += 1,
            |it| it.accepted -= 1,
            |it| it.metrics.accepted += 1,
            |it| it.metrics.delivered -= 1,
            |it| it.pending -= 1,
            |it| it.dead += 1,
            |it| it.taken = 99,
        ];
        for (index, change) in change.iter().enumerate() {
            let mut counts = counts();
            change(&mut counts);
            assert!(!counts.balance().is_right(), "change {index}");
        }
        let mut lost = counts();
        lost.pending -= 2;
        assert_eq!(lost.balance().lost, 2);
    }
}
