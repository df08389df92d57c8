//! A provider behind a limiter, called as soon as the limiter allows it.

use std::cell::RefCell;
use std::time::Duration;

use futures::future::join_all;
use grader_kit::{Cx, Fail, ms};
use level3::deadline::Deadline;
use level3::limiter::{LimitError, Permit, Priority, RateLimiter};
use tokio::time::{Instant, sleep};

use crate::parts::nzu;

pub const NAME: &str = "RateLimiter::acquire";

pub fn limiter(limit: usize, window: u64) -> Result<RateLimiter, Fail> {
    RateLimiter::new(nzu(limit), ms(window)).map_err(|error| {
        Fail::new("RateLimiter::new refuses a valid limit").observed(error.to_string())
    })
}

/// The wait that a refusal names.
pub const fn wait_of(error: LimitError) -> Duration {
    let LimitError::WouldMissDeadline { wait } = error;
    wait
}

/// What a caller got, as a message shows it.
pub fn told(got: Result<(), Duration>) -> String {
    match got {
        Ok(()) => "served".to_owned(),
        Err(wait) => format!("refused, with a wait of {} ms", wait.as_millis()),
    }
}

/// A provider that is called as soon as the limiter allows it.
pub struct Bench {
    pub cx: Cx,
    pub limiter: RateLimiter,
    pub window: u64,
    began: Instant,
    // Who called, and in which millisecond.
    wire: RefCell<Vec<(&'static str, u64)>>,
}

impl Bench {
    /// `limit` calls a second.
    pub fn new(cx: &Cx, limit: usize) -> Result<Self, Fail> {
        Self::with(cx, limit, 1000)
    }

    pub fn with(cx: &Cx, limit: usize, window: u64) -> Result<Self, Fail> {
        // A failure shows the scene of its own limiter, and its times count from here, as those of the messages do.
        cx.timeline().restart();
        Ok(Self {
            cx: cx.clone(),
            limiter: limiter(limit, window)?,
            window,
            began: Instant::now(),
            wire: RefCell::default(),
        })
    }

    pub fn now(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    /// A call is made now.
    pub fn calls(&self, who: &'static str, permit: Permit<'_>) {
        permit.used();
        self.wire.borrow_mut().push((who, self.now()));
        self.cx.timeline().record("provider", format!("is called by {who}"));
    }

    /// Waits for a slot and makes a call.
    pub async fn go(
        &self,
        who: &'static str,
        priority: Priority,
        deadline: Deadline,
    ) -> Result<(), LimitError> {
        let permit = self.limiter.acquire(priority, deadline).await?;
        self.calls(who, permit);
        Ok(())
    }

    /// `count` calls that come together.
    pub async fn crowd(&self, count: usize) -> Result<(), Fail> {
        self.crowd_of(count, "a charge").await
    }

    pub async fn crowd_of(&self, count: usize, who: &'static str) -> Result<(), Fail> {
        let calls = (0..count).map(|_| self.go(who, Priority::Charge, Deadline::never()));
        let done = self.cx.call(NAME, join_all(calls)).await?.value;
        match done.into_iter().find_map(Result::err) {
            None => Ok(()),
            Some(error) => {
                Err(Fail::new("a call without a deadline was refused").observed(error.to_string()))
            }
        }
    }

    /// Callers that come at these instants, which rise. Their deadlines are `patience` milliseconds later, and those that
    /// are refused by them make no call. Ends with the last of them.
    pub async fn calls_at(&self, times: &[u64], patience: Option<u64>) -> Result<(), Fail> {
        let now = self.now();
        let calls = times.iter().map(|at| async move {
            sleep(ms(at.saturating_sub(now))).await;
            let deadline = patience.map_or(Deadline::never(), |time| Deadline::after(ms(time)));
            self.go("a charge", Priority::Charge, deadline).await
        });
        let done = self.cx.call(NAME, join_all(calls)).await?.value;
        match done.into_iter().find_map(Result::err) {
            Some(error) if patience.is_none() => {
                Err(Fail::new("a call without a deadline was refused").observed(error.to_string()))
            }
            _ => Ok(()),
        }
    }

    /// A permit that is there at once.
    pub async fn permit(&self) -> Result<Permit<'_>, Fail> {
        let call = self.limiter.acquire(Priority::Charge, Deadline::never());
        let call = self.cx.call(NAME, call).await?;
        call.value.map_err(|_| Fail::new("a free slot was refused"))
    }

    /// When the calls were made, in order.
    pub fn instants(&self) -> Vec<u64> {
        let mut instants: Vec<u64> = self.wire.borrow().iter().map(|(_, at)| *at).collect();
        instants.sort_unstable();
        instants
    }

    /// When the calls of one caller were made.
    pub fn instants_of(&self, who: &str) -> Vec<u64> {
        self.wire.borrow().iter().filter(|(name, _)| *name == who).map(|(_, at)| *at).collect()
    }

    pub fn callers(&self) -> Vec<&'static str> {
        self.wire.borrow().iter().map(|(who, _)| *who).collect()
    }

    /// The most calls in any window that begins with a call, and when that is.
    pub fn most_in_a_window(&self) -> (usize, u64) {
        let instants = self.instants();
        let count = |from: u64| {
            instants.iter().filter(|at| (from..from + self.window).contains(*at)).count()
        };
        instants
            .iter()
            .map(|&from| (count(from), from))
            .max_by_key(|(count, _)| *count)
            .unwrap_or_default()
    }
}
