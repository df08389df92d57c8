//! Why a request was not done: the problems of RFC 9457, each with a stable type.

use std::time::Duration;

use axum::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

/// The media type of a problem.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// Declares the kinds with everything that is the same for each answer of a kind.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $slug:literal, $status:ident, $title:literal, $charged:literal, $next:literal;)*) => {
        /// The kind of a problem. Its [type](ProblemKind::type_uri) never changes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ProblemKind {
            $($(#[$doc])* $kind,)*
        }

        impl ProblemKind {
            /// Every kind, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$kind),*];

            /// Returns the last part of the type, such as `declined`.
            #[must_use]
            pub const fn slug(self) -> &'static str {
                match self { $(Self::$kind => $slug,)* }
            }

            /// Returns the status code of the answer.
            #[must_use]
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$kind => StatusCode::$status,)* }
            }

            /// Returns the summary, which is the same for each answer of this kind.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$kind => $title,)* }
            }

            /// Returns what the answer says about the customer's money.
            #[must_use]
            pub const fn charged(self) -> &'static str {
                match self { $(Self::$kind => $charged,)* }
            }

            /// Returns what the client can do.
            #[must_use]
            pub const fn next(self) -> &'static str {
                match self { $(Self::$kind => $next,)* }
            }
        }
    };
}

kinds! {
    /// A field, a header or a parameter is missing or wrong.
    InvalidRequest = "invalid-request", BAD_REQUEST,
        "The request is wrong", "no", "Correct the fields that `errors` names.";
    /// A request with an effect has no idempotency key.
    KeyMissing = "idempotency-key-missing", BAD_REQUEST,
        "The header Idempotency-Key is missing", "no", "Send a key of your own, one for each payment.";
    /// A report that the provider has not signed.
    NotSigned = "signature-invalid", BAD_REQUEST,
        "The report is not signed by the provider", "no", "Send the body as it was signed, with the header Stripe-Signature, at once.";
    /// The request has no valid key of a merchant.
    Unauthorized = "unauthorized", UNAUTHORIZED,
        "The API key is missing or not valid", "no", "Send `Authorization: Bearer KEY`.";
    /// The fraud check or the bank has declined.
    Declined = "declined", PAYMENT_REQUIRED,
        "The payment was declined", "no", "Ask the customer for another card, under another key.";
    /// The key of the merchant lacks a scope.
    Forbidden = "insufficient-scope", FORBIDDEN,
        "The API key does not have the scope", "no", "Use a key with the scope that `detail` names.";
    /// There is no such path, or no such payment of this merchant.
    NotFound = "not-found", NOT_FOUND,
        "There is nothing here", "no", "Correct the path or the name.";
    /// The path has no such method.
    MethodNotAllowed = "method-not-allowed", METHOD_NOT_ALLOWED,
        "The path does not have this method", "no", "Use a method of the header Allow.";
    /// Another request does the same work now.
    Busy = "busy", CONFLICT,
        "The same work is under way", "no", "Wait until the other request has ended.";
    /// A refund of a payment that is not paid.
    NotPaid = "payment-not-paid", CONFLICT,
        "The payment is not paid", "no", "Refund a payment whose state is `paid`.";
    /// The body exceeds the limit.
    TooLarge = "body-too-large", PAYLOAD_TOO_LARGE,
        "The body is too large", "no", "Send a smaller body.";
    /// The body is not JSON by its media type.
    MediaType = "unsupported-media-type", UNSUPPORTED_MEDIA_TYPE,
        "The body is not application/json", "no", "Send `Content-Type: application/json`.";
    /// The key was used before, for another payment.
    KeyReused = "idempotency-key-reused", UNPROCESSABLE_ENTITY,
        "The key was used before with another body", "not by this request", "Use a new key for a new payment.";
    /// A service refused the payment, and would refuse it again.
    Rejected = "payment-rejected", UNPROCESSABLE_ENTITY,
        "A service refuses the payment", "no", "Correct the request, and use another key.";
    /// More would be refunded than was charged.
    RefundExceeds = "refund-exceeds-charge", UNPROCESSABLE_ENTITY,
        "The refund exceeds what is left of the charge", "yes, and nothing was refunded", "Ask for at most `left` minor units.";
    /// The provider has refused the refund.
    RefundFailed = "refund-failed", UNPROCESSABLE_ENTITY,
        "The refund failed", "yes, and nothing was refunded", "Repeat the refund under another key when the reason in `detail` is gone.";
    /// The merchant sends more requests than its limit allows.
    RateLimited = "rate-limited", TOO_MANY_REQUESTS,
        "The merchant sends too many requests", "no", "Repeat the request after Retry-After.";
    /// A fault of this service.
    Internal = "internal", INTERNAL_SERVER_ERROR,
        "A fault of the service", "unknown", "Read the payment, or repeat the request with the same key.";
    /// A service failed, and everything is undone.
    Failed = "payment-failed", BAD_GATEWAY,
        "The payment failed", "no", "Repeat the request with the same key: it tries again.";
    /// More payments are offered than can be paid.
    Overloaded = "overloaded", SERVICE_UNAVAILABLE,
        "Too many payments at once", "no", "Repeat the request after Retry-After.";
    /// A service that each payment needs is down.
    Unavailable = "dependency-unavailable", SERVICE_UNAVAILABLE,
        "A service that payments need is down", "no", "Repeat the request after Retry-After.";
    /// The process ends.
    ShuttingDown = "shutting-down", SERVICE_UNAVAILABLE,
        "The service is shutting down", "no", "Repeat the request after Retry-After; another process answers it.";
    /// The store cannot be used.
    StoreUnavailable = "store-unavailable", SERVICE_UNAVAILABLE,
        "The store cannot be used", "unknown", "Repeat the request with the same key after Retry-After.";
    /// The request took too long.
    TimedOut = "request-timeout", GATEWAY_TIMEOUT,
        "The request took too long", "unknown", "Read the payment, or repeat the request with the same key.";
}

impl ProblemKind {
    /// Returns the type of the problem: a reference that is relative to the service, which
    /// describes the kind there.
    #[must_use]
    pub fn type_uri(self) -> String {
        format!("/problems/{}", self.slug())
    }

    /// Returns the kind with this slug.
    #[must_use]
    pub fn from_slug(slug: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.slug() == slug)
    }

    /// Returns the table of all kinds, for the documentation.
    #[must_use]
    pub fn table() -> String {
        let mut table = "| type | status | meaning | charged | what to do |\n\
                         | --- | ---: | --- | --- | --- |\n"
            .to_owned();
        for kind in Self::ALL {
            let (uri, status) = (kind.type_uri(), kind.status().as_u16());
            let (title, charged, next) = (kind.title(), kind.charged(), kind.next());
            table += &format!("| `{uri}` | {status} | {title} | {charged} | {next} |\n");
        }
        table
    }

    /// Returns the description that the service has under the type.
    pub(crate) fn description(self) -> Value {
        json!({
            "type": self.type_uri(), "status": self.status().as_u16(), "title": self.title(),
            "charged": self.charged(), "next": self.next(),
        })
    }
}

/// A problem, as an answer.
///
/// Nothing in it comes from the request, except names that were checked: a problem ends up in logs,
/// and a request may hold what must not be there.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    kind: ProblemKind,
    // Behind a pointer: most requests have no problem, and all their results have room for one.
    more: Box<More>,
}

/// What differs between the answers of a kind.
#[derive(Debug, Clone, PartialEq, Default)]
struct More {
    detail: Option<String>,
    retry_after: Option<Duration>,
    allow: Option<HeaderValue>,
    members: Map<String, Value>,
}

impl From<ProblemKind> for Problem {
    fn from(kind: ProblemKind) -> Self {
        Self { kind, more: Box::default() }
    }
}

impl Problem {
    /// Makes a problem with an explanation of this occurrence.
    pub fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        let detail = Some(detail.into());
        Self { kind, more: Box::new(More { detail, ..More::default() }) }
    }

    /// Makes the problem of a wrong field. `pointer` is a JSON pointer into the body, or the name of
    /// a header or a parameter.
    pub fn field(pointer: &str, detail: &str) -> Self {
        Self::new(ProblemKind::InvalidRequest, format!("{pointer}: {detail}"))
            .with("errors", json!([{ "pointer": pointer, "detail": detail }]))
    }

    /// The same with a further member.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.members.insert(name.to_owned(), value.into());
        self
    }

    /// The same with a time after which a repeat may succeed.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.more.retry_after = Some(after);
        self
    }

    /// The same with the methods that the path has.
    #[must_use]
    pub(crate) fn allow(mut self, allow: Option<HeaderValue>) -> Self {
        self.more.allow = allow;
        self
    }

    /// The kind of the problem.
    #[must_use]
    pub const fn kind(&self) -> ProblemKind {
        self.kind
    }
}

/// Returns whole seconds, rounded up, and at least one: a client that comes back at once is refused
/// again.
fn seconds(after: Duration) -> u64 {
    (after.as_secs() + u64::from(after.subsec_nanos() > 0)).max(1)
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let More { detail, retry_after, allow, members: mut body } = *self.more;
        body.insert("type".to_owned(), self.kind.type_uri().into());
        body.insert("title".to_owned(), self.kind.title().into());
        body.insert("status".to_owned(), self.kind.status().as_u16().into());
        if let Some(detail) = detail {
            body.insert("detail".to_owned(), detail.into());
        }
        let mut response = (self.kind.status(), Value::Object(body).to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if let Some(after) = retry_after {
            headers.insert(RETRY_AFTER, seconds(after).into());
        }
        if let Some(allow) = allow {
            headers.insert(ALLOW, allow);
        }
        if self.kind == ProblemKind::Unauthorized {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        // The layer around all routes counts problems by kind.
        response.extensions_mut().insert(self.kind);
        response
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_wait_is_whole_seconds_and_never_none() {
        let of = |ms| seconds(Duration::from_millis(ms));
        assert_eq!([of(0), of(1), of(1000), of(1001), of(9_999)], [1, 1, 1, 2, 10]);
    }

    #[test]
    fn every_type_is_there_once() {
        let types: HashSet<_> = ProblemKind::ALL.iter().map(|kind| kind.type_uri()).collect();
        assert_eq!(types.len(), ProblemKind::ALL.len());
        for kind in ProblemKind::ALL {
            assert_eq!(ProblemKind::from_slug(kind.slug()), Some(*kind));
        }
    }
}
