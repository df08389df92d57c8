//! What the gateway makes of what it is answered: failures that may pass, and answers that the simulated
//! provider does not give.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures::FutureExt as _;
use grader_kit::{Cx, Fail, Outcome, ensure, ensure_eq, ms};
use level3::answer::Status;
use level3::gateway::GatewayConfig;
use level3::ids::{IntentId, PaymentId, PaymentKey};
use level3::journal::StoreId;
use level3::money::{Currency, Money};
use level3::provider::{
    CallFuture, CreateIntent, Intent, IntentStatus, PaymentProvider, ProviderError, ProviderKey,
    Providers, Refund,
};
use level3_sim::{CallSite, Fault, Script};
use tokio::time::sleep;

use super::{again, rows};
use crate::world::{Stage, is_paid, request, stage, stage_with, status};

/// What is odd about a provider's answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Oddity {
    /// It finds something wrong with every request for an intent.
    Refuses,
    /// Confirming says `processing`, as often as it is asked with the same key; the charge succeeds.
    Processes,
    /// Its intents are of another amount.
    OtherAmount,
    /// Its intents are of the same number of minor units in another currency.
    OtherCurrency,
    /// Its intents are of another payment.
    OtherPayment,
}

/// The same number of minor units in another currency.
pub(super) fn in_another_currency(money: Money) -> Money {
    let other = if money.currency() == Currency::JPY { Currency::KWD } else { Currency::JPY };
    Money::new(money.minor(), other).unwrap_or(money)
}

/// The same currency, and one minor unit more or less.
pub(super) fn off_by(money: Money, minor: i64) -> Money {
    Money::new(money.minor() + minor, money.currency()).unwrap_or(money)
}

struct Odd {
    inner: Arc<dyn PaymentProvider>,
    oddity: Oddity,
    other: PaymentId,
    creates: Arc<AtomicU32>,
}

impl Odd {
    /// A gateway in front of such a provider, and how many intents it was asked for.
    fn stage(cx: &Cx, oddity: Oddity) -> Result<(Stage, Arc<AtomicU32>), Fail> {
        let creates = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&creates);
        let another = PaymentKey::new("another").map_err(|_| Fail::new("a key is refused"))?;
        let other = PaymentId::derive(&StoreId::unnamed(), &another, 1);
        let wrap = move |providers: Providers| {
            let inner = Arc::clone(&providers.payments);
            Providers {
                payments: Arc::new(Self { inner, oddity, other, creates: counted }),
                ..providers
            }
        };
        let stage = stage_with(cx, Script::new(), GatewayConfig::default(), wrap)?;
        Ok((stage, creates))
    }
}

impl PaymentProvider for Odd {
    fn create_intent(&self, request: CreateIntent) -> CallFuture<Intent> {
        self.creates.fetch_add(1, Ordering::Relaxed);
        let (oddity, other) = (self.oddity, self.other.clone());
        if oddity == Oddity::Refuses {
            let message = "no such card".to_owned();
            return ready(Err(ProviderError::Invalid { message })).boxed();
        }
        let answer = self.inner.create_intent(request);
        let change = move |intent: Intent| match oddity {
            Oddity::OtherAmount => {
                let amount = Money::new(1, Currency::USD).unwrap_or(intent.amount);
                Intent { amount, ..intent }
            }
            Oddity::OtherCurrency => {
                Intent { amount: in_another_currency(intent.amount), ..intent }
            }
            Oddity::OtherPayment => Intent { payment: other, ..intent },
            _ => intent,
        };
        answer.map(move |answer| answer.map(change)).boxed()
    }
    fn confirm(&self, key: ProviderKey, intent: IntentId) -> CallFuture<Intent> {
        let answer = self.inner.confirm(key, intent);
        if self.oddity != Oddity::Processes {
            return answer;
        }
        let status = IntentStatus::Processing;
        answer.map(move |answer| answer.map(|intent| Intent { status, ..intent })).boxed()
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

pub async fn refusals_are_final(cx: Cx) -> Outcome {
    let (stage, creates) = Odd::stage(&cx, Oddity::Refuses)?;
    for time in ["first", "second"] {
        let reply = cx.call("Gateway::pay", stage.gateway.pay(request("a"))).await?.value;
        let status = status(&reply, "for a request that the provider refuses")?;
        ensure!(
            matches!(status, Status::Failed { retryable: false, .. }),
            "a request that the provider refuses for good is answered otherwise, the {time} time";
            expected = "Failed, with retryable: false", observed = format!("{status:?}"),
            help = "ProviderError::is_transient tells what another attempt may change"
        );
        sleep(ms(1000)).await;
    }
    let asked = creates.load(Ordering::Relaxed);
    ensure_eq!(asked, 1, "what is refused for good is asked for again");
    Ok(())
}

pub async fn a_transient_failure_is_tried_again(cx: Cx) -> Outcome {
    let stage = stage(&cx, Script::new())?;
    // So often that no small number limits it.
    let runs = usize::try_from(cx.draw().between(40..=60)).unwrap_or(60);
    let sites = [CallSite::Fraud, CallSite::Save];
    for (number, site) in (1..=runs).zip(sites.into_iter().cycle()) {
        stage.script.add(site, Fault::FailBefore);
        let reply = cx.call("Gateway::pay", stage.gateway.pay(request("a"))).await?.value;
        let when = format!("while a service is down, at run {number} of its key");
        let status = status(&reply, &when)?;
        ensure!(
            matches!(status, Status::Failed { retryable: true, .. }),
            "a payment that fails because a service is down is answered otherwise, at run {number} of its key";
            expected = "Failed, with retryable: true, however often it has failed before", observed = format!("{status:?}")
        );
        stage.script.heal(site);
        // Longer than a breaker stays open, should it be.
        sleep(ms(61_000)).await;
    }
    let reply = cx.call("Gateway::pay", stage.gateway.pay(request("a"))).await?.value;
    let paid = is_paid(&status(&reply, "when the services are back")?);
    ensure!(
        paid && stage.net() == 1999,
        "the services are back, and the same key does not pay";
        observed = format!("{reply:?}, {} charged", stage.net()),
        help = "what may pass is no answer to keep: leave the key free, and let another run of the saga follow"
    );
    a_pause_may_pass(&cx).await?;
    again::every_failure_may_pass(&cx).await
}

/// The provider asks for a pause that is longer than the deadline of a payment that has begun.
async fn a_pause_may_pass(cx: &Cx) -> Outcome {
    let pause = cx.draw().between(12_000..=30_000);
    let told = Fault::RateLimited(Some(ms(pause)));
    let stage = stage(cx, Script::new().on(CallSite::Create, 2, told))?;
    let later = async {
        sleep(ms(100)).await;
        stage.gateway.pay(request("told to wait")).await
    };
    let both = async { tokio::join!(stage.gateway.pay(request("begun before")), later).0 };
    let first = cx.call("Gateway::pay", both).await?.value;
    sleep(ms(200_000)).await;
    let again = cx.call("Gateway::pay", stage.gateway.pay(request("begun before"))).await?.value;
    let is_paid = is_paid(&status(&again, "long after a pause")?);
    ensure!(
        is_paid,
        "the provider asks for a pause of {pause} ms while a payment is in the middle; long after it the same request is not paid";
        expected = "paid: that there was no slot before the deadline says nothing about the next run",
        observed = format!("{again:?}; told at first: {first:?}"),
        help = "a call that the rate limiter refuses may be made later: a failure of the kind Unavailable, with retryable: true"
    );
    Ok(())
}

pub async fn reads_the_answers(cx: Cx) -> Outcome {
    let (stage, _) = Odd::stage(&cx, Oddity::Processes)?;
    let reply = cx.call("Gateway::pay", stage.gateway.pay(request("a"))).await?.value;
    let status = status(&reply, "while a charge is processing")?;
    ensure!(
        is_paid(&status) && stage.net() == 1999,
        "a charge is `processing` first and succeeds: the payment is not paid";
        expected = "paid, as soon as the provider says that it has succeeded",
        observed = format!("{status:?}, {} charged", stage.net()),
        help = "a repeat with the same key returns the same answer: ask for the state of the intent (find_intent)"
    );
    for oddity in [Oddity::OtherAmount, Oddity::OtherCurrency, Oddity::OtherPayment] {
        let (stage, _) = Odd::stage(&cx, oddity)?;
        let reply = cx.call("Gateway::pay", stage.gateway.pay(request("a"))).await?.value;
        sleep(ms(200_000)).await;
        let paid = reply.as_ref().is_ok_and(|reply| is_paid(&reply.answer.status));
        ensure!(
            !paid && stage.net() == 0,
            "the provider answers with an intent of another payment, amount or currency ({oddity:?}), and it is taken";
            expected = "the customer is not charged", observed = format!("{reply:?}, {} charged", stage.net()),
            help = "compare the intent in the answer with the payment that was asked for"
        );
    }
    reads_refunds(&cx).await?;
    rows::reads_rows(&cx).await
}

/// A provider that refunds, and answers with another refund.
struct RefundsWith {
    inner: Arc<dyn PaymentProvider>,
    change: fn(Refund) -> Refund,
}

impl PaymentProvider for RefundsWith {
    fn create_intent(&self, request: CreateIntent) -> CallFuture<Intent> {
        self.inner.create_intent(request)
    }
    fn confirm(&self, key: ProviderKey, intent: IntentId) -> CallFuture<Intent> {
        self.inner.confirm(key, intent)
    }
    fn cancel(&self, key: ProviderKey, intent: IntentId) -> CallFuture<Intent> {
        self.inner.cancel(key, intent)
    }
    fn refund(&self, key: ProviderKey, intent: IntentId) -> CallFuture<Refund> {
        let change = self.change;
        self.inner.refund(key, intent).map(move |answer| answer.map(change)).boxed()
    }
    fn find_intent(&self, payment: PaymentId) -> CallFuture<Option<Intent>> {
        self.inner.find_intent(payment)
    }
}

/// A refund of something else does not undo the charge: an operator has to look at it.
async fn reads_refunds(cx: &Cx) -> Outcome {
    type Change = fn(Refund) -> Refund;
    let odd: [(&str, Change); 4] = [
        ("one minor unit less", |it| Refund { amount: off_by(it.amount, -1), ..it }),
        ("one minor unit more", |it| Refund { amount: off_by(it.amount, 1), ..it }),
        ("another currency", |it| Refund { amount: in_another_currency(it.amount), ..it }),
        ("another intent", |it| Refund {
            intent: IntentId::new("pi_another").unwrap_or(it.intent),
            ..it
        }),
    ];
    for (what, change) in odd {
        let wrap = move |providers: Providers| {
            let inner = Arc::clone(&providers.payments);
            Providers { payments: Arc::new(RefundsWith { inner, change }), ..providers }
        };
        let script = Script::new();
        script.add(CallSite::Save, Fault::FailBefore);
        let stage = stage_with(cx, script, GatewayConfig::default(), wrap)?;
        cx.call("Gateway::pay", stage.gateway.pay(request("a"))).await?.value.ok();
        sleep(ms(200_000)).await;
        let reply = cx.call("Gateway::pay", stage.gateway.pay(request("a"))).await?.value;
        let told = reply.map(|reply| reply.answer.status.clone());
        ensure!(
            matches!(told, Ok(Status::Compensating { .. })),
            "a charge is refunded, and the provider's answer speaks of {what}: the payment counts as undone";
            expected = "Compensating: the charge may still stand, and an operator has to look at it",
            observed = format!("{told:?}"),
            help = "compare the refund in the answer with what was charged: intent, amount and currency"
        );
    }
    Ok(())
}

/// A provider that charges, and answers a confirm, and a question for the charged intent, with something else.
struct ConfirmsWith {
    inner: Arc<dyn PaymentProvider>,
    change: fn(Intent) -> Intent,
}

impl PaymentProvider for ConfirmsWith {
    fn create_intent(&self, request: CreateIntent) -> CallFuture<Intent> {
        self.inner.create_intent(request)
    }
    fn confirm(&self, key: ProviderKey, intent: IntentId) -> CallFuture<Intent> {
        let change = self.change;
        self.inner.confirm(key, intent).map(move |answer| answer.map(change)).boxed()
    }
    fn cancel(&self, key: ProviderKey, intent: IntentId) -> CallFuture<Intent> {
        self.inner.cancel(key, intent)
    }
    fn refund(&self, key: ProviderKey, intent: IntentId) -> CallFuture<Refund> {
        self.inner.refund(key, intent)
    }
    fn find_intent(&self, payment: PaymentId) -> CallFuture<Option<Intent>> {
        let change = self.change;
        let found = self.inner.find_intent(payment);
        let change = move |intent: Intent| match intent.status {
            IntentStatus::Succeeded => change(intent),
            _ => intent,
        };
        found.map(move |found| found.map(|found| found.map(change))).boxed()
    }
}

pub async fn only_succeeded_is_paid(cx: Cx) -> Outcome {
    type Change = fn(Intent) -> Intent;
    let cases: [(&str, Change); 9] = [
        ("requires_action", |intent| Intent { status: IntentStatus::RequiresAction, ..intent }),
        ("requires_confirmation", |intent| Intent {
            status: IntentStatus::RequiresConfirmation,
            ..intent
        }),
        ("processing", |intent| Intent { status: IntentStatus::Processing, ..intent }),
        ("canceled", |intent| Intent { status: IntentStatus::Canceled, ..intent }),
        ("succeeded, and refunded", |intent| Intent { refunded: true, ..intent }),
        ("succeeded, of a larger amount", |it| Intent { amount: off_by(it.amount, 1), ..it }),
        ("succeeded, of a smaller amount", |it| Intent { amount: off_by(it.amount, -1), ..it }),
        ("succeeded, of another currency", |intent| Intent {
            amount: in_another_currency(intent.amount),
            ..intent
        }),
        ("succeeded, of another intent", |intent| Intent {
            id: IntentId::new("pi_another").unwrap_or(intent.id),
            ..intent
        }),
    ];
    for (what, change) in cases {
        let wrap = move |providers: Providers| {
            let inner = Arc::clone(&providers.payments);
            let payments = Arc::new(ConfirmsWith { inner, change });
            Providers { payments, ..providers }
        };
        let stage = stage_with(&cx, Script::new(), GatewayConfig::default(), wrap)?;
        let reply = cx.call("Gateway::pay", stage.gateway.pay(request("a"))).await?.value;
        let told = reply.as_ref().map(|reply| reply.answer.status.clone());
        ensure!(
            !matches!(told, Ok(Status::Paid { .. })),
            "confirming is answered with an intent that is {what}, and the payment is Paid";
            expected = "anything but Paid: only `succeeded`, of this intent and amount and not refunded, says that the customer has paid",
            observed = format!("{told:?}")
        );
        ensure!(stage.rows() == 0, "confirming is answered with an intent that is {what}, and a row is written"; expected = "no row");
    }
    Ok(())
}
