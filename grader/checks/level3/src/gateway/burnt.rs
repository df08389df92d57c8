//! Keys under which the provider has stored a 500 without an effect.

use std::collections::HashMap;
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
use level3_sim::{CallSite, Fault, Script};
use tokio::time::sleep;

use super::keyed::noted;
use crate::world::{request, stage_with};

const PAYMENTS: usize = 20;

/// Calls that succeed come between those that fail, so that the breaker stays closed.
const APART: Duration = Duration::from_millis(120);

/// A provider that fails under the first key of each payment's intent, and repeats that answer for the key.
/// Every other payment meets an outage under its second key, so that it pauses once more: other payments end
/// meanwhile, and the key that it takes then shows whether the gateway still knows that the first one is burnt.
struct Burns {
    inner: Arc<dyn PaymentProvider>,
    seen: Arc<Mutex<Seen>>,
}

/// What such a provider was asked.
#[derive(Debug, Default)]
struct Seen {
    /// The keys of each payment in the order of the calls, and how many payments came before it.
    asked: HashMap<PaymentId, (usize, Vec<String>)>,
    /// Burnt keys that were used once more.
    again: Vec<String>,
}

impl Seen {
    /// Notes a call, and returns how it fails, if it does.
    fn ask(&mut self, payment: &PaymentId, key: String) -> Option<ProviderError> {
        let before = self.asked.len();
        let (before, keys) = self.asked.entry(payment.clone()).or_insert((before, Vec::new()));
        keys.push(key.clone());
        match keys.len() {
            1 => Some(ProviderError::Internal),
            _ if keys.first() == Some(&key) => {
                self.again.push(key);
                Some(ProviderError::Internal)
            }
            2 if *before % 2 == 0 => Some(ProviderError::Unavailable),
            _ => None,
        }
    }
}

impl PaymentProvider for Burns {
    fn create_intent(&self, request: CreateIntent) -> CallFuture<Intent> {
        let failure = lock(&self.seen).ask(&request.payment, request.key.to_string());
        if let Some(failure) = failure {
            return async {
                sleep(ms(200)).await;
                Err(failure)
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
    let seen: Arc<Mutex<Seen>> = Arc::default();
    let noted = Arc::clone(&seen);
    let wrap = move |providers: Providers| {
        let inner = Arc::clone(&providers.payments);
        Providers { payments: Arc::new(Burns { inner, seen: noted }), ..providers }
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
    let seen = lock(&seen);
    ensure!(
        seen.again.is_empty(),
        "a payment goes back to a key under which the provider has stored a 500 without an effect";
        expected = "the next generation of the key for each further attempt, whatever other payments do meanwhile",
        observed = seen.again.join(", "),
        help = "what you note about a key belongs to one payment, until that payment is over"
    );
    ensure_eq!(seen.asked.len(), PAYMENTS, "payments for which an intent was asked for");
    Ok(())
}

/// The provider answers one call after another of a purpose with a 500 that had no effect, and keeps each answer under
/// its key.
pub async fn each_burnt_key_has_a_next_one(cx: &Cx) -> Outcome {
    // As many as leave one attempt. Of an undo the time limit may end before `find_intent` has said that a key is burnt.
    let burnt = 2;
    for site in [CallSite::Create, CallSite::Confirm] {
        let script = (1..).take(burnt).fold(Script::new(), |script, nth| {
            script.on(site, nth, Fault::Internal { effect: false })
        });
        let (stage, keys) = noted(cx, script)?;
        let reply = cx.call("Gateway::pay", stage.gateway.pay(request("a"))).await?.value;
        sleep(ms(60_000)).await;
        let keys = keys.of_site(site);
        // That the second attempt carries another key, and how many there are, are criteria of their own.
        let again = (2..=burnt).find(|at| {
            keys.first() != keys.get(1)
                && keys.get(*at).is_some_and(|key| keys[..*at].contains(key))
        });
        ensure!(
            again.is_none(),
            "{burnt} calls of {site} are answered with a 500 without an effect, and attempt {} goes back to a key that is burnt", again.unwrap_or_default() + 1;
            expected = format!("{} attempts with {} keys: the generation rises with each burnt key", burnt + 1, burnt + 1),
            observed = format!("{keys:?}, and the answer is {reply:?}"),
            help = "count the burnt keys of a purpose: a note that there was one is not enough for the second"
        );
    }
    Ok(())
}

/// The provider refuses each refund, so that the undo is parked; then the reason is gone, and the same gateway tries it
/// again.
pub async fn a_refused_key_is_left_alone(cx: &Cx) -> Outcome {
    let script = Script::new()
        .always(CallSite::Save, Fault::FailBefore)
        .always(CallSite::Refund, Fault::Decline);
    let (stage, keys) = noted(cx, script)?;
    cx.call("Gateway::pay", stage.gateway.pay(request("a"))).await?.value.ok();
    sleep(ms(400_000)).await;
    let refused = keys.of_site(CallSite::Refund);
    stage.script.heal(CallSite::Refund);
    cx.call("Gateway::redrive", stage.gateway.redrive()).await?;
    let keys = keys.of_site(CallSite::Refund);
    let again = keys[refused.len()..].iter().find(|key| refused.contains(key));
    ensure!(
        again.is_none(),
        "a redrive tries a refund under a key with which the provider has refused it before";
        expected = "the key's next generation: the provider repeats the refusal that it has stored, although its reason is gone",
        observed = format!("refused with {}; the redrive uses {}", refused.join(", "), again.map_or("", String::as_str)),
        help = "a payment with a parked undo is not over: keep what you know about its keys until it is"
    );
    Ok(())
}
