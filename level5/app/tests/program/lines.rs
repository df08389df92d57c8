//! Events as JSON lines, from a file and from standard input.

use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use process_kit::{Running, eventually};

use crate::process::{Place, balance};

#[test]
fn lines_are_delivered_and_bad_ones_are_named() {
    let place = Place::new();
    let mut text = String::new();
    for number in 0..1000 {
        let key = number % 7;
        text += &format!("{{\"id\":\"{number}\",\"kind\":\"mail.sent\",\"key\":\"{key}\"}}\n");
    }
    text += "{\"id\":\"0\",\"kind\":\"mail.sent\"}\nnot json\n{\"kind\":\"no id\"}\n";
    fs::write(place.file("in"), text).unwrap();
    let ended = place.run("--source lines:in --sink lines:out --json");
    assert_eq!(ended.code, Some(1), "{ended:#?}");
    assert_eq!(balance(&ended).delivered, 1000);
    let refused = &ended.json()["refused"];
    assert_eq!((&refused["duplicates"], &refused["skipped_lines"]), (&1.into(), &2.into()));
    for words in ["line 1002 is skipped", "line 1003 is skipped", "write one JSON object"] {
        assert!(ended.stderr.contains(words), "{ended:#?}");
    }
    // Each key in its order.
    let out = fs::read_to_string(place.file("out")).unwrap();
    let lines = out.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let ids: Vec<_> = lines
        .map(|line| (line["key"].clone(), line["id"].as_str().unwrap().parse::<u32>().unwrap()))
        .collect();
    for key in ["0", "1", "2", "3", "4", "5", "6"] {
        let of_key = ids.iter().filter(|(it, _)| it == key).map(|(_, id)| id);
        assert!(of_key.is_sorted(), "key {key} is out of order");
    }
}

/// The largest line fits into the smallest journal.
#[test]
fn a_large_event_passes() {
    let place = Place::new();
    let data = "x".repeat((1 << 20) - 100);
    let line = format!("{{\"id\":\"a\",\"kind\":\"mail\",\"data\":\"{data}\"}}\n");
    fs::write(place.file("in"), line.repeat(2).replacen("\"a\"", "\"b\"", 1)).unwrap();
    let ended = place.run("--source lines:in --journal-limit 8 --json");
    assert_eq!((ended.code, balance(&ended).delivered), (Some(0), 2), "{ended:#?}");
}

#[test]
fn a_producer_on_standard_input_learns_what_is_accepted() {
    let place = Place::new();
    let mut program = place.program("--source lines:- --acks --sink lines:out");
    let mut child = program.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"{\"id\":\"a\",\"kind\":\"mail\"}\n").unwrap();
    // It is accepted and delivered while the input is open.
    eventually("a delivery", || {
        fs::read_to_string(place.file("out")).is_ok_and(|out| out.contains("\"id\":\"a\""))
    });
    input.write_all(b"{\"id\":\"b\",\"kind\":\"mail\"}\n").unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "a\nb\n");
}

#[test]
fn ctrl_c_ends_a_wait_for_input() {
    let place = Place::new();
    let mut program = place.program("--source lines:- --json");
    program.stdin(Stdio::piped());
    let running = Running::start(program);
    eventually("the journal", || place.file("events.journal").join("lock").exists());
    std::thread::sleep(std::time::Duration::from_millis(200));
    running.interrupt();
    let ended = running.end();
    assert_eq!((ended.code, balance(&ended).accepted), (Some(0), 0), "{ended:#?}");
}

#[test]
fn a_source_or_a_sink_that_is_not_there_is_named() {
    let place = Place::new();
    let ended = place.run("--source lines:nowhere --json");
    assert_eq!(ended.code, Some(3), "{ended:#?}");
    assert!(ended.stderr.contains("nowhere") && ended.stderr.contains("--source"), "{ended:#?}");
    assert_eq!(ended.json()["exit_code"], 3);
    let ended = place.run("--sink lines:no/such/folder --events 1");
    assert!(ended.code == Some(3) && ended.stderr.contains("--sink"), "{ended:#?}");
    let ended = place.run("--source kafka --json");
    assert!(ended.code == Some(2) && ended.json()["exit_code"] == 2, "{ended:#?}");
}
