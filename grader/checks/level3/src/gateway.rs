//! The gateway as its clients and its providers see it.

mod again;
mod answers;
mod burnt;
mod drain;
mod events;
mod keyed;
mod paths;
mod places;
mod ports;
mod repeats;
mod rows;
mod spans;
mod values;

pub use answers::*;
pub use drain::*;
pub use events::*;
pub use paths::*;
pub use ports::*;
pub use spans::keeps_the_callers_span;
pub use values::{charges_what_is_asked, keys_tell_payments_apart, stores_share_no_names};

use std::sync::Arc;

use grader_kit::{Cx, Fail, Outcome, ensure, ensure_eq, ms};
use level3::answer::{Dependency, PayError, Status};
use level3::breaker::State;
use level3::event::NoObserver;
use level3::gateway::{Gateway, GatewayConfig};
use level3::journal::MemoryJournal;
use level3::provider::IntentStatus;
use level3::request::PaymentRequest;
use level3_sim::{CallSite, Fault, Latencies, Script, World};
use tokio::time::sleep;

use crate::parts::nz;
use crate::world::{Stage, is_paid, paid, request, stage, stage_with, status};

pub async fn takes_1100_ms(cx: Cx) -> Outcome {
    let stage = stage(&cx, Script::new())?;
    let call = cx.call("Gateway::pay", stage.gateway.pay(request("a"))).await?;
    paid(&call.value, "although nothing fails")?;
    ensure_eq!(
        call.took, ms(1100), "answered at {} ms", call.took.as_millis();
        help = "create 200, fraud check 500, confirm 300, save 100; the receipt is not waited for"
    );
    Ok(())
}

pub async fn a_receipt_fails_nothing(cx: Cx) -> Outcome {
    let faults = [
        Fault::FailBefore,
        Fault::LoseReply,
        Fault::Internal { effect: false },
        Fault::RateLimited(None),
        Fault::Hang,
        Fault::Panic,
        Fault::Decline,
    ];
    // How long a payment takes is a criterion of its own.
    let usual = stage(&cx, Script::new())?;
    let usual = cx.call("Gateway::pay", usual.gateway.pay(request("a"))).await?.took;
    for fault in faults {
        let stage = stage(&cx, Script::new().always(CallSite::Receipt, fault))?;
        let when = format!("with every receipt under {fault:?}");
        let call = cx.call("Gateway::pay", stage.gateway.pay(request("a"))).await?;
        paid(&call.value, &format!("{when}: a receipt never fails a payment"))?;
        ensure!(
            call.took == usual, "{when}: answered at {} ms", call.took.as_millis();
            expected = format!("{} ms, as long as when nothing fails", usual.as_millis()),
            help = "the receipt is not waited for"
        );
        sleep(ms(60_000)).await;
        // A panic of the mail's library is one attempt or all of them, and a refusal is not tried again.
        let least = if matches!(fault, Fault::Panic | Fault::Decline) { 1 } else { 3 };
        let letters = stage.gateway.dead_letters();
        ensure!(
            letters.len() == 1 && letters.iter().all(|letter| letter.attempts >= least && letter.attempts <= 3 && !letter.cause.is_empty()),
            "{when}: it is not in the dead letters with its cause and {least} attempts";
            observed = format!("{:?}", letters.iter().map(|l| (l.attempts, l.cause.clone())).collect::<Vec<_>>())
        );
        ensure_eq!(
            stage.world.outbox(), 1, "{}: the outbox has another number of receipts, before one is sent", when;
            help = "Ledger::receipt_sent takes a receipt off the outbox: call it when the receipt is sent, not before"
        );
        stage.script.heal(CallSite::Receipt);
        // Longer than a breaker stays open, should it be.
        sleep(ms(61_000)).await;
        cx.call("Gateway::redrive", stage.gateway.redrive()).await?;
        stage.gateway.redrive().await;
        ensure!(
            stage.world.mails().len() == 1 && stage.gateway.dead_letters().is_empty() && stage.world.outbox() == 0,
            "{when}: after redriving twice the customer has {} receipts, with {} dead letters and {} in the outbox",
            stage.world.mails().len(), stage.gateway.dead_letters().len(), stage.world.outbox();
            expected = "one receipt, no dead letter, an empty outbox"
        );
    }
    a_parked_receipt_can_be_released(&cx).await
}

/// A receipt that too many redrives could not send is parked, until an operator releases it.
async fn a_parked_receipt_can_be_released(cx: &Cx) -> Outcome {
    let park_after = cx.draw().between(2..=4) as u32;
    let config = GatewayConfig { park_after: nz(park_after), ..GatewayConfig::default() };
    let script = Script::new().always(CallSite::Receipt, Fault::FailBefore);
    let stage = stage_with(cx, script, config, |providers| providers)?;
    let call = cx.call("Gateway::pay", stage.gateway.pay(request("a"))).await?;
    paid(&call.value, "although its receipt cannot be sent")?;
    let only = |when: &str| match &stage.gateway.dead_letters()[..] {
        [letter] => Ok(letter.clone()),
        letters => Err(Fail::new(format!("{} dead letters {when}", letters.len())).expected("1")),
    };
    for number in 1..=park_after {
        // Longer than the attempts take, and than a breaker stays open.
        sleep(ms(70_000)).await;
        let letter = only("before a redrive that fails")?;
        ensure!(
            !letter.parked && !stage.gateway.unpark(letter.id),
            "after {} failed redrives, a receipt's letter is parked, or unpark() says that it was", number - 1;
            expected = format!("it is parked after GatewayConfig::park_after, which is {park_after}")
        );
        cx.call("Gateway::redrive", stage.gateway.redrive()).await?;
    }
    let letter = only("after the last redrive that fails")?;
    stage.script.heal(CallSite::Receipt);
    sleep(ms(70_000)).await;
    cx.call("Gateway::redrive", stage.gateway.redrive()).await?;
    ensure!(
        letter.parked && stage.world.mails().is_empty(),
        "{park_after} redrives of a receipt have failed: `parked` is {}, and the next redrive sends {} mails",
        letter.parked, stage.world.mails().len();
        expected = "parked: redrives skip it from then on"
    );
    let released = stage.gateway.unpark(letter.id);
    cx.call("Gateway::redrive", stage.gateway.redrive()).await?;
    ensure!(
        released && stage.world.mails().len() == 1 && stage.gateway.dead_letters().is_empty(),
        "an operator unparks a receipt, and the mail service works again: unpark() returns {released}, a redrive sends {} mails, and {} letters are left",
        stage.world.mails().len(), stage.gateway.dead_letters().len();
        expected = "true, one mail, and no letter",
        help = "hand the id on to DeadLetters::unpark"
    );
    Ok(())
}

pub async fn declines_are_answers(cx: Cx) -> Outcome {
    let all = [
        (CallSite::Create, "the bank, at once,"),
        (CallSite::Fraud, "the fraud check"),
        (CallSite::Confirm, "the bank"),
    ];
    for (site, by) in all {
        let stage = stage(&cx, Script::new().always(site, Fault::Decline))?;
        for _ in 0..7 {
            let key = format!("{site} {}", stage.world.calls(site));
            let reply = cx.call("Gateway::pay", stage.gateway.pay(request(&key))).await?.value;
            let status = status(&reply, "for a payment that is declined")?;
            ensure!(
                matches!(status, Status::Declined { .. }),
                "a payment that {by} declines is not Declined";
                observed = format!("{status:?}"),
                help = "a decline is a business answer: neither a failure of the service nor a reason to try again"
            );
        }
        ensure_eq!(stage.world.calls(site), 7, "7 payments that {} declines are not 7 calls", by);
        ensure_eq!(stage.net(), 0, "a customer is charged although the payment is declined");
        let dependency =
            if site == CallSite::Fraud { Dependency::Fraud } else { Dependency::Payments };
        ensure_eq!(
            stage.gateway.breaker(dependency),
            State::Closed,
            "declines open the breaker, although the service works"
        );
    }
    values::declines_by_score(&cx).await
}

pub async fn obeys_retry_after(cx: Cx) -> Outcome {
    // Longer than any backoff, and short enough for the deadline.
    let told = Fault::RateLimited(Some(ms(3500)));
    for (site, name) in [(CallSite::Fraud, "the fraud check"), (CallSite::Save, "the ledger")] {
        let stage = stage(&cx, Script::new().on(site, 1, told))?;
        let call = cx.call("Gateway::pay", stage.gateway.pay(request("a"))).await?;
        paid(&call.value, &format!("when {name} only asks to be called again in 3500 ms"))?;
        ensure!(
            call.took >= ms(3500),
            "{name} asks to be called again in 3500 ms, and the payment is over after {} ms",
            call.took.as_millis();
            help = "ProviderError::RateLimited tells the time, Disposition::RetryAfter takes it"
        );
    }
    undoing_obeys_retry_after(&cx).await
}

/// An undo waits as a step does.
async fn undoing_obeys_retry_after(cx: &Cx) -> Outcome {
    let told = Fault::RateLimited(Some(ms(3500)));
    for (site, name, down) in [
        (CallSite::Refund, "a refund", CallSite::Save),
        (CallSite::Cancel, "a cancellation", CallSite::Fraud),
    ] {
        let script = Script::new().always(down, Fault::FailBefore).on(site, 1, told);
        let stage = stage(cx, script)?;
        let _ = cx.call("Gateway::pay", stage.gateway.pay(request("a"))).await?;
        sleep(ms(60_000)).await;
        let calls = stage.wire.calls();
        let at: Vec<_> =
            calls.iter().filter(|call| call.site == site).map(|call| call.at).collect();
        let [first, second, ..] = at[..] else {
            return Err(Fail::new(format!("{name} that gets a 429 is not tried again"))
                .observed(format!("{} calls", at.len())));
        };
        let pause = second - first;
        ensure!(pause >= ms(3500), "the provider asks to be called again in 3500 ms, and {name} is tried again after {} ms", pause.as_millis();
            help = "a pause that a service asks for holds for undos too: they bypass the breaker, not the limiter");
    }
    Ok(())
}

pub async fn bad_input_calls_no_service(cx: Cx) -> Outcome {
    let stage = stage(&cx, Script::new())?;
    let bad = [
        PaymentRequest { amount: -5, ..request("a") },
        PaymentRequest { currency: "XYZ".to_owned(), ..request("b") },
        PaymentRequest { key: String::new(), ..request("c") },
        PaymentRequest { email: "nobody".to_owned(), ..request("d") },
    ];
    // What counts as bad is judged elsewhere.
    for bad in bad.into_iter().filter(|bad| bad.validate().is_err()) {
        let reply = cx.call("Gateway::pay", stage.gateway.pay(bad)).await?.value;
        ensure!(matches!(reply, Err(PayError::Invalid(_))), "bad input is not refused as such"; observed = format!("{reply:?}"));
    }
    sleep(ms(1000)).await;
    ensure_eq!(stage.world.all_calls(), 0, "bad input reaches the services");
    bad_input_comes_first(&cx).await
}

/// A gateway that takes on no payment looks at the request first anyway: a client that sends it again later would
/// be refused then.
async fn bad_input_comes_first(cx: &Cx) -> Outcome {
    let bad = PaymentRequest { amount: -5, ..request("bad") };
    if bad.validate().is_ok() {
        // What counts as bad is judged elsewhere.
        return Ok(());
    }
    let is_refused = async |stage: &Stage, which: &str| {
        let before = stage.world.all_calls();
        let reply = cx.call("Gateway::pay", stage.gateway.pay(bad.clone())).await?.value;
        ensure!(
            matches!(reply, Err(PayError::Invalid(_))) && stage.world.all_calls() == before,
            "a gateway {which} does not refuse bad input as such";
            expected = "Err(Invalid(..)): it will be no better later", observed = format!("{reply:?}"),
            help = "check the request before anything else, the load included"
        );
        Ok(())
    };
    let full = GatewayConfig { max_in_flight: 1, ..GatewayConfig::default() };
    let full = stage_with(cx, Script::new(), full, |providers| providers)?;
    let gateway = full.gateway.clone();
    let first = tokio::spawn(async move { gateway.pay(request("first")).await });
    sleep(ms(100)).await;
    is_refused(&full, "with as many payments under way as there may be").await?;
    first.abort();
    let open = stage(cx, Script::new().always(CallSite::Create, Fault::FailBefore))?;
    for number in 0..2 {
        let key = format!("k{number}");
        cx.call("Gateway::pay", open.gateway.pay(request(&key))).await?;
    }
    is_refused(&open, "whose provider's breaker is open").await?;
    let closed = stage(cx, Script::new())?;
    cx.call("Gateway::drain", closed.gateway.drain(ms(1000))).await?;
    is_refused(&closed, "that has drained").await
}

pub async fn answers_within_ten_seconds(cx: Cx) -> Outcome {
    let mut scripts = Vec::new();
    for site in [CallSite::Create, CallSite::Fraud, CallSite::Confirm, CallSite::Save] {
        for fault in [Fault::Hang, Fault::SwallowReply, Fault::Slow(ms(1400))] {
            scripts.push((
                format!("{site} under {fault:?}"),
                site,
                Script::new().always(site, fault),
            ));
        }
    }
    let both = Script::new().always(CallSite::Fraud, Fault::Slow(ms(1400)));
    let both = both.always(CallSite::Confirm, Fault::Hang);
    scripts.push(("a slow fraud check and confirm under Hang".to_owned(), CallSite::Confirm, both));
    for (what, site, script) in scripts {
        let stage = stage(&cx, script)?;
        let call = cx.call("Gateway::pay", stage.gateway.pay(request("a"))).await?;
        ensure!(
            call.took <= ms(10_000),
            "with {what}, pay answers after {} ms",
            call.took.as_millis();
            expected = "an answer within 10 000 ms, compensation included",
            help = "one deadline for the whole payment; every attempt and every wait asks it first"
        );
        let status = status(&call.value, "when a service hangs")?;
        ensure!(
            // To call off an intent that may exist takes the very service that hangs.
            site == CallSite::Create || !matches!(status, Status::Compensating { .. }),
            "with {what}, the answer is Compensating at {} ms", call.took.as_millis();
            expected = "Failed, and no customer charged: the forward steps end early enough for each undo to be tried once",
            observed = format!("{status:?}"),
            help = "Saga::reserve is the time that the undos need before the deadline; an undo that is refused, parked or never begun does not count as undone"
        );
    }
    leaves_time_to_pay()?;
    ports::keeps_the_clients_deadline(&cx).await?;
    paths::answers_by_the_deadline(&cx).await
}

/// Undo limits that take all of the time leave none for the payment.
fn leaves_time_to_pay() -> Outcome {
    let default = GatewayConfig::default();
    let undo = default.undo.create + default.undo.confirm + default.undo.save;
    for (total, is_valid) in [(undo, false), (undo / 2, false), (undo + ms(2000), true)] {
        let config = GatewayConfig { total, ..GatewayConfig::default() };
        let world = World::with(Latencies::ASSIGNMENT, Arc::new(Script::new()), None);
        let journal = Arc::new(MemoryJournal::new());
        let made = Gateway::new(config, world.providers(), journal, Arc::new(NoObserver));
        ensure!(
            made.is_ok() == is_valid,
            "with {} ms for a payment, of which its undos may take {} ms, Gateway::new returns {}",
            total.as_millis(), undo.as_millis(), if made.is_ok() { "a gateway" } else { "an error" };
            expected = if is_valid { "a gateway" } else { "an error: no step could begin" }
        );
    }
    Ok(())
}

pub async fn compensating_goes_on(cx: Cx) -> Outcome {
    let script = Script::new()
        .always(CallSite::Save, Fault::FailBefore)
        .always(CallSite::Refund, Fault::Hang);
    let stage = stage(&cx, script)?;
    let call = cx.call("Gateway::pay", stage.gateway.pay(request("a"))).await?;
    let answer = status(&call.value, "while a refund hangs")?;
    ensure!(
        matches!(answer, Status::Compensating { .. }) && call.took <= ms(10_000),
        "a refund that hangs is not answered with Compensating within 10 s";
        observed = format!("{answer:?} at {} ms", call.took.as_millis())
    );
    // As long as an outage that opens a breaker.
    sleep(ms(50_000)).await;
    stage.script.heal(CallSite::Refund);
    sleep(ms(60_000)).await;
    ensure!(
        stage.net() == 0 && stage.open() == 0,
        "the gateway stops refunding after the answer";
        expected = "refunded as soon as the provider accepts it", observed = format!("{} charged", stage.net()),
        help = "the answer has a deadline, the work has none: run it in a task of its own"
    );
    parked_is_no_end(&cx).await
}

/// An undo is parked, and a redrive undoes it later: from then on nothing says that it is parked.
async fn parked_is_no_end(cx: &Cx) -> Outcome {
    let script = Script::new()
        .always(CallSite::Save, Fault::FailBefore)
        .always(CallSite::Refund, Fault::Decline);
    let stage = stage(cx, script)?;
    cx.call("Gateway::pay", stage.gateway.pay(request("a"))).await?;
    sleep(ms(400_000)).await;
    let told = cx.call("Gateway::pay", stage.gateway.pay(request("a"))).await?.value;
    let parked = status(&told, "for a repeat while an undo is parked")?;
    ensure!(
        matches!(parked, Status::Compensating { parked: true }),
        "a refund that the provider refuses for good is not parked";
        expected = "Compensating, with parked: true, for the repeat", observed = format!("{parked:?}")
    );
    stage.script.heal(CallSite::Save);
    stage.script.heal(CallSite::Refund);
    for _ in 0..3 {
        cx.call("Gateway::redrive", stage.gateway.redrive()).await?;
        sleep(ms(1000)).await;
    }
    ensure!(stage.open() == 0, "redrives do not undo what was parked, although the provider accepts the refund"; observed = format!("{} charged", stage.net()));
    let told = cx.call("Gateway::pay", stage.gateway.pay(request("a"))).await?.value;
    let after = status(&told, "for a repeat after a redrive has undone the payment")?;
    ensure!(
        !matches!(after, Status::Compensating { .. }),
        "a redrive has undone a parked payment, and a repeat is still told Compensating";
        expected = "a new run of the payment, or how the first one ended", observed = format!("{after:?}"),
        help = "Compensating is no final answer: do not store it"
    );
    Ok(())
}

pub async fn keys_are_stable(cx: Cx) -> Outcome {
    let mut all = Vec::new();
    for site in [CallSite::Create, CallSite::Confirm, CallSite::Refund] {
        let mut script =
            Script::new().on(site, 1, Fault::FailBefore).on(site, 2, Fault::FailBefore);
        if site == CallSite::Refund {
            script = script.always(CallSite::Save, Fault::FailBefore);
        }
        let (stage, keys) = keyed::noted(&cx, script)?;
        let reply = cx.call("Gateway::pay", stage.gateway.pay(request("a"))).await?.value;
        sleep(ms(60_000)).await;
        let keys = keys.of_site(site);
        ensure!(
            keys.len() >= 3,
            "{site} fails twice, and there are {} attempts at it", keys.len();
            expected = "three at least: a failure of the service is worth another attempt",
            observed = format!("the answer is {reply:?}")
        );
        ensure!(
            keys.iter().all(|key| *key == keys[0]),
            "the attempts of {site} do not carry one key";
            expected = "the same key three times: an attempt whose answer was lost has happened",
            observed = format!("{keys:?}"),
            help = "derive the key from the payment and the purpose, not from the attempt, the time or chance"
        );
        all.extend(keys.into_iter().take(1));
    }
    let different: std::collections::BTreeSet<_> = all.iter().collect();
    ensure_eq!(different.len(), 3, "different purposes share a key: {:?}", all);
    burnt::keys_stay_burnt(&cx).await?;
    burnt::each_burnt_key_has_a_next_one(&cx).await?;
    burnt::a_refused_key_is_left_alone(&cx).await?;
    keyed::rise_only_when_burnt(&cx).await
}

pub async fn fails_fast_when_open(cx: Cx) -> Outcome {
    let needed = [
        (CallSite::Create, Dependency::Payments),
        (CallSite::Fraud, Dependency::Fraud),
        (CallSite::Save, Dependency::Ledger),
    ];
    for (site, dependency) in needed {
        let stage = stage(&cx, Script::new().always(site, Fault::FailBefore))?;
        for number in 0..2 {
            let key = format!("k{number}");
            cx.call("Gateway::pay", stage.gateway.pay(request(&key))).await?;
        }
        let state = stage.gateway.breaker(dependency);
        ensure_eq!(
            state, State::Open,
            "two payments whose calls of {} all fail, three each, do not open the breaker of {}", site, dependency;
            help = "the breaker is inside the retry: it counts calls, not steps"
        );
        let before = stage.world.all_calls();
        let call = cx.call("Gateway::pay", stage.gateway.pay(request("refused"))).await?;
        sleep(ms(5000)).await;
        ensure!(
            call.took < ms(10),
            "with the breaker of {dependency} open, pay answers after {} ms", call.took.as_millis();
            expected = "less than 10 ms", observed = format!("{:?}", call.value),
            help = "look at the breakers before the first call: a payment that cannot succeed need not begin"
        );
        ensure_eq!(
            stage.world.all_calls(),
            before,
            "with the breaker of {} open services are called",
            dependency
        );
        ensure!(
            call.value.is_err() || !is_paid(&status(&call.value, "")?),
            "paid with an open breaker"
        );
    }
    // Without a receipt a payment still succeeds.
    let stage = stage(&cx, Script::new().always(CallSite::Receipt, Fault::FailBefore))?;
    for number in 0..4 {
        let key = format!("k{number}");
        let reply = cx.call("Gateway::pay", stage.gateway.pay(request(&key))).await?.value;
        paid(&reply, "while only the receipts fail")?;
        sleep(ms(5000)).await;
    }
    Ok(())
}

pub async fn undoing_passes_an_open_breaker(cx: Cx) -> Outcome {
    let stage = stage(&cx, Script::new().always(CallSite::Confirm, Fault::FailBefore))?;
    let running: Vec<_> = (0..6)
        .map(|number| {
            let gateway = stage.gateway.clone();
            tokio::spawn(async move { gateway.pay(request(&format!("k{number}"))).await })
        })
        .collect();
    for payment in running {
        // The outcome of these does not matter here.
        let _ = payment.await;
    }
    let state = stage.gateway.breaker(Dependency::Payments);
    ensure_eq!(
        state,
        State::Open,
        "6 payments that cannot be confirmed do not open the provider's breaker"
    );
    let statuses: Vec<_> = stage.world.intents().iter().map(|intent| intent.status).collect();
    ensure!(
        statuses.iter().all(|status| *status == IntentStatus::Canceled),
        "an open breaker keeps an intent from being cancelled";
        expected = "every intent cancelled", observed = format!("{statuses:?}"),
        help = "an undo bypasses the breaker: an outage is no reason to keep a customer's money"
    );
    Ok(())
}

pub async fn sheds_load(cx: Cx) -> Outcome {
    let config = GatewayConfig { max_in_flight: 3, ..GatewayConfig::default() };
    let stage = stage_with(&cx, Script::new(), config, |providers| providers)?;
    let running: Vec<_> = (0..3)
        .map(|number| {
            let gateway = stage.gateway.clone();
            tokio::spawn(async move { gateway.pay(request(&format!("k{number}"))).await })
        })
        .collect();
    sleep(ms(100)).await;
    let call = cx.call("Gateway::pay", stage.gateway.pay(request("one too many"))).await?;
    ensure!(
        matches!(call.value, Err(PayError::Overloaded { .. })) && call.took < ms(10),
        "the fourth of three payments is not refused at once";
        expected = "Err(Overloaded { .. }) at 0 ms", observed = format!("{:?} at {} ms", call.value, call.took.as_millis())
    );
    for payment in running {
        let reply = payment.await;
        ensure!(matches!(&reply, Ok(reply) if is_paid(&status(reply, "")?)), "a payment that was let in is not paid"; observed = format!("{reply:?}"));
    }
    let call = cx.call("Gateway::pay", stage.gateway.pay(request("one too many"))).await?;
    ensure!(call.value.is_ok(), "there is no place although all are over"; observed = format!("{:?}", call.value));
    places::last_as_long_as_the_payment(&cx).await
}
