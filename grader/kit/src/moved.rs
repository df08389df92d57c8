//! Futures that move from one task to another.
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};

use tokio::time::sleep;

use crate::ms;

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
