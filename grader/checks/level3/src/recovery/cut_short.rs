//! Recoveries that are cut short: by their lease, their journal, or their caller.

use std::sync::Arc;
use std::time::Duration;

use grader_kit::{Cx, Fail, Outcome, dropped_at, ensure, ms};
use level3::answer::PayError;
use level3::event::NoObserver;
use level3::gateway::{Gateway, GatewayConfig};
use level3::journal::{LEASE, Standing};
use level3_sim::{CallSite, Fault, MortalJournal, Process, Script};
use tokio::time::sleep;

use super::{Scene, recover};
use crate::ill::{Ill, Illness};
use crate::world::{paid, request};

/// How long after the end of its lease a recovery writes its next record.
const TOO_LATE: Duration = Duration::from_secs(5);

/// Longer than the calls of a payment that are left.
const REST: Duration = Duration::from_secs(60);

/// A payment whose process has died while it charged, and whose lease has ended.
async fn left_open() -> Result<Scene, Fail> {
    let scene = Scene::new(Script::new());
    let process = Process::new();
    let gateway = scene.gateway(&process)?;
    let paying = tokio::spawn(async move { gateway.pay(request("a")).await });
    sleep(ms(800)).await;
    process.kill();
    paying.abort();
    sleep(LEASE + ms(1)).await;
    Ok(scene)
}

/// A gateway of a new process, and its journal.
fn patient(scene: &Scene) -> Result<(Gateway, Ill), Fail> {
    let process = Process::new();
    let journal = Ill::new(Arc::new(MortalJournal::new(&scene.journal, &process)));
    let (kept, providers) = (Arc::new(journal.clone()), scene.world.providers_of(&process));
    let gateway = Gateway::new(GatewayConfig::default(), providers, kept, Arc::new(NoObserver))
        .map_err(|why| Fail::new(format!("Gateway::new refuses a valid configuration: {why}")))?;
    Ok((gateway, journal))
}

/// A recovery is so slow in the middle of a payment that its lease ends, and another one ends the payment.
pub async fn a_lost_lease_is_no_error(cx: &Cx) -> Outcome {
    let scene = left_open().await?;
    let (slow, journal) = patient(&scene)?;
    let gateway = slow.clone();
    let recovering = tokio::spawn(async move { gateway.recover().await });
    // The payment is claimed, and a call of it is under way.
    sleep(ms(20)).await;
    journal.falls(Some(Illness::Slow(LEASE + TOO_LATE)));
    let when = "a recovery loses a payment to another one, since its lease has ended";
    let other = scene.gateway(&Process::new())?;
    let taken = cx.call("Gateway::recover", recover(&other, when)).await?.value?;
    let recovered = cx.call("Gateway::recover", recovering).await?.value;
    let Ok(recovered) = recovered else {
        return Err(Fail::new(format!("{when}: recover() panics")));
    };
    ensure!(
        recovered.is_ok(), "{when}: recover() fails";
        expected = "Ok: the journal works, and the other recovery reports the payment",
        observed = format!("{recovered:?}"),
        help = "SagaError::Fenced says that another process owns the saga now: go on with the others"
    );
    let (here, there) =
        (recovered.map(|it| it.finished + it.undone + it.parked), taken.finished + taken.undone);
    ensure!(
        here == Ok(0) && there == 1, "{when}: the two report other numbers of payments";
        expected = "0 and 1: the one that ends the payment counts it", observed = format!("{here:?} and {there}")
    );
    sleep(REST).await;
    scene.check(when)?;
    an_outage_is_an_error(cx).await
}

/// The journal goes away in the middle of a recovery.
async fn an_outage_is_an_error(cx: &Cx) -> Outcome {
    let scene = left_open().await?;
    let (gateway, journal) = patient(&scene)?;
    let recovering = {
        let gateway = gateway.clone();
        tokio::spawn(async move { gateway.recover().await })
    };
    sleep(ms(20)).await;
    journal.falls(Some(Illness::Unavailable));
    let recovered = cx.call("Gateway::recover", recovering).await?.value;
    ensure!(
        matches!(recovered, Ok(Err(PayError::JournalUnavailable))),
        "the journal goes away while recover() is in the middle of a payment";
        expected = "Err(JournalUnavailable): the payment is still open", observed = format!("{recovered:?}"),
        help = "after Ok, an operator does not call recover() again"
    );
    journal.falls(None);
    sleep(LEASE + REST).await;
    let when = "the journal went away in the middle of a recovery, and is back";
    cx.call("Gateway::recover", recover(&gateway, when)).await?.value?;
    scene.check(when)?;
    let next = cx.call("Gateway::pay", gateway.pay(request("b"))).await?.value;
    paid(&next, "after a recovery that has failed")
}

/// How far an owner comes that lives when the recovery begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dies {
    /// While the card is charged: the charge is not recorded.
    Charging,
    /// While the row is written: the charge is recorded, and there is no row yet.
    Writing,
    /// The row is there, and its answer is not.
    Written,
}

/// A payment has an owner when the recovery begins. The owner writes on, which renews its lease, and dies then: what it
/// has written meanwhile counts.
pub async fn outlives_an_owner(cx: &Cx) -> Outcome {
    let mut draw = cx.draw();
    for dies in [Dies::Charging, Dies::Writing, Dies::Written] {
        let script = match dies {
            // It takes effect, and no answer comes.
            Dies::Written => Script::new().on(CallSite::Save, 1, Fault::SwallowReply),
            _ => Script::new(),
        };
        let dies_at = draw.between(match dies {
            Dies::Charging => 710..=990,
            Dies::Writing => 1010..=1090,
            Dies::Written => 1110..=1900,
        });
        // While the intent is made, or while the fraud check runs.
        let begins_at = draw.between(50..=650);
        let scene = Scene::new(script);
        let process = Process::new();
        let owner = scene.gateway(&process)?;
        let paying = tokio::spawn(async move { owner.pay(request("a")).await });
        sleep(ms(begins_at)).await;
        let gateway = scene.gateway(&Process::new())?;
        let death = async {
            sleep(ms(dies_at - begins_at)).await;
            process.kill();
            paying.abort();
        };
        let how = match dies {
            Dies::Charging => "in the middle of the charge",
            Dies::Writing => "after it has recorded the charge",
            Dies::Written => "after the row was written",
        };
        let when = format!(
            "recover() begins {begins_at} ms after a payment, whose owner lives until {dies_at} ms and dies {how}"
        );
        let both = async { tokio::join!(recover(&gateway, &when), death).0 };
        let recovered = cx.call("Gateway::recover", both).await?.value?;
        sleep(REST).await;
        scene.check(&when)?;
        let is_due = dies != Dies::Charging;
        ensure!(
            !is_due || (recovered.finished == 1 && scene.net() == 1999),
            "{when}: the payment is not finished";
            expected = "paid: the charge is recorded, before the recovery has claimed the payment",
            observed = format!("{recovered:?}, {} charged", scene.net()),
            help = "Journal::claim returns the log as of the claim; one that was read before it is old"
        );
    }
    Ok(())
}

/// The caller drops a recovery that has claimed a payment: the payment is brought to its end by that gateway, and
/// not after its lease by another one.
pub async fn a_dropped_recovery_goes_on(cx: &Cx) -> Outcome {
    for at in [20, cx.draw().between(1..=90)] {
        let scene = left_open().await?;
        let gateway = scene.gateway(&Process::new())?;
        dropped_at(cx, "Gateway::recover", at, gateway.recover()).await?;
        sleep(LEASE / 2).await;
        let when = format!("recover() was dropped after {at} ms, in the middle of a payment");
        let open = scene.journal.count(Standing::Open);
        ensure!(
            open == 0, "{when}, and 10 s later the payment is open";
            expected = "ended: the payments that were claimed go on without the caller",
            help = "recover each payment in a task of its own, and detach it when the caller goes away"
        );
        sleep(REST).await;
        scene.check(&when)?;
    }
    Ok(())
}
