//! What the handles and the tasks of a journal share.

use std::sync::{Mutex, MutexGuard, PoisonError};

use async_nats::jetstream::consumer::PullConsumer;
use tokio::sync::Notify;

use crate::config::JetStreamConfig;
use crate::error::{BadRecord, WriteError};
use crate::ledger::Ledger;
use crate::server::Server;

/// What a journal has done since it was opened, and what it holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Figures {
    /// The lane of this process.
    pub lane: u32,
    /// Pending events and dead letters.
    pub live_records: u64,
    /// Records that the server has acknowledged.
    pub published: u64,
    /// Publishes that were sent again, since no answer came.
    pub published_again: u64,
    /// Those of them that the server had already, and knew by their message id.
    pub deduplicated: u64,
    /// Records that were acknowledged, and so removed.
    pub removed: u64,
    /// Events of dead processes that this process has taken over.
    pub taken_over: u64,
    /// Records in lanes of dead processes that cannot be read. They are left in the stream.
    pub unreadable: Vec<BadRecord>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) server: Server,
    pub(crate) config: JetStreamConfig,
    pub(crate) lane: u32,
    /// The name of this process among the owners.
    pub(crate) session: String,
    /// The consumer of the lane. Another one after the connection was lost.
    consumer: Mutex<PullConsumer>,
    // A lock of `std`: it is held for a decision, never across an await, and calls number their records under it in the
    // order of their first polls.
    state: Mutex<State>,
    // Held while records are removed, and while a lane is read once more: a new consumer ends the acknowledgements that are
    // on their way to the old one.
    pub(crate) acknowledging: tokio::sync::Mutex<()>,
    /// Asks for another consumer: deliveries of this one were lost.
    pub(crate) lost: Notify,
    /// Wakes the task that removes records.
    pub(crate) leaving: Notify,
    /// Wakes the task that notes what has ended: records were removed.
    pub(crate) removed: Notify,
    /// Wakes the calls that wait: a call has returned, or records were removed.
    pub(crate) changed: Notify,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) ledger: Ledger,
    pub(crate) figures: Figures,
    /// Every call fails with this.
    pub(crate) broken: Option<WriteError>,
}

impl Shared {
    pub(crate) fn new(
        server: Server,
        config: JetStreamConfig,
        (lane, session): (u32, String),
        consumer: PullConsumer,
        ledger: Ledger,
    ) -> Self {
        let figures = Figures { lane, ..Figures::default() };
        let state = Mutex::new(State { ledger, figures, broken: None });
        let consumer = Mutex::new(consumer);
        let (lost, leaving, removed, changed) =
            (Notify::new(), Notify::new(), Notify::new(), Notify::new());
        let acknowledging = tokio::sync::Mutex::new(());
        Self {
            acknowledging,
            lost,
            server,
            config,
            lane,
            session,
            consumer,
            state,
            leaving,
            removed,
            changed,
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // No code of others runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn consumer(&self) -> PullConsumer {
        self.consumer.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn use_consumer(&self, consumer: PullConsumer) {
        *self.consumer.lock().unwrap_or_else(PoisonError::into_inner) = consumer;
    }

    /// Fails every call from now on.
    pub(crate) fn break_off(&self, error: WriteError) {
        self.state().broken.get_or_insert(error);
        self.changed.notify_waiters();
        self.leaving.notify_one();
    }
}

impl State {
    pub(crate) fn check(&self) -> Result<(), WriteError> {
        self.broken.clone().map_or(Ok(()), Err)
    }
}
