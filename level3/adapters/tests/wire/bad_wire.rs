//! A wire that loses requests and answers, between a client and a server that is all right.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use level3_sim::Dice;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use crate::peer::read_message;

/// Passes requests on one by one, and decides about each by its dice.
pub struct BadWire {
    pub address: SocketAddr,
    lost: Arc<AtomicUsize>,
}

/// What becomes of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Passed,
    /// Never seen by the server.
    RequestLost,
    /// Done by the server, and the client is not told.
    AnswerLost,
}

impl BadWire {
    /// A wire to the server at `port` of loopback that loses `per_mille` of 1000 requests, half of them on
    /// their way and the other half on the way back.
    pub async fn new(port: u16, per_mille: u64, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let address = listener.local_addr().expect("an address");
        let (dice, lost) = (Arc::new(Dice::new(seed)), Arc::new(AtomicUsize::new(0)));
        let losses = Arc::clone(&lost);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (dice, losses) = (Arc::clone(&dice), Arc::clone(&losses));
                let fate = move || match dice.below(2000) {
                    roll if roll < per_mille => Fate::RequestLost,
                    roll if roll < 2 * per_mille => Fate::AnswerLost,
                    _ => Fate::Passed,
                };
                tokio::spawn(async move {
                    if pass(client, port, fate).await == Some(Lost) {
                        losses.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        Self { address, lost }
    }

    /// Requests and answers that were lost.
    pub fn lost(&self) -> usize {
        self.lost.load(Ordering::SeqCst)
    }
}

#[derive(PartialEq, Eq)]
struct Lost;

/// Serves one connection until something on it is lost. A reset, not an end: the client sees a broken
/// wire.
async fn pass(mut client: TcpStream, port: u16, fate: impl Fn() -> Fate) -> Option<Lost> {
    let mut server = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    loop {
        let request = read_message(&mut client).await?;
        let fate = fate();
        if fate != Fate::RequestLost {
            server.write_all(&request).await.ok()?;
            let answer = read_message(&mut server).await?;
            if fate == Fate::Passed {
                client.write_all(&answer).await.ok()?;
                continue;
            }
        }
        let _ = client.set_zero_linger();
        return Some(Lost);
    }
}
