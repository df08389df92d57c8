//! A server whose answers to connects are scripted, and the connections to it.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use futures::{Sink, Stream};
use grader_kit::{lock, ms};
use level4::socket::{Connector, Frame, WireError};
use tokio::time::{Instant, sleep};

/// How a connect ends.
#[derive(Debug, Clone, Copy)]
pub enum Answer {
    Accepts,
    Refuses,
    /// After so many milliseconds.
    AcceptsAfter(u64),
    /// Accepted, and closed after so many milliseconds.
    ClosesAfter(u64),
    /// Accepted, and what the client writes goes no further.
    Stuck(Part),
    /// Accepted, and nothing can be written.
    Breaks(Part),
    /// Accepted, and each flush of what the client writes takes so many milliseconds.
    Slow(u64),
}

/// The steps of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// `Sink::poll_ready`.
    Ready,
    /// `Sink::start_send`.
    Start,
    /// `Sink::poll_flush`.
    Flush,
}

/// What the server knows of one connection.
#[derive(Default)]
struct Side {
    /// What the client has not read yet. `None` is the close.
    incoming: VecDeque<Option<Result<Frame, WireError>>>,
    /// What the client has written and not flushed.
    unflushed: Vec<Frame>,
    /// What the client has sent: written and flushed.
    sent: Vec<(u64, Frame)>,
    gone: Option<u64>,
    /// What comes whenever the client reads and nothing else is there.
    flood: Option<Frame>,
    /// The client's, where it waits to read and to write.
    reads: Option<Waker>,
    writes: Option<Waker>,
    /// Where the client's writes wait.
    stuck: Option<Part>,
    /// Frames that are still accepted before the client's writes fail, and where they fail.
    accepts: Option<(usize, Part)>,
    /// How long a flush takes.
    length: u64,
}

impl Side {
    /// Whether the client's write goes on at this step.
    fn passes(&mut self, part: Part, cx: &Context<'_>) -> Poll<Result<(), WireError>> {
        // A flush of more frames than are taken delivers none of them.
        let fails = match self.accepts {
            Some((left, Part::Flush)) => part == Part::Flush && self.unflushed.len() > left,
            accepts => accepts == Some((0, part)),
        };
        if fails {
            return Poll::Ready(Err(WireError::Failed("broken pipe".to_owned())));
        }
        if self.stuck == Some(part) && (part != Part::Flush || !self.unflushed.is_empty()) {
            self.writes = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    fn wakers(&mut self) -> impl Iterator<Item = Waker> + use<> {
        [self.reads.take(), self.writes.take()].into_iter().flatten()
    }
}

struct State {
    since: Instant,
    answers: VecDeque<Answer>,
    /// For all connects after the script.
    then: Answer,
    connects: Vec<u64>,
    connecting: usize,
    sides: Vec<Side>,
}

/// A clone is a handle to the same server.
#[derive(Clone)]
pub struct Server(Arc<Mutex<State>>);

impl Server {
    pub fn new(answers: impl IntoIterator<Item = Answer>, then: Answer) -> Self {
        Self(Arc::new(Mutex::new(State {
            since: Instant::now(),
            answers: answers.into_iter().collect(),
            then,
            connects: Vec::new(),
            connecting: 0,
            sides: Vec::new(),
        })))
    }

    pub fn now(&self) -> u64 {
        u64::try_from(lock(&self.0).since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// When the client tried to connect.
    pub fn connects(&self) -> Vec<u64> {
        lock(&self.0).connects.clone()
    }

    /// Connections that are open, and connects that are on their way.
    pub fn alive(&self) -> usize {
        let state = lock(&self.0);
        state.connecting + state.sides.iter().filter(|side| side.gone.is_none()).count()
    }

    /// What the client has sent on a connection: the first one is 0.
    pub fn sent(&self, connection: usize) -> Vec<Frame> {
        let state = lock(&self.0);
        let sent = state.sides.get(connection).map(|side| side.sent.iter());
        sent.into_iter().flatten().map(|(_, frame)| frame.clone()).collect()
    }

    /// The same, with times.
    pub fn sent_at(&self, connection: usize) -> Vec<(u64, Frame)> {
        lock(&self.0).sides.get(connection).map(|side| side.sent.clone()).unwrap_or_default()
    }

    /// The newest connection.
    fn newest(&self, change: impl FnOnce(&mut Side)) {
        let wakers = lock(&self.0).sides.last_mut().map(|side| {
            change(side);
            side.wakers()
        });
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    pub fn sends(&self, frame: Frame) {
        self.newest(|side| side.incoming.push_back(Some(Ok(frame))));
    }

    /// From now on this frame comes again and again, without a pause.
    pub fn floods(&self, frame: Frame) {
        self.newest(|side| side.flood = Some(frame));
    }

    pub fn fails(&self) {
        let error = WireError::Failed("reset".to_owned());
        self.newest(|side| side.incoming.push_back(Some(Err(error))));
    }

    pub fn closes(&self) {
        self.newest(|side| side.incoming.push_back(None));
    }

    /// Of the newest connection: so many frames are accepted, then writing fails at this step.
    pub fn breaks_after(&self, frames: usize, at: Part) {
        self.newest(|side| side.accepts = Some((frames, at)));
    }

    /// Of the newest connection: from now on the client's writes wait at this step, or at none.
    pub fn sticks(&self, at: Option<Part>) {
        self.newest(|side| side.stuck = at);
    }
}

struct Connecting(Server);

impl Drop for Connecting {
    fn drop(&mut self) {
        lock(&self.0.0).connecting -= 1;
    }
}

impl Connector for Server {
    type Connection = Connection;

    async fn connect(&self) -> Result<Connection, WireError> {
        let now = self.now();
        let answer = {
            let mut state = lock(&self.0);
            state.connects.push(now);
            state.connecting += 1;
            state.answers.pop_front().unwrap_or(state.then)
        };
        let connecting = Connecting(self.clone());
        if let Answer::AcceptsAfter(length) = answer {
            sleep(ms(length)).await;
        }
        drop(connecting);
        if matches!(answer, Answer::Refuses) {
            return Err(WireError::Failed("refused".to_owned()));
        }
        let index = {
            let mut state = lock(&self.0);
            let mut side = Side::default();
            match answer {
                Answer::Stuck(part) => side.stuck = Some(part),
                Answer::Breaks(part) => side.accepts = Some((0, part)),
                Answer::Slow(length) => side.length = length,
                _ => {}
            }
            state.sides.push(side);
            state.sides.len() - 1
        };
        let closes = match answer {
            Answer::ClosesAfter(length) => Some(Box::pin(sleep(ms(length)))),
            _ => None,
        };
        Ok(Connection { server: self.clone(), index, closes, flushes: None })
    }
}

pub struct Connection {
    server: Server,
    index: usize,
    closes: Option<Pin<Box<tokio::time::Sleep>>>,
    /// A flush that takes its time.
    flushes: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl Stream for Connection {
    type Item = Result<Frame, WireError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(closes) = &mut self.closes
            && closes.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(None);
        }
        let mut state = lock(&self.server.0);
        let Some(side) = state.sides.get_mut(self.index) else { return Poll::Ready(None) };
        let flood = side.flood.clone().map(|frame| Some(Ok(frame)));
        match side.incoming.pop_front().or(flood) {
            Some(item) => Poll::Ready(item),
            None => {
                side.reads = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Connection {
    /// How long a flush takes. `None`: no time, or there is nothing to flush.
    fn takes(&self) -> Option<u64> {
        let state = lock(&self.server.0);
        let side = state.sides.get(self.index)?;
        (side.length > 0 && !side.unflushed.is_empty()).then_some(side.length)
    }

    /// Asks the server's side of this connection.
    fn side<T>(
        &self,
        ask: impl FnOnce(&mut Side) -> Poll<Result<T, WireError>>,
    ) -> Poll<Result<T, WireError>> {
        match lock(&self.server.0).sides.get_mut(self.index) {
            Some(side) => ask(side),
            None => Poll::Ready(Err(WireError::Closed)),
        }
    }
}

impl Sink<Frame> for Connection {
    type Error = WireError;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), WireError>> {
        self.side(|side| side.passes(Part::Ready, cx))
    }

    fn start_send(self: Pin<&mut Self>, frame: Frame) -> Result<(), WireError> {
        let mut state = lock(&self.server.0);
        let Some(side) = state.sides.get_mut(self.index) else { return Err(WireError::Closed) };
        match &mut side.accepts {
            Some((0, Part::Start)) => return Err(WireError::Failed("broken pipe".to_owned())),
            Some((left, Part::Ready | Part::Start)) => *left = left.saturating_sub(1),
            _ => {}
        }
        side.unflushed.push(frame);
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), WireError>> {
        if let Some(length) = self.takes() {
            let flushes = self.flushes.get_or_insert_with(|| Box::pin(sleep(ms(length))));
            if flushes.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.flushes = None;
        }
        let now = self.server.now();
        self.side(|side| {
            let passes = side.passes(Part::Flush, cx);
            if passes == Poll::Ready(Ok(())) {
                if let Some((left, Part::Flush)) = &mut side.accepts {
                    *left = left.saturating_sub(side.unflushed.len());
                }
                side.sent.extend(side.unflushed.drain(..).map(|frame| (now, frame)));
            }
            passes
        })
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), WireError>> {
        self.poll_flush(cx)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let now = self.server.now();
        if let Some(side) = lock(&self.server.0).sides.get_mut(self.index) {
            side.gone = Some(now);
        }
    }
}
