//! The errors of calls to Stripe, and the errors of the gateway for them.

use std::fmt;
use std::time::Duration;

use level3_domain::ids::InvalidText;
use level3_domain::provider::{IntentStatus, ProviderError};

use super::amount::AmountError;
use crate::http::WireError;

/// Why a call has failed. It contains no secret: neither the key, nor the card, nor Stripe's texts
/// for people, which repeat parts of the request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StripeError {
    /// No connection: name not found, refused, TLS failed. No request was sent.
    #[error("Stripe cannot be reached: {reason}")]
    Unreachable {
        /// The message of the innermost error.
        reason: String,
    },
    /// Stripe has asked for a pause that has not ended. No request was sent.
    #[error("Stripe has asked to wait for another {} ms", remaining.as_millis())]
    Paused {
        /// The time until the pause ends.
        remaining: Duration,
    },
    /// The connection broke after the request may have been sent.
    #[error("the connection to Stripe broke: {reason}")]
    Lost {
        /// The message of the innermost error.
        reason: String,
    },
    /// No answer in time.
    #[error("no answer from Stripe within {} ms", limit.as_millis())]
    TimedOut {
        /// The limit of the call.
        limit: Duration,
    },
    /// The answer is not one of Stripe's: a redirect, a proxy's page, other JSON, or too many
    /// bytes.
    #[error("not an answer of Stripe ({status}): {reason}")]
    Unreadable {
        /// The status of the answer.
        status: u16,
        /// What is wrong with the answer.
        reason: String,
    },
    /// Stripe has refused the request.
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// A refund was made and has failed, or waits for an action.
    #[error("the refund is {status}")]
    RefundFailed {
        /// `failed`, `canceled`, `requires_action`.
        status: String,
    },
    /// The answer does not fit the request.
    #[error("the answer of Stripe does not fit: {message}")]
    Mismatch {
        /// What does not fit the question, in words.
        message: String,
    },
    /// The amount of the request or of the answer cannot be converted.
    #[error(transparent)]
    Amount(#[from] AmountError),
    /// The name cannot be that of an intent. No request was sent.
    #[error("the intent's name {0}")]
    IntentName(InvalidText),
    /// No intent was found, but there may be one: too many intents are newer, and the index of the
    /// search may be out of date.
    #[error("it is unknown whether there is an intent: {looked_at} newer ones were searched")]
    Uncertain {
        /// The number of intents that were searched.
        looked_at: usize,
    },
}

/// Stripe's kinds of errors (<https://docs.stripe.com/api/errors#errors-type>).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorClass {
    /// `api_error`, or none: a failure of Stripe.
    Api,
    /// `card_error`: the card cannot be charged.
    Card,
    /// `idempotency_error`: the key was used with other parameters.
    Idempotency,
    /// `invalid_request_error`, and every kind that this code does not know.
    InvalidRequest,
}

impl ErrorClass {
    pub(super) fn named(name: &str) -> Self {
        match name {
            "api_error" | "" => Self::Api,
            "card_error" => Self::Card,
            "idempotency_error" => Self::Idempotency,
            _ => Self::InvalidRequest,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Api => "api_error",
            Self::Card => "card_error",
            Self::Idempotency => "idempotency_error",
            Self::InvalidRequest => "invalid_request_error",
        }
    }
}

/// A refusal of Stripe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The status code.
    pub status: u16,
    /// The kind of error.
    pub class: ErrorClass,
    /// The code of the reason: the bank's (`insufficient_funds`) if there is one, or else Stripe's
    /// (`resource_missing`).
    pub code: Option<String>,
    /// The name of the wrong parameter.
    pub param: Option<String>,
    /// The status of the intent, if the error is about one.
    pub intent_status: Option<IntentStatus>,
    /// Stripe's id of the request, for its support.
    pub request: Option<String>,
    /// The header `Stripe-Should-Retry`
    /// (<https://docs.stripe.com/error-low-level#the-stripe-should-retry-header>).
    pub should_retry: Option<bool>,
    /// The header `Retry-After`, at most a minute.
    pub retry_after: Option<Duration>,
}

impl fmt::Display for Refusal {
    /// `402 card_error: insufficient_funds (request req_123)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, self.class.name())?;
        if let Some(code) = &self.code {
            write!(f, ": {code}")?;
        }
        if let Some(param) = &self.param {
            write!(f, ", parameter {param}")?;
        }
        match &self.request {
            Some(request) => write!(f, " (request {request})"),
            None => Ok(()),
        }
    }
}

impl Refusal {
    fn is(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }

    /// Converts the error to that of the gateway: see the table in the [module](super).
    fn provider_error(&self) -> ProviderError {
        match self.status {
            // The limit is not that of the account: another request has locked the object.
            429 if self.is("lock_timeout") => ProviderError::InFlight,
            429 => ProviderError::RateLimited { retry_after: self.pause() },
            409 if self.should_retry == Some(false) => {
                ProviderError::Mismatch { message: self.to_string() }
            }
            409 => ProviderError::InFlight,
            401 | 403 => ProviderError::Unavailable,
            500.. => self.breakdown(),
            _ if self.class == ErrorClass::Idempotency => ProviderError::KeyReused,
            _ if self.class == ErrorClass::Card || self.status == 402 => {
                let code = self.code.clone().unwrap_or_else(|| self.class.name().to_owned());
                ProviderError::Declined { code }
            }
            _ => match self.intent_status {
                Some(status) if self.is("payment_intent_unexpected_state") => {
                    ProviderError::WrongState { status }
                }
                _ if self.should_retry == Some(true) => ProviderError::InFlight,
                _ => ProviderError::Invalid { message: self.to_string() },
            },
        }
    }

    /// The effect of a request with a 5xx is unknown. What matters is whether the key is burnt: a
    /// 500 is stored for its key; the other statuses are answered before Stripe stores anything.
    /// `Stripe-Should-Retry` overrides both rules.
    fn breakdown(&self) -> ProviderError {
        let same_key_helps = self.should_retry.unwrap_or(self.status != 500);
        if same_key_helps { ProviderError::ConnectionLost } else { ProviderError::Internal }
    }

    /// Returns the pause after a 429. If Stripe forbids a retry and names no wait, the pause is one
    /// second, the window of its rate limit.
    fn pause(&self) -> Option<Duration> {
        let told_not_to = self.should_retry == Some(false);
        self.retry_after.or(told_not_to.then_some(Duration::from_secs(1)))
    }
}

impl From<WireError> for StripeError {
    fn from(error: WireError) -> Self {
        match error {
            WireError::NotSent { reason } => Self::Unreachable { reason },
            WireError::Lost { reason } => Self::Lost { reason },
            WireError::TimedOut { limit } => Self::TimedOut { limit },
            WireError::TooLong { status, most } => {
                Self::Unreadable { status, reason: format!("longer than {most} bytes") }
            }
        }
    }
}

impl From<&StripeError> for ProviderError {
    fn from(error: &StripeError) -> Self {
        match error {
            StripeError::Unreachable { .. } => Self::Unavailable,
            StripeError::Paused { remaining } => {
                Self::RateLimited { retry_after: Some(*remaining) }
            }
            // The answer may be a proxy's. Stripe still has its own answer to this key.
            StripeError::Lost { .. } | StripeError::Unreadable { .. } => Self::ConnectionLost,
            StripeError::TimedOut { limit } => Self::TimedOut { limit: *limit },
            StripeError::Refused(refusal) => refusal.provider_error(),
            StripeError::RefundFailed { status } => {
                Self::Declined { code: format!("refund_{status}") }
            }
            StripeError::Mismatch { message } => Self::Mismatch { message: message.clone() },
            StripeError::Amount(
                why @ (AmountError::TooFine { .. } | AmountError::TooLarge { .. }),
            ) => Self::Invalid { message: why.to_string() },
            StripeError::Amount(why) => Self::Mismatch { message: why.to_string() },
            StripeError::IntentName(_) => Self::Invalid { message: error.to_string() },
            StripeError::Uncertain { .. } => Self::InFlight,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use level3_domain::provider::Effect;

    fn refused(status: u16, change: impl FnOnce(&mut Refusal)) -> ProviderError {
        let mut refusal = Refusal {
            status,
            class: ErrorClass::InvalidRequest,
            code: None,
            param: None,
            intent_status: None,
            request: None,
            should_retry: None,
            retry_after: None,
        };
        change(&mut refusal);
        ProviderError::from(&StripeError::Refused(Box::new(refusal)))
    }

    #[test]
    fn no_breakdown_is_known_to_have_had_no_effect() {
        for status in 500..=599 {
            for should_retry in [None, Some(true), Some(false)] {
                let error = refused(status, |refusal| refusal.should_retry = should_retry);
                assert_eq!(error.effect(), Effect::Unknown, "{status} {should_retry:?}");
                assert!(error.is_transient(), "{status} {should_retry:?}");
            }
        }
    }

    #[test]
    fn stripe_knows_better_whether_a_key_is_burnt() {
        let after = |status, advice| refused(status, |refusal| refusal.should_retry = advice);
        assert_eq!(after(500, None), ProviderError::Internal);
        assert_eq!(after(500, Some(true)), ProviderError::ConnectionLost);
        assert_eq!(after(503, None), ProviderError::ConnectionLost);
        assert_eq!(after(503, Some(false)), ProviderError::Internal);
        assert_eq!(after(409, None), ProviderError::InFlight);
        assert!(!after(409, Some(false)).is_transient());
        assert_eq!(after(400, Some(true)), ProviderError::InFlight);
    }

    #[test]
    fn a_refusal_names_no_more_than_codes() {
        let refusal = Refusal {
            status: 402,
            class: ErrorClass::Card,
            code: Some("insufficient_funds".to_owned()),
            param: Some("card".to_owned()),
            intent_status: None,
            request: Some("req_1".to_owned()),
            should_retry: None,
            retry_after: None,
        };
        let shown = StripeError::Refused(Box::new(refusal)).to_string();
        assert_eq!(shown, "402 card_error: insufficient_funds, parameter card (request req_1)");
    }
}
