//! Refunds over HTTP while the service is killed, and by two services at one store: every answer held
//! against the provider's own account.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use level3_sim::{NoFaults, World};
use process_kit::{PATIENCE, run};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::client::{Answer, get, order, pay, refund};
use super::start::{Serving, command, key};

use crate::oracles::{block_on, books_agree};
use crate::process::{Place, dice};
use crate::server::{Flush, Server};

const PAYMENTS: u32 = 12;
const CLIENTS: u32 = 8;

/// A request for a refund: its number decides the payment and the amount, so that a repeat is the same.
#[derive(Clone)]
struct Asked {
    payments: Arc<Vec<String>>,
    next: Arc<AtomicU32>,
    answers: Arc<Mutex<HashMap<u32, Option<Answer>>>>,
}

impl Asked {
    fn payment(&self, number: u32) -> &str {
        &self.payments[number as usize % self.payments.len()]
    }

    async fn ask(&self, address: &str, key: &str, number: u32) -> std::io::Result<Answer> {
        let amount = i64::from(20 + number * 7 % 60);
        refund(address, key, self.payment(number), &format!("r-{number}"), amount).await
    }

    /// Asks for one refund after another until the service is gone.
    async fn client(self, address: String, key: String) {
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            self.answers.lock().unwrap().insert(number, None);
            let Ok(answer) = self.ask(&address, &key, number).await else { return };
            self.answers.lock().unwrap().insert(number, Some(answer));
        }
    }
}

/// Makes the payments that are refunded.
async fn paid(address: &str, key: &str) -> Vec<String> {
    let mut names = Vec::new();
    let begun = Instant::now();
    for number in 1..=PAYMENTS {
        let name = loop {
            let answer = pay(address, key, &format!("key-{number}"), &order(number)).await.unwrap();
            match answer.status {
                201 => break answer.json()["id"].as_str().unwrap().to_owned(),
                // The fraud check declines some.
                402 => break String::new(),
                _ => sleep(Duration::from_millis(20)).await,
            }
            assert!(begun.elapsed() < PATIENCE);
        };
        names.push(name);
    }
    names.retain(|name| !name.is_empty());
    names
}

/// Kills the services so many times, each time at another moment, and asks the next ones again.
fn killed(place: &Place, kills: u32, services: usize) {
    let key = key(place);
    let mut dice = dice();
    let faults = |seed| command(place, &format!("--failure-rate 10 --seed {seed}"));
    let calm = Serving::start(command(place, ""));
    let payments = block_on(paid(&calm.address, &key));
    assert!(payments.len() > 5);
    calm.kill();
    let asked = Asked {
        payments: Arc::new(payments),
        next: Arc::new(AtomicU32::new(1)),
        answers: Arc::default(),
    };
    for _ in 0..kills {
        let serving: Vec<_> =
            (0..services).map(|_| Serving::start(faults(dice.below(1_000_000)))).collect();
        let lives = Duration::from_millis(dice.below(500));
        block_on(async {
            let mut clients = JoinSet::new();
            for number in 0..CLIENTS {
                let address = serving[number as usize % services].address.clone();
                clients.spawn(asked.clone().client(address, key.clone()));
            }
            sleep(lives).await;
            serving.into_iter().for_each(Serving::kill);
            // Each connection is reset, so each client ends.
            clients.join_all().await;
        });
    }

    let serving = Serving::start(command(place, ""));
    let before = asked.answers.lock().unwrap().clone();
    let mut given: HashMap<String, i64> = HashMap::new();
    let (mut made, mut refused, mut unknown) = (0, 0, 0);
    block_on(async {
        for number in 1..asked.next.load(Ordering::Relaxed) {
            let again = settled(&asked, &serving.address, &key, number).await;
            match before.get(&number).cloned().flatten() {
                // A refund that the provider has accepted stays accepted.
                Some(before) if before.status == 201 => assert_eq!(before.body, again.body),
                Some(_) => {}
                None => unknown += 1,
            }
            if again.status == 201 {
                made += 1;
                let amount = again.json()["amount"].as_i64().unwrap();
                *given.entry(asked.payment(number).to_owned()).or_default() += amount;
            } else {
                assert!(again.body.contains("refund-exceeds-charge"), "{again:?}");
                refused += 1;
            }
        }
    });
    let shown = |name: &str| {
        let path = format!("/v1/payments/{name}");
        block_on(get(&serving.address, &key, &path)).unwrap().json()
    };
    let world = World::new(NoFaults).kept_in(&place.simulated()).unwrap();
    let mut net: HashMap<String, i64> = HashMap::new();
    for intent in world.intents() {
        assert!(intent.net() >= 0, "more was refunded than charged: {intent:?}");
        let name = intent.payment.as_str().rsplit_once('_').unwrap().0.to_owned();
        *net.entry(name).or_default() += intent.net();
    }
    for name in asked.payments.iter() {
        let (shown, given) = (shown(name), given.get(name).copied().unwrap_or_default());
        assert_eq!(shown["refunded"], given, "{shown}");
        let amount = shown["amount"].as_i64().unwrap();
        assert_eq!(net[name], amount - given, "{name}: {shown}");
    }
    // One of them as a whole.
    let (name, one) = (&asked.payments[0], shown(&asked.payments[0]));
    let rest = one["amount"].as_i64().unwrap() - one["refunded"].as_i64().unwrap();
    if rest > 0 {
        let last = block_on(refund(&serving.address, &key, name, "r-rest", rest)).unwrap();
        assert_eq!(last.status, 201, "{last:?}");
    }
    println!(
        "killed {kills} times: {made} refunds, {refused} refused, {unknown} without an answer"
    );
    assert!(made > kills && unknown > kills, "hardly anything was under way");
    serving.terminate();
    assert_eq!(serving.end().code, Some(0));
    let world = World::new(NoFaults).kept_in(&place.simulated()).unwrap();
    block_on(books_agree(&place.url, &world));
    let balance = run(place.program("trial-balance --json"));
    assert_eq!(balance.code, Some(0), "{balance:#?}");
    // The comparison with the provider finds nothing, although a charge is refunded as a whole.
    let compared = run(place.program("reconcile --json"));
    assert_eq!(compared.code, Some(0), "{compared:#?}");
}

/// Asks until there is an outcome.
async fn settled(asked: &Asked, address: &str, key: &str, number: u32) -> Answer {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        let answer = asked.ask(address, key, number).await.unwrap();
        match answer.status {
            201 | 422 => return answer,
            202 | 503 => sleep(Duration::from_millis(20)).await,
            _ => panic!("{answer:?}"),
        }
    }
    panic!("r-{number} has no outcome");
}

#[test]
fn kills_lose_and_double_no_refund() {
    killed(&Place::sqlite(), 10, 1);
}

#[test]
fn kills_of_two_services_on_postgres_do_not_either() {
    let Some(server) = Server::start(Flush::Cache).unwrap() else { return };
    killed(&Place::postgres(server.database().unwrap()), 4, 2);
}
