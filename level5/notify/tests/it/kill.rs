//! `kill -9` at random moments, and what users have got in the end.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use process_kit::{Dice, PATIENCE, Running};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::client::{client, get, post, set};
use crate::endpoint::{Endpoint, Hook, SECRET};
use crate::process::{program, url_of};
use crate::smtp::Smtp;

/// How many times the program is killed: `NOTIFIER_KILLS`, or so many.
const KILLS: u64 = 24;
/// Deliveries of a user that are on their way at the same time: one of what is urgent, one of the rest.
const LANES: u64 = 2;
/// The program's address, while it runs.
type Address = watch::Receiver<Option<String>>;

/// Posts notifications to a user, one after the other, and repeats each until it is accepted. Returns the accepted ids.
fn producer(
    user: &'static str,
    priorities: &'static [&'static str],
    mut address: Address,
    stop: watch::Receiver<bool>,
) -> JoinHandle<Vec<String>> {
    tokio::spawn(async move {
        let client = client();
        let mut accepted = Vec::new();
        for number in 0_usize.. {
            let id = format!("{user}-{number}");
            let priority = priorities[number % priorities.len()];
            let body = json!({"id": id, "user": user, "topic": "it", "priority": priority, "data": {"text": id}});
            loop {
                // After the last round the program stays, so an id is not given up.
                let url = address.wait_for(Option::is_some).await.unwrap().clone().unwrap();
                match post(&client, &format!("{url}/notifications"), &body).await {
                    Ok((200 | 202, _)) => break,
                    Ok((503, _)) => sleep(Duration::from_millis(10)).await,
                    Ok(answer) => panic!("{answer:?}"),
                    Err(_) => sleep(Duration::from_millis(2)).await,
                }
            }
            accepted.push(id);
            if *stop.borrow() {
                break;
            }
            sleep(Duration::from_millis(3)).await;
        }
        accepted
    })
}

/// Reads the list of a user as a browser does: after a break it goes on behind the last message.
fn reader(
    user: &'static str,
    mut address: Address,
    seen: Arc<Mutex<Vec<String>>>,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let client = client();
        let mut last = 0_u64;
        loop {
            let url = address.wait_for(Option::is_some).await.unwrap().clone().unwrap();
            let request = client.get(format!("{url}/users/{user}/events"));
            let Ok(mut answer) = request.header("last-event-id", last).send().await else {
                sleep(Duration::from_millis(2)).await;
                continue;
            };
            let mut text = String::new();
            while let Ok(Some(bytes)) = answer.chunk().await {
                text.push_str(std::str::from_utf8(&bytes).unwrap());
                // Only whole events: one that was cut is sent again.
                while let Some((event, rest)) = text.split_once("\n\n") {
                    let field = |name: &str| {
                        event.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned)
                    };
                    if let (Some(id), Some(data)) = (field("id: "), field("data: ")) {
                        last = id.parse().unwrap();
                        let data: Value = serde_json::from_str(&data).unwrap();
                        seen.lock().unwrap().push(data["id"].as_str().unwrap().to_owned());
                    }
                    text = rest.to_owned();
                }
            }
        }
    })
}

/// Messages by their ids: each notification is in one message, and a repeat has the same ones. Returns the repeats.
fn judge(messages: Vec<(String, Vec<String>)>, accepted: &[String]) -> u64 {
    let all = messages.len();
    let mut by_key: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (key, ids) in messages {
        let first = by_key.entry(key).or_insert_with(|| ids.clone());
        assert_eq!(*first, ids, "a repeat is another message");
    }
    let repeats = all - by_key.len();
    let mut seen = HashSet::new();
    for id in by_key.values().flatten() {
        assert!(seen.insert(id.clone()), "{id} is in two messages");
    }
    let lost: Vec<_> = accepted.iter().filter(|id| !seen.contains(*id)).collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
    repeats as u64
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_neither_loses_nor_repeats() {
    let folder = tempfile::tempdir().unwrap();
    let mut dice = Dice::of_variable("NOTIFIER_SEED");
    let kills = std::env::var("NOTIFIER_KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    // The answers come late, so that many kills fall between what a provider keeps and what the program knows of it.
    let smtp = Smtp::start(&[], Duration::from_millis(8)).await;
    let endpoint = Endpoint::start(Duration::from_millis(8)).await;
    let start = || {
        let mut program = program(folder.path(), "serve --port 0 --window 40 --inbox 1000000");
        program.env("NOTIFIER_SMTP_URL", smtp.url());
        Running::start(program)
    };
    let client = client();
    let hook = json!({"url": endpoint.url(), "secret": SECRET});
    let mut running = start();
    let url = url_of(&running.stdout).await;
    set(&client, &url, "ann", json!({"channels": ["in_app"]})).await;
    set(&client, &url, "ben", json!({"channels": ["mail"], "mail": "ben@mail.example"})).await;
    set(
        &client,
        &url,
        "cat",
        json!({"channels": ["webhook"], "webhook": hook, "often": "batched"}),
    )
    .await;
    let dan = json!({"channels": ["mail", "webhook", "in_app"], "mail": "dan@mail.example", "webhook": hook});
    set(&client, &url, "dan", dan).await;

    let (up, address) = watch::channel(None);
    let (stop, stops) = watch::channel(false);
    let [ann_sees, dan_sees]: [Arc<Mutex<Vec<String>>>; 2] = Default::default();
    reader("ann", address.clone(), Arc::clone(&ann_sees));
    reader("dan", address.clone(), Arc::clone(&dan_sees));
    let producers = [
        ("ann", &["high", "low"][..]),
        ("ben", &["high", "low", "medium"]),
        ("cat", &["medium"]),
        ("dan", &["urgent"]),
    ];
    let producers = producers
        .map(|(user, priorities)| producer(user, priorities, address.clone(), stops.clone()));
    up.send_replace(Some(url));
    for _ in 0..kills {
        sleep(Duration::from_millis(dice.below(350))).await;
        up.send_replace(None);
        running.kill();
        running = start();
        // Every fifth time it is killed while it starts.
        if dice.below(5) == 0 {
            sleep(Duration::from_millis(dice.below(60))).await;
            continue;
        }
        up.send_replace(Some(url_of(&running.stdout).await));
    }
    if up.borrow().is_none() {
        up.send_replace(Some(url_of(&running.stdout).await));
    }
    stop.send_replace(true);
    let mut accepted = Vec::new();
    for producer in producers {
        accepted.push(producer.await.unwrap());
    }
    let url = up.borrow().clone().unwrap();
    let mut ends = BTreeMap::new();
    for id in accepted.iter().flatten() {
        let begun = Instant::now();
        loop {
            let (_, answer) = get(&client, &format!("{url}/notifications/{id}")).await.unwrap();
            if answer["state"] == "sent" {
                ends.insert(id.clone(), answer);
                break;
            }
            assert_eq!(answer["state"], "pending", "{answer}");
            assert!(begun.elapsed() < PATIENCE, "{id} still waits");
            sleep(Duration::from_millis(10)).await;
        }
    }
    let [ann, ben, cat, dan] = accepted.as_slice() else { panic!("four users") };
    // Each message of the list is there once, whatever has happened.
    for (seen, accepted) in [(ann_sees, ann), (dan_sees, dan)] {
        let begun = Instant::now();
        while seen.lock().unwrap().len() < accepted.len() && begun.elapsed() < PATIENCE {
            sleep(Duration::from_millis(10)).await;
        }
        let seen = seen.lock().unwrap().clone();
        let all: BTreeSet<_> = seen.iter().collect();
        let missing: Vec<_> = accepted.iter().filter(|id| !all.contains(id)).collect();
        let missing: Vec<_> = missing.into_iter().map(|id| ends[id].to_string()).collect();
        assert!(missing.is_empty(), "{missing:#?} are missing of {}", accepted.len());
        assert_eq!(seen.len(), accepted.len(), "a message came twice: {seen:?}");
    }
    let mails = |user: &str| {
        let mails = smtp.kept().into_iter().filter(|mail| mail.to.starts_with(user));
        let start = format!("{user}-");
        mails.map(|mail| (mail.header("Message-ID"), mail.words(&start))).collect::<Vec<_>>()
    };
    let hooks = |user: &str| {
        let hooks = endpoint.got().into_iter().filter(|hook| hook.ids[0].starts_with(user));
        hooks.map(|Hook { key, ids }| (key, ids)).collect::<Vec<_>>()
    };
    let repeats = [
        judge(mails("ben"), ben),
        judge(hooks("cat"), cat),
        judge(mails("dan"), dan),
        judge(hooks("dan"), dan),
    ];
    let sum: u64 = repeats.iter().sum();
    let count: usize = accepted.iter().map(Vec::len).sum();
    println!(
        "killed {kills} times: {count} accepted, none lost, {sum} messages repeated under their ids {repeats:?}"
    );
    assert!(count as u64 > kills, "hardly anything was accepted");
    assert!(repeats.iter().all(|repeats| *repeats <= kills * LANES), "{repeats:?}");
    running.interrupt();
    assert_eq!(running.end().code, Some(0));
}
