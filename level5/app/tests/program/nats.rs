//! The program on a stream that several processes share.

use std::collections::HashSet;

use process_kit::{Running, eventually};

use crate::nats_server::Nats;

use crate::process::{Place, balance};

/// The ids of the lines of a file of the sink.
fn delivered(place: &Place) -> HashSet<String> {
    let out = std::fs::read_to_string(place.file("out")).unwrap_or_default();
    let lines = out.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    lines.map(|line| line["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_stream_keeps_what_one_program_leaves_for_the_next() {
    let Some(nats) = Nats::start() else { return };
    let (place, journal) =
        (Place::new(), format!("--journal-limit 64 --journal {}", nats.address("events")));
    let first = place
        .run(&format!("--events 2000 --id-prefix a --latency 3600000 --drain 0 --json {journal}"));
    assert_eq!(first.code, Some(1), "{first:#?}");
    assert_eq!(balance(&first).pending, 2000);
    let next = place.run(&format!("--events 100 --reject-rate 100 --json {journal}"));
    assert_eq!(next.code, Some(1), "{next:#?}");
    assert_eq!(next.json()["recovered"]["pending"], 2000);
    assert_eq!(balance(&next).dead, 2100);
    let letters = place.run(&format!("dead-letters {journal}"));
    assert_eq!((letters.code, letters.stdout.lines().count()), (Some(1), 2100), "{letters:#?}");
    let last = place.run(&format!("--events 0 --redrive --json {journal}"));
    assert_eq!(last.code, Some(0), "{last:#?}");
    assert_eq!(balance(&last).delivered, 2100);
    let letters = place.run(&format!("dead-letters {journal}"));
    assert_eq!((letters.code, letters.stdout.as_str()), (Some(0), ""));
}

#[test]
fn a_program_takes_over_the_events_of_a_killed_one() {
    let Some(nats) = Nats::start() else { return };
    let place = Place::new();
    let journal = format!("--lease 1 --journal-limit 64 --journal {}", nats.address("events"));
    // Its services never answer.
    let dies = Running::start(place.program(&format!(
        "--events 1000000 --rate 2000 --id-prefix a --acks --latency 3600000 {journal}"
    )));
    dies.stdout.has_begun();
    let printed = dies.kill().stdout;
    let whole = printed.rfind('\n').map_or("", |end| &printed[..end]);
    let accepted: HashSet<_> = whole.lines().map(str::to_owned).collect();
    let next = place.run(&format!("--events 10 --id-prefix b --sink lines:out --json {journal}"));
    assert_eq!(next.code, Some(0), "{next:#?}");
    let stream = &next.json()["stream"];
    assert_eq!(stream["lane"], 1, "the first one may still be alive: {next:#?}");
    assert!(stream["taken_over"].as_u64() >= Some(accepted.len() as u64), "{next:#?}");
    balance(&next);
    let delivered = delivered(&place);
    assert!(accepted.iter().all(|id| delivered.contains(id)) && !accepted.is_empty());
}

#[test]
fn a_program_goes_on_when_the_server_is_back() {
    let Some(nats) = Nats::start() else { return };
    let place = Place::new();
    let running = Running::start(place.program(&format!(
        "--events 20000 --rate 10000 --acks --sink lines:out --journal-limit 64 --journal {}",
        nats.address("events")
    )));
    running.stdout.has_begun();
    nats.kill();
    nats.restart();
    let ended = running.end();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let accepted: HashSet<_> = ended.stdout.lines().map(str::to_owned).collect();
    assert_eq!((accepted.len(), accepted == delivered(&place)), (20_000, true));
}

#[test]
fn an_address_without_a_stream_and_without_a_server_is_an_error() {
    let place = Place::new();
    let wrong = place.run("--events 1 --journal nats://127.0.0.1:1");
    assert_eq!(wrong.code, Some(2), "{wrong:#?}");
    assert!(wrong.stderr.contains("nats://HOST:PORT/STREAM"), "{wrong:#?}");
    let missing = place.run("--events 1 --journal nats://127.0.0.1:1/events");
    assert_eq!(missing.code, Some(3), "{missing:#?}");
    assert!(missing.stderr.contains("cannot be reached"), "{missing:#?}");
    eventually("nothing of a journal", || !place.file("events.journal").exists());
}
