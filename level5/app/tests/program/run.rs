//! Whole runs: all that is accepted is delivered, and Ctrl-C leaves nothing behind.

use process_kit::Running;

use crate::process::{Balance, Place, balance};

#[test]
fn a_run_delivers_all() {
    let place = Place::new();
    for journal in ["memory", "events.journal"] {
        let ended = place.run(&format!("--events 20000 --json --journal {journal}"));
        assert_eq!(ended.code, Some(0), "{ended:#?}");
        let all = Balance { accepted: 20_000, delivered: 20_000, dead: 0, pending: 0 };
        assert_eq!(balance(&ended), all);
        assert_eq!(ended.json()["repeated"], 0);
    }
    assert_eq!(place.segments().len(), 1, "the journal is empty");
}

#[test]
fn a_summary_is_for_people() {
    let place = Place::new();
    let ended = place.run("--events 100 --reject-rate 100");
    assert_eq!(ended.code, Some(1), "{ended:#?}");
    let counts = "100 accepted = 0 delivered + 100 dead + 0 pending; 0 lost";
    assert!(ended.stdout.contains(counts), "{ended:#?}");
    assert!(ended.stdout.contains("dead-letters lists"), "{ended:#?}");
}

#[test]
fn services_that_fail_get_events_again() {
    let place = Place::new();
    let ended = place
        .run("--events 20000 --failure-rate 20 --retry-wait 20 --attempts 30 --batch 100 --json");
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert_eq!(balance(&ended).delivered, 20_000);
    let json = ended.json();
    // Half of the failures are answers that were lost.
    assert!(json["failed_batches"].as_u64() > Some(10), "{json:#}");
    assert!(json["repeated"].as_u64() > Some(100), "{json:#}");
}

#[test]
fn dead_letters_outlive_the_program_and_can_be_sent_again() {
    let place = Place::new();
    let first = place.run("--events 1000 --reject-rate 10 --json");
    let dead = balance(&first).dead;
    assert!(first.code == Some(1) && (50..200).contains(&dead), "{first:#?}");

    let listed = place.run("dead-letters");
    assert_eq!((listed.code, listed.stdout.lines().count() as u64), (Some(1), dead));
    assert!(listed.stdout.contains("1 attempts at "), "{listed:#?}");
    let listed = place.run("dead-letters --json");
    let line: serde_json::Value =
        serde_json::from_str(listed.stdout.lines().next().unwrap()).unwrap();
    assert_eq!(line["reason"], "the simulated service refuses it");

    // Still refused: they stay.
    let again = place.run("--events 0 --reject-rate 100 --redrive --json");
    assert_eq!((again.code, balance(&again).dead), (Some(1), dead), "{again:#?}");
    let last = place.run("--events 0 --redrive --json");
    assert_eq!(last.code, Some(0), "{last:#?}");
    assert_eq!(balance(&last), Balance { accepted: dead, delivered: dead, dead: 0, pending: 0 });
    assert_eq!(place.run("dead-letters").code, Some(0));
}

#[test]
fn ctrl_c_drains() {
    let place = Place::new();
    let running =
        Running::start(place.program("--events 100000000 --rate 5000 --latency 20 --json"));
    place.has_bytes(50_000);
    running.interrupt();
    let ended = running.end();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let balance = balance(&ended);
    assert!(balance.accepted > 100 && balance.accepted < 1_000_000, "{balance:?}");
    assert_eq!((balance.pending, balance.dead), (0, 0));
}

#[test]
fn ctrl_c_twice_ends_at_once_and_the_next_start_goes_on() {
    let place = Place::new();
    // A service that does not answer for an hour: the drain would take its minute.
    let running = Running::start(place.program("--events 1000 --latency 3600000"));
    place.has_bytes(100_000);
    running.interrupt();
    // The system merges two signals if the program has not taken the first one.
    running.stderr.says("Ctrl-C again ends at once");
    running.interrupt();
    let ended = running.end();
    assert_eq!(ended.code, Some(130), "{ended:#?}");
    assert!(ended.stderr.contains("The next start delivers"), "{ended:#?}");
    let next = place.run("--events 0 --json");
    assert_eq!(next.code, Some(0), "{next:#?}");
    let balance = balance(&next);
    assert!(balance.accepted > 500 && balance.delivered == balance.accepted, "{balance:?}");
}

#[test]
fn what_cannot_be_delivered_in_time_stays() {
    let place = Place::new();
    let ended = place.run("--events 500 --latency 3600000 --drain 0 --json");
    assert_eq!(ended.code, Some(1), "{ended:#?}");
    assert_eq!(balance(&ended), Balance { accepted: 500, delivered: 0, dead: 0, pending: 500 });
    let next = place.run("--events 10 --json");
    assert_eq!(balance(&next).delivered, 510, "{next:#?}");
}

#[cfg(not(feature = "nats"))]
#[test]
fn a_program_without_nats_says_how_to_build_one_with_it() {
    let place = Place::new();
    let ended = place.run("--events 1 --journal nats://127.0.0.1:4222/events");
    assert_eq!(ended.code, Some(2), "{ended:#?}");
    assert!(ended.stderr.contains("--features nats"), "{ended:#?}");
}
