//! What the criteria of the parts have in common.

use std::cell::{Cell, RefCell};
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use grader_kit::{Cx, Fail};
use tokio::time::{Instant, timeout};

/// `count` milliseconds.
pub const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// `count` as the interfaces take it. 0 becomes 1; no criterion asks for 0.
pub const fn nz(count: u32) -> NonZeroU32 {
    match NonZeroU32::new(count) {
        Some(count) => count,
        None => NonZeroU32::MIN,
    }
}

/// `count` as the interfaces take it. 0 becomes 1; no criterion asks for 0.
pub const fn nzu(count: usize) -> NonZeroUsize {
    match NonZeroUsize::new(count) {
        Some(count) => count,
        None => NonZeroUsize::MIN,
    }
}

/// Milliseconds as a learner reads them: `0, 1000, 3000`.
pub fn list(instants: &[u64]) -> String {
    if instants.is_empty() {
        return "none".to_owned();
    }
    instants.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
}

/// Counts calls and notes when they came.
pub struct Calls {
    cx: Cx,
    who: &'static str,
    began: Instant,
    at: RefCell<Vec<u64>>,
}

impl Calls {
    pub fn new(cx: &Cx, who: &'static str) -> Self {
        Self { cx: cx.clone(), who, began: Instant::now(), at: RefCell::default() }
    }

    /// A call comes. Its number; the first is 1.
    pub fn note(&self) -> u64 {
        self.at.borrow_mut().push(self.began.elapsed().as_millis() as u64);
        let number = self.count();
        self.cx.timeline().record(self.who, format!("call {number}"));
        number
    }

    pub fn count(&self) -> u64 {
        self.at.borrow().len() as u64
    }

    /// When they came, in milliseconds.
    pub fn at(&self) -> Vec<u64> {
        self.at.borrow().clone()
    }
}

/// Notes when it is dropped.
pub struct OnDrop<'a>(pub &'a Cell<bool>);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

/// Runs `future` for `at` milliseconds and drops it. Fails when it is done before.
pub async fn dropped_at<F: Future>(cx: &Cx, name: &str, at: u64, future: F) -> Result<(), Fail> {
    match timeout(ms(at), cx.call(name, future)).await {
        Err(_) => {
            cx.timeline().record("the grader", format!("drops {name}"));
            Ok(())
        }
        Ok(Err(fail)) => Err(fail),
        Ok(Ok(call)) => Err(Fail::new(format!(
            "{name} returned after {} ms, before it could be dropped after {at} ms",
            call.took.as_millis()
        ))),
    }
}
