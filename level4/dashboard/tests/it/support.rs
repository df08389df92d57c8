//! A server of this test, and a page without a browser.

use std::net::Ipv4Addr;
use std::time::Duration;

use level4_dashboard::page::Inputs;
use level4_dashboard::server::{Server, ServerError, Settings};
use level4_dashboard::source::{Pace, Source};
use page_kit::Sessions;
use reqwest::{Client, Response, StatusCode};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Longer than anything here takes, whatever else runs on the machine.
pub const LONG: Duration = Duration::from_secs(120);

/// A server with a fast shop. A service that does not answer holds its state: no limit ends the wait within a test.
pub struct Running {
    pub base: String,
    pub source: Source,
    pub sessions: Sessions<Inputs>,
    pub client: Client,
    stop: CancellationToken,
    task: JoinHandle<Result<(), ServerError>>,
}

impl Running {
    pub async fn start() -> Self {
        let ms = Duration::from_millis;
        let pace = Pace { delays: ms(5)..ms(30), changes: ms(40) };
        let settings = Settings {
            host: Ipv4Addr::LOCALHOST.into(),
            port: 0,
            seed: 4,
            pace,
            patience: LONG * 5,
        };
        let server = Server::bind(settings).await.expect("a server");
        let (source, sessions) = (server.source().clone(), server.sessions().clone());
        let (base, stop) = (format!("http://{}", server.address()), CancellationToken::new());
        let task = tokio::spawn(server.serve(stop.clone()));
        // After the server: it has installed what reqwest needs for TLS.
        let client = Client::builder().build().expect("a client");
        Self { base, source, sessions, client, stop, task }
    }

    pub async fn get(&self, path: &str) -> Response {
        let asked = self.client.get(format!("{}{path}", self.base)).send();
        timeout(LONG, asked).await.expect("an answer in time").expect("an answer")
    }

    pub async fn post(&self, page: &str, command: String) -> StatusCode {
        let url = format!("{}/commands/{page}", self.base);
        let asked = self.client.post(url).header("content-type", "application/json").body(command);
        let answer = timeout(LONG, asked.send()).await.expect("an answer in time");
        answer.expect("an answer").status()
    }

    /// Ends the server, which closes its pages.
    pub async fn end(self) {
        self.stop.cancel();
        let ended = timeout(LONG, self.task).await.expect("an end in time");
        ended.expect("no panic").expect("no failure");
    }
}

/// An open page.
pub struct Page {
    pub number: String,
    events: Response,
    unread: String,
    last: Value,
}

impl Page {
    pub async fn open(server: &Running) -> Self {
        let mut events = server.get("/events").await;
        assert_eq!(events.status(), StatusCode::OK);
        let mut unread = String::new();
        let number = event(&mut events, &mut unread).await.expect("the session");
        Self { number, events, unread, last: Value::Null }
    }

    /// Sends a command, which must be accepted.
    pub async fn send(&self, server: &Running, command: Value) {
        let status = server.post(&self.number, command.to_string()).await;
        assert_eq!(status, StatusCode::NO_CONTENT, "{command}");
    }

    /// The first state from now on that fits.
    pub async fn until(&mut self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let looks = async {
            while !fits(&self.last) {
                let text = event(&mut self.events, &mut self.unread).await.expect("a state");
                self.last = serde_json::from_str(&text).expect("JSON");
            }
        };
        let seen = timeout(LONG, looks).await;
        assert!(seen.is_ok(), "never: {what}. The last state is {:#}", self.last);
        self.last.clone()
    }

    /// As [`until`](Self::until), by the text at a place such as `/overview/with/look`.
    pub async fn shows(&mut self, place: &str, text: &str) -> Value {
        let what = format!("{text} at {place}");
        self.until(&what, |state| state.pointer(place).is_some_and(|it| it == text)).await
    }

    /// Whether the server has ended the page.
    pub async fn ends(mut self) {
        let ended = async { while event(&mut self.events, &mut self.unread).await.is_some() {} };
        timeout(LONG, ended).await.expect("an end in time");
    }
}

/// The data of the next event. `None`: the stream has ended.
async fn event(events: &mut Response, unread: &mut String) -> Option<String> {
    loop {
        if let Some((event, rest)) = unread.split_once("\n\n") {
            let data = event.lines().find_map(|line| line.strip_prefix("data: "));
            let data = data.map(str::to_owned);
            *unread = rest.to_owned();
            match data {
                Some(data) => return Some(data),
                // A comment, which keeps the connection.
                None => continue,
            }
        }
        let chunk = timeout(LONG, events.chunk()).await.expect("a chunk in time").ok()??;
        unread.push_str(std::str::from_utf8(&chunk).expect("UTF-8 in whole events"));
    }
}
