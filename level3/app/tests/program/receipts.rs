//! How often a customer gets a receipt, with a mail service that sends a mail for each request. The
//! figures that the tests print are those of `level3/README.md`.

use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};

use level3_sim::{NoFaults, World};
use process_kit::{Running, run};

use crate::oracles::{self, block_on};
use crate::process::{Place, dice};

const KILLS: u32 = 20;

/// What a series of kills has led to.
#[derive(Debug, Default)]
struct Receipts {
    /// Receipts that were sent at least once.
    sent: usize,
    /// Receipts that were being sent when a process was killed, or whose outcome was unknown then.
    in_doubt: usize,
    /// Mails beyond the first of a receipt.
    repeated: usize,
    /// The most mails of one receipt.
    most: usize,
}

/// Kills the program while it sends receipts, and lets a last one finish.
fn killed(place: &Place, options: &str) -> Receipts {
    let (mut dice, mut receipts) = (dice(), Receipts::default());
    for _ in 0..KILLS {
        let seed = dice.below(1_000_000);
        let line =
            format!("--payments 100000 --rate 400 --failure-rate 10 --seed {seed} {options}");
        let running = Running::start(place.program(&line));
        sends_receipts(place);
        thread::sleep(Duration::from_millis(dice.below(300)));
        running.kill();
        receipts.in_doubt += counts(place).1;
    }
    let last = run(place.program(&format!("--payments 20 --json --failure-rate 0 {options}")));
    let pending = &last.json()["books"]["receipts_pending"];
    assert_eq!(*pending, 0, "{last:#?}");
    let world = World::new(NoFaults).kept_in(&place.simulated()).unwrap();
    let mut mails: HashMap<_, usize> = HashMap::new();
    for mail in world.mails() {
        *mails.entry(mail.transaction).or_default() += 1;
    }
    receipts.sent = mails.len();
    receipts.repeated = mails.values().map(|mails| mails - 1).sum();
    receipts.most = mails.values().copied().max().unwrap_or_default();
    receipts
}

/// Waits until the program has sent a receipt.
fn sends_receipts(place: &Place) {
    let mails =
        || World::new(NoFaults).kept_in(&place.simulated()).map_or(0, |world| world.mails().len());
    let (before, begun) = (mails(), Instant::now());
    while mails() == before {
        assert!(begun.elapsed() < Duration::from_secs(120), "no receipt is sent");
        thread::sleep(Duration::from_millis(20));
    }
}

/// The number of receipts in the outbox, and of those in doubt.
fn counts(place: &Place) -> (usize, usize) {
    let counts = block_on(async { oracles::open(&place.url).await.counts().await.unwrap() });
    (counts.receipts as usize, counts.receipts_in_doubt as usize)
}

#[test]
fn with_a_feed_no_receipt_is_sent_twice() {
    let place = Place::sqlite();
    let receipts = killed(&place, "");
    println!("{KILLS} kills, with a feed: {receipts:?}");
    assert!(receipts.sent > KILLS as usize && receipts.in_doubt > 0, "{receipts:?}");
    assert_eq!((receipts.repeated, receipts.most), (0, 1), "{receipts:?}");
    oracles::check(&place);
}

/// Without a feed a receipt may be sent twice, and only one that was in doubt.
#[test]
fn without_a_feed_only_receipts_in_doubt_are_repeated() {
    let place = Place::sqlite();
    // Without failures each doubt is that of a kill.
    let receipts = killed(&place, "--no-mail-feed --failure-rate 0");
    println!("{KILLS} kills, without a feed: {receipts:?}");
    assert!(receipts.sent > KILLS as usize && receipts.in_doubt > 0, "{receipts:?}");
    assert!(receipts.repeated <= receipts.in_doubt, "{receipts:?}");
}
