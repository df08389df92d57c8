//! Rules that ask a service, and the times of their checks.

use std::num::NonZeroUsize;
use std::time::Duration;

use super::{CheckFailed, FieldId, Snapshot, Verdict};

/// A rule that asks a service, and so takes time.
///
/// ```
/// use level5::form_validator::{CheckFailed, Checking, Code, FieldId, FieldStatus};
/// use level5::form_validator::{FormBuilder, Rule, Snapshot, Verdict};
///
/// const NAME: FieldId = FieldId::new("name");
/// const TAKEN: Code = Code::new("taken");
///
/// /// Asks whether a name is free. Here the answer is always "no".
/// struct Free;
///
/// impl Rule for Free {
///     fn name(&self) -> &'static str {
///         "free"
///     }
///
///     async fn check(&self, _: &str, _: &Snapshot) -> Result<Verdict, CheckFailed> {
///         Ok(Verdict::error(TAKEN))
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let form = FormBuilder::new().field(NAME).rule(NAME, Free, Checking::default()).build()?;
/// let invalid = FieldStatus::Invalid { errors: vec![TAKEN], warnings: Vec::new() };
/// assert_eq!(form.validate(NAME).await?, invalid);
/// # Ok(())
/// # }
/// ```
pub trait Rule: Send + Sync + 'static {
    /// Returns the name of the rule, by which a [`FailedCheck`](super::FailedCheck) names it.
    fn name(&self) -> &'static str;

    /// Returns the other fields that the rule depends on. When one of them changes, the rule runs again.
    ///
    /// The form asks once, when it is built.
    // starter: keep
    fn reads(&self) -> &[FieldId] {
        &[]
    }

    /// Checks `value`. `form` has the same value, and those of the fields that the rule [`reads`](Self::reads).
    ///
    /// # Errors
    ///
    /// [`CheckFailed`] if there is no verdict.
    ///
    /// # Cancellation
    ///
    /// The form drops the future when one of its values has changed, and at the time limit.
    fn check(
        &self,
        value: &str,
        form: &Snapshot,
    ) -> impl Future<Output = Result<Verdict, CheckFailed>> + Send;
}

/// The times of a [`Rule`]: when a check begins, how long it may take, and how long its verdict is kept.
///
/// ```
/// use std::time::Duration;
/// use level5::form_validator::Checking;
///
/// let checking = Checking { debounce: Duration::from_millis(500), ..Checking::default() };
/// assert_eq!(checking.timeout, Duration::from_secs(10));
/// assert_eq!(checking.capacity.get(), 100);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checking {
    /// The check begins when the values were the same for this time. Zero: at once.
    pub debounce: Duration,
    /// A check that has no answer within this time has failed. An answer in the very moment of the limit may count or
    /// not.
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
