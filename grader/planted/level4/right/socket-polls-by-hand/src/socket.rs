//! A socket whose state machine is polled by hand.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt as _, Sink, SinkExt as _, Stream, StreamExt as _};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

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
    /// There was no connection within `connect_timeout`.
    #[error("the connect took too long")]
    TimedOut,
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
    /// An attempt to connect is given up after this time.
    pub connect_timeout: Duration,
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
            connect_timeout: Duration::from_secs(30),
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
            ("connect_timeout", self.connect_timeout),
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
        if self.factor >= 1.0 && self.factor.is_finite() { Ok(()) } else { Err(ConfigError::Factor) }
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

/// A socket: where frames are sent, and what happens.
pub fn socket<C: Connector, M: DeserializeOwned + Send + 'static>(
    connector: C,
    config: Config,
) -> Result<(Outbox, Events<M>), ConfigError> {
    config.check()?;
    let (queue, accepted) = mpsc::channel(config.outbox.get().min(tokio::sync::Semaphore::MAX_PERMITS));
    let socket = Socket::<C, M> {
        connector: Arc::new(connector),
        config,
        accepted,
        unsent: None,
        failures: 0,
        state: State::Made,
        message: std::marker::PhantomData,
    };
    Ok((Outbox { queue }, Box::pin(socket)))
}

struct Socket<C: Connector, M> {
    connector: Arc<C>,
    config: Config,
    accepted: mpsc::Receiver<Frame>,
    unsent: Option<Frame>,
    failures: u32,
    state: State<C::Connection>,
    message: std::marker::PhantomData<fn() -> M>,
}

impl<C: Connector, M> Unpin for Socket<C, M> {}

enum State<S> {
    Made,
    Connecting(BoxFuture<'static, Result<S, WireError>>),
    Open(Open<S>),
    Waiting(Pin<Box<Sleep>>),
    Over,
}

struct Open<S> {
    connection: S,
    since: Instant,
    heard: Pin<Box<Sleep>>,
    pinged: bool,
    /// Pings and pongs that are to be written.
    control: VecDeque<Frame>,
    /// Until when the sink must be ready.
    writes: Option<Pin<Box<Sleep>>>,
    /// Whether what was written waits to be flushed, and is a frame of the outbox.
    flushes: Option<bool>,
}

impl<S> Open<S>
where
    S: Stream<Item = Result<Frame, WireError>> + Sink<Frame, Error = WireError> + Unpin,
{
    /// Writes what there is. Pending when there is nothing, or the sink is not ready.
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        config: &Config,
        accepted: &mut mpsc::Receiver<Frame>,
        unsent: &mut Option<Frame>,
    ) -> Poll<WireError> {
        loop {
            if self.flushes.is_none() {
                if self.control.is_empty() && unsent.is_none() {
                    match ready!(accepted.poll_recv(cx)) {
                        Some(frame) => *unsent = Some(frame),
                        None => return Poll::Pending,
                    }
                }
                let limit = config.pong_timeout;
                let writes = self.writes.get_or_insert_with(|| Box::pin(sleep(limit)));
                match self.connection.poll_ready_unpin(cx) {
                    Poll::Pending => {
                        ready!(writes.poll_unpin(cx));
                        return Poll::Ready(WireError::Silent);
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(error),
                    Poll::Ready(Ok(())) => {}
                }
                let control = self.control.pop_front();
                self.flushes = Some(control.is_none());
                let Some(frame) = control.or_else(|| unsent.clone()) else { continue };
                if let Err(error) = self.connection.start_send_unpin(frame) {
                    return Poll::Ready(error);
                }
            }
            match self.connection.poll_flush_unpin(cx) {
                Poll::Ready(Ok(())) => {
                    if self.flushes.take() == Some(true) {
                        *unsent = None;
                    }
                    self.writes = None;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(error),
                Poll::Pending => {
                    let Some(writes) = &mut self.writes else { return Poll::Pending };
                    ready!(writes.poll_unpin(cx));
                    return Poll::Ready(WireError::Silent);
                }
            }
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, config: &Config) -> Poll<Result<Frame, WireError>> {
        loop {
            let frame = match self.connection.poll_next_unpin(cx) {
                Poll::Ready(None) => return Poll::Ready(Err(WireError::Closed)),
                Poll::Ready(Some(frame)) => frame?,
                Poll::Pending => {
                    ready!(self.heard.poll_unpin(cx));
                    if self.pinged {
                        return Poll::Ready(Err(WireError::Silent));
                    }
                    self.pinged = true;
                    self.control.push_back(Frame::Ping(Vec::new()));
                    self.heard.set(sleep(config.pong_timeout));
                    continue;
                }
            };
            self.pinged = false;
            self.heard.set(sleep(config.ping_every.unwrap_or(LONGEST)));
            match frame {
                Frame::Ping(data) => self.control.push_back(Frame::Pong(data)),
                Frame::Pong(_) => {}
                message => return Poll::Ready(Ok(message)),
            }
        }
    }
}

impl<C: Connector, M: DeserializeOwned> Socket<C, M> {
    fn failed(&mut self, last: WireError) -> Result<Event<M>, GaveUp> {
        if let State::Open(open) = &self.state
            && open.since.elapsed() >= self.config.stable_after
        {
            self.failures = 0;
        }
        self.failures += 1;
        let failures = self.failures;
        if failures > self.config.max_attempts {
            self.state = State::Over;
            self.accepted.close();
            return Err(GaveUp { failures, last });
        }
        let delay = self.config.delay(failures);
        self.state = State::Waiting(Box::pin(sleep(delay)));
        Ok(Event::Reconnecting { attempt: failures, delay })
    }
}

impl<C: Connector, M: DeserializeOwned> Stream for Socket<C, M> {
    type Item = Result<Event<M>, GaveUp>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            match &mut this.state {
                State::Over => return Poll::Ready(None),
                State::Waiting(wait) => {
                    ready!(wait.poll_unpin(cx));
                    this.state = State::Made;
                }
                State::Made => {
                    let (connector, hello) = (Arc::clone(&this.connector), this.config.hello.clone());
                    let limit = this.config.pong_timeout;
                    let patience = this.config.connect_timeout;
                    this.state = State::Connecting(Box::pin(async move {
                        let connected = tokio::time::timeout(patience, connector.connect()).await;
                        let mut connection = connected.map_err(|_| WireError::TimedOut)??;
                        for frame in hello {
                            let written = tokio::time::timeout(limit, connection.send(frame)).await;
                            written.unwrap_or(Err(WireError::Silent))?;
                        }
                        Ok(connection)
                    }));
                }
                State::Connecting(connecting) => {
                    let event = match ready!(connecting.poll_unpin(cx)) {
                        Err(error) => this.failed(error),
                        Ok(connection) => {
                            let since = Instant::now();
                            let every = this.config.ping_every.unwrap_or(LONGEST);
                            this.state = State::Open(Open {
                                connection,
                                since,
                                heard: Box::pin(sleep_until(since + every)),
                                pinged: false,
                                control: VecDeque::new(),
                                writes: None,
                                flushes: None,
                            });
                            Ok(Event::Connected { attempt: this.failures + 1 })
                        }
                    };
                    return Poll::Ready(Some(event));
                }
                State::Open(open) => {
                    let read = open.poll_read(cx, &this.config);
                    let written =
                        open.poll_write(cx, &this.config, &mut this.accepted, &mut this.unsent);
                    let event = match (read, written) {
                        (Poll::Ready(Ok(frame)), _) => {
                            let bytes = match frame {
                                Frame::Text(text) => text.into_bytes(),
                                Frame::Binary(bytes) | Frame::Ping(bytes) | Frame::Pong(bytes) => bytes,
                            };
                            Ok(match serde_json::from_slice(&bytes) {
                                Ok(message) => Event::Message(message),
                                Err(error) => Event::BadFrame(DecodeError(error.to_string())),
                            })
                        }
                        (Poll::Ready(Err(error)), _) | (_, Poll::Ready(error)) => this.failed(error),
                        (Poll::Pending, Poll::Pending) => return Poll::Pending,
                    };
                    return Poll::Ready(Some(event));
                }
            }
        }
    }
}
