//! The task that does what the state machine decides: sends batches, records ends, shows the figures.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt as _;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::batch::{Batch, Encoding};
use super::config::breaker::{BreakerError, CircuitBreaker, State};
use super::event::{Event, EventId, Service};
use super::journal::{End, Journal, JournalError};
use super::metrics::Metrics;
use super::shared::Shared;
use super::sink::{Ack, SendError, Sink};

/// What the driver owns. Dropping it aborts all tasks that it has started.
pub(super) struct Driver<S, J> {
    pub(super) shared: Arc<Shared<S, J>>,
    pub(super) metrics: watch::Sender<Metrics>,
    pub(super) pressed: watch::Sender<bool>,
    /// Asks the driver to stop, whatever is left to do.
    pub(super) stop: CancellationToken,
    /// Says that the driver has ended, on whichever way.
    pub(super) _ended: DropGuard,
}

/// What a task of the driver has worked on.
enum Work {
    Service(Service),
    Journal,
}

impl<S: Sink, J: Journal> Driver<S, J> {
    /// Runs until all is done after a shutdown, or until it is stopped.
    pub(super) async fn run(self) {
        let mut work = JoinSet::new();
        // Only here, and so without a lock. A service that is idle and well has none.
        let mut breakers: HashMap<Service, Arc<CircuitBreaker<SendError>>> = HashMap::new();
        loop {
            let turn = self.shared.lock().turn(Instant::now());
            self.show();
            for service in turn.start {
                let breaker = breakers.get(&service).cloned();
                let breaker = breaker.unwrap_or_else(|| self.breaker(&service));
                breakers.entry(service.clone()).or_insert_with(|| Arc::clone(&breaker));
                work.spawn(deliver(Arc::clone(&self.shared), breaker, service));
            }
            if !turn.withdrawn.is_empty() {
                work.spawn(withdraw(Arc::clone(&self.shared), turn.withdrawn));
            }
            if turn.finished {
                return;
            }
            let wake = async {
                match turn.wake_at {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.shared.changed.notified() => {}
                () = wake => {}
                Some(ended) = work.join_next() => {
                    if let Ok(Work::Service(service)) = ended
                        && breakers.get(&service).is_some_and(|breaker| is_well(breaker))
                        && self.shared.lock().forget(&service)
                    {
                        breakers.remove(&service);
                    }
                }
                () = self.stop.cancelled() => {
                    // Aborts them, and waits until their futures are gone.
                    work.shutdown().await;
                    return self.show();
                }
            }
        }
    }

    /// Shows the figures to those who watch.
    fn show(&self) {
        let before = *self.pressed.borrow();
        let (metrics, pressed) = {
            let core = self.shared.lock();
            (core.metrics(), core.pressed(before))
        };
        self.metrics.send_if_modified(|shown| {
            let changed = *shown != metrics;
            *shown = metrics;
            changed
        });
        self.pressed.send_if_modified(|shown| std::mem::replace(shown, pressed) != pressed);
    }

    fn breaker(&self, service: &Service) -> Arc<CircuitBreaker<SendError>> {
        let breaker = CircuitBreaker::new(service.as_str(), self.shared.config.breaker);
        Arc::new(breaker.expect("`start` has checked the configuration"))
    }
}

/// Whether a new breaker would decide as this one does.
fn is_well(breaker: &CircuitBreaker<SendError>) -> bool {
    let snapshot = breaker.snapshot();
    snapshot.state == State::Closed && snapshot.failures == 0
}

/// Sends the next batch of a service, if its breaker allows it, and settles what the service answers.
async fn deliver<S: Sink, J: Journal>(
    shared: Arc<Shared<S, J>>,
    breaker: Arc<CircuitBreaker<SendError>>,
    service: Service,
) -> Work {
    let mut flight = None;
    let answer = breaker.call(|| {
        // Only now, when the breaker has let it through: a batch that does not go stays where it is.
        let (number, events) = shared.with(|core, now| core.take(&service, now));
        flight = Some(number);
        send(&shared, &service, events)
    });
    let answer = answer.await;
    match (flight, answer) {
        (Some(flight), Ok(acks)) => settle(&shared, flight, Ok(acks)).await,
        (Some(flight), Err(BreakerError::Inner(error))) => {
            settle(&shared, flight, Err(error)).await;
        }
        (_, Err(BreakerError::Open { retry_after })) => {
            shared.with(|core, now| core.hold(&service, retry_after, now));
        }
        (None, _) => unreachable!("a call that was let through has taken its batch"),
    }
    Work::Service(service)
}

/// Sends a batch. A panic of the sink is an error, and so is an answer that does not come in time.
async fn send<S: Sink, J>(
    shared: &Shared<S, J>,
    service: &Service,
    events: Vec<Arc<Event>>,
) -> Result<Vec<Ack>, SendError> {
    let encoding = if shared.config.compress { Encoding::Gzip } else { Encoding::Plain };
    let batch = Batch::new(events, encoding);
    let limit = shared.config.send_timeout;
    // The sink is called inside of the future: it may panic before it returns one.
    let sent = AssertUnwindSafe(async { shared.sink.send(service, &batch).await }).catch_unwind();
    match timeout(limit, sent).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => Err(SendError::Transport("the sink has panicked".to_owned())),
        Err(_) => Err(SendError::Transport(format!("no answer within {limit:?}"))),
    }
}

/// Records how the events of a batch ended, and then ends them.
async fn settle<S, J: Journal>(
    shared: &Shared<S, J>,
    flight: u64,
    answer: Result<Vec<Ack>, SendError>,
) {
    let ends = shared.with(|core, now| core.settle(flight, answer, now));
    record(shared, &ends).await;
    let free = shared.with(|core, now| core.end(flight, now));
    shared.free(free);
}

/// The journal forgets events whose callers are gone, and their places are free.
async fn withdraw<S, J: Journal>(shared: Arc<Shared<S, J>>, ids: Vec<EventId>) -> Work {
    let ends: Vec<_> = ids.into_iter().map(|id| (id, End::Withdrawn)).collect();
    record(&shared, &ends).await;
    let release = |(id, _): &(EventId, End)| shared.with(|core, _| core.release(id));
    let free = ends.iter().filter(|end| release(end)).count();
    shared.free(free);
    Work::Journal
}

/// Has the journal record these ends, however often that takes. An event whose end is not recorded is pending, so
/// that a journal that fails for long makes the processor refuse events.
async fn record<S, J: Journal>(shared: &Shared<S, J>, ends: &[(EventId, End)]) {
    if ends.is_empty() {
        return;
    }
    let mut failed = 0_u32;
    loop {
        let done = AssertUnwindSafe(async { shared.journal.done(ends).await }).catch_unwind().await;
        if done.unwrap_or_else(|_| Err(JournalError("it has panicked".to_owned()))).is_ok() {
            return;
        }
        failed = failed.saturating_add(1);
        sleep(shared.config.retry.nominal(failed)).await;
    }
}
