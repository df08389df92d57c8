//! One run of a rule that asks a service: the debounce, the time limit, the panic. It does not know the form's state.

use std::any::Any;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use level4::ttl_cache::TtlCache;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::{CheckFailed, Checking, FieldId, Rule, Snapshot, Verdict};

/// The result of a run: a verdict, or why there is none.
pub(super) type Outcome = Result<Verdict, CheckFailed>;

/// A rule without its type, so that rules of several types stand in one list. A clone shares the rule and its
/// verdicts: a run owns one, since it is a task and cannot borrow from the form.
#[derive(Clone)]
pub(super) struct Check {
    pub(super) config: Checking,
    /// Makes the future of the rule. Boxed, because the futures of rules differ in type.
    ask: Arc<dyn Fn(Snapshot) -> BoxFuture<'static, Outcome> + Send + Sync>,
    /// The verdicts by all values that the rule saw: with fewer, a verdict would be used for values that it is not
    /// about. The cache only stores and fetches nothing, so its fetch error is `Infallible`.
    verdicts: TtlCache<Snapshot, Verdict, Infallible>,
}

impl Check {
    pub(super) fn new(
        field: FieldId,
        rule: impl Rule,
        config: Checking,
        verdicts: TtlCache<Snapshot, Verdict, Infallible>,
    ) -> Self {
        let rule = Arc::new(rule);
        let ask = move |form: Snapshot| -> BoxFuture<'static, Outcome> {
            let rule = Arc::clone(&rule);
            // The future owns the snapshot and the rule, and the rule's future borrows from both: that is why the two
            // are one `async` block.
            Box::pin(async move {
                let value = form.get(field).unwrap_or_default();
                rule.check(value, &form).await
            })
        };
        Self { config, ask: Arc::new(ask), verdicts }
    }

    /// The verdict about these values, if there is one that is fresh.
    pub(super) fn known(&self, form: &Snapshot) -> Option<Verdict> {
        self.verdicts.get(form).filter(|hit| hit.fresh).map(|hit| hit.value)
    }

    /// Waits for the debounce, or until `hurry` is notified, and asks. Keeps a verdict, but no failure.
    ///
    /// Dropping the future drops the rule's future, and nothing is kept.
    pub(super) async fn run(self, form: Snapshot, hurry: Arc<Notify>) -> Outcome {
        let Checking { debounce, timeout: limit, .. } = self.config;
        if !debounce.is_zero() {
            // Not `biased`: if both branches are ready, either of them begins the check. The form notifies with
            // `notify_one`, which leaves a permit when it comes before the first poll of this task.
            tokio::select! {
                () = sleep(debounce) => {}
                () = hurry.notified() => {}
            }
        }
        // The rule runs inside `catch_unwind` from its first line on: `ask` only makes the future. Without this, a
        // panic would end the task without an outcome, and the field would stay pending. `AssertUnwindSafe`, since
        // nothing of the future is used after a panic.
        let asked = AssertUnwindSafe((self.ask)(form.clone())).catch_unwind();
        // The limit begins here and not with the debounce: it is the service's time.
        let verdict = match timeout(limit, asked).await {
            // A failure returns here: it is not kept, so that the next run asks again.
            Ok(Ok(outcome)) => outcome?,
            Ok(Err(panic)) => return Err(CheckFailed::Panicked(text_of(&*panic))),
            Err(_) => return Err(CheckFailed::TimedOut),
        };
        self.verdicts.put(form, verdict.clone());
        Ok(verdict)
    }
}

/// The message of a panic. `panic!` carries a `&str` or a `String`; `panic_any` may carry any other type.
pub(super) fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").to_owned()
}

/// The task of a run. Dropping it aborts the task, and so drops the rule's future. A `Run` owns it, so whatever
/// replaces the run ends its task, and the drop of the form ends all.
pub(super) struct Task(pub(super) AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
