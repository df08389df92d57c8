//! Requests, and the orchestrator that runs them.

use std::num::NonZeroUsize;
use std::sync::Arc;

use level3::retry::NoJitter;
use level4::http_client::{Request, Response, Transport, TransportError};
use level5::orchestrator::{Orchestrator, Settings, Spec};

use crate::Failed;

/// A transport that answers everything at once.
#[derive(Debug, Clone)]
pub struct Answers;

/// The answer to everything.
pub fn answer() -> Response {
    Response {
        status: http::StatusCode::OK,
        headers: http::HeaderMap::new(),
        body: Arc::from(*b"{}"),
    }
}

impl Transport for Answers {
    async fn send(&self, _: Request) -> Result<Response, TransportError> {
        // At the second poll, so that requests that run at once overlap.
        tokio::task::yield_now().await;
        Ok(answer())
    }
}

/// An orchestrator with the requests `0` to `requests - 1`, of all priorities. Inside of a runtime.
pub fn start(requests: u64, cacheable: bool) -> Result<Orchestrator<Answers>, Failed> {
    let capacity = NonZeroUsize::new(usize::try_from(requests)?).unwrap_or(NonZeroUsize::MIN);
    let settings = Settings { capacity, ..Settings::default() };
    let orchestrator = Orchestrator::new(Answers, settings, Arc::new(NoJitter))?;
    for number in 0..requests {
        let url = format!("http://api.example/{number}");
        let priority = (number % 10) as u8;
        orchestrator
            .register(number.to_string(), Spec { priority, cacheable, ..Spec::get(url) })?;
    }
    Ok(orchestrator)
}
