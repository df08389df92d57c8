//! Loads that move from one task to another.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};

use grader_kit::{Cx, Outcome, ensure, ms};
use level2::source::DashboardSource;
use tokio::time::sleep;

use crate::fake::Fake;
use crate::plain;
use crate::support::begins;

/// A task that polls a future until it hands it to another one. From then on it wakes nothing.
struct Task {
    waker: Waker,
    gone: AtomicBool,
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        if !self.gone.load(Ordering::Relaxed) {
            self.waker.wake_by_ref();
        }
    }
}

/// Polls in the name of one task, and from `at` milliseconds on in the name of another.
pub async fn moved<F: Future>(at: u64, future: F) -> F::Output {
    let (mut future, mut leaves) = (pin!(future), pin!(sleep(ms(at))));
    let mut first: Option<Arc<Task>> = None;
    let mut has_moved = false;
    std::future::poll_fn(|cx| {
        loop {
            let waker = if has_moved {
                cx.waker().clone()
            } else {
                let task = || Task { waker: cx.waker().clone(), gone: AtomicBool::new(false) };
                Waker::from(Arc::clone(first.get_or_insert_with(|| Arc::new(task()))))
            };
            let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
            if polled.is_ready() || has_moved || leaves.as_mut().poll(cx).is_pending() {
                return polled;
            }
            has_moved = true;
            if let Some(task) = &first {
                task.gone.store(true, Ordering::Relaxed);
            }
        }
    })
    .await
}

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
