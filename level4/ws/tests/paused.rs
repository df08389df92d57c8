//! The socket over a pipe in memory, on the paused clock: its times are exact.

use std::io;
use std::num::NonZeroUsize;
use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use level4::socket::{Config, Event, Events, Frame, GaveUp, WireError, socket};
use level4_ws::{ConnectError, Dial, Limits, WebSocket};
use tokio::io::{DuplexStream, duplex};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, accept_async};

/// Pipes of 64 bytes. The other sides go to the server.
struct Pipes(mpsc::UnboundedSender<DuplexStream>);

impl Dial for Pipes {
    type Bytes = DuplexStream;

    async fn dial(&self) -> io::Result<DuplexStream> {
        let (ours, theirs) = duplex(64);
        self.0.send(theirs).map_err(|_| io::Error::from(io::ErrorKind::ConnectionRefused))?;
        Ok(ours)
    }
}

type Server = mpsc::UnboundedReceiver<DuplexStream>;

fn connector() -> (WebSocket<Pipes>, Server) {
    let (pipes, server) = mpsc::unbounded_channel();
    let limits = Limits { connect: Duration::from_secs(5), message: 1000 };
    (WebSocket::over("ws://pipe/rates", limits, Pipes(pipes)).expect("an address"), server)
}

async fn served(server: &mut Server) -> WebSocketStream<DuplexStream> {
    accept_async(server.recv().await.expect("a connection")).await.expect("a handshake")
}

/// An open socket, and its server.
async fn open(config: Config) -> (Events<u32>, WebSocketStream<DuplexStream>, Server) {
    let (connector, mut server) = connector();
    let (_, mut events) = socket::<_, u32>(connector, config).expect("a socket");
    let (client, event) = futures::join!(served(&mut server), events.next());
    assert_eq!(event, Some(Ok(Event::Connected { attempt: 1 })));
    (events, client, server)
}

#[tokio::test(start_paused = true)]
async fn a_ping_goes_out_after_thirty_seconds_and_silence_ends_ten_later() {
    let (mut events, mut client, _server) = open(Config::default()).await;
    let begun = Instant::now();
    let reads = async {
        assert!(matches!(client.next().await, Some(Ok(Message::Ping(_)))));
        assert_eq!(begun.elapsed(), Duration::from_secs(30));
        // tungstenite has answered within the read. From here on the server reads nothing.
        sleep(Duration::from_secs(3600)).await;
    };
    let event = async {
        let event = events.next().await;
        (event, begun.elapsed())
    };
    tokio::select! {
        () = reads => panic!("the silence has no end"),
        (event, at) = event => {
            let delay = Duration::from_secs(1);
            assert_eq!(event, Some(Ok(Event::Reconnecting { attempt: 1, delay })));
            assert_eq!(at, Duration::from_secs(40));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_large_message_passes_through_a_small_pipe() {
    let (mut events, mut client, _server) = open(Config::default()).await;
    let text = format!("{:1000}", 7);
    let (event, sent) = futures::join!(events.next(), client.send(Message::text(text)));
    assert!(sent.is_ok());
    assert_eq!(event, Some(Ok(Event::Message(7))));
}

#[tokio::test(start_paused = true)]
async fn a_write_that_does_not_end_is_silence() {
    let fragile = Config { max_attempts: 0, ping_every: None, ..Config::default() };
    let (connector, mut server) = connector();
    let one = NonZeroUsize::MIN;
    let (outbox, mut events) =
        socket::<_, u32>(connector, Config { outbox: one, ..fragile }).expect("a socket");
    let (_client, event) = futures::join!(served(&mut server), events.next());
    assert_eq!(event, Some(Ok(Event::Connected { attempt: 1 })));
    outbox.send(Frame::Binary(vec![0; 100_000])).expect("room");
    let begun = Instant::now();
    let last = WireError::Silent;
    assert_eq!(events.next().await, Some(Err(GaveUp { failures: 1, last })));
    assert_eq!(begun.elapsed(), Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn a_handshake_has_a_limit() {
    let (connector, mut server) = connector();
    let begun = Instant::now();
    let (opened, _pipe) = futures::join!(connector.open(), server.recv());
    assert!(matches!(opened, Err(ConnectError::Timeout(_))));
    assert_eq!(begun.elapsed(), Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn a_ping_that_is_too_long_is_an_error() {
    let (connector, mut server) = connector();
    let (opened, mut client) = futures::join!(connector.open(), served(&mut server));
    let mut connection = opened.expect("a connection");
    let ping = connection.send(Frame::Ping(vec![0; 125]));
    let (sent, came) = futures::join!(ping, client.next());
    assert!(sent.is_ok() && matches!(came, Some(Ok(Message::Ping(_)))));
    let refused = connection.send(Frame::Ping(vec![0; 126])).await;
    assert!(matches!(refused, Err(WireError::Failed(text)) if text.contains("126")));
}

#[tokio::test(start_paused = true)]
async fn closing_sends_a_close_frame() {
    let (connector, mut server) = connector();
    let (opened, mut client) = futures::join!(connector.open(), served(&mut server));
    let mut connection = opened.expect("a connection");
    let (closed, came) = futures::join!(connection.close(), client.next());
    assert_eq!(closed, Ok(()));
    assert!(matches!(came, Some(Ok(Message::Close(None)))));
    assert_eq!(connection.send(Frame::Text("1".to_owned())).await, Err(WireError::Closed));
}
