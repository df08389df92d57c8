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
///
/// ```
/// use level4::realtime::Keyed;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
/// struct Order {
///     id: u32,
///     state: String,
/// }
///
/// impl Keyed for Order {
///     type Key = u32;
///     type Patch = String;
///
///     fn key(&self) -> u32 {
///         self.id
///     }
///
///     fn patch(&mut self, state: String) {
///         self.state = state;
///     }
/// }
///
/// let mut order = Order { id: 7, state: "packed".to_owned() };
/// order.patch("sent".to_owned());
/// assert_eq!((order.key(), order.state.as_str()), (7, "sent"));
/// ```
pub trait Keyed: Clone + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The type of an item's key.
    type Key: Clone + PartialEq + DeserializeOwned + Send + Sync + 'static;
    /// The part of an item that an update changes.
    type Patch: Clone + DeserializeOwned + Send + Sync + 'static;

    /// Returns the key of this item. It never changes.
    fn key(&self) -> Self::Key;

    /// Applies a patch to the item.
    fn patch(&mut self, patch: Self::Patch);
}

/// A change of a list.
///
/// A message of the socket is JSON with the list's topic, the version of the list after the change, and the change:
/// `{"topic": "orders", "version": 8, "change": {"delete": 7}}`.
///
/// ```
/// use level4::realtime::Update;
/// # use level4::realtime::Keyed;
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
/// # struct Order {
/// #     id: u32,
/// #     state: String,
/// # }
/// # impl Keyed for Order {
/// #     type Key = u32;
/// #     type Patch = String;
/// #     fn key(&self) -> u32 {
/// #         self.id
/// #     }
/// #     fn patch(&mut self, state: String) {
/// #         self.state = state;
/// #     }
/// # }
///
/// let update: Update<Order> = serde_json::from_str(r#"{"update": {"key": 7, "patch": "sent"}}"#)?;
/// assert!(matches!(update, Update::Update { key: 7, .. }));
/// let update: Update<Order> = serde_json::from_str(r#"{"delete": 7}"#)?;
/// assert!(matches!(update, Update::Delete(7)));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "lowercase", bound(deserialize = "T: Keyed"))]
pub enum Update<T: Keyed> {
    /// Adds an item at the end. If there is an item with its key, it replaces that item in its place.
    Insert(T),
    /// Changes one item. Without an item of this key, nothing changes.
    Update {
        /// The key of the item.
        key: T::Key,
        /// The change, for [`Keyed::patch`].
        patch: T::Patch,
    },
    /// Removes the item with this key. Without such an item, nothing changes.
    Delete(T::Key),
    /// Replaces all items.
    Replace(Vec<T>),
}

/// A list at one moment.
///
/// ```
/// use level4::realtime::Snapshot;
///
/// let text = r#"{"items": ["ann", "ben"], "version": 7}"#;
/// let snapshot: Snapshot<String> = serde_json::from_str(text)?;
/// assert_eq!((snapshot.items.len(), snapshot.version), (2, 7));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(deserialize = "T: DeserializeOwned"))]
pub struct Snapshot<T> {
    /// The items, in the order of the list.
    pub items: Vec<T>,
    /// The version of the last update that is part of the snapshot. Each update has a higher version than those before
    /// it.
    pub version: u64,
}

/// The reason why a call for a snapshot failed: a text for a log, not for a page.
///
/// ```
/// use level4::realtime::{Snapshot, SnapshotApi, SnapshotError};
/// # use level4::realtime::Keyed;
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
/// # struct Order {
/// #     id: u32,
/// #     state: String,
/// # }
/// # impl Keyed for Order {
/// #     type Key = u32;
/// #     type Patch = String;
/// #     fn key(&self) -> u32 {
/// #         self.id
/// #     }
/// #     fn patch(&mut self, state: String) {
/// #         self.state = state;
/// #     }
/// # }
///
/// /// A service that is down.
/// struct Down;
///
/// impl SnapshotApi for Down {
///     type Item = Order;
///
///     async fn snapshot(&self) -> Result<Snapshot<Order>, SnapshotError> {
///         Err(SnapshotError("503 Service Unavailable".to_owned()))
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let error = Down.snapshot().await.unwrap_err();
/// assert_eq!(error.to_string(), "503 Service Unavailable");
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SnapshotError(pub String);

/// The service that a list is loaded from.
///
/// ```
/// use level4::realtime::{Snapshot, SnapshotApi, SnapshotError};
/// # use level4::realtime::Keyed;
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
/// # struct Order {
/// #     id: u32,
/// #     state: String,
/// # }
/// # impl Keyed for Order {
/// #     type Key = u32;
/// #     type Patch = String;
/// #     fn key(&self) -> u32 {
/// #         self.id
/// #     }
/// #     fn patch(&mut self, state: String) {
/// #         self.state = state;
/// #     }
/// # }
///
/// /// A service for a test, whose list has one order.
/// struct Orders;
///
/// impl SnapshotApi for Orders {
///     type Item = Order;
///
///     async fn snapshot(&self) -> Result<Snapshot<Order>, SnapshotError> {
///         let items = vec![Order { id: 7, state: "packed".to_owned() }];
///         Ok(Snapshot { items, version: 1 })
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// assert_eq!(Orders.snapshot().await.unwrap().items.len(), 1);
/// # }
/// ```
pub trait SnapshotApi: Send + Sync + 'static {
    /// The type of the list's items.
    type Item: Keyed;

    /// Returns the list as it is now.
    ///
    /// Dropping the future gives the call up.
    ///
    /// # Errors
    ///
    /// [`SnapshotError`]. The list asks again, as [`Settings::snapshots`] says.
    fn snapshot(&self) -> impl Future<Output = Result<Snapshot<Self::Item>, SnapshotError>> + Send;
}

/// How far a list can be trusted.
///
/// ```
/// # use level4::socket::Frame;
/// use futures::StreamExt as _;
/// use level4::realtime::{Realtime, Settings, Status};
/// # use std::collections::VecDeque;
/// # use std::pin::Pin;
/// # use std::task::{Context, Poll};
/// # use level4::socket::{Connector, WireError};
/// # struct Wire(VecDeque<Frame>);
/// # impl futures::Stream for Wire {
/// #     type Item = Result<Frame, WireError>;
/// #     fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
/// #         self.0.pop_front().map_or(Poll::Pending, |frame| Poll::Ready(Some(Ok(frame))))
/// #     }
/// # }
/// # impl futures::Sink<Frame> for Wire {
/// #     type Error = WireError;
/// #     fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), WireError>> {
/// #         Poll::Ready(Ok(()))
/// #     }
/// #     fn start_send(self: Pin<&mut Self>, _: Frame) -> Result<(), WireError> {
/// #         Ok(())
/// #     }
/// #     fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), WireError>> {
/// #         Poll::Ready(Ok(()))
/// #     }
/// #     fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), WireError>> {
/// #         Poll::Ready(Ok(()))
/// #     }
/// # }
/// # struct Server(Vec<Frame>);
/// # impl Connector for Server {
/// #     type Connection = Wire;
/// #     async fn connect(&self) -> Result<Wire, WireError> {
/// #         Ok(Wire(self.0.clone().into()))
/// #     }
/// # }
/// # use level4::realtime::Keyed;
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
/// # struct Order {
/// #     id: u32,
/// #     state: String,
/// # }
/// # impl Keyed for Order {
/// #     type Key = u32;
/// #     type Patch = String;
/// #     fn key(&self) -> u32 {
/// #         self.id
/// #     }
/// #     fn patch(&mut self, state: String) {
/// #         self.state = state;
/// #     }
/// # }
/// # use level4::realtime::{Snapshot, SnapshotApi, SnapshotError};
/// # struct Orders;
/// # impl SnapshotApi for Orders {
/// #     type Item = Order;
/// #     async fn snapshot(&self) -> Result<Snapshot<Order>, SnapshotError> {
/// #         let items = vec![Order { id: 7, state: "packed".to_owned() }];
/// #         Ok(Snapshot { items, version: 1 })
/// #     }
/// # }
/// # use level4::dashboard::{KeyValue, KeyValueError, Stored};
/// # struct NoCopies;
/// # impl KeyValue for NoCopies {
/// #     fn get(&self, _: &str) -> Result<Option<Stored>, KeyValueError> {
/// #         Ok(None)
/// #     }
/// #     fn put(&self, _: &str, _: String) -> Result<(), KeyValueError> {
/// #         Ok(())
/// #     }
/// # }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let orders = Realtime::new(Orders, Server(Vec::new()), NoCopies, Settings::new("orders"))?;
/// let mut banners = orders.open().map(|live| match live.status {
///     Status::Connecting => "connecting".to_owned(),
///     Status::Live => "live".to_owned(),
///     Status::Stale { age } => format!("as of {age:?} ago"),
///     Status::Failed => "the orders could not be loaded".to_owned(),
///     Status::GaveUp => "offline".to_owned(),
/// });
/// while banners.next().await.unwrap() != "live" {}
/// assert_eq!(orders.now().status, Status::Live);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// There is no connection, or no answer to the first call for a snapshot yet. The items are those from before.
    Connecting,
    /// The list is the server's list and follows its updates.
    Live,
    /// The call for a snapshot failed. The items are an older list, which follows the updates that come. The changes
    /// between that list and the first update are missing.
    Stale {
        /// The age of the older list when the call failed.
        age: Duration,
    },
    /// The call for a snapshot failed, and no list is young enough. The connection is open, and a snapshot is asked for
    /// again.
    Failed,
    /// The socket has given up. The next reader begins again.
    GaveUp,
}

/// A list, and how far it can be trusted. Both change together.
///
/// ```
/// use futures::StreamExt as _;
/// use level4::realtime::{Realtime, Settings, Status};
/// use level4::socket::Frame;
/// # use std::collections::VecDeque;
/// # use std::pin::Pin;
/// # use std::task::{Context, Poll};
/// # use level4::socket::{Connector, WireError};
/// # struct Wire(VecDeque<Frame>);
/// # impl futures::Stream for Wire {
/// #     type Item = Result<Frame, WireError>;
/// #     fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
/// #         self.0.pop_front().map_or(Poll::Pending, |frame| Poll::Ready(Some(Ok(frame))))
/// #     }
/// # }
/// # impl futures::Sink<Frame> for Wire {
/// #     type Error = WireError;
/// #     fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), WireError>> {
/// #         Poll::Ready(Ok(()))
/// #     }
/// #     fn start_send(self: Pin<&mut Self>, _: Frame) -> Result<(), WireError> {
/// #         Ok(())
/// #     }
/// #     fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), WireError>> {
/// #         Poll::Ready(Ok(()))
/// #     }
/// #     fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), WireError>> {
/// #         Poll::Ready(Ok(()))
/// #     }
/// # }
/// # struct Server(Vec<Frame>);
/// # impl Connector for Server {
/// #     type Connection = Wire;
/// #     async fn connect(&self) -> Result<Wire, WireError> {
/// #         Ok(Wire(self.0.clone().into()))
/// #     }
/// # }
/// # use level4::realtime::Keyed;
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
/// # struct Order {
/// #     id: u32,
/// #     state: String,
/// # }
/// # impl Keyed for Order {
/// #     type Key = u32;
/// #     type Patch = String;
/// #     fn key(&self) -> u32 {
/// #         self.id
/// #     }
/// #     fn patch(&mut self, state: String) {
/// #         self.state = state;
/// #     }
/// # }
/// # use level4::realtime::{Snapshot, SnapshotApi, SnapshotError};
/// # struct Orders;
/// # impl SnapshotApi for Orders {
/// #     type Item = Order;
/// #     async fn snapshot(&self) -> Result<Snapshot<Order>, SnapshotError> {
/// #         let items = vec![Order { id: 7, state: "packed".to_owned() }];
/// #         Ok(Snapshot { items, version: 1 })
/// #     }
/// # }
/// # use level4::dashboard::{KeyValue, KeyValueError, Stored};
/// # struct NoCopies;
/// # impl KeyValue for NoCopies {
/// #     fn get(&self, _: &str) -> Result<Option<Stored>, KeyValueError> {
/// #         Ok(None)
/// #     }
/// #     fn put(&self, _: &str, _: String) -> Result<(), KeyValueError> {
/// #         Ok(())
/// #     }
/// # }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // The snapshot has the version 1 and an order, which this update removes.
/// let update = r#"{"topic": "orders", "version": 2, "change": {"delete": 7}}"#;
/// let server = Server(vec![Frame::Text(update.to_owned())]);
/// let orders = Realtime::new(Orders, server, NoCopies, Settings::new("orders"))?;
/// assert_eq!(orders.now().items, None); // no list yet
///
/// let mut states = orders.open().skip_while(|live| std::future::ready(live.version < 2));
/// let live = states.next().await.unwrap();
/// assert_eq!((live.status, live.items.unwrap().len()), (Status::Live, 0));
/// assert_eq!(live.unreadable, 0);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Live<T> {
    /// The items, in the order of the list. `None`: there was no list yet. That differs from a list without items.
    pub items: Option<Arc<[T]>>,
    /// The version of the last update that is part of the items.
    pub version: u64,
    /// How far the items can be trusted.
    pub status: Status,
    /// How many frames were not JSON or were messages of this list's topic but no updates. The count only grows.
    pub unreadable: u64,
}

/// How a list is loaded and followed.
///
/// ```
/// use std::time::Duration;
/// use level4::realtime::Settings;
/// use level4::socket::{Config, Frame};
///
/// let hello = vec![Frame::Text(r#"{"subscribe": "orders"}"#.to_owned())];
/// let settings = Settings {
///     socket: Config { hello, ..Config::default() },
///     fresh_for: Duration::from_secs(60),
///     ..Settings::new("orders")
/// };
/// assert_eq!((settings.topic.as_str(), settings.kept.get()), ("orders", 1024));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The topic of the messages that are about the list. Its copy has the key `realtime/` and this name.
    pub topic: String,
    /// How the socket connects. Its `hello` asks the server for the updates: it is sent before a snapshot is asked for.
    pub socket: socket::Config,
    /// The waits after a failed call for a snapshot, without jitter, and the number of calls on one connection.
    pub snapshots: Backoff,
    /// The age from which an older list is not shown. Without a snapshot, a younger one is.
    pub fresh_for: Duration,
    /// How many updates are kept until the snapshot arrives. For one more, the oldest is dropped, and a snapshot from
    /// before it counts as failed.
    pub kept: NonZeroUsize,
}

impl Settings {
    /// The defaults for a topic: those of the socket; another call for a snapshot after 1, 2, 4, ... s, at most 30 s,
    /// without end; a list younger than 5 min is shown; 1024 updates are kept.
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
/// A clone is a handle to the same list. There is no background task: the socket runs inside the readers' polls, and
/// without a reader there is no socket.
///
/// ```
/// # use level4::socket::Frame;
/// use futures::StreamExt as _;
/// use level4::realtime::{Realtime, Settings, Status};
/// # use std::collections::VecDeque;
/// # use std::pin::Pin;
/// # use std::task::{Context, Poll};
/// # use level4::socket::{Connector, WireError};
/// # struct Wire(VecDeque<Frame>);
/// # impl futures::Stream for Wire {
/// #     type Item = Result<Frame, WireError>;
/// #     fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
/// #         self.0.pop_front().map_or(Poll::Pending, |frame| Poll::Ready(Some(Ok(frame))))
/// #     }
/// # }
/// # impl futures::Sink<Frame> for Wire {
/// #     type Error = WireError;
/// #     fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), WireError>> {
/// #         Poll::Ready(Ok(()))
/// #     }
/// #     fn start_send(self: Pin<&mut Self>, _: Frame) -> Result<(), WireError> {
/// #         Ok(())
/// #     }
/// #     fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), WireError>> {
/// #         Poll::Ready(Ok(()))
/// #     }
/// #     fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), WireError>> {
/// #         Poll::Ready(Ok(()))
/// #     }
/// # }
/// # struct Server(Vec<Frame>);
/// # impl Connector for Server {
/// #     type Connection = Wire;
/// #     async fn connect(&self) -> Result<Wire, WireError> {
/// #         Ok(Wire(self.0.clone().into()))
/// #     }
/// # }
/// # use level4::realtime::Keyed;
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
/// # struct Order {
/// #     id: u32,
/// #     state: String,
/// # }
/// # impl Keyed for Order {
/// #     type Key = u32;
/// #     type Patch = String;
/// #     fn key(&self) -> u32 {
/// #         self.id
/// #     }
/// #     fn patch(&mut self, state: String) {
/// #         self.state = state;
/// #     }
/// # }
/// # use level4::realtime::{Snapshot, SnapshotApi, SnapshotError};
/// # struct Orders;
/// # impl SnapshotApi for Orders {
/// #     type Item = Order;
/// #     async fn snapshot(&self) -> Result<Snapshot<Order>, SnapshotError> {
/// #         let items = vec![Order { id: 7, state: "packed".to_owned() }];
/// #         Ok(Snapshot { items, version: 1 })
/// #     }
/// # }
/// # use level4::dashboard::{KeyValue, KeyValueError, Stored};
/// # struct NoCopies;
/// # impl KeyValue for NoCopies {
/// #     fn get(&self, _: &str) -> Result<Option<Stored>, KeyValueError> {
/// #         Ok(None)
/// #     }
/// #     fn put(&self, _: &str, _: String) -> Result<(), KeyValueError> {
/// #         Ok(())
/// #     }
/// # }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let orders = Realtime::new(Orders, Server(Vec::new()), NoCopies, Settings::new("orders"))?;
/// let mut states = orders.open();
/// while let Some(live) = states.next().await {
///     println!("{:?}: {} items", live.status, live.items.map_or(0, |items| items.len()));
///     if live.status == Status::Live {
///         break;
///     }
/// }
/// assert_eq!(orders.now().items.unwrap().len(), 1);
/// # Ok(())
/// # }
/// ```
pub struct Realtime<A: SnapshotApi, C, K> {
    /// Shared with the run, which may outlive every handle: a reader owns what it needs.
    parts: Arc<Parts<A, C, K>>,
    /// One socket for all readers, which lives as long as one of them. It returns nothing: readers get their states
    /// from the store.
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
    /// Makes a list that has loaded nothing. It connects when the first reader is polled.
    ///
    /// # Errors
    ///
    /// [`socket::ConfigError`], if the settings of the socket make no sense.
    pub fn new(
        api: A,
        connector: C,
        copies: K,
        settings: Settings,
    ) -> Result<Self, socket::ConfigError> {
        let connector = SharedConnector(Arc::new(connector));
        // A socket that is not polled does nothing. This one exists for a moment, so that bad settings are refused
        // here, where the caller can act, and not at the first reader.
        socket::socket::<_, Value>(connector.clone(), settings.socket.clone()).map(drop)?;
        let store = Store::new(Board::new());
        let parts = Parts { api, connector, copies, settings, store };
        Ok(Self { parts: Arc::new(parts), runs: SingleFlight::new() })
    }

    /// Returns the list and its status as they are now. This connects to nothing.
    #[must_use]
    pub fn now(&self) -> Live<A::Item> {
        self.parts.store.view().state.live.clone()
    }

    /// Follows the list: yields the state at the first poll, then each state that differs from the one before. A slow
    /// reader misses states in between, never the newest. The stream ends after [`Status::GaveUp`].
    ///
    /// The readers share one socket. Any reader that is polled drives it.
    ///
    /// # Panics
    ///
    /// A panic of the service, of the connector or of an item's code reaches all readers. The next reader begins again.
    ///
    /// # Cancellation
    ///
    /// Before its first poll the stream has done nothing. Dropping the last reader drops the connection and a call for
    /// a snapshot; the status is then [`Status::Connecting`].
    pub fn open(&self) -> impl Stream<Item = Live<A::Item>> + Send + Unpin + use<A, C, K> {
        let (runs, parts) = (self.runs.clone(), Arc::clone(&self.parts));
        let work = move || async move {
            follow(parts).await;
            Ok(())
        };
        // In a box, because it is polled by hand below: a future must be pinned for that. The block owns its handle
        // and joins the run at its first poll, not here.
        let mut run = Some(async move { runs.run((), work).await }.boxed());
        let mut states = self.parts.store.select(|view| view.state.live.clone());
        // Both in one poll: each reader drives the shared run, so that none depends on another reader being polled.
        stream::poll_fn(move |cx| {
            // The run first, because its poll may change the state. In the other order, the poll in which the run
            // gives up would find no new state, see an ended run, and end without `GaveUp`.
            if run.as_mut().is_some_and(|run| run.poll_unpin(cx).is_ready()) {
                // A future that has ended must not be polled again.
                run = None;
            }
            match states.poll_next_unpin(cx) {
                // Only after the states: a reader that is behind still gets the last one.
                Poll::Pending if run.is_none() => Poll::Ready(None),
                state => state,
            }
        })
    }
}
