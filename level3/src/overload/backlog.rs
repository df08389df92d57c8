//! The reserved calls of an account, as the time that it needs for them.

use std::num::NonZeroUsize;
use std::time::Duration;

use tokio::time::Instant;

/// The calls that are reserved for payments, and the instant at which the last of them can be made.
///
/// An account with a rate limit makes one call in each `window / rate`. So a number of reserved
/// calls is a time, and the whole state is one instant: when the account has made every reserved
/// call, at the rate that its limit allows. A reservation moves that instant into the future, and
/// the clock catches up with it.
///
/// A call that was not reserved, such as a retry or an undo, moves it as well. So fewer payments
/// are admitted while many calls fail.
///
/// ```
/// use std::num::NonZeroUsize;
/// use std::time::Duration;
/// use level3::overload::Backlog;
/// use tokio::time::Instant;
///
/// let (now, second) = (Instant::now(), Duration::from_secs(1));
/// // 100 calls a second. The reserved calls may take at most a second.
/// let mut backlog = Backlog::new(NonZeroUsize::new(100).unwrap(), second, second, now);
/// assert_eq!(backlog.reserve(100, now), Ok(()));
/// let wait = backlog.reserve(2, now).unwrap_err();
/// assert_eq!(wait, Duration::from_millis(20));
/// assert_eq!(backlog.reserve(2, now + wait), Ok(()));
/// ```
#[derive(Debug, Clone)]
pub struct Backlog {
    // starter: hint the time that one call takes of the limit, and until when the account is busy
    per_call: Duration,
    // Bounds the wait of an admitted payment: it never stands behind more calls than the account
    // makes in this time.
    most: Duration,
    // An instant and not a counter: the clock pays for the calls, so no task has to count them down
    // and no timer runs.
    busy_until: Instant,
}

impl Backlog {
    /// Makes a backlog without reservations, for an account that may make `rate` calls in each
    /// `window`. The reserved calls may take at most `most`.
    #[must_use]
    pub fn new(rate: NonZeroUsize, window: Duration, most: Duration, now: Instant) -> Self {
        let calls = u32::try_from(rate.get()).unwrap_or(u32::MAX);
        Self { per_call: window / calls, most, busy_until: now }
    }

    /// Reserves all of the `calls` or none of them.
    ///
    /// An account without reservations accepts any number of calls: otherwise a slow account would
    /// never accept a payment.
    ///
    /// # Errors
    ///
    /// The time after which the same calls could be reserved, if no others are reserved until then.
    pub fn reserve(&mut self, calls: u32, now: Instant) -> Result<(), Duration> {
        // `&mut self` makes check and reservation one step: the caller holds its lock for both. All
        // or none, because a payment with only some of its calls would begin, fail and be undone,
        // which takes calls from others.
        let wait = self.wait_for(calls, now);
        if !wait.is_zero() {
            return Err(wait);
        }
        self.add(calls, now);
        Ok(())
    }

    /// Returns the time after which that many calls could be reserved; zero if they could be now.
    #[must_use]
    pub fn wait_for(&self, calls: u32, now: Instant) -> Duration {
        let owed = self.owed(now);
        let after = owed.saturating_add(self.per_call.saturating_mul(calls));
        // An account without reservations has no wait, also if the calls take too long.
        owed.min(after.saturating_sub(self.most))
    }

    /// Adds calls that were not reserved: a retry, an undo, those of a recovered payment.
    pub fn add(&mut self, calls: u32, now: Instant) {
        // Without a bound: an undo has to be made however much is reserved. New payments pay for
        // it, since they are refused until it is made.
        let after = self.owed(now).saturating_add(self.per_call.saturating_mul(calls));
        self.owe(after, now);
    }

    /// Releases reserved calls that will not be made, since their payment has ended.
    pub fn release(&mut self, calls: u32, now: Instant) {
        // The clock may have paid for some of these calls already, so this can release more than is
        // owed.
        let after = self.owed(now).saturating_sub(self.per_call.saturating_mul(calls));
        self.owe(after, now);
    }

    /// Adds a pause: the account makes no call for `time`, because the provider asked for that. Of several
    /// pauses the one that ends last counts.
    pub fn pause_for(&mut self, time: Duration, now: Instant) {
        // The longer of the two and not their sum: calls that are reserved wait during the pause,
        // and two pauses run at the same time.
        let after = self.owed(now).max(time);
        self.owe(after, now);
    }

    /// Returns how long the account needs for the reserved calls.
    #[must_use]
    pub fn owed(&self, now: Instant) -> Duration {
        self.busy_until.saturating_duration_since(now)
    }

    fn owe(&mut self, time: Duration, now: Instant) {
        // A time that no instant can hold changes nothing: the account is busy without end.
        self.busy_until = now.checked_add(time).unwrap_or(self.busy_until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nonzero;

    const SECOND: Duration = Duration::from_secs(1);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// 100 calls a second, a second ahead.
    fn backlog() -> (Backlog, Instant) {
        let now = Instant::now();
        (Backlog::new(nonzero!(100), SECOND, SECOND, now), now)
    }

    #[test]
    fn reserves_what_can_be_made_in_time() {
        let (mut backlog, now) = backlog();
        for _ in 0..50 {
            assert_eq!(backlog.reserve(2, now), Ok(()));
        }
        assert_eq!(backlog.reserve(2, now), Err(ms(20)));
        assert_eq!(backlog.reserve(2, now + ms(19)), Err(ms(1)));
        assert_eq!(backlog.reserve(2, now + ms(20)), Ok(()));
    }

    #[test]
    fn unreserved_calls_come_out_of_the_same_limit() {
        let (mut backlog, now) = backlog();
        backlog.add(300, now);
        assert_eq!(backlog.owed(now), 3 * SECOND);
        assert_eq!(backlog.reserve(2, now), Err(ms(2020)));
        backlog.release(250, now);
        assert_eq!(backlog.reserve(2, now), Ok(()));
        backlog.release(1000, now);
        assert_eq!(backlog.owed(now), Duration::ZERO);
    }

    #[test]
    fn a_pause_is_time_without_calls() {
        let (mut backlog, now) = backlog();
        backlog.pause_for(5 * SECOND, now);
        backlog.pause_for(SECOND, now);
        assert_eq!(backlog.reserve(2, now), Err(ms(4020)));
    }

    #[test]
    fn an_idle_account_takes_a_payment_however_slow_it_is() {
        let now = Instant::now();
        let mut slow = Backlog::new(nonzero!(1), 60 * SECOND, SECOND, now);
        assert_eq!(slow.reserve(2, now), Ok(()));
        assert_eq!(slow.reserve(2, now), Err(120 * SECOND));
        assert_eq!(slow.reserve(2, now + 120 * SECOND), Ok(()));
    }

    #[test]
    fn no_figures_overflow() {
        let now = Instant::now();
        let most = Duration::MAX;
        let mut backlog = Backlog::new(nonzero!(1), most, most, now);
        backlog.add(u32::MAX, now);
        backlog.pause_for(most, now);
        assert_eq!(backlog.reserve(u32::MAX, now), Ok(()));
        let mut endless = Backlog::new(NonZeroUsize::MAX, SECOND, SECOND, now);
        assert_eq!(endless.reserve(u32::MAX, now), Ok(()));
    }
}
