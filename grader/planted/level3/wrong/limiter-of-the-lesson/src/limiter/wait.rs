//! The limiter of the lesson.

use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{LimiterConfigError, LimitError, Priority, Usage};
use crate::deadline::Deadline;

/// A rate limiter.
#[derive(Debug)]
pub struct RateLimiter {
    max: usize,
    window: Duration,
    requests: Mutex<Vec<Instant>>,
}

impl RateLimiter {
    /// A limiter.
    ///
    /// # Errors
    ///
    /// Never.
    pub fn new(limit: NonZeroUsize, window: Duration) -> Result<Self, LimiterConfigError> {
        Ok(Self { max: limit.get(), window, requests: Mutex::default() })
    }

    /// Waits for a slot.
    ///
    /// # Errors
    ///
    /// Never.
    pub async fn acquire(
        &self,
        _priority: Priority,
        _deadline: Deadline,
    ) -> Result<Permit<'_>, LimitError> {
        loop {
            let wait = {
                let mut requests = self.requests.lock().expect("nothing panics under the lock");
                let now = Instant::now();
                requests.retain(|time| now - *time < self.window);
                match requests.first() {
                    Some(oldest) if requests.len() >= self.max => self.window - (now - *oldest),
                    _ => {
                        requests.push(now);
                        return Ok(Permit { limiter: self });
                    }
                }
            };
            sleep(wait + Duration::from_millis(10)).await;
        }
    }

    /// Waits for a slot.
    ///
    /// # Errors
    ///
    /// Never.
    pub async fn admit(&self, priority: Priority, deadline: Deadline) -> Result<(), LimitError> {
        self.acquire(priority, deadline).await.map(Permit::used)
    }

    /// Does nothing.
    pub fn pause_for(&self, _time: Duration) {}

    /// The figures.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let requests = self.requests.lock().expect("nothing panics under the lock");
        Usage { in_window: requests.len(), held: 0, waiting_refunds: 0, waiting_charges: 0 }
    }
}

/// A slot.
#[derive(Debug)]
pub struct Permit<'a> {
    #[expect(dead_code, reason = "nothing is released")]
    limiter: &'a RateLimiter,
}

impl Permit<'_> {
    /// The call is made.
    pub fn used(self) {}
}
