//! The decisions of a breaker: a state machine without a clock, a lock or a future.
//!
//! Every change of state begins a new *generation*. A call carries the generation in which it was
//! admitted, and its outcome counts in that generation only: a result from before the trip says nothing
//! about the dependency now.
//!
//! ```text
//!             the failure that trips it
//!   closed ------------------------------> open <-----+
//!     ^                                      |        |
//!     | enough successes       reset timeout |        | a failure
//!     |                                      v        |
//!     +---------------------------------- half-open --+
//! ```

use std::collections::VecDeque;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use tokio::time::Instant;

use super::{State, Transition, Trip};

/// The part of the configuration that the state machine needs. The rest of it, the classifier of
/// errors, has the type of the operation's error, which the state machine does not depend on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub(super) trip: Trip,
    pub(super) reset_timeout: Duration,
    pub(super) probes: NonZeroUsize,
    pub(super) successes_to_close: NonZeroU32,
}

/// What the end of a call says about the dependency. It has fewer variants than the wrapper's `Ending`,
/// which also keeps apart the endings that decide nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CallOutcome {
    Success,
    Failure,
    /// Nothing: a business error, a panic, or a caller that dropped the call.
    Ignored,
}

/// The generation in which a call was admitted. The wrapper keeps it while the call runs and returns it
/// with the call's outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket(u64);

/// A state, together with what is only known in that state. A breaker that is open has no count of
/// successes, so there is no variable in which an old count could survive.
#[derive(Debug)]
enum Phase {
    Closed(Failures),
    /// Since when. The end is computed from it on demand: no timer runs.
    Open {
        since: Instant,
    },
    /// How many probes run now, and how many have succeeded since the breaker became half-open.
    HalfOpen {
        probing: usize,
        successes: u32,
    },
}

/// The failures that count towards the trip: one variant for each variant of [`Trip`].
#[derive(Debug)]
enum Failures {
    /// How many there were since the last success.
    Streak(u32),
    /// When they happened, oldest first. Never more instants than trip the breaker, so its memory is
    /// bounded by the configuration and not by the load.
    Recent(VecDeque<Instant>),
}

/// The state machine. It has no lock: every method that changes it takes `&mut self`, and the wrapper's
/// lock makes each of them one step.
#[derive(Debug)]
pub(super) struct Core {
    /// Never changes, so that the variant of `Failures` always fits the trip.
    rules: Rules,
    /// Changed by `enter` alone.
    phase: Phase,
    /// Rises by one with every change of state. [`Core::settle`] compares it with the ticket's.
    generation: u64,
    /// When the breaker opened last. It outlives the open phase: a snapshot reports it in every state.
    opened_at: Option<Instant>,
    /// Changes of state that no listener has been notified of yet, oldest first. They are collected
    /// here because notifying runs foreign code, which must not happen under the wrapper's lock.
    pending: VecDeque<Transition>,
}

impl Core {
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            rules,
            phase: Phase::Closed(Failures::none(rules.trip)),
            generation: 0,
            opened_at: None,
            pending: VecDeque::new(),
        }
    }

    /// Returns the state at `now`.
    ///
    /// Time alone makes open half-open. No timer does that: the first look at the state after the reset
    /// timeout makes the change, here. `admit` looks too, so a call cannot miss it.
    pub(super) fn state(&mut self, now: Instant) -> State {
        // `>=`: the breaker is half-open from exactly this age on. With `>` a caller that waits as long as
        // `retry_after` says, and not a tick longer, is refused once more.
        if let Phase::Open { since } = self.phase
            && now.saturating_duration_since(since) >= self.rules.reset_timeout
        {
            self.enter(Phase::HalfOpen { probing: 0, successes: 0 }, now);
        }
        self.phase.state()
    }

    /// Admits a call, or returns the time until one may be admitted.
    pub(super) fn admit(&mut self, now: Instant) -> Result<Ticket, Duration> {
        // First, since the reset timeout may have passed: then this very call is the first probe.
        self.state(now);
        match &mut self.phase {
            // Not counted: a closed breaker admits any number of calls at a time.
            Phase::Closed(_) => {}
            // The place is taken now and not when the operation begins: the next call may be admitted before
            // this one runs, and has to find the place taken.
            Phase::HalfOpen { probing, .. } if *probing < self.rules.probes.get() => *probing += 1,
            // No clock knows when a probe ends. Zero would make a caller that obeys it spin. If the probe
            // fails now, the breaker stays open for this time.
            Phase::HalfOpen { .. } => return Err(self.rules.reset_timeout),
            Phase::Open { .. } => return Err(self.retry_after(now)),
        }
        // Read last: `state` above may have begun a new generation. A ticket of the old one would be
        // ignored when the probe ends, and the probe's place would stay taken.
        Ok(Ticket(self.generation))
    }

    /// Takes the outcome of the call that was admitted with `ticket`. There has to be exactly one
    /// outcome for each ticket: without it the place of a probe is lost, and with two of them
    /// `probing` drops below the number of probes that run.
    pub(super) fn settle(&mut self, ticket: Ticket, outcome: CallOutcome, now: Instant) {
        // The state has changed since the call was admitted. A failure from before the trip must not
        // reopen a half-open breaker, and a success from before must not help to close it. The place
        // of a probe needs no release either: entering a state starts with none taken.
        if ticket.0 != self.generation {
            return;
        }
        match &mut self.phase {
            Phase::Closed(failures) => match outcome {
                // The guard counts: `add` runs for each failure, and returns whether it trips the breaker.
                CallOutcome::Success => failures.reset(),
                CallOutcome::Failure if failures.add(self.rules.trip, now) => self.open(now),
                CallOutcome::Failure | CallOutcome::Ignored => {}
            },
            Phase::HalfOpen { probing, successes } => {
                // Release the place first, whatever the outcome. A probe that decides nothing and
                // kept its place would leave the breaker half-open, with no probe to end that.
                *probing -= 1;
                match outcome {
                    CallOutcome::Success => {
                        *successes += 1;
                        // Other probes may still run. Closing ends their generation, so a slow probe that
                        // fails later does not count against the breaker that has closed meanwhile.
                        if *successes >= self.rules.successes_to_close.get() {
                            self.enter(Phase::Closed(Failures::none(self.rules.trip)), now);
                        }
                    }
                    // One is enough, whatever succeeded before: the successes end with the phase, and the
                    // next half-open phase counts from zero.
                    CallOutcome::Failure => self.open(now),
                    CallOutcome::Ignored => {}
                }
            }
            // No call is admitted while the breaker is open, so no ticket has this generation.
            Phase::Open { .. } => {}
        }
    }

    /// Returns the time until the breaker is half-open; zero unless it is open.
    pub(super) fn retry_after(&self, now: Instant) -> Duration {
        match self.phase {
            // Saturating, since this method changes no state: at a `now` after the end of the timeout the
            // phase is still open if `state` has not looked.
            Phase::Open { since } => {
                self.rules.reset_timeout.saturating_sub(now.saturating_duration_since(since))
            }
            _ => Duration::ZERO,
        }
    }

    /// Returns the number of failures that count towards the trip at `now`; zero unless closed.
    pub(super) fn failures(&self, now: Instant) -> u32 {
        match &self.phase {
            Phase::Closed(failures) => failures.count(self.rules.trip, now),
            _ => 0,
        }
    }

    pub(super) fn opened_at(&self) -> Option<Instant> {
        self.opened_at
    }

    pub(super) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Takes the oldest change of state that has not been notified of.
    pub(super) fn next_pending(&mut self) -> Option<Transition> {
        self.pending.pop_front()
    }

    fn open(&mut self, now: Instant) {
        self.opened_at = Some(now);
        self.enter(Phase::Open { since: now }, now);
    }

    /// The only place where the phase changes, so that no change forgets the generation or the
    /// listeners.
    fn enter(&mut self, phase: Phase, now: Instant) {
        let from = self.phase.state();
        // The old phase is dropped with everything that was known in it: failures, places, successes.
        self.phase = phase;
        self.generation += 1;
        // Grows only while a listener runs. Three changes at most fall into one reset timeout, because
        // every way from one open phase to the next lasts at least that long.
        self.pending.push_back(Transition { from, to: self.phase.state(), at: now });
    }
}

impl Phase {
    const fn state(&self) -> State {
        match self {
            Self::Closed(_) => State::Closed,
            Self::Open { .. } => State::Open,
            Self::HalfOpen { .. } => State::HalfOpen,
        }
    }
}

impl Failures {
    const fn none(trip: Trip) -> Self {
        match trip {
            Trip::Consecutive(_) => Self::Streak(0),
            Trip::InWindow { .. } => Self::Recent(VecDeque::new()),
        }
    }

    /// A success ends a streak. Failures within a window count until they are too old, whatever
    /// succeeded in between.
    const fn reset(&mut self) {
        if let Self::Streak(count) = self {
            *count = 0;
        }
    }

    /// Counts a failure. True if it is the one that trips the breaker.
    fn add(&mut self, trip: Trip, now: Instant) -> bool {
        match (self, trip) {
            (Self::Streak(count), Trip::Consecutive(most)) => {
                // Cannot overflow: at `most` the breaker opens, and the count is dropped with the phase.
                *count += 1;
                *count >= most.get()
            }
            (Self::Recent(times), Trip::InWindow { failures, window }) => {
                // Drop the old ones before counting. Each instant is pushed once and popped once, so
                // this takes constant time on average.
                while times.front().is_some_and(|&then| !is_fresh(then, window, now)) {
                    times.pop_front();
                }
                // `now` is not before the last instant: the wrapper reads the clock under its lock. The
                // list is therefore in order, and only its front can be too old.
                times.push_back(now);
                times.len() >= failures.get() as usize
            }
            // The rules never change, and `none` made the variant that fits them.
            _ => unreachable!("failures are counted in the way of the trip"),
        }
    }

    /// How many count at `now`. Reading drops nothing, so it needs no `&mut` and filters instead.
    fn count(&self, trip: Trip, now: Instant) -> u32 {
        match (self, trip) {
            (Self::Streak(count), _) => *count,
            (Self::Recent(times), Trip::InWindow { window, .. }) => {
                let fresh = times.iter().filter(|&&then| is_fresh(then, window, now)).count();
                u32::try_from(fresh).unwrap_or(u32::MAX)
            }
            // Cannot occur, as in `add`. A figure for a display is no reason to panic.
            (Self::Recent(_), Trip::Consecutive(_)) => 0,
        }
    }
}

/// A failure counts while its age is below the window: one that is exactly a window old does not.
fn is_fresh(then: Instant, window: Duration, now: Instant) -> bool {
    now.saturating_duration_since(then) < window
}

#[cfg(test)]
mod tests;
