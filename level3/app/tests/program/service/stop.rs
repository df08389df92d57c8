//! SIGTERM, and a folder of one's own.

use std::time::Duration;

use process_kit::{Running, run};
use tokio::time::sleep;

use super::client::{get, order, pay};
use super::start::{Serving, command, key};

use crate::oracles;
use crate::process::{Place, program};
use crate::stripe::Stripe;

#[test]
fn sigterm_drains() {
    let place = Place::sqlite();
    let key = key(&place);
    // While it does not answer, the payment does not end, and so the drain does not either.
    let stripe = Stripe::silent();
    let mut program = command(&place, "--stripe");
    program.arg(&stripe.url).env("STRIPE_SECRET_KEY", "sk_test_hidden");
    let serving = Serving::start(program);
    let address = serving.address.clone();
    oracles::block_on(async {
        let (paying, of_task) = (address.clone(), key.clone());
        let paying = tokio::spawn(async move { pay(&paying, &of_task, "one", &order(1)).await });
        stripe.has_an_intent();
        serving.terminate();
        loop {
            let ready = get(&address, &key, "/readyz").await.unwrap();
            if ready.json()["draining"] == true {
                assert_eq!(ready.status, 503);
                break;
            }
            sleep(Duration::from_millis(5)).await;
        }
        let refused = pay(&address, &key, "two", &order(2)).await.unwrap();
        assert_eq!(refused.status, 503, "{refused:?}");
        assert!(refused.head.contains("retry-after: 5"), "{refused:?}");
        stripe.answer();
        let answered = paying.await.unwrap().unwrap();
        // Failed, if the machine was so busy that the ten seconds of the payment were over before.
        assert!(matches!(answered.status, 201 | 502), "{answered:?}");
        let paid = answered.status == 201;
        let ended = serving.end();
        assert_eq!(ended.code, Some(0), "{ended:#?}");
        let counts = oracles::open(&place.url).await.counts().await.unwrap();
        assert_eq!((counts.open, counts.parked, counts.receipts), (0, 0, 0), "{counts:?}");
        assert!(stripe.all_are_settled());
        assert_eq!(stripe.counts(), (1, usize::from(paid)));
    });
}

#[test]
fn the_first_start_makes_a_key_and_the_next_one_keeps_it() {
    let folder = tempfile::tempdir().unwrap();
    let start = || {
        let serving = Running::start(program(folder.path(), "serve --listen 127.0.0.1:0 --json"));
        // The end of what it prints at the start.
        serving.stdout.says("\n}");
        let told: serde_json::Value = serde_json::from_str(&serving.stdout.text()).unwrap();
        (serving, told)
    };
    let (serving, told) = start();
    let key = told["key"].as_str().unwrap().to_owned();
    let address = told["url"].as_str().unwrap().strip_prefix("http://").unwrap().to_owned();
    let listed = oracles::block_on(get(&address, &key, "/v1/payments")).unwrap();
    assert_eq!(listed.status, 200);
    serving.kill();
    assert!(folder.path().join("gateway-data/payments.sqlite").exists());

    let (serving, told) = start();
    assert!(told["key"].is_null(), "{told}");
    let address = told["url"].as_str().unwrap().strip_prefix("http://").unwrap().to_owned();
    assert_eq!(oracles::block_on(get(&address, &key, "/v1/payments")).unwrap().status, 200);
    // A key that is added is valid within seconds, and one that is deleted is not.
    let added = run(program(folder.path(), "add-key shop --scope payments:read --json"));
    let added = added.json()["key"].as_str().unwrap().to_owned();
    let status = async |key: &str| get(&address, key, "/v1/payments").await.unwrap().status;
    oracles::block_on(async {
        let found = async {
            while status(&added).await != 200 {
                sleep(Duration::from_millis(50)).await;
            }
            std::fs::write(folder.path().join("gateway-data/keys.toml"), "").unwrap();
            while status(&key).await != 401 {
                sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), found).await.unwrap();
    });
    serving.kill();
}

#[test]
fn what_cannot_be_served_is_explained() {
    let place = Place::sqlite();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let ended = run(program(place.folder(), &format!("serve --listen {address}")));
    assert_eq!(ended.code, Some(3), "{ended:#?}");
    assert!(ended.stderr.contains("--listen"), "{ended:#?}");
    std::fs::write(place.folder().join("gateway-data/keys.toml"), "[[keys]]").unwrap();
    let ended = run(program(place.folder(), "serve --listen 127.0.0.1:0"));
    assert_eq!(ended.code, Some(2), "{ended:#?}");
    assert!(ended.stderr.contains("keys.toml"), "{ended:#?}");
    for line in ["add-key Shop --scope operator", "add-key shop", "add-key shop --scope all"] {
        assert_eq!(run(program(place.folder(), line)).code, Some(2), "{line}");
    }
}
