//! A database server that fails and comes back while payments are under way.

use std::thread;
use std::time::Duration;

use crate::oracles;
use crate::process::{Followed, Place, run};
use crate::server::{Flush, Server};
use crate::waiting::under_way;

/// During a fail-over a server takes no writes for longer than one of them waits. The stream goes on
/// when it is over.
#[test]
fn the_program_waits_for_a_server_that_is_read_only() {
    let Some(server) = Server::start(Flush::Cache).unwrap() else { return };
    let place = Place::postgres(server.database().unwrap());
    let running =
        Followed::start(place.program("--payments 1200 --rate 60 --failure-rate 0 --json"));
    under_way(&place);
    let read_only = |on: &str| {
        oracles::block_on(async {
            let url = server.url("postgres");
            let (client, connection) =
                tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
            tokio::spawn(connection);
            let set = format!("ALTER SYSTEM SET default_transaction_read_only = {on}");
            for text in ["SET default_transaction_read_only = off", &set, "SELECT pg_reload_conf()"]
            {
                client.batch_execute(text).await.unwrap();
            }
        });
    };
    read_only("on");
    thread::sleep(Duration::from_secs(7));
    read_only("off");
    let ended = running.end();
    let result = ended.json();
    assert_eq!(result["error"], serde_json::Value::Null, "{ended:#?}");
    assert_eq!(result["payments"]["answered"], 1200, "{result:#}");
    assert_eq!(result["books"]["wrong"], 0, "{result:#}");
    oracles::check(&place);
}

/// The stream goes on by itself: every payment is answered, and the books balance.
#[test]
fn the_program_waits_for_its_database() {
    // Survives a kill of the server: what the program was told is written is written.
    let Some(mut server) = Server::start(Flush::Cache).unwrap() else { return };
    let place = Place::postgres(server.database().unwrap());
    let running =
        Followed::start(place.program("--payments 600 --rate 100 --failure-rate 10 --json"));
    under_way(&place);
    thread::sleep(Duration::from_secs(1));
    server.kill().unwrap();
    thread::sleep(Duration::from_millis(500));
    server.restart().unwrap();
    let ended = running.end();
    let result = ended.json();
    ended.code_fits();
    assert_eq!(result["payments"]["answered"], 600, "{result:#}");
    assert_eq!(result["books"]["wrong"], 0, "{result:#}");
    // How many were paid depends on whether the ledger's breaker has opened, which is for a minute. The
    // next run has breakers of its own. It also ends a payment whose last record met the dead server: the exit code
    // has said that it is open.
    let next = run(place.program("--payments 20 --failure-rate 0 --json"));
    next.code_fits();
    let told = &next.json()["payments"];
    assert!(told["paid"].as_u64() > Some(0), "{told:#}");
    println!("{} {} {:?}", result["payments"], result["unlucky"], oracles::check(&place));
}
