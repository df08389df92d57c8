//! A server that misbehaves: it sends the bytes it is told to, and nothing else.

use std::net::SocketAddr;
use std::time::Duration;

use level1::http::{HttpConfig, HttpSource};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// One step of an answer.
pub enum Step {
    /// Send these bytes now.
    Send(Vec<u8>),
    /// Give the client time to read what was sent as a chunk of its own.
    Pause,
    /// Keep the connection open and say nothing more.
    Silence,
    /// Break the connection so that the client sees a reset.
    Reset,
}

/// Starts a server on loopback that answers every connection with these steps, then closes it.
/// It lives as long as the test's runtime.
pub async fn serve(steps: Vec<Step>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            read_head(&mut stream).await;
            for step in &steps {
                match step {
                    Step::Send(bytes) => stream.write_all(bytes).await.unwrap(),
                    Step::Pause => {
                        stream.flush().await.unwrap();
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                    Step::Silence => std::future::pending().await,
                    // With a linger of zero, close sends RST.
                    Step::Reset => stream.set_zero_linger().unwrap(),
                }
            }
        }
    });
    address
}

async fn read_head(stream: &mut TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
}

/// A source for that server, without the environment's proxy.
pub fn source(address: SocketAddr) -> HttpSource {
    HttpSource::new(config(address)).unwrap()
}

/// Limits for tests: generous in time, unless the test is about time.
pub fn config(address: SocketAddr) -> HttpConfig {
    HttpConfig {
        system_proxy: false,
        timeout: Duration::from_secs(30),
        ..HttpConfig::new(format!("http://{address}"))
    }
}

/// The head of a 200 with this length.
pub fn ok_head(length: usize) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n")
        .into_bytes()
}
