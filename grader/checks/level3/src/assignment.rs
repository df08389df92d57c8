//! The five pass criteria of the assignment, and the latencies.

use std::sync::Arc;
use std::time::Duration;

use grader_kit::{Cx, Fail, Outcome, ensure, ensure_eq, ms};
use level3::answer::{PayError, Status};
use level3::event::NoObserver;
use level3::gateway::{Gateway, GatewayConfig};
use level3::journal::{MemoryJournal, Standing};
use level3::request::PaymentRequest;
use level3_harness::{Load, Tally, percentile};
use level3_sim::{CallSite, Dice, Fault, Rates, Script, World};
use tokio::time::{Instant, sleep};

use crate::world::{is_paid, is_written, paid, request, stage, stage_aside, status};

async fn load(payments: u32, rates: Rates) -> Result<Tally, Fail> {
    let load = Load { payments, every: ms(1), share: 10, rates, seed: 1 };
    load.run(&GatewayConfig::default())
        .await
        .map_err(|why| Fail::new(format!("Gateway::new refuses a valid configuration: {why}")))
}

/// A right solution has 99.60 %, with a standard deviation of 0.05 among so many: it fails once in 10 000
/// solutions. One that loses 0.3 % of its payments more does not pass.
const MANY: u32 = 15_000;

pub async fn succeeds_despite_failures(cx: Cx) -> Outcome {
    is_written(&cx).await?;
    let tally = load(MANY, Rates::TEN_PERCENT).await?;
    let success = tally.success();
    cx.note(format!(
        "{:.3} % of {MANY} payments succeed with 10 % of all calls failing (95 % interval {:.3} to {:.3}); {} declined apart",
        success.share, success.low, success.high, tally.declined
    ));
    ensure!(
        success.high >= 99.5,
        "{:.3} % of {MANY} payments succeed with 10 % of all calls failing", success.share;
        expected = "a share whose 95 % interval reaches 99.5 %: three attempts for each of four steps give 99.60 %",
        observed = format!(
            "{:.3} to {:.3} %: {} paid, {} failed, {} compensating, {} refused",
            success.low, success.high, tally.paid, tally.failed, tally.compensating, tally.refused
        ),
        help = "three attempts are three calls; a lost answer is worth another attempt with the same key; the backoff has to leave room within the 10 s"
    );
    Ok(())
}

pub async fn latencies(cx: Cx) -> Outcome {
    is_written(&cx).await?;
    let tally = load(5_000, Rates::ASSIGNMENT).await?;
    let [p50, p95, p99] = [50, 95, 99].map(|p| percentile(&tally.latencies, p));
    cx.note(format!(
        "p50 {} ms, p95 {} ms, p99 {} ms, longest answer {} ms",
        p50.as_millis(),
        p95.as_millis(),
        p99.as_millis(),
        tally.longest.as_millis()
    ));
    // The assignment's targets are 1.5, 3 and 5 s.
    for (name, seen, most) in
        [("p95", p95, 3000), ("p99", p99, 5000), ("the longest", tally.longest, 10_000)]
    {
        ensure!(seen <= ms(most), "{name} is {} ms", seen.as_millis(); expected = format!("{most} ms at most"));
    }
    Ok(())
}

/// Of each kind of call, 2 % hang, 2 % lose their answer without a word, 2 % are late.
fn uber(dice: &Dice) -> Fault {
    match dice.below(50) {
        0 => Fault::Hang,
        1 => Fault::SwallowReply,
        2 => Fault::Slow(ms(4000)),
        _ => Fault::None,
    }
}

pub async fn nothing_gets_stuck(cx: Cx) -> Outcome {
    is_written(&cx).await?;
    // Few payments one after another, and more at once than the provider's limit lets through.
    for (crowd, gateways) in [(1, 100), (700, 1)] {
        let running: Vec<_> =
            (0..gateways).map(|seed| tokio::spawn(crowded(crowd, seed))).collect();
        for (seed, one) in running.into_iter().enumerate() {
            let wait = async { one.await.unwrap_or_else(|_| Err(Fail::new("pay panics"))) };
            let (unanswered, open) = cx.call("Gateway::pay", wait).await?.value?;
            ensure!(
                unanswered == 0 && open == 0,
                "{unanswered} payments get no answer and {open} are stuck when calls hang, get lost or are answered late";
                expected = "each is paid, or undone to the last step",
                observed = format!("{crowd} at once, seed {seed}"),
                help = "at Uber 2 % of the payments were stuck: a capture hung, and no code released the reserved amount"
            );
        }
    }
    Ok(())
}

/// How many payments get no answer, and how many stay open, of four times so many at once.
async fn crowded(crowd: u32, seed: u64) -> Result<(usize, usize), Fail> {
    let dice = Dice::new(seed);
    let world = World::new(move |_: CallSite, _: u32| uber(&dice));
    let journal = MemoryJournal::new();
    let (kept, observer) = (Arc::new(journal.clone()), Arc::new(NoObserver));
    let gateway = Gateway::new(GatewayConfig::default(), world.providers(), kept, observer)
        .map_err(|why| Fail::new(format!("Gateway::new refuses a valid configuration: {why}")))?;
    let mut unanswered = 0;
    let rounds = if crowd == 1 { 4 } else { 1 };
    for round in 0..rounds {
        let running: Vec<_> = (0..crowd)
            .map(|number| {
                let (gateway, key) = (gateway.clone(), format!("k{seed}-{round}-{number}"));
                let pay = async move { gateway.pay(request(&key)).await };
                tokio::spawn(tokio::time::timeout(ms(30_000), pay))
            })
            .collect();
        for payment in running {
            unanswered += usize::from(!matches!(payment.await, Ok(Ok(_))));
        }
    }
    sleep(Duration::from_secs(200)).await;
    Ok((unanswered, journal.count(Standing::Open) + journal.count(Standing::Parked)))
}

pub async fn no_cascade(cx: Cx) -> Outcome {
    let script = Script::new();
    let stage = stage(&cx, script)?;
    let begin = Instant::now();
    let outage = [CallSite::Create, CallSite::Confirm];
    for site in outage {
        stage.script.add(site, Fault::FailBefore);
    }
    // 20 payments a second for the 60 s of the outage, and 30 s more.
    let mut running = Vec::new();
    for number in 0..1800_u32 {
        tokio::time::sleep_until(begin + ms(50) * number).await;
        if number == 1200 {
            for site in outage {
                stage.script.heal(site);
            }
        }
        let gateway = stage.gateway.clone();
        running.push(tokio::spawn(async move {
            let begun = Instant::now();
            let reply = gateway.pay(request(&format!("k{number}"))).await;
            (number, reply, begun.elapsed())
        }));
    }
    let during = stage.world.calls(CallSite::Create);
    let (mut refused, mut slow, mut paid) = (0, 0, 0);
    for payment in running {
        let Ok((number, reply, took)) = payment.await else { continue };
        let fast = took < ms(10);
        match reply {
            Ok(reply) if is_paid(&reply.answer.status) => paid += 1,
            _ if fast => refused += 1,
            _ if (41..1200).contains(&number) => slow += 1,
            _ => {}
        }
    }
    cx.note(format!(
        "{refused} refused in under 10 ms, {paid} paid afterwards, {during} calls of create"
    ));
    ensure!(
        refused >= 1100 && slow <= 20,
        "while the provider is down for 60 s, {refused} of 1200 payments are refused at once and {slow} wait for it";
        expected = "after some failures in a row all others are refused in under 10 ms",
        help = "one breaker for the provider, shared by all payments"
    );
    ensure!(
        paid >= 350,
        "when the provider is back, only {paid} of the 600 payments of the next 30 s are paid";
        expected = "the breaker lets them through again"
    );
    Ok(())
}

pub async fn compensates(cx: Cx) -> Outcome {
    is_written(&cx).await?;
    let steps = [CallSite::Create, CallSite::Fraud, CallSite::Confirm, CallSite::Save];
    let faults = [
        Fault::FailBefore,
        Fault::LoseReply,
        Fault::SwallowReply,
        Fault::Hang,
        Fault::Internal { effect: false },
        Fault::Decline,
        Fault::Panic,
    ];
    let mut cases = Vec::new();
    for site in steps {
        for fault in faults {
            let what = format!("every {site} under {fault:?}");
            let named = (fault == Fault::FailBefore).then_some(site);
            cases.push((what, named, Script::new().always(site, fault)));
        }
    }
    // What undoes meets faults as well: once, and it works again.
    let undos = [
        (CallSite::Refund, CallSite::Save, Fault::FailBefore),
        (CallSite::Void, CallSite::Save, Fault::LoseReply),
        (CallSite::Cancel, CallSite::Confirm, Fault::Decline),
    ];
    for (undo, site, broken) in undos {
        for fault in faults.into_iter().filter(|fault| *fault != Fault::Decline) {
            let what =
                format!("every {site} under {broken:?}, and the first {undo} under {fault:?}");
            cases.push((what, None, Script::new().always(site, broken).on(undo, 1, fault)));
        }
    }
    let tried = cases.into_iter().map(|(what, named, script)| gives_back(&cx, what, named, script));
    futures::future::join_all(tried).await.into_iter().collect()
}

/// A payment with such faults is not paid, its answer names the step, and in the end the customer is not charged.
async fn gives_back(cx: &Cx, what: String, named: Option<CallSite>, script: Script) -> Outcome {
    let stage = stage_aside(cx, script, GatewayConfig::default())?;
    let gateway = stage.gateway.clone();
    let reply = cx.call("Gateway::pay", gateway.pay(request("a"))).await?.value;
    let answer = status(&reply, &format!("with {what}"))?;
    // What is charged twice, or stays charged, is the same fault at once and later.
    let charged = |when: &str| {
        let (net, rows) = (stage.net(), stage.rows());
        ensure!(
            net == 0 && rows == 0,
            "with {what}, {net} minor units {when} charged, with {rows} rows";
            expected = "the customer is not charged, and there is no row",
            observed = format!("told {answer:?}{}", stage.wire.lines()),
            help = "refund what is charged, cancel what is not, void the row if it may be there; an undo that fails, hangs or panics is tried again"
        );
        Ok(())
    };
    ensure!(
        !is_paid(&answer), "with {what}, the payment is Paid";
        expected = "Declined or Failed, or Compensating until it is undone",
        observed = format!("{answer:?}{}", stage.wire.lines())
    );
    if let Some(site) = named {
        ensure!(
            matches!(&answer, Status::Failed { step, retryable: true, .. } if step == site.name()),
            "with {site} failing for good, the payment is not Failed because of it";
            expected = format!("Failed {{ step: {site}, retryable: true }}"), observed = format!("{answer:?}")
        );
    }
    if !matches!(answer, Status::Compensating { .. }) {
        charged("are")?;
    }
    sleep(Duration::from_secs(400)).await;
    charged("stay")
}

pub async fn is_idempotent(cx: Cx) -> Outcome {
    let stage = stage(&cx, Script::new())?;
    let both = async {
        tokio::join!(stage.gateway.pay(request("a")), async {
            sleep(ms(50)).await;
            stage.gateway.pay(request("a")).await
        },)
    };
    let (first, second) = cx.call("two Gateway::pay", both).await?.value;
    let (one, two) = (status(&first, "")?, status(&second, "for a repeat")?);
    paid(&first, "although nothing fails")?;
    ensure_eq!(two, one, "a repeat at the same time gets another answer");
    sleep(ms(5_000)).await;
    let calls = stage.world.all_calls();
    let third = cx.call("Gateway::pay", stage.gateway.pay(request("a"))).await?.value;
    let json = |reply: &Result<level3::answer::Reply, PayError>| {
        reply.as_ref().ok().and_then(|reply| reply.answer.to_json().ok())
    };
    ensure_eq!(json(&third), json(&first), "a repeat gets other bytes");
    ensure!(third.as_ref().is_ok_and(|reply| reply.replayed), "a repeat is not marked as one");
    ensure_eq!(stage.world.all_calls(), calls, "a repeat calls services");
    ensure_eq!(stage.net(), 1999, "the customer is charged another sum");
    ensure_eq!(stage.world.mails().len(), 1, "the customer gets another number of receipts");
    for (what, other) in others() {
        let mismatch = cx.call("Gateway::pay", stage.gateway.pay(other)).await?.value;
        ensure_eq!(
            mismatch,
            Err(PayError::KeyReused),
            "the same key with another {} is not refused",
            what
        );
    }
    // While it runs, and at a process that finds it in the journal.
    let (heir, _) = stage.another(GatewayConfig::default())?;
    for (what, other) in others() {
        let mismatch = cx.call("Gateway::pay", heir.pay(other)).await?.value;
        ensure_eq!(
            mismatch, Err(PayError::KeyReused),
            "after a restart the same key with another {} is not refused", what;
            help = "compare with the payment that the saga began with: Saga::begun_with"
        );
    }
    let running = heir.pay(request("b"));
    let meanwhile = async {
        sleep(ms(50)).await;
        let mut told = Vec::new();
        for (what, other) in others() {
            let other = PaymentRequest { key: "b".to_owned(), ..other };
            told.push((what, heir.pay(other).await));
        }
        told
    };
    let both = async { tokio::join!(running, meanwhile) };
    let (_, told) = cx.call("Gateway::pay", both).await?.value;
    for (what, told) in told {
        ensure_eq!(
            told,
            Err(PayError::KeyReused),
            "while a payment runs, the same key with another {} is not refused",
            what
        );
    }
    a_free_key_is_not_for_others(&cx).await
}

/// A failure that may pass leaves the key free, for the same request.
async fn a_free_key_is_not_for_others(cx: &Cx) -> Outcome {
    for site in [CallSite::Fraud, CallSite::Save] {
        let stage = stage(cx, Script::new().always(site, Fault::FailBefore))?;
        let first = cx.call("Gateway::pay", stage.gateway.pay(request("a"))).await?.value;
        let first = status(&first, "when a service is down")?;
        if !matches!(first, Status::Failed { retryable: true, .. }) {
            // What the answer has to be is a criterion of its own.
            continue;
        }
        stage.script.heal(site);
        let (heir, _) = stage.another(GatewayConfig::default())?;
        for (gateway, at) in [(&stage.gateway, ""), (&heir, ", at another process")] {
            for (what, other) in others() {
                let mismatch = cx.call("Gateway::pay", gateway.pay(other)).await?.value;
                ensure!(
                    mismatch == Err(PayError::KeyReused),
                    "a payment has failed because {site} was down; now the same key with another {what} is not refused{at}";
                    expected = "Err(KeyReused): the key is free for the same request",
                    observed = format!("{mismatch:?}"),
                    help = "compare with the payment that the journal has for the key, also when its run has failed"
                );
            }
        }
        let again = cx.call("Gateway::pay", stage.gateway.pay(request("a"))).await?.value;
        paid(&again, "when the service is back, for the same request")?;
    }
    Ok(())
}

/// The request with one field changed, but for its key.
fn others() -> [(&'static str, PaymentRequest); 5] {
    [
        ("amount", PaymentRequest { amount: 5, ..request("a") }),
        ("currency", PaymentRequest { currency: "EUR".to_owned(), ..request("a") }),
        ("order", PaymentRequest { order: "another".to_owned(), ..request("a") }),
        (
            "e-mail address",
            PaymentRequest { email: "other@example.com".to_owned(), ..request("a") },
        ),
        ("card", PaymentRequest { card: "pm_another".to_owned(), ..request("a") }),
    ]
}

/// What the report shows of it.
pub mod scenes {
    use grader_kit::{Cx, Figure, Outcome};
    use level3_sim::Rates;

    use super::load;

    pub async fn latencies(cx: Cx) -> Outcome {
        crate::world::is_written(&cx).await?;
        let tally = load(1000, Rates::TEN_PERCENT).await?;
        let micros =
            |took: &std::time::Duration| u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        cx.show(Figure::Latencies { took_us: tally.latencies.iter().map(micros).collect() });
        Ok(())
    }
}
