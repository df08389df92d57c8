//! The web socket of the shop: every change of the orders, to every client.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::Message as Frame;

use super::Source;
use super::orders::Message;

/// The time that a client has for its handshake.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// The wait after the system had no connection to give, such as without file descriptors.
const SHORT_OF: Duration = Duration::from_millis(200);
/// As many clients are connected at most.
const CLIENTS: usize = 64;

/// Accepts clients without end. While the link is cut, a connection is closed before its handshake.
///
/// Dropping the future drops the listener and every client.
pub(super) async fn serve(source: &Source, listener: TcpListener) {
    let mut clients = JoinSet::new();
    loop {
        let accepted: io::Result<_> = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = clients.join_next() => continue,
        };
        match accepted {
            Ok((stream, _)) if !source.shop.state.borrow().cut && clients.len() < CLIENTS => {
                clients.spawn(client(source.clone(), stream));
            }
            Ok(_) => {}
            Err(_) => sleep(SHORT_OF).await,
        }
    }
}

/// One client, until it leaves, is cut off or is too slow.
async fn client(source: Source, stream: TcpStream) {
    // Before the handshake: a client that is connected has every change from then on, so a snapshot that it asks for
    // afterwards leaves no gap.
    let changes = source.shop.changes.subscribe();
    let mut state = source.watch();
    let cut = async {
        // The value is a read lock. It goes here, before `select!` drops the other branch, whose guard writes.
        drop(state.wait_for(|state| state.cut).await);
    };
    tokio::select! {
        () = sends(&source, stream, changes) => {}
        // The connection breaks without a farewell, as a cut link does.
        () = cut => {}
    }
}

async fn sends(source: &Source, stream: TcpStream, mut changes: broadcast::Receiver<Arc<Message>>) {
    let Ok(Ok(mut socket)) = timeout(HANDSHAKE, accept_async(stream)).await else { return };
    let _open = Open::begin(source);
    loop {
        tokio::select! {
            // A client that is too far behind would miss a change. It is closed, and begins again.
            change = changes.recv() => {
                let Ok(text) = change.map(|change| serde_json::to_string(&*change)) else { return };
                let Ok(text) = text else { return };
                if socket.send(Frame::text(text)).await.is_err() {
                    return;
                }
            }
            // Reading answers pings. Other frames of a client have no meaning here.
            frame = socket.next() => match frame {
                Some(Ok(frame)) if !frame.is_close() => {
                    if socket.flush().await.is_err() {
                        return;
                    }
                }
                _ => return,
            },
        }
    }
}

/// A web socket that is open: a guard that counts it.
struct Open<'a>(&'a Source);

impl<'a> Open<'a> {
    fn begin(source: &'a Source) -> Self {
        source.shop.state.send_modify(|state| state.sockets += 1);
        Self(source)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.shop.state.send_modify(|state| state.sockets -= 1);
    }
}
