//! A provider with Stripe's calls that can keep its answers back, as in an outage.
//!
//! While it does, a payment cannot end, and neither can the undo of a payment whose outcome is unknown: it is
//! tried for more than a minute. A request takes effect when it arrives, whether it is answered or not.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::{Arc, Mutex};

use process_kit::eventually;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// The server. It ends when the test drops it.
pub struct Stripe {
    pub url: String,
    shared: Arc<Shared>,
    _runtime: Runtime,
}

struct Shared {
    book: Mutex<Book>,
    answers: watch::Sender<bool>,
}

/// What the provider knows.
#[derive(Default)]
struct Book {
    intents: BTreeMap<String, Value>,
    /// Answers by idempotency key: the same request again has the same answer and no further effect.
    answers: HashMap<String, Answer>,
}

type Answer = (&'static str, Value);

/// A request, as far as it matters here.
struct Request {
    line: String,
    key: Option<String>,
    form: HashMap<String, String>,
}

impl Stripe {
    /// Starts a provider that answers no request that changes anything.
    pub fn silent() -> Self {
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared =
            Arc::new(Shared { book: Mutex::default(), answers: watch::Sender::new(false) });
        let of_server = Arc::clone(&shared);
        runtime.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let shared = Arc::clone(&of_server);
                // An error is a client that has gone away: it was killed, or its time limit is over.
                tokio::spawn(async move { shared.serve(stream).await.ok() });
            }
        });
        Self { url, shared, _runtime: runtime }
    }

    /// Answers from now on, the requests that wait too.
    pub fn answer(&self) {
        self.shared.answers.send_replace(true);
    }

    /// Waits until a payment has asked for an intent.
    pub fn has_an_intent(&self) {
        eventually("an intent", || self.counts().0 > 0);
    }

    /// How many intents there are, and how many of them are charged and not refunded.
    pub fn counts(&self) -> (usize, usize) {
        let book = self.shared.book.lock().unwrap();
        let is_paid = |it: &&Value| it["status"] == "succeeded" && it["latest_charge"].is_null();
        (book.intents.len(), book.intents.values().filter(is_paid).count())
    }

    /// Whether no intent can be charged any more.
    pub fn all_are_settled(&self) -> bool {
        let book = self.shared.book.lock().unwrap();
        book.intents.values().all(|it| it["status"] != "requires_confirmation")
    }
}

impl Shared {
    async fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        let request = read(&mut stream).await?;
        let (status, body) = self.book.lock().unwrap().answer(&request);
        if request.line.starts_with("POST") {
            // The sender is in `self`, so the wait ends only when answers are allowed.
            let _ = self.answers.subscribe().wait_for(|answers| *answers).await;
        }
        let body = body.to_string();
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body.as_bytes()).await?;
        stream.shutdown().await
    }
}

impl Book {
    fn answer(&mut self, request: &Request) -> Answer {
        if let Some(known) = request.key.as_ref().and_then(|key| self.answers.get(key)) {
            return known.clone();
        }
        let answer = self.act(request);
        if let Some(key) = &request.key {
            self.answers.insert(key.clone(), answer.clone());
        }
        answer
    }

    fn act(&mut self, request: &Request) -> Answer {
        let mut words = request.line.split(' ');
        let (method, target) = (words.next().unwrap(), words.next().unwrap());
        let path: Vec<_> = target.split('?').next().unwrap().split('/').skip(2).collect();
        match (method, path.as_slice()) {
            ("GET", ["payment_intents"]) => {
                let data: Vec<_> = self.intents.values().rev().collect();
                ("200 OK", json!({ "object": "list", "data": data, "has_more": false }))
            }
            ("GET", ["payment_intents", id]) => match self.intents.get(*id) {
                Some(intent) => ("200 OK", intent.clone()),
                None => ("404 Not Found", refusal("resource_missing", &Value::Null)),
            },
            ("POST", ["payment_intents"]) => {
                let id = format!("pi_{:06}", self.intents.len());
                let intent = json!({
                    "object": "payment_intent", "id": id, "livemode": false,
                    "amount": request.form["amount"].parse::<i64>().unwrap(),
                    "currency": request.form["currency"], "status": "requires_confirmation",
                    "metadata": { "payment": request.form["metadata[payment]"] },
                });
                self.intents.insert(id, intent.clone());
                ("200 OK", intent)
            }
            ("POST", ["payment_intents", id, verb]) => {
                let intent = self.intents.get_mut(*id).unwrap();
                if intent["status"] != "requires_confirmation" {
                    let code = "payment_intent_unexpected_state";
                    return ("400 Bad Request", refusal(code, intent));
                }
                intent["status"] = if *verb == "confirm" { "succeeded" } else { "canceled" }.into();
                ("200 OK", intent.clone())
            }
            ("POST", ["refunds"]) => {
                let id = &request.form["payment_intent"];
                let intent = self.intents.get_mut(id).unwrap();
                intent["latest_charge"] = json!({ "id": "ch", "refunded": true });
                let (amount, currency) = (&intent["amount"], &intent["currency"]);
                let refund = json!({
                    "object": "refund", "id": format!("re_{id}"), "amount": amount,
                    "currency": currency, "payment_intent": id, "status": "succeeded",
                });
                ("200 OK", refund)
            }
            _ => panic!("{}", request.line),
        }
    }
}

fn refusal(code: &str, intent: &Value) -> Value {
    json!({ "error": { "type": "invalid_request_error", "code": code, "payment_intent": intent } })
}

/// Reads one request: each has a connection of its own, since every answer closes it.
async fn read(stream: &mut TcpStream) -> io::Result<Request> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let header = |wanted: &str| {
                let mut lines = head.lines().filter_map(|line| line.split_once(": "));
                let found = lines.find(|(name, _)| name.eq_ignore_ascii_case(wanted));
                found.map(|(_, value)| value.to_owned())
            };
            let length: usize = header("content-length").map_or(0, |it| it.parse().unwrap());
            if body.len() >= length {
                // The names and values have no other letters that are written as a number.
                let plain = |text: &str| text.replace("%5B", "[").replace("%5D", "]");
                let pairs = body.split('&').filter_map(|pair| pair.split_once('='));
                return Ok(Request {
                    line: head.lines().next().unwrap_or_default().to_owned(),
                    key: header("idempotency-key"),
                    form: pairs.map(|(name, value)| (plain(name), plain(value))).collect(),
                });
            }
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}
