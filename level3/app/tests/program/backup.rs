//! Copies of the store: one that is made under load, and one that is restored too late.

use std::fs;
use std::path::Path;
use std::time::Instant;

use level3_sim::{NoFaults, World};
use process_kit::{Ended, PATIENCE, Running, run};
use serde_json::Value;

use crate::process::Place;

/// The program on another store of the place, with the same services.
fn on(place: &Place, store: &Path, args: &str) -> Ended {
    let mut program = place.program(args);
    program.args(["--store", &format!("sqlite:{}", store.display())]);
    run(program)
}

fn count(report: &Value, what: &str) -> u64 {
    let findings = report["findings"].as_array().unwrap().iter();
    findings.filter(|it| it["what"] == what).count() as u64
}

#[test]
fn a_copy_of_a_store_in_use_is_complete() {
    let place = Place::sqlite();
    let line = "--payments 2000 --rate 400 --calls 4000 --failure-rate 0";
    let running = Running::start(place.program(line));
    let file = place.folder().join("copy");
    let begun = Instant::now();
    let rows = loop {
        let mut command = place.program("backup --json");
        command.arg(&file);
        let ended = run(command);
        // At first there is no store, or one without tables or rows.
        if ended.code == Some(0) && ended.json()["rows"] != 0 {
            break ended.json()["rows"].as_u64();
        }
        assert!(begun.elapsed() < PATIENCE, "{ended:#?}");
        let _ = fs::remove_file(&file);
    };
    running.kill();
    let again = on(&place, &file, "check --json");
    assert_eq!((again.code, again.json()["rows"].as_u64()), (Some(0), rows), "{again:#?}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    // An existing file is not replaced.
    let before = fs::read(&file).unwrap();
    let mut command = place.program("backup");
    command.arg(&file);
    let refused = run(command);
    assert_eq!(refused.code, Some(2), "{refused:#?}");
    assert!(refused.stderr.contains("exists already"), "{refused:#?}");
    assert_eq!(fs::read(&file).unwrap(), before);
    let mut command = place.program("backup");
    command.arg(place.folder().join("nowhere").join("copy"));
    let refused = run(command);
    assert_eq!(refused.code, Some(3), "{refused:#?}");
}

/// The procedure of the documentation. What was paid after the backup is missing in the store, and
/// the provider has charged it.
#[test]
fn payments_after_the_backup_are_charged_once_or_refunded() {
    let place = Place::sqlite();
    let pay = |prefix: &str, payments: u32| {
        let line = format!("--rate 100 --failure-rate 0 --json --key-prefix {prefix}");
        let ended = run(place.program(&format!("{line} --payments {payments}")));
        assert_eq!(ended.json()["payments"]["answered"], payments, "{ended:#?}");
        ended.json()["payments"]["paid"].as_u64().unwrap()
    };
    let kept = pay("before", 20);
    let file = place.folder().join("backup");
    let mut backup = place.program("backup");
    backup.arg(&file);
    assert_eq!(run(backup).code, Some(0));
    let lost = pay("after", 20);

    let store = place.url.strip_prefix("sqlite:").unwrap();
    for ending in ["", "-wal", "-shm"] {
        // Some of them are gone already.
        let _ = fs::remove_file(format!("{store}{ending}"));
    }
    fs::copy(&file, store).unwrap();
    assert_eq!(run(place.program("check")).code, Some(0));

    // Some clients repeat their requests. The store has forgotten them, but derives the same keys, so
    // the provider replays its charges, and charges no customer twice.
    let repeated = pay("after", 8);
    assert!(0 < repeated && repeated < lost, "{repeated} of {lost}");
    let unknown = "charged, and unknown to the journal";
    let listed = run(place.program("reconcile --json --dry-run --failure-rate 0"));
    assert_eq!(count(&listed.json(), unknown), lost - repeated, "{listed:#?}");
    let refunded = run(place.program("reconcile --json --refund-unknown --failure-rate 0"));
    assert_eq!(count(&refunded.json(), unknown), lost - repeated, "{refunded:#?}");
    assert_eq!(refunded.code, Some(0), "{refunded:#?}");
    let again = run(place.program("reconcile --json --failure-rate 0"));
    assert_eq!((again.code, again.json()["found"].as_u64()), (Some(0), Some(0)), "{again:#?}");
    assert_eq!(again.json()["rows"], kept + repeated, "{again:#?}");

    let world = World::new(NoFaults).kept_in(&place.simulated()).unwrap();
    let charges = |net: bool| {
        let intents = world.intents();
        assert!(intents.iter().all(|intent| intent.charges <= 1), "{intents:#?}");
        intents.iter().filter(|intent| intent.charges > 0 && (intent.net() > 0) == net).count()
            as u64
    };
    assert_eq!((charges(true), charges(false)), (kept + repeated, lost - repeated));
}
