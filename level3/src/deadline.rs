//! A deadline: one instant by which all of the work has to end.
//!
//! A payment has 10 s, compensation included. Limits that each count from their own start add up to
//! more than that: three attempts of 10 s with backoff between them are 36 s. A deadline is an instant
//! instead. It is computed once and passed down, and every wait checks it before the wait begins.
//!
//! Lesson: `level3/lessons/deadline.md`.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

/// Stands for "never": no caller waits for 30 years, and adding them to an instant cannot overflow.
const FAR: Duration = Duration::from_secs(60 * 60 * 24 * 365 * 30);

/// The deadline passed before the work was done.
///
/// ```
/// use std::time::Duration;
/// use level3::deadline::{Deadline, Elapsed};
/// use tokio::time::sleep;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let score = async {
///     sleep(Duration::from_secs(3)).await;
///     20
/// };
/// let approved = match Deadline::after(Duration::from_secs(2)).run(score).await {
///     Ok(score) => score < 80,
///     Err(Elapsed) => false,
/// };
/// assert!(!approved);
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the deadline has passed")]
pub struct Elapsed;

/// An instant by which all of the work has to end. Cheap to copy; [`Ord`] puts the earlier one first,
/// so `a.min(b)` is the stricter of two.
///
/// ```
/// use std::time::Duration;
/// use level3::deadline::{Deadline, Elapsed};
/// use tokio::time::sleep;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let deadline = Deadline::after(Duration::from_secs(10));
/// sleep(Duration::from_secs(8)).await;
/// assert_eq!(deadline.remaining(), Duration::from_secs(2));
/// assert!(!deadline.allows(Duration::from_secs(3)));
/// assert_eq!(deadline.run(sleep(Duration::from_secs(3))).await, Err(Elapsed));
/// assert!(deadline.is_over());
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Deadline {
    /// An instant of tokio's clock, which tests can pause, and not a duration: copies that are passed
    /// down cannot start counting again.
    at: Instant,
}

impl Deadline {
    /// Makes the deadline that is `limit` from now, or about 30 years from now where the clock cannot express
    /// that.
    #[must_use]
    pub fn after(limit: Duration) -> Self {
        let now = Instant::now();
        // `now + limit` panics on overflow, and callers pass `Duration::MAX` for "no limit".
        Self { at: now.checked_add(limit).unwrap_or(now + FAR) }
    }

    /// Makes the deadline at `instant`.
    #[must_use]
    pub const fn at(instant: Instant) -> Self {
        Self { at: instant }
    }

    /// Makes a deadline so far away (30 years) that no work reaches it.
    #[must_use]
    pub fn never() -> Self {
        Self::after(FAR)
    }

    /// Returns the instant of the deadline.
    #[must_use]
    pub const fn instant(self) -> Instant {
        self.at
    }

    /// Returns the time that is left; zero once the deadline has passed.
    #[must_use]
    #[inline]
    pub fn remaining(self) -> Duration {
        // Saturating: after the deadline there is no time left, and a negative `Duration` does not exist.
        self.at.saturating_duration_since(Instant::now())
    }

    /// Returns the deadline that is `reserve` earlier: work that keeps it leaves `reserve` for the work after
    /// it. Where the clock cannot express that, the deadline is now.
    #[must_use]
    pub fn earlier_by(self, reserve: Duration) -> Self {
        // Now and not the unchanged deadline: a reserve that is longer than all time leaves none for this work.
        Self { at: self.at.checked_sub(reserve).unwrap_or_else(Instant::now) }
    }

    /// Returns whether the deadline has passed, so that no work may start: true from its very instant on.
    #[must_use]
    pub fn is_over(self) -> bool {
        Instant::now() >= self.at
    }

    /// Returns whether work that takes `needed` can start now and end by the deadline: the deadline has not
    /// passed, and at least `needed` is left.
    #[must_use]
    #[inline]
    pub fn allows(self, needed: Duration) -> bool {
        // Read once: with two readings of the clock, the deadline could pass between the two comparisons. The
        // first one matters for `needed` of zero, which would fit into no time at all.
        let remaining = self.remaining();
        !remaining.is_zero() && remaining >= needed
    }

    /// Runs `work` up to the deadline.
    ///
    /// Work that is ready at the very instant of the deadline is in time: it is polled before the clock
    /// is read. If the deadline has passed before the start, `work` is not polled at all.
    ///
    /// # Errors
    ///
    /// [`Elapsed`] at the deadline; `work` is then dropped, which stops it wherever it is. A remote side
    /// that has already received the request may still execute it: `Elapsed` does not mean that nothing
    /// happened.
    ///
    /// # Cancellation
    ///
    /// Dropping the future drops `work`.
    pub async fn run<F: Future>(self, work: F) -> Result<F::Output, Elapsed> {
        // `timeout_at` polls the work once even if the deadline has passed. That one poll may send a
        // request.
        if self.is_over() {
            return Err(Elapsed);
        }
        // The instant is passed on and not `remaining()`: a duration would count again from here, and this
        // future may be polled long after its caller has computed the deadline.
        timeout_at(self.at, work).await.map_err(|_| Elapsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::sleep;

    const fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[tokio::test(start_paused = true)]
    async fn counts_down_to_its_instant() {
        let deadline = Deadline::after(ms(100));
        sleep(ms(99)).await;
        assert_eq!((deadline.remaining(), deadline.is_over()), (ms(1), false));
        sleep(ms(1)).await;
        assert_eq!((deadline.remaining(), deadline.is_over()), (ms(0), true));
        sleep(ms(1)).await;
        assert_eq!((deadline.remaining(), deadline.is_over()), (ms(0), true));
    }

    #[tokio::test(start_paused = true)]
    async fn a_reserve_moves_it_forward() {
        let deadline = Deadline::after(ms(100));
        assert_eq!(deadline.earlier_by(ms(30)).remaining(), ms(70));
        assert!(deadline.earlier_by(ms(30)) < deadline);
        assert!(deadline.earlier_by(ms(200)).is_over());
        assert!(deadline.earlier_by(Duration::MAX).is_over());
    }

    #[tokio::test(start_paused = true)]
    async fn allows_what_fits() {
        let deadline = Deadline::after(ms(100));
        assert!(deadline.allows(ms(100)));
        assert!(!deadline.allows(ms(101)));
        sleep(ms(100)).await;
        assert!(!deadline.allows(ms(0)), "nothing starts at the deadline itself");
    }

    #[tokio::test(start_paused = true)]
    async fn no_limit_is_too_long() {
        assert!(Deadline::after(Duration::MAX).remaining() >= FAR);
        assert!(!Deadline::never().is_over());
    }

    #[tokio::test(start_paused = true)]
    async fn cuts_work_at_the_deadline() {
        let started = Instant::now();
        let deadline = Deadline::after(ms(100));
        assert_eq!(deadline.run(sleep(ms(101))).await, Err(Elapsed));
        assert_eq!(started.elapsed(), ms(100));
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_is_ready_at_the_deadline_has_made_it() {
        assert_eq!(Deadline::after(ms(100)).run(sleep(ms(100))).await, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn starts_nothing_once_it_is_over() {
        let deadline = Deadline::after(ms(0));
        let mut polled = false;
        assert_eq!(deadline.run(async { polled = true }).await, Err(Elapsed));
        assert!(!polled);
    }
}
