//! `kill -9` at any moment, again and again, and what is left in the end.

use std::collections::{HashMap, HashSet};
use std::thread;
use std::time::Duration;

use process_kit::{Dice, Running};

use crate::process::{Place, balance};

/// How many times the program is killed: `EVENT_PROCESSOR_KILLS`, or so many.
const KILLS: u64 = 100;
/// The most events that are pending: the threshold and the reserve of critical ones.
const PENDING: u64 = 2000 + 200;

/// Reads the ids of a file of the sink. The last line is cut if the program died while it wrote it.
fn delivered(place: &Place) -> HashMap<String, u64> {
    let mut delivered = HashMap::new();
    for line in std::fs::read_to_string(place.file("out")).unwrap_or_default().lines() {
        // A line that was cut is followed by the next one without a line feed.
        let starts = line.rfind("{\"id\"").unwrap_or(0);
        if let Ok(line) = serde_json::from_str::<serde_json::Value>(&line[starts..]) {
            *delivered.entry(line["id"].as_str().unwrap().to_owned()).or_insert(0) += 1;
        }
    }
    delivered
}

#[test]
fn what_was_accepted_is_delivered() {
    let place = Place::new();
    let mut dice = Dice::of_variable("EVENT_PROCESSOR_SEED");
    let kills =
        std::env::var("EVENT_PROCESSOR_KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    let mut accepted = HashSet::new();
    for round in 0..kills {
        let program = format!(
            "--events 100000000 --id-prefix round-{round} --acks --sink lines:out --batch 50 --threshold 2000 --rate 20000 --journal-limit 8"
        );
        let running = Running::start(place.program(&program));
        // In the start, in the recovery, or in the stream; every second time in the stream for certain, however slow
        // the machine is.
        if round % 2 == 1 {
            running.stdout.has_begun();
        }
        thread::sleep(Duration::from_millis(dice.below(500)));
        let printed = running.kill().stdout;
        // The last line may be cut.
        let whole = printed.rfind('\n').map_or("", |end| &printed[..end]);
        accepted.extend(whole.lines().map(str::to_owned));
    }
    let last = place.run("--events 100 --id-prefix last --sink lines:out --json");
    assert_eq!(last.code, Some(0), "{last:#?}");
    balance(&last);
    let delivered = delivered(&place);
    let lost: Vec<_> = accepted.iter().filter(|id| !delivered.contains_key(*id)).collect();
    let repeated: u64 = delivered.values().map(|times| times - 1).sum();
    println!(
        "killed {kills} times: {} accepted, {} delivered, {repeated} repeated",
        accepted.len(),
        delivered.len()
    );
    assert!(lost.is_empty(), "{} of {} are lost: {lost:?}", lost.len(), accepted.len());
    assert!(accepted.len() as u64 > kills * 10, "hardly anything was accepted");
    // A repeat is an event whose end was not in the journal when the program died.
    assert!(repeated <= kills * PENDING, "{repeated} were delivered again");
}
