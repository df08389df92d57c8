//! `kill -9` at any moment, again and again, and what is left in the end.

use std::thread;
use std::time::{Duration, Instant};

use process_kit::{Running, run};

use crate::oracles::{self, open_sagas};
use crate::process::{Place, code_fits, dice};
use crate::server::{Flush, Server};

/// Kills the program so many times, each time at another moment: while it starts, recovers or pays. Every second
/// time it has begun to pay, however slowly the machine starts it.
fn killed(place: &Place, times: u32) {
    let mut dice = dice();
    for round in 0..times {
        let seed = dice.below(1_000_000);
        let program =
            place.program(&format!("--payments 100000 --rate 400 --failure-rate 10 --seed {seed}"));
        let mut running = Running::start(program);
        if round % 2 == 1 {
            // It says so when the recovery is over: what is open from then on is its own.
            running.stderr.says("Paying");
            // Unless a breaker that a stalled machine has opened refuses everything for a minute.
            let begun = Instant::now();
            while open_sagas(place).is_empty() && begun.elapsed() < Duration::from_secs(5) {
                thread::sleep(Duration::from_millis(20));
            }
        }
        thread::sleep(Duration::from_millis(dice.below(600)));
        assert!(running.is_running(), "the program has ended by itself");
        running.kill();
    }
    // What is left is finished, and a last few payments go through as if nothing had been.
    let last = run(place.program("--payments 20 --json --failure-rate 0"));
    code_fits(&last);
    let last = last.json();
    assert_eq!(last["books"]["wrong"], 0, "{last:#}");
    assert_eq!(last["books"]["receipts_pending"], 0, "{last:#}");
    let seen = oracles::check(place);
    println!("killed {times} times: {seen:?}");
    assert!(seen.taken_over > times as usize / 4, "hardly anything was under way: {seen:?}");
    assert!(seen.charged > times as usize, "hardly anything was paid: {seen:?}");
}

#[test]
fn a_hundred_times_on_sqlite() {
    killed(&Place::sqlite(), 100);
}

#[test]
fn thirty_times_on_postgres() {
    let Some(server) = Server::start(Flush::Cache).unwrap() else { return };
    killed(&Place::postgres(server.database().unwrap()), 30);
}
