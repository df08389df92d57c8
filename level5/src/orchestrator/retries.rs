//! The rules for another attempt: after which failures, and how long after.

use std::num::NonZeroU32;
use std::time::Duration;

use http::StatusCode;
use http::header::RETRY_AFTER;
use level3::retry::{Backoff, BackoffConfigError};
use level4::http_client::{HttpError, TransportError};

/// The longest wait of a schedule. A server may ask for a longer one.
const CAP: Duration = Duration::from_secs(30);

/// The schedules, one for each kind of failure.
#[derive(Debug, Clone, Copy)]
pub(super) struct Retries {
    /// For timeouts: ours, the transport's, and the server's 408.
    slow: Backoff,
    /// For 5xx: half as long again as after a timeout.
    server: Backoff,
    /// For 429 without `Retry-After`. The longest waits: an attempt that comes too early is refused as well.
    limited: Backoff,
    /// For other failures of the transport: one retry less.
    other: Backoff,
}

impl Retries {
    pub(super) fn new() -> Result<Self, BackoffConfigError> {
        // A schedule counts attempts, and the first one is no retry. Built once and not at each failure, so an invalid
        // schedule is refused when the orchestrator is made.
        let schedule = |base, retries| {
            let attempts = NonZeroU32::MIN.saturating_add(retries);
            Backoff::new(Duration::from_millis(base), 2.0, CAP, attempts)
        };
        Ok(Self {
            slow: schedule(1000, 3)?,
            server: schedule(1500, 3)?,
            limited: schedule(3000, 3)?,
            other: schedule(1000, 2)?,
        })
    }

    /// The wait after the failed attempt of this number, the first being 1; `None` if no attempt follows. `unit` is the
    /// jitter, from 0 to 1.
    pub(super) fn wait(&self, error: &HttpError, attempt: u32, unit: f64) -> Option<Duration> {
        let schedule = match error {
            // The next attempt would have the same URL, and a refusal such as 404 the same reason.
            HttpError::BadUrl(_) => return None,
            HttpError::Transport(TransportError::Timeout) => self.slow,
            HttpError::Transport(_) => self.other,
            HttpError::Status(answer) => match answer.status {
                StatusCode::REQUEST_TIMEOUT => self.slow,
                StatusCode::TOO_MANY_REQUESTS => self.limited,
                status if status.is_server_error() => self.server,
                _ => return None,
            },
        };
        // The server's wait has no jitter: a shorter one is an attempt that the server has already refused. The number
        // of attempts is the schedule's in either case, or a server could keep a caller retrying without end.
        let after = retry_after(error).unwrap_or_else(|| schedule.delay(attempt, unit));
        (attempt < schedule.attempts().get()).then_some(after)
    }
}

/// The seconds of a 429's `Retry-After`. A date is not read: it would need the clocks of both sides to agree.
fn retry_after(error: &HttpError) -> Option<Duration> {
    let HttpError::Status(answer) = error else { return None };
    let header = (answer.status == StatusCode::TOO_MANY_REQUESTS)
        .then(|| answer.headers.get(RETRY_AFTER))
        .flatten()?;
    header.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use level4::http_client::Response;

    use super::*;

    fn waits(error: &HttpError) -> Vec<u64> {
        let retries = Retries::new().expect("the schedules are valid");
        let waits = (1..).map_while(|attempt| retries.wait(error, attempt, 1.0));
        waits.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)).collect()
    }

    fn status(status: u16) -> HttpError {
        let status = StatusCode::from_u16(status).unwrap_or_default();
        HttpError::Status(Response { status, headers: HeaderMap::new(), body: [].into() })
    }

    #[test]
    fn each_kind_has_its_schedule() {
        assert_eq!(waits(&TransportError::Timeout.into()), [1000, 2000, 4000]);
        assert_eq!(waits(&status(503)), [1500, 3000, 6000]);
        assert_eq!(waits(&status(429)), [3000, 6000, 12_000]);
        assert_eq!(waits(&TransportError::Incomplete.into()), [1000, 2000]);
        assert!(waits(&status(404)).is_empty());
    }
}
