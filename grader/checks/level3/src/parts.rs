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

/// STUB until the kit has it.
pub struct Draw(u64);

pub fn draw(_cx: &Cx) -> Draw {
    Draw(std::env::var("SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(7))
}

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
    pub fn between(&mut self, range: std::ops::RangeInclusive<u64>) -> u64 {
        let (a, b) = range.into_inner();
        match (b - a).checked_add(1) {
            Some(w) => a + self.below(w),
            None => self.next(),
        }
    }
    pub fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.index(items.len())]
    }
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.index(last + 1));
        }
    }
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
    pub fn word(&mut self) -> String {
        (0..6).map(|_| char::from(b'a' + self.below(26) as u8)).collect()
    }
}

/// Panics as a bug of the caller's code would, without a report: the grader shows no panic of its own.
pub fn bug(text: &str) -> ! {
    std::panic::resume_unwind(Box::new(text.to_owned()))
}

/// What a panic of the judged code's work said, as the caller catches it.
pub fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no text").to_owned()
}
