//! `idempotency::Store` against its model.

use std::panic::{AssertUnwindSafe, resume_unwind};

use futures::FutureExt as _;
use futures::future::join_all;
use grader_kit::{Cx, Outcome, ms};
use level3::idempotency::{Answered, Completion, IdempotencyError, Key, Store, StoreConfig};
use proptest::prelude::{Just, Strategy, prop, prop_oneof};
use tokio::time::{Instant, sleep, timeout};

use super::{Script, compare, compared};
use crate::parts::nzu;

/// How the work of a request ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    Well,
    Fails,
    Panics,
    /// The closure panics, before there is a future.
    PanicsAtOnce,
}

/// One request. Requests come at full tens of milliseconds, work ends and callers go away in between.
#[derive(Debug, Clone)]
struct Request {
    comes: u64,
    key: usize,
    amount: u8,
    /// If this request starts the work: how long it takes, and how it ends.
    takes: u64,
    ends: Ends,
    /// Its caller goes away after this time.
    patience: Option<u64>,
}

#[derive(Debug, Clone)]
struct Play {
    capacity: usize,
    /// In milliseconds, full tens.
    retention: u64,
    requests: Vec<Request>,
}

fn plays() -> impl Strategy<Value = Play> {
    let ends = prop_oneof![
        14 => Just(Ends::Well),
        4 => Just(Ends::Fails),
        1 => Just(Ends::Panics),
        1 => Just(Ends::PanicsAtOnce),
    ];
    let request = (
        1_u64..6,
        0_usize..4,
        prop::bool::weighted(0.15),
        0_u64..8,
        ends,
        prop::option::weighted(0.2, 0_u64..8),
    );
    let requests = prop::collection::vec(request, 1..24);
    (1_usize..5, 0_u64..20, requests).prop_map(|(capacity, retention, requests)| {
        let mut now = 0;
        let requests = requests
            .into_iter()
            .map(|(gap, key, other, takes, ends, patience)| {
                now += gap * 10;
                let patience = patience.map(|tens| tens * 10 + 3);
                let (amount, takes) = (u8::from(other), takes * 10 + 5);
                Request { comes: now, key, amount, takes, ends, patience }
            })
            .collect();
        Play { capacity, retention: retention * 10, requests }
    })
}

impl Script for Play {
    fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!(
            "a store: answers are kept for {} ms, {} keys at most",
            self.retention, self.capacity
        )];
        lines.extend(self.requests.iter().enumerate().map(|(number, request)| {
            let Request { comes, key, amount, takes, ends, patience } = request;
            let ends = match ends {
                Ends::Well => "ends well",
                Ends::Fails => "fails",
                Ends::Panics => "panics",
                Ends::PanicsAtOnce => "would panic when it is called",
            };
            let mut line = format!(
                "request {} at {comes} ms: key {key}, amount {amount}; its work would take {takes} ms \
                 and {ends}",
                number + 1
            );
            if let Some(patience) = patience {
                line += &format!("; its caller goes away after {patience} ms");
            }
            line
        }));
        lines
    }
}

/// What a request comes to, and when, in words.
type Told = (u64, String);

struct Work {
    key: usize,
    amount: u8,
    /// Which request started it.
    number: usize,
    at: u64,
    ends: Ends,
}

/// The documentation: everything that was ever worked on, looked through for every request.
fn model(play: &Play) -> Vec<Told> {
    let mut works: Vec<Work> = Vec::new();
    let mut told = Vec::new();
    for (number, request) in play.requests.iter().enumerate() {
        let now = request.comes;
        // A failure frees its key at once, an answer is forgotten at its age.
        let known = |work: &&Work| {
            now < work.at || (work.ends == Ends::Well && now - work.at < play.retention)
        };
        let mine = works.iter().filter(known).find(|work| work.key == request.key);
        let outcome = match mine {
            Some(work) if work.amount != request.amount => (now, mismatch()),
            Some(work) => (work.at.max(now), ended(work, true)),
            None if works.iter().filter(known).count() >= play.capacity => (now, full()),
            None if request.ends == Ends::PanicsAtOnce => (now, lost()),
            None => {
                let Request { key, amount, takes, ends, .. } = *request;
                let work = Work { key, amount, number, at: now + takes, ends };
                let outcome = (work.at, ended(&work, false));
                works.push(work);
                outcome
            }
        };
        let leaves = request.patience.map(|patience| now + patience);
        told.push(match leaves {
            Some(leaves) if leaves < outcome.0 => (leaves, gone()),
            _ => outcome,
        });
    }
    told
}

fn ended(work: &Work, replayed: bool) -> String {
    match work.ends {
        Ends::Well => answer(work.number, replayed),
        Ends::Fails => failure(work.number),
        Ends::Panics | Ends::PanicsAtOnce => lost(),
    }
}

fn answer(number: usize, replayed: bool) -> String {
    let replayed = if replayed { "replayed" } else { "not replayed" };
    format!("the answer of the work of request {}, {replayed}", number + 1)
}

fn failure(number: usize) -> String {
    format!("the failure of the work of request {}", number + 1)
}

fn mismatch() -> String {
    "a mismatch".to_owned()
}

fn full() -> String {
    "the store is full".to_owned()
}

/// A panic of the closure may pass to its caller, too.
fn lost() -> String {
    "a panic: the work is lost".to_owned()
}

fn gone() -> String {
    "its caller went away".to_owned()
}

/// Agrees with the model of a store.
pub async fn idempotency(cx: Cx) -> Outcome {
    compare(&cx, plays(), async |play: &Play| {
        let found = cx.call("Store::run", told(play)).await?.value;
        let headline = |number| format!("request {number} does not get what it should");
        Ok(compared(&model(play), &found, headline, |(at, what)| format!("{what}, at {at} ms")))
    })
    .await
}

async fn told(play: &Play) -> Vec<Told> {
    let store: Store<Key, u8, usize> =
        Store::new(StoreConfig { retention: ms(play.retention), capacity: nzu(play.capacity) });
    let began = Instant::now();
    join_all(play.requests.iter().enumerate().map(|(number, request)| {
        let store = store.clone();
        async move {
            sleep(ms(request.comes)).await;
            let Ok(key) = Key::new(&format!("key-{}", request.key)) else {
                return (0, "the key is refused".to_owned());
            };
            let Request { amount, takes, ends, .. } = *request;
            let work = || {
                if ends == Ends::PanicsAtOnce {
                    // Without the hook: a panic that is contained is not worth a note.
                    resume_unwind(Box::new("a closure with a bug"));
                }
                async move {
                    sleep(ms(takes)).await;
                    match ends {
                        Ends::Well => Completion::Stored(number),
                        Ends::Fails => Completion::Released(number),
                        _ => resume_unwind(Box::new("work with a bug")),
                    }
                }
            };
            let patience = ms(request.patience.unwrap_or(1_000_000));
            let run = AssertUnwindSafe(store.run(&key, amount, work)).catch_unwind();
            let asked = match timeout(patience, run).await {
                Ok(Err(_)) => return (began.elapsed().as_millis() as u64, lost()),
                Ok(Ok(asked)) => Ok(asked),
                Err(elapsed) => Err(elapsed),
            };
            let what = match asked {
                Err(_) => gone(),
                Ok(Ok(Answered { completion: Completion::Stored(number), replayed })) => {
                    answer(number, replayed)
                }
                Ok(Ok(Answered { completion: Completion::Released(number), .. })) => {
                    failure(number)
                }
                Ok(Err(IdempotencyError::Mismatch)) => mismatch(),
                Ok(Err(IdempotencyError::Full { .. })) => full(),
                Ok(Err(IdempotencyError::Lost)) => lost(),
            };
            (began.elapsed().as_millis() as u64, what)
        }
    }))
    .await
}
