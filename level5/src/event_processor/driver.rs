//! The task that does what the state machine decides: sends batches, records ends, shows the figures.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt as _;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::batch::{Batch, Encoding};
use super::breakers::Breakers;
use super::config::breaker::{BreakerError, CircuitBreaker};
use super::event::{Event, EventId, Service};
use super::journal::{DeadLetter, End, Journal};
use super::metrics::Metrics;
use super::shared::Shared;
use super::sink::{Ack, SendError, Sink};

/// The driver's task: the only one that asks the state machine for its turn. Dropping its future aborts all tasks that
/// it has started.
pub(super) struct Driver<S, J> {
    pub(super) shared: Arc<Shared<S, J>>,
    /// The only senders, so that no older value can follow a newer one.
    pub(super) metrics: watch::Sender<Metrics>,
    pub(super) pressed: watch::Sender<bool>,
    /// Asks the driver to stop, whatever is left to do.
    pub(super) stop: CancellationToken,
    /// Tells the shutdown that the driver has ended, whether it returned, panicked or was aborted.
    pub(super) _ended: DropGuard,
}

/// What a task of the driver has worked on. After work for a service the driver may forget that service.
enum Work {
    Service(Service),
    Journal,
}

impl<S: Sink, J: Journal> Driver<S, J> {
    /// Runs until all is done after a shutdown, or until it is stopped.
    pub(super) async fn run(self) {
        // A set and not detached tasks: it aborts them when it is dropped, which is how a drop of the processor stops
        // every send.
        let mut work = JoinSet::new();
        let mut breakers = Breakers::new(&self.shared.config);
        loop {
            let turn = self.shared.lock().turn(Instant::now());
            // Before the return below: the last turn follows the last end, and a receiver must see its figures before
            // the channel closes.
            self.show();
            for service in turn.start {
                let breaker = breakers.of(&service);
                // A task for each batch. Were a send awaited here, a service that hangs would hold up all others.
                work.spawn(deliver(Arc::clone(&self.shared), breaker, service));
            }
            if !turn.withdrawn.is_empty() {
                work.spawn(withdraw(Arc::clone(&self.shared), turn.withdrawn));
            }
            if !turn.restored.is_empty() {
                work.spawn(restore(Arc::clone(&self.shared), turn.restored));
            }
            if turn.finished {
                // No event is left, so no task has anything to settle; what the drop of the set aborts is past that.
                return;
            }
            // Made for each round: an event that came since may be due before the time that the last turn named.
            // Without a time this branch never wakes, so an idle processor costs nothing.
            let wake = async {
                match turn.wake_at {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            // Not `biased`: each branch leads to another turn, which looks at the whole state, so it does not matter
            // which of several ready ones is taken. Nothing is lost with those that are dropped: `notified` leaves its
            // notice to the next call, and `join_next` keeps a task that it has not returned.
            tokio::select! {
                // A change between the turn above and this line has left a notice, and this returns at once.
                () = self.shared.changed.notified() => {}
                () = wake => {}
                // Without tasks this yields `None`, and the branch is switched off for the round.
                Some(ended) = work.join_next() => {
                    // The service is forgotten whatever its last answer was. What its breaker remembers is apart.
                    if let Ok(Work::Service(service)) = ended
                        && self.shared.lock().forget(&service)
                    {
                        breakers.rest(&service);
                    }
                }
                () = self.stop.cancelled() => {
                    // Aborts them, and waits until their futures are gone: `ended` must not be cancelled while a send
                    // could still reach its service.
                    work.shutdown().await;
                    return self.show();
                }
            }
        }
    }

    /// Publishes the figures to the receivers.
    fn show(&self) {
        let before = *self.pressed.borrow();
        // Both from one look at the state. The lock is released before the channels take theirs and wake tasks.
        let (metrics, pressed) = {
            let core = self.shared.lock();
            (core.metrics(), core.pressed(before))
        };
        // Only if something has changed: a receiver must not wake up for every turn of the driver.
        self.metrics.send_if_modified(|shown| {
            let changed = *shown != metrics;
            *shown = metrics;
            changed
        });
        self.pressed.send_if_modified(|shown| std::mem::replace(shown, pressed) != pressed);
    }
}

/// Sends the next batch of a service, if its breaker allows it, and settles what the service answers.
async fn deliver<S: Sink, J: Journal>(
    shared: Arc<Shared<S, J>>,
    breaker: Arc<CircuitBreaker<SendError>>,
    service: Service,
) -> Work {
    // Set by the operation, so it also tells whether the breaker has run it.
    let mut flight = None;
    let answer = breaker.call(|| {
        // Only now, when the breaker has let it through: a batch that does not go stays in its queue, with its places
        // and attempts. A batch taken before would have to be put back, behind events that came later.
        let (number, events) = shared.with(|core, now| core.take(&service, now));
        flight = Some(number);
        send(&shared, &service, events)
    });
    // On its own line: the future borrows `flight` until it has ended.
    let answer = answer.await;
    // Settled after the call and not inside it: the breaker then already counts this answer when the driver, woken by
    // the settlement, begins the next send.
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

/// Sends a batch. A panic of the sink is an error of the attempt, and so is an answer that does not come in time.
async fn send<S: Sink, J>(
    shared: &Shared<S, J>,
    service: &Service,
    events: Vec<Arc<Event>>,
) -> Result<Vec<Ack>, SendError> {
    let encoding = if shared.config.compress { Encoding::Gzip } else { Encoding::Plain };
    let batch = Batch::new(events, encoding);
    let limit = shared.config.send_timeout;
    // The sink is called inside of the future: it may panic before it returns one. Uncaught, the panic would end the
    // task before it settles the batch, and its events would be under way without end. `AssertUnwindSafe`: the sink
    // is shared by `&` and is responsible for its own state.
    let sent = AssertUnwindSafe(async { shared.sink.send(service, &batch).await }).catch_unwind();
    // `timeout` polls the send before its timer, so an answer at the limit is in time.
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
    // Retries are scheduled in this step, without the journal: it keeps them as pending already.
    let ends = shared.with(|core, now| core.settle(flight, answer, now));
    // Without the lock, which a slow journal would hold against every caller. The events stay pending: they keep their
    // places, and the next event of their key waits. Ended before the record, an older event could be sent again after
    // a crash, behind a younger one of its key.
    record(shared, &ends).await;
    let free = shared.with(|core, now| core.end(flight, now));
    // After the state has the room: a caller that a permit wakes must find it.
    shared.free(free);
}

/// Has the journal forget events whose callers dropped `ingest`, and then releases their ids and places.
async fn withdraw<S, J: Journal>(shared: Arc<Shared<S, J>>, ids: Vec<EventId>) -> Work {
    let ends: Vec<_> = ids.into_iter().map(|id| (id, End::Withdrawn)).collect();
    record(&shared, &ends).await;
    // Not before: a caller could ingest the same id again, and the late `Withdrawn` would erase the record of the
    // event that was accepted.
    let release = |(id, _): &(EventId, End)| shared.with(|core, _| core.release(id));
    let free = ends.iter().filter(|end| release(end)).count();
    shared.free(free);
    Work::Journal
}

/// Has the journal record that letters are dead whose `redrive` was dropped while it wrote, and then puts them back.
async fn restore<S, J: Journal>(
    shared: Arc<Shared<S, J>>,
    letters: Vec<(u64, DeadLetter)>,
) -> Work {
    let end =
        |(_, letter): &(u64, DeadLetter)| (letter.event.id.clone(), End::Dead(letter.clone()));
    let ends: Vec<_> = letters.iter().map(end).collect();
    record(&shared, &ends).await;
    let free = shared.with(|core, _| {
        let freed = letters.into_iter().map(|(number, letter)| core.put_back(number, letter));
        freed.filter(|free| *free).count()
    });
    shared.free(free);
    Work::Journal
}

/// Has the journal record these ends, and repeats it until it succeeds. An event whose end is not recorded is pending,
/// so a journal that fails for long makes the processor refuse events.
async fn record<S, J: Journal>(shared: &Shared<S, J>, ends: &[(EventId, End)]) {
    // A batch of which every event is sent again has no ends: a journal that flushes a disk should not be asked.
    if ends.is_empty() {
        return;
    }
    let mut failed = 0_u32;
    loop {
        // A panic counts as a failure, as in `send`: it would end the task, and the ends would never be recorded.
        let done = AssertUnwindSafe(async { shared.journal.done(ends).await }).catch_unwind().await;
        if matches!(done, Ok(Ok(()))) {
            return;
        }
        // There is no last attempt. To give up would leave events that have ended pending forever, or end them while
        // the journal sends them again after a restart.
        failed = failed.saturating_add(1);
        sleep(shared.config.retry.nominal(failed)).await;
    }
}
