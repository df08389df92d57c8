//! Realtime data: a list that is loaded once and then follows the updates of a socket.
//!
//! ```text
//!    first reader            connected: asks for a snapshot                 snapshot, and the kept updates after it
//!   ─────────────▶ Connecting ─────────────────────────────▶ (updates are kept) ───────────────────────▶ Live ◀──┐
//!                    ▲                                         │       ▲                                  │  │   │
//!                    │                         no snapshot     ▼       │ asks again after a wait          │  └───┘
//!                    │          a list that is young enough: Stale ────┤                                  │  updates
//!                    │                            otherwise: Failed ───┘                                  │  apply
//!                    │                                                                                    │
//!                    └──────────────── the connection is lost: what was kept goes ────────────────────────┘
//!
//!   the socket gives up: `GaveUp`, the readers end       the last reader is dropped: so are socket and snapshot
//! ```
//!
//! Lesson: `level4/lessons/realtime.md`.

mod follow;
mod list;

use std::convert::Infallible;
use std::fmt;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures::{FutureExt as _, Stream, StreamExt as _, stream};
pub use level3::retry;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::dashboard::KeyValue;
use crate::single_flight::SingleFlight;
use crate::socket::{self, Connector};
use crate::state_store::Store;
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
    /// How many messages of this list's topic, or of no readable topic, were no updates. The count only grows.
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
    /// One socket for all readers, which lives as long as one of them.
    runs: SingleFlight<(), (), Infallible>,
}

impl<A: SnapshotApi, C, K> Clone for Realtime<A, C, K> {
    fn clone(&self) -> Self {
        Self { parts: Arc::clone(&self.parts), runs: self.runs.clone() }
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
        socket::socket::<_, Value>(connector.clone(), settings.socket.clone()).map(drop)?;
        let store = Store::new(Board::new());
        let parts = Parts { api, connector, copies, settings, store };
        Ok(Self { parts: Arc::new(parts), runs: SingleFlight::new() })
    }

    /// What is known now.
    #[must_use]
    pub fn now(&self) -> Live<A::Item> {
        self.parts.store.view().state.live.clone()
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
        let (runs, parts) = (self.runs.clone(), Arc::clone(&self.parts));
        let work = move || async move {
            follow(parts).await;
            Ok(())
        };
        let mut run = Some(async move { runs.run((), work).await }.boxed());
        let mut states = self.parts.store.select(|view| view.state.live.clone());
        stream::poll_fn(move |cx| {
            // First: the state that is read after it is the newest.
            if run.as_mut().is_some_and(|run| run.poll_unpin(cx).is_ready()) {
                run = None;
            }
            match states.poll_next_unpin(cx) {
                Poll::Pending if run.is_none() => Poll::Ready(None),
                state => state,
            }
        })
    }
}
