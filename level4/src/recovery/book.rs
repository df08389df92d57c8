//! The figures of one operation: how its runs ended, how long they took, and the last errors.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{KEPT_ERRORS, Metrics};

/// The figures of the runs of one operation. Its size has a bound, so that a program that runs for a year does not
/// grow by it.
pub(super) struct Book<E> {
    ends: Ends,
    /// The time of all runs together, from which the mean is made.
    time: Duration,
    /// At most `KEPT_ERRORS`. A deque, because the oldest leaves at the front. In `Arc`s: a snapshot copies the list
    /// under the lock, and the `clone` of an error is the application's code.
    errors: VecDeque<Arc<E>>,
}

/// How many runs have ended in each way. There is no total: a total beside its parts could disagree with them.
#[derive(Default)]
pub(super) struct Ends {
    pub(super) succeeded: u64,
    pub(super) failed: u64,
    pub(super) fallback_succeeded: u64,
    pub(super) fallback_failed: u64,
}

// By hand: a derived `Default` would ask `E` to have one.
impl<E> Default for Book<E> {
    fn default() -> Self {
        Self { ends: Ends::default(), time: Duration::ZERO, errors: VecDeque::new() }
    }
}

impl<E> Book<E> {
    /// Keeps the error of an attempt. Returns the oldest one, if it had to make room.
    pub(super) fn note(&mut self, error: Arc<E>) -> Option<Arc<E>> {
        // Returned and not dropped here: the caller holds a lock, and a destructor of the application must not run
        // under it.
        let full = self.errors.len() == KEPT_ERRORS;
        let gone = if full { self.errors.pop_front() } else { None };
        self.errors.push_back(error);
        gone
    }

    /// Counts a run that has ended now. `how` adds to all counts that the run belongs to.
    pub(super) fn ended(&mut self, began: Instant, how: impl FnOnce(&mut Ends)) {
        // Counts and time change under one lock, so that the mean is always that of the counted runs.
        how(&mut self.ends);
        self.time = self.time.saturating_add(began.elapsed());
    }
}

impl<E> Book<E> {
    /// The figures, and the errors that belong to them. The caller clones these without the lock.
    pub(super) fn metrics(&self) -> (Metrics<E>, Vec<Arc<E>>) {
        let Ends { succeeded, failed, fallback_succeeded, fallback_failed } = self.ends;
        // The mean is made here, from two sums. A mean that each run updates would collect a rounding error with
        // every run.
        let total = succeeded + failed;
        // In nanoseconds, because a `Duration` divides by 32 bits only. No run yet: no division by zero.
        let nanos = self.time.as_nanos().checked_div(u128::from(total)).unwrap_or(0);
        let mean = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let kept = self.errors.iter().map(Arc::clone).collect();
        let errors = Vec::new();
        let figures =
            Metrics { total, succeeded, failed, fallback_succeeded, fallback_failed, mean, errors };
        (figures, kept)
    }
}
