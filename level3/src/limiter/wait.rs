//! The limiter: the window and the line under one lock, and the waiting.
//!
//! Nobody works for the limiter in the background. Whoever is first in the line sleeps until the next
//! slot is free, takes it and wakes the next one. The others only wait to be first.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::line::{Line, Place};
use super::window::{Nanos, Window};
use super::{LimiterConfigError, LimitError, Priority, Usage};
use crate::deadline::Deadline;

/// A sliding-window rate limiter. Share it in an [`Arc`].
#[derive(Debug)]
pub struct RateLimiter {
    // Where its nanoseconds begin.
    epoch: Instant,
    state: Mutex<Limits>,
}

#[derive(Debug)]
struct Limits {
    window: Window,
    line: Line,
}

/// What a slot is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// A call that is about to be made.
    Hold,
    /// A call that is made at once.
    Use,
}

impl RateLimiter {
    /// A limiter that lets at most `limit` calls through in any `window`: a call counts while its age
    /// is below `window`.
    ///
    /// It keeps the instants of the last `limit` calls, 8 bytes each.
    ///
    /// # Errors
    ///
    /// [`LimiterConfigError::ZeroWindow`].
    pub fn new(limit: NonZeroUsize, window: Duration) -> Result<Self, LimiterConfigError> {
        if window.is_zero() {
            return Err(LimiterConfigError::ZeroWindow);
        }
        let window = Window::new(limit.get(), nanos(window));
        let state = Mutex::new(Limits { window, line: Line::default() });
        Ok(Self { epoch: Instant::now(), state })
    }

    /// Waits for a slot and holds it for a call that is about to be made.
    ///
    /// Callers of the same [`Priority`] are served in the order in which they first polled; refunds go
    /// before charges. As long as the permit is held its slot counts as taken, so that the call may be
    /// made at any time and no window ever sees too many.
    ///
    /// Without others in the line this takes the same time whatever the limit; so does joining or
    /// leaving the line, however many wait.
    ///
    /// # Errors
    ///
    /// [`LimitError::WouldMissDeadline`]: at once when, as things stand, no slot can come before the
    /// deadline; later, at the deadline at the latest, when others were put before this caller meanwhile.
    /// No slot is taken then.
    ///
    /// # Cancellation
    ///
    /// Dropping the future gives up the place in the line. Nobody behind is held up by it, and no slot
    /// is lost.
    pub async fn acquire(
        &self,
        priority: Priority,
        deadline: Deadline,
    ) -> Result<Permit<'_>, LimitError> {
        self.slot(priority, deadline, Purpose::Hold).await?;
        Ok(Permit { limiter: self, used: false })
    }

    /// [`acquire`](Self::acquire) for a call that is made at once: the slot is used when this returns.
    ///
    /// # Errors
    ///
    /// As for [`acquire`](Self::acquire).
    ///
    /// # Cancellation
    ///
    /// As for [`acquire`](Self::acquire).
    pub async fn admit(&self, priority: Priority, deadline: Deadline) -> Result<(), LimitError> {
        self.slot(priority, deadline, Purpose::Use).await
    }

    /// Lets nothing through for `time` from now: the server answered 429 and said when to come back.
    /// The longest such wish holds. Permits that are held already may still be used.
    pub fn pause_for(&self, time: Duration) {
        let until = self.now().saturating_add(nanos(time));
        self.lock().window.pause_until(until);
    }

    /// The figures now. Takes time with the logarithm of the limit.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let state = self.lock();
        Usage {
            in_window: state.window.in_window(self.now()),
            held: state.window.held(),
            waiting_refunds: state.line.waiting(Priority::Refund),
            waiting_charges: state.line.waiting(Priority::Charge),
        }
    }

    /// Takes a slot, after waiting if need be.
    async fn slot(
        &self,
        priority: Priority,
        deadline: Deadline,
        purpose: Purpose,
    ) -> Result<(), LimitError> {
        match self.enter(priority, deadline, purpose)? {
            None => Ok(()),
            // Boxed, so that callers that need not wait carry no room for it.
            Some(waiting) => Box::pin(waiting.turn(deadline, purpose)).await,
        }
    }

    /// Takes a slot if there is one and nobody stands before, or joins the line if that makes sense.
    fn enter(
        &self,
        priority: Priority,
        deadline: Deadline,
        purpose: Purpose,
    ) -> Result<Option<Waiting<'_>>, LimitError> {
        let mut state = self.lock();
        let clock = Instant::now();
        let now = self.nanos_at(clock);
        let ahead = state.line.ahead(priority);
        if ahead == 0 && clock < deadline.instant() && state.take(purpose, now) {
            return Ok(None);
        }
        let earliest = state.window.earliest(now, ahead);
        if earliest >= self.nanos_at(deadline.instant()) {
            return Err(would_miss(now, earliest));
        }
        let turn = Arc::new(Notify::new());
        let place = state.line.join(priority, Arc::clone(&turn));
        Ok(Some(Waiting { limiter: self, place, turn }))
    }

    fn now(&self) -> Nanos {
        self.nanos_at(Instant::now())
    }

    fn nanos_at(&self, instant: Instant) -> Nanos {
        nanos(instant.saturating_duration_since(self.epoch))
    }

    fn lock(&self) -> MutexGuard<'_, Limits> {
        // No foreign code runs under the lock, so a poisoned state is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Limits {
    fn take(&mut self, purpose: Purpose, now: Nanos) -> bool {
        let free = self.window.hold(now);
        if free && purpose == Purpose::Use {
            self.window.make_use(now);
        }
        free
    }
}

/// A place in the line. Dropping it leaves the line.
struct Waiting<'a> {
    limiter: &'a RateLimiter,
    place: Place,
    // Told when this place has become the first, or when the first has to look again.
    turn: Arc<Notify>,
}

impl Waiting<'_> {
    async fn turn(self, deadline: Deadline, purpose: Purpose) -> Result<(), LimitError> {
        let limiter = self.limiter;
        let until = limiter.nanos_at(deadline.instant());
        loop {
            let free_at = {
                let mut state = limiter.lock();
                let now = limiter.now();
                if now >= until {
                    // As long as it would take for somebody with no charge before him.
                    let ahead = state.line.ahead(Priority::Refund);
                    return Err(would_miss(now, state.window.earliest(now, ahead)));
                }
                let first = state.line.is_first(self.place);
                if first && state.take(purpose, now) {
                    // Leaving the line, on drop, wakes the next one.
                    return Ok(());
                }
                if first { state.window.free_at() } else { None }
            };
            // Without a time to wait for, somebody else's doing ends the wait: those before leave the
            // line, or a held slot is used or given back.
            let wake_at = match free_at {
                Some(at) if at < until => limiter.epoch + Duration::from_nanos(at),
                _ => deadline.instant(),
            };
            tokio::select! {
                biased;
                () = self.turn.notified() => {}
                () = sleep_until(wake_at) => {}
            }
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.limiter.lock();
        let was_first = state.line.is_first(self.place);
        state.line.leave(self.place);
        let next = if was_first { state.line.first() } else { None };
        drop(state);
        wake(next);
    }
}

/// A slot held for one call. Dropping it unused gives the slot back to the next in line.
#[derive(Debug)]
#[must_use = "a permit that is dropped unused gives its slot back: call `used` when the call is made"]
pub struct Permit<'a> {
    limiter: &'a RateLimiter,
    used: bool,
}

impl Permit<'_> {
    /// The call is made now: from here on it counts for one window.
    pub fn used(mut self) {
        self.used = true;
        let mut state = self.limiter.lock();
        // While every slot was held, the first in the line knew no time to wait for. Now there is one.
        let first = if state.window.is_held() { state.line.first() } else { None };
        state.window.make_use(self.limiter.now());
        drop(state);
        wake(first);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if !self.used {
            let mut state = self.limiter.lock();
            state.window.give_back();
            let first = state.line.first();
            drop(state);
            wake(first);
        }
    }
}

/// Outside of the lock: waking runs code of the caller's executor.
fn wake(caller: Option<Arc<Notify>>) {
    if let Some(caller) = caller {
        caller.notify_one();
    }
}

fn would_miss(now: Nanos, earliest: Nanos) -> LimitError {
    LimitError::WouldMissDeadline { wait: Duration::from_nanos(earliest.saturating_sub(now)) }
}

fn nanos(time: Duration) -> Nanos {
    // In u64: `as_nanos` computes in u128, which a call would notice.
    time.as_secs().saturating_mul(1_000_000_000).saturating_add(time.subsec_nanos().into())
}

#[cfg(test)]
mod tests;
