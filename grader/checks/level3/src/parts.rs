//! What the criteria of the parts have in common.

use std::cell::{Cell, RefCell};
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

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

/// Where real threads meet before each round, so that they call the learner's code at the same moment.
#[derive(Default)]
pub struct Meeting {
    arrived: AtomicUsize,
}

impl Meeting {
    /// More real time than a thread needs for a round on a busy machine.
    const PATIENCE: Duration = Duration::from_secs(2);

    /// Waits for the others of `count` threads, for round number `round`, the first of which is 0. False if one
    /// does not come: it is stuck in the round before.
    pub fn wait(&self, round: usize, count: usize) -> bool {
        self.arrived.fetch_add(1, Ordering::AcqRel);
        let began = Instant::now();
        let mut turns = 0_u32;
        while self.arrived.load(Ordering::Acquire) < (round + 1) * count {
            turns += 1;
            // Spins, since a thread that sleeps wakes up too late; the other one may need this core.
            if turns % 1000 == 0 {
                std::thread::yield_now();
                if began.elapsed() > Self::PATIENCE {
                    return false;
                }
            }
            std::hint::spin_loop();
        }
        true
    }
}

/// Notes when it is dropped.
pub struct OnDrop<'a>(pub &'a Cell<bool>);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        self.0.set(true);
    }
}
