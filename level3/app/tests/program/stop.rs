//! Ctrl-C.

use std::thread;
use std::time::{Duration, Instant};

use crate::oracles::{self, open_sagas};
use crate::process::{Followed, Place, run};

/// Starts a long stream, and waits until payments are under way.
fn under_way(place: &Place, args: &str) -> Followed {
    let running = Followed::start(place.program(args));
    let begun = Instant::now();
    while open_sagas(place).is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(60), "no payment has begun");
        thread::sleep(Duration::from_millis(50));
    }
    running
}

#[test]
fn once_drains() {
    let place = Place::sqlite();
    let running = under_way(&place, "--payments 100000 --rate 40 --failure-rate 0 --json");
    running.interrupt();
    let ended = running.end();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let result = ended.json();
    assert!(result["payments"]["answered"].as_u64().unwrap() < 100_000, "{result:#}");
    assert_eq!(result["books"]["open"], 0, "{result:#}");
    oracles::check(&place);
}

#[test]
fn twice_ends_at_once_and_the_next_start_recovers() {
    let place = Place::sqlite();
    // As slow as the real services, so that a drain would take a second.
    let running = under_way(&place, "--payments 100000 --rate 40 --failure-rate 100 --speed 1");
    running.interrupt();
    thread::sleep(Duration::from_millis(50));
    running.interrupt();
    let ended = running.end();
    assert_eq!(ended.code, Some(130), "{ended:#?}");
    assert!(ended.stderr.contains("The next start finishes"), "{ended:#?}");
    let next = run(place.program("recover"));
    assert_eq!(next.code, Some(0), "{next:#?}");
    oracles::check(&place);
}
