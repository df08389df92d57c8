//! A database server that fails and comes back while payments are under way.

use std::thread;
use std::time::Duration;

use process_kit::{Ended, Running, run};

use crate::oracles;
use crate::process::{Place, code_fits};
use crate::server::{Flush, Server};
use crate::waiting::under_way;
use crate::wire::Wire;

/// During a fail-over a server takes no writes for longer than one of them waits. The stream goes on
/// when it is over.
#[test]
fn the_program_waits_for_a_server_that_is_read_only() {
    let Some(server) = Server::start(Flush::Cache).unwrap() else { return };
    let place = Place::postgres(server.database().unwrap());
    let running =
        Running::start(place.program("--payments 1200 --rate 60 --failure-rate 0 --json"));
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
        Running::start(place.program("--payments 600 --rate 100 --failure-rate 10 --json"));
    under_way(&place);
    thread::sleep(Duration::from_secs(1));
    server.kill().unwrap();
    thread::sleep(Duration::from_millis(500));
    server.restart().unwrap();
    let ended = running.end();
    let result = ended.json();
    code_fits(&ended);
    assert_eq!(result["payments"]["answered"], 600, "{result:#}");
    assert_eq!(result["books"]["wrong"], 0, "{result:#}");
    let seen = oracles::check(&place);
    // How many were paid depends on whether the ledger's breaker has opened, which is for a minute. The
    // next run has breakers of its own.
    let next = run(place.program("--payments 20 --failure-rate 0 --json"));
    code_fits(&next);
    let told = &next.json()["payments"];
    assert!(told["paid"].as_u64() > Some(0), "{told:#}");
    println!("{} {} {:?}", result["payments"], result["unlucky"], seen);
}

/// Runs one payment over a wire that loses the answers to so many commits of these words, and checks that the run
/// ends it, since no other one does.
fn ended_by_the_same_run(words: &str, times: u32) -> Option<Ended> {
    let server = Server::start(Flush::Cache).unwrap()?;
    let url = server.database().unwrap();
    let wire = Wire::new(&url, words, times);
    let place = Place::postgres(wire.url(&url));
    // One in twenty payments is declined, and has no further step.
    let pays = || run(place.program("--payments 1 --failure-rate 0 --json"));
    let is_taken = |ended: &Ended| ended.json()["payments"]["declined"] == 0;
    let ended = std::iter::repeat_with(pays).take(20).find(is_taken).unwrap();
    assert_eq!(wire.left(), 0, "{ended:#?}");
    assert!(ended.stderr.contains("1 payment still open"), "{ended:#?}");
    assert_eq!((&ended.json()["open"], &ended.json()["books"]["wrong"]), (&0.into(), &0.into()));
    code_fits(&ended);
    oracles::check(&place);
    Some(ended)
}

/// As when a server is killed between the two: the client hears that the store cannot be reached, and no part of the
/// gateway works on the payment.
#[test]
fn a_payment_whose_first_record_has_no_answer_is_ended_by_the_same_run() {
    let Some(ended) = ended_by_the_same_run(r#""begun""#, 1) else { return };
    assert_eq!(ended.json()["payments"]["refused"], 1, "{ended:#?}");
    assert_eq!(ended.json()["books"]["charged"], 0, "{ended:#?}");
}

/// The customer is charged, and each try to record the next step fails: the gateway gives the payment up.
#[test]
fn a_payment_whose_last_step_is_not_recorded_is_ended_by_the_same_run() {
    let save = r#"{"record":"step_started","step":"save"}"#;
    let Some(ended) = ended_by_the_same_run(save, 3) else { return };
    assert_eq!(ended.json()["payments"]["compensating"], 1, "{ended:#?}");
    assert_eq!(ended.json()["books"]["charged"], 1, "{ended:#?}");
}
