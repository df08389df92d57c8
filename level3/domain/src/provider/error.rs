//! The errors of calls to a service, and whether a failed call may have had an effect.

use std::time::Duration;

use super::IntentStatus;
use crate::journal::Effect;

/// The error of a call to a service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// A business answer: the card was refused, for instance. The service works.
    #[error("declined: {code}")]
    Declined {
        /// The service's code: `card_declined`, `insufficient_funds`.
        code: String,
    },
    /// The request itself is wrong (400, 404): it will be refused again.
    #[error("invalid request: {message}")]
    Invalid {
        /// The reason, in words.
        message: String,
    },
    /// The state of the intent does not allow the request.
    #[error("not possible for an intent that is {status}")]
    WrongState {
        /// The state of the intent.
        status: IntentStatus,
    },
    /// The key was used before with other parameters (Stripe's `idempotency_error`).
    #[error("the key was used with other parameters")]
    KeyReused,
    /// A request with this key, or on this object, is still running (409).
    #[error("a request with this key is still running")]
    InFlight,
    /// Too many requests (429). The service refused the request before it looked at anything else.
    #[error("too many requests")]
    RateLimited {
        /// The wait that the header `Retry-After` names.
        retry_after: Option<Duration>,
    },
    /// The request was refused before it was executed (503, no connection).
    #[error("unavailable")]
    Unavailable,
    /// The service failed while it executed the request (500). The provider stores this answer: the
    /// same key gets it again.
    #[error("internal error of the service")]
    Internal,
    /// The request was sent, and the connection broke before the answer.
    #[error("connection lost before the answer")]
    ConnectionLost,
    /// No answer within the limit. The request may still be under way.
    #[error("no answer within {} ms", limit.as_millis())]
    TimedOut {
        /// The limit of the call.
        limit: Duration,
    },
    /// An answer that does not fit what was asked: another amount, another intent.
    #[error("the answer does not fit: {message}")]
    Mismatch {
        /// What does not fit the question, in words.
        message: String,
    },
}

impl ProviderError {
    /// Whether the call may still have had its effect.
    #[must_use]
    pub const fn effect(&self) -> Effect {
        match self {
            Self::Declined { .. }
            | Self::Invalid { .. }
            | Self::WrongState { .. }
            | Self::KeyReused
            | Self::RateLimited { .. }
            | Self::Unavailable => Effect::None,
            Self::InFlight
            | Self::Internal
            | Self::ConnectionLost
            | Self::TimedOut { .. }
            | Self::Mismatch { .. } => Effect::Unknown,
        }
    }

    /// Whether another attempt may succeed.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::InFlight
                | Self::RateLimited { .. }
                | Self::Unavailable
                | Self::Internal
                | Self::ConnectionLost
                | Self::TimedOut { .. }
        )
    }

    /// Whether the error indicates an outage. A healthy service may refuse a request; the breaker
    /// ignores that.
    #[must_use]
    pub const fn is_outage(&self) -> bool {
        matches!(
            self,
            Self::Unavailable | Self::Internal | Self::ConnectionLost | Self::TimedOut { .. }
        )
    }
}
