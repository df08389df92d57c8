//! Several processes at one store.

use std::collections::HashMap;
use std::thread;
use std::time::Duration;

use level3_domain::ids::PaymentId;
use process_kit::{Running, run};

use crate::oracles::{self, block_on, open_sagas};
use crate::process::{Place, code_fits};
use crate::server::{Flush, Server};

/// Two recover at once what a third has left.
fn two_recover(place: &Place) {
    let running = Running::start(place.program("--payments 100000 --rate 800 --failure-rate 10"));
    let mut open = Vec::new();
    // A minute: a busy machine may be slow to start the program.
    for _ in 0..600 {
        thread::sleep(Duration::from_millis(100));
        open = open_sagas(place);
        if open.len() > 20 {
            break;
        }
    }
    running.kill();
    let open = if open.is_empty() { open } else { open_sagas(place) };
    assert!(!open.is_empty(), "nothing was under way");

    let both = [(); 2].map(|()| Running::start(place.program("recover --json")));
    let both = both.map(Running::end);
    let mut recovered = 0;
    for one in &both {
        assert_eq!(one.code, Some(0), "{one:#?}");
        let result = &one.json()["recovered"];
        recovered += ["finished", "undone", "parked"]
            .map(|how| result[how].as_u64().unwrap())
            .iter()
            .sum::<u64>();
    }
    assert_eq!(recovered, open.len() as u64, "each is recovered by one of them: {both:#?}");
    let owners: HashMap<_, _> = block_on(async {
        let store = oracles::open(&place.url).await;
        let mut owners = HashMap::new();
        for saga in open {
            let payment = PaymentId::try_from(saga.as_str().to_owned()).unwrap();
            let shown = store.show(payment).await.unwrap().unwrap();
            owners.insert(saga, shown.epoch);
        }
        owners
    });
    assert!(owners.values().all(|owners| *owners == 2), "one new owner each: {owners:?}");
    oracles::check(place);
}

#[test]
fn two_recover_a_sqlite_file() {
    two_recover(&Place::sqlite());
}

#[test]
fn two_recover_a_postgres_database() {
    let Some(server) = Server::start(Flush::Cache).unwrap() else { return };
    two_recover(&Place::postgres(server.database().unwrap()));
}

/// Two runs at the same moment with the same keys: every payment is one.
#[test]
fn two_pay_the_same_payments() {
    let place = Place::sqlite();
    // The store is made first: what it is about is not the making.
    assert_eq!(run(place.program("--payments 1")).code, Some(0));
    // Fewer than may be under way at once, so that none is refused even if the machine offers them all together.
    let line = "--payments 40 --rate 20 --failure-rate 0 --key-prefix same --json";
    let both = [(); 2].map(|()| Running::start(place.program(line)));
    for one in both.map(Running::end) {
        code_fits(&one);
        let result = one.json();
        assert_eq!(result["payments"]["answered"], 40, "{result:#}");
        assert_eq!(result["books"]["wrong"], 0, "{result:#}");
    }
    let seen = oracles::check(&place);
    assert_eq!(seen.payments, 41);
}
