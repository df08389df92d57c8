//! Decides about a receipt that may have been sent already.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use level3_domain::ids::TransactionId;
use level3_domain::provider::MailTrace;
use tokio::time::Instant;

/// The most transactions whose doubt is timed. Beyond it all are forgotten: each of them then waits
/// for the feed once more.
const MOST: usize = 4096;

/// What to do about a receipt in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// The receipt was sent: nothing is left to do.
    Sent,
    /// The receipt was not sent: send it.
    Send,
    /// No feed can tell: send it again, since no receipt is worse than two.
    SendAgain,
    /// The feed may not show it yet: ask it once more after this time.
    Wait(Duration),
}

/// Decides what to do, from what the feed shows and how long the last attempt is over. A feed shows
/// a mail after `lag` at the latest.
pub(super) fn next(trace: MailTrace, over_for: Duration, lag: Duration) -> Next {
    match trace {
        MailTrace::Accepted => Next::Sent,
        MailTrace::NoFeed => Next::SendAgain,
        MailTrace::NotShown if over_for >= lag => Next::Send,
        MailTrace::NotShown => Next::Wait(lag - over_for),
    }
}

/// Since when this process knows that the last attempt at a receipt is over.
///
/// A wall clock cannot tell: the attempt may be that of another machine. So a process counts from
/// the moment at which it found the receipt in doubt, by its own monotonic clock.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    since: Mutex<HashMap<TransactionId, Instant>>,
}

impl Doubts {
    /// Notes that an attempt has ended just now without a known outcome.
    pub(super) fn begin(&self, transaction: &TransactionId) {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        if since.len() >= MOST {
            since.clear();
        }
        since.insert(transaction.clone(), Instant::now());
    }

    /// Returns how long the receipt has been in doubt: zero if this process did not know it.
    pub(super) fn age(&self, transaction: &TransactionId) -> Duration {
        let since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        match since.get(transaction) {
            Some(since) => since.elapsed(),
            None => {
                drop(since);
                self.begin(transaction);
                Duration::ZERO
            }
        }
    }

    /// Notes that the receipt is not in doubt any more.
    pub(super) fn end(&self, transaction: &TransactionId) {
        self.since.lock().unwrap_or_else(PoisonError::into_inner).remove(transaction);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAG: Duration = Duration::from_secs(30);

    #[test]
    fn a_feed_is_believed_once_it_has_had_its_time() {
        let just_before = LAG - Duration::from_millis(1);
        for (trace, over_for, expected) in [
            (MailTrace::Accepted, Duration::ZERO, Next::Sent),
            (MailTrace::Accepted, LAG, Next::Sent),
            (MailTrace::NoFeed, Duration::ZERO, Next::SendAgain),
            (MailTrace::NotShown, Duration::ZERO, Next::Wait(LAG)),
            (MailTrace::NotShown, just_before, Next::Wait(Duration::from_millis(1))),
            (MailTrace::NotShown, LAG, Next::Send),
        ] {
            assert_eq!(next(trace, over_for, LAG), expected, "{trace:?} after {over_for:?}");
        }
        assert_eq!(next(MailTrace::NotShown, Duration::ZERO, Duration::ZERO), Next::Send);
    }

    #[tokio::test(start_paused = true)]
    async fn a_doubt_is_timed_from_its_first_sight_or_its_last_attempt() {
        let (doubts, transaction) = (Doubts::default(), TransactionId::new("txn_1").unwrap());
        assert_eq!(doubts.age(&transaction), Duration::ZERO);
        tokio::time::sleep(LAG).await;
        assert_eq!(doubts.age(&transaction), LAG);
        doubts.begin(&transaction);
        assert_eq!(doubts.age(&transaction), Duration::ZERO);
        tokio::time::sleep(LAG).await;
        doubts.end(&transaction);
        assert_eq!(doubts.age(&transaction), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn the_memory_is_bounded() {
        let doubts = Doubts::default();
        for number in 0..MOST + 10 {
            doubts.begin(&TransactionId::new(format!("txn_{number}")).unwrap());
        }
        assert!(doubts.since.lock().unwrap().len() <= MOST);
    }
}
