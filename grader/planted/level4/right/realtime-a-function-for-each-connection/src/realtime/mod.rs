//! Realtime data: a list that is loaded once and then follows the updates of a socket.
//!
//! Lesson: `level4/lessons/realtime.md`.

mod follow;
mod list;

use std::fmt;
use std::num::{NonZeroU32, NonZeroUsize};
use std::pin::Pin;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::{BoxFuture, Shared, WeakShared};
use futures::stream::BoxStream;
use futures::{FutureExt as _, Stream, StreamExt as _, stream};
pub use level3::retry;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;

use crate::dashboard::KeyValue;
use crate::socket::{self, Connector, socket};
use follow::{Parts, SharedConnector, follow};
use list::Board;
use retry::Backoff;

/// An item of a list, which its key tells apart from the others.
pub trait Keyed: Clone + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// What an item is found by.
    type Key: Clone + PartialEq + DeserializeOwned + Send + Sync + 'static;
    /// What an update changes of an item.
    type Patch: Clone + DeserializeOwned + Send + Sync + 'static;

    /// The key of this item. It never changes.
    fn key(&self) -> Self::Key;

    /// Changes the item.
    fn patch(&mut self, patch: Self::Patch);
}

/// A change of a list.
///
/// A message of the socket is JSON with the topic of the list, the version of the list after the change, and the change:
/// `{"topic": "orders", "version": 8, "change": {"delete": 7}}`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "lowercase", bound(deserialize = "T: Keyed"))]
pub enum Update<T: Keyed> {
    /// An item more, at the end. If there is one with its key, it takes that one's place.
    Insert(T),
    /// A change of one item. Without such an item, none.
    Update {
        /// Which item.
        key: T::Key,
        /// What changes.
        patch: T::Patch,
    },
    /// An item less. Without such an item, none.
    Delete(T::Key),
    /// Another list.
    Replace(Vec<T>),
}

/// A list at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(deserialize = "T: DeserializeOwned"))]
pub struct Snapshot<T> {
    /// Its items, in order.
    pub items: Vec<T>,
    /// The version of the last update that is part of it. Each update has a higher one than those before it.
    pub version: u64,
}

/// Why there is no snapshot. For a log, not for a page.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SnapshotError(pub String);

/// The service that a list is loaded from.
pub trait SnapshotApi: Send + Sync + 'static {
    /// What the list is made of.
    type Item: Keyed;

    /// The list as it is now.
    fn snapshot(&self) -> impl Future<Output = Result<Snapshot<Self::Item>, SnapshotError>> + Send;
}

/// How far a list can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// There is no connection, or no snapshot since it is there. The items are those from before.
    Connecting,
    /// The list is that of the server, and follows it.
    Live,
    /// There is no snapshot. The items are an older list, which follows the updates that come. What happened between
    /// is missing.
    Stale {
        /// The age of the older list when the snapshot failed.
        age: Duration,
    },
    /// There is no snapshot and no list that is young enough. The connection is there, and a snapshot is asked for again.
    Failed,
    /// The socket has given up. The next reader begins again.
    GaveUp,
}

/// A list, and how far it can be trusted. Both change together.
#[derive(Debug, Clone, PartialEq)]
pub struct Live<T> {
    /// `None`: there was no list yet. That differs from a list without items.
    pub items: Option<Arc<[T]>>,
    /// The version of the last update that is part of the items.
    pub version: u64,
    /// How far the items can be trusted.
    pub status: Status,
    /// How many messages of this list's topic, or of no readable topic, were no updates.
    pub unreadable: u64,
}

/// How a list is loaded and followed.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Which messages of the socket are about the list. Its copy lies under `realtime/` and this name.
    pub topic: String,
    /// How the socket connects. Its `hello` asks the server for the updates: it is sent before a snapshot is asked for.
    pub socket: socket::Config,
    /// The waits after a failed snapshot, without jitter, and how many attempts a connection has.
    pub snapshots: Backoff,
    /// Without a snapshot, a list is shown while its age is less than this.
    pub fresh_for: Duration,
    /// How many updates are kept until the snapshot is there. When more come, the oldest goes, and a snapshot from before
    /// it counts as failed.
    pub kept: NonZeroUsize,
}

impl Settings {
    /// For a topic: the socket's defaults; a snapshot is asked for again after 1, 2, 4, ... s, at most 30 s; a list of less
    /// than 5 min is shown; 1024 updates are kept.
    #[must_use]
    pub fn new(topic: &str) -> Self {
        let (first, longest) = (Duration::from_secs(1), Duration::from_secs(30));
        Self {
            topic: topic.to_owned(),
            socket: socket::Config::default(),
            snapshots: Backoff::new(first, 2.0, longest, NonZeroU32::MAX).unwrap_or_default(),
            fresh_for: Duration::from_secs(300),
            kept: NonZeroUsize::MIN.saturating_add(1023),
        }
    }
}

/// A list of a service that follows its updates, for any number of readers.
///
/// A clone is a handle to the same list. Nothing runs but what readers wait for: no task, no socket without a reader.
///
/// ```no_run
/// use futures::StreamExt as _;
/// use level4::dashboard::KeyValue;
/// use level4::realtime::{Realtime, Settings, SnapshotApi};
/// use level4::socket::{ConfigError, Connector};
///
/// async fn shows(
///     api: impl SnapshotApi,
///     connector: impl Connector,
///     copies: impl KeyValue,
/// ) -> Result<(), ConfigError> {
///     let orders = Realtime::new(api, connector, copies, Settings::new("orders"))?;
///     let mut states = orders.open();
///     while let Some(live) = states.next().await {
///         println!("{:?}: {} items", live.status, live.items.map_or(0, |items| items.len()));
///     }
///     Ok(())
/// }
/// ```
pub struct Realtime<A: SnapshotApi, C, K> {
    parts: Arc<Parts<A, C, K>>,
    /// The run of the readers that there are.
    run: Arc<Mutex<Option<WeakShared<BoxFuture<'static, ()>>>>>,
}

impl<A: SnapshotApi, C, K> Clone for Realtime<A, C, K> {
    fn clone(&self) -> Self {
        Self { parts: Arc::clone(&self.parts), run: Arc::clone(&self.run) }
    }
}

impl<A: SnapshotApi, C, K> fmt::Debug for Realtime<A, C, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Realtime").finish_non_exhaustive()
    }
}

impl<A: SnapshotApi, C: Connector, K: KeyValue> Realtime<A, C, K> {
    /// A list that has loaded nothing.
    ///
    /// # Errors
    ///
    /// [`socket::ConfigError`] of the settings of the socket.
    pub fn new(
        api: A,
        connector: C,
        copies: K,
        settings: Settings,
    ) -> Result<Self, socket::ConfigError> {
        let connector = SharedConnector(Arc::new(connector));
        // A socket that is not polled does nothing: it is made to find bad settings here, and not at the first reader.
        socket::<_, Value>(connector.clone(), settings.socket.clone()).map(drop)?;
        let board = watch::Sender::new(Board::new());
        let parts = Parts { api, connector, copies, settings, board, runs: AtomicU64::new(0) };
        Ok(Self { parts: Arc::new(parts), run: Arc::default() })
    }

    /// What is known now.
    #[must_use]
    pub fn now(&self) -> Live<A::Item> {
        self.parts.board.borrow().live.clone()
    }

    /// Follows the list: what is known at the first poll, then each state that differs from the one before. A slow reader
    /// misses states in between, never the newest. Ends after [`Status::GaveUp`].
    ///
    /// The readers share one socket, and whichever of them is polled drives it.
    ///
    /// # Panics
    ///
    /// A panic of the service's, the connector's or an item's code reaches all readers. The next reader begins again.
    ///
    /// # Cancellation
    ///
    /// A reader that was not polled has done nothing. With the last reader the connection is dropped, and a call for a
    /// snapshot too; the status is then [`Status::Connecting`].
    pub fn open(&self) -> impl Stream<Item = Live<A::Item>> + Send + Unpin + use<A, C, K> {
        let list = self.clone();
        let mut board = self.parts.board.subscribe();
        board.mark_changed();
        let states = stream::unfold((board, None), async |(mut board, last)| {
            loop {
                board.changed().await.ok()?;
                let live = board.borrow_and_update().live.clone();
                if last.as_ref() != Some(&live) {
                    return Some((live.clone(), (board, Some(live))));
                }
            }
        });
        let joins = Box::new(move || list.join());
        Reader { phase: Phase::New(joins), states: states.boxed() }
    }

    /// The run that other readers poll, or another one.
    fn join(&self) -> Shared<BoxFuture<'static, ()>> {
        let mut run = self.run.lock().unwrap_or_else(PoisonError::into_inner);
        let there = run.as_ref().and_then(WeakShared::upgrade).filter(|run| run.peek().is_none());
        there.unwrap_or_else(|| {
            let shared = follow(Arc::clone(&self.parts)).boxed().shared();
            *run = shared.downgrade();
            shared
        })
    }
}

enum Phase {
    New(Box<dyn FnOnce() -> Shared<BoxFuture<'static, ()>> + Send>),
    Runs(Shared<BoxFuture<'static, ()>>),
    Over,
}

struct Reader<T> {
    phase: Phase,
    states: BoxStream<'static, Live<T>>,
}

impl<T> Stream for Reader<T> {
    type Item = Live<T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Live<T>>> {
        self.phase = match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::New(joins) => Phase::Runs(joins()),
            phase => phase,
        };
        if let Phase::Runs(run) = &mut self.phase
            && run.poll_unpin(cx).is_ready()
        {
            self.phase = Phase::Over;
        }
        match (self.states.poll_next_unpin(cx), &self.phase) {
            (Poll::Pending, Phase::Over) => Poll::Ready(None),
            (state, _) => state,
        }
    }
}
