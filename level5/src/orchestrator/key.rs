//! Which requests are the same.

use http::Method;
use http::header::{HeaderName, HeaderValue};
use level4::http_client::Request;

use super::Spec;

/// Requests with equal keys share a copy and a run. Ids play no part: two ids may stand for one request, and an id may be
/// registered again for another one.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    method: Method,
    url: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Vec<u8>,
    /// A run whose answer is not kept must not serve those who want it kept.
    pub(super) cacheable: bool,
}

impl Key {
    /// `None` for methods whose requests are never the same.
    pub(super) fn of(spec: &Spec) -> Option<Self> {
        let Request { method, url, headers, body } = spec.request.clone();
        if !matches!(method, Method::GET | Method::HEAD) {
            return None;
        }
        let mut headers: Vec<_> =
            headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        // Stable: values of one header keep their order, which has a meaning.
        headers.sort_by(|(one, _), (other, _)| one.as_str().cmp(other.as_str()));
        Some(Self { method, url, headers, body, cacheable: spec.cacheable })
    }
}
