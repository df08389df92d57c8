//! Rules that ask a service, and when they run.

use std::num::NonZeroUsize;
use std::time::Duration;

use super::{CheckFailed, FieldId, Snapshot, Verdict};

/// A rule that has to ask a service, and so takes time.
pub trait Rule: Send + Sync + 'static {
    /// The name, for a failed check.
    fn name(&self) -> &'static str;

    /// The other fields whose values decide. When one of them changes, the rule runs again.
    ///
    /// The form asks once, when it is built.
    // starter: keep
    fn reads(&self) -> &[FieldId] {
        &[]
    }

    /// Checks `value`. `form` has it too, and the values of the fields that the rule [`reads`](Self::reads).
    ///
    /// # Errors
    ///
    /// [`CheckFailed`] if there is no verdict.
    ///
    /// # Cancellation
    ///
    /// The form drops the future when its values are not the newest any more, and at the time limit.
    fn check(
        &self,
        value: &str,
        form: &Snapshot,
    ) -> impl Future<Output = Result<Verdict, CheckFailed>> + Send;
}

/// When a [`Rule`] runs, for how long, and how long its verdicts are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checking {
    /// The check begins when the values were the same for this time. Zero: at once.
    pub debounce: Duration,
    /// A check that has no answer within this time has failed. Of an answer in that very moment it is open whether it
    /// counts.
    pub timeout: Duration,
    /// A verdict is used again while its age is less than this.
    pub ttl: Duration,
    /// The most verdicts that are kept. For one more, the verdict goes that was not used for the longest time.
    pub capacity: NonZeroUsize,
}

// starter: keep
impl Default for Checking {
    /// A debounce of 300 ms, 10 s for a check, and 100 verdicts for 5 min.
    fn default() -> Self {
        Self {
            debounce: Duration::from_millis(300),
            timeout: Duration::from_secs(10),
            ttl: Duration::from_secs(300),
            capacity: NonZeroUsize::new(100).unwrap_or(NonZeroUsize::MIN),
        }
    }
}
