//! One connection: tungstenite's messages as level 4's frames.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::{Sink, SinkExt as _, Stream, StreamExt as _};
use level4::socket::{Frame, WireError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{Error, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::Message;

/// The most bytes that a ping or a pong carries (RFC 6455, section 5.5).
const CONTROL: usize = 125;

/// An open connection.
///
/// It ends when the server closes it; the close is answered. After an error it ends too.
///
/// # Cancellation
///
/// Dropping it closes the bytes below without a close frame: a server sees that the connection is gone, not why.
/// [`SinkExt::close`](futures::SinkExt::close) sends a close frame first.
#[derive(Debug)]
pub struct Connection<B> {
    frames: WebSocketStream<B>,
    is_over: bool,
}

impl<B> Connection<B> {
    pub(crate) const fn new(frames: WebSocketStream<B>) -> Self {
        Self { frames, is_over: false }
    }
}

impl<B: AsyncRead + AsyncWrite + Unpin> Stream for Connection<B> {
    type Item = Result<Frame, WireError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        while !self.is_over {
            let frame = match ready!(self.frames.poll_next_unpin(cx)) {
                Some(Ok(Message::Text(text))) => Frame::Text(text.as_str().to_owned()),
                Some(Ok(Message::Binary(bytes))) => Frame::Binary(bytes.into()),
                Some(Ok(Message::Ping(bytes))) => Frame::Ping(bytes.into()),
                Some(Ok(Message::Pong(bytes))) => Frame::Pong(bytes.into()),
                // Is written, never read.
                Some(Ok(Message::Frame(_))) => continue,
                Some(Ok(Message::Close(_))) => {
                    self.is_over = true;
                    // The answer to the close, which tungstenite has ready. A server that takes no bytes gets none.
                    let _ = self.frames.poll_flush_unpin(cx);
                    continue;
                }
                Some(Err(error)) => {
                    self.is_over = true;
                    return Poll::Ready(Some(Err(why(error))));
                }
                None => {
                    self.is_over = true;
                    continue;
                }
            };
            return Poll::Ready(Some(Ok(frame)));
        }
        Poll::Ready(None)
    }
}

impl<B: AsyncRead + AsyncWrite + Unpin> Sink<Frame> for Connection<B> {
    type Error = WireError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), WireError>> {
        self.frames.poll_ready_unpin(cx).map_err(why)
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Frame) -> Result<(), WireError> {
        let message = match frame {
            Frame::Text(text) => Message::text(text),
            Frame::Binary(bytes) => Message::binary(bytes),
            Frame::Ping(bytes) | Frame::Pong(bytes) if bytes.len() > CONTROL => {
                let length = bytes.len();
                let text = format!("a ping or pong of {length} bytes: {CONTROL} are the most");
                return Err(WireError::Failed(text));
            }
            Frame::Ping(bytes) => Message::Ping(bytes.into()),
            // Replaces the pong that tungstenite has ready since it has read the ping: one goes out.
            Frame::Pong(bytes) => Message::Pong(bytes.into()),
        };
        self.frames.start_send_unpin(message).map_err(why)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), WireError>> {
        self.frames.poll_flush_unpin(cx).map_err(why)
    }

    /// Sends a close frame.
    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), WireError>> {
        self.frames.poll_close_unpin(cx).map_err(why)
    }
}

fn why(error: Error) -> WireError {
    match error {
        Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Protocol(ProtocolError::SendAfterClosing) => WireError::Closed,
        error => WireError::Failed(error.to_string()),
    }
}
