//! A socket: a driver and a channel in one stream.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::time::Duration;

use futures::channel::mpsc as events;
use futures::future::ready;
use futures::stream::BoxStream;
use futures::{FutureExt as _, Sink, SinkExt as _, Stream, StreamExt as _, stream};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout, timeout_at};

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
    let (yields, events) = events::channel(0);
    let drives = run::<C, M>(connector, config, accepted, yields).into_stream();
    let drives = drives.filter_map(|()| ready(None));
    Ok((Outbox { queue }, stream::select(events, drives).boxed()))
}

type Yields<M> = events::Sender<Result<Event<M>, GaveUp>>;

async fn run<C: Connector, M: DeserializeOwned>(
    connector: C,
    config: Config,
    mut accepted: mpsc::Receiver<Frame>,
    mut yields: Yields<M>,
) {
    let mut failures = 0_u32;
    let mut unsent = VecDeque::new();
    loop {
        let mut opened = None;
        let error = match connect(&connector, &config).await {
            Err(error) => error,
            Ok(mut connection) => {
                opened = Some(Instant::now());
                let attempt = failures + 1;
                let _ = yields.send(Ok(Event::Connected { attempt })).await;
                match serve(&mut connection, &config, &mut accepted, &mut unsent, &mut yields).await {
                    Err(error) => error,
                    Ok(never) => match never {},
                }
            }
        };
        if opened.is_some_and(|opened| opened.elapsed() >= config.stable_after) {
            failures = 0;
        }
        failures += 1;
        if failures > config.max_attempts {
            accepted.close();
            let _ = yields.send(Err(GaveUp { failures, last: error })).await;
            return;
        }
        let delay = config.delay(failures);
        let _ = yields.send(Ok(Event::Reconnecting { attempt: failures, delay })).await;
        sleep(delay).await;
    }
}

async fn connect<C: Connector>(
    connector: &C,
    config: &Config,
) -> Result<C::Connection, WireError> {
    let mut connection = tokio::select! {
        connected = connector.connect() => connected?,
        () = sleep(config.connect_timeout) => return Err(WireError::TimedOut),
    };
    for frame in config.hello.iter().cloned() {
        write(&mut connection, frame, config.pong_timeout).await?;
    }
    Ok(connection)
}

async fn write<S: Sink<Frame, Error = WireError> + Unpin>(
    connection: &mut S,
    frame: Frame,
    limit: Duration,
) -> Result<(), WireError> {
    match timeout(limit, connection.send(frame)).await {
        Ok(result) => result,
        Err(_) => Err(WireError::Silent),
    }
}

async fn serve<S, M: DeserializeOwned>(
    connection: &mut S,
    config: &Config,
    accepted: &mut mpsc::Receiver<Frame>,
    unsent: &mut VecDeque<Frame>,
    yields: &mut Yields<M>,
) -> Result<std::convert::Infallible, WireError>
where
    S: Stream<Item = Result<Frame, WireError>> + Sink<Frame, Error = WireError> + Unpin,
{
    let mut heard = Instant::now();
    let mut pinged: Option<Instant> = None;
    let mut open = true;
    loop {
        while let Some(frame) = unsent.front().cloned() {
            write(connection, frame, config.pong_timeout).await?;
            unsent.pop_front();
        }
        let due = match (pinged, config.ping_every) {
            (Some(pinged), _) => pinged + config.pong_timeout,
            (None, Some(every)) => heard + every,
            (None, None) => Instant::now() + LONGEST,
        };
        let happens = timeout_at(due, async {
            // Fair: a server that sends without a pause must not hold up what was accepted.
            tokio::select! {
                frame = connection.next() => Some(frame),
                frame = accepted.recv(), if open => {
                    open = frame.is_some();
                    unsent.extend(frame);
                    None
                }
            }
        });
        match happens.await {
            Err(_) if pinged.is_some() => return Err(WireError::Silent),
            Err(_) => {
                pinged = Some(Instant::now());
                write(connection, Frame::Ping(b"alive?".to_vec()), config.pong_timeout).await?;
            }
            Ok(None) => {}
            Ok(Some(None)) => return Err(WireError::Closed),
            Ok(Some(Some(frame))) => {
                let frame = frame?;
                (heard, pinged) = (Instant::now(), None);
                let message = match frame {
                    Frame::Pong(_) => continue,
                    Frame::Ping(data) => {
                        write(connection, Frame::Pong(data), config.pong_timeout).await?;
                        continue;
                    }
                    Frame::Text(text) => serde_json::from_slice(text.as_bytes()),
                    Frame::Binary(bytes) => serde_json::from_slice(&bytes),
                };
                let event = message.map_or_else(
                    |error| Event::BadFrame(DecodeError(error.to_string())),
                    Event::Message,
                );
                let _ = yields.send(Ok(event)).await;
            }
        }
    }
}
