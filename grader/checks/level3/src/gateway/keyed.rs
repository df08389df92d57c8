//! The keys that the provider is given, and the answers that it stores under them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use futures::FutureExt as _;
use grader_kit::{Cx, Draw, Fail, Outcome, ensure, lock, ms};
use level3::gateway::GatewayConfig;
use level3::ids::{IntentId, PaymentId};
use level3::provider::{
    CallFuture, CreateIntent, Intent, PaymentProvider, ProviderError, ProviderKey, Providers,
    Refund,
};
use level3_sim::{CallSite, Fault, Script};
use tokio::time::sleep;

use crate::world::{Stage, request, stage_with};

/// A call with a key.
#[derive(Debug, Clone)]
struct Keyed {
    site: CallSite,
    key: String,
    /// None while the call is open, and when the gateway has given it up.
    answer: Option<Result<(), ProviderError>>,
}

impl Keyed {
    /// Whether the provider has stored an answer under the key that may say that nothing was done.
    fn burns_its_key(&self) -> bool {
        matches!(&self.answer, Some(Err(error)) if *error == ProviderError::Internal || !error.is_transient())
    }
}

/// The calls that were made with a key, in their order.
#[derive(Clone, Default)]
pub struct Keys(Arc<Mutex<Vec<Keyed>>>);

impl Keys {
    /// The keys of the calls of one kind.
    pub fn of_site(&self, site: CallSite) -> Vec<String> {
        self.calls(site).into_iter().map(|call| call.key).collect()
    }

    fn calls(&self, site: CallSite) -> Vec<Keyed> {
        lock(&self.0).iter().filter(|call| call.site == site).cloned().collect()
    }

    /// Notes a call now, and its answer when it comes.
    fn note<T: 'static>(
        &self,
        site: CallSite,
        key: &ProviderKey,
        answer: CallFuture<T>,
    ) -> CallFuture<T> {
        let at = {
            let mut calls = lock(&self.0);
            calls.push(Keyed { site, key: key.to_string(), answer: None });
            calls.len() - 1
        };
        let calls = Arc::clone(&self.0);
        async move {
            let answer = answer.await;
            let said = answer.as_ref().map(|_| ()).map_err(Clone::clone);
            if let Some(call) = lock(&calls).get_mut(at) {
                call.answer = Some(said);
            }
            answer
        }
        .boxed()
    }
}

/// A provider that notes the keys it is given.
struct Noting {
    inner: Arc<dyn PaymentProvider>,
    keys: Keys,
}

impl PaymentProvider for Noting {
    fn create_intent(&self, request: CreateIntent) -> CallFuture<Intent> {
        let key = request.key.clone();
        self.keys.note(CallSite::Create, &key, self.inner.create_intent(request))
    }
    fn confirm(&self, key: ProviderKey, intent: IntentId) -> CallFuture<Intent> {
        self.keys.note(CallSite::Confirm, &key, self.inner.confirm(key.clone(), intent))
    }
    fn cancel(&self, key: ProviderKey, intent: IntentId) -> CallFuture<Intent> {
        self.keys.note(CallSite::Cancel, &key, self.inner.cancel(key.clone(), intent))
    }
    fn refund(&self, key: ProviderKey, intent: IntentId) -> CallFuture<Refund> {
        self.keys.note(CallSite::Refund, &key, self.inner.refund(key.clone(), intent))
    }
    fn find_intent(&self, payment: PaymentId) -> CallFuture<Option<Intent>> {
        self.inner.find_intent(payment)
    }
}

/// A gateway, and the keys that its provider is given.
pub fn noted(cx: &Cx, script: Script) -> Result<(Stage, Keys), Fail> {
    let keys = Keys::default();
    let noted = keys.clone();
    let wrap = move |providers: Providers| {
        let inner = Arc::clone(&providers.payments);
        Providers { payments: Arc::new(Noting { inner, keys: noted }), ..providers }
    };
    Ok((stage_with(cx, script, GatewayConfig::default(), wrap)?, keys))
}

const WITH_KEYS: [CallSite; 4] =
    [CallSite::Create, CallSite::Confirm, CallSite::Refund, CallSite::Cancel];

const BURNT: Fault = Fault::Internal { effect: false };

/// A payment that is refunded, and one that is cancelled.
fn ends(script: Script, end: usize) -> Script {
    match end {
        0 => script,
        1 => script.always(CallSite::Save, Fault::FailBefore),
        _ => script.always(CallSite::Confirm, Fault::Decline),
    }
}

/// Faults of some first calls, and their words.
fn scripts(draw: &mut Draw) -> Vec<(String, Script)> {
    let busy = Fault::Processing(ms(draw.between(400..=900)));
    let mut scripts = Vec::new();
    let mut add = |faults: &[(CallSite, u32, Fault)], end: usize| {
        let words: Vec<String> =
            faults.iter().map(|(site, nth, fault)| format!("{site} #{nth} {fault:?}")).collect();
        let end_of = ["", ", and the row cannot be written", ", and the bank declines"];
        let script = faults
            .iter()
            .fold(Script::new(), |script, &(site, nth, fault)| script.on(site, nth, fault));
        let what = format!("{}{}", words.join(", "), end_of.get(end).copied().unwrap_or_default());
        scripts.push((what, ends(script, end)));
    };
    // After a burnt key, what says nothing; in the answer itself and in the question for the intent.
    for then in [Fault::Hang, Fault::LoseReply, Fault::FailBefore, Fault::RateLimited(None)] {
        add(&[(CallSite::Create, 1, BURNT), (CallSite::Create, 2, then)], 0);
        add(&[(CallSite::Confirm, 1, BURNT), (CallSite::Confirm, 2, then)], 0);
    }
    add(&[(CallSite::Create, 1, BURNT), (CallSite::Find, 1, Fault::FailBefore)], 0);
    add(&[(CallSite::Confirm, 1, BURNT), (CallSite::Find, 1, Fault::FailBefore)], 0);
    // The bank takes its time.
    add(&[(CallSite::Confirm, 1, busy)], 0);
    add(&[(CallSite::Confirm, 1, busy), (CallSite::Find, 1, Fault::FailBefore)], 0);
    // A burnt key of one purpose says nothing about the others.
    for end in 0..3 {
        add(&[(CallSite::Create, 1, BURNT)], end);
    }
    add(&[(CallSite::Confirm, 1, BURNT)], 1);
    // An effect that was not told.
    for site in [CallSite::Create, CallSite::Confirm] {
        add(&[(site, 1, Fault::Internal { effect: true })], 0);
    }
    let faults =
        [Fault::FailBefore, Fault::LoseReply, Fault::Hang, Fault::RateLimited(None), BURNT];
    for end in [0, 1, 2, 1, 2] {
        let mut drawn = Vec::new();
        for site in WITH_KEYS {
            for nth in 1..=2 {
                // A confirm that the bank declines is answered once.
                if draw.chance(50) && (end < 2 || site != CallSite::Confirm) {
                    drawn.push((site, nth, *draw.pick(&faults)));
                }
            }
        }
        add(&drawn, end);
    }
    scripts
}

/// The generation of a key rises when its stored answer says that nothing was done, and at no other time.
pub async fn rise_only_when_burnt(cx: &Cx) -> Outcome {
    let mut first: HashMap<CallSite, String> = HashMap::new();
    for end in 0..3 {
        let (_, keys) = after_a_payment(cx, ends(Script::new(), end)).await?;
        for site in WITH_KEYS {
            if let Some(key) = keys.of_site(site).into_iter().next() {
                first.entry(site).or_insert(key);
            }
        }
    }
    let mut draw = cx.draw();
    for (what, script) in scripts(&mut draw) {
        let (stage, keys) = after_a_payment(cx, script).await?;
        for site in WITH_KEYS {
            let calls = keys.calls(site);
            judge(&calls, first.get(&site), site, &what)
                .map_err(|fail| shown(fail, &calls, &stage))?;
        }
        let intents = stage.world.intents().len();
        ensure!(
            intents <= 1,
            "{what}: one payment has {intents} intents at the provider";
            expected = "one: another key is safe only when find_intent shows that the call before had no effect",
            observed = stage.wire.lines()
        );
    }
    Ok(())
}

async fn after_a_payment(cx: &Cx, script: Script) -> Result<(Stage, Keys), Fail> {
    let (stage, keys) = noted(cx, script)?;
    cx.call("Gateway::pay", stage.gateway.pay(request("a"))).await?.value.ok();
    sleep(ms(60_000)).await;
    Ok((stage, keys))
}

/// The calls of one purpose.
fn judge(calls: &[Keyed], first: Option<&String>, site: CallSite, what: &str) -> Outcome {
    if let (Some(due), Some(call)) = (first, calls.first()) {
        ensure!(
            call.key == *due,
            "{what}: the first {site} of a payment carries another key than without these faults";
            expected = format!("{due}: a key depends on the payment and the purpose; answers to calls of another purpose are not stored under it"),
            observed = call.key.clone(),
            help = "count the generations for each payment and each purpose"
        );
    }
    for (at, pair) in calls.windows(2).enumerate() {
        let [one, two] = pair else { continue };
        if one.key == two.key {
            continue;
        }
        let burnt = calls[..=at].iter().any(|call| call.key == one.key && call.burns_its_key());
        ensure!(
            burnt,
            "{what}: {site} goes on with another key, although no stored answer under the one before says that nothing was done";
            expected = format!("{} again: the request under it may still be under way, or may have had its effect", one.key),
            observed = two.key.clone(),
            help = "only a stored 500 without an effect, or a refusal of an undo, raises the generation: no time-out, no lost answer, no 429, no `processing`"
        );
        let again = calls[..=at].iter().any(|call| call.key == two.key);
        ensure!(
            !again, "{what}: {site} goes back to a key that it has left";
            expected = "the key's next generation", observed = two.key.clone()
        );
    }
    Ok(())
}

fn shown(fail: Fail, calls: &[Keyed], stage: &Stage) -> Fail {
    let line = |call: &Keyed| {
        let answer = match &call.answer {
            None => "no answer".to_owned(),
            Some(Ok(())) => "answered".to_owned(),
            Some(Err(error)) => error.to_string(),
        };
        format!("\n{}: {answer}", call.key)
    };
    let observed = fail.observed.clone().unwrap_or_default();
    let most = 12;
    let before = calls.len().saturating_sub(most);
    let mut keys: String = calls.iter().take(most).map(line).collect();
    if before > 0 {
        keys.push_str(&format!("\n({before} more with such keys)"));
    }
    fail.observed(format!("{observed}{keys}{}", stage.wire.lines()))
}
