//! The gateway's surroundings fail: its journal and its observer.

use std::sync::{Arc, Mutex};

use grader_kit::{Cx, Fail, Outcome, ensure, lock, ms};
use level3::answer::{PayError, Status};
use level3::event::Event;
use level3::gateway::{Gateway, GatewayConfig};
use level3::journal::{Journal, MemoryJournal, Standing};
use level3_sim::{CallSite, Fault, Script, World};
use tokio::time::sleep;

use crate::ill::{Ill, Illness};
use crate::values::drawn;
use crate::world::{Stage, paid, stage_on};

/// A gateway whose journal can fall ill.
fn patient(cx: &Cx, script: Script) -> Result<(Stage, Ill), Fail> {
    let kept: Arc<Mutex<Option<Ill>>> = Arc::default();
    let mine = Arc::clone(&kept);
    let before = move |inner: Arc<dyn Journal>| {
        let ill = Ill::new(inner);
        *lock(&mine) = Some(ill.clone());
        Arc::new(ill) as Arc<dyn Journal>
    };
    let stage = stage_on(cx, script, GatewayConfig::default(), |all| all, before)?;
    let ill = lock(&kept).clone();
    Ok((stage, ill.ok_or_else(|| Fail::new("Gateway::new does not keep its journal"))?))
}

/// Moments at which the journal falls ill: while each step is under way.
const MOMENTS: [(CallSite, std::ops::RangeInclusive<u64>); 4] = [
    (CallSite::Create, 1..=199),
    (CallSite::Fraud, 201..=699),
    (CallSite::Confirm, 701..=999),
    (CallSite::Save, 1001..=1099),
];

pub async fn does_nothing_without_its_journal(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    for illness in [Illness::Unavailable, Illness::Hangs, Illness::Panics] {
        // From before the beginning on.
        let (stage, journal) = patient(&cx, Script::new())?;
        journal.falls(Some(illness));
        let request = drawn(&mut draw, "a");
        let call = cx.call("Gateway::pay", stage.gateway.pay(request.clone())).await?;
        let calls = stage.world.all_calls();
        ensure!(
            calls == 0, "the journal is away ({illness:?}), and {calls} calls are made for a new payment";
            expected = "none: without a record there is no effect", observed = format!("{:?}", call.value)
        );
        ensure!(
            call.took <= ms(10_000) && (illness != Illness::Unavailable || call.value == Err(PayError::JournalUnavailable)),
            "the journal is away ({illness:?}), and a new payment is answered otherwise";
            expected = "Err(JournalUnavailable), within the 10 s", observed = format!("{:?} after {} ms", call.value, call.took.as_millis())
        );
        if illness == Illness::Unavailable {
            journal.falls(None);
            let again = cx.call("Gateway::pay", stage.gateway.pay(request)).await?.value;
            paid(&again, "when the journal is back")?;
        }
        for undoes in [false, true] {
            for (site, moment) in MOMENTS {
                if undoes && site != CallSite::Save {
                    continue;
                }
                let at = draw.between(moment);
                outage(&cx, illness, site, at, undoes, &mut draw).await?;
            }
        }
    }
    lost_answers(&cx, &mut draw).await?;
    sends_no_receipt(&cx, &mut draw).await?;
    slow(&cx, &mut draw).await
}

/// A row stands that could not be taken back, so that the ledger has a receipt to be sent. The journal, which knows that
/// the payment is not paid, goes away while a recovery asks the ledger.
async fn sends_no_receipt(cx: &Cx, draw: &mut grader_kit::Draw) -> Outcome {
    // What a recovery makes of such a row while nothing else fails is a criterion of its own.
    if receipts_of_an_unpaid(cx, draw, None).await?.0 > 0 {
        return Ok(());
    }
    let (mails, recovered) = receipts_of_an_unpaid(cx, draw, Some(Illness::Unavailable)).await?;
    ensure!(
        mails == 0, "a payment is not paid and its row could not be taken back; the journal goes away while a recovery asks for the receipts to be sent, and {mails} are sent";
        expected = "none: whether a row's payment is paid is in the journal",
        observed = format!("recover() returns {recovered}"),
        help = "an outcome that cannot be read counts as unpaid: the receipt stays in the outbox for the next recovery"
    );
    Ok(())
}

/// How many receipts a recovery sends, and what it returns.
async fn receipts_of_an_unpaid(
    cx: &Cx,
    draw: &mut grader_kit::Draw,
    illness: Option<Illness>,
) -> Result<(usize, String), Fail> {
    let script = Script::new()
        .always(CallSite::Save, Fault::LoseReply)
        .always(CallSite::Void, Fault::Decline)
        .always(CallSite::PendingReceipts, Fault::Slow(ms(1000)));
    let (stage, journal) = patient(cx, script)?;
    cx.call("Gateway::pay", stage.gateway.pay(drawn(draw, "a"))).await?.value.ok();
    sleep(ms(200_000)).await;
    let asked = || stage.wire.calls().iter().any(|call| call.site == CallSite::PendingReceipts);
    let falls = async {
        for _ in 0..100 {
            sleep(ms(100)).await;
            if asked() {
                break;
            }
        }
        journal.falls(illness);
        sleep(ms(30_000)).await;
    };
    let both = async { tokio::join!(stage.gateway.recover(), falls).0 };
    let recovered = cx.call("Gateway::recover", both).await?.value;
    Ok((stage.world.mails().len(), format!("{recovered:?}")))
}

/// The journal falls ill in the middle of a payment, and another process ends it afterwards.
async fn outage(
    cx: &Cx,
    illness: Illness,
    site: CallSite,
    at: u64,
    undoes: bool,
    draw: &mut grader_kit::Draw,
) -> Outcome {
    let script = match undoes {
        true => Script::new().always(CallSite::Save, Fault::FailBefore),
        false => Script::new(),
    };
    let (stage, journal) = patient(cx, script)?;
    let when = format!("the journal is away ({illness:?}) from {at} ms on, during {site}");
    let request = drawn(draw, "a");
    let both = async {
        let pay = async {
            let begun = tokio::time::Instant::now();
            let reply = stage.gateway.pay(request.clone()).await;
            (reply, begun.elapsed())
        };
        tokio::join!(pay, async {
            sleep(ms(at)).await;
            journal.falls(Some(illness));
        })
        .0
    };
    let (reply, took) = cx.call("Gateway::pay", both).await?.value;
    sleep(ms(30_000)).await;
    let calls = stage.wire.calls();
    let started = calls.iter().find(|call| call.site == CallSite::Create).map(|call| call.at);
    let late = calls
        .iter()
        .find(|call| call.site != site && started.is_some_and(|start| call.at >= start + ms(at)));
    if let Some(late) = late {
        return Err(Fail::new(format!("{when}, and {} is called", late.site))
            .expected("nothing but the step that its last record announces: without a record there is no effect, neither forward nor back")
            .help("an append that fails ends the work; the payment stays open for the process that recovers it"));
    }
    let told = reply.as_ref().map(|reply| reply.answer.status.clone());
    ensure!(
        took <= ms(10_000) && matches!(told, Err(PayError::JournalUnavailable) | Ok(Status::Compensating { .. })),
        "{when}, and the client gets an end that is not written";
        expected = "Compensating or JournalUnavailable, within the 10 s", observed = format!("{told:?} after {} ms", took.as_millis())
    );
    ensure!(lock(&stage.told).is_empty(), "{when}, and Event::Ended comes without a record"; expected = "the record first");
    journal.falls(None);
    stage.script.heal(CallSite::Save);
    let (heir, _) = stage.another(GatewayConfig::default())?;
    let recovered = cx.call("Gateway::recover", heir.recover()).await?.value;
    ensure!(recovered.is_ok(), "{when}; it is back, and recover() of the next process fails"; observed = format!("{recovered:?}"));
    sleep(ms(10_000)).await;
    let wrong = stage.imbalance();
    ensure!(
        wrong.is_none() && stage.open() == 0,
        "{when}; it is back, and after recover() {}", wrong.clone().unwrap_or("the payment is open".to_owned());
        expected = "paid or undone"
    );
    Ok(())
}

async fn lost_answers(cx: &Cx, draw: &mut grader_kit::Draw) -> Outcome {
    for (site, moment) in MOMENTS {
        let at = draw.between(moment);
        let (stage, journal) = patient(cx, Script::new())?;
        let request = drawn(draw, "a");
        let both = async {
            tokio::join!(stage.gateway.pay(request.clone()), async {
                sleep(ms(at)).await;
                journal.falls(Some(Illness::LosesAnswers));
                sleep(ms(1000)).await;
                journal.falls(None);
            })
            .0
        };
        cx.call("Gateway::pay", both).await?;
        sleep(ms(30_000)).await;
        let (heir, _) = stage.another(GatewayConfig::default())?;
        let recovered = cx.call("Gateway::recover", heir.recover()).await?.value;
        sleep(ms(10_000)).await;
        let wrong = stage.imbalance();
        ensure!(
            recovered.is_ok() && wrong.is_none() && stage.open() == 0,
            "the journal writes and loses its answers during {site}: after recover() {}", wrong.unwrap_or("the payment is open".to_owned());
            expected = "paid or undone: a batch may be there although the journal says otherwise",
            observed = format!("recover() gives {recovered:?}"),
            help = "reading a batch twice must change nothing"
        );
    }
    Ok(())
}

async fn slow(cx: &Cx, draw: &mut grader_kit::Draw) -> Outcome {
    for time in [draw.between(20..=100), draw.between(2_000..=4_000)] {
        let (stage, journal) = patient(cx, Script::new())?;
        journal.falls(Some(Illness::Slow(ms(time))));
        let call = cx.call("Gateway::pay", stage.gateway.pay(drawn(draw, "a"))).await?;
        ensure!(
            call.took <= ms(10_000), "every write to the journal takes {time} ms, and pay answers after {} ms", call.took.as_millis();
            expected = "an answer within the 10 s"
        );
        if time <= 100 {
            paid(&call.value, "although the journal is only slow")?;
        }
        sleep(ms(120_000)).await;
        let wrong = stage.imbalance();
        ensure!(
            wrong.is_none() && stage.open() == 0,
            "every write to the journal takes {time} ms: {}",
            wrong.unwrap_or("the payment stays open".to_owned())
        );
    }
    Ok(())
}

/// The journal takes its time before a payment begins: the steps end by the client's deadline anyway.
pub async fn keeps_the_clients_deadline(cx: &Cx) -> Outcome {
    let config = GatewayConfig::default();
    let undos = config.undo.create + config.undo.confirm + config.undo.save;
    let long = cx.draw().between(6000..=7500);
    // Not create: its undo may repeat the call.
    let sites = [CallSite::Fraud, CallSite::Confirm, CallSite::Save];
    for site in sites {
        for time in [long, 5000, 9000] {
            let (stage, journal) = patient(cx, Script::new().always(site, Fault::Hang))?;
            journal.falls(Some(Illness::Slow(ms(time))));
            let begun = tokio::time::Instant::now();
            let request = drawn(&mut cx.draw(), "a");
            let both = async {
                tokio::join!(stage.gateway.pay(request), async {
                    sleep(ms(1)).await;
                    journal.falls(None);
                })
                .0
            };
            cx.call("Gateway::pay", both).await?.value.ok();
            sleep(ms(60_000)).await;
            let latest = begun + config.total - undos;
            let calls = stage.wire.calls();
            let late = calls.iter().filter(|call| sites.contains(&call.site)).find(|call| {
                call.at > latest || call.over.as_ref().is_none_or(|(over, _)| *over > latest)
            });
            if let Some(late) = late {
                let since = |at: tokio::time::Instant| (at - begun).as_millis();
                let over = late
                    .over
                    .as_ref()
                    .map_or("never".to_owned(), |(over, _)| format!("at {} ms", since(*over)));
                return Err(Fail::new(format!("the first record of a payment takes {time} ms, and {site} hangs: {} #{} is called at {} ms and over {over}", late.site, late.nth, since(late.at)))
                    .expected(format!("every step over at {} ms after the request: the undos need the rest of the {} ms", (latest - begun).as_millis(), config.total.as_millis()))
                    .help("the deadline is made when the request comes, and is the saga's too: what the journal takes is gone"));
            }
        }
    }
    Ok(())
}

pub async fn observers_decide_nothing(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let scripts = [
        ("a payment that goes well", Script::new()),
        (
            "a payment whose row cannot be written",
            Script::new().always(CallSite::Save, Fault::FailBefore),
        ),
        (
            "a payment that the bank declines",
            Script::new().always(CallSite::Confirm, Fault::Decline),
        ),
        (
            "a receipt that cannot be sent",
            Script::new().always(CallSite::Receipt, Fault::FailBefore),
        ),
    ];
    for (what, script) in scripts {
        let world = World::new(script);
        let journal = MemoryJournal::new();
        let panics = |_: Event| panic!("a fault of the observer");
        let kept = Arc::new(journal.clone());
        let gateway =
            Gateway::new(GatewayConfig::default(), world.providers(), kept, Arc::new(panics))
                .map_err(|why| {
                    Fail::new(format!("Gateway::new refuses a valid configuration: {why}"))
                })?;
        let request = drawn(&mut draw, "a");
        let reply = cx.call("Gateway::pay", gateway.pay(request)).await?.value;
        let told = reply.as_ref().map(|reply| reply.answer.status.clone());
        let right = match what {
            "a payment that goes well" | "a receipt that cannot be sent" => {
                matches!(told, Ok(Status::Paid { .. }))
            }
            "a payment that the bank declines" => matches!(told, Ok(Status::Declined { .. })),
            _ => matches!(told, Ok(Status::Failed { .. })),
        };
        ensure!(
            right, "the observer panics at every event, and {what} is answered otherwise";
            expected = "the answer that it has with an observer that does not panic", observed = format!("{told:?}"),
            help = "who watches decides nothing: contain its panics where it is called"
        );
        let left = cx.call("Gateway::drain", gateway.drain(ms(60_000))).await?.value;
        let open = journal.count(Standing::Open);
        let mails = world.mails().len();
        let due = usize::from(what == "a payment that goes well");
        ensure!(
            left == 0 && open == 0 && mails == due,
            "the observer panics at every event: {what} leaves {left} under way and {open} open, with {mails} receipts";
            expected = format!("none under way, none open, {due} receipts")
        );
        if what == "a receipt that cannot be sent" {
            ensure!(gateway.dead_letters().len() == 1, "the observer panics at every event, and a receipt that cannot be sent is no dead letter"; expected = "one dead letter");
        }
    }
    Ok(())
}
