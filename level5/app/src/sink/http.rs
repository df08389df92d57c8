//! Services over HTTP.
//!
//! ```text
//!  POST URL/SERVICE
//!  content-type: application/x-event-batch
//!  content-encoding: gzip                     the batch as `Batch::encode` writes it
//!
//!  200, no body                               the service has all events
//!  200 ["ok", {"retry": "busy"}, {"reject": "no such user"}]      one answer for each event, in their order
//! ```
//!
//! Any other status is about the whole batch, as [`SendError`] says.

use level5::event_processor::{Ack, Batch, Encoding, SendError, Service, Sink};
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE};
use reqwest::{Client, Response, Url};
use serde::Deserialize;

use crate::problem::ProgramError;

/// The most bytes of an answer that are read.
const ANSWER_BYTES: usize = 4 << 20;
/// The most letters of an answer that a reason quotes.
const QUOTED: usize = 200;

/// Sends batches to services below a URL.
#[derive(Debug)]
pub struct HttpSink {
    client: Client,
    url: Url,
}

/// An answer about one event.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    Ok,
    Retry(String),
    Reject(String),
}

impl From<Answer> for Ack {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Ok => Self::Ok,
            Answer::Retry(why) => Self::Retry(why),
            Answer::Reject(why) => Self::Reject(why),
        }
    }
}

impl HttpSink {
    /// A sink for the services below this URL.
    ///
    /// # Errors
    ///
    /// [`ProgramError::Client`] when the certificates of the system cannot be read.
    pub fn new(url: Url) -> Result<Self, ProgramError> {
        // An error says that a provider is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // A redirect would send a batch to a place that the command line does not name.
        let client = Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
        Ok(Self { client, url })
    }

    /// The address of a service. Its name is one part of the path, whatever letters it has.
    fn address(&self, service: &Service) -> Url {
        let mut url = self.url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push(service.as_str());
        }
        url
    }
}

impl Sink for HttpSink {
    async fn send(&self, to: &Service, batch: &Batch) -> Result<Vec<Ack>, SendError> {
        let transport = |error: reqwest::Error| SendError::Transport(chain(&error));
        let mut request = self
            .client
            .post(self.address(to))
            .header(CONTENT_TYPE, "application/x-event-batch")
            .body(batch.encode());
        if batch.encoding() == Encoding::Gzip {
            request = request.header(CONTENT_ENCODING, "gzip");
        }
        let response = request.send().await.map_err(transport)?;
        let status = response.status();
        let body = read(response).await.map_err(transport)?;
        if !status.is_success() {
            let text = String::from_utf8_lossy(&body).trim().chars().take(QUOTED).collect();
            return Err(SendError::Status(status, text));
        }
        if body.is_empty() {
            return Ok(vec![Ack::Ok; batch.events().len()]);
        }
        match serde_json::from_slice::<Vec<Answer>>(&body) {
            Ok(answers) => Ok(answers.into_iter().map(Ack::from).collect()),
            // It may have the events, and may not: they are sent again.
            Err(error) => Err(SendError::Transport(format!("its answer cannot be read: {error}"))),
        }
    }
}

/// Reads an answer. What is beyond the limit is left: then it is no valid JSON.
async fn read(mut response: Response) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while body.len() < ANSWER_BYTES
        && let Some(chunk) = response.chunk().await?
    {
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// An error with its causes: reqwest's own text leaves them out.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
