//! The places of payments under way: when one is taken, and when it is free again.

use std::sync::Arc;

use grader_kit::{Cx, Fail, Outcome, ensure, ms};
use level3::answer::{PayError, Status};
use level3::event::NoObserver;
use level3::gateway::{Gateway, GatewayConfig};
use level3_sim::{CallSite, Fault, MortalJournal, Process, Script};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::ill::{Ill, Illness};
use crate::world::{Stage, is_paid, request, stage, stage_with};

fn limited(max_in_flight: u32) -> GatewayConfig {
    GatewayConfig { max_in_flight, ..GatewayConfig::default() }
}

fn many(gateway: &Gateway, name: &str, count: u32) -> Vec<JoinHandle<bool>> {
    let one = |number| {
        let (gateway, key) = (gateway.clone(), format!("{name} {number}"));
        tokio::spawn(async move {
            let reply = gateway.pay(request(&key)).await;
            reply.is_ok_and(|reply| is_paid(&reply.answer.status))
        })
    };
    (0..count).map(one).collect()
}

/// Refused at once, without a call.
async fn has_no_place(cx: &Cx, gateway: &Gateway, what: &str, key: &str) -> Outcome {
    let call = cx.call("Gateway::pay", gateway.pay(request(key))).await?;
    ensure!(
        matches!(call.value, Err(PayError::Overloaded { .. })) && call.took < ms(10),
        "{what}, and one more payment is not refused at once";
        expected = "Err(Overloaded { .. }) at 0 ms: a payment is under way until it is paid or undone, whether or not its client waits",
        observed = format!("{:?} at {} ms", call.value, call.took.as_millis()),
        help = "keep the permit of a payment until its last undo is done, and not until its client is answered"
    );
    Ok(())
}

/// Payments that are being undone keep their places, also when their clients have an answer or are gone.
pub async fn last_as_long_as_the_payment(cx: &Cx) -> Outcome {
    let mut draw = cx.draw();
    let few = u32::try_from(draw.between(1..=3)).unwrap_or(1);
    // The client is gone while its payment goes forward.
    let stage = stage_with(cx, Script::new(), limited(few), |providers| providers)?;
    let running = many(&stage.gateway, "dropped", few);
    sleep(ms(draw.between(50..=800))).await;
    running.iter().for_each(JoinHandle::abort);
    cx.settle().await;
    let what =
        format!("max_in_flight is {few}, and the clients of {few} payments under way are gone");
    has_no_place(cx, &stage.gateway, &what, "one too many").await?;
    // The client is answered by its deadline, and undoing goes on.
    for (broken, undo) in
        [(CallSite::Save, CallSite::Refund), (CallSite::Confirm, CallSite::Cancel)]
    {
        let script = Script::new().always(broken, Fault::Decline).always(undo, Fault::Hang);
        let stage = stage_with(cx, script, limited(few), |providers| providers)?;
        let all = async {
            let payments = (0..few).map(|number| {
                let key = format!("undone {number}");
                let gateway = stage.gateway.clone();
                async move { gateway.pay(request(&key)).await }
            });
            futures::future::join_all(payments.collect::<Vec<_>>()).await
        };
        let told = cx.call("Gateway::pay", all).await?.value;
        let are_undone = told.iter().all(|reply| {
            let status = reply.as_ref().map(|reply| &reply.answer.status);
            matches!(status, Ok(Status::Compensating { parked: false }))
        });
        // The answer to such a client is a criterion of its own.
        if !are_undone || stage.open() < few as usize {
            continue;
        }
        let what = format!(
            "max_in_flight is {few}, and {few} payments are being undone after their clients were answered"
        );
        has_no_place(cx, &stage.gateway, &what, "one too many").await?;
        stage.script.heal(undo);
        stage.script.heal(broken);
        sleep(ms(200_000)).await;
        let ended = stage.open() == 0;
        let told = cx.call("Gateway::pay", stage.gateway.pay(request("later"))).await?.value;
        ensure!(
            !ended || told.as_ref().is_ok_and(|reply| is_paid(&reply.answer.status)),
            "max_in_flight is {few}; {few} payments were undone long ago, and the next one is not paid";
            expected = "paid: their places are free", observed = format!("{told:?}")
        );
    }
    are_free_however_it_ended(cx, few).await
}

/// However payments end, their places are free then: as many as there may be find a place afterwards.
async fn are_free_however_it_ended(cx: &Cx, few: u32) -> Outcome {
    let decline = Fault::Decline;
    let ends = [
        ("are declined", Script::new().always(CallSite::Confirm, decline)),
        ("are undone, since the ledger refuses", Script::new().always(CallSite::Save, decline)),
        (
            "are parked",
            Script::new().always(CallSite::Save, decline).always(CallSite::Refund, decline),
        ),
        ("panic in the ledger", Script::new().always(CallSite::Save, Fault::Panic)),
        ("cannot send their receipts", Script::new().always(CallSite::Receipt, Fault::FailBefore)),
    ];
    for (what, script) in ends {
        let stage = stage_with(cx, script, limited(few), |providers| providers)?;
        for payment in many(&stage.gateway, "before", few) {
            cx.call("Gateway::pay", payment).await?.value.ok();
        }
        sleep(ms(400_000)).await;
        for site in [CallSite::Confirm, CallSite::Save, CallSite::Refund, CallSite::Receipt] {
            stage.script.heal(site);
        }
        let what = format!("{few} payments {what}");
        finds_its_places(cx, &stage.gateway, few, &what).await?;
    }
    // Its journal leaves a payment in the middle.
    let stage = stage(cx, Script::new())?;
    let (gateway, journal) = with_an_ill_journal(&stage, few)?;
    let before = many(&gateway, "before", few);
    sleep(ms(cx.draw().between(50..=1050))).await;
    journal.falls(Some(Illness::Unavailable));
    for payment in before {
        cx.call("Gateway::pay", payment).await?.value.ok();
    }
    sleep(ms(30_000)).await;
    journal.falls(None);
    let what = format!("the journal went away in the middle of {few} payments, and is back");
    finds_its_places(cx, &gateway, few, &what).await
}

async fn finds_its_places(cx: &Cx, gateway: &Gateway, few: u32, what: &str) -> Outcome {
    // One after another first: a breaker that is half-open lets only few through at once.
    for number in 0..5 {
        let key = format!("probe {number}");
        cx.call("Gateway::pay", gateway.pay(request(&key))).await?.value.ok();
        sleep(ms(5000)).await;
    }
    let all = futures::future::join_all(many(gateway, "after", few));
    let paid = cx.call("Gateway::pay", all).await?.value;
    let paid = paid.into_iter().filter(|paid| matches!(paid, Ok(true))).count();
    ensure!(
        paid == few as usize,
        "max_in_flight is {few}; {what}, and of {few} payments that come at once long afterwards {paid} are paid";
        expected = "all: a payment that is over, or is left to another process, has no place",
        help = "an owned permit that is dropped on every way out of the payment, a panic and an error too"
    );
    Ok(())
}

fn with_an_ill_journal(stage: &Stage, few: u32) -> Result<(Gateway, Ill), Fail> {
    let process = Process::new();
    let journal = Ill::new(Arc::new(MortalJournal::new(&stage.journal, &process)));
    let (kept, providers) = (Arc::new(journal.clone()), stage.world.providers_of(&process));
    let gateway = Gateway::new(limited(few), providers, kept, Arc::new(NoObserver))
        .map_err(|why| Fail::new(format!("Gateway::new refuses a valid configuration: {why}")))?;
    Ok((gateway, journal))
}
