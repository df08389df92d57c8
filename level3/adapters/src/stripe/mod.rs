//! Stripe as the payment provider, over its HTTP API.
//!
//! Only test mode is supported: the client refuses a live key by its prefix. Every request carries
//! the version of the API that this code was written for, and every write carries the gateway's
//! idempotency key.
//!
//! # What an answer means
//!
//! After Stripe's pages on [errors](https://docs.stripe.com/api/errors), on [what they mean for
//! HTTP](https://docs.stripe.com/error-low-level) and on [idempotent
//! requests](https://docs.stripe.com/api/idempotent_requests). "Unknown" is an effect that the
//! client cannot determine.
//!
//! | what comes back | the gateway sees | effect |
//! |---|---|---|
//! | no connection: DNS, refused, TLS | `Unavailable` | none |
//! | a connection that breaks; a redirect, a proxy's page, garbage, too much, 200 with an error in it | `ConnectionLost` | unknown |
//! | nothing in time | `TimedOut` | unknown |
//! | 402, `card_error` | `Declined` with the bank's code | none |
//! | 400 `payment_intent_unexpected_state` | `WrongState` | none |
//! | 400 `idempotency_error` | `KeyReused` | none |
//! | 409; 429 `lock_timeout` | `InFlight` | unknown |
//! | 429 | `RateLimited` with `Retry-After` | none |
//! | 401, 403: the key is not valid, or may not do this | `Unavailable` | none |
//! | 500 | `Internal`: stored for its key | unknown |
//! | other 5xx | `ConnectionLost`: not stored | unknown |
//! | other 4xx | `Invalid` | none |
//!
//! `Stripe-Should-Retry` overrides the table: with `true` another attempt with the same key may
//! succeed, with `false` it cannot. `Retry-After` delays every call of this client, since the limit
//! is the account's; until then calls fail with `RateLimited` without being sent. Stripe answers
//! 401 before it looks at the idempotency key, and an operator can correct the key. So a 401 opens
//! the breaker and fails no payment permanently.
//!
//! # Money and states
//!
//! An intent in `requires_action` or `processing` is not paid, and is not reported as paid. Amounts
//! are converted where Stripe's units differ from ISO 4217 ([`AmountError`]).

mod amount;
mod body;
mod calls;
mod config;
mod error;
pub mod events;
mod find;
mod refunds;

use std::fmt;
use std::sync::Arc;

use futures::FutureExt as _;

pub use amount::AmountError;
pub use config::{KeyError, StripeConfig, StripeKey};
pub use error::{ErrorClass, Refusal, StripeError};

use body::{IntentBody, REFERENCE, RefundBody};
use calls::Calls;
use find::Known;
use level3_domain::ids::{IntentId, InvalidText, PaymentId};
use level3_domain::provider::{
    CallFuture, CreateIntent, Intent, IntentList, IntentPage, PaymentProvider, ProviderError,
    ProviderKey, Refund,
};

use super::http::SetupError;

/// The version of the API. It is sent with every request, because the default version of the
/// account may change while the program stays the same (<https://docs.stripe.com/api/versioning>).
pub const API_VERSION: &str = "2026-02-25.clover";

/// A client for one account. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct Stripe {
    shared: Arc<Shared>,
}

struct Shared {
    calls: Calls,
    known: Known,
    find_pages: u32,
}

impl fmt::Debug for Stripe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stripe").finish_non_exhaustive()
    }
}

impl Stripe {
    /// Makes a client. It does not connect yet.
    ///
    /// # Errors
    ///
    /// [`SetupError`] if the base URL cannot be used, or would send the key without encryption.
    pub fn new(config: StripeConfig) -> Result<Self, SetupError> {
        let shared = Shared {
            calls: Calls::new(&config)?,
            known: Known::new(config.remembered),
            find_pages: config.find_pages,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Makes a small request, to check that Stripe can be reached and accepts the key.
    ///
    /// # Errors
    ///
    /// [`StripeError`]: [`Unreachable`](StripeError::Unreachable) for a wrong URL or no network,
    /// [`Refused`](StripeError::Refused) with the status 401 for a wrong key.
    pub async fn check(&self) -> Result<(), StripeError> {
        let query = [("limit", "1")];
        let path = ["v1", "payment_intents"];
        self.shared.calls.get::<body::PageBody>("check", &path, &query).await.map(|_| ())
    }

    /// Makes the future for the gateway. It owns the client, and logs the details that the
    /// gateway's errors leave out.
    fn answer<T, Fut>(
        &self,
        what: &'static str,
        call: impl FnOnce(Arc<Shared>) -> Fut + Send + 'static,
    ) -> CallFuture<T>
    where
        T: Send + 'static,
        Fut: Future<Output = Result<T, StripeError>> + Send,
    {
        let shared = Arc::clone(&self.shared);
        async move {
            call(shared).await.map_err(|error| {
                log(what, &error);
                ProviderError::from(&error)
            })
        }
        .boxed()
    }
}

/// Logs details that the gateway's errors cannot hold. Declines and other answers are not logged.
fn log(what: &'static str, error: &StripeError) {
    match error {
        StripeError::Refused(refusal) => match refusal.status {
            401 | 403 => {
                tracing::error!(
                    what, %error, "Stripe does not accept the key: check STRIPE_SECRET_KEY"
                );
            }
            429 | 500.. => tracing::warn!(what, %error, "Stripe has refused"),
            _ => tracing::debug!(what, %error, "Stripe has refused"),
        },
        error => tracing::warn!(what, %error, "the call to Stripe has failed"),
    }
}

/// Checks that an intent's name can be part of a path. Stripe's names have letters, digits and
/// underscores.
fn segment(intent: &IntentId) -> Result<&str, StripeError> {
    let name = intent.as_str();
    if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        Ok(name)
    } else {
        Err(StripeError::IntentName(InvalidText::Characters))
    }
}

impl Shared {
    async fn create(&self, request: CreateIntent) -> Result<Intent, StripeError> {
        let amount = amount::to_stripe(request.amount)?.to_string();
        let currency = request.amount.currency().code().to_ascii_lowercase();
        let reference = format!("metadata[{REFERENCE}]");
        // The parameters are the same for every attempt, as the key demands. Only cards are
        // allowed: other payment methods send the customer to another site and need a return
        // address.
        let form = [
            ("amount", amount.as_str()),
            ("currency", &currency),
            ("payment_method", request.card.expose()),
            ("payment_method_types[]", "card"),
            (&reference, request.payment.as_str()),
        ];
        let path = ["v1", "payment_intents"];
        let made: IntentBody = self.calls.post(&request.key, &path, &form).await?;
        let made = made.into_intent()?;
        self.known.remember(&request.payment, &made.id);
        Ok(made)
    }

    /// Confirms or cancels.
    async fn act(
        &self,
        key: &ProviderKey,
        intent: &IntentId,
        verb: &str,
    ) -> Result<Intent, StripeError> {
        let path = ["v1", "payment_intents", segment(intent)?, verb];
        self.known.remember(&key.payment, intent);
        self.calls.post::<IntentBody>(key, &path, &[]).await?.into_intent()
    }

    async fn refund(&self, key: &ProviderKey, intent: &IntentId) -> Result<Refund, StripeError> {
        let form = [("payment_intent", segment(intent)?)];
        self.known.remember(&key.payment, intent);
        self.calls.post::<RefundBody>(key, &["v1", "refunds"], &form).await?.into_refund()
    }
}

/// # Cancellation
///
/// Dropping one of the futures closes its connection. A request that was sent may still take
/// effect; a repeat with the same key gets its answer.
impl PaymentProvider for Stripe {
    fn create_intent(&self, request: CreateIntent) -> CallFuture<Intent> {
        self.answer("create", |shared| async move { shared.create(request).await })
    }

    fn confirm(&self, key: ProviderKey, intent: IntentId) -> CallFuture<Intent> {
        self.answer("confirm", |shared| async move { shared.act(&key, &intent, "confirm").await })
    }

    fn cancel(&self, key: ProviderKey, intent: IntentId) -> CallFuture<Intent> {
        self.answer("cancel", |shared| async move { shared.act(&key, &intent, "cancel").await })
    }

    fn refund(&self, key: ProviderKey, intent: IntentId) -> CallFuture<Refund> {
        self.answer("refund", |shared| async move { shared.refund(&key, &intent).await })
    }

    /// The source of the module `find` explains the search. It may take several calls, which the
    /// gateway counts as one.
    fn find_intent(&self, payment: PaymentId) -> CallFuture<Option<Intent>> {
        self.answer("find", |shared| async move {
            find::find(&shared.calls, &shared.known, shared.find_pages, &payment).await
        })
    }
}

impl Shared {
    async fn page(&self, after: Option<IntentId>) -> Result<IntentPage, StripeError> {
        let after = after.as_ref().map(segment).transpose()?;
        let page = find::page(&self.calls, after).await?;
        let last = page.data.last().filter(|_| page.has_more).map(|last| last.id.clone());
        let next = last.map(IntentId::new).transpose().map_err(StripeError::IntentName)?;
        let mut read = IntentPage { next, ..IntentPage::default() };
        for intent in page.data {
            if intent.payment().is_none() {
                read.foreign += 1;
                continue;
            }
            let id = intent.id.clone();
            match intent.into_intent() {
                Ok(intent) => read.intents.push(intent),
                Err(error) => {
                    // One unreadable intent must not hide all the others.
                    tracing::warn!(id, %error, "an intent that cannot be read");
                    read.unreadable += 1;
                }
            }
        }
        Ok(read)
    }
}

impl IntentList for Stripe {
    fn intents(&self, after: Option<IntentId>) -> CallFuture<IntentPage> {
        self.answer("list", |shared| async move { shared.page(after).await })
    }

    fn intent(&self, id: IntentId) -> CallFuture<Option<Intent>> {
        self.answer("retrieve", |shared| async move {
            let found = find::retrieve(&shared.calls, &id).await?;
            found.map(body::IntentBody::into_intent).transpose()
        })
    }
}
