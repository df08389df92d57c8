//! Loads that move from one task to another.

use std::sync::Arc;

use grader_kit::{Cx, Outcome, ensure, moved};
use level2::source::DashboardSource;

use crate::fake::Fake;
use crate::plain;
use crate::support::begins;

/// A load that moves to another task takes as long as one that does not: right after its first poll, and at
/// each of `moments`, in milliseconds after it.
pub async fn moves<F: Future>(
    cx: &Cx,
    name: &str,
    moments: &[u64],
    load: impl Fn(Arc<dyn DashboardSource>) -> F,
) -> Outcome {
    let fake = Fake::new(cx).quiet();
    let alone = cx.call(name, load(fake.source())).await?.took;
    for &at in [0].iter().chain(moments) {
        begins(cx, &format!("it moves to another task {at} ms after its first poll"));
        let call = cx.call(name, moved(at, load(fake.source()))).await?;
        ensure!(call.took == alone, "{name} is not woken after it has moved to another task";
            expected = format!("it returns at {}, as one that stays with its task", plain::time(alone)),
            observed = format!("it was first polled by one task and {at} ms later by another, and returned at {}",
                plain::time(call.took)),
            help = "pass each poll's own Context to the futures that you wait for: a waker that was stored \
                    belongs to the task of an earlier poll");
    }
    Ok(())
}
