//! Payments that leave room for others.

use std::num::NonZeroUsize;
use std::sync::Arc;

use grader_kit::{Cx, Fail, Outcome, ensure, ms};
use level3::answer::PayError;
use level3::event::NoObserver;
use level3::gateway::{Gateway, GatewayConfig};
use level3::journal::MemoryJournal;
use level3_sim::{CallSite, Fault, Script, World};
use tokio::time::sleep;

use super::Told;
use crate::ill::{Ill, Illness};
use crate::world::{is_paid, request};

/// Fewer than a second of the account allows.
const MANY: u32 = 40;

fn gateway(world: &World, journal: &MemoryJournal, config: GatewayConfig) -> Result<Gateway, Fail> {
    let journal = Arc::new(journal.clone());
    Gateway::new(config, world.providers(), journal, Arc::new(NoObserver))
        .map_err(|why| Fail::new(format!("Gateway::new refuses a valid configuration: {why}")))
}

fn was_paid(told: &Told) -> bool {
    matches!(told, Ok(reply) if is_paid(&reply.answer.status))
}

/// Payments that come at once, and the answer to each.
async fn at_once(cx: &Cx, gateway: &Gateway, name: &str, many: u32) -> Result<Vec<Told>, Fail> {
    let payments = (0..many).map(|number| {
        let gateway = gateway.clone();
        let key = format!("{name} {number}");
        async move { gateway.pay(request(&key)).await }
    });
    let payments = futures::future::join_all(payments.collect::<Vec<_>>());
    Ok(cx.call("Gateway::pay", payments).await?.value)
}

/// A call takes longer than any reservation may: one payment at a time is admitted anyway.
pub async fn slow_accounts_accept_a_payment(cx: &Cx) -> Outcome {
    let config =
        GatewayConfig { rate: NonZeroUsize::MIN, max_backlog: ms(500), ..GatewayConfig::default() };
    let (world, journal) = (World::new(Script::new()), MemoryJournal::new());
    let gateway = gateway(&world, &journal, config)?;
    for number in 1..=3 {
        let key = format!("slow {number}");
        let told = cx.call("Gateway::pay", gateway.pay(request(&key))).await?.value;
        ensure!(
            was_paid(&told),
            "an account with one call a second and a max_backlog of 500 ms: payment {number}, which comes alone, is not paid";
            expected = "paid: an account without reservations accepts a payment, however slow it is",
            observed = format!("{told:?}"),
            help = "Backlog::reserve says what an account without reservations accepts"
        );
        sleep(ms(10_000)).await;
    }
    Ok(())
}

/// Receipts that are being sent for long take no places of payments.
pub async fn slow_receipts_take_no_room(cx: &Cx) -> Outcome {
    let max_in_flight = u32::try_from(cx.draw().between(4..=12)).unwrap_or(4);
    let config = GatewayConfig { max_in_flight, ..GatewayConfig::default() };
    let script = Script::new().always(CallSite::Receipt, Fault::Hang);
    let (world, journal) = (World::new(script), MemoryJournal::new());
    let gateway = gateway(&world, &journal, config)?;
    for number in 0..3 * max_in_flight {
        let key = format!("hangs {number}");
        let told = cx.call("Gateway::pay", gateway.pay(request(&key))).await?.value;
        ensure!(
            was_paid(&told),
            "with max_in_flight {max_in_flight} and a mail service that hangs, payment {} of payments one after another is not paid", number + 1;
            expected = "paid: a receipt that has begun is no payment under way", observed = format!("{told:?}"),
            help = "drop the payment's place when the receipt has a place of its own (GatewayConfig::max_receipts)"
        );
    }
    Ok(())
}

/// A gateway that has just been started is asked for many payments that another one has answered: none of them
/// makes a call.
pub async fn repeats_take_no_room(cx: &Cx) -> Outcome {
    let (world, journal) = (World::new(Script::new()), MemoryJournal::new());
    let first = gateway(&world, &journal, GatewayConfig::default())?;
    let told = at_once(cx, &first, "known", MANY).await?;
    ensure!(
        told.iter().all(was_paid),
        "{MANY} payments that come at once to an idle gateway are not all paid"
    );
    sleep(ms(10_000)).await;
    let second = gateway(&world, &journal, GatewayConfig::default())?;
    let repeats = at_once(cx, &second, "known", MANY).await?;
    let refused = repeats.iter().filter(|told| !was_paid(told)).count();
    ensure!(
        refused == 0, "{refused} of {MANY} repeats to a gateway that was just started are not answered as paid";
        expected = "the answer that the journal has"
    );
    let told = at_once(cx, &second, "new", MANY).await?;
    let refused =
        told.iter().filter(|told| matches!(told, Err(PayError::Overloaded { .. }))).count();
    ensure!(
        told.iter().all(was_paid),
        "{MANY} payments come at once, right after {MANY} repeats that the journal answers: {refused} are Overloaded";
        expected = "all paid: a repeat makes no call",
        observed = format!("{:?}", told.iter().find(|told| !was_paid(told))),
        help = "release the calls of a payment when you learn that it was begun before"
    );
    refused_ones_take_no_room(cx).await
}

/// Payments whose first record cannot be written end before their first call.
async fn refused_ones_take_no_room(cx: &Cx) -> Outcome {
    let (world, journal) = (World::new(Script::new()), Ill::new(Arc::new(MemoryJournal::new())));
    let kept = Arc::new(journal.clone());
    let gateway =
        Gateway::new(GatewayConfig::default(), world.providers(), kept, Arc::new(NoObserver))
            .map_err(|why| {
                Fail::new(format!("Gateway::new refuses a valid configuration: {why}"))
            })?;
    journal.falls(Some(Illness::Unavailable));
    at_once(cx, &gateway, "lost", MANY).await?;
    journal.falls(None);
    let told = at_once(cx, &gateway, "new", MANY).await?;
    let refused = told.iter().filter(|told| !was_paid(told)).count();
    ensure!(
        refused == 0 && world.all_calls() >= 2 * MANY,
        "the journal was away for {MANY} payments and is back: {refused} of {MANY} payments that come at once are not paid";
        expected = "all paid: a payment whose first record is not written makes no call",
        observed = format!("{:?}", told.iter().find(|told| !was_paid(told))),
        help = "release the calls of a payment that does not begin"
    );
    Ok(())
}
