//! The time of the calendar, which the caller passes in.
//!
//! Durations are tokio's: a wait of 5 s is `tokio::time::sleep`. A date is not a duration. It needs a clock on the
//! wall, which an operator may set and which a test has to move. So a system that knows dates asks a [`WallClock`].
//!
//! ```
//! use std::time::Duration;
//!
//! use level5::wall_clock::{VirtualWall, WallClock as _};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! let wall = VirtualWall::starting("2026-03-28T21:59:00Z".parse().unwrap());
//! tokio::time::sleep(Duration::from_secs(60)).await;
//! assert_eq!(wall.now().to_string(), "2026-03-28T22:00:00Z");
//! # }
//! ```

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

/// A source of the time of the calendar.
///
/// It may jump: an operator sets it, and a machine that has slept finds another time. Only the time of day and the
/// date come from it, never the length of a wait.
pub trait WallClock: Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> Timestamp;
}

impl<W: WallClock + ?Sized> WallClock for Arc<W> {
    fn now(&self) -> Timestamp {
        (**self).now()
    }
}

/// The clock of the machine. It does not see virtual time: tests take [`VirtualWall`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SystemWall;

impl WallClock for SystemWall {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// A clock that follows tokio's: a start, and the time that has passed on tokio's clock since. One `sleep` moves
/// both.
#[derive(Debug, Clone, Copy)]
pub struct VirtualWall {
    base: Timestamp,
    began: Instant,
}

impl VirtualWall {
    /// A clock that shows `base` now.
    #[must_use]
    pub fn starting(base: Timestamp) -> Self {
        Self { base, began: Instant::now() }
    }
}

impl WallClock for VirtualWall {
    /// The time now, at most the last moment of jiff's calendar, which ends with the year 9999.
    fn now(&self) -> Timestamp {
        self.base.checked_add(self.began.elapsed().min(CENTURIES)).unwrap_or(Timestamp::MAX)
    }
}

/// Longer than the calendar, and short enough for jiff's arithmetic.
const CENTURIES: Duration = Duration::from_secs(1_000_000_000_000);
