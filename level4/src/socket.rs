//! A socket that reconnects: a stream of events over one connection after the other, and a queue for what is sent.
//!
//! ```text
//!                        ┌──── first poll
//!                        ▼                accepted, hello sent                  frames: Message, BadFrame
//!                    connecting ─────────────────────────────────▶ open ──────────────────────────────────┐
//!                     ▲      │ refused                              │  ▲                                   │
//!     waited `delay`  │      ▼                                      │  └───────────────────────────────────┘
//!                    waiting ◀─────────────────────────────────────┘ closed, an error, silence after a ping
//!                     │ `Reconnecting`, with the number of failures in a row and the delay
//!                     ▼ one failure more than `max_attempts`
//!                    `GaveUp`, end            a connection that was open for `stable_after` sets the number to zero
//! ```
//!
//! Lesson: `level4/lessons/socket.md`.

use std::marker::PhantomData;
use std::num::NonZeroUsize;
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{Sink, SinkExt as _, Stream, StreamExt as _, stream};
use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// The longest time that a [`Config`] accepts: 365 days. tokio's timers reach little further.
pub const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// What a connection carries.
///
/// ```
/// use futures::StreamExt as _;
/// use level4::socket::{Config, Event, Frame, socket};
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
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // `Server` sends these frames. The pong is no event.
/// let frames = vec![Frame::Pong(Vec::new()), Frame::Text("7".to_owned())];
/// let (_, mut events) = socket::<_, u32>(Server(frames), Config::default())?;
/// assert_eq!(events.next().await, Some(Ok(Event::Connected { attempt: 1 })));
/// assert_eq!(events.next().await, Some(Ok(Event::Message(7))));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A message as text.
    Text(String),
    /// A message as bytes.
    Binary(Vec<u8>),
    /// Asks the other side for a [`Frame::Pong`] with the same bytes.
    Ping(Vec<u8>),
    /// Answers a [`Frame::Ping`].
    Pong(Vec<u8>),
}

/// The reason why a connection was not made or has ended.
///
/// ```
/// # use level4::socket::Frame;
/// use futures::StreamExt as _;
/// use level4::socket::{Config, socket};
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
/// # struct Down;
///
/// impl Connector for Down {
///     type Connection = Wire;
///
///     async fn connect(&self) -> Result<Wire, WireError> {
///         Err(WireError::Failed("connection refused".to_owned()))
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let config = Config { max_attempts: 0, ..Config::default() };
/// let (_, mut events) = socket::<_, u32>(Down, config)?;
/// let gave_up = events.next().await.unwrap().unwrap_err();
/// assert_eq!(gave_up.last, WireError::Failed("connection refused".to_owned()));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The connection failed; the text says how.
    #[error("{0}")]
    Failed(String),
    /// There was no connection within `connect_timeout`.
    #[error("the connect took too long")]
    TimedOut,
    /// The other side has closed the connection.
    #[error("the connection was closed")]
    Closed,
    /// No frame came within `pong_timeout` after a ping, or a frame was not written within that time.
    #[error("the other side is silent")]
    Silent,
}

/// Makes connections: with the protocol of web sockets in a program, with channels in a test.
///
/// ```
/// # use level4::socket::Frame;
/// use std::sync::atomic::{AtomicU32, Ordering};
/// use futures::StreamExt as _;
/// use level4::socket::{Config, Event, socket};
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
///
/// /// A server that is up at the second attempt.
/// #[derive(Default)]
/// struct Restarting(AtomicU32);
///
/// impl Connector for Restarting {
///     type Connection = Wire; // a stream and a sink of frames
///
///     async fn connect(&self) -> Result<Wire, WireError> {
///         match self.0.fetch_add(1, Ordering::Relaxed) {
///             0 => Err(WireError::Failed("connection refused".to_owned())),
///             _ => Ok(Wire(VecDeque::new())),
///         }
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (_, mut events) = socket::<_, u32>(Restarting::default(), Config::default())?;
/// assert!(matches!(events.next().await, Some(Ok(Event::Reconnecting { attempt: 1, .. }))));
/// assert_eq!(events.next().await, Some(Ok(Event::Connected { attempt: 2 })));
/// # Ok(())
/// # }
/// ```
pub trait Connector: Send + Sync + 'static {
    /// An open connection. Its stream ends when the other side closes it. Dropping it closes it.
    type Connection: Stream<Item = Result<Frame, WireError>>
        + Sink<Frame, Error = WireError>
        + Send
        + Unpin;

    /// Makes one connection.
    ///
    /// Dropping the future gives the attempt up. The socket drops it at [`Config::connect_timeout`].
    ///
    /// # Errors
    ///
    /// [`WireError`]. The socket counts a failure and tries again, as its [`Config`] says.
    fn connect(&self) -> impl Future<Output = Result<Self::Connection, WireError>> + Send;
}

/// How a socket connects, and when it gives up.
///
/// ```
/// use std::time::Duration;
/// use level4::socket::{Config, Frame};
///
/// let config = Config {
///     hello: vec![Frame::Text(r#"{"subscribe": "orders"}"#.to_owned())],
///     ping_every: Some(Duration::from_secs(15)),
///     ..Config::default()
/// };
/// assert_eq!((config.max_attempts, config.outbox.get()), (5, 64));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// How many failures in a row are followed by another attempt.
    pub max_attempts: u32,
    /// The wait after the first failure. After each further failure in a row it is `factor` times as long.
    pub first_delay: Duration,
    /// The factor between one wait and the next: a finite number of at least 1.
    pub factor: f64,
    /// The longest wait. A wait that would grow beyond it is this one.
    pub longest_delay: Duration,
    /// How long the socket waits for a connection. Then it drops the attempt, which has failed. The time of `hello` is
    /// not part of it.
    pub connect_timeout: Duration,
    /// The time after which an open connection counts as a success: failures are then counted from zero again.
    pub stable_after: Duration,
    /// The time without a frame from the other side after which the socket sends a ping. `None`: it sends none.
    pub ping_every: Option<Duration>,
    /// How long the socket waits for a frame after a ping, and for each frame that it writes. Then the connection is
    /// over.
    pub pong_timeout: Duration,
    /// The frames that the socket sends first on every connection, such as a token and a subscription.
    pub hello: Vec<Frame>,
    /// How many frames may wait to be sent. For one more, [`Outbox::send`] fails.
    pub outbox: NonZeroUsize,
}

impl Default for Config {
    /// Five further attempts after 1, 2, 4, 8 and 16 s, with 30 s as the longest wait; 30 s for a connect; stable after
    /// 60 s; a ping after 30 s and 10 s for its answer; no hello; 64 frames.
    fn default() -> Self {
        Self {
            max_attempts: 5,
            first_delay: Duration::from_secs(1),
            factor: 2.0,
            longest_delay: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(30),
            stable_after: Duration::from_secs(60),
            ping_every: Some(Duration::from_secs(30)),
            pong_timeout: Duration::from_secs(10),
            hello: Vec::new(),
            outbox: NonZeroUsize::MIN.saturating_add(63),
        }
    }
}

/// The reason why [`socket`] refuses a [`Config`].
///
/// ```
/// # use level4::socket::Frame;
/// use std::time::Duration;
/// use level4::socket::{Config, ConfigError, socket};
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
///
/// let config = Config { pong_timeout: Duration::ZERO, ..Config::default() };
/// let refused = socket::<_, u32>(Server(Vec::new()), config).err();
/// assert_eq!(refused, Some(ConfigError::Zero("pong_timeout")));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A time other than `longest_delay` is zero. The text is its name.
    #[error("{0} is zero; it must be at least a nanosecond")]
    Zero(&'static str),
    /// A time is longer than [`LONGEST`]. The text is its name.
    #[error("{0} is longer than {LONGEST:?}, the longest time that a timer can wait")]
    TooLong(&'static str),
    /// The factor is below 1, infinite or not a number.
    #[error("factor must be a finite number of at least 1")]
    Factor,
}

impl Config {
    fn check(&self) -> Result<(), ConfigError> {
        let times = [
            ("first_delay", self.first_delay),
            ("connect_timeout", self.connect_timeout),
            ("stable_after", self.stable_after),
            // Without pings, a value that every check accepts.
            ("ping_every", self.ping_every.unwrap_or(LONGEST)),
            ("pong_timeout", self.pong_timeout),
        ];
        // `longest_delay` is not among them: with zero, all waits are zero, which is a choice.
        for (name, time) in times {
            if time.is_zero() {
                return Err(ConfigError::Zero(name));
            }
        }
        for (name, time) in times.into_iter().chain([("longest_delay", self.longest_delay)]) {
            if time > LONGEST {
                return Err(ConfigError::TooLong(name));
            }
        }
        // Asks for what is allowed, so that NaN is refused: each comparison with it is false.
        if self.factor >= 1.0 && self.factor.is_finite() {
            Ok(())
        } else {
            Err(ConfigError::Factor)
        }
    }

    /// The wait after this many failures in a row.
    fn delay(&self, failures: u32) -> Duration {
        let power = self.factor.powi(i32::try_from(failures.saturating_sub(1)).unwrap_or(i32::MAX));
        let seconds = self.first_delay.as_secs_f64() * power;
        // A power of many failures is infinite and fits into no duration.
        Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST).min(self.longest_delay)
    }
}

/// An event of a socket.
///
/// ```
/// # use level4::socket::Frame;
/// use futures::StreamExt as _;
/// use level4::socket::{Config, Event, socket};
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
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // `Server` sends two frames.
/// let server = Server(vec![Frame::Text("7".to_owned()), Frame::Text("seven".to_owned())]);
/// let (_, events) = socket::<_, u32>(server, Config::default())?;
/// let lines = events.take(3).map(|event| match event {
///     Ok(Event::Connected { .. }) => "online".to_owned(),
///     Ok(Event::Message(number)) => format!("number {number}"),
///     Ok(Event::BadFrame(_)) => "no number".to_owned(),
///     Ok(Event::Reconnecting { delay, .. }) => format!("offline for {delay:?}"),
///     Err(gave_up) => gave_up.to_string(),
/// });
/// assert_eq!(lines.collect::<Vec<_>>().await, ["online", "number 7", "no number"]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<M> {
    /// A connection is open and `hello` was sent.
    Connected {
        /// The number of the attempt: 1, and one more for each failure in a row before it.
        attempt: u32,
    },
    /// A message arrived.
    Message(M),
    /// A frame arrived that is no message. The socket goes on.
    BadFrame(DecodeError),
    /// The connection or the attempt to make one has failed. The next attempt begins after `delay`.
    Reconnecting {
        /// The number of failures in a row.
        attempt: u32,
        /// The wait that begins now.
        delay: Duration,
    },
}

/// The reason why a frame is no message.
///
/// ```
/// # use level4::socket::Frame;
/// use futures::StreamExt as _;
/// use level4::socket::{Config, Event, socket};
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
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = Server(vec![Frame::Text("seven".to_owned())]);
/// let (_, mut events) = socket::<_, u32>(server, Config::default())?;
/// events.next().await; // connected
/// let Some(Ok(Event::BadFrame(error))) = events.next().await else { panic!("it is no number") };
/// assert!(error.to_string().starts_with("a frame is no message: "));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a frame is no message: {0}")]
pub struct DecodeError(pub String);

/// The last item of a socket that has failed more often in a row than [`Config::max_attempts`]. It does not try again.
///
/// ```
/// # use level4::socket::Frame;
/// use futures::StreamExt as _;
/// use level4::socket::{Config, socket};
/// use tokio::time::Instant;
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
/// # struct Down;
/// # impl Connector for Down {
/// #     type Connection = Wire;
/// #     async fn connect(&self) -> Result<Wire, WireError> {
/// #         Err(WireError::Failed("connection refused".to_owned()))
/// #     }
/// # }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // `Down` refuses each connection. Attempts follow after 1 s and 2 s, and then no more.
/// let (began, config) = (Instant::now(), Config { max_attempts: 2, ..Config::default() });
/// let (_, events) = socket::<_, u32>(Down, config)?;
/// let last = events.collect::<Vec<_>>().await.pop().unwrap();
/// assert_eq!(last.unwrap_err().failures, 3);
/// assert_eq!(began.elapsed().as_secs(), 3);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("gave up after {failures} failures in a row: {last}")]
pub struct GaveUp {
    /// How many failures there were in a row.
    pub failures: u32,
    /// The error of the last failure.
    pub last: WireError,
}

/// The reason why a frame was not accepted, with the frame.
///
/// ```
/// use std::num::NonZeroUsize;
/// use level4::socket::{Config, Frame, SendError, socket};
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
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // Nothing polls the events, so no frame is sent.
/// let config = Config { outbox: NonZeroUsize::MIN, ..Config::default() };
/// let (outbox, events) = socket::<_, u32>(Server(Vec::new()), config)?;
/// let frame = || Frame::Text("7".to_owned());
/// assert_eq!(outbox.send(frame()), Ok(()));
/// assert_eq!(outbox.send(frame()), Err(SendError::Full(frame())));
/// drop(events);
/// assert_eq!(outbox.send(frame()), Err(SendError::Closed(frame())));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The number of waiting frames is that of [`Config::outbox`].
    #[error("the outbox is full")]
    Full(Frame),
    /// The stream of events has ended or was dropped.
    #[error("the socket is closed")]
    Closed(Frame),
}

/// The side that frames are sent from. Clones are handles to the same queue.
///
/// ```
/// use futures::StreamExt as _;
/// use level4::socket::{Config, Event, Frame, socket};
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
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (outbox, mut events) = socket::<_, u32>(Server(Vec::new()), Config::default())?;
/// // There is no connection yet: the frame waits for one.
/// outbox.send(Frame::Text("7".to_owned()))?;
/// assert_eq!(events.next().await, Some(Ok(Event::Connected { attempt: 1 })));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Outbox {
    /// A channel and no shared connection: a caller can send while there is no connection, and the driver alone writes
    /// to the connection, one frame after the other.
    queue: mpsc::Sender<Frame>,
}

impl Outbox {
    /// Accepts a frame for sending.
    ///
    /// The socket sends frames in the order of acceptance, over as many connections as that needs. A connection that
    /// breaks while a frame is written may have delivered it; the socket sends it again on the next one.
    ///
    /// # Errors
    ///
    /// [`SendError`], with the frame.
    pub fn send(&self, frame: Frame) -> Result<(), SendError> {
        // Not `send().await`: while there is no connection, the caller would wait for as long as the server is down.
        self.queue.try_send(frame).map_err(|error| match error {
            mpsc::error::TrySendError::Full(frame) => SendError::Full(frame),
            mpsc::error::TrySendError::Closed(frame) => SendError::Closed(frame),
        })
    }
}

/// The events of a socket, until it gives up.
///
/// ```
/// use futures::StreamExt as _;
/// use level4::socket::{Event, Events};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let mut events: Events<u32> = futures::stream::iter([Ok(Event::Message(7))]).boxed();
/// assert!(matches!(events.next().await, Some(Ok(Event::Message(7)))));
/// assert!(events.next().await.is_none());
/// # }
/// ```
pub type Events<M> = BoxStream<'static, Result<Event<M>, GaveUp>>;

/// Makes a socket: an outbox for the frames to send, and the stream of its events. Messages are JSON.
///
/// There is no background task: the stream connects, reads, writes and waits inside its polls. It ends after
/// [`GaveUp`].
///
/// # Errors
///
/// [`ConfigError`], if the settings make no sense.
///
/// # Cancellation
///
/// Before its first poll the stream has done nothing. Dropping it drops the connection, or the attempt to make one, and
/// the wait. Frames that wait are dropped, and [`Outbox::send`] fails. Dropping the outbox changes nothing.
///
/// ```no_run
/// use futures::StreamExt as _;
/// use level4::socket::{Config, Connector, Event, Frame, socket};
///
/// async fn prints(connector: impl Connector) -> Result<(), Box<dyn std::error::Error>> {
///     let (outbox, mut events) = socket::<_, u32>(connector, Config::default())?;
///     outbox.send(Frame::Text("7".to_owned()))?;
///     while let Some(event) = events.next().await {
///         println!("{:?}", event?);
///     }
///     Ok(())
/// }
/// ```
pub fn socket<C: Connector, M: DeserializeOwned + Send + 'static>(
    connector: C,
    config: Config,
) -> Result<(Outbox, Events<M>), ConfigError> {
    config.check()?;
    // A channel with a bound, so that a server that is down costs a bounded amount of memory. tokio panics above its
    // own limit, which no outbox reaches.
    let (sender, queue) = mpsc::channel(config.outbox.get().min(Semaphore::MAX_PERMITS));
    let driver = Driver {
        connector,
        config,
        queue,
        unsent: None,
        failures: 0,
        state: State::Connecting,
        message: PhantomData,
    };
    // The stream keeps the future of a step until it is ready. So a caller that drops `next()`, for example in a
    // `select!`, cuts off no step and loses no frame. The driver is in a box, since each step takes it and returns it.
    let events = stream::unfold(Box::new(driver), Driver::step);
    Ok((Outbox { queue: sender }, Box::pin(events)))
}

/// The socket itself. It lives inside the stream of events and does its work there.
struct Driver<C: Connector, M> {
    connector: C,
    config: Config,
    /// Outlives the connections, so that a frame accepted on one is sent on the next.
    queue: mpsc::Receiver<Frame>,
    /// A frame that was taken from the queue and is not written yet. A channel takes no frame back, so without this a
    /// connection that breaks during a write would lose it. It is the first on the next connection.
    unsent: Option<Frame>,
    /// How many failures there were in a row. It chooses the wait and ends the socket.
    failures: u32,
    state: State<C::Connection>,
    /// The driver holds no message, it only makes them. `fn() -> M` says so: the driver is `Send` for every `M`.
    message: PhantomData<fn() -> M>,
}

/// What the driver does next. A wait is a state of its own, because its event comes before it: the reader is to know
/// of a wait when it begins.
enum State<C> {
    Connecting,
    Open(Open<C>),
    /// The wait before the next attempt.
    Waiting(Duration),
    /// The stream ends with the next poll.
    Over,
}

/// An open connection and its heartbeat.
struct Open<C> {
    connection: C,
    /// When the hello was written. A connection that lasted for `stable_after` sets the failures to zero.
    since: Instant,
    /// When a ping is due; after a ping, when the connection is over. `None`: no heartbeat.
    due: Option<Instant>,
    /// Whether a ping is without an answer. It says what `due` means.
    was_pinged: bool,
}

/// What ends a wait on an open connection. A value, so that the `select!` only waits: what it borrows is free again
/// before the outcome is handled.
enum Next {
    Due,
    Came(Option<Result<Frame, WireError>>),
    ToSend(Frame),
}

/// What `unfold` wants of a step: the item and the driver for the next step. `None` ends the stream.
type Step<C, M> = Option<(Result<Event<M>, GaveUp>, Box<Driver<C, M>>)>;

impl<C: Connector, M: DeserializeOwned> Driver<C, M> {
    /// Runs until there is an event. Not every state has one, hence the loop.
    async fn step(mut self: Box<Self>) -> Step<C, M> {
        loop {
            match self.state {
                State::Over => return None,
                State::Waiting(delay) => {
                    sleep(delay).await;
                    self.state = State::Connecting;
                }
                State::Connecting => {
                    let event = match self.connect().await {
                        Ok(open) => {
                            self.state = State::Open(open);
                            Ok(Event::Connected { attempt: self.failures + 1 })
                        }
                        Err(error) => self.fails(error),
                    };
                    return Some((event, self));
                }
                State::Open(ref mut open) => {
                    let result = open.serve(&self.config, &mut self.queue, &mut self.unsent).await;
                    let event = match result {
                        Ok(frame) => Ok(decode(frame)),
                        Err(error) => {
                            // Only at the end of a connection, and by its length: if each connection were a success, a
                            // server that accepts and closes at once would be called without end, at the first delay.
                            if open.since.elapsed() >= self.config.stable_after {
                                self.failures = 0;
                            }
                            self.fails(error)
                        }
                    };
                    return Some((event, self));
                }
            }
        }
    }

    /// Makes a connection and sends the hello. A unique reference, so that the future is `Send` also for connections
    /// that are not `Sync`.
    async fn connect(&mut self) -> Result<Open<C::Connection>, WireError> {
        // A server that accepts and says nothing, or a network that drops every packet, would hold the socket here
        // without end: there is no connection yet whose silence the pings could find.
        let limit = self.config.connect_timeout;
        let connected = timeout(limit, self.connector.connect()).await;
        let mut connection = connected.unwrap_or(Err(WireError::TimedOut))?;
        // Before everything in the outbox: the server may refuse frames before the token. A hello that cannot be
        // written is a failed attempt, and no `Connected` is reported.
        for frame in &self.config.hello {
            send(&mut connection, frame.clone(), &self.config).await?;
        }
        let since = Instant::now();
        let due = self.config.ping_every.map(|every| since + every);
        Ok(Open { connection, since, due, was_pinged: false })
    }

    /// Counts a failure, and begins a wait or ends the socket. The new state replaces an open connection, which is
    /// dropped here: during the wait it would hold a place on the server.
    fn fails(&mut self, last: WireError) -> Result<Event<M>, GaveUp> {
        self.failures = self.failures.saturating_add(1);
        if self.failures > self.config.max_attempts {
            self.state = State::Over;
            // From now on `Outbox::send` fails. The stream may live on unread, and frames would wait in it unsent.
            self.queue.close();
            return Err(GaveUp { failures: self.failures, last });
        }
        let delay = self.config.delay(self.failures);
        self.state = State::Waiting(delay);
        Ok(Event::Reconnecting { attempt: self.failures, delay })
    }
}

impl<C> Open<C>
where
    C: Stream<Item = Result<Frame, WireError>> + Sink<Frame, Error = WireError> + Unpin,
{
    /// Reads and writes until there is a frame for the owner, or the connection is over.
    async fn serve(
        &mut self,
        config: &Config,
        queue: &mut mpsc::Receiver<Frame>,
        unsent: &mut Option<Frame>,
    ) -> Result<Frame, WireError> {
        loop {
            // One frame out for each that comes in: neither direction can hold up the other. The queue has the last
            // branch of the `select!` below, so a server that always has a frame ready would otherwise keep it unsent.
            if unsent.is_none() {
                *unsent = queue.try_recv().ok();
            }
            // A clone, because `send` consumes the frame and returns none if it fails.
            if let Some(frame) = unsent.clone() {
                send(&mut self.connection, frame, config).await?;
                // Only now: until it is written it belongs to the next connection too.
                *unsent = None;
            }
            let due = self.due;
            // Each branch may be dropped without a loss: `next` and `recv` take a frame only when they are ready with
            // it, and the timer is made again from `due`. A write is not among them: half of it may be on the wire.
            let next = tokio::select! {
                // A frame is a sign of life, so it is read before the time is checked. In the other order, a reader
                // that comes back late would find the time over and drop a connection whose answer lies there unread.
                biased;
                came = self.connection.next() => Next::Came(came),
                // `select!` evaluates the expression of a branch also if its condition is false. Inside the block, the
                // timer is made only when the branch is polled.
                () = async { sleep_until(due.unwrap_or_else(Instant::now)).await }, if due.is_some() => Next::Due,
                // With every outbox dropped, `recv` yields `None`: the pattern then turns the branch off.
                Some(frame) = queue.recv() => Next::ToSend(frame),
            };
            match next {
                // Written at the start of the next round, which is the one place that writes from the queue.
                Next::ToSend(frame) => *unsent = Some(frame),
                Next::Due if self.was_pinged => return Err(WireError::Silent),
                Next::Due => {
                    // Before the write, which may take its time: the other side's time begins with the ping.
                    self.was_pinged = true;
                    self.due = Some(Instant::now() + config.pong_timeout);
                    send(&mut self.connection, Frame::Ping(Vec::new()), config).await?;
                }
                Next::Came(None) => return Err(WireError::Closed),
                Next::Came(Some(frame)) => {
                    let frame = frame?;
                    // Any frame is a sign of life, not only a pong: a server that is busy sending is not silent.
                    self.was_pinged = false;
                    self.due = config.ping_every.map(|every| Instant::now() + every);
                    match frame {
                        // Answered here, so that the owner sees messages only and the protocol has one place.
                        Frame::Ping(data) => {
                            send(&mut self.connection, Frame::Pong(data), config).await?;
                        }
                        Frame::Pong(_) => {}
                        frame => return Ok(frame),
                    }
                }
            }
        }
    }
}

/// Writes a frame within `pong_timeout`. When the other side is gone, the buffers fill up and a write waits without
/// end: without the limit, the socket would reach neither its ping nor the time after it.
async fn send<C: Sink<Frame, Error = WireError> + Unpin>(
    connection: &mut C,
    frame: Frame,
    config: &Config,
) -> Result<(), WireError> {
    timeout(config.pong_timeout, connection.send(frame)).await.unwrap_or(Err(WireError::Silent))
}

/// Reads a frame as JSON. A bad frame is an event and no error: the connection works, and the next frame may be good.
fn decode<M: DeserializeOwned>(frame: Frame) -> Event<M> {
    let decoded = match &frame {
        Frame::Text(text) => serde_json::from_str(text),
        // `serve` returns no ping and no pong. They stand here, because the match has to name every kind.
        Frame::Binary(bytes) | Frame::Ping(bytes) | Frame::Pong(bytes) => {
            serde_json::from_slice(bytes)
        }
    };
    match decoded {
        Ok(message) => Event::Message(message),
        Err(error) => Event::BadFrame(DecodeError(error.to_string())),
    }
}
