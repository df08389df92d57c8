//! The common part of the HTTP clients: limits, and what a failed call says about its effect.
//!
//! The clients follow no redirect: a request with a key and an effect must reach the configured
//! server or none.

use std::error::Error as _;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use reqwest::header::{AUTHORIZATION, DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, RequestBuilder, StatusCode, Url};
use tokio::time::Instant;

/// The longest wait that a server may ask for; a longer one is cut to it. Stripe's own libraries
/// have the same bound.
const RETRY_AFTER_AT_MOST: Duration = Duration::from_secs(60);

/// The limits of an answer: its time and its size.
///
/// These limits are wide. The gateway's limits of an attempt are narrower; at such a limit the
/// gateway drops the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The limit for the connection, TLS included. The default is 3 s.
    pub connect: Duration,
    /// The longest pause between two pieces of an answer. The default is 10 s.
    pub read: Duration,
    /// The limit for the whole call, from the connection to the last byte. The default is 30 s.
    pub total: Duration,
    /// The longest body, in bytes. The default is 4 MiB; a page of a hundred intents with their
    /// charges has about 1 MiB.
    pub body: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            read: Duration::from_secs(10),
            total: Duration::from_secs(30),
            body: 4 * 1024 * 1024,
        }
    }
}

/// The error of making a client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// The base URL cannot be used.
    #[error("the base URL {url:?} cannot be used: {reason}")]
    BaseUrl {
        /// The URL as given, without a user name and a password.
        url: String,
        /// Why the URL cannot be used, as a clause for the message.
        reason: String,
    },
    /// The client would send the key over a network without encryption.
    #[error("{url:?} would send the key in the clear: use https, or a server on this machine")]
    PlainHttp {
        /// The URL as given.
        url: String,
    },
    /// The HTTP client could not be built.
    #[error("the HTTP client cannot be set up: {reason}")]
    Client {
        /// The message of `reqwest`: the machine has no certificates, for instance.
        reason: String,
    },
}

/// The error of a call that has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum WireError {
    /// There was no connection, so no request was sent.
    NotSent { reason: String },
    /// The connection broke after the request may have been sent.
    Lost { reason: String },
    /// No answer came in time, and the request may have been sent.
    TimedOut { limit: Duration },
    /// The answer is longer than the limit.
    TooLong { status: u16, most: usize },
}

/// An answer with any status.
pub(super) struct Answered {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Answered {
    /// Returns a header, if there is one and it is text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns the wait of `Retry-After` (RFC 9110, 10.2.3), at most a minute. A date is compared
    /// with the server's own clock, the header `Date`, because this machine's clock may be wrong.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        let text = self.header(RETRY_AFTER.as_str())?.trim();
        let wait = match text.parse() {
            Ok(seconds) => Duration::from_secs(seconds),
            Err(_) => self.since_now(httpdate::parse_http_date(text).ok()?)?,
        };
        Some(wait.min(RETRY_AFTER_AT_MOST))
    }

    /// Returns the wait until the time that a header such as `X-RateLimit-Reset` names, in seconds
    /// since 1970. At most a minute.
    pub(super) fn wait_until(&self, name: &str) -> Option<Duration> {
        let seconds = self.header(name)?.trim().parse().ok()?;
        let at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))?;
        Some(self.since_now(at)?.min(RETRY_AFTER_AT_MOST))
    }

    /// Returns the time from the server's present to the given time.
    fn since_now(&self, at: SystemTime) -> Option<Duration> {
        let now = httpdate::parse_http_date(self.header(DATE.as_str())?).ok()?;
        Some(at.duration_since(now).unwrap_or_default())
    }
}

/// A pool of connections to one server, with the key for it.
#[derive(Debug)]
pub(super) struct Http {
    client: Client,
    root: Url,
    limits: Limits,
}

impl Http {
    /// Makes a client that sends `key` with every request. It does not connect yet.
    pub(super) fn new(base_url: &str, key: &str, limits: Limits) -> Result<Self, SetupError> {
        let root = root(base_url)?;
        let failed = |reason: String| SetupError::Client { reason };
        let mut bearer = HeaderValue::from_str(&format!("Bearer {key}"))
            .map_err(|_| failed("the key has characters that a header cannot carry".to_owned()))?;
        // Keeps the key out of the `Debug` output of every request and client.
        bearer.set_sensitive(true);
        // This build of `reqwest` has no cryptography of its own, so the process installs a
        // provider. A provider that is installed already stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = Client::builder()
            .default_headers(HeaderMap::from_iter([(AUTHORIZATION, bearer)]))
            .user_agent("level3")
            .redirect(Policy::none())
            .connect_timeout(limits.connect)
            .read_timeout(limits.read)
            .timeout(limits.total);
        if root.scheme() == "http" {
            // A server on this machine needs neither a proxy nor a certificate.
            builder = builder.no_proxy().tls_certs_only([]);
        } else {
            builder = builder.https_only(true);
        }
        let client = builder.build().map_err(|error| failed(cause(&error)))?;
        Ok(Self { client, root, limits })
    }

    /// Makes a request to a path below the base URL. The segments are escaped.
    pub(super) fn request(&self, method: Method, segments: &[&str]) -> RequestBuilder {
        self.client.request(method, self.url(segments))
    }

    /// Makes the same request with a query.
    pub(super) fn get(&self, segments: &[&str], query: &[(&str, &str)]) -> RequestBuilder {
        let mut url = self.url(segments);
        url.query_pairs_mut().extend_pairs(query);
        self.client.get(url)
    }

    fn url(&self, segments: &[&str]) -> Url {
        let mut url = self.root.clone();
        // Only a URL without a host has no segments, and `root` refuses those.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    /// Sends the request and reads the whole answer.
    ///
    /// # Cancellation
    ///
    /// Dropping the future closes the connection. A request that was sent may still take effect.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Answered, WireError> {
        let begun = Instant::now();
        let broken = |error| self.wire_error(&error, begun);
        let mut response = request.send().await.map_err(broken)?;
        let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(broken)? {
            if body.len() + chunk.len() > self.limits.body {
                let (status, most) = (status.as_u16(), self.limits.body);
                return Err(WireError::TooLong { status, most });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answered { status, headers, body })
    }

    /// Only two kinds of errors prove that nothing was sent: the request could not be made, or
    /// there was no connection.
    fn wire_error(&self, error: &reqwest::Error, begun: Instant) -> WireError {
        if error.is_builder() || error.is_connect() {
            WireError::NotSent { reason: cause(error) }
        } else if error.is_timeout() {
            let Limits { read, total, .. } = self.limits;
            WireError::TimedOut { limit: if begun.elapsed() < total { read } else { total } }
        } else {
            WireError::Lost { reason: cause(error) }
        }
    }
}

/// Returns the base URL, unless the key must not be sent there.
fn root(text: &str) -> Result<Url, SetupError> {
    let url = checked(text)?;
    if url.query().is_some() || url.fragment().is_some() {
        let reason = "it has a query or a fragment".to_owned();
        return Err(SetupError::BaseUrl { url: text.to_owned(), reason });
    }
    Ok(url)
}

/// Returns a URL to which secrets may be sent.
pub(super) fn checked(text: &str) -> Result<Url, SetupError> {
    let invalid =
        |reason: &str| SetupError::BaseUrl { url: text.to_owned(), reason: reason.into() };
    let mut url = Url::parse(text).map_err(|error| invalid(&error.to_string()))?;
    if !url.username().is_empty() || url.password().is_some() {
        // Neither call fails for a URL that has a user name or a password.
        let _ = (url.set_username(""), url.set_password(None));
        let reason = "it has a user name or a password".to_owned();
        return Err(SetupError::BaseUrl { url: url.into(), reason });
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_this_machine(&url) => Ok(url),
        "http" => Err(SetupError::PlainHttp { url: text.to_owned() }),
        _ => Err(invalid("it is neither http nor https")),
    }
}

fn is_this_machine(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// Returns the innermost error, which names the cause ("connection refused"). The errors around it
/// repeat the cause and add the URL.
pub(super) fn cause(error: &reqwest::Error) -> String {
    let mut innermost = error.source();
    while let Some(inner) = innermost.and_then(std::error::Error::source) {
        innermost = Some(inner);
    }
    innermost.map_or_else(|| "the request broke off".to_owned(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderName;

    use super::*;

    fn refused(url: &str) -> SetupError {
        Http::new(url, "key", Limits::default()).expect_err(url)
    }

    #[test]
    fn a_key_goes_over_tls_or_stays_on_the_machine() {
        for fine in [
            "https://api.stripe.com",
            "http://localhost:1/x",
            "http://127.0.0.1",
            "http://[::1]:8/",
        ] {
            assert!(Http::new(fine, "key", Limits::default()).is_ok(), "{fine}");
        }
        for open in ["http://api.stripe.com", "http://10.0.0.1", "http://localhost.example.com"] {
            assert!(matches!(refused(open), SetupError::PlainHttp { .. }), "{open}");
        }
    }

    #[test]
    fn urls_that_cannot_be_used_say_why() {
        for bad in
            ["", "api.stripe.com", "ftp://localhost", "http://", "https://a/?q", "https://a/#f"]
        {
            assert!(matches!(refused(bad), SetupError::BaseUrl { .. }), "{bad}");
        }
        let shown = refused("https://me:secret@api.stripe.com").to_string();
        assert!(shown.contains("password") && !shown.contains("secret"), "{shown}");
    }

    #[test]
    fn the_key_is_not_shown() {
        let http =
            Http::new("https://api.stripe.com", "sk_test_hidden", Limits::default()).unwrap();
        let request = http.request(Method::POST, &["v1"]);
        let shown = format!("{http:?} {request:?} {:?}", request.try_clone().unwrap().build());
        assert!(!shown.contains("hidden"), "{shown}");
    }

    #[test]
    fn waits_are_read_by_the_servers_clock() {
        let answered = |headers: &[(&'static str, &'static str)]| {
            let headers = headers.iter().map(|&(name, value)| {
                (HeaderName::from_static(name), HeaderValue::from_static(value))
            });
            let (status, body) = (StatusCode::TOO_MANY_REQUESTS, Vec::new());
            Answered { status, headers: headers.collect(), body }
        };
        let date = ("date", "Fri, 31 Dec 1999 23:59:50 GMT");
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        for (after, wait) in [
            ("7", seconds(7)),
            ("0", seconds(0)),
            ("1000000", seconds(60)),
            ("Fri, 31 Dec 1999 23:59:59 GMT", seconds(9)),
            ("Fri, 31 Dec 1999 23:59:00 GMT", seconds(0)),
            ("-1", None),
            ("soon", None),
        ] {
            assert_eq!(answered(&[("retry-after", after), date]).retry_after(), wait, "{after}");
        }
        let no_date = answered(&[("retry-after", "Fri, 31 Dec 1999 23:59:59 GMT")]);
        assert_eq!(no_date.retry_after(), None);
        // 1999-12-31 23:59:55 is 946684795.
        let reset = answered(&[("x-ratelimit-reset", "946684795"), date]);
        assert_eq!(reset.wait_until("x-ratelimit-reset"), seconds(5));
        let nonsense = answered(&[("x-ratelimit-reset", "18446744073709551615"), date]);
        assert_eq!(nonsense.wait_until("x-ratelimit-reset"), None);
    }

    #[test]
    fn segments_are_escaped() {
        let http = Http::new("http://localhost/worlds/a/", "key", Limits::default()).unwrap();
        assert_eq!(http.url(&["v1", "a/b?c"]).path(), "/worlds/a/v1/a%2Fb%3Fc");
    }
}
