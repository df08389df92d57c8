//! The clock that the kit goes by: that of its own runtime, whatever runtime the judged code enters.
//!
//! `Instant::now()` and `Handle::current()` ask the runtime that the thread has entered last. Code that
//! enters another one (`Runtime::enter`) would answer for the kit. And tokio lets any code that runs
//! move the paused clock (`tokio::time::advance`, `pause`, `resume`), which makes a wait out of nothing.
//! So the kit keeps a handle of its runtime, and knows when its clock may move: while the runtime is
//! parked, and at no other time.
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Waker};
use std::time::Duration;

use grader_protocol::Diagnosis;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::time::Instant;

/// The clock of the runtime on which a criterion is judged. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    handle: Handle,
    watch: Arc<Watch>,
}

/// What the runtime's own hooks see.
#[derive(Debug, Default)]
struct Watch {
    /// Set once the runtime is built.
    handle: OnceLock<Handle>,
    seen: Mutex<Seen>,
    /// How often the runtime has parked.
    parks: AtomicU64,
}

#[derive(Debug, Default)]
struct Seen {
    /// What the clock has to show until the runtime parks again.
    expected: Option<Instant>,
    /// The first thing that the judged code did to it.
    found: Option<Diagnosis>,
}

impl Clock {
    /// A runtime whose clock is paused, and that clock.
    ///
    /// # Errors
    ///
    /// Those of the runtime's builder.
    pub(crate) fn paused() -> std::io::Result<(Runtime, Clock)> {
        let watch = Arc::new(Watch::default());
        let (parks, unparks) = (Arc::clone(&watch), Arc::clone(&watch));
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .on_thread_park(move || {
                parks.look();
                parks.parks.fetch_add(1, Ordering::Relaxed);
            })
            .on_thread_unpark(move || unparks.accept())
            .build()?;
        let handle = runtime.handle().clone();
        let _ = watch.handle.set(handle.clone()); // it is empty: set once, here
        watch.accept();
        Ok((runtime, Clock { handle, watch }))
    }

    /// Now.
    pub(crate) fn now(&self) -> Instant {
        now(&self.handle)
    }

    /// Time since an instant of this clock.
    pub(crate) fn since(&self, start: Instant) -> Duration {
        self.now().saturating_duration_since(start)
    }

    /// Spawned tasks of the runtime that are alive.
    pub(crate) fn alive_tasks(&self) -> usize {
        self.handle.metrics().num_alive_tasks()
    }

    /// How often the runtime has parked.
    pub(crate) fn parks(&self) -> u64 {
        self.watch.parks.load(Ordering::Relaxed)
    }

    /// Moves the clock by `time`. Timers that are due by then fire when the runtime parks next.
    pub(crate) fn skip(&self, time: Duration) {
        self.watch.look();
        let _entered = self.handle.enter();
        let moves = pin!(tokio::time::advance(time));
        // The first poll moves the clock. What follows lets tasks run, which the next park does too.
        let _ = moves.poll(&mut Context::from_waker(Waker::noop()));
        self.watch.accept();
    }

    /// What the judged code has done to the clock so far, if anything.
    pub(crate) fn look(&self) -> Option<Diagnosis> {
        self.watch.look();
        self.watch.seen().found.clone()
    }
}

impl Watch {
    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The runtime is about to park, or a poll has ended: the clock must not have moved by itself, and
    /// the runtime must be the one that is entered.
    fn look(&self) {
        let Some(handle) = self.handle.get() else { return };
        let now = now(handle);
        let entered = Handle::try_current().map(|current| current.id());
        let mut seen = self.seen();
        if entered.ok() != Some(handle.id()) {
            seen.found.get_or_insert(Diagnosis::OtherRuntime);
        }
        if let Some(expected) = seen.expected.replace(now)
            && now != expected
        {
            let by = now.saturating_duration_since(expected).as_micros();
            let by_us = u64::try_from(by).unwrap_or(u64::MAX);
            seen.found.get_or_insert(Diagnosis::ClockMoved { by_us });
        }
    }

    /// The runtime has been parked: the clock was free to move.
    fn accept(&self) {
        if let Some(handle) = self.handle.get() {
            let now = now(handle);
            self.seen().expected = Some(now);
        }
    }
}

/// The time of a runtime's clock, whichever runtime is entered.
fn now(handle: &Handle) -> Instant {
    let _entered = handle.enter();
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_that_looks_again_and_again_parks_the_runtime_as_often() {
        let (runtime, clock) = Clock::paused().expect("a runtime");
        runtime.block_on(async {
            let hour = Duration::from_secs(3600);
            let before = clock.parks();
            tokio::time::sleep(hour).await;
            // A far timer moves nearer in a few steps.
            assert!(clock.parks() - before <= 20, "{} parks in an hour", clock.parks() - before);
            let looks = tokio::spawn(async {
                loop {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            });
            let before = clock.parks();
            tokio::time::sleep(hour).await;
            assert!(clock.parks() - before >= 3600, "{} parks in an hour", clock.parks() - before);
            looks.abort();
        });
    }

    #[test]
    fn a_skip_is_exact_and_no_move_of_the_judged_code() {
        let (runtime, clock) = Clock::paused().expect("a runtime");
        runtime.block_on(async {
            let start = clock.now();
            clock.skip(Duration::from_nanos(300_007));
            assert_eq!(clock.since(start), Duration::from_nanos(300_007));
            tokio::time::sleep(Duration::from_millis(2)).await;
            assert_eq!(clock.look(), None);
        });
    }
}
