//! Keys under which the provider has stored a 500 without an effect.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt as _;
use grader_kit::{Cx, Outcome, ensure, ensure_eq, lock, ms};
use level3::gateway::GatewayConfig;
use level3::ids::{IntentId, PaymentId};
use level3::provider::{
    CallFuture, CreateIntent, Intent, PaymentProvider, ProviderError, ProviderKey, Providers,
    Refund,
};
use level3_sim::Script;
use tokio::time::sleep;

use crate::world::{request, stage_with};

const PAYMENTS: usize = 20;

/// Calls that succeed come between those that fail, so that the breaker stays closed.
const APART: Duration = Duration::from_millis(120);

/// A provider that fails under the first key of each payment's intent, and repeats that answer for the key.
struct Burns {
    inner: Arc<dyn PaymentProvider>,
    asked: Arc<Mutex<Vec<(PaymentId, String)>>>,
}

impl PaymentProvider for Burns {
    fn create_intent(&self, request: CreateIntent) -> CallFuture<Intent> {
        let (payment, key) = (request.payment.clone(), request.key.to_string());
        let mut asked = lock(&self.asked);
        let first = asked.iter().find(|(of, _)| *of == payment).map(|(_, first)| first.clone());
        asked.push((payment, key.clone()));
        if first.is_none_or(|first| first == key) {
            return async {
                sleep(ms(200)).await;
                Err(ProviderError::Internal)
            }
            .boxed();
        }
        self.inner.create_intent(request)
    }
    fn confirm(&self, key: ProviderKey, intent: IntentId) -> CallFuture<Intent> {
        self.inner.confirm(key, intent)
    }
    fn cancel(&self, key: ProviderKey, intent: IntentId) -> CallFuture<Intent> {
        self.inner.cancel(key, intent)
    }
    fn refund(&self, key: ProviderKey, intent: IntentId) -> CallFuture<Refund> {
        self.inner.refund(key, intent)
    }
    fn find_intent(&self, payment: PaymentId) -> CallFuture<Option<Intent>> {
        self.inner.find_intent(payment)
    }
}

/// Many payments whose first key is burnt, begun one after another: some end while others pause before
/// their next attempt.
pub async fn keys_stay_burnt(cx: &Cx) -> Outcome {
    let asked: Arc<Mutex<Vec<(PaymentId, String)>>> = Arc::default();
    let noted = Arc::clone(&asked);
    let wrap = move |providers: Providers| {
        let inner = Arc::clone(&providers.payments);
        Providers { payments: Arc::new(Burns { inner, asked: noted }), ..providers }
    };
    let stage = stage_with(cx, Script::new(), GatewayConfig::default(), wrap)?;
    let payments = async {
        let mut running = Vec::new();
        for number in 0..PAYMENTS {
            let gateway = stage.gateway.clone();
            running.push(tokio::spawn(async move {
                gateway.pay(request(&format!("payment {number}"))).await
            }));
            sleep(APART).await;
        }
        futures::future::join_all(running).await
    };
    cx.call("Gateway::pay", payments).await?;
    let asked = lock(&asked).clone();
    let mut seen = BTreeSet::new();
    let again = asked.iter().find(|one| !seen.insert((one.0.to_string(), one.1.clone())));
    ensure!(
        again.is_none(),
        "a payment goes back to a key under which the provider has stored a 500 without an effect";
        expected = "the next generation of the key for each further attempt, whatever other payments do meanwhile",
        observed = again.map_or_else(String::new, |(_, key)| key.clone()),
        help = "what you note about a key belongs to one payment, until that payment is over"
    );
    let payments: BTreeSet<_> = asked.iter().map(|one| one.0.to_string()).collect();
    ensure_eq!(payments.len(), PAYMENTS, "payments for which an intent was asked for");
    Ok(())
}
