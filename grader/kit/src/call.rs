//! Virtual time: how long a call of the learner's code took, or why it gave no answer.
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use grader_protocol::{Diagnosis, Fail, PanicSite};
use tokio::time::{Instant, timeout};

use crate::clock::Clock;
use crate::context::{Patience, Running};
use crate::meter::{MOST_BLOCKED, Reading};
use crate::timeline::Silent;
use crate::{Cx, panics};

/// More virtual time than a call of any exercise needs. A task that ticks every 10 ms costs half a
/// second of real time up to here.
pub const VIRTUAL_LIMIT: Duration = Duration::from_secs(600);

/// Virtual time of a whole criterion: more than five times what the slowest script of a right solution
/// needs. A call that hangs reaches its own limit before.
pub(crate) const CRITERION_LIMIT: Duration = Duration::from_secs(7200);

/// Polls at one instant of virtual time after which a call counts as spinning.
const MOST_POLLS_AT_ONCE: u64 = 20_000;

/// Polls in all; a call that looks every 10 ms makes 6,000 a virtual minute.
const MOST_POLLS: u64 = 50_000;

/// Moments at which something woke up while a call was idle: a far timer moves nearer in fewer steps.
const MOST_MOMENTS: u64 = 100;

/// A call that has ended.
#[derive(Debug)]
pub struct Call<T> {
    /// The value that the call returned.
    pub value: T,
    /// Virtual time from the first poll to the last.
    pub took: Duration,
    /// Spawned tasks that it left alive.
    pub leaked: usize,
    /// How often it was polled.
    pub polls: u64,
}

/// A call that is polled no more: it has its answer, or will have none.
struct Watched<'a> {
    watch: Watch<'a>,
    meter: Reading,
    alive_before: usize,
    /// `None` when its virtual time was over.
    result: Option<Result<(), Diagnosis>>,
    silent: Option<Silent>,
    _patience: Patience,
    _running: Running,
}

/// The figures of a call that has its answer.
struct Ended {
    took: Duration,
    leaked: usize,
    polls: u64,
}

/// What is known of a call while it runs.
struct Watch<'a> {
    clock: &'a Clock,
    start: Instant,
    /// When it began, on the timeline: times in messages are those of the timeline.
    begun: Duration,
    limit: Duration,
    last_poll: Cell<Instant>,
    /// How often the runtime had parked at the last poll.
    parks: Cell<u64>,
    polls: Cell<u64>,
    polls_at_once: Cell<u64>,
}

impl<'a> Watch<'a> {
    /// `begun` is when the call begins, on the timeline.
    fn new(clock: &'a Clock, begun: impl FnOnce(Instant) -> Duration, limit: Duration) -> Self {
        let start = clock.now();
        let begun = begun(start);
        Watch {
            clock,
            start,
            begun,
            limit,
            last_poll: Cell::new(start),
            parks: Cell::new(clock.parks()),
            polls: Cell::default(),
            polls_at_once: Cell::default(),
        }
    }

    /// Counts one poll; says so when there are too many.
    fn poll(&self) -> Result<(), Diagnosis> {
        let now = self.clock.now();
        let at_once = if now == self.last_poll.get() { self.polls_at_once.get() + 1 } else { 0 };
        self.polls_at_once.set(at_once);
        // The limit's own timer polls once more when it fires; that look is not the call's.
        if now < self.start + self.limit {
            self.last_poll.set(now);
            self.parks.set(self.clock.parks());
            self.polls.set(self.polls.get() + 1);
        }
        let since_start = micros(self.begun + (now - self.start));
        if at_once > MOST_POLLS_AT_ONCE {
            return Err(Diagnosis::SpinsWithoutWaiting { at_us: since_start, polls: at_once });
        }
        if self.polls.get() > MOST_POLLS {
            return Err(Diagnosis::PollsForever { polls: self.polls.get(), up_to_us: since_start });
        }
        Ok(())
    }

    /// Why the call reached the limit of virtual time. Idle for half of it or more: nothing wakes it. `silent`
    /// is a call of a fake that does not answer, on purpose, and is still waited for.
    fn overdue(&self, tasks: usize, silent: Option<Silent>) -> Diagnosis {
        let since = self.last_poll.get() - self.start;
        let moments = self.clock.parks() - self.parks.get();
        if self.limit - since >= self.limit / 2 {
            match silent {
                _ if tasks > 0 && moments > MOST_MOMENTS => {
                    Diagnosis::TaskNeverEnds { virtual_s: self.limit.as_secs(), moments }
                }
                Some(Silent { who, since_us }) => {
                    Diagnosis::WaitsForSilence { open: who, since_us }
                }
                None => Diagnosis::NeverWoken { since_us: micros(self.begun + since), tasks },
            }
        } else {
            Diagnosis::StillRunning { virtual_s: self.limit.as_secs(), polls: self.polls.get() }
        }
    }
}

impl Cx {
    /// Runs a future of the learner's code to its end, at most for [`VIRTUAL_LIMIT`].
    ///
    /// `name` is how messages call it: `race::load`.
    ///
    /// # Errors
    ///
    /// A [`Fail`] with a [`Diagnosis`] when it panicked, blocked its thread, moved the clock, or gave no
    /// answer.
    ///
    /// # Cancellation
    ///
    /// Dropping the returned future drops the learner's.
    pub fn call<F: Future>(
        &self,
        name: &str,
        future: F,
    ) -> impl Future<Output = Result<Call<F::Output>, Fail>> {
        self.call_within(VIRTUAL_LIMIT, name, future)
    }

    /// As [`call`](Cx::call), but for at most `limit` of virtual time instead of [`VIRTUAL_LIMIT`]. For what
    /// has to hold for any length of time: hours and days cost nothing, unless something ticks meanwhile.
    ///
    /// # Errors
    ///
    /// As [`call`](Cx::call).
    ///
    /// # Cancellation
    ///
    /// As [`call`](Cx::call).
    pub async fn call_within<F: Future>(
        &self,
        limit: Duration,
        name: &str,
        future: F,
    ) -> Result<Call<F::Output>, Fail> {
        let mut value = None;
        let watched = {
            let mut future = pin!(future);
            let mut poll =
                |cx: &mut Context<'_>| future.as_mut().poll(cx).map(|answer| value = Some(answer));
            self.watched(limit, name, &mut poll).await
        };
        let Ended { took, leaked, polls } = self.ended(name, watched).await?;
        match value {
            Some(value) => Ok(Call { value, took, leaked, polls }),
            None => Err(no_answer(name)),
        }
    }

    /// Polls what `poll` stands for, with a watch over it, until it has its answer or there is no hope for one.
    ///
    /// Not generic, as [`ended`](Cx::ended): the checks of a level make hundreds of calls, and every copy of this
    /// function costs the compiler more than the call itself.
    async fn watched<'a>(
        &'a self,
        limit: Duration,
        name: &str,
        poll: &mut dyn FnMut(&mut Context<'_>) -> Poll<()>,
    ) -> Watched<'a> {
        let patience = self.patience(limit.saturating_sub(VIRTUAL_LIMIT));
        let alive_before = self.alive_tasks();
        let running = self.running(name);
        let meter = self.shared.meter.start();
        let timeline = self.timeline();
        let watch = Watch::new(&self.shared.clock, |start| timeline.since_case(start), limit);
        let watched = poll_fn(|cx| {
            if let Err(diagnosis) = watch.poll() {
                return Poll::Ready(Err(diagnosis));
            }
            let polled = catch_unwind(AssertUnwindSafe(|| poll(cx)));
            if let Some(diagnosis) = watch.clock.look() {
                return Poll::Ready(Err(diagnosis));
            }
            match polled {
                Ok(poll) => poll.map(Ok),
                Err(_) => Poll::Ready(Err(Diagnosis::Panicked)),
            }
        });
        let result = timeout(limit, watched).await.ok();
        // Before the future is dropped, and with it what it waits for.
        let silent = self.timeline().first_silent();
        Watched {
            watch,
            meter,
            alive_before,
            result,
            silent,
            _patience: patience,
            _running: running,
        }
    }

    /// A call without a future of its own.
    async fn once(
        &self,
        name: &str,
        poll: &mut dyn FnMut(&mut Context<'_>) -> Poll<()>,
    ) -> Result<Ended, Fail> {
        let watched = self.watched(VIRTUAL_LIMIT, name, poll).await;
        self.ended(name, watched).await
    }

    /// The outcome of a call whose future is dropped.
    async fn ended(&self, name: &str, watched: Watched<'_>) -> Result<Ended, Fail> {
        let Watched { watch, meter, alive_before, result, silent, _patience, _running } = watched;
        let took = self.shared.clock.since(watch.start);
        self.shared.virtual_time.set(self.shared.virtual_time.get() + took);
        let blocked = self.shared.meter.blocked_since(&meter);
        let panics = panics::take();

        // Tasks that have ended, or were aborted, need a turn to be counted out.
        for _ in 0..64 {
            if self.alive_tasks() <= alive_before {
                break;
            }
            tokio::task::yield_now().await;
        }
        let leaked = self.alive_tasks().saturating_sub(alive_before);

        if blocked > MOST_BLOCKED {
            let real_ms = u64::try_from(blocked.as_millis()).unwrap_or(u64::MAX);
            return Err(Fail::diagnosed(name, Diagnosis::BlocksThread { real_ms }));
        }
        // Also what a spawned task did meanwhile.
        if let Some(diagnosis) = self.shared.clock.look() {
            return Err(Fail::diagnosed(name, diagnosis));
        }
        let diagnosis = match result {
            Some(Ok(())) => {
                self.contained(name, panics);
                return Ok(Ended { took, leaked, polls: watch.polls.get() });
            }
            Some(Err(Diagnosis::Panicked)) if panics.first().is_some_and(panics::is_todo) => {
                Diagnosis::NotStarted
            }
            Some(Err(Diagnosis::Panicked)) if panics.iter().any(PanicSite::is_refused_thread) => {
                Diagnosis::ThreadRefused
            }
            Some(Err(diagnosis)) => diagnosis,
            // A spawned task that is still `todo!()` leaves its caller waiting.
            None if panics.iter().any(panics::is_todo) => Diagnosis::NotStarted,
            None => watch.overdue(leaked, silent),
        };
        Err(Fail { panics: panics::cause_first(panics), ..Fail::diagnosed(name, diagnosis) })
    }

    /// Runs a plain function of the learner's code: the same watch over panics and blocking.
    ///
    /// # Errors
    ///
    /// As [`call`](Cx::call).
    pub async fn call_fn<T>(&self, name: &str, function: impl FnOnce() -> T) -> Result<T, Fail> {
        let mut value = None;
        let mut function = Some(function);
        let mut poll = |_: &mut Context<'_>| {
            value = function.take().map(|function| function());
            Poll::Ready(())
        };
        self.once(name, &mut poll).await?;
        match value {
            Some(value) => Ok(value),
            None => Err(no_answer(name)),
        }
    }
}

/// A call that has ended well has its value, so this is a fault of the kit.
fn no_answer(name: &str) -> Fail {
    let why = format!("{name} ended, and its answer is not there");
    Fail::diagnosed("the criterion", Diagnosis::NotJudged { why })
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
