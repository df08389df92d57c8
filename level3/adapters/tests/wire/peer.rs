//! A peer that does what no HTTP server does: it follows a script, byte by byte.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::PATIENCE;

/// What is done with a connection once its request has been read.
#[derive(Clone)]
pub enum Then {
    /// Bytes go out.
    Send(Vec<u8>),
    /// The same byte goes out again and again, with a pause before each.
    Trickle(u8, Duration),
    /// The connection is reset instead of closed.
    Reset,
    /// Nothing more happens, until the client goes away.
    Silence,
}

/// A peer that treats every connection alike.
pub struct Peer {
    pub address: SocketAddr,
    requests: Arc<AtomicUsize>,
    closed: Arc<AtomicUsize>,
}

impl Peer {
    /// Listens. The script begins when a whole request is there; at its end the connection is closed.
    pub async fn new(script: Vec<Then>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let address = listener.local_addr().expect("an address");
        let (requests, closed) = <(Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
        let (seen, over) = (Arc::clone(&requests), Arc::clone(&closed));
        // Ends with the test's runtime.
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (script, seen, over) = (script.clone(), Arc::clone(&seen), Arc::clone(&over));
                tokio::spawn(async move {
                    if read_message(&mut stream).await.is_some() {
                        seen.fetch_add(1, Ordering::SeqCst);
                        play(stream, script).await;
                    }
                    over.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, requests, closed }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Whole requests that have come in.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

impl Peer {
    /// Waits until so many whole requests have come in.
    pub async fn has_read(&self, requests: usize) {
        reached(&self.requests, requests).await;
    }

    /// Waits until so many connections are closed, on both sides where the script did not reset them.
    pub async fn has_closed(&self, connections: usize) {
        reached(&self.closed, connections).await;
    }
}

async fn reached(count: &AtomicUsize, wanted: usize) {
    let reached = async {
        while count.load(Ordering::SeqCst) < wanted {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, reached).await.expect("in time");
}

/// The head of an answer.
pub fn head(status: &str, length: usize) -> Then {
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    Then::Send(head.into_bytes())
}

/// A whole answer.
pub fn answer(status: &str, headers: &str, body: &str) -> Then {
    let length = body.len();
    let text = format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\n\r\n{body}");
    Then::Send(text.into_bytes())
}

/// Reads a request or an answer, up to the end of the body that the head announces.
pub async fn read_message(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut read = Vec::new();
    loop {
        let end = read.windows(4).position(|bytes| bytes == b"\r\n\r\n");
        if let Some(end) = end {
            let head = String::from_utf8_lossy(&read[..end]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
            let length: usize = length.map_or(Some(0), |text| text.trim().parse().ok())?;
            if read.len() >= end + 4 + length {
                return Some(read);
            }
        }
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => read.extend_from_slice(&chunk[..count]),
        }
    }
}

async fn play(mut stream: TcpStream, script: Vec<Then>) {
    for then in script {
        match then {
            Then::Send(bytes) => {
                if stream.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            Then::Trickle(byte, pause) => loop {
                tokio::time::sleep(pause).await;
                if stream.write_all(&[byte]).await.is_err() {
                    return;
                }
            },
            Then::Reset => {
                // A socket that is closed with this set sends RST instead of FIN.
                let _ = stream.set_zero_linger();
                return;
            }
            Then::Silence => {
                let _ = stream.read(&mut [0]).await;
                return;
            }
        }
    }
    let _ = stream.shutdown().await;
    // Until the client has closed its side too.
    while matches!(stream.read(&mut [0; 64]).await, Ok(1..)) {}
}
