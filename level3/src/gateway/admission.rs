//! Admission: decides which payments begin, by their number and the load of the services.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::config::GatewayConfig;
use crate::overload::{Backlog, ConcurrencyLimit, Source};

/// The calls that a payment makes to the provider when no call fails: create and confirm.
const CALLS_OF_A_PAYMENT: u32 = 2;

/// Decides about new payments, and learns from the calls of those under way.
#[derive(Debug)]
pub(super) struct Admission {
    // The semaphore knows only its free places; the difference is the number under way.
    max_in_flight: u32,
    // One permit for each admitted payment, until its last undo is done or its receipt has a permit
    // of its own. In an `Arc`, since an owned permit moves from task to task.
    places: Arc<Semaphore>,
    // Both under one lock, since a payment needs both. A standard mutex: it is held for some
    // arithmetic and never across an await.
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The calls that admitted payments will still make. A payment that would wait too long behind them is refused.
    backlog: Backlog,
    /// The number of payments that the slowest service carries, learned from the times of its calls.
    concurrency: ConcurrencyLimit,
    /// How long the latest payment took: after that time, the payments under way now have probably
    /// ended.
    took: Duration,
}

impl Admission {
    pub(super) fn new(config: &GatewayConfig) -> Self {
        let (now, max) = (Instant::now(), config.max_in_flight);
        // The limit starts at the calls that the account allows in one window, for want of
        // measurements.
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

    /// Admits a payment: reserves every call that it needs, and gives it a place until the permit
    /// is dropped.
    ///
    /// # Errors
    ///
    /// The time after which a refused payment may be offered again.
    pub(super) fn admit(&self) -> Result<OwnedSemaphorePermit, Duration> {
        // Held from the check to the reservation: of two payments that could have the last calls,
        // the second one sees the reservation of the first.
        let mut state = self.lock();
        if let Some(retry_after) = self.refusal_of(&mut state) {
            return Err(retry_after);
        }
        // `try`, and not a wait: a payment that waits for a place uses up its own deadline, and
        // under overload the queue would only grow. The place comes before the calls, because its
        // drop returns it if the reservation fails.
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return Err(state.took);
        };
        state.backlog.reserve(CALLS_OF_A_PAYMENT, Instant::now())?;
        Ok(place)
    }

    /// The time after which a payment may be offered again, if one would be refused now. Cheap,
    /// since under overload most payments are refused.
    pub(super) fn refusal(&self) -> Option<Duration> {
        self.refusal_of(&mut self.lock())
    }

    fn refusal_of(&self, state: &mut State) -> Option<Duration> {
        let in_flight = self.in_flight();
        // `admits` also notes the refusal, so the limit learns that it was the obstacle.
        if in_flight >= self.max_in_flight || !state.concurrency.admits(in_flight) {
            return Some(state.took);
        }
        let wait = state.backlog.wait_for(CALLS_OF_A_PAYMENT, Instant::now());
        (!wait.is_zero()).then_some(wait)
    }

    /// Releases the reserved calls of a payment that does not begin after all.
    pub(super) fn release_all(&self) {
        self.release(CALLS_OF_A_PAYMENT);
    }

    /// Releases reserved calls that a payment does not need any more.
    pub(super) fn release(&self, calls: u32) {
        self.lock().backlog.release(calls, Instant::now());
    }

    /// Notes that a payment is taken over. Another gateway has admitted it, so its calls are made
    /// in any case.
    pub(super) fn take_over(&self) {
        self.add(CALLS_OF_A_PAYMENT);
    }

    /// Notes calls that were not reserved.
    pub(super) fn add(&self, calls: u32) {
        self.lock().backlog.add(calls, Instant::now());
    }

    /// Notes that the provider asked for a pause.
    pub(super) fn pause_for(&self, time: Duration) {
        self.lock().backlog.pause_for(time, Instant::now());
    }

    /// Notes how much of its time limit a call took that was sent at `begun`.
    pub(super) fn called(&self, source: Source, begun: Instant, took: Duration, limit: Duration) {
        // Read without the lock: other payments begin and end meanwhile, and an estimate is enough
        // here.
        let (share, in_flight) = (share(took, limit), self.in_flight());
        self.lock().concurrency.sample(source, share, in_flight, begun, begun + took);
    }

    /// Notes how much of its time limit a payment took that began at `begun`.
    pub(super) fn ended(&self, begun: Instant, took: Duration, limit: Duration) {
        let mut state = self.lock();
        // Never zero: a wait of zero would invite refused clients to come back at once.
        state.took = took.clamp(Duration::from_millis(1), limit);
        let (share, in_flight) = (share(took, limit), self.in_flight());
        state.concurrency.sample(Source::Whole, share, in_flight, begun, begun + took);
    }

    fn in_flight(&self) -> u32 {
        let free = u32::try_from(self.places.available_permits()).unwrap_or(u32::MAX);
        self.max_in_flight.saturating_sub(free)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic under the lock leaves figures that are at worst out of date. To refuse every
        // payment from then on would be worse.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn share(took: Duration, limit: Duration) -> f64 {
    if limit.is_zero() { 0.0 } else { took.as_secs_f64() / limit.as_secs_f64() }
}
