//! A future that looks for its result now and then: it cannot notice that none will come.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::timeline::Timeline;

type ErrorFirst = Box<dyn FnOnce(Result<u32, String>) + Send>;

/// Starts the operation, and looks every 10 ms whether it has called back.
async fn promisify(start: impl FnOnce(ErrorFirst), looks: &Mutex<u32>) -> Result<u32, String> {
    let slot = Arc::new(Mutex::new(None));
    let for_callback = Arc::clone(&slot);
    start(Box::new(move |result| {
        *for_callback.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
    }));
    loop {
        *looks.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        let result = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        match result {
            Some(result) => return result,
            None => sleep(Duration::from_millis(10)).await,
        }
    }
}

pub async fn run(timeline: Timeline) {
    timeline.begin();
    let notes = timeline.clone();
    let operation = move |callback: ErrorFirst| {
        notes.note("operation", "begins");
        tokio::spawn(async move {
            sleep(Duration::from_millis(95)).await;
            notes.note("operation", "drops its callback");
            drop(callback);
        });
    };
    let looks = Mutex::new(0);
    // `timeout` ends what would not end by itself.
    if timeout(Duration::from_millis(9_995), promisify(operation, &looks)).await.is_err() {
        let looks = looks.into_inner().unwrap_or_else(PoisonError::into_inner);
        timeline.note("caller", format!("gives up; the future has looked {looks} times"));
    }
}
