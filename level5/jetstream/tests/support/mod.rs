//! A server of NATS for a test.
#![allow(dead_code, reason = "each test uses a part of it")]
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "starts a program and waits for it; what a test unwraps fails the test"
)]

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use level5_jetstream::Address;

/// The bytes of a test's stream: the server reserves them on the disk.
pub const STREAM_BYTES: u64 = 64 << 20;

/// A server on this machine, with a folder of its own. It is killed when the test forgets it.
pub struct Nats {
    port: u16,
    folder: tempfile::TempDir,
    child: Mutex<Child>,
}

impl Nats {
    /// Starts a server. `None`, with a printed reason, where the program is not installed.
    pub fn start() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        // Another program may take the port between the look and the start.
        for _ in 0..20 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let Some(mut child) = spawn(port, &folder) else {
                println!(
                    "skipped: nats-server is not installed (Debian: apt-get install nats-server)"
                );
                return None;
            };
            if is_ready(port, &mut child) {
                return Some(Self { port, folder, child: Mutex::new(child) });
            }
        }
        panic!("nats-server does not start");
    }

    pub fn address(&self, stream: &str) -> Address {
        format!("nats://127.0.0.1:{}/{stream}", self.port).parse().unwrap()
    }

    /// `kill -9`.
    pub fn kill(&self) {
        let mut child = self.child.lock().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Starts it again after [`kill`](Self::kill), on the same port and with the same folder.
    pub fn restart(&self) {
        let begun = Instant::now();
        // The port may be in use for a moment.
        while begun.elapsed() < Duration::from_secs(30) {
            let mut child = spawn(self.port, &self.folder).unwrap();
            if is_ready(self.port, &mut child) {
                *self.child.lock().unwrap() = child;
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("nats-server does not start again");
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap();
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn spawn(port: u16, folder: &tempfile::TempDir) -> Option<Child> {
    let mut command = Command::new("nats-server");
    command.args(["-a", "127.0.0.1", "-p", &port.to_string(), "-js", "-sd"]).arg(folder.path());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match command.spawn() {
        Ok(child) => Some(child),
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => None,
        Err(why) => panic!("nats-server: {why}"),
    }
}

/// Whether it listens, before it ends or a long time is over.
fn is_ready(port: u16, child: &mut Child) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(60) {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return true;
        }
        thread::sleep(Duration::from_millis(10));
    }
    false
}
