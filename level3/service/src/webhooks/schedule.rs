//! When a notification is tried again. Pure: no clock, no chance of its own.

use std::time::Duration;

use level3_adapters::sql::DeliveryEnd;
use level3_adapters::webhooks::{HookAnswer, HookError};

/// The pauses after each failed attempt. About three days in all: a merchant that repairs its server
/// on Monday gets what has happened on Friday evening.
const PAUSES: [Duration; 9] = [
    Duration::from_secs(5),
    Duration::from_secs(60),
    Duration::from_secs(5 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(2 * 3600),
    Duration::from_secs(5 * 3600),
    Duration::from_secs(10 * 3600),
    Duration::from_secs(20 * 3600),
    Duration::from_secs(36 * 3600),
];

/// Why an attempt has failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    /// The endpoint has answered with another status than 2xx.
    #[error("the endpoint answers {}", .0.status)]
    Refused(HookAnswer),
    /// The endpoint has not answered.
    #[error("the endpoint: {0}")]
    NoAnswer(#[from] HookError),
}

/// Reads an answer: only 2xx is success. A redirect is a failure, since a signed notification must
/// reach the configured server or none.
pub(super) fn read(answer: Result<HookAnswer, HookError>) -> Result<(), Failure> {
    match answer? {
        HookAnswer { status: 200..=299, .. } => Ok(()),
        other => Err(Failure::Refused(other)),
    }
}

/// Whether the failure counts for the breaker of the endpoint: the server is down or overloaded. A
/// server that refuses one notification works.
pub(super) fn is_outage(failure: &Failure) -> bool {
    match failure {
        Failure::Refused(answer) => answer.status >= 500 || answer.status == 429,
        Failure::NoAnswer(_) => true,
    }
}

/// Decides what follows from a failed attempt. `before` attempts have failed before it; `chance` is a
/// random number that spreads the pauses, so that the notifications of an outage do not all come at
/// the same moment after it.
pub(super) fn after(failure: &Failure, before: u32, chance: u8) -> DeliveryEnd {
    let cause = failure.to_string();
    let asked = match failure {
        // Gone: the merchant has taken the endpoint away.
        Failure::Refused(HookAnswer { status: 410, .. }) => return DeliveryEnd::Dead { cause },
        Failure::Refused(answer) => answer.retry_after,
        Failure::NoAnswer(_) => None,
    };
    let pause = usize::try_from(before).ok().and_then(|before| PAUSES.get(before));
    match pause {
        Some(pause) => {
            // Up to a quarter longer.
            let pause = *pause + *pause * u32::from(chance) / (4 * 255);
            let after = pause.max(asked.unwrap_or_default());
            DeliveryEnd::Again { after, cause, counts: true }
        }
        None => DeliveryEnd::Dead { cause },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, retry_after: Option<Duration>) -> Failure {
        Failure::Refused(HookAnswer { status, retry_after })
    }

    fn pause(end: DeliveryEnd) -> Duration {
        match end {
            DeliveryEnd::Again { after, counts: true, .. } => after,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn pauses_grow_and_end() {
        let failure = refused(500, None);
        for (before, expected) in (0..).zip(PAUSES) {
            assert_eq!(pause(after(&failure, before, 0)), expected);
            let longest = pause(after(&failure, before, 255));
            assert_eq!(longest, expected * 5 / 4);
        }
        for before in [9, u32::MAX] {
            assert!(matches!(after(&failure, before, 0), DeliveryEnd::Dead { .. }));
        }
        assert!(PAUSES.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn the_endpoint_may_ask_for_a_longer_pause_or_for_none_at_all() {
        let asked = Some(Duration::from_secs(50));
        assert_eq!(pause(after(&refused(503, asked), 0, 0)), Duration::from_secs(50));
        assert_eq!(pause(after(&refused(503, asked), 2, 0)), PAUSES[2]);
        assert!(matches!(after(&refused(410, asked), 0, 0), DeliveryEnd::Dead { .. }));
    }

    #[test]
    fn only_2xx_is_success_and_only_an_outage_opens_the_breaker() {
        let answer = |status| read(Ok(HookAnswer { status, retry_after: None }));
        for status in [200, 202, 204, 299] {
            assert_eq!(answer(status), Ok(()));
        }
        for (status, outage) in
            [(100, false), (302, false), (400, false), (404, false), (429, true), (500, true)]
        {
            let failure = answer(status).unwrap_err();
            assert_eq!(is_outage(&failure), outage, "{status}");
        }
        let silent = read(Err(HookError::TimedOut(Duration::from_secs(1)))).unwrap_err();
        assert!(is_outage(&silent));
    }
}
