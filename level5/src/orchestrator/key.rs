//! The keys of equal requests: one for their copy, one for their run.

use http::Method;
use http::header::{HeaderName, HeaderValue};
use level4::http_client::Request;

use super::Spec;

/// Requests with equal keys share a copy.
///
/// Ids play no part: two ids may stand for one request, and an id may be registered again for another one.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    method: Method,
    url: String,
    /// Sorted by name. A `HeaderMap` has no hash, and its order is not part of the request.
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Vec<u8>,
}

/// Requests with equal keys share a run: the same request under the same rules.
///
/// The priority and the timeout are not among the rules: each caller of a run has its own.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct RunKey {
    pub(super) request: Key,
    /// A run keeps its answer or does not. A caller whose request is cacheable must not join a run that keeps nothing.
    pub(super) cacheable: bool,
    /// A run sends again or does not. A caller with retries must not join a run without them, and one whose request is
    /// to be sent once must not be the cause of a second call.
    pub(super) retryable: bool,
}

impl RunKey {
    /// The key of a request; `None` for methods whose requests are never shared.
    pub(super) fn of(spec: &Spec) -> Option<Self> {
        let Request { method, url, headers, body } = spec.request.clone();
        // Two equal `POST`s are two orders of the caller. The whole list of headers counts and no selection, because
        // the orchestrator does not know which of them the server reads: at worst, equal requests are sent twice.
        if !matches!(method, Method::GET | Method::HEAD) {
            return None;
        }
        let mut headers: Vec<_> =
            headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        // Stable: values of one header keep their order, which has a meaning.
        headers.sort_by(|(one, _), (other, _)| one.as_str().cmp(other.as_str()));
        let request = Key { method, url, headers, body };
        Some(Self { request, cacheable: spec.cacheable, retryable: spec.retryable })
    }
}
