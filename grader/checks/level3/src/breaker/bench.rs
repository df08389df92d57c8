//! A dependency behind a breaker.

use std::cell::Cell;
use std::time::Duration;

use grader_kit::{Cx, Fail, ms};
use level3::breaker::{BreakerConfig, BreakerError, CircuitBreaker, Trip};
use tokio::time::{Instant, sleep};

use crate::parts::{nz, nzu};

pub const NAME: &str = "CircuitBreaker::call";

/// What a dependency answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// It is down: a failure.
    Down,
    /// The card was declined: nothing that the breaker minds.
    Declined,
}

pub type Breaker = CircuitBreaker<Trouble>;

pub fn is_failure(trouble: &Trouble) -> bool {
    *trouble == Trouble::Down
}

/// What a call got, taken apart: a comparison of the learner's own could lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Got {
    Success,
    Failed(Trouble),
    /// Refused, with the time to wait.
    Refused(Duration),
}

impl Got {
    pub fn of(ended: Result<(), BreakerError<Trouble>>) -> Self {
        match ended {
            Ok(()) => Self::Success,
            Err(BreakerError::Inner(trouble)) => Self::Failed(trouble),
            Err(BreakerError::Open { retry_after }) => Self::Refused(retry_after),
        }
    }
}

/// The figures of a breaker.
#[derive(Debug, Clone, Copy)]
pub struct Figures {
    /// In a row, or within the window.
    pub failures: u32,
    pub window: Option<u64>,
    pub reset: u64,
    pub probes: usize,
    pub successes: u32,
}

/// 5 in a row, 60 s, one probe at a time, 2 successes.
pub const ASSIGNED: Figures =
    Figures { failures: 5, window: None, reset: 60_000, probes: 1, successes: 2 };

impl Figures {
    /// Those of the assignment, and others: a breaker is for more than one dependency.
    pub fn some(cx: &Cx) -> [Self; 2] {
        let mut draw = cx.draw();
        let drawn = Self {
            failures: draw.between(3..=9) as u32,
            window: None,
            reset: draw.between(1_000..=90_000),
            probes: 1,
            successes: draw.between(2..=5) as u32,
        };
        [ASSIGNED, drawn]
    }

    /// And one that is open for less than a second.
    pub fn some_and_a_short_one(cx: &Cx) -> [Self; 3] {
        let [assigned, drawn] = Self::some(cx);
        // Divided by four.
        let reset = 4 * cx.draw().between(1..=200);
        [assigned, drawn, Self { reset, ..drawn }]
    }

    pub fn config(self) -> BreakerConfig<Trouble> {
        let failures = nz(self.failures);
        BreakerConfig {
            trip: match self.window {
                None => Trip::Consecutive(failures),
                Some(window) => Trip::InWindow { failures, window: ms(window) },
            },
            reset_timeout: ms(self.reset),
            probes: nzu(self.probes),
            successes_to_close: nz(self.successes),
            is_failure,
        }
    }
}

pub fn made(config: BreakerConfig<Trouble>) -> Result<Breaker, Fail> {
    CircuitBreaker::new("payments", config).map_err(|error| {
        Fail::new("CircuitBreaker::new refuses a valid configuration").observed(error.to_string())
    })
}

/// A dependency behind a breaker.
pub struct Bench {
    pub cx: Cx,
    pub breaker: Breaker,
    pub figures: Figures,
    pub calls: Cell<u32>,
    pub began: Instant,
}

impl Bench {
    pub fn new(cx: &Cx, figures: Figures) -> Result<Self, Fail> {
        // A failure shows the scene of its own breaker.
        cx.timeline().restart();
        let breaker = made(figures.config())?;
        Ok(Self { cx: cx.clone(), breaker, figures, calls: Cell::new(0), began: Instant::now() })
    }

    /// A breaker that failures have opened.
    pub async fn opened(cx: &Cx, figures: Figures) -> Result<Self, Fail> {
        let bench = Self::new(cx, figures)?;
        bench.trip().await?;
        Ok(bench)
    }

    /// A breaker that is half-open.
    pub async fn half_open(cx: &Cx, figures: Figures) -> Result<Self, Fail> {
        let bench = Self::opened(cx, figures).await?;
        bench.reset().await;
        Ok(bench)
    }

    /// One failure in a row more than it takes, since how many exactly is a criterion of its own.
    pub async fn trip(&self) -> Result<(), Fail> {
        for _ in 0..=self.figures.failures {
            let _ = self.end(Err(Trouble::Down)).await?;
        }
        Ok(())
    }

    /// Until it has been open for its time; at which instant exactly is a criterion of its own.
    pub async fn reset(&self) {
        sleep(ms(self.figures.reset + 1)).await;
    }

    /// One call that ends at once.
    pub async fn end(&self, answer: Result<(), Trouble>) -> Result<Got, Fail> {
        self.slow(0, answer).await
    }

    /// One call that ends after `length` milliseconds.
    pub async fn slow(&self, length: u64, answer: Result<(), Trouble>) -> Result<Got, Fail> {
        let call = self.breaker.call(|| async {
            self.calls.set(self.calls.get() + 1);
            self.cx.timeline().record("dependency", "called");
            let called_at = self.now();
            if length > 0 {
                sleep(ms(length)).await;
            }
            let says = match answer {
                Ok(()) => "answers",
                Err(Trouble::Down) => "fails",
                Err(Trouble::Declined) => "declines",
            };
            let which = match length {
                0 => String::new(),
                _ => format!(", called at {called_at} ms"),
            };
            self.cx.timeline().record("dependency", format!("{says}{which}"));
            answer
        });
        let got = Got::of(self.cx.call(NAME, call).await?.value);
        if let Got::Refused(retry_after) = got {
            let wait = retry_after.as_millis();
            self.cx.timeline().record("breaker", format!("refuses, for another {wait} ms"));
        }
        Ok(got)
    }

    /// Milliseconds since it was made, as in the timeline.
    pub fn now(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    /// What a call got, and the state now, as a message shows them.
    pub fn told(&self, got: Got) -> String {
        let got = match got {
            Got::Success => "the call succeeds".to_owned(),
            Got::Failed(trouble) => format!("the call fails with {trouble:?}"),
            Got::Refused(wait) => {
                format!("the call is refused, with a retry_after of {} ms", wait.as_millis())
            }
        };
        format!("{got}; state() says {:?}", self.breaker.state())
    }

    /// Whether a call that would succeed is let through.
    pub async fn lets_through(&self) -> Result<bool, Fail> {
        let before = self.calls.get();
        let _ = self.end(Ok(())).await?;
        Ok(self.calls.get() > before)
    }
}
