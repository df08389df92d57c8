//! The other side of a socket, without one: frames that are there, and a list with updates.

use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{Sink, Stream};
use level4::dashboard::{KeyValue, KeyValueError, Stored};
use level4::realtime::{Keyed, Snapshot, SnapshotApi, SnapshotError};
use level4::socket::{Connector, Frame, WireError};
use serde::{Deserialize, Serialize};

/// Frames that lie ready.
type Frames = Box<dyn Iterator<Item = Frame> + Send>;

/// Makes connections on which these frames come, and then none.
pub struct Line<F>(pub F);

impl<F: Fn() -> Frames + Send + Sync + 'static> Connector for Line<F> {
    type Connection = Wire;

    async fn connect(&self) -> Result<Wire, WireError> {
        Ok(Wire { frames: (self.0)() })
    }
}

/// A connection.
pub struct Wire {
    frames: Frames,
}

impl Stream for Wire {
    type Item = Result<Frame, WireError>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // It stays open without a frame: nothing wakes its reader then.
        self.frames.next().map_or(Poll::Pending, |frame| Poll::Ready(Some(Ok(frame))))
    }
}

/// What is written is lost.
impl Sink<Frame> for Wire {
    type Error = WireError;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), WireError>> {
        Poll::Ready(Ok(()))
    }

    fn start_send(self: Pin<&mut Self>, _: Frame) -> Result<(), WireError> {
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), WireError>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), WireError>> {
        Poll::Ready(Ok(()))
    }
}

/// A connection on which nothing comes.
pub fn no_frames() -> Frames {
    Box::new(std::iter::empty())
}

/// So many messages: `{"n":0}` and so on.
pub fn number_frames(times: u64) -> impl Fn() -> Frames + Send + Sync + 'static {
    move || Box::new((0..times).map(|n| Frame::Text(format!("{{\"n\":{n}}}"))))
}

/// Makes the updates of a list.
pub type OrderFrames = Box<dyn Fn() -> Frames + Send + Sync>;

/// So many updates of a list of `size` orders.
pub fn order_frames(times: u64, size: u32) -> OrderFrames {
    Box::new(move || {
        let size = u64::from(size);
        Box::new((1..=times).map(move |version| {
            let (key, patch) = (version % size, version * 7);
            Frame::Text(format!(
                "{{\"topic\":\"orders\",\"version\":{version},\
                 \"change\":{{\"update\":{{\"key\":{key},\"patch\":{patch}}}}}}}"
            ))
        }))
    })
}

/// An item of the list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Order {
    id: u32,
    total: u64,
}

impl Keyed for Order {
    type Key = u32;
    type Patch = u64;

    fn key(&self) -> u32 {
        self.id
    }

    fn patch(&mut self, patch: u64) {
        self.total = patch;
    }
}

/// The service of a list with so many orders.
pub struct Orders(pub u32);

impl Orders {
    /// The list.
    pub fn items(&self) -> Vec<Order> {
        (0..self.0).map(|id| Order { id, total: 0 }).collect()
    }
}

impl SnapshotApi for Orders {
    type Item = Order;

    async fn snapshot(&self) -> Result<Snapshot<Order>, SnapshotError> {
        Ok(Snapshot { items: self.items(), version: 0 })
    }
}

/// What a message changes, as a peer reads it.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// One order.
    Update {
        /// Which.
        key: u32,
        /// Its new total.
        patch: u64,
    },
}

impl Change {
    /// Changes the list.
    pub fn apply(&self, items: &mut [Order]) {
        let Self::Update { key, patch } = self;
        if let Some(order) = items.iter_mut().find(|order| order.id == *key) {
            order.patch(*patch);
        }
    }
}

/// Keeps the newest copy.
#[derive(Default)]
pub struct Kept(Mutex<String>);

impl KeyValue for Kept {
    fn get(&self, _: &str) -> Result<Option<Stored>, KeyValueError> {
        let text = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok((!text.is_empty()).then_some(Stored { text, age: Duration::ZERO }))
    }

    fn put(&self, _: &str, text: String) -> Result<(), KeyValueError> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = text;
        Ok(())
    }
}
