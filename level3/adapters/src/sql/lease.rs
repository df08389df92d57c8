//! Decides when a saga may be taken over. No wall clock takes part in the decision.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use level3_domain::journal::{SagaId, Standing};
use tokio::time::Instant;

/// How long a living owner may be silent. It is longer than any single step of a payment and the
/// longest wait between two attempts to undo a step together.
pub const DEFAULT_LEASE: Duration = Duration::from_secs(20);

/// When more sagas than this are tracked, stale entries are removed.
const MANY: usize = 4096;

/// The values that change with every write about a saga.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) epoch: i64,
    pub(crate) seq: i64,
}

/// Who may own a saga now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// The claimer may own the saga.
    Yours,
    /// The owner keeps it for this time.
    Busy(Duration),
    /// The lease has ended: no owner holds the saga.
    Over,
}

/// Remembers how long this process has seen no write about a saga.
///
/// Two processes cannot compare their clocks, and one process cannot trust its wall clock. But each
/// process can see that nothing has changed while its own monotonic clock went on.
#[derive(Debug)]
pub(crate) struct Watch {
    lease: Duration,
    seen: Mutex<HashMap<SagaId, (Mark, Instant)>>,
}

impl Watch {
    pub(crate) fn new(lease: Duration) -> Self {
        Self { lease, seen: Mutex::default() }
    }

    /// Decides whether a saga with these values may be taken over now.
    pub(crate) fn turn(
        &self,
        saga: &SagaId,
        standing: Standing,
        mark: Mark,
        owner_is_gone: bool,
    ) -> Turn {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = match standing {
            Standing::Ended => Turn::Over,
            // The owner of a parked saga has released it.
            Standing::Parked => Turn::Yours,
            Standing::Open if owner_is_gone => Turn::Yours,
            Standing::Open => match seen.get(saga) {
                Some((known, since)) if *known == mark => {
                    let silent = since.elapsed();
                    if silent < self.lease { Turn::Busy(self.lease - silent) } else { Turn::Yours }
                }
                _ => {
                    let now = Instant::now();
                    if seen.len() >= MANY {
                        seen.retain(|_, (_, since)| now - *since < self.lease * 4);
                    }
                    seen.insert(saga.clone(), (mark, now));
                    Turn::Busy(self.lease)
                }
            },
        };
        if !matches!(turn, Turn::Busy(_)) {
            seen.remove(saga);
        }
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(20);

    fn ask(watch: &Watch, seq: i64) -> Turn {
        watch.turn(&SagaId::new("a"), Standing::Open, Mark { epoch: 1, seq }, false)
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_owner_loses_its_saga_after_the_lease() {
        let watch = Watch::new(LEASE);
        assert_eq!(ask(&watch, 1), Turn::Busy(LEASE));
        tokio::time::sleep(LEASE / 2).await;
        assert_eq!(ask(&watch, 1), Turn::Busy(LEASE / 2));
        tokio::time::sleep(LEASE / 2).await;
        assert_eq!(ask(&watch, 1), Turn::Yours);
    }

    #[tokio::test(start_paused = true)]
    async fn an_owner_that_writes_keeps_it() {
        let watch = Watch::new(LEASE);
        for seq in 1..5 {
            assert_eq!(ask(&watch, seq), Turn::Busy(LEASE));
            tokio::time::sleep(LEASE * 2).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_dead_and_the_parked_wait_for_nobody() {
        let watch = Watch::new(LEASE);
        let (saga, mark) = (SagaId::new("a"), Mark { epoch: 1, seq: 1 });
        assert_eq!(watch.turn(&saga, Standing::Open, mark, true), Turn::Yours);
        assert_eq!(watch.turn(&saga, Standing::Parked, mark, false), Turn::Yours);
        assert_eq!(watch.turn(&saga, Standing::Ended, mark, true), Turn::Over);
    }
}
