//! Which payments are admitted: the places, and what is known of the services' load.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::config::GatewayConfig;
use crate::overload::{Backlog, ConcurrencyLimit, Source};

/// The calls that a payment makes of the provider when nothing fails: create and confirm.
const CALLS_OF_A_PAYMENT: u32 = 2;

/// Decides about new payments, and learns from those under way.
#[derive(Debug)]
pub(super) struct Admission {
    max_in_flight: u32,
    // One permit for each payment that was let in, until its last undo is done or its receipt has a
    // permit of its own. In an `Arc`, since an owned permit goes from task to task.
    places: Arc<Semaphore>,
    // Both under one lock, since a payment needs both. A standard mutex: it is held for some arithmetic
    // and never across an await.
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    backlog: Backlog,
    concurrency: ConcurrencyLimit,
    /// How long the latest payment took. After that time, those under way now are over.
    took: Duration,
}

impl Admission {
    pub(super) fn new(config: &GatewayConfig) -> Self {
        let (now, max) = (Instant::now(), config.max_in_flight);
        // What the account takes in one window is as good a guess as any for what the rest takes.
        let first = u32::try_from(config.rate.get()).unwrap_or(u32::MAX) / CALLS_OF_A_PAYMENT;
        Self {
            max_in_flight: max,
            places: Arc::new(Semaphore::new(max as usize)),
            state: Mutex::new(State {
                backlog: Backlog::new(config.rate, config.rate_window, config.max_backlog, now),
                concurrency: ConcurrencyLimit::new(first, max, now),
                took: config.total / 10,
            }),
        }
    }

    /// Admits a payment: every call that it needs is promised, and it has a place until the permit is
    /// dropped.
    ///
    /// # Errors
    ///
    /// When to ask again.
    pub(super) fn admit(&self) -> Result<OwnedSemaphorePermit, Duration> {
        let mut state = self.lock();
        if let Some(retry_after) = self.refusal_of(&mut state) {
            return Err(retry_after);
        }
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return Err(state.took);
        };
        state.backlog.promise(CALLS_OF_A_PAYMENT, Instant::now())?;
        Ok(place)
    }

    /// When to ask again, if a payment would be refused now. Cheap, since under overload most are.
    pub(super) fn refusal(&self) -> Option<Duration> {
        self.refusal_of(&mut self.lock())
    }

    fn refusal_of(&self, state: &mut State) -> Option<Duration> {
        let in_flight = self.in_flight();
        if in_flight >= self.max_in_flight || !state.concurrency.admits(in_flight) {
            return Some(state.took);
        }
        let wait = state.backlog.wait_for(CALLS_OF_A_PAYMENT, Instant::now());
        (!wait.is_zero()).then_some(wait)
    }

    /// The calls that were promised to a payment that is not begun after all.
    pub(super) fn give_all_back(&self) {
        self.give_back(CALLS_OF_A_PAYMENT);
    }

    /// Promised calls that a payment does not need any more.
    pub(super) fn give_back(&self, calls: u32) {
        self.lock().backlog.give_back(calls, Instant::now());
    }

    /// A payment is taken over, which was admitted elsewhere: its calls are made in any case.
    pub(super) fn take_over(&self) {
        self.add(CALLS_OF_A_PAYMENT);
    }

    /// Calls that were not promised.
    pub(super) fn add(&self, calls: u32) {
        self.lock().backlog.add(calls, Instant::now());
    }

    /// The provider asked for a pause.
    pub(super) fn pause_for(&self, time: Duration) {
        self.lock().backlog.pause_for(time, Instant::now());
    }

    /// A call that was sent at `begun` took this long of its time limit.
    pub(super) fn called(&self, source: Source, begun: Instant, took: Duration, limit: Duration) {
        let (share, in_flight) = (share(took, limit), self.in_flight());
        self.lock().concurrency.sample(source, share, in_flight, begun, begun + took);
    }

    /// A payment that began at `begun` is over, after this long of the time that it may take.
    pub(super) fn ended(&self, begun: Instant, took: Duration, limit: Duration) {
        let mut state = self.lock();
        state.took = took.clamp(Duration::from_millis(1), limit);
        let (share, in_flight) = (share(took, limit), self.in_flight());
        state.concurrency.sample(Source::Whole, share, in_flight, begun, begun + took);
    }

    fn in_flight(&self) -> u32 {
        let free = u32::try_from(self.places.available_permits()).unwrap_or(u32::MAX);
        self.max_in_flight.saturating_sub(free)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn share(took: Duration, limit: Duration) -> f64 {
    if limit.is_zero() { 0.0 } else { took.as_secs_f64() / limit.as_secs_f64() }
}
