//! The decisions of a breaker: a state machine without a clock, a lock or a future.
//!
//! Every change of state begins a new *generation*. A call carries the generation in which it was let
//! in, and its outcome counts in that generation only: what a call from before the trip comes back with
//! says nothing about the dependency now.

use std::collections::VecDeque;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use tokio::time::Instant;

use super::{State, Transition, Trip};

/// The part of the configuration that decides.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub(super) trip: Trip,
    pub(super) reset_timeout: Duration,
    pub(super) probes: NonZeroUsize,
    pub(super) successes_to_close: NonZeroU32,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CallOutcome {
    Success,
    Failure,
    /// Neither: a business error, a panic, or a caller that went away.
    Ignored,
}

/// The generation in which a call was let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket(pub(super) u64);

#[derive(Debug)]
enum Phase {
    Closed(Failures),
    Open { since: Instant },
    HalfOpen { probing: usize, successes: u32 },
}

/// The failures that count towards the trip.
#[derive(Debug)]
enum Failures {
    InARow(u32),
    // Never more instants than trip the breaker.
    At(VecDeque<Instant>),
}

#[derive(Debug)]
pub(super) struct Core {
    rules: Rules,
    phase: Phase,
    generation: u64,
    opened_at: Option<Instant>,
    // Changes that no listener has been notified of yet.
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

    /// The state at `now`: time alone makes open half-open.
    pub(super) fn state(&mut self, now: Instant) -> State {
        if let Phase::Open { since } = self.phase
            && now.saturating_duration_since(since) >= self.rules.reset_timeout
        {
            self.enter(Phase::HalfOpen { probing: 0, successes: 0 }, now);
        }
        self.phase.state()
    }

    /// Lets a call in, or says how long it has to stay out.
    pub(super) fn admit(&mut self, now: Instant) -> Result<Ticket, Duration> {
        self.state(now);
        match &mut self.phase {
            Phase::Closed(_) => {}
            Phase::HalfOpen { probing, .. } if *probing < self.rules.probes.get() => *probing += 1,
            Phase::HalfOpen { .. } => return Err(self.rules.reset_timeout),
            Phase::Open { .. } => return Err(self.retry_after(now)),
        }
        Ok(Ticket(self.generation))
    }

    /// Takes the outcome of a call that was let in with `ticket`. Exactly one outcome per ticket.
    pub(super) fn settle(&mut self, ticket: Ticket, outcome: CallOutcome, now: Instant) {
        if ticket.0 != self.generation {
            return;
        }
        match &mut self.phase {
            Phase::Closed(failures) => match outcome {
                CallOutcome::Success => failures.reset(),
                CallOutcome::Failure if failures.add(self.rules.trip, now) => self.open(now),
                CallOutcome::Failure | CallOutcome::Ignored => {}
            },
            Phase::HalfOpen { probing, successes } => {
                // First of all, whatever the outcome: a probe that decides nothing must not keep its
                // place, or the breaker stays half-open.
                *probing -= 1;
                match outcome {
                    CallOutcome::Success => {
                        *successes += 1;
                        if *successes >= self.rules.successes_to_close.get() {
                            self.enter(Phase::Closed(Failures::none(self.rules.trip)), now);
                        }
                    }
                    CallOutcome::Failure => self.open(now),
                    CallOutcome::Ignored => {}
                }
            }
            // No call is admitted while it is open, so no ticket has this generation.
            Phase::Open { .. } => {}
        }
    }

    /// The time until it is half-open; zero unless open.
    pub(super) fn retry_after(&self, now: Instant) -> Duration {
        match self.phase {
            Phase::Open { since } => {
                self.rules.reset_timeout.saturating_sub(now.saturating_duration_since(since))
            }
            _ => Duration::ZERO,
        }
    }

    /// The failures that count towards the trip at `now`.
    pub(super) fn failures(&self, now: Instant) -> u32 {
        match &self.phase {
            Phase::Closed(failures) => failures.count(self.rules.trip, now),
            _ => 0,
        }
    }

    pub(super) fn opened_at(&self) -> Option<Instant> {
        self.opened_at
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed(_))
    }

    /// Whether a success would change anything while closed.
    pub(super) fn has_streak(&self) -> bool {
        matches!(self.phase, Phase::Closed(Failures::InARow(1..)))
    }

    pub(super) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    pub(super) fn take_pending(&mut self) -> Option<Transition> {
        self.pending.pop_front()
    }

    fn open(&mut self, now: Instant) {
        self.opened_at = Some(now);
        self.enter(Phase::Open { since: now }, now);
    }

    fn enter(&mut self, phase: Phase, now: Instant) {
        let from = self.phase.state();
        self.phase = phase;
        self.generation += 1;
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
            Trip::Consecutive(_) => Self::InARow(0),
            Trip::InWindow { .. } => Self::At(VecDeque::new()),
        }
    }

    /// A success ends a row of failures. What happened within a window stays there.
    const fn reset(&mut self) {
        if let Self::InARow(count) = self {
            *count = 0;
        }
    }

    /// Counts a failure; true if it is the one that trips the breaker.
    fn add(&mut self, trip: Trip, now: Instant) -> bool {
        match (self, trip) {
            (Self::InARow(count), Trip::Consecutive(most)) => {
                *count += 1;
                *count >= most.get()
            }
            (Self::At(times), Trip::InWindow { failures, window }) => {
                while times.front().is_some_and(|&then| !is_fresh(then, window, now)) {
                    times.pop_front();
                }
                times.push_back(now);
                times.len() >= failures.get() as usize
            }
            // The rules never change, and `none` made the variant that fits them.
            _ => unreachable!("failures are counted in the way of the trip"),
        }
    }

    fn count(&self, trip: Trip, now: Instant) -> u32 {
        match (self, trip) {
            (Self::InARow(count), _) => *count,
            (Self::At(times), Trip::InWindow { window, .. }) => {
                let fresh = times.iter().filter(|&&then| is_fresh(then, window, now)).count();
                u32::try_from(fresh).unwrap_or(u32::MAX)
            }
            (Self::At(_), Trip::Consecutive(_)) => 0,
        }
    }
}

fn is_fresh(then: Instant, window: Duration, now: Instant) -> bool {
    now.saturating_duration_since(then) < window
}
