//! A store that is deleted or replaced under the running program, and one that is damaged: the
//! program stops with a message, and every payment that it has answered as paid is charged once.

use std::fs;
use std::path::{Path, PathBuf};

use process_kit::{Ended, Running, eventually, run};

use crate::oracles::block_on;
use crate::process::Place;
use crate::server::{Flush, Server};
use crate::service::client::{get, order, pay};
use crate::service::start::{Serving, command, key};

/// Many more payments than are paid before the store is lost.
const STREAM: &str = "--payments 100000 --rate 200 --failure-rate 0 --json";

fn file(place: &Place) -> PathBuf {
    PathBuf::from(place.url.strip_prefix("sqlite:").unwrap())
}

/// Waits until the simulated provider of the place has so many lines.
fn wait_for_charges(place: &Place) {
    let mut book = place.simulated().into_os_string();
    book.push(".provider");
    let lines = || fs::read_to_string(&book).unwrap_or_default().lines().count();
    eventually("charges", || lines() >= 40);
}

fn stopped(ended: &Ended, words: &[&str]) {
    assert_eq!(ended.code, Some(3), "{ended:#?}");
    let error = ended.json()["error"].as_str().unwrap_or_default().to_owned();
    for words in words {
        assert!(error.contains(words), "{words:?} in {error:?}: {ended:#?}");
        assert!(ended.stderr.contains(words), "{words:?} in {ended:#?}");
    }
}

#[test]
fn a_file_that_is_deleted_stops_the_stream() {
    let place = Place::sqlite();
    let running = Running::start(place.program(STREAM));
    wait_for_charges(&place);
    fs::remove_file(file(&place)).unwrap();
    stopped(&running.end(), &["was deleted or replaced while it was in use"]);
}

#[test]
fn another_store_in_the_file_stops_the_stream() {
    let (place, other) = (Place::sqlite(), Place::sqlite());
    assert_eq!(run(other.program("--payments 5 --failure-rate 0")).code, Some(0));
    let running = Running::start(place.program(STREAM));
    wait_for_charges(&place);
    // The file keeps its number, as with `cp`.
    fs::copy(file(&other), file(&place)).unwrap();
    let ended = running.end();
    stopped(&ended, &[place.url.strip_prefix("sqlite:").unwrap()]);
    let error = ended.json()["error"].as_str().unwrap().to_owned();
    assert!(error.contains("replaced") || error.contains("damaged"), "{error}");
}

#[test]
fn a_database_that_is_deleted_stops_the_stream() {
    let Some(server) = Server::start(Flush::Cache).unwrap() else { return };
    let place = Place::postgres(server.database().unwrap());
    let running = Running::start(place.program(STREAM));
    wait_for_charges(&place);
    block_on(async {
        let (server, name) = place.url.rsplit_once('/').unwrap();
        let admin = format!("{server}/postgres");
        let (client, connection) =
            tokio_postgres::connect(&admin, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client.batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)")).await.unwrap();
    });
    stopped(&running.end(), &["was deleted or replaced while it was in use"]);
}

/// A service stops by itself, and acknowledges nothing in between.
#[test]
fn a_file_that_is_deleted_stops_the_service() {
    for with_payment in [true, false] {
        let place = Place::sqlite();
        let key = key(&place);
        let serving = Serving::start(command(&place, ""));
        let address = serving.address.clone();
        block_on(async {
            let paid = pay(&address, &key, "one", &order(1)).await.unwrap();
            assert_eq!(paid.status, 201, "{paid:?}");
            fs::remove_file(file(&place)).unwrap();
            if with_payment {
                // The service may have ended by then.
                if let Ok(late) = pay(&address, &key, "two", &order(2)).await {
                    assert_eq!(late.status, 503, "{late:?}");
                }
                if let Ok(ready) = get(&address, &key, "/readyz").await {
                    assert_eq!(ready.status, 503, "{ready:?}");
                }
            }
        });
        let ended = serving.end();
        assert_eq!(ended.code, Some(3), "{ended:#?}");
        let why = "was deleted or replaced while it was in use";
        assert!(ended.stderr.contains(why), "{ended:#?}");
    }
}

fn damage(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let page = bytes.len() / 4096 / 2;
    bytes[page * 4096..page * 4096 + 64].fill(0xa5);
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_damaged_file_is_told_by_every_command() {
    let place = Place::sqlite();
    assert_eq!(run(place.program("--payments 40 --rate 400 --failure-rate 0")).code, Some(0));
    let fine = run(place.program("check"));
    assert_eq!(fine.code, Some(0), "{fine:#?}");
    assert!(fine.stdout.contains("40 sagas") && fine.stdout.contains("No faults."), "{fine:#?}");

    let db = rusqlite::Connection::open(file(&place)).unwrap();
    db.execute("UPDATE journal SET body = '[\"ann@hidden\"]' WHERE saga = 3 AND seq = 2", ())
        .unwrap();
    drop(db);
    let found = run(place.program("check"));
    assert_eq!(found.code, Some(1), "{found:#?}");
    for words in ["entry 2: the record in the store cannot be read", "1 fault.", "restore a backup"]
    {
        assert!(found.stdout.contains(words), "{words:?} in {found:#?}");
    }
    assert!(!found.stdout.contains("hidden"), "{found:#?}");
    let json = run(place.program("check --json"));
    assert_eq!((json.code, &json.json()["found"]), (Some(1), &1.into()), "{json:#?}");

    damage(&file(&place));
    assert_eq!(run(place.program("check --json")).code, Some(1));
    for args in ["--payments 1 --json", "recover --json", "redrive --json", "reconcile --json"] {
        stopped(&run(place.program(args)), &["is damaged", "Restore a backup"]);
    }
}
