//! The key that tells two requests apart, and the invalidations that change it.

use std::collections::HashMap;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, Uri};

use super::message::{HttpError, Request};

/// Requests with equal keys have one copy and share one request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    method: Method,
    url: String,
    /// The values of the headers that tell requests apart, in the order of the settings.
    varying: Vec<Vec<HeaderValue>>,
    /// The number of the last invalidation that concerns the URL. It gives everything older another key: copies, and
    /// requests that are under way.
    epoch: u64,
}

impl Key {
    pub(super) fn new(request: &Request, vary: &[HeaderName], epoch: u64) -> Self {
        let (method, url) = (request.method.clone(), request.url.clone());
        let values = |name| values(&request.headers, name);
        Self { method, url, varying: vary.iter().map(values).collect(), epoch }
    }
}

fn values(headers: &HeaderMap, name: &HeaderName) -> Vec<HeaderValue> {
    headers.get_all(name).iter().cloned().collect()
}

/// The host of a URL, in lower case.
pub(super) fn host(url: &str) -> Result<String, HttpError> {
    let bad = || HttpError::BadUrl(url.to_owned());
    let uri: Uri = url.parse().map_err(|_| bad())?;
    let host = uri.host().filter(|host| !host.is_empty());
    match (uri.scheme_str(), host) {
        (Some("http" | "https"), Some(host)) => Ok(host.to_ascii_lowercase()),
        _ => Err(bad()),
    }
}

/// The invalidated prefixes, each with the number of its last invalidation.
#[derive(Debug, Default)]
pub(super) struct Epochs {
    /// The number of the last invalidation. It only rises, so no key comes back.
    last: u64,
    /// The number of the last invalidation of everything.
    all: u64,
    prefixes: HashMap<String, u64>,
}

impl Epochs {
    /// The most prefixes that are told apart. With one more, everything is invalidated: the client then forgets more
    /// than the caller asked for, and never less. Without a bound, a caller that invalidates one URL after another
    /// would grow the map without end.
    const MOST: usize = 64;

    pub(super) fn invalidate(&mut self, prefix: &str) {
        self.last += 1;
        self.prefixes.insert(prefix.to_owned(), self.last);
        if self.prefixes.len() > Self::MOST {
            self.prefixes.clear();
            self.all = self.last;
        }
    }

    pub(super) fn of(&self, url: &str) -> u64 {
        // The latest of all prefixes that match. A map cannot look a prefix up, so it looks at all: at most `MOST`.
        let concerned = self.prefixes.iter().filter(|(prefix, _)| url.starts_with(*prefix));
        concerned.map(|(_, number)| *number).fold(self.all, u64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_absolute_urls_have_a_host() {
        assert_eq!(host("https://A.example:8080/x?y").as_deref(), Ok("a.example"));
        for bad in ["", "/x", "a.example", "ftp://a.example/", "http://", "http:///x", "http://a b"]
        {
            assert_eq!(host(bad), Err(HttpError::BadUrl(bad.to_owned())));
        }
    }

    #[test]
    fn an_epoch_never_goes_back() {
        let mut epochs = Epochs::default();
        epochs.invalidate("http://a/users");
        assert_eq!((epochs.of("http://a/users/1"), epochs.of("http://a/rates")), (1, 0));
        epochs.invalidate("http://a/");
        assert_eq!((epochs.of("http://a/users/1"), epochs.of("http://a/rates")), (2, 2));
        for number in 0..100 {
            epochs.invalidate(&format!("http://b/{number}"));
        }
        assert!(epochs.of("http://a/users/1") > 2);
        assert!(epochs.prefixes.len() <= Epochs::MOST);
    }
}
