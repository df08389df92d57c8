//! A database server that fails and comes back while payments are under way.

use std::thread;
use std::time::Duration;

use crate::oracles::{self, open_sagas};
use crate::process::{Followed, Place};
use crate::server::{Flush, Server};

/// The stream goes on by itself, and everybody who was refused meanwhile is counted as such.
#[test]
fn the_program_waits_for_its_database() {
    // Survives a kill of the server: what the program was told is written is written.
    let Some(mut server) = Server::start(Flush::Cache).unwrap() else { return };
    let place = Place::postgres(server.database().unwrap());
    let running =
        Followed::start(place.program("--payments 600 --rate 100 --failure-rate 10 --json"));
    while open_sagas(&place).is_empty() {
        thread::sleep(Duration::from_millis(50));
    }
    thread::sleep(Duration::from_secs(1));
    server.kill().unwrap();
    thread::sleep(Duration::from_millis(500));
    server.restart().unwrap();
    let ended = running.end();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let result = ended.json();
    assert_eq!(result["payments"]["answered"], 600, "{result:#}");
    assert_eq!(result["books"]["wrong"], 0, "{result:#}");
    let seen = oracles::check(&place);
    assert!(seen.charged > 200, "{seen:?}");
    println!("{} {seen:?}", result["payments"]);
}
