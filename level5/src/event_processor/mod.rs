//! An event processor: takes events by priority, keeps them in a journal, and delivers each at least once.
//!
//! ```text
//!            no: Invalid, Duplicate, Backpressure, Closed
//!              ▲
//!  ingest ─▶ admit ─▶ journal: append ─▶ accepted ─▶ queue of its service, by priority
//!                        │ fails: Journal              │ a full batch, or the time of the first event
//!                                                      ▼
//!           waits 1, 2, 4 s ◀─ again ── breaker ─▶ sink ── acknowledged ─▶ journal: done ─▶ delivered
//!                  │                                │
//!                  └──▶ queue                       └── rejected, or the last attempt ─▶ journal: done ─▶ dead letter
//! ```
//!
//! *At least once* holds from the moment at which `Processor::ingest` returns `Ok`: the journal has the event, and
//! keeps it until a service has acknowledged it or it is a dead letter. An event may arrive twice: when an
//! acknowledgement is lost, or when a process ends between an acknowledgement and its record. A service that must not
//! act twice compares the ids of the events.
//!
//! Lesson: `level5/lessons/event_processor.md`.

mod batch;
mod breakers;
mod config;
mod core;
mod driver;
mod event;
mod ids;
mod journal;
mod journal_error;
mod metrics;
mod shared;
mod sink;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use self::core::Core;
use driver::Driver;
use shared::Shared;

pub use batch::{Batch, DecodeError, Encoding};
pub use config::{Config, ConfigError, breaker, retry};
pub use event::{Event, EventId, Invalid, Service};
pub use journal::{DeadLetter, End, Journal, Loaded, MemoryJournal};
pub use journal_error::{Cause, JournalError};
pub use metrics::{Latency, Metrics};
pub use sink::{Ack, SendError, Sink};

/// Why an event was not accepted. The processor is as before the call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// As many events are pending as [`Config::threshold`] allows.
    #[error("too many events are pending, try again in {} ms", retry_after.as_millis())]
    Backpressure {
        /// How long to wait before the next try, never zero. [`Processor::backpressure`] says when there is room.
        retry_after: Duration,
    },
    /// The event itself is wrong, whatever the state of the processor.
    #[error("the event is invalid: {0}")]
    Invalid(#[from] Invalid),
    /// An event with this id was accepted before: it has not ended, is a dead letter, or is one of the last
    /// [`Config::remembered_ids`] that have ended.
    #[error("an event with this id was accepted before")]
    Duplicate,
    /// The journal could not keep the event.
    #[error(transparent)]
    Journal(JournalError),
    /// The processor is shut down.
    #[error("the processor is shut down")]
    Closed,
}

/// Why no processor was started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The configuration is refused.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(JournalError),
}

/// The result of a shutdown.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The figures at the end.
    pub metrics: Metrics,
    /// The events that have not ended, in the order of acceptance. The journal has them. Behind them are those that the
    /// journal was still writing at the deadline: it may have them or not, and a call of [`Processor::ingest`] that
    /// waits for it returns what it says.
    pub left: Vec<EventId>,
}

/// Delivers events. Share it in an [`Arc`].
///
/// Dropping it stops everything at once. What has not ended stays in the journal, and the next processor that starts
/// with it continues; [`shutdown`](Self::shutdown) ends the processor in order.
///
/// ```
/// use std::time::Duration;
/// use level5::event_processor::*;
/// use level5::priority_queue::Priority;
///
/// struct Print;
/// impl Sink for Print {
///     async fn send(&self, to: &Service, batch: &Batch) -> Result<Vec<Ack>, SendError> {
///         Ok(batch.events().iter().map(|event| { println!("{to}: {}", event.id); Ack::Ok }).collect())
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let route = |event: &Event| match event.kind.as_str() {
///     "user_action" => Service::new("analytics"),
///     _ => Service::new("monitoring"),
/// };
/// let journal = MemoryJournal::default();
/// let processor = Processor::start(Config::default(), Print, journal, route).await?;
/// let event = Event {
///     id: EventId::new("1"),
///     kind: "user_action".to_owned(),
///     key: None,
///     priority: Priority::High,
///     at: jiff::Timestamp::UNIX_EPOCH,
///     data: "click".into(),
/// };
/// processor.ingest(event.clone()).await?;
/// assert_eq!(processor.ingest(event).await, Err(Rejected::Duplicate));
/// let report = processor.shutdown(Duration::from_secs(10)).await;
/// assert_eq!((report.metrics.delivered, report.left.len()), (1, 0));
/// # Ok(())
/// # }
/// ```
pub struct Processor<S, J> {
    /// The driver and its tasks hold it too, until the destructor aborts them.
    shared: Arc<Shared<S, J>>,
    /// Foreign code, called without a lock. Boxed, so that its type is no parameter of the processor's type.
    route: Box<dyn Fn(&Event) -> Service + Send + Sync>,
    /// Kept to be cloned for callers. The driver has the only sender, so the streams end with the driver.
    metrics: watch::Receiver<Metrics>,
    pressed: watch::Receiver<bool>,
    /// A shutdown whose deadline has passed asks the driver to abort its tasks.
    stop: CancellationToken,
    /// Cancelled when the driver has ended. A token and not the task's `JoinHandle`: several shutdowns may wait for it
    /// at the same time, and one that comes later finds it cancelled.
    ended: CancellationToken,
    /// For the destructor, which cannot wait for the driver.
    driver: AbortHandle,
}

impl<S, J> fmt::Debug for Processor<S, J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Processor").finish_non_exhaustive()
    }
}

impl<S: Sink, J: Journal> Processor<S, J> {
    /// Starts a processor, which continues with what the journal holds. The events of the journal are pending, in their
    /// order and with all their attempts, also if they are more than may be pending; its dead letters are dead letters.
    ///
    /// `route` says where an event goes. It is called once for each event, before the event is accepted.
    ///
    /// # Errors
    ///
    /// [`StartError`]. Nothing was started.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime. A panic of `route` reaches the caller.
    ///
    /// # Cancellation
    ///
    /// Dropping the future starts nothing.
    pub async fn start(
        config: Config,
        sink: S,
        journal: J,
        route: impl Fn(&Event) -> Service + Send + Sync + 'static,
    ) -> Result<Self, StartError> {
        // Everything that can fail, panic or wait comes before the spawn. A start that does not succeed, or whose
        // future is dropped, leaves no task behind.
        config.check()?;
        let loaded = journal.load().await.map_err(StartError::Journal)?;
        let taken = loaded.pending.len();
        let core = Core::new(config.clone(), loaded, &route, Instant::now());
        // The first values are those of the loaded journal: a caller may read them before the driver has run once.
        let (metrics_sender, metrics) = watch::channel(core.metrics());
        let (pressed_sender, pressed) = watch::channel(core.pressed(false));
        let shared = Arc::new(Shared::new(config, sink, journal, core, taken));
        let (stop, ended) = (CancellationToken::new(), CancellationToken::new());
        let driver = Driver {
            shared: Arc::clone(&shared),
            metrics: metrics_sender,
            pressed: pressed_sender,
            stop: stop.clone(),
            // A guard and not a call at the end of `run`: a driver that was aborted or has panicked has ended too, and
            // a shutdown must not wait for it without end.
            _ended: ended.clone().drop_guard(),
        };
        let driver = tokio::spawn(driver.run()).abort_handle();
        Ok(Self { shared, route: Box::new(route), metrics, pressed, stop, ended, driver })
    }

    /// Accepts an event. When this returns `Ok`, the journal has it.
    ///
    /// An event that is not critical is refused while as many are pending as the threshold says. A critical event is
    /// accepted beyond it, as long as its reserve lasts, and then waits for room, first come, first served. No accepted
    /// event makes room for another one.
    ///
    /// # Errors
    ///
    /// [`Rejected`]. An invalid event is refused as [`Rejected::Invalid`] before anything else is checked.
    ///
    /// # Panics
    ///
    /// A panic of `route` or of the journal reaches the caller, and the event is not accepted.
    ///
    /// # Cancellation
    ///
    /// Before its first poll the future has done nothing. Dropping it before it is ready withdraws the event: it is not
    /// sent, and the journal is asked to forget it.
    pub async fn ingest(&self, event: Event) -> Result<(), Rejected> {
        // First: an invalid event stays invalid, and its caller must not come back when there is room.
        event.check()?;
        // Before the event has its place. A panic of `route` then leaves nothing that would have to be returned.
        let service = (self.route)(&event);
        // From here on a guard owns place and id of the event. This future may be dropped at either `.await`.
        let admission = self.shared.admit(&event).await?;
        admission.accept(event, service).await
    }

    /// The figures, as they change. A receiver sees the latest ones, and may miss those between.
    #[must_use]
    pub fn metrics(&self) -> watch::Receiver<Metrics> {
        self.metrics.clone()
    }

    /// Whether producers should slow down. It becomes true when as many events are pending as the threshold says, and
    /// false when at most 80 % of that are pending.
    #[must_use]
    pub fn backpressure(&self) -> watch::Receiver<bool> {
        self.pressed.clone()
    }

    /// The dead letters, oldest first.
    #[must_use]
    pub fn dead_letters(&self) -> Vec<DeadLetter> {
        self.shared.lock().dead_letters()
    }

    /// Sends the dead letters with these ids again, with all their attempts, as far as there is room below the
    /// threshold, oldest first. Returns the number of events that are sent again. Ids without a dead letter are passed
    /// over.
    ///
    /// # Errors
    ///
    /// [`Rejected::Closed`] after a shutdown, and [`Rejected::Journal`] when the journal could not record that they are
    /// pending again. All are dead letters as before.
    ///
    /// # Cancellation
    ///
    /// Dropping the future before it is ready leaves them dead letters. If the journal was writing, it is asked to record
    /// that they are dead; until it has, they cannot be redriven.
    pub async fn redrive(&self, ids: &[EventId]) -> Result<usize, Rejected> {
        // Asked on its own, because `pick_dead` finds no room in a closed processor: the caller would get `Ok(0)`, as
        // if its ids had no dead letters.
        if self.shared.lock().is_closed() {
            return Err(Rejected::Closed);
        }
        // The letters leave the list before the journal is asked, so that two calls with the same ids cannot both send
        // them. The guard puts them back on every way out but the last line: an error, a panic of the journal, a drop.
        let mut picked = self.shared.pick_dead(ids);
        let events = picked.events();
        if !events.is_empty() {
            // Pending in the journal first, as with `ingest`. The other way round, a service could acknowledge an event
            // whose append fails, or whose append follows the record of its end and makes it pending again.
            picked.writing = true;
            let written = self.shared.journal.append(&events).await;
            // An error means that nothing was kept, so they are dead in the journal too.
            picked.writing = false;
            written.map_err(Rejected::Journal)?;
        }
        Ok(picked.redrive())
    }

    /// Ends the processor: refuses events from now on, sends what is pending without waiting for full batches, and
    /// stops when that has ended, at the latest after `deadline`. Events that wait for another attempt wait as before.
    ///
    /// When this returns, none of the processor's tasks runs. It may be called again, and by several callers at the
    /// same time: the earliest deadline counts.
    ///
    /// # Cancellation
    ///
    /// Dropping the future leaves a processor that refuses events, ends what is pending and has no deadline.
    pub async fn shutdown(&self, deadline: Duration) -> Report {
        self.shared.close();
        // The driver ends by itself when nothing is left. This future only waits, so dropping it stops nothing.
        if timeout(deadline, self.ended.cancelled()).await.is_err() {
            self.stop.cancel();
            // The driver first waits until the futures of its tasks are gone. The report below is final then: no send
            // can still be acknowledged after its event was reported as left.
            self.ended.cancelled().await;
        }
        // The state outlives the driver, so a second call reports the same.
        let core = self.shared.lock();
        Report { metrics: core.metrics(), left: core.pending() }
    }
}

impl<S, J> Drop for Processor<S, J> {
    fn drop(&mut self) {
        // The driver's future owns the set of its tasks, so its drop aborts them. Without this line they would go on:
        // a spawned task does not end with its handle, and the driver holds `shared` itself.
        self.driver.abort();
    }
}
