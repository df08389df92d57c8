//! The figures of one operation: how its runs have ended, how long they took, and their last errors.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::{KEPT_ERRORS, Metrics};

/// What is known of the runs of one operation.
pub(super) struct Book<E> {
    ends: Ends,
    /// Of all runs together.
    time: Duration,
    errors: VecDeque<E>,
}

/// How runs have ended.
#[derive(Default)]
pub(super) struct Ends {
    pub(super) succeeded: u64,
    pub(super) failed: u64,
    pub(super) fallback_succeeded: u64,
    pub(super) fallback_failed: u64,
}

impl<E> Default for Book<E> {
    fn default() -> Self {
        Self { ends: Ends::default(), time: Duration::ZERO, errors: VecDeque::new() }
    }
}

impl<E> Book<E> {
    /// Keeps the error of an attempt. Returns the one that makes room for it.
    pub(super) fn note(&mut self, error: E) -> Option<E> {
        let full = self.errors.len() == KEPT_ERRORS;
        let gone = if full { self.errors.pop_front() } else { None };
        self.errors.push_back(error);
        gone
    }

    /// Counts a run that has ended now.
    pub(super) fn ended(&mut self, began: Instant, how: impl FnOnce(&mut Ends)) {
        how(&mut self.ends);
        self.time = self.time.saturating_add(began.elapsed());
    }
}

impl<E: Clone> Book<E> {
    pub(super) fn metrics(&self) -> Metrics<E> {
        let Ends { succeeded, failed, fallback_succeeded, fallback_failed } = self.ends;
        // The mean is made here, from sums. A mean that is carried along needs the count of what it is the mean of.
        let total = succeeded + failed;
        let nanos = self.time.as_nanos().checked_div(u128::from(total)).unwrap_or(0);
        let mean = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let errors = self.errors.iter().cloned().collect();
        Metrics { total, succeeded, failed, fallback_succeeded, fallback_failed, mean, errors }
    }
}
