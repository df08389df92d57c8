//! Several stores with one account at the provider: every answer has a charge of its own.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use level3_domain::ids::{PaymentId, PaymentKey};
use level3_sim::{NoFaults, World};
use process_kit::run;

use crate::oracles::{block_on, open};
use crate::process::{Place, code_fits};

const PAYMENTS: u32 = 10;

/// Pays the same keys in a store, and returns the intents that its rows name.
fn pay(place: &Place, store: &Path) -> HashSet<String> {
    let url = format!("sqlite:{}", store.display());
    let line =
        format!("--payments {PAYMENTS} --rate 100 --failure-rate 0 --key-prefix same --json");
    let mut program = place.program(&line);
    program.args(["--store", &url]);
    let ended = run(program);
    let result = ended.json();
    let answered = &result["payments"];
    // Some may be declined.
    let paid = answered["paid"].as_u64().unwrap();
    assert_eq!(answered["answered"], PAYMENTS, "{ended:#?}");
    assert_eq!(result["books"]["wrong"], 0, "{ended:#?}");
    code_fits(&ended);

    let world = World::new(NoFaults).kept_in(&place.simulated()).unwrap();
    let charged: Vec<_> = world.intents().into_iter().filter(|intent| intent.net() > 0).collect();
    let intents: HashSet<String> = block_on(async {
        let store = open(&url).await;
        let mut intents = HashSet::new();
        for number in 1..=PAYMENTS {
            let key = PaymentKey::new(format!("same-{number}")).unwrap();
            let payment = PaymentId::derive(&store.store_id(), &key, 1);
            let shown = store.show(payment.clone()).await.unwrap().unwrap();
            let Some(row) = shown.row else { continue };
            let own: Vec<_> = charged.iter().filter(|intent| intent.payment == payment).collect();
            assert_eq!(own.len(), 1, "{payment}: {own:?}");
            assert_eq!((&own[0].id, own[0].net()), (&row.intent, row.row.amount.minor()));
            intents.insert(row.intent.as_str().to_owned());
        }
        intents
    });
    assert_eq!(intents.len() as u64, paid, "every payment that was answered as paid has a charge");
    intents
}

#[test]
fn each_store_has_charges_of_its_own() {
    let place = Place::sqlite();
    let (one, two) = (place.folder().join("one"), place.folder().join("two"));
    let (first, second) = (pay(&place, &one), pay(&place, &two));
    assert!(first.is_disjoint(&second), "the second store was given charges of the first one");

    // Another store by the same name has not forgotten its charges: it never had them.
    for ending in ["", "-wal", "-shm"] {
        let mut file = one.clone().into_os_string();
        file.push(ending);
        // Some of them are gone already.
        let _ = fs::remove_file(file);
    }
    let third = pay(&place, &one);
    assert!(third.is_disjoint(&first), "the new store was given charges of the old one");
    assert!(third.is_disjoint(&second), "the new store was given charges of the second one");

    let mut program = place.program("reconcile --json --failure-rate 0");
    program.args(["--store", &format!("sqlite:{}", two.display())]);
    let ended = run(program);
    let report = ended.json();
    let unknown = report["findings"].as_array().unwrap().iter();
    let unknown = unknown.filter(|it| it["what"] == "charged, and unknown to the journal").count();
    assert_eq!((ended.code, unknown), (Some(1), first.len() + third.len()), "{report:#}");
}

/// A row without a charge: the gateway got an answer, and the provider has no charge.
#[test]
fn an_answer_without_a_charge_is_found() {
    let place = Place::sqlite();
    let ended = run(place.program("--payments 12 --failure-rate 0 --json"));
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let paid = ended.json()["payments"]["paid"].as_u64().unwrap();
    for ending in [".provider", ".mails"] {
        let mut file = place.simulated().into_os_string();
        file.push(ending);
        fs::rename(&file, place.folder().join(format!("old{ending}"))).unwrap();
    }
    // A provider that has other payments, and none of these.
    let other = place.folder().join("other");
    let mut program = place.program("--payments 1 --failure-rate 0");
    program.args(["--store", &format!("sqlite:{}", other.display())]);
    assert_eq!(run(program).code, Some(0));
    let ended = run(place.program("reconcile --json --failure-rate 0"));
    let report = ended.json();
    let findings = report["findings"].as_array().unwrap();
    let missing =
        findings.iter().filter(|it| it["what"] == "recorded, and there is no intent").count();
    assert_eq!((ended.code, missing as u64), (Some(1), paid), "{report:#}");
}
