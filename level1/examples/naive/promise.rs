//! A promise that keeps no waker: it is settled, and its consumer sleeps on.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::sleep;

use crate::timeline::Timeline;

struct Promise {
    slot: Arc<Mutex<Option<u32>>>,
    timeline: Timeline,
}

impl Future for Promise {
    type Output = u32;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<u32> {
        match *self.slot.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(value) => {
                self.timeline.note("promise", "is polled: ready");
                Poll::Ready(value)
            }
            None => {
                self.timeline.note("promise", "is polled: pending");
                Poll::Pending
            }
        }
    }
}

pub async fn run(timeline: Timeline) {
    timeline.begin();
    let slot = Arc::new(Mutex::new(None));
    let promise = Promise { slot: Arc::clone(&slot), timeline: timeline.clone() };
    let consumer = tokio::spawn(promise);
    sleep(Duration::from_millis(100)).await;
    *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(7);
    timeline.note("resolver", "resolves the promise with 7");
    sleep(Duration::from_secs(60)).await;
    let state = if consumer.is_finished() { "has the value" } else { "still waits" };
    timeline.note("consumer", state);
}
