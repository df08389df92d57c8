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

/// Why a connection was not made, or is over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The connection failed; the text says how.
    #[error("{0}")]
    Failed(String),
    /// The other side has closed the connection.
    #[error("the connection was closed")]
    Closed,
    /// After a ping nothing came, or a frame could not be written, for `pong_timeout`.
    #[error("the other side is silent")]
    Silent,
}

/// Makes connections. The real one speaks the protocol of web sockets; a test takes channels.
pub trait Connector: Send + Sync + 'static {
    /// An open connection. Its end is the close of the other side. Dropping it closes it.
    type Connection: Stream<Item = Result<Frame, WireError>>
        + Sink<Frame, Error = WireError>
        + Send
        + Unpin;

    /// Makes one connection.
    fn connect(&self) -> impl Future<Output = Result<Self::Connection, WireError>> + Send;
}

/// How a socket connects, and when it gives up.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// How many failures in a row are followed by another attempt.
    pub max_attempts: u32,
    /// The wait after the first failure. After each further one it is `factor` times as long.
    pub first_delay: Duration,
    /// At least 1.
    pub factor: f64,
    /// No wait is longer.
    pub longest_delay: Duration,
    /// A connection that was open for this time was a success: failures are counted from zero again.
    pub stable_after: Duration,
    /// A ping is sent when nothing has come for this time. `None`: never.
    pub ping_every: Option<Duration>,
    /// A connection is over when nothing comes for this time after a ping, or a frame cannot be written for this time.
    pub pong_timeout: Duration,
    /// Sent first on every connection, such as a token and a subscription.
    pub hello: Vec<Frame>,
    /// How many frames wait to be sent. For one more, [`Outbox::send`] fails.
    pub outbox: NonZeroUsize,
}

impl Default for Config {
    /// Five attempts after 1, 2, 4, 8 and 16 s, never more than 30 s; stable after 60 s; a ping after 30 s and 10 s for
    /// its answer; no hello; 64 frames.
    fn default() -> Self {
        Self {
            max_attempts: 5,
            first_delay: Duration::from_secs(1),
            factor: 2.0,
            longest_delay: Duration::from_secs(30),
            stable_after: Duration::from_secs(60),
            ping_every: Some(Duration::from_secs(30)),
            pong_timeout: Duration::from_secs(10),
            hello: Vec::new(),
            outbox: NonZeroUsize::MIN.saturating_add(63),
        }
    }
}

/// Why there is no such socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A time that must not be zero is zero: any but `longest_delay`. The text names it.
    #[error("{0} is zero; it must be at least a nanosecond")]
    Zero(&'static str),
    /// A time is longer than [`LONGEST`]. The text names it.
    #[error("{0} is longer than {LONGEST:?}, the longest time that a timer can wait")]
    TooLong(&'static str),
    /// The factor is below 1, or no finite number.
    #[error("factor must be a finite number of at least 1")]
    Factor,
}

impl Config {
    fn check(&self) -> Result<(), ConfigError> {
        let times = [
            ("first_delay", self.first_delay),
            ("stable_after", self.stable_after),
            ("ping_every", self.ping_every.unwrap_or(LONGEST)),
            ("pong_timeout", self.pong_timeout),
        ];
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
        // Written so that NaN is refused.
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
        // A power of many failures is infinite, and no duration.
        Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST).min(self.longest_delay)
    }
}

/// What happens on a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<M> {
    /// A connection is open and `hello` was sent.
    Connected {
        /// 1, and one more for each failure in a row before it.
        attempt: u32,
    },
    /// A message came.
    Message(M),
    /// A frame came that is no message. The socket goes on.
    BadFrame(DecodeError),
    /// There is no connection. The next attempt begins after `delay`.
    Reconnecting {
        /// The number of failures in a row.
        attempt: u32,
        /// The wait that begins now.
        delay: Duration,
    },
}

/// Why a frame is no message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a frame is no message: {0}")]
pub struct DecodeError(pub String);

/// The socket has failed once more than it may, and does not try again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("gave up after {failures} failures in a row: {last}")]
pub struct GaveUp {
    /// How many failures there were in a row.
    pub failures: u32,
    /// The last one.
    pub last: WireError,
}

/// Why a frame was not accepted. The frame comes back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// As many frames wait as the [`Config`] allows.
    #[error("the outbox is full")]
    Full(Frame),
    /// The stream of events has ended or was dropped.
    #[error("the socket is closed")]
    Closed(Frame),
}

/// The side that frames are sent from. Clones are handles to the same queue.
#[derive(Debug, Clone)]
pub struct Outbox {
    queue: mpsc::Sender<Frame>,
}

impl Outbox {
    /// Accepts a frame. It is sent in the order of acceptance, at the latest on the next connection. A connection that
    /// breaks while a frame is written may have delivered it; it is sent again on the next one.
    ///
    /// # Errors
    ///
    /// [`SendError`], with the frame.
    pub fn send(&self, frame: Frame) -> Result<(), SendError> {
        self.queue.try_send(frame).map_err(|error| match error {
            mpsc::error::TrySendError::Full(frame) => SendError::Full(frame),
            mpsc::error::TrySendError::Closed(frame) => SendError::Closed(frame),
        })
    }
}

/// What happens on a socket, until it gives up.
pub type Events<M> = BoxStream<'static, Result<Event<M>, GaveUp>>;

/// A socket: where frames are sent, and what happens. Messages are JSON.
///
/// Nothing happens before the stream is polled: it connects, reads, writes and waits inside of its polls. It ends
/// after [`GaveUp`].
///
/// # Errors
///
/// [`ConfigError`].
///
/// # Cancellation
///
/// Dropping the stream drops the connection, or the attempt to make one, and the wait. Frames that wait are dropped,
/// and [`Outbox::send`] fails. Dropping the outbox changes nothing.
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
    // tokio panics above its own limit, which no outbox ever reaches.
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
    // The future of a step is kept by the stream until it is ready, so a step is never cut off but by the drop of
    // the whole. The driver is in a box, for each step takes it and returns it.
    let events = stream::unfold(Box::new(driver), Driver::step);
    Ok((Outbox { queue: sender }, Box::pin(events)))
}

struct Driver<C: Connector, M> {
    connector: C,
    config: Config,
    queue: mpsc::Receiver<Frame>,
    /// A frame that was taken from the queue and not written: first on the next connection.
    unsent: Option<Frame>,
    /// In a row.
    failures: u32,
    state: State<C::Connection>,
    message: PhantomData<fn() -> M>,
}

enum State<C> {
    Connecting,
    Open(Open<C>),
    Waiting(Duration),
    Over,
}

struct Open<C> {
    connection: C,
    since: Instant,
    /// When a ping is due, or the connection is over if one was sent.
    due: Option<Instant>,
    was_pinged: bool,
}

/// What ends a wait on an open connection.
enum Next {
    Due,
    Came(Option<Result<Frame, WireError>>),
    ToSend(Frame),
}

type Step<C, M> = Option<(Result<Event<M>, GaveUp>, Box<Driver<C, M>>)>;

impl<C: Connector, M: DeserializeOwned> Driver<C, M> {
    /// Goes on until there is an event.
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

    /// By a unique reference, so that the future is `Send` for connections that are not `Sync`.
    async fn connect(&mut self) -> Result<Open<C::Connection>, WireError> {
        let mut connection = self.connector.connect().await?;
        for frame in &self.config.hello {
            send(&mut connection, frame.clone(), &self.config).await?;
        }
        let since = Instant::now();
        let due = self.config.ping_every.map(|every| since + every);
        Ok(Open { connection, since, due, was_pinged: false })
    }

    /// One failure more: a wait, or the end. A connection that was open is dropped here.
    fn fails(&mut self, last: WireError) -> Result<Event<M>, GaveUp> {
        self.failures = self.failures.saturating_add(1);
        if self.failures > self.config.max_attempts {
            self.state = State::Over;
            // From now on `Outbox::send` says that it is over.
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
    /// Reads and writes until a frame is there for the owner, or the connection is over.
    async fn serve(
        &mut self,
        config: &Config,
        queue: &mut mpsc::Receiver<Frame>,
        unsent: &mut Option<Frame>,
    ) -> Result<Frame, WireError> {
        loop {
            // One frame for each that comes: neither direction can hold up the other one.
            if unsent.is_none() {
                *unsent = queue.try_recv().ok();
            }
            if let Some(frame) = unsent.clone() {
                send(&mut self.connection, frame, config).await?;
                // Only now: until it is written it belongs to the next connection too.
                *unsent = None;
            }
            let due = self.due;
            let next = tokio::select! {
                // What has come is life, so it is looked at before the time is.
                biased;
                came = self.connection.next() => Next::Came(came),
                () = async { sleep_until(due.unwrap_or_else(Instant::now)).await }, if due.is_some() => Next::Due,
                Some(frame) = queue.recv() => Next::ToSend(frame),
            };
            match next {
                Next::ToSend(frame) => *unsent = Some(frame),
                Next::Due if self.was_pinged => return Err(WireError::Silent),
                Next::Due => {
                    self.was_pinged = true;
                    self.due = Some(Instant::now() + config.pong_timeout);
                    send(&mut self.connection, Frame::Ping(Vec::new()), config).await?;
                }
                Next::Came(None) => return Err(WireError::Closed),
                Next::Came(Some(frame)) => {
                    let frame = frame?;
                    // Any frame is a sign of life.
                    self.was_pinged = false;
                    self.due = config.ping_every.map(|every| Instant::now() + every);
                    match frame {
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

/// Writes a frame. A connection that takes none of it in time is as dead as one that says nothing.
async fn send<C: Sink<Frame, Error = WireError> + Unpin>(
    connection: &mut C,
    frame: Frame,
    config: &Config,
) -> Result<(), WireError> {
    timeout(config.pong_timeout, connection.send(frame)).await.unwrap_or(Err(WireError::Silent))
}

fn decode<M: DeserializeOwned>(frame: Frame) -> Event<M> {
    let decoded = match &frame {
        Frame::Text(text) => serde_json::from_str(text),
        Frame::Binary(bytes) | Frame::Ping(bytes) | Frame::Pong(bytes) => {
            serde_json::from_slice(bytes)
        }
    };
    match decoded {
        Ok(message) => Event::Message(message),
        Err(error) => Event::BadFrame(DecodeError(error.to_string())),
    }
}
