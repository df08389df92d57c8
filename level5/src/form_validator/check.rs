//! One run of a rule that asks a service: the wait, the time limit, the panic. It knows nothing of the form's state.

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

/// What a run ends with.
pub(super) type Outcome = Result<Verdict, CheckFailed>;

/// A rule without its type, so that rules of several types stand in one list.
#[derive(Clone)]
pub(super) struct Check {
    pub(super) config: Checking,
    ask: Arc<dyn Fn(Snapshot) -> BoxFuture<'static, Outcome> + Send + Sync>,
    /// The verdicts by all values that the rule saw. Only a place for them: it fetches nothing, so `Infallible`.
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

    /// Waits for the debounce, or until it is hurried, and asks. Keeps a verdict, but no failure.
    pub(super) async fn run(self, form: Snapshot, hurry: Arc<Notify>) -> Outcome {
        let Checking { debounce, timeout: limit, .. } = self.config;
        if !debounce.is_zero() {
            tokio::select! {
                () = sleep(debounce) => {}
                () = hurry.notified() => {}
            }
        }
        // The rule runs inside of `catch_unwind` from its first line on: `ask` only makes the future.
        let asked = AssertUnwindSafe((self.ask)(form.clone())).catch_unwind();
        let verdict = match timeout(limit, asked).await {
            Ok(Ok(outcome)) => outcome?,
            Ok(Err(panic)) => return Err(CheckFailed::Panicked(text_of(&*panic))),
            Err(_) => return Err(CheckFailed::TimedOut),
        };
        self.verdicts.put(form, verdict.clone());
        Ok(verdict)
    }
}

/// What a panic said.
pub(super) fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").to_owned()
}

/// The task of a run. Dropping it ends the task, and so drops the rule's future.
pub(super) struct Task(pub(super) AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
