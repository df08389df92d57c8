//! Webhooks: a signed POST to the endpoint of the user.
//!
//! | answer | what it says | then |
//! |---|---|---|
//! | 2xx | the endpoint has it | delivered |
//! | 408, 425, 429, 503 | not now | sent again, not before `Retry-After` |
//! | other 5xx, no answer | unknown: it may have it | sent again under the same id |
//! | 410 | the endpoint is not in use any more | not sent again; the profile loses its endpoint |
//! | any other | the endpoint does not take it | not sent again |
//!
//! An endpoint may be any address that the program can reach. An application that lets its users enter one has to look
//! where it leads, or to let the program reach the outside only.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use level5::notifications::text;
use level5::wall_clock::WallClock;
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode, Url};
use serde_json::json;
use tokio::time::Instant;

use super::{Carrier, Failure};
use crate::desk::Letter;
use crate::profile::Way;
use crate::sign::Secret;
use crate::templates::Templates;

/// How long a request may take. Less than the notifier's limit for a channel, so that its error is seen.
const REQUEST: Duration = Duration::from_secs(8);
/// An endpoint can ask for a pause of this length at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
/// The most endpoints whose pauses are remembered. More of them are asked too early.
const MOST_PAUSES: usize = 10_000;

/// Whether a text is the URL of an endpoint.
#[must_use]
pub fn is_endpoint(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

/// Posts letters to the endpoints of users.
pub struct Webhook {
    client: Client,
    templates: Templates,
    wall: Arc<dyn WallClock>,
    // By URL: until when the endpoint has asked not to be called. Held to look, never across an await.
    pauses: Mutex<HashMap<String, Instant>>,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook").finish_non_exhaustive()
    }
}

impl Webhook {
    /// A carrier of webhooks.
    ///
    /// # Errors
    ///
    /// When the certificates of the system cannot be read.
    pub fn new(templates: Templates, wall: Arc<dyn WallClock>) -> reqwest::Result<Self> {
        // An error says that a provider is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // A redirect would send a letter to a place that the profile does not name.
        let client = Client::builder().redirect(Policy::none()).timeout(REQUEST).build()?;
        Ok(Self { client, templates, wall, pauses: Mutex::default() })
    }

    /// How long the endpoint has asked to be left alone from now on.
    fn pause(&self, url: &str) -> Option<Duration> {
        let pauses = self.pauses.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = pauses.get(url)?.saturating_duration_since(Instant::now());
        (!rest.is_zero()).then_some(rest)
    }

    fn pauses(&self, url: &str, pause: Duration) {
        let mut pauses = self.pauses.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if pauses.len() >= MOST_PAUSES {
            pauses.retain(|_, until| *until > now);
        }
        if pauses.len() < MOST_PAUSES {
            pauses.insert(url.to_owned(), now + pause.min(LONGEST_PAUSE));
        }
    }

    /// The body of a letter: the same for every attempt.
    fn body(&self, letter: &Letter) -> Result<Vec<u8>, Failure> {
        let lines = letter.entries.iter().map(|entry| self.templates.line(entry, &letter.profile));
        let lines = lines.collect::<Result<Vec<_>, _>>();
        let lines = lines.map_err(|why| Failure::Refused(why.to_string()))?;
        let notifications = letter.entries.iter().zip(&lines).map(|(entry, line)| {
            json!({
                "id": entry.request.id, "topic": entry.request.topic, "data": entry.request.data,
                "accepted_at": entry.accepted_at.to_string(), "text": line,
            })
        });
        let body = json!({
            "type": "notification.sent",
            "timestamp": letter.date().to_string(),
            "data": {
                "user": letter.user,
                // What a phone shows.
                "text": text::push(&lines.join("\n")),
                "notifications": notifications.collect::<Vec<_>>(),
            },
        });
        Ok(body.to_string().into_bytes())
    }
}

impl Carrier for Webhook {
    fn way(&self) -> Way {
        Way::Webhook
    }

    async fn carry(&self, letter: &Letter) -> Result<(), Failure> {
        let none = || Failure::Refused("the user has no endpoint for webhooks".to_owned());
        let endpoint = letter.profile.webhook.as_ref().ok_or_else(none)?;
        let secret = Secret::parse(&endpoint.secret);
        let secret = secret.map_err(|why| Failure::Refused(format!("the secret: {why}")))?;
        if let Some(rest) = self.pause(&endpoint.url) {
            let why = format!("the endpoint has asked to wait for {} s more", rest.as_secs() + 1);
            return Err(Failure::NotTaken(why));
        }
        let body = self.body(letter)?;
        let at = self.wall.now().as_second();
        let request = self
            .client
            .post(&endpoint.url)
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", &letter.key)
            .header("webhook-timestamp", at)
            .header("webhook-signature", secret.sign(&letter.key, at, &body))
            .body(body);
        let answer = request.send().await.map_err(|error| {
            // Without a connection it has not seen the letter.
            let is_known = error.is_connect();
            let text = chain(&error.without_url());
            if is_known { Failure::NotTaken(text) } else { Failure::Unknown(text) }
        })?;
        let pause = retry_after(answer.headers(), self.wall.now().into());
        let outcome = judge(answer.status());
        if let (Err(Failure::NotTaken(_) | Failure::Unknown(_)), Some(pause)) = (&outcome, pause) {
            self.pauses(&endpoint.url, pause);
        }
        outcome
    }
}

/// What a status says about the letter.
fn judge(status: StatusCode) -> Result<(), Failure> {
    let text = format!("the endpoint answered {status}");
    match status.as_u16() {
        200..300 => Ok(()),
        410 => Err(Failure::Gone(text)),
        408 | 425 | 429 | 503 => Err(Failure::NotTaken(text)),
        500.. => Err(Failure::Unknown(text)),
        _ => Err(Failure::Refused(text)),
    }
}

/// The pause that an answer asks for: a number of seconds, or a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    httpdate::parse_http_date(value).ok()?.duration_since(now).ok()
}

/// An error with its causes: reqwest's own text leaves them out.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn each_class_of_answer_has_its_outcome() {
        let outcome = |status: u16| match judge(StatusCode::from_u16(status).unwrap()) {
            Ok(()) => "delivered",
            Err(Failure::Gone(_)) => "gone",
            Err(Failure::NotTaken(_)) => "not taken",
            Err(Failure::Unknown(_)) => "unknown",
            Err(Failure::Refused(_)) => "refused",
        };
        for (statuses, expected) in [
            (&[200, 202, 204, 299][..], "delivered"),
            (&[410], "gone"),
            (&[408, 425, 429, 503], "not taken"),
            (&[500, 502, 504, 599], "unknown"),
            (&[301, 302, 304, 400, 401, 404, 413, 422], "refused"),
        ] {
            for status in statuses {
                assert_eq!(outcome(*status), expected, "{status}");
            }
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = httpdate::parse_http_date("Sun, 29 Nov 2026 12:00:00 GMT").unwrap();
        let read = |value: &'static str| {
            retry_after(
                &HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(value))]),
                now,
            )
        };
        assert_eq!(read("120"), Some(Duration::from_secs(120)));
        assert_eq!(read("Sun, 29 Nov 2026 12:00:30 GMT"), Some(Duration::from_secs(30)));
        assert_eq!(read("Sun, 29 Nov 2026 11:00:00 GMT"), None);
        assert_eq!(read("soon"), None);
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
