//! What becomes of dead letters when they are tried again.

use std::sync::Arc;

use grader_kit::{Cx, Outcome, ensure, ms};
use level3::gateway::{Gateway, Undelivered};
use level3::journal::{Journal as _, MemoryJournal, Standing};
use level3_sim::{CallSite, Fault, Process, Script, World};
use tokio::time::sleep;

use super::{Scene, recover};
use crate::world::request;

/// What the letters are about, in an order of its own.
fn letters(gateway: &Gateway) -> Vec<String> {
    let letters = gateway.dead_letters();
    let mut about: Vec<String> = letters
        .iter()
        .map(|letter| match letter.item.as_ref() {
            Undelivered::Undo { saga, step } => format!("undo {step} of {}", saga.as_str()),
            Undelivered::Receipt(pending) => format!("receipt of {}", pending.payment.as_str()),
        })
        .collect();
    about.sort();
    about
}

/// Payments whose undo is parked, a payment whose receipt was not sent, and the gateway that has their letters.
async fn with_letters(cx: &Cx) -> Result<(Scene, Arc<Script>, Gateway), grader_kit::Fail> {
    let script = Arc::new(Script::new().always(CallSite::Receipt, Fault::FailBefore));
    let scene = Scene { world: World::new(Arc::clone(&script)), journal: MemoryJournal::new() };
    let gateway = scene.gateway(&Process::new())?;
    cx.call("Gateway::pay", gateway.pay(request("paid"))).await?.value.ok();
    script.add(CallSite::Save, Fault::FailBefore);
    script.add(CallSite::Refund, Fault::Decline);
    for key in ["parked", "parked as well"] {
        cx.call("Gateway::pay", gateway.pay(request(key))).await?.value.ok();
        // Longer than a breaker stays open.
        sleep(ms(100_000)).await;
    }
    Ok((scene, script, gateway))
}

/// A redrive that fails leaves each letter as it was, and adds none; a redrive at another gateway does not deliver it.
pub async fn stay_until_the_payment_has_ended(cx: &Cx) -> Outcome {
    let (scene, _, gateway) = with_letters(cx).await?;
    let heir = scene.gateway(&Process::new())?;
    cx.call("Gateway::recover", recover(&heir, "two parked payments")).await?.value?;
    for (whose, gateway) in [
        ("the gateway that has parked the payments", &gateway),
        ("a gateway that has recovered them", &heir),
    ] {
        let before = letters(gateway);
        for time in ["once", "twice"] {
            let redriven = cx.call("Gateway::redrive", gateway.redrive()).await?.value;
            sleep(ms(60_000)).await;
            let after = letters(gateway);
            ensure!(
                after == before && redriven.delivered == 0,
                "two undos are parked and a receipt is not sent; {whose} redrives them {time}, and nothing works yet";
                expected = format!("no letter delivered, and the same {} letters as before: {before:?}", before.len()),
                observed = format!("{redriven:?}, and {} letters: {after:?}", after.len()),
                help = "a redrive that fails keeps its letter: it is no new letter, and the other letters of the payment are there already"
            );
        }
    }
    a_busy_payment_keeps_them(cx).await
}

/// Two gateways have the letters of one payment. While one of them redrives it, the other does so as well, and the
/// attempt of the first fails.
async fn a_busy_payment_keeps_them(cx: &Cx) -> Outcome {
    for (delay, second) in [(100, "while the first works on it"), (0, "at the same time")] {
        let (scene, script, first) = with_letters(cx).await?;
        let other = scene.gateway(&Process::new())?;
        cx.call("Gateway::recover", recover(&other, "two parked payments")).await?.value?;
        // Each attempt gets no answer, and the undos are parked once more.
        script.heal(CallSite::Refund);
        script.add(CallSite::Refund, Fault::Hang);
        let both = async {
            tokio::join!(first.redrive(), async {
                sleep(ms(delay)).await;
                other.redrive().await
            })
        };
        let (one, two) = cx.call("two Gateway::redrive", both).await?.value;
        sleep(ms(400_000)).await;
        let parked = scene.journal.list(Standing::Parked).await.unwrap_or_default();
        for (whose, redriven, gateway) in [("first", one, &first), ("second", two, &other)] {
            let kept = letters(gateway);
            let lost = parked
                .iter()
                .find(|saga| !kept.iter().any(|letter| letter.ends_with(saga.as_str())));
            ensure!(
                lost.is_none(),
                "two gateways have the letters of a parked payment; one redrives it, and the other does so {second}. It is not undone, and the {whose} has no letter of it any more";
                expected = "a letter of each payment that is still parked: it is delivered when the payment has ended, and not before",
                observed = format!("{redriven:?}, letters {kept:?}, parked {parked:?}"),
                help = "Claimed::Busy says that another process works on the payment, and not that it succeeds"
            );
        }
        script.heal(CallSite::Refund);
        script.heal(CallSite::Receipt);
        for _ in 0..3 {
            cx.call("Gateway::redrive", first.redrive()).await?;
            cx.call("Gateway::redrive", other.redrive()).await?;
            sleep(ms(61_000)).await;
        }
        let parked = scene.journal.count(Standing::Parked);
        let left = [letters(&first), letters(&other)].concat();
        ensure!(
            parked == 0 && left.is_empty(),
            "everything works again and both gateways redrive three times: {parked} payments are parked, and {} letters are left", left.len();
            expected = "none", observed = format!("{left:?}")
        );
    }
    Ok(())
}
