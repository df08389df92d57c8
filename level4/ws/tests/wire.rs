//! The socket over real connections, to tungstenite's own server. Times are real: no assertion is about how long
//! something takes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use http::StatusCode;
use level4::socket::{Config, Event, Events, Frame, GaveUp, Outbox, WireError, socket};
use level4_ws::{ConnectError, Limits, WebSocket};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_async};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(120);

/// Waits of milliseconds between the attempts, and as many attempts as needed.
fn config() -> Config {
    Config {
        max_attempts: 10_000,
        first_delay: Duration::from_millis(5),
        factor: 1.0,
        pong_timeout: LONG,
        ..Config::default()
    }
}

/// The first failure is the end, so that a test sees it.
fn fragile() -> Config {
    Config { max_attempts: 0, ..config() }
}

fn opens(url: &str, config: Config) -> (Outbox, Events<u32>) {
    let limits = Limits { message: 1000, ..Limits::default() };
    socket(WebSocket::new(url, limits).expect("an address"), config).expect("a socket")
}

/// What happens next on a socket.
async fn next(events: &mut Events<u32>) -> Option<Result<Event<u32>, GaveUp>> {
    timeout(LONG, events.next()).await.expect("an event")
}

async fn connects(events: &mut Events<u32>) {
    assert_eq!(next(events).await, Some(Ok(Event::Connected { attempt: 1 })));
}

/// The failure that a fragile socket ends with.
async fn failure(events: &mut Events<u32>) -> WireError {
    match next(events).await {
        Some(Err(GaveUp { failures: 1, last })) => last,
        other => panic!("gives up after one failure: {other:?}"),
    }
}

fn url(address: SocketAddr) -> String {
    format!("ws://{address}/rates")
}

async fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = url(listener.local_addr().expect("an address"));
    (listener, url)
}

/// Takes one connection, without a protocol.
async fn accepted(listener: &TcpListener) -> TcpStream {
    let (stream, _) = timeout(LONG, listener.accept()).await.expect("a client").expect("a stream");
    stream
}

/// Takes one web socket.
async fn served(listener: &TcpListener) -> WebSocketStream<TcpStream> {
    accept_async(accepted(listener).await).await.expect("a handshake")
}

/// A port that stays this test's while no server listens on it: a second socket is bound to it, which never listens.
struct Port {
    address: SocketAddr,
    _reserved: TcpSocket,
}

impl Port {
    fn reserve() -> Self {
        let reserved = Self::bound(([127, 0, 0, 1], 0).into());
        Self { address: reserved.local_addr().expect("an address"), _reserved: reserved }
    }

    fn bound(address: SocketAddr) -> TcpSocket {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("a socket of TCP");
        socket.bind(address).expect("a port");
        socket
    }

    fn listen(&self) -> TcpListener {
        Self::bound(self.address).listen(16).expect("the only listener")
    }
}

/// A server that adds one to each number, and reports the numbers that it was sent. Killing it is dropping it: its
/// connections and its listener are gone.
struct Server {
    task: JoinHandle<()>,
}

impl Server {
    fn start(listener: TcpListener, came: mpsc::UnboundedSender<u32>) -> Self {
        let serve = async move {
            loop {
                let mut client = served(&listener).await;
                while let Some(Ok(message)) = client.next().await {
                    let Ok(text) = message.to_text() else { continue };
                    let Ok(number) = text.parse::<u32>() else { continue };
                    came.send(number).expect("the test runs");
                    let answer = Message::text((number + 1).to_string());
                    if client.send(answer).await.is_err() {
                        break;
                    }
                }
            }
        };
        Self { task: tokio::spawn(serve) }
    }

    async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.expect_err("it serves without end").is_cancelled());
    }
}

#[tokio::test]
async fn a_server_that_was_killed_is_found_again() {
    let port = Port::reserve();
    let (came, mut numbers) = mpsc::unbounded_channel();
    let server = Server::start(port.listen(), came.clone());
    let (outbox, mut events) = opens(&url(port.address), config());
    connects(&mut events).await;
    outbox.send(Frame::Text("1".to_owned())).expect("room");
    assert_eq!(next(&mut events).await, Some(Ok(Event::Message(2))));

    server.kill().await;
    // The connection breaks, then connects are refused.
    for attempt in 1..=3 {
        let event = next(&mut events).await;
        assert!(
            matches!(event, Some(Ok(Event::Reconnecting { attempt: now, .. })) if now == attempt)
        );
    }
    outbox.send(Frame::Text("10".to_owned())).expect("room");
    outbox.send(Frame::Text("20".to_owned())).expect("room");

    let _server = Server::start(port.listen(), came);
    let connected = loop {
        match next(&mut events).await {
            Some(Ok(Event::Reconnecting { .. })) => {}
            other => break other,
        }
    };
    assert!(matches!(connected, Some(Ok(Event::Connected { attempt: 4.. }))), "{connected:?}");
    // What was sent while there was no server has arrived, in order.
    assert_eq!(next(&mut events).await, Some(Ok(Event::Message(11))));
    assert_eq!(next(&mut events).await, Some(Ok(Event::Message(21))));
    let sent: Vec<u32> = std::iter::from_fn(|| numbers.try_recv().ok()).collect();
    assert_eq!(sent, [1, 10, 20]);
}

#[tokio::test]
async fn pings_keep_a_quiet_connection() {
    let (listener, url) = listener().await;
    let heartbeat = Config { ping_every: Some(Duration::from_millis(10)), ..config() };
    let (_outbox, mut events) = opens(&url, heartbeat);
    let server = async {
        let mut client = served(&listener).await;
        // tungstenite answers pings while it reads.
        for _ in 0..3 {
            assert!(matches!(client.next().await, Some(Ok(Message::Ping(_)))));
        }
        client.send(Message::text("7")).await.expect("it is open");
        client
    };
    let client = async {
        connects(&mut events).await;
        next(&mut events).await
    };
    let (_connection, event) = futures::join!(server, client);
    assert_eq!(event, Some(Ok(Event::Message(7))));
}

#[tokio::test]
async fn a_silent_server_is_given_up() {
    let (listener, url) = listener().await;
    let short = Some(Duration::from_millis(10));
    let heartbeat =
        Config { ping_every: short, pong_timeout: Duration::from_millis(200), ..fragile() };
    let (_outbox, mut events) = opens(&url, heartbeat);
    // The connection stays open, and is not read.
    let (_connection, ()) = futures::join!(served(&listener), connects(&mut events));
    assert_eq!(failure(&mut events).await, WireError::Silent);
}

#[tokio::test]
async fn a_ping_has_one_pong() {
    let (listener, url) = listener().await;
    let (outbox, mut events) = opens(&url, config());
    let (mut client, ()) = futures::join!(served(&listener), connects(&mut events));
    let server = async {
        for data in ["a", "b"] {
            client.send(Message::Ping(data.as_bytes().to_vec().into())).await.expect("it is open");
        }
        client.send(Message::text("1")).await.expect("it is open");
    };
    let (event, ()) = futures::join!(next(&mut events), server);
    assert_eq!(event, Some(Ok(Event::Message(1))));
    outbox.send(Frame::Text("2".to_owned())).expect("room");
    let server = async {
        let mut came = Vec::new();
        while came.len() < 3 {
            came.push(client.next().await.expect("a frame").expect("a frame"));
        }
        came
    };
    let came = tokio::select! {
        came = server => came,
        event = next(&mut events) => panic!("nothing was sent to the client: {event:?}"),
    };
    let pong = |data: &str| Message::Pong(data.as_bytes().to_vec().into());
    assert_eq!(came, [pong("a"), pong("b"), Message::text("2")]);
}

#[tokio::test]
async fn a_message_that_is_too_large_ends_the_connection() {
    // Padded to the limit, and one byte above it.
    for (length, fits) in [(1000, true), (1001, false)] {
        let (listener, url) = listener().await;
        let (_outbox, mut events) = opens(&url, fragile());
        let (mut client, ()) = futures::join!(served(&listener), connects(&mut events));
        client.send(Message::text(format!("{:1$}", 7, length))).await.expect("it is open");
        if fits {
            assert_eq!(next(&mut events).await, Some(Ok(Event::Message(7))));
        } else {
            let last = failure(&mut events).await;
            assert!(last.to_string().contains("1001 > 1000"), "{last}");
        }
    }
    // The head of a frame of 2^62 bytes, and none of them: its length is enough.
    let (listener, url) = listener().await;
    let (_outbox, mut events) = opens(&url, fragile());
    let (mut client, ()) = futures::join!(served(&listener), connects(&mut events));
    let mut head = vec![0x82, 127];
    head.extend((1_u64 << 62).to_be_bytes());
    client.get_mut().write_all(&head).await.expect("it is open");
    let last = failure(&mut events).await;
    assert!(last.to_string().contains("4611686018427387904 > 1000"), "{last}");
}

#[tokio::test]
async fn a_text_that_is_not_utf8_ends_the_connection_and_bytes_do_not() {
    let (listener, url) = listener().await;
    let (_outbox, mut events) = opens(&url, fragile());
    let (mut client, ()) = futures::join!(served(&listener), connects(&mut events));
    client.send(Message::binary(vec![0xff, 0xfe])).await.expect("it is open");
    assert!(matches!(next(&mut events).await, Some(Ok(Event::BadFrame(_)))));
    client.send(Message::binary("8")).await.expect("it is open");
    assert_eq!(next(&mut events).await, Some(Ok(Event::Message(8))));
    // A text frame with two bytes that no UTF-8 has.
    client.get_mut().write_all(&[0x81, 2, 0xff, 0xfe]).await.expect("it is open");
    let last = failure(&mut events).await;
    assert!(last.to_string().contains("UTF-8"), "{last}");
}

#[tokio::test]
async fn a_close_is_answered() {
    let (listener, url) = listener().await;
    let (_outbox, mut events) = opens(&url, fragile());
    let (mut client, ()) = futures::join!(served(&listener), connects(&mut events));
    client.close(None).await.expect("it is open");
    assert_eq!(failure(&mut events).await, WireError::Closed);
    // The close of the other side, then the end without an error: the handshake of closing is complete.
    assert!(matches!(client.next().await, Some(Ok(Message::Close(None)))));
    assert!(client.next().await.is_none());
}

#[tokio::test]
async fn dropping_the_events_reaches_the_server() {
    let (listener, url) = listener().await;
    let (outbox, mut events) = opens(&url, config());
    let (mut client, ()) = futures::join!(served(&listener), connects(&mut events));
    drop(events);
    // Gone without a close frame.
    let read = timeout(LONG, client.next()).await.expect("the connection is closed");
    assert!(matches!(read, Some(Err(Error::Protocol(_) | Error::Io(_)))), "{read:?}");
    assert!(outbox.send(Frame::Text("1".to_owned())).is_err());
}

#[tokio::test]
async fn a_connect_that_fails_says_why() {
    let short = Limits { connect: Duration::from_millis(50), ..Limits::default() };
    let open = async |url: &str, limits| {
        let connector = WebSocket::new(url, limits).expect("an address");
        timeout(LONG, connector.open()).await.expect("an outcome").expect_err("no connection")
    };
    // A server that answers so, whatever it is asked.
    let answers = async |answer: &[u8]| {
        let (listener, url) = listener().await;
        let serve = async {
            let mut stream = accepted(&listener).await;
            let mut request = [0; 1024];
            let read = stream.read(&mut request).await.expect("a request");
            assert!(request[..read].starts_with(b"GET /rates HTTP/1.1\r\n"));
            stream.write_all(answer).await.expect("it is open");
        };
        futures::join!(open(&url, Limits::default()), serve).0
    };
    for (answer, status) in [
        ("HTTP/1.1 404 Not Found\r\n\r\n", StatusCode::NOT_FOUND),
        ("HTTP/1.1 301 Moved\r\nLocation: ws://127.0.0.1/\r\n\r\n", StatusCode::MOVED_PERMANENTLY),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", StatusCode::OK),
    ] {
        let error = answers(answer.as_bytes()).await;
        assert!(matches!(error, ConnectError::Refused(refused) if refused == status), "{error}");
    }
    for nonsense in
        ["220 mail.example.com ESMTP\r\n", "", "HTTP/1.1 101 Switching Protocols\r\n\r\n"]
    {
        let error = answers(nonsense.as_bytes()).await;
        assert!(matches!(error, ConnectError::Handshake(_)), "{nonsense:?}: {error}");
    }
    // A server that takes the connection and says nothing.
    let (silent, address) = listener().await;
    let (error, _stream) = futures::join!(open(&address, short), accepted(&silent));
    assert!(matches!(error, ConnectError::Timeout(limit) if limit == short.connect), "{error}");
    // No server.
    let port = Port::reserve();
    let error = open(&url(port.address), Limits::default()).await;
    assert!(matches!(error, ConnectError::Unreachable(_)), "{error}");
}

/// A certificate for `localhost` that no machine trusts: what a server shows, and a client that trusts it.
fn certificate() -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let certificate = made.cert.der().clone();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()).into();
    let ring = || Arc::new(rustls::crypto::ring::default_provider());
    let server = ServerConfig::builder_with_provider(ring())
        .with_safe_default_protocol_versions()
        .expect("versions of TLS")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .expect("its own key");
    let mut trusted = RootCertStore::empty();
    trusted.add(certificate).expect("a certificate");
    let client = ClientConfig::builder_with_provider(ring())
        .with_safe_default_protocol_versions()
        .expect("versions of TLS")
        .with_root_certificates(trusted)
        .with_no_client_auth();
    (Arc::new(server), Arc::new(client))
}

#[tokio::test]
async fn messages_go_over_tls_where_the_certificate_is_trusted() {
    let (server, client) = certificate();
    let acceptor = TlsAcceptor::from(server);
    let (listener, _) = listener().await;
    let port = listener.local_addr().expect("an address").port();
    let url = format!("wss://localhost:{port}/rates");

    let trusting = WebSocket::with_tls(&url, Limits::default(), client).expect("an address");
    let (outbox, mut events) = socket::<_, u32>(trusting, config()).expect("a socket");
    outbox.send(Frame::Text("1".to_owned())).expect("room");
    let serve = async {
        let tls = acceptor.accept(accepted(&listener).await).await.expect("TLS");
        let mut client = accept_async(tls).await.expect("a handshake");
        assert_eq!(client.next().await.expect("a frame").expect("a frame"), Message::text("1"));
        client.send(Message::text("2")).await.expect("it is open");
        client
    };
    let reads = async {
        connects(&mut events).await;
        next(&mut events).await
    };
    let (_connection, event) = futures::join!(serve, reads);
    assert_eq!(event, Some(Ok(Event::Message(2))));

    // With the certificates of the machine the server is a stranger.
    let Ok(strict) = WebSocket::new(&url, Limits::default()) else {
        eprintln!("skipped: this machine has no certificates");
        return;
    };
    let serve = async { acceptor.accept(accepted(&listener).await).await };
    let (error, refused) = futures::join!(strict.open(), serve);
    let error = error.expect_err("a stranger");
    assert!(matches!(error, ConnectError::Unreachable(_)), "{error}");
    assert!(error.to_string().contains("certificate"), "{error}");
    assert!(refused.is_err(), "the client has broken off");
}
