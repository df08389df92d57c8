//! Undos that cannot be done, and their dead letters.

use std::sync::Arc;

use grader_kit::{Cx, Fail, Outcome, ensure, ensure_eq, ms};
use level3::gateway::{Gateway, Undelivered};
use level3::journal::{Journal as _, MemoryJournal, Opened, Payload, Record, SagaId, Standing};
use level3::provider::RowStatus;
use level3_sim::{CallSite, Fault, Process, Script, World};
use tokio::time::sleep;

use super::{Scene, actions, left_by_another, letters, points, recover};
use crate::world::request;

pub async fn parked_are_dead_letters(cx: Cx) -> Outcome {
    crate::world::is_written(&cx).await?;
    let script = Script::new().always(CallSite::Save, Fault::FailBefore);
    let (scene, script) = left_by_another(script.always(CallSite::Refund, Fault::Decline)).await?;
    ensure_eq!(
        scene.journal.count(Standing::Parked),
        1,
        "a payment of which something cannot be undone is not parked in the journal"
    );
    let gateway = scene.gateway(&Process::new())?;
    // One for each step that cannot be undone: both that have to do with the charge, or the last of them.
    let mut letters = Vec::new();
    for time in ["once", "twice"] {
        cx.call("Gateway::recover", recover(&gateway, "a parked payment")).await?.value?;
        let before = std::mem::replace(
            &mut letters,
            gateway.dead_letters().iter().map(|letter| Undelivered::clone(&letter.item)).collect(),
        );
        let undos = letters.iter().all(|letter| matches!(letter, Undelivered::Undo { .. }));
        ensure!(
            !letters.is_empty() && undos && (time == "once" || letters == before),
            "recovered {time}: what the first process could not undo is not among the dead letters once";
            observed = format!("{letters:?}"),
            help = "Journal::list(Standing::Parked), and Saga::outcome_of tells what is stuck"
        );
    }
    script.heal(CallSite::Refund);
    // A key whose refusal the provider remembers may cost the first one.
    for _ in 0..2 {
        cx.call("Gateway::redrive", gateway.redrive()).await?;
    }
    let net = scene.net();
    let parked = scene.journal.count(Standing::Parked);
    ensure!(
        net == 0 && parked == 0 && gateway.dead_letters().is_empty(),
        "the refund works again and the letters are redriven twice: {net} stay charged, {parked} parked, {} letters",
        gateway.dead_letters().len();
        help = "claim the parked saga and resume it"
    );
    a_letter_for_each_undo(&cx).await?;
    looks_behind_strangers(&cx).await?;
    counts_what_it_parks().await?;
    a_row_to_be_taken_back_brings_no_receipt().await?;
    letters::stay_until_the_payment_has_ended(&cx).await
}

/// Two services refuse what undoes a payment: the row cannot be taken back, and the charge cannot be refunded.
async fn a_letter_for_each_undo(cx: &Cx) -> Outcome {
    let script = Script::new().always(CallSite::Save, Fault::LoseReply);
    let script = script.always(CallSite::Void, Fault::Decline);
    let script = Arc::new(script.always(CallSite::Refund, Fault::Decline));
    let scene = Scene { world: World::new(Arc::clone(&script)), journal: MemoryJournal::new() };
    let (first, process) = {
        let process = Process::new();
        (scene.gateway(&process)?, process)
    };
    cx.call("Gateway::pay", first.pay(request("a"))).await?.value.ok();
    sleep(ms(200_000)).await;
    let steps = |gateway: &Gateway| -> Vec<String> {
        let letters = gateway.dead_letters();
        let undos = letters.iter().filter_map(|letter| match letter.item.as_ref() {
            Undelivered::Undo { step, .. } => Some(step.clone()),
            Undelivered::Receipt(_) => None,
        });
        undos.collect()
    };
    let of_the_first = steps(&first);
    process.kill();
    let heir = scene.gateway(&Process::new())?;
    cx.call("Gateway::recover", recover(&heir, "a parked payment")).await?.value?;
    let of_the_heir = steps(&heir);
    for (whose, steps) in [
        ("the gateway that has parked the payment", &of_the_first),
        ("the gateway that recovers it", &of_the_heir),
    ] {
        let mut different = steps.clone();
        different.sort_unstable();
        different.dedup();
        ensure!(
            steps.len() >= 2 && different.len() == steps.len(),
            "a row cannot be taken back and its charge cannot be refunded: {whose} has other dead letters";
            expected = "one for each step that could not be undone",
            observed = format!("the steps of the dead letters: {steps:?}"),
            help = "SagaOutcome::Parked names every step that is stuck: each is a dead letter, known by its saga and its step"
        );
    }
    script.heal(CallSite::Void);
    script.heal(CallSite::Refund);
    for _ in 0..3 {
        cx.call("Gateway::redrive", heir.redrive()).await?;
    }
    let rows = scene.world.rows().iter().filter(|row| row.status == RowStatus::Completed).count();
    let (net, parked) = (scene.net(), scene.journal.count(Standing::Parked));
    ensure!(
        net == 0 && rows == 0 && parked == 0 && heir.dead_letters().is_empty(),
        "the ledger and the provider work again and the letters are redriven three times: {net} stay charged, {rows} rows stand, {parked} are parked, with {} letters",
        heir.dead_letters().len();
        expected = "nothing charged, no row, none parked, no letter"
    );
    Ok(())
}

/// Parked sagas of another kind are older and younger than the payment that is parked.
async fn looks_behind_strangers(cx: &Cx) -> Outcome {
    let script = Script::new()
        .always(CallSite::Save, Fault::FailBefore)
        .always(CallSite::Refund, Fault::Decline);
    let scene = Scene::new(script);
    let process = Process::new();
    let first = scene.gateway(&process)?;
    for number in 0..3 {
        parks_a_stranger(&scene, number).await?;
        let key = format!("payment {number}");
        cx.call("Gateway::pay", first.pay(request(&key))).await?.value.ok();
        sleep(ms(200_000)).await;
    }
    process.kill();
    let heir = scene.gateway(&Process::new())?;
    cx.call("Gateway::recover", recover(&heir, "parked sagas of two kinds")).await?.value?;
    let of_payments = |letter: &Undelivered| match letter {
        Undelivered::Undo { saga, .. } => Some(saga.clone()),
        Undelivered::Receipt(_) => None,
    };
    let letters = heir.dead_letters();
    let mut payments: Vec<_> =
        letters.iter().filter_map(|letter| of_payments(&letter.item)).collect();
    payments.sort();
    payments.dedup();
    let parked = scene.journal.count(Standing::Parked);
    ensure!(
        parked == 6 && payments.len() == 3 && payments.iter().all(|saga| !saga.as_str().starts_with("ride")),
        "a journal has {parked} parked sagas, three of another kind and three payments by turns: recover() makes dead letters of others";
        expected = "one dead letter at least for each of the three payments",
        observed = format!("letters of {payments:?}"),
        help = "a saga of another kind is left alone; the ones behind it may be payments"
    );
    Ok(())
}

/// A parked saga that is no payment.
async fn parks_a_stranger(scene: &Scene, number: usize) -> Outcome {
    let broken = || Fail::new("the journal in memory does not work");
    let state = Payload::of(&"a ride").map_err(|_| Fail::new("a state cannot be written"))?;
    let first = Record::Begun { kind: "ride".into(), state };
    let opened = scene.journal.open(SagaId::new(&format!("ride-{number}")), first).await;
    let Ok(Opened::New(lease)) = opened else { return Err(broken()) };
    scene.journal.append(&lease, vec![Record::Parked]).await.map_err(|_| broken())
}

/// A recovery that cannot undo a payment says so in its figures.
async fn counts_what_it_parks() -> Outcome {
    let script = || {
        Script::new()
            .always(CallSite::Save, Fault::FailBefore)
            .always(CallSite::Refund, Fault::Decline)
    };
    for point in points(actions(script()).await?) {
        let scene = Scene::new(script());
        scene.crash(point).await?;
        // Charged, and neither recorded nor undone.
        if scene.net() == 0 || scene.journal.count(Standing::Open) == 0 {
            continue;
        }
        let gateway = scene.gateway(&Process::new())?;
        let recovered = recover(&gateway, "a payment that cannot be undone").await?;
        ensure!(
            (recovered.finished, recovered.undone, recovered.parked) == (0, 0, 1),
            "a recovery counts a payment that it cannot undo as something else";
            expected = "parked: 1, and no other payment", observed = format!("{recovered:?}")
        );
        return Ok(());
    }
    Err(Fail::new("no crash leaves a payment that is charged and open"))
}

async fn a_row_to_be_taken_back_brings_no_receipt() -> Outcome {
    // The row is written, and the answer is lost.
    let script = Script::new().always(CallSite::Save, Fault::LoseReply);
    let (scene, _) = left_by_another(script.always(CallSite::Void, Fault::Decline)).await?;
    let gateway = scene.gateway(&Process::new())?;
    recover(&gateway, "a row that cannot be taken back").await?;
    gateway.drain(ms(60_000)).await;
    let (mails, net) = (scene.world.mails().len(), scene.net());
    ensure!(
        mails == 0 && net == 0,
        "a row could not be taken back: {net} stay charged, and {mails} receipts are sent";
        expected = "nothing charged, no receipt",
        help = "an entry of the outbox is owed when its payment is paid: ask the journal"
    );
    Ok(())
}
