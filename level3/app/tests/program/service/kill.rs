//! `kill -9` under load over HTTP, again and again, and every answer held against the provider's
//! own account.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use level3_sim::{NoFaults, World};
use process_kit::PATIENCE;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::client::{Answer, get, order, pay};
use super::start::{Serving, command, key};

use crate::oracles;
use crate::process::{Place, dice};
use crate::server::{Flush, Server};

const CLIENTS: u32 = 12;

/// What clients know: the answer to each key that has one.
type Answers = Arc<Mutex<HashMap<u32, Option<Answer>>>>;

/// Pays one payment after another until the service is gone.
async fn client(
    address: String,
    key: String,
    next: Arc<AtomicU32>,
    answers: Answers,
    over: Arc<AtomicBool>,
) {
    while !over.load(Ordering::Relaxed) {
        let number = next.fetch_add(1, Ordering::Relaxed);
        answers.lock().unwrap().insert(number, None);
        match pay(&address, &key, &format!("key-{number}"), &order(number)).await {
            Ok(answer) => {
                answers.lock().unwrap().insert(number, Some(answer));
            }
            // The outcome is unknown: asked for again at the end.
            Err(_) => return,
        }
    }
}

#[test]
fn twenty_kills_lose_and_double_nothing() {
    killed(&Place::sqlite(), 20);
}

#[test]
fn five_kills_on_postgres_do_not_either() {
    let Some(server) = Server::start(Flush::Cache).unwrap() else { return };
    killed(&Place::postgres(server.database().unwrap()), 5);
}

/// Kills the service so many times, each time at another moment, and asks the next one for the
/// answers.
fn killed(place: &Place, kills: u32) {
    let key = key(place);
    let mut dice = dice();
    let answers = Answers::default();
    let next = Arc::new(AtomicU32::new(1));
    for _ in 0..kills {
        let seed = dice.below(1_000_000);
        let serving = Serving::start(command(place, &format!("--failure-rate 10 --seed {seed}")));
        let (address, lives) = (serving.address.clone(), Duration::from_millis(dice.below(600)));
        oracles::block_on(async {
            let over = Arc::new(AtomicBool::new(false));
            let mut clients = JoinSet::new();
            for _ in 0..CLIENTS {
                let (next, answers) = (Arc::clone(&next), Arc::clone(&answers));
                clients.spawn(client(
                    address.clone(),
                    key.clone(),
                    next,
                    answers,
                    Arc::clone(&over),
                ));
            }
            sleep(lives).await;
            serving.kill();
            over.store(true, Ordering::Relaxed);
            // Each connection is reset, so each client ends.
            clients.join_all().await;
        });
    }

    let serving = Serving::start(command(place, ""));
    let numbers = next.load(Ordering::Relaxed);
    let asked = answers.lock().unwrap().clone();
    let (mut paid, mut unknown) = (HashMap::new(), 0);
    oracles::block_on(async {
        for number in 1..numbers {
            let before = asked.get(&number).cloned().flatten();
            let again = settled(&serving.address, &key, number).await;
            match before {
                // A final answer is the same for good.
                Some(before) if [201, 402].contains(&before.status) => {
                    assert_eq!((before.status, &before.body), (again.status, &again.body));
                }
                Some(_) => {}
                None => unknown += 1,
            }
            let body = again.json();
            let name = body.get("id").or(body.get("payment")).unwrap().as_str().unwrap().to_owned();
            let shown = get(&serving.address, &key, &format!("/v1/payments/{name}")).await.unwrap();
            let state = if again.status == 201 { "paid" } else { "declined" };
            assert_eq!(shown.json()["state"], state, "{again:?} {shown:?}");
            if again.status == 201 {
                paid.insert(name, i64::from(1000 + number));
            }
        }
        // Every payment is in the list, once.
        let (mut listed, mut after) = (0, String::new());
        loop {
            let page = get(&serving.address, &key, &format!("/v1/payments?limit=100{after}")).await;
            let page = page.unwrap().json();
            listed += page["data"].as_array().unwrap().len();
            let Some(next) = page["next"].as_str() else { break };
            after = format!("&after={next}");
        }
        assert_eq!(listed, numbers as usize - 1);
    });
    serving.terminate();
    let ended = serving.end();
    assert_eq!(ended.code, Some(0), "{ended:#?}");

    let seen = oracles::check(place);
    println!("killed {kills} times, {numbers} payments, {unknown} without an answer: {seen:?}");
    assert!(unknown > kills as usize, "hardly anything was under way");
    let world = World::new(NoFaults).kept_in(&place.simulated()).unwrap();
    let mut net: HashMap<String, i64> = HashMap::new();
    for intent in world.intents() {
        let run = intent.payment.as_str();
        let name = run.rsplit_once('_').unwrap().0.to_owned();
        *net.entry(name).or_default() += intent.net();
    }
    net.retain(|_, net| *net != 0);
    assert_eq!(net, paid, "the payments that were answered as paid are those that are charged");
}

/// Asks until the answer is final: a failed payment is tried again.
async fn settled(address: &str, key: &str, number: u32) -> Answer {
    let name = format!("key-{number}");
    let begun = Instant::now();
    // A breaker that a busy machine has opened is open for a minute.
    while begun.elapsed() < PATIENCE {
        let answer = pay(address, key, &name, &order(number)).await.unwrap();
        match answer.status {
            201 | 402 => return answer,
            // Not over yet, failed for now, or refused for now.
            202 | 502 | 503 => sleep(Duration::from_millis(20)).await,
            _ => panic!("{answer:?}"),
        }
    }
    panic!("{name} has no final answer");
}
