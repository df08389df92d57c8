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
///
/// ```
/// use jiff::Timestamp;
/// use level5::wall_clock::WallClock;
///
/// /// A clock for a test, which stands still.
/// struct Stopped(Timestamp);
///
/// impl WallClock for Stopped {
///     fn now(&self) -> Timestamp {
///         self.0
///     }
/// }
///
/// let noon = "2026-11-28T12:00:00Z".parse()?;
/// assert_eq!(Stopped(noon).now(), noon);
/// # Ok::<(), jiff::Error>(())
/// ```
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
///
/// ```
/// use level5::wall_clock::{SystemWall, WallClock as _};
///
/// let long_ago = "2026-01-01T00:00:00Z".parse()?;
/// assert!(SystemWall.now() > long_ago);
/// # Ok::<(), jiff::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SystemWall;

impl WallClock for SystemWall {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// A clock that follows tokio's: a start, and the time that has passed on tokio's clock since. One `sleep` moves
/// both.
///
/// ```
/// use std::time::Duration;
/// use level5::wall_clock::{VirtualWall, WallClock as _};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let wall = VirtualWall::starting("2026-12-31T23:59:30Z".parse()?);
/// tokio::time::sleep(Duration::from_secs(30)).await;
/// assert_eq!(wall.now().to_string(), "2027-01-01T00:00:00Z");
/// # Ok(())
/// # }
/// ```
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
