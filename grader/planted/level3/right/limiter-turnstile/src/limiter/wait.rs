//! The limiter as a turnstile.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::{Mutex as Turnstile, Notify};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{LimiterConfigError, LimitError, Priority, Usage};
use crate::deadline::Deadline;

/// A sliding-window rate limiter.
pub struct RateLimiter {
    limit: usize,
    window: Duration,
    refunds: Turnstile<()>,
    charges: Turnstile<()>,
    changed: Notify,
    book: Mutex<Book>,
}

impl std::fmt::Debug for RateLimiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RateLimiter").field("limit", &self.limit).finish_non_exhaustive()
    }
}

struct Book {
    calls: VecDeque<Instant>,
    held: usize,
    waiting_refunds: usize,
    waiting_charges: usize,
    paused_until: Instant,
}

/// `time` after `instant`, or 200 years after it where that is less: the clock can express that.
fn after(instant: Instant, time: Duration) -> Instant {
    instant + time.min(Duration::from_secs(200 * 365 * 86_400))
}

impl Book {
    fn waiting(&mut self, priority: Priority) -> &mut usize {
        match priority {
            Priority::Refund => &mut self.waiting_refunds,
            Priority::Charge => &mut self.waiting_charges,
        }
    }
}

/// Counts a caller as waiting until it is dropped.
struct InLine<'a>(&'a RateLimiter, Priority);

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        *self.0.book().waiting(self.1) -= 1;
        self.0.changed.notify_waiters();
    }
}

impl RateLimiter {
    /// A limiter.
    ///
    /// # Errors
    ///
    /// [`LimiterConfigError::ZeroWindow`].
    pub fn new(limit: NonZeroUsize, window: Duration) -> Result<Self, LimiterConfigError> {
        if window == Duration::ZERO {
            return Err(LimiterConfigError::ZeroWindow);
        }
        Ok(Self {
            limit: limit.get(),
            window,
            refunds: Turnstile::new(()),
            charges: Turnstile::new(()),
            changed: Notify::new(),
            book: Mutex::new(Book {
                calls: VecDeque::new(),
                held: 0,
                waiting_refunds: 0,
                waiting_charges: 0,
                paused_until: Instant::now(),
            }),
        })
    }

    /// The book, without the calls that are too old.
    fn book(&self) -> std::sync::MutexGuard<'_, Book> {
        let mut book = self.book.lock().expect("nothing panics under the lock");
        let now = Instant::now();
        while book.calls.front().is_some_and(|call| now - *call >= self.window) {
            book.calls.pop_front();
        }
        book
    }

    /// When the slot of a caller with `ahead` others before it may become free.
    fn earliest(&self, book: &Book, ahead: usize) -> Instant {
        let (rounds, slot) = (ahead / self.limit, ahead % self.limit);
        let now = Instant::now();
        let free = match slot.checked_sub(self.limit - book.calls.len()) {
            Some(index) => after(book.calls[index], self.window),
            None => now,
        };
        after(free.max(book.paused_until).max(now), self.window.saturating_mul(rounds as u32))
    }

    /// Waits for a slot.
    ///
    /// # Errors
    ///
    /// [`LimitError::WouldMissDeadline`].
    pub async fn acquire(
        &self,
        priority: Priority,
        deadline: Deadline,
    ) -> Result<Permit<'_>, LimitError> {
        let too_late = |at: Instant| {
            let wait = at.saturating_duration_since(Instant::now());
            Err(LimitError::WouldMissDeadline { wait })
        };
        {
            let mut book = self.book();
            let mut ahead = book.waiting_refunds;
            if priority == Priority::Charge {
                ahead += book.waiting_charges;
            }
            let at = self.earliest(&book, ahead);
            if at >= deadline.instant() {
                return too_late(at);
            }
            *book.waiting(priority) += 1;
        }
        let _in_line = InLine(self, priority);
        let turnstile = match priority {
            Priority::Refund => &self.refunds,
            Priority::Charge => &self.charges,
        };
        let Ok(_turn) = timeout_at(deadline.instant(), turnstile.lock()).await else {
            return too_late(self.earliest(&self.book(), 0));
        };
        loop {
            // Before the look at the book, so that no change after it is missed.
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            let wake_at = {
                let mut book = self.book();
                if deadline.is_over() {
                    return too_late(self.earliest(&book, 0));
                }
                let yields = priority == Priority::Charge && book.waiting_refunds > 0;
                let free = book.held + book.calls.len() < self.limit;
                if !yields && free && Instant::now() >= book.paused_until {
                    book.held += 1;
                    return Ok(Permit { limiter: self, used: false });
                }
                let next = book.calls.front().map(|call| after(*call, self.window));
                let next = if free { Some(book.paused_until) } else { next };
                match next {
                    Some(next) if !yields => next.max(book.paused_until).min(deadline.instant()),
                    _ => deadline.instant(),
                }
            };
            tokio::select! {
                () = changed => {}
                () = sleep_until(wake_at) => {}
            }
        }
    }

    /// Waits for a slot and uses it.
    ///
    /// # Errors
    ///
    /// [`LimitError::WouldMissDeadline`].
    pub async fn admit(&self, priority: Priority, deadline: Deadline) -> Result<(), LimitError> {
        self.acquire(priority, deadline).await.map(Permit::used)
    }

    /// Pauses.
    pub fn pause_for(&self, time: Duration) {
        let mut book = self.book();
        book.paused_until = book.paused_until.max(after(Instant::now(), time));
    }

    /// The figures.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let book = self.book();
        Usage {
            in_window: book.calls.len(),
            held: book.held,
            waiting_refunds: book.waiting_refunds,
            waiting_charges: book.waiting_charges,
        }
    }
}

/// A slot held for one call.
#[derive(Debug)]
#[must_use = "a permit that is dropped unused gives its slot back"]
pub struct Permit<'a> {
    limiter: &'a RateLimiter,
    used: bool,
}

impl Permit<'_> {
    /// The call is made now.
    pub fn used(mut self) {
        self.used = true;
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut book = self.limiter.book();
        book.held -= 1;
        if self.used {
            book.calls.push_back(Instant::now());
        }
        drop(book);
        self.limiter.changed.notify_waiters();
    }
}
