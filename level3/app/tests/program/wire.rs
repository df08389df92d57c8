//! A wire to a database that loses answers.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

/// What a server says when a transaction is on disk.
const COMMITTED: &[u8] = b"COMMIT\0";

/// Passes connections on to a server. When a transaction with the given words has been committed, it breaks the
/// connection before the client hears of it, so many times.
pub struct Wire {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    server: String,
    words: String,
    left: AtomicU32,
}

impl Wire {
    /// A wire to the server of a database's URL.
    pub fn new(url: &str, words: &str, times: u32) -> Self {
        let (_, rest) = url.split_once('@').unwrap();
        let (server, _) = rest.split_once('/').unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            server: server.to_owned(),
            words: words.to_owned(),
            left: AtomicU32::new(times),
        });
        let of_thread = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming() {
                let shared = Arc::clone(&of_thread);
                // An error is a side that has gone away.
                thread::spawn(move || shared.pass(client?));
            }
        });
        Self { address, shared }
    }

    /// The URL of the same database over this wire, which is in the clear.
    pub fn url(&self, url: &str) -> String {
        let url = url.replace(&self.shared.server, &self.address.to_string());
        format!("{url}?sslmode=disable")
    }

    /// How many answers are still to be lost.
    pub fn left(&self) -> u32 {
        self.shared.left.load(Ordering::SeqCst)
    }
}

impl Shared {
    /// Whether this answer is one of those that are lost.
    fn loses(&self) -> bool {
        let one_less = |left: u32| left.checked_sub(1);
        self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok()
    }

    fn pass(self: Arc<Self>, mut client: TcpStream) -> io::Result<()> {
        let mut server = TcpStream::connect(&self.server)?;
        let (mut requests, mut to_server) = (client.try_clone()?, server.try_clone()?);
        // Whether the words are in a transaction that is not committed.
        let named = Arc::new(AtomicBool::new(false));
        let (names, shared) = (Arc::clone(&named), Arc::clone(&self));
        let there = thread::spawn(move || {
            let mut words = Words::new(shared.words.as_bytes());
            pump(&mut requests, &mut to_server, |part| {
                names.fetch_or(words.are_in(part), Ordering::SeqCst);
                true
            })
        });
        let mut committed = Words::new(COMMITTED);
        let back = pump(&mut server, &mut client, |part| {
            !committed.are_in(part) || !named.swap(false, Ordering::SeqCst) || !self.loses()
        });
        for side in [&client, &server] {
            // Closed already, perhaps.
            let _ = side.shutdown(Shutdown::Both);
        }
        let _ = there.join();
        back
    }
}

/// Passes on what arrives, until a side ends or a part may not pass.
fn pump(
    from: &mut TcpStream,
    to: &mut TcpStream,
    mut passes: impl FnMut(&[u8]) -> bool,
) -> io::Result<()> {
    let mut part = [0; 1 << 14];
    loop {
        let read = from.read(&mut part)?;
        if read == 0 || !passes(&part[..read]) {
            return to.shutdown(Shutdown::Write);
        }
        to.write_all(&part[..read])?;
    }
}

/// Looks for words in a stream that comes in parts.
struct Words {
    words: Vec<u8>,
    seen: Vec<u8>,
}

impl Words {
    fn new(words: &[u8]) -> Self {
        Self { words: words.to_owned(), seen: Vec::new() }
    }

    fn are_in(&mut self, part: &[u8]) -> bool {
        self.seen.extend_from_slice(part);
        let found = self.seen.windows(self.words.len()).any(|window| window == self.words);
        // The rest may be the beginning of the words.
        let kept = if found { 0 } else { self.seen.len().min(self.words.len() - 1) };
        self.seen.drain(..self.seen.len() - kept);
        found
    }
}
