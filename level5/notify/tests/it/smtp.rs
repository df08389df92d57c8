//! A small SMTP server, which takes mails, refuses them, or leaves without an answer. With and without TLS.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

/// What the server does with a mail, when it has all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Keeps it and says so.
    Takes,
    /// Answers with this line, and does not keep it.
    Answers(&'static str),
    /// Keeps it, and closes the connection without an answer.
    KeepsAndLeaves,
}

/// A mail that the server keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    pub to: String,
    pub data: String,
}

impl Mail {
    /// The value of a header, unfolded.
    pub fn header(&self, name: &str) -> String {
        let head = self.data.split("\r\n\r\n").next().unwrap().replace("\r\n ", " ");
        let start = format!("{name}: ");
        let line = head.lines().find_map(|line| line.strip_prefix(&start).map(str::to_owned));
        line.unwrap_or_else(|| panic!("no {name} in {}", self.data))
    }

    /// The parts of the text that begin with this and have only letters, digits and `-`. Each one once.
    pub fn words(&self, start: &str) -> Vec<String> {
        let text = self.data.replace("=\r\n", "");
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let words = text.split(|c| !is_word(c)).filter(|word| word.starts_with(start));
        let mut words: Vec<_> = words.map(str::to_owned).collect();
        words.sort();
        words.dedup();
        words
    }
}

/// Where TLS begins.
#[derive(Clone)]
pub enum Tls {
    Never,
    AtOnce(TlsAcceptor),
    /// After `STARTTLS`. Before it, the server refuses every command but `EHLO`.
    OnRequest(TlsAcceptor),
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// The server. It ends with the runtime of the test.
#[derive(Clone)]
pub struct Smtp {
    port: u16,
    kept: Arc<Mutex<Vec<Mail>>>,
    /// What clients have said to log in, in base64.
    logins: Arc<Mutex<Vec<String>>>,
    script: Arc<Mutex<VecDeque<Then>>>,
    tls: Tls,
    /// From the moment at which a mail is kept to its answer.
    delay: Duration,
}

impl Smtp {
    /// A server that does what the script says with one mail after the other, and takes all further ones.
    pub async fn start(script: &[Then], delay: Duration) -> Self {
        Self::with_tls(script, delay, Tls::Never).await
    }

    pub async fn with_tls(script: &[Then], delay: Duration, tls: Tls) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let script = Arc::new(Mutex::new(script.iter().copied().collect()));
        let (kept, logins) = (Arc::default(), Arc::default());
        let server = Self { port, kept, logins, script, tls, delay };
        let serves = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = serves.clone();
                // A client that is killed breaks its connection.
                tokio::spawn(async move {
                    let stream: Box<dyn Stream> = match &server.tls {
                        Tls::AtOnce(tls) => Box::new(tls.accept(stream).await?),
                        _ => Box::new(stream),
                    };
                    server.talk(stream).await
                });
            }
        });
        server
    }

    pub const fn port(&self) -> u16 {
        self.port
    }

    pub fn logins(&self) -> Vec<String> {
        self.logins.lock().unwrap().clone()
    }

    pub fn url(&self) -> String {
        format!("smtp://127.0.0.1:{}", self.port)
    }

    pub fn kept(&self) -> Vec<Mail> {
        self.kept.lock().unwrap().clone()
    }

    async fn talk(&self, stream: Box<dyn Stream>) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        let (mut line, mut to) = (String::new(), String::new());
        let mut wants_tls = matches!(self.tls, Tls::OnRequest(_));
        stream.write_all(b"220 test ESMTP\r\n").await?;
        loop {
            line.clear();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let verb = line.split([' ', ':', '\r']).next().unwrap_or_default().to_uppercase();
            let answer = match verb.as_str() {
                "EHLO" if wants_tls => "250-test\r\n250 STARTTLS",
                "EHLO" => "250-test\r\n250-AUTH PLAIN\r\n250 8BITMIME",
                "STARTTLS" => {
                    let Tls::OnRequest(tls) = &self.tls else { panic!("{line}") };
                    stream.write_all(b"220 go on\r\n").await?;
                    let stream_of_tls: Box<dyn Stream> =
                        Box::new(tls.accept(stream.into_inner()).await?);
                    stream = BufReader::new(stream_of_tls);
                    wants_tls = false;
                    continue;
                }
                _ if wants_tls => "530 begin TLS first",
                "AUTH" => {
                    let login = line.split_whitespace().last().unwrap().to_owned();
                    self.logins.lock().unwrap().push(login);
                    "235 welcome"
                }
                "RCPT" => {
                    let start = line.find('<').unwrap();
                    to = line[start + 1..line.find('>').unwrap()].to_owned();
                    "250 ok"
                }
                "DATA" => {
                    stream.write_all(b"354 go on\r\n").await?;
                    let mut data = String::new();
                    while !data.ends_with("\r\n.\r\n") {
                        if stream.read_line(&mut data).await? == 0 {
                            return Ok(());
                        }
                    }
                    let then = self.script.lock().unwrap().pop_front().unwrap_or(Then::Takes);
                    if let Then::Answers(answer) = then {
                        stream.write_all(format!("{answer}\r\n").as_bytes()).await?;
                        continue;
                    }
                    self.kept.lock().unwrap().push(Mail { to: to.clone(), data });
                    if then == Then::KeepsAndLeaves {
                        return Ok(());
                    }
                    sleep(self.delay).await;
                    "250 kept"
                }
                "QUIT" => {
                    stream.write_all(b"221 bye\r\n").await?;
                    return Ok(());
                }
                _ => "250 ok",
            };
            stream.write_all(format!("{answer}\r\n").as_bytes()).await?;
        }
    }
}
