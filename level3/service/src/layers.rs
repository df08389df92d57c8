//! What is done around every route: the request's name, its log lines, its figures, its time limit.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{ALLOW, CACHE_CONTROL};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use futures::FutureExt as _;
use tokio::time::{Instant, timeout};
use tower_http::compression::CompressionLayer;
use tracing::Instrument as _;

use crate::problem::{Problem, ProblemKind};
use crate::request_id::{REQUEST_ID, RequestId};
use crate::service::{Inner, Service};

/// Puts the layers around the routes. CORS is off: no header allows a page of another origin to read
/// an answer.
pub(crate) fn around(routes: Router, service: &Service) -> Router {
    routes
        // Inside of the log, so that the log has the time until the head of the answer.
        .layer(CompressionLayer::new())
        .layer(from_fn_with_state(Arc::clone(&service.0), observed))
}

async fn observed(State(service): State<Arc<Inner>>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let id = RequestId::of(request.headers());
    let method = request.method().clone();
    // The pattern and not the path: a path has names, and a wrong one may have anything.
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let route = route.unwrap_or_else(|| "unknown".to_owned());
    let method_name = if is_known(method.as_str()) { method.as_str() } else { "other" };
    let span = tracing::info_span!(
        "request",
        request_id = id.as_str(),
        method = method_name,
        route = route.as_str()
    );
    // A panic in a handler must not close the connection without an answer. `AssertUnwindSafe`: what
    // the handler shares is the gateway's, which contains panics itself.
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind();
    let answer = timeout(service.config.request_timeout, answer).instrument(span.clone()).await;
    let mut response = match answer {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => {
            span.in_scope(|| tracing::error!("a handler panicked"));
            Problem::from(ProblemKind::Internal).into_response()
        }
        Err(_) => Problem::from(ProblemKind::TimedOut).into_response(),
    };
    if response.status() == StatusCode::METHOD_NOT_ALLOWED {
        let allow = response.headers().get(ALLOW).cloned();
        response = Problem::from(ProblemKind::MethodNotAllowed).allow(allow).into_response();
    }
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, id.header());
    let security: [(HeaderName, &str); 2] = [
        (CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("x-content-type-options"), "nosniff"),
    ];
    for (name, value) in security {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    let problem = response.extensions().get::<ProblemKind>().copied();
    if let Some(problem) = problem {
        service.metrics.problem(problem.slug());
    }
    let (status, took) = (response.status().as_u16(), begun.elapsed());
    service.metrics.answered(method_name, &route, status, took);
    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let problem = problem.map(ProblemKind::slug);
    span.in_scope(|| tracing::info!(status, took_ms, problem, "answered"));
    response
}

/// A method may be any word, and must not become a label.
fn is_known(method: &str) -> bool {
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"].contains(&method)
}
