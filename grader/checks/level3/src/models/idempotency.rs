//! `idempotency::Store` against its model.

use futures::future::join_all;
use grader_kit::{Cx, Outcome, ms};
use level3::idempotency::{Answered, Completion, IdempotencyError, Key, Store, StoreConfig};
use proptest::prelude::{Strategy, any, prop};
use tokio::time::{Instant, sleep, timeout};

use super::{Script, compare, compared};
use crate::parts::nzu;

/// Requests come at full tens of milliseconds, work ends and callers go away in between.
const RETENTION: u64 = 100;

/// One request.
#[derive(Debug, Clone)]
struct Request {
    comes: u64,
    key: usize,
    amount: u8,
    /// If this request starts the work: how long it takes, and whether it ends well.
    takes: u64,
    well: bool,
    /// Its caller goes away after this time.
    patience: Option<u64>,
}

#[derive(Debug, Clone)]
struct Play {
    capacity: usize,
    requests: Vec<Request>,
}

fn plays() -> impl Strategy<Value = Play> {
    let request = (
        1_u64..6,
        0_usize..3,
        prop::bool::weighted(0.15),
        0_u64..8,
        prop::bool::weighted(0.7),
        prop::option::weighted(0.2, 0_u64..8),
    );
    (any::<bool>(), prop::collection::vec(request, 1..24)).prop_map(|(small, requests)| {
        let mut now = 0;
        let requests = requests
            .into_iter()
            .map(|(gap, key, other, takes, well, patience)| {
                now += gap * 10;
                let patience = patience.map(|tens| tens * 10 + 3);
                let (amount, takes) = (u8::from(other), takes * 10 + 5);
                Request { comes: now, key, amount, takes, well, patience }
            })
            .collect();
        Play { capacity: if small { 2 } else { 3 }, requests }
    })
}

impl Script for Play {
    fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!(
            "a store: answers are kept for {RETENTION} ms, {} keys at most",
            self.capacity
        )];
        lines.extend(self.requests.iter().enumerate().map(|(number, request)| {
            let Request { comes, key, amount, takes, well, patience } = request;
            let ends = if *well { "ends well" } else { "fails" };
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
    ends: u64,
    well: bool,
}

/// The documentation: everything that was ever worked on, looked through for every request.
fn model(play: &Play) -> Vec<Told> {
    let mut works: Vec<Work> = Vec::new();
    let mut told = Vec::new();
    for (number, request) in play.requests.iter().enumerate() {
        let now = request.comes;
        // A failure frees its key at once, an answer is forgotten at its age.
        let known = |work: &&Work| now < work.ends || (work.well && now - work.ends < RETENTION);
        let mine = works.iter().filter(known).find(|work| work.key == request.key);
        let outcome = match mine {
            Some(work) if work.amount != request.amount => (now, mismatch()),
            Some(work) => (work.ends.max(now), ended(work, true)),
            None if works.iter().filter(known).count() >= play.capacity => (now, full()),
            None => {
                let Request { key, amount, takes, well, .. } = *request;
                let work = Work { key, amount, number, ends: now + takes, well };
                let outcome = (work.ends, ended(&work, false));
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
    if work.well { answer(work.number, replayed) } else { failure(work.number) }
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
        Store::new(StoreConfig { retention: ms(RETENTION), capacity: nzu(play.capacity) });
    let began = Instant::now();
    join_all(play.requests.iter().enumerate().map(|(number, request)| {
        let store = store.clone();
        async move {
            sleep(ms(request.comes)).await;
            let Ok(key) = Key::new(&format!("key-{}", request.key)) else {
                return (0, "the key is refused".to_owned());
            };
            let Request { amount, takes, well, .. } = *request;
            let work = || async move {
                sleep(ms(takes)).await;
                if well { Completion::Stored(number) } else { Completion::Released(number) }
            };
            let patience = ms(request.patience.unwrap_or(1_000_000));
            let what = match timeout(patience, store.run(&key, amount, work)).await {
                Err(_) => gone(),
                Ok(Ok(Answered { completion: Completion::Stored(number), replayed })) => {
                    answer(number, replayed)
                }
                Ok(Ok(Answered { completion: Completion::Released(number), .. })) => {
                    failure(number)
                }
                Ok(Err(IdempotencyError::Mismatch)) => mismatch(),
                Ok(Err(IdempotencyError::Full { .. })) => full(),
                Ok(Err(IdempotencyError::Lost)) => "the work is lost".to_owned(),
            };
            (began.elapsed().as_millis() as u64, what)
        }
    }))
    .await
}
