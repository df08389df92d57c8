//! The limiter: the window and the queue under one lock, and the waiting.
//!
//! There is no background task. The caller at the head of the queue sleeps until a slot becomes free,
//! reserves it and wakes the next caller. The others wait to be first, at most until their deadlines:
//! however many callers wait, only the first of them looks at the window.

use std::fmt::{self, Debug};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::queue::{Ticket, WaitQueue};
use super::window::{Nanos, Window};
use super::{LimitError, LimiterConfigError, Priority, Usage};
use crate::deadline::Deadline;

/// A sliding-window rate limiter. Share it in an [`Arc`](std::sync::Arc).
///
/// ```
/// use std::num::NonZeroUsize;
/// use std::time::Duration;
/// use level3::deadline::Deadline;
/// use level3::limiter::{LimitError, Priority, RateLimiter};
/// use tokio::time::Instant;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let limiter = RateLimiter::new(NonZeroUsize::new(2).unwrap(), Duration::from_secs(1)).unwrap();
/// let start = Instant::now();
/// for _ in 0..3 {
///     limiter.admit(Priority::Charge, Deadline::never()).await.unwrap();
/// }
/// assert_eq!(start.elapsed(), Duration::from_secs(1)); // the third call
///
/// // One slot is free now; the next one is free after a second.
/// limiter.admit(Priority::Charge, Deadline::never()).await.unwrap();
/// let soon = Deadline::after(Duration::from_millis(500));
/// let refused = limiter.admit(Priority::Charge, soon).await;
/// assert_eq!(refused, Err(LimitError::WouldMissDeadline { wait: Duration::from_secs(1) }));
/// # }
/// ```
pub struct RateLimiter {
    /// Translates between tokio's clock and the window's nanoseconds.
    epoch: Epoch,
    /// One lock for both, since every decision needs both: a caller takes a slot only if one is free
    /// *and* no caller waits before it. A `std` mutex: it is never held across an `.await`, and `Drop`
    /// takes it.
    shared: Mutex<Shared>,
}

// Written by hand: a derive would hold the lock while the formatter writes, and it writes to foreign code, such as a
// log that asks this limiter for its usage.
impl Debug for RateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let usage = self.usage();
        f.debug_struct("RateLimiter").field("usage", &usage).finish_non_exhaustive()
    }
}

/// The data that the lock guards.
struct Shared {
    /// Which slots are taken.
    window: Window,
    /// The callers that wait, in the order in which they get the next slots.
    queue: WaitQueue,
}

impl RateLimiter {
    /// Makes a limiter that lets at most `limit` calls through in any `window`: a call counts while its
    /// age is below `window`.
    ///
    /// Its memory grows with the most calls that were made in one window, not with `limit`.
    ///
    /// # Errors
    ///
    /// [`LimiterConfigError::ZeroWindow`].
    pub fn new(limit: NonZeroUsize, window: Duration) -> Result<Self, LimiterConfigError> {
        // No age is below zero: no call would count, and the limiter would let every call through.
        if window.is_zero() {
            return Err(LimiterConfigError::ZeroWindow);
        }
        let window = Window::new(limit.get(), nanos(window));
        let shared = Mutex::new(Shared { window, queue: WaitQueue::default() });
        Ok(Self { epoch: Epoch(Instant::now()), shared })
    }

    /// Waits for a slot and reserves it for a call that the caller is about to make.
    ///
    /// Callers of the same [`Priority`] are served in the order in which they first polled; refunds go
    /// before charges. A future that was not polled has no place in the queue. While the caller holds the
    /// permit, its slot counts as taken: the caller may make the call at any time, and no window ever holds
    /// too many calls.
    ///
    /// Without other callers in the queue this takes constant time on average, whatever the limit. So does
    /// joining or leaving the queue, however many callers wait.
    ///
    /// # Errors
    ///
    /// [`LimitError::WouldMissDeadline`], at once if no slot can become free before the deadline as things
    /// stand. A caller that waits gets the error at its deadline at the latest, if refunds went ahead of it, a
    /// pause began or permits were held for too long. It has taken no slot then.
    ///
    /// # Cancellation
    ///
    /// Dropping the future leaves the queue. The callers behind move up, and no slot is lost.
    ///
    /// A future that was polled keeps its place until it is ready or dropped. A future that its owner neither
    /// polls nor drops, such as a `&mut` future beside a long branch of `select!`, holds up the callers behind
    /// it, each of them until its own deadline. Poll it in a task of its own, or drop it.
    pub async fn acquire(
        &self,
        priority: Priority,
        deadline: Deadline,
    ) -> Result<Permit<'_>, LimitError> {
        // Synchronous: the first poll ends with a slot, a place in the queue or an error. With an `.await` on
        // the way to the lock, a caller that polled later could get there first.
        match self.enter(priority, deadline)? {
            Entry::Reserved(permit) => Ok(permit),
            // Boxed to keep the rarely taken path out of the size of the common one: a call that need
            // not wait has no timer in its future.
            Entry::Queued(waiting) => Box::pin(waiting.reserve(deadline)).await,
        }
    }

    /// Waits as [`acquire`](Self::acquire) does and uses the slot at once: when this returns, the call counts.
    ///
    /// # Errors
    ///
    /// As for [`acquire`](Self::acquire).
    ///
    /// # Cancellation
    ///
    /// As for [`acquire`](Self::acquire).
    pub async fn admit(&self, priority: Priority, deadline: Deadline) -> Result<(), LimitError> {
        // No `.await` stands between the two, so a dropped future cannot lose the slot in between.
        self.acquire(priority, deadline).await?.used();
        Ok(())
    }

    /// Lets no call through for `time` from now, because the server answered 429 and said when to retry.
    /// Of several pauses the one that ends last holds. Permits that are held already may still be used.
    pub fn pause_for(&self, time: Duration) {
        let until = self.epoch.now().saturating_add(nanos(time));
        // No caller is woken. The first one wakes when its slot would have been free, finds the pause
        // and sleeps until it ends.
        self.lock().window.pause_until(until);
    }

    /// Returns the counts now, in time that grows with the logarithm of the limit.
    #[must_use]
    pub fn usage(&self) -> Usage {
        // One lock for all four, so that a caller that moves from the queue to a slot is never missing in both.
        let shared = self.lock();
        Usage {
            in_window: shared.window.in_window(self.epoch.now()),
            held: shared.window.held(),
            waiting_refunds: shared.queue.waiting(Priority::Refund),
            waiting_charges: shared.queue.waiting(Priority::Charge),
        }
    }

    /// Reserves a slot if one is free and no caller waits before this one. Otherwise joins the queue,
    /// unless it is certain by now that no slot comes in time.
    fn enter(&self, priority: Priority, deadline: Deadline) -> Result<Entry<'_>, LimitError> {
        let mut shared = self.lock();
        // The clock is read under the lock: a thread that waited for the lock would otherwise decide by an old
        // time, and could reserve a slot after its deadline.
        let (now, end) = (self.epoch.now(), self.epoch.nanos_at(deadline.instant()));
        // A free slot is not enough: a newcomer would overtake the callers that wait.
        let ahead = shared.queue.waiters_ahead(priority);
        if ahead == 0 && now < end && shared.window.reserve(now) {
            return Ok(Entry::Reserved(Permit { limiter: self, used: false }));
        }
        // Refused now and not at the deadline: the caller has the time left for something else, and a queue of
        // callers that cannot be served does not build up. `earliest` is a lower bound as long as the callers
        // ahead stay: a refusal can be wrong only if one of them leaves later.
        let earliest = shared.window.earliest(now, ahead);
        if earliest >= end {
            return Err(would_miss(now, earliest));
        }
        // One `Notify` for each caller. With a shared one, `notify_waiters` would wake the whole queue for each
        // slot, and `notify_one` would wake the oldest waiter, which need not be the first: refunds overtake.
        let wake = Arc::new(Notify::new());
        let ticket = shared.queue.join(priority, Arc::clone(&wake));
        Ok(Entry::Queued(Waiting { limiter: self, ticket, wake }))
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        // No foreign code runs under the lock, so a panic elsewhere cannot leave it half written.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The result of a caller's first look, in one step: a slot, or a place in the queue.
enum Entry<'a> {
    Reserved(Permit<'a>),
    Queued(Waiting<'a>),
}

/// A caller in the queue. Dropping it, because it was served, refused or cancelled, leaves the queue: a
/// caller that was cancelled and kept its place would hold up all callers behind it.
struct Waiting<'a> {
    /// The limiter whose queue the drop leaves. Borrowed: a caller cannot outlive its limiter.
    limiter: &'a RateLimiter,
    /// The place that the drop leaves.
    ticket: Ticket,
    /// Notified when this caller has become the first, or when the first has to check again.
    ///
    /// `Notify` stores one permit: a `notify_one` that comes between a look at the queue and the wait
    /// below is not lost, it ends the wait at once. Several of them make one look, which is enough.
    wake: Arc<Notify>,
}

/// What a caller in the queue sees.
enum Look<'a> {
    Reserved(Permit<'a>),
    /// Nothing will have changed before this instant, unless `wake` is notified.
    NotBefore(Instant),
}

impl<'a> Waiting<'a> {
    /// Waits until this caller is the first and a slot is free, and reserves it.
    async fn reserve(self, deadline: Deadline) -> Result<Permit<'a>, LimitError> {
        loop {
            let wake_at = match self.look(deadline)? {
                // The slot is reserved before the place is left, so no other caller gets in between.
                // `self` is dropped by the return: leaving the queue wakes the next caller.
                Look::Reserved(permit) => return Ok(permit),
                Look::NotBefore(instant) => instant,
            };
            // Either of them only means "check again", so it does not matter which one ends the wait.
            // `biased` spares `select!` the random choice of the one that it polls first.
            tokio::select! {
                biased;
                () = self.wake.notified() => {}
                () = sleep_until(wake_at) => {}
            }
        }
    }

    /// Reserves a slot if it is this caller's turn, or finds out how long that cannot be.
    fn look(&self, deadline: Deadline) -> Result<Look<'a>, LimitError> {
        // Not `async`: the lock is released before the caller waits.
        let limiter = self.limiter;
        let mut shared = limiter.lock();
        let (now, end) = (limiter.epoch.now(), limiter.epoch.nanos_at(deadline.instant()));
        // The deadline comes before the slot: a call that begins at its deadline cannot end in time.
        if now >= end {
            // Report the wait as if no charges were queued ahead.
            let ahead = shared.queue.waiters_ahead(Priority::Refund);
            return Err(would_miss(now, shared.window.earliest(now, ahead)));
        }
        if !shared.queue.is_first(self.ticket) {
            // The caller before this one wakes it when it leaves.
            return Ok(Look::NotBefore(deadline.instant()));
        }
        if shared.window.reserve(now) {
            return Ok(Look::Reserved(Permit { limiter, used: false }));
        }
        Ok(Look::NotBefore(match shared.window.free_at() {
            Some(at) if at < end => limiter.epoch.instant_at(at),
            // Too late as things stand, or every slot is reserved and there is no time to wait for.
            // A permit that is used or dropped wakes this caller.
            _ => deadline.instant(),
        }))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut shared = self.limiter.lock();
        // Asked before `leave`, which gives the first place to the next caller.
        let was_first = shared.queue.is_first(self.ticket);
        shared.queue.leave(self.ticket);
        // Only the first caller's timer ends when a slot is free. If it leaves without waking the next one,
        // no caller is awake to see the next slot become free.
        // A caller that leaves from behind changes nothing for the first.
        let next = if was_first { shared.queue.first() } else { None };
        drop(shared);
        wake(next);
    }
}

/// A slot that is reserved for one call. Dropping it unused releases the slot to the next caller in the queue.
///
/// ```
/// use std::num::NonZeroUsize;
/// use std::time::Duration;
/// use level3::deadline::Deadline;
/// use level3::limiter::{Priority, RateLimiter};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let limiter = RateLimiter::new(NonZeroUsize::MIN, Duration::from_secs(1)).unwrap();
/// let permit = limiter.acquire(Priority::Charge, Deadline::never()).await.unwrap();
/// drop(permit); // the call was not made: the slot is free again
/// let permit = limiter.acquire(Priority::Charge, Deadline::never()).await.unwrap();
/// permit.used(); // the call is made
/// assert_eq!(limiter.usage().in_window, 1);
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a permit that is dropped unused gives its slot back: call `used` when the call is made"]
pub struct Permit<'a> {
    /// The limiter whose slot this is. Both the use and the drop go back to it under its lock.
    limiter: &'a RateLimiter,
    /// Whether the drop has nothing to release any more.
    used: bool,
}

impl Permit<'_> {
    /// Records that the call is made now: from here on it counts for one window.
    pub fn used(mut self) {
        // Before anything else: `self` is dropped at the end of this function, and a slot that was both used
        // and released would let one call too many through.
        self.used = true;
        let mut shared = self.limiter.lock();
        // While every slot was reserved, the first caller had no time to wait for. Now there is one: a
        // window from now. Otherwise it sleeps until an older call is a window old, and that holds.
        let first = if shared.window.is_fully_reserved() { shared.queue.first() } else { None };
        // The clock is read under the lock, so that calls are recorded in the order of their instants: the
        // window expects its oldest call at the front.
        shared.window.commit(self.limiter.epoch.now());
        drop(shared);
        wake(first);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if !self.used {
            let mut shared = self.limiter.lock();
            shared.window.release();
            // Always woken: the first caller sleeps until an older call is a window old, or until its deadline,
            // and this slot may be free earlier.
            let first = shared.queue.first();
            drop(shared);
            wake(first);
        }
    }
}

/// Wakes a caller. Call it without the lock: waking a task runs code of the caller's executor, which may
/// call the limiter.
fn wake(caller: Option<Arc<Notify>>) {
    if let Some(caller) = caller {
        caller.notify_one();
    }
}

fn would_miss(now: Nanos, earliest: Nanos) -> LimitError {
    LimitError::WouldMissDeadline { wait: Duration::from_nanos(earliest.saturating_sub(now)) }
}

/// The instant at which the window's time is 0. The window counts in nanoseconds from there, tokio in
/// instants.
#[derive(Debug, Clone, Copy)]
struct Epoch(Instant);

impl Epoch {
    fn now(self) -> Nanos {
        self.nanos_at(Instant::now())
    }

    /// 0 for an instant before the epoch.
    fn nanos_at(self, instant: Instant) -> Nanos {
        nanos(instant.saturating_duration_since(self.0))
    }

    fn instant_at(self, at: Nanos) -> Instant {
        self.0 + Duration::from_nanos(at)
    }
}

/// The nanoseconds of `time`, or as many as fit. [`Duration::as_nanos`] returns an `u128`.
fn nanos(time: Duration) -> Nanos {
    Nanos::try_from(time.as_nanos()).unwrap_or(Nanos::MAX)
}

#[cfg(test)]
mod tests;
