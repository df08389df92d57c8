//! What the criteria of the parts have in common.

use std::cell::{Cell, RefCell};
use std::num::{NonZeroU32, NonZeroUsize};

use grader_kit::Cx;
use tokio::time::Instant;

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
