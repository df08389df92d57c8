//! What one gateway finishes for another.

use std::sync::Arc;
use std::time::Duration;

use level3::event::NoObserver;
use level3::gateway::{Gateway, GatewayConfig, Recovered};
use level3::journal::{MemoryJournal, Standing};
use level3_sim::{CallSite, Fault, MortalJournal, NoFaults, Process, Script, World};
use tokio::time::{Instant, sleep};

use crate::request::request;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn gateway(world: &World, process: &Process, journal: &MemoryJournal) -> Gateway {
    let journal = Arc::new(MortalJournal::new(journal, process));
    let providers = world.providers_of(process);
    Gateway::new(GatewayConfig::default(), providers, journal, Arc::new(NoObserver))
        .expect("valid figures")
}

/// The lease of a living owner lasts 20 s and more. No caller waits for that once the payment has ended.
#[tokio::test(start_paused = true)]
async fn what_another_one_ends_is_not_waited_for_any_longer() {
    let (world, journal) = (World::new(NoFaults), MemoryJournal::new());
    let owner = gateway(&world, &Process::new(), &journal);
    let paying = tokio::spawn(async move { owner.pay(request("a")).await });
    sleep(ms(300)).await;
    let begun = Instant::now();
    let other = gateway(&world, &Process::new(), &journal);
    let recovered = other.recover().await.unwrap();
    assert_eq!(Recovered { receipts: 0, ..recovered }, Recovered::default(), "not its payment");
    // The rest of 1100 ms, and the time until it checks again.
    assert!(begun.elapsed() <= ms(800 + 1000), "{:?}", begun.elapsed());
    assert!(paying.await.unwrap().is_ok());
    assert_eq!(journal.count(Standing::Open), 0);
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_receipts_that_were_taken_up() {
    let (world, journal) = (World::new(NoFaults), MemoryJournal::new());
    let killed = Process::new();
    gateway(&world, &killed, &journal).pay(request("a")).await.unwrap();
    killed.kill();
    assert_eq!(world.mails().len(), 0);
    let heir = gateway(&world, &Process::new(), &journal);
    assert_eq!(heir.recover().await.unwrap().receipts, 1);
    assert_eq!(heir.drain(ms(10_000)).await, 0);
    assert_eq!((world.mails().len(), world.outbox()), (1, 0));
}

/// No client waits for the answer of a payment that is recovered, but a drain waits for its end.
#[tokio::test(start_paused = true)]
async fn recovered_payments_are_under_way() {
    let script = Script::new().always(CallSite::Refund, Fault::FailBefore);
    let (world, journal) = (World::new(script), MemoryJournal::new());
    let killed = Process::new();
    let first = gateway(&world, &killed, &journal);
    tokio::select! {
        _ = first.pay(request("a")) => unreachable!("it takes 1100 ms"),
        () = sleep(ms(800)) => killed.kill(),
    }
    sleep(ms(25_000)).await;
    let heir = gateway(&world, &Process::new(), &journal);
    {
        let recovering = heir.recover();
        tokio::select! {
            _ = recovering => unreachable!("a step takes 100 ms"),
            () = sleep(ms(10)) => {}
        }
    }
    assert_eq!(heir.in_flight(), 1);
    assert_eq!(heir.drain(ms(20)).await, 1);
    assert_eq!(heir.in_flight(), 1, "the drain itself is no payment");
    assert_eq!(heir.drain(ms(200_000)).await, 0);
    assert_eq!(journal.count(Standing::Open), 0);
}
