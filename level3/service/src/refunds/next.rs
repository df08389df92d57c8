//! What follows from an answer of the provider, and when to try again. Pure: no clock, no store.

use std::time::Duration;

use level3_adapters::sql::{RefundOutcome, RefundRow};
use level3_domain::provider::{Effect, ProviderError};
use level3_domain::refund::{Made, MadeRefund};

/// The longest pause between two turns.
const LONGEST: Duration = Duration::from_secs(600);

/// Why the provider is asked for the refunds of the charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// The request may have been executed.
    Sent,
    /// The provider has stored an error for the key. If the request had no effect, the next one
    /// needs another key.
    Burnt,
}

/// What follows from an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// The provider has refused the refund for good.
    Failed,
    /// Ask the provider whether it has made the refund.
    Look(Look),
    /// Try again soon: the request had no effect.
    Again,
    /// Try again later: the provider has asked for a pause, or only an operator can help.
    Later,
}

pub(super) fn after(error: &ProviderError) -> After {
    match error {
        ProviderError::Internal => After::Look(Look::Burnt),
        // The rate limit is the account's, whose payments come first.
        ProviderError::RateLimited { .. } => After::Later,
        // A refund of this name has another amount at the provider: the store is not the one that it
        // was, and no refusal of this request.
        ProviderError::KeyReused => After::Later,
        error if error.effect() == Effect::Unknown => After::Look(Look::Sent),
        error if error.is_transient() => After::Again,
        _ => After::Failed,
    }
}

/// Returns the outcome, if the refund is among those that the provider has made.
pub(super) fn found(made: &[MadeRefund], row: &RefundRow) -> Option<RefundOutcome> {
    let is_it = |made: &&MadeRefund| made.refund.as_ref() == Some(&row.refund);
    made.iter().find(is_it).map(outcome)
}

pub(super) fn outcome(made: &MadeRefund) -> RefundOutcome {
    match made.made {
        Made::Accepted => RefundOutcome::Succeeded(made.provider_id.clone()),
        Made::Failed => RefundOutcome::Failed("the refund failed at the provider".to_owned()),
    }
}

/// The pause after the `call`th call of a turn.
pub(super) fn short_pause(call: u32) -> Duration {
    Duration::from_millis(100) * 2_u32.saturating_pow(call.min(5))
}

/// The pause before the next turn, after so many without an outcome: two seconds, doubled each time,
/// at most ten minutes.
pub(super) fn pause(turns: u32) -> Duration {
    Duration::from_secs(2).saturating_mul(2_u32.saturating_pow(turns.min(16))).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use level3_domain::provider::IntentStatus;

    use super::*;

    #[test]
    fn no_error_with_an_unknown_effect_is_an_outcome() {
        use ProviderError as E;

        let text = || "text".to_owned();
        for (error, expected) in [
            (E::Declined { code: text() }, After::Failed),
            (E::Invalid { message: text() }, After::Failed),
            (E::WrongState { status: IntentStatus::Canceled }, After::Failed),
            (E::Unavailable, After::Again),
            (E::RateLimited { retry_after: None }, After::Later),
            (E::KeyReused, After::Later),
            (E::Internal, After::Look(Look::Burnt)),
            (E::InFlight, After::Look(Look::Sent)),
            (E::ConnectionLost, After::Look(Look::Sent)),
            (E::TimedOut { limit: LONGEST }, After::Look(Look::Sent)),
            (E::Mismatch { message: text() }, After::Look(Look::Sent)),
        ] {
            assert_eq!(after(&error), expected, "{error}");
            assert!(error.effect() == Effect::None || expected != After::Failed);
        }
    }

    #[test]
    fn pauses_grow_up_to_a_limit() {
        let seconds: Vec<_> = (0..4).map(|turns| pause(turns).as_secs()).collect();
        assert_eq!(seconds, [2, 4, 8, 16]);
        for turns in [9, 31, 32, u32::MAX] {
            assert_eq!(pause(turns), LONGEST);
        }
        assert!(short_pause(1) < short_pause(3) && short_pause(u32::MAX) < Duration::from_secs(4));
    }
}
