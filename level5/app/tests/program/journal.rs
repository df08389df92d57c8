//! What is wrong with a journal, and what the program says about it.

use std::fs;
use std::process::Command;

use process_kit::{Running, eventually};

use crate::process::{Balance, Place, balance};

/// A journal with 3000 pending events, in three groups at least: each run writes one of its own.
fn filled() -> Place {
    let place = Place::new();
    for run in 1..=3 {
        let ended = place.run(&format!(
            "--events 1000 --event-bytes 1000 --id-prefix e-{run} --latency 3600000 --drain 0 --json"
        ));
        assert_eq!(balance(&ended).pending, run * 1000, "{ended:#?}");
    }
    place
}

#[test]
fn a_cut_end_is_noticed_and_costs_only_itself() {
    let place = filled();
    let last = place.segments().pop().unwrap();
    let bytes = fs::read(&last).unwrap();
    fs::write(&last, &bytes[..bytes.len() - 5]).unwrap();
    let next = place.run("--events 0 --json");
    assert_eq!(next.code, Some(0), "{next:#?}");
    assert!(next.stderr.contains("in the middle of a write"), "{next:#?}");
    assert!(next.json()["recovered"]["torn_bytes"].as_u64() > Some(0), "{next:#?}");
    balance(&next);
}

#[test]
fn a_damaged_record_is_named_and_accepted_only_on_request() {
    let place = filled();
    let first = place.segments().remove(0);
    let mut bytes = fs::read(&first).unwrap();
    // In the data of an event of the first run.
    let at = bytes[500_000..].windows(64).position(|it| it == [b'x'; 64]).unwrap() + 500_032;
    bytes[at] ^= 1;
    fs::write(&first, &bytes).unwrap();
    let refused = place.run("--events 0");
    assert_eq!(refused.code, Some(3), "{refused:#?}");
    assert!(refused.stderr.contains("--accept-damage"), "{refused:#?}");
    let name = refused.stderr.split("cannot be read: ").nth(1).unwrap();
    let name = name.split(['.', ',']).next().unwrap().to_owned();
    assert!(name.starts_with("e-"), "{refused:#?}");
    assert_eq!(fs::read(&first).unwrap(), bytes, "a journal that is refused has changed");

    let next = place.run("--events 0 --accept-damage --sink lines:out --json");
    // Not 0: an accepted event is not delivered.
    assert_eq!(next.code, Some(1), "{next:#?}");
    assert_eq!(next.json()["recovered"]["unreadable"], serde_json::json!([name]));
    let all = Balance { accepted: 2999, delivered: 2999, dead: 0, pending: 0 };
    assert_eq!(balance(&next), all);
    let out = fs::read_to_string(place.file("out")).unwrap();
    assert!(!out.contains(&format!("\"id\":\"{name}\"")));
    assert_eq!(place.run("--events 0").code, Some(0));
}

#[test]
fn a_newer_version_is_refused() {
    let place = filled();
    let last = place.segments().pop().unwrap();
    let mut bytes = fs::read(&last).unwrap();
    bytes[8] = 9;
    fs::write(&last, &bytes).unwrap();
    let refused = place.run("--events 0 --json");
    assert_eq!(refused.code, Some(3), "{refused:#?}");
    assert!(refused.stderr.contains("version 9") && refused.stderr.contains("versions up to 1"));
}

#[test]
fn a_second_program_is_refused() {
    let place = Place::new();
    let running = Running::start(place.program("--events 1000000000 --rate 100 --json"));
    eventually("a segment", || {
        place.file("events.journal").exists() && !place.segments().is_empty()
    });
    let second = place.run("--events 1");
    assert_eq!(second.code, Some(3), "{second:#?}");
    assert!(second.stderr.contains("is in use"), "{second:#?}");
    running.interrupt();
    assert_eq!(running.end().code, Some(0));
}

#[test]
fn a_full_journal_stops_the_stream_and_loses_nothing() {
    let place = Place::new();
    let fills =
        "--events 100000 --event-bytes 2000 --latency 3600000 --drain 0 --journal-limit 8 --json";
    let ended = place.run(fills);
    assert_eq!(ended.code, Some(3), "{ended:#?}");
    for words in ["reached its limit", "the next start delivers them"] {
        assert!(ended.stderr.contains(words), "{ended:#?}");
    }
    let pending = balance(&ended).pending;
    assert!(pending > 100, "{ended:#?}");
    let next = place.run("--events 1000 --json --journal-limit 8");
    assert_eq!(next.code, Some(0), "{next:#?}");
    assert_eq!(balance(&next).delivered, pending + 1000);
}

/// A limit on the length of a file, in blocks of 512 bytes. Without the signal a write above it is an error, as on a full
/// disk.
#[test]
fn a_full_disk_stops_the_stream_and_loses_nothing() {
    let place = Place::new();
    let mut program = Command::new("sh");
    let script = "trap '' XFSZ; ulimit -f 1000; exec \"$0\" \"$@\"";
    program.current_dir(place.folder()).args(["-c", script, env!("CARGO_BIN_EXE_event-processor")]);
    let args = "--events 100000 --event-bytes 500 --latency 3600000 --drain 0 --json";
    program.args(args.split(' '));
    let ended = Running::start(program).end();
    assert_eq!(ended.code, Some(3), "{ended:#?}");
    assert!(ended.stderr.contains("no space is left"), "{ended:#?}");
    assert!(ended.stderr.contains("make room on its disk"), "{ended:#?}");
    let pending = balance(&ended).pending;
    let next = place.run("--events 1000 --json");
    assert_eq!(next.code, Some(0), "{next:#?}");
    assert_eq!(balance(&next).delivered, pending + 1000);
}
