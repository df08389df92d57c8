//! A limiter of ordered maps.
//!
//! Every change (a caller arrives or leaves, a slot is used or released) is recorded first, and then
//! the callers that may go are woken. Only the first in the line looks at the clock.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::{LimiterConfigError, LimitError, Priority, Usage};
use crate::deadline::Deadline;

/// See the reference: the promises are the same.
#[derive(Debug)]
pub struct RateLimiter {
    limit: usize,
    window: Duration,
    books: Mutex<Books>,
}

#[derive(Debug, Default)]
struct Books {
    /// The last calls by their number, at most as many as the limit.
    calls: BTreeMap<u64, Instant>,
    held: usize,
    paused_until: Option<Instant>,
    /// Who waits, the next one first.
    line: BTreeMap<(Priority, u64), Arc<Notify>>,
    numbers: u64,
}

impl RateLimiter {
    /// A limiter for `limit` calls in any `window`.
    ///
    /// # Errors
    ///
    /// [`LimiterConfigError::ZeroWindow`].
    pub fn new(limit: NonZeroUsize, window: Duration) -> Result<Self, LimiterConfigError> {
        match window {
            Duration::ZERO => Err(LimiterConfigError::ZeroWindow),
            _ => Ok(Self { limit: limit.get(), window, books: Mutex::default() }),
        }
    }

    /// Waits for a slot and holds it.
    ///
    /// # Errors
    ///
    /// [`LimitError::WouldMissDeadline`].
    pub async fn acquire(
        &self,
        priority: Priority,
        deadline: Deadline,
    ) -> Result<Permit<'_>, LimitError> {
        if let Some(mut place) = self.line_up(priority, deadline)? {
            place.until_first(deadline).await?;
        }
        Ok(Permit { limiter: self, used: false })
    }

    /// Waits for a slot and uses it.
    ///
    /// # Errors
    ///
    /// [`LimitError::WouldMissDeadline`].
    pub async fn admit(&self, priority: Priority, deadline: Deadline) -> Result<(), LimitError> {
        self.acquire(priority, deadline).await.map(Permit::used)
    }

    /// Lets nothing through for a while.
    pub fn pause_for(&self, time: Duration) {
        let until = Deadline::after(time).instant();
        let mut books = self.books();
        books.paused_until = books.paused_until.max(Some(until));
    }

    /// The figures.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let (books, now) = (self.books(), Instant::now());
        let waiting = |lane| books.line.keys().filter(|(of, _)| *of == lane).count();
        let young = |call: &&Instant| **call + self.window > now;
        Usage {
            in_window: books.calls.values().rev().take_while(young).count(),
            held: books.held,
            waiting_refunds: waiting(Priority::Refund),
            waiting_charges: waiting(Priority::Charge),
        }
    }

    /// Takes a slot at once, or a place in the line.
    fn line_up(
        &self,
        priority: Priority,
        deadline: Deadline,
    ) -> Result<Option<Place<'_>>, LimitError> {
        let mut books = self.books();
        let now = Instant::now();
        let ahead = books.line.keys().filter(|(lane, _)| *lane <= priority).count();
        let free = self.free_at(&books, now).is_some_and(|at| at <= now);
        if ahead == 0 && free && now < deadline.instant() {
            books.held += 1;
            return Ok(None);
        }
        let earliest = self.earliest(&books, now, ahead);
        if earliest >= deadline.instant() {
            return Err(LimitError::WouldMissDeadline { wait: earliest - now });
        }
        books.numbers += 1;
        let key = (priority, books.numbers);
        let call = Arc::new(Notify::new());
        books.line.insert(key, Arc::clone(&call));
        Ok(Some(Place { limiter: self, key, call }))
    }

    /// When a slot becomes free; unknown while all are held.
    fn free_at(&self, books: &Books, now: Instant) -> Option<Instant> {
        let open = self.limit.checked_sub(books.held).filter(|open| *open > 0)?;
        // The call that has to be old enough is the `open`-th from the end.
        let nth = books.calls.len().checked_sub(open);
        let free = nth.and_then(|nth| books.calls.values().nth(nth));
        let free = free.map_or(now, |call| *call + self.window);
        Some(free.max(books.paused_until.unwrap_or(free)))
    }

    /// When there can be a slot at the earliest, with so many who go before.
    fn earliest(&self, books: &Books, now: Instant, ahead: usize) -> Instant {
        let (rounds, slot) = (ahead / self.limit, ahead % self.limit);
        let unused = self.limit - books.calls.len();
        let call = slot.checked_sub(unused).and_then(|nth| books.calls.values().nth(nth));
        let free = call.map_or(now, |call| *call + self.window).max(now);
        let rounds = u32::try_from(rounds).unwrap_or(u32::MAX);
        let later = self.window.saturating_mul(rounds);
        free.max(books.paused_until.unwrap_or(free))
            .checked_add(later)
            .unwrap_or_else(|| Deadline::never().instant())
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something has changed: the first waiter checks again.
    fn call_the_first(&self) {
        let first = self.books().line.values().next().cloned();
        if let Some(first) = first {
            first.notify_one();
        }
    }
}

/// A place in the line; dropping it leaves.
struct Place<'a> {
    limiter: &'a RateLimiter,
    key: (Priority, u64),
    call: Arc<Notify>,
}

impl Place<'_> {
    async fn until_first(&mut self, deadline: Deadline) -> Result<(), LimitError> {
        loop {
            let look_at = {
                let mut books = self.limiter.books();
                let now = Instant::now();
                if now >= deadline.instant() {
                    let earliest = self.limiter.earliest(&books, now, 0);
                    return Err(LimitError::WouldMissDeadline { wait: earliest - now });
                }
                let first = books.line.keys().next() == Some(&self.key);
                match self.limiter.free_at(&books, now) {
                    Some(at) if first && at <= now => {
                        books.held += 1;
                        return Ok(());
                    }
                    Some(at) if first => at.min(deadline.instant()),
                    _ => deadline.instant(),
                }
            };
            tokio::select! {
                () = self.call.notified() => {}
                () = sleep_until(look_at) => {}
            }
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.limiter.books().line.remove(&self.key);
        self.limiter.call_the_first();
    }
}

/// A slot held for one call; dropping it gives it back.
#[derive(Debug)]
#[must_use = "dropped unused, it gives its slot back"]
pub struct Permit<'a> {
    limiter: &'a RateLimiter,
    used: bool,
}

impl Permit<'_> {
    /// The call is made now.
    pub fn used(mut self) {
        self.used = true;
        let mut books = self.limiter.books();
        if books.calls.len() == self.limiter.limit {
            books.calls.pop_first();
        }
        books.numbers += 1;
        let number = books.numbers;
        books.calls.insert(number, Instant::now());
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.limiter.books().held -= 1;
        self.limiter.call_the_first();
    }
}
