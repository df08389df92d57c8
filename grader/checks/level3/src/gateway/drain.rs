//! A gateway that drains: it lets no new payment in, and waits for those under way.

use std::sync::Arc;

use grader_kit::{Cx, Fail, Outcome, dropped_at, ensure, ensure_eq, ms};
use level3::answer::PayError;
use level3::event::NoObserver;
use level3::gateway::{Gateway, GatewayConfig};
use level3::journal::LEASE;
use level3_sim::{CallSite, MortalJournal, Process, Script};
use tokio::time::sleep;

use crate::ill::{Ill, Illness};
use crate::world::{Stage, paid, request, stage};

pub async fn drains(cx: Cx) -> Outcome {
    let stage = stage(&cx, Script::new())?;
    let gateway = stage.gateway.clone();
    let running = tokio::spawn(async move { gateway.pay(request("a")).await });
    sleep(ms(100)).await;
    let (gateway, late) = (stage.gateway.clone(), stage.gateway.clone());
    let draining = tokio::spawn(async move { gateway.drain(ms(60_000)).await });
    sleep(ms(100)).await;
    let reply = cx.call("Gateway::pay", late.pay(request("b"))).await?.value;
    ensure_eq!(
        reply,
        Err(PayError::ShuttingDown),
        "a payment is taken on while the gateway drains"
    );
    let counted = stage.gateway.in_flight();
    ensure_eq!(counted, 1, "in_flight() is wrong while the gateway drains"; help = "count the payments under way, and nothing else");
    let left = draining.await;
    ensure!(matches!(left, Ok(0)), "drain does not wait until all are over"; observed = format!("{left:?}"));
    let paid_for = running.await;
    let Ok(reply) = paid_for else { return Err(Fail::new("pay panics while the gateway drains")) };
    paid(&reply, "although it was under way when the gateway began to drain")?;
    ensure_eq!(stage.world.mails().len(), 1, "drain does not wait for receipts");
    let counted = stage.gateway.in_flight();
    ensure_eq!(counted, 0, "in_flight() is wrong when all are over");
    stays_closed(&cx).await?;
    waits_for_the_recovered(&cx).await?;
    waits_for_what_is_claimed(&cx).await?;
    for left in [Left::Open, Left::Leased, Left::Receipt] {
        leaves_alone_what_is_found_later(&cx, left).await?;
    }
    Ok(())
}

/// The process dies in the middle of a payment, and its lease ends.
async fn leaves_one_payment(cx: &Cx, stage: &Stage) {
    let gateway = stage.gateway.clone();
    let paying = tokio::spawn(async move { gateway.pay(request("a")).await });
    // While the row is written: the payment is past its pivot.
    sleep(ms(cx.draw().between(1010..=1090))).await;
    stage.process.kill();
    paying.abort();
    sleep(LEASE + ms(1)).await;
}

/// A payment that another process has left is under way as well, once it is taken over.
async fn waits_for_the_recovered(cx: &Cx) -> Outcome {
    let stage = stage(cx, Script::new())?;
    leaves_one_payment(cx, &stage).await;
    let (heir, _) = stage.another(GatewayConfig::default())?;
    let recovering = {
        let heir = heir.clone();
        tokio::spawn(async move { heir.recover().await })
    };
    sleep(ms(20)).await;
    let counted = heir.in_flight();
    ensure_eq!(
        counted, 1, "in_flight() while a recovery works on a payment that another process has left";
        help = "a payment that is taken over is under way from then on"
    );
    let left = cx.call("Gateway::drain", heir.drain(ms(60_000))).await?.value;
    let (open, mails) = (stage.open(), stage.world.mails().len());
    ensure!(
        left == 0 && open == 0 && mails == 1,
        "a gateway drains while it recovers a payment: drain returns {left}, with {open} payments open and {mails} receipts sent";
        expected = "0, none open, one receipt: drain waits for payments that are taken over and for their receipts"
    );
    let counted = heir.in_flight();
    ensure_eq!(counted, 0, "in_flight() when the recovered payment is over");
    let recovered = recovering.await;
    ensure!(
        matches!(&recovered, Ok(Ok(recovered)) if recovered.finished == 1),
        "a recovery that was under way when its gateway began to drain does not report its payment";
        expected = "finished: 1", observed = format!("{recovered:?}")
    );
    Ok(())
}

/// The drain begins while a recovery waits to hear that it has claimed a payment.
async fn waits_for_what_is_claimed(cx: &Cx) -> Outcome {
    let stage = stage(cx, Script::new())?;
    leaves_one_payment(cx, &stage).await;
    let process = Process::new();
    let journal = Ill::new(Arc::new(MortalJournal::new(&stage.journal, &process)));
    journal.falls(Some(Illness::GrantsLate(ms(500))));
    let (kept, providers) = (Arc::new(journal), stage.world.providers_of(&process));
    let heir = Gateway::new(GatewayConfig::default(), providers, kept, Arc::new(NoObserver))
        .map_err(|why| Fail::new(format!("Gateway::new refuses a valid configuration: {why}")))?;
    let recovering = {
        let heir = heir.clone();
        tokio::spawn(async move { heir.recover().await })
    };
    sleep(ms(cx.draw().between(50..=450))).await;
    let call = cx.call("Gateway::drain", heir.drain(ms(60_000))).await?;
    let before = stage.wire.calls().len();
    let ended = recovering.await;
    sleep(ms(60_000)).await;
    let after = stage.wire.calls().len();
    ensure!(
        call.value != 0 || after == before,
        "a recovery has claimed a payment and waits for the journal to say so; a drain that begins then returns 0 after {} ms, and {} calls are made for the payment afterwards",
        call.took.as_millis(), after - before;
        expected = "drain waits until the payment and its receipt are over, or the recovery leaves the payment alone",
        observed = format!("recover() returned {ended:?}"),
        help = "count a payment before you claim it, and not when the journal has answered"
    );
    Ok(())
}

/// What a process has left behind, and what a recovery is doing when its gateway begins to drain.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Left {
    /// A payment, while the recovery waits for the journal to list or to show it.
    Open,
    /// A payment whose lease has not ended, while the recovery waits for that.
    Leased,
    /// A receipt in the outbox, while the recovery waits for the journal.
    Receipt,
}

/// The drain begins before the recovery has taken anything over. It may wait for what the recovery will find, or keep
/// the recovery from it; but once it has returned 0, the gateway works on nothing any more.
async fn leaves_alone_what_is_found_later(cx: &Cx, left: Left) -> Outcome {
    let stage = stage(cx, Script::new())?;
    let mut draw = cx.draw();
    match left {
        Left::Open => leaves_one_payment(cx, &stage).await,
        Left::Leased => {
            let gateway = stage.gateway.clone();
            let paying = tokio::spawn(async move { gateway.pay(request("a")).await });
            sleep(ms(draw.between(1010..=1090))).await;
            stage.process.kill();
            paying.abort();
        }
        Left::Receipt => {
            let reply = cx.call("Gateway::pay", stage.gateway.pay(request("a"))).await?.value;
            paid(&reply, "although nothing fails")?;
            stage.process.kill();
            sleep(LEASE + ms(1)).await;
        }
    }
    let process = Process::new();
    let journal = Ill::new(Arc::new(MortalJournal::new(&stage.journal, &process)));
    if left != Left::Leased {
        journal.falls(Some(Illness::Slow(ms(500))));
    }
    let (kept, providers) = (Arc::new(journal), stage.world.providers_of(&process));
    let heir = Gateway::new(GatewayConfig::default(), providers, kept, Arc::new(NoObserver))
        .map_err(|why| Fail::new(format!("Gateway::new refuses the figures: {why}")))?;
    let recovering = {
        let heir = heir.clone();
        tokio::spawn(async move { heir.recover().await })
    };
    sleep(ms(draw.between(50..=450))).await;
    let call = cx.call("Gateway::drain", heir.drain(ms(60_000))).await?;
    let effects =
        || stage.wire.calls().iter().filter(|call| call.site != CallSite::PendingReceipts).count();
    let before = effects();
    // Longer than any lease.
    sleep(LEASE + ms(120_000)).await;
    let after = effects();
    let what = match left {
        Left::Open => "a recovery waits for the journal, which has an open payment",
        Left::Leased => "a recovery waits for the end of a lease",
        Left::Receipt => "a recovery waits for the journal, and there is a receipt in the outbox",
    };
    ensure!(
        call.value != 0 || after == before,
        "{what}; a drain that begins then returns 0 after {} ms, and {} calls are made afterwards",
        call.took.as_millis(), after - before;
        expected = "drain waits for what the recovery takes over, or the recovery takes over nothing more",
        observed = format!("recover() {}", if recovering.is_finished() { "has returned" } else { "still runs" }),
        help = "count a payment, and only then look whether the gateway drains: as for a new payment"
    );
    recovering.abort();
    Ok(())
}

/// How a drain ends before the payments do.
#[derive(Debug, Clone, Copy, PartialEq)]
enum CutShort {
    ByItsLimit,
    ByItsCaller,
}

/// A drain that ends early leaves the gateway closed, and its payments running.
async fn stays_closed(cx: &Cx) -> Outcome {
    let mut draw = cx.draw();
    for cut in [CutShort::ByItsLimit, CutShort::ByItsCaller] {
        let stage = stage(cx, Script::new())?;
        let gateway = stage.gateway.clone();
        let running = tokio::spawn(async move { gateway.pay(request("a")).await });
        sleep(ms(100)).await;
        let at = draw.between(1..=500);
        let when = match cut {
            CutShort::ByItsLimit => {
                let call = cx.call("Gateway::drain", stage.gateway.drain(ms(at))).await?;
                ensure!(
                    call.value == 1 && call.took == ms(at),
                    "drain with a limit of {at} ms returns {} after {} ms while a payment is under way",
                    call.value, call.took.as_millis();
                    expected = format!("1, the number of payments under way, after {at} ms")
                );
                format!("the limit of {at} ms of a drain has passed")
            }
            CutShort::ByItsCaller => {
                dropped_at(cx, "Gateway::drain", at, stage.gateway.drain(ms(60_000))).await?;
                format!("a drain was dropped after {at} ms")
            }
        };
        // While the payment is under way, and when it is over.
        for wait in [0, 3000] {
            sleep(ms(wait)).await;
            let key = format!("b {wait}");
            let reply = cx.call("Gateway::pay", stage.gateway.pay(request(&key))).await?.value;
            ensure_eq!(
                reply,
                Err(PayError::ShuttingDown),
                "{when}, and a new payment is let in";
                help = "a gateway that has begun to drain stays closed, however the drain ends"
            );
        }
        let Ok(reply) = running.await else {
            return Err(Fail::new(format!("{when}, and the payment that was under way panics")));
        };
        paid(&reply, &format!("although it was under way when {when}"))?;
        let left = cx.call("Gateway::drain", stage.gateway.drain(ms(60_000))).await?.value;
        ensure!(
            left == 0 && stage.world.mails().len() == 1,
            "{when}; a second drain returns {left}, with {} receipts sent", stage.world.mails().len();
            expected = "0 and one receipt"
        );
    }
    Ok(())
}
