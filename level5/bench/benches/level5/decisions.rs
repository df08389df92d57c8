//! Decisions without I/O: whose turn it is, which record counts, what a keystroke means.

use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::hint::black_box;
use std::time::Duration;

use bench_kit::work::Work;
use level5::conflict::{
    Fields, Latest, Record, SourceId, Stamp, Standing, Standings, Strategy, resolve,
};
use level5::form_validator::{Code, FieldId, FormBuilder, Verdict};
use level5::priority_queue::{Priority, PriorityQueue};
use serde_json::json;
use tokio::runtime::Runtime;
use tokio::time::Instant;

use crate::Failed;

/// Items that wait while others come and go.
const BACKLOG: u64 = 10_000;

/// All of them, for `cargo bench`.
pub fn all(runtime: &Runtime) -> Result<Vec<Work<'_>>, Failed> {
    Ok(vec![queue(runtime), newest(), merge(), keystroke(runtime)?])
}

fn priority(number: u64) -> Priority {
    Priority::ALL[(number % 4) as usize]
}

/// An item in and another one out, while 10 000 wait.
fn queue(runtime: &Runtime) -> Work<'_> {
    let mut queue = PriorityQueue::new(Duration::from_secs(30));
    let now = runtime.block_on(async { Instant::now() });
    (0..BACKLOG).for_each(|number| queue.push(number, priority(number), now));
    let mut number = BACKLOG;
    let own = move |times| {
        for _ in 0..times {
            number += 1;
            queue.push(number, priority(number), now);
            black_box(queue.pop(now));
        }
    };
    let mut heap: BinaryHeap<(Priority, std::cmp::Reverse<u64>)> =
        (0..BACKLOG).map(|number| (priority(number), std::cmp::Reverse(number))).collect();
    let mut next = BACKLOG;
    let (sender, receiver) = crossbeam_channel::unbounded();
    for number in 0..BACKLOG {
        let _ = sender.send(number);
    }
    let mut sent = BACKLOG;
    Work::new("priority queue, an item in and out", own)
        .beside("std BinaryHeap", "low priorities starve; no item is lifted by its age", move |n| {
            for _ in 0..n {
                next += 1;
                heap.push((priority(next), std::cmp::Reverse(next)));
                black_box(heap.pop());
            }
        })
        .beside(
            "crossbeam channel",
            "no priorities; but any thread may send and receive",
            move |n| {
                for _ in 0..n {
                    sent += 1;
                    let _ = sender.send(sent);
                    black_box(receiver.try_recv().ok());
                }
            },
        )
}

/// The record of a source: five fields, of which some differ.
fn record(source: &str, version: u64) -> Record {
    let content: Fields = [
        ("name", json!("Ann")),
        ("email", json!("ann@example.com")),
        ("city", json!(source)),
        ("visits", json!(version)),
        ("active", json!(true)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    let at = jiff::Timestamp::UNIX_EPOCH + Duration::from_secs(version);
    Record { stamp: Stamp { at, version, source: SourceId::new(source) }, content: Some(content) }
}

/// Three sources with standings.
fn three() -> (Latest<Record>, Standings) {
    let mut latest = Latest::new();
    for (version, source) in (1..).zip(["crm", "shop", "mail"]) {
        latest.offer(record(source, version));
    }
    let standing = |priority| Standing { priority, trust: 10 - priority };
    let standings = (1..).zip(["crm", "shop", "mail"]);
    (latest, standings.map(|(rank, source)| (SourceId::new(source), standing(rank))).collect())
}

/// The decision for a record that three sources have, by the newest.
fn newest<'a>() -> Work<'a> {
    let (latest, standings) = three();
    let records: Vec<Record> = latest.in_order().into_iter().cloned().collect();
    Work::new("conflict, the newest of three records", move |times| {
        for _ in 0..times {
            black_box(resolve(&latest, Strategy::Newest, &standings));
        }
    })
    .beside(
        "std HashMap, the last write wins",
        "the order of arrival decides, so two regions do not agree",
        move |times| {
            let mut known: HashMap<u64, Option<Fields>> = HashMap::new();
            for _ in 0..times {
                for record in &records {
                    known.insert(1, record.content.clone());
                }
                black_box(&known);
            }
        },
    )
}

/// The decision for a record that three sources have, field by field.
fn merge<'a>() -> Work<'a> {
    let (latest, standings) = three();
    let records: Vec<Fields> =
        latest.in_order().into_iter().filter_map(|record| record.content.clone()).collect();
    Work::new("conflict, three records merged", move |times| {
        for _ in 0..times {
            black_box(resolve(&latest, Strategy::Merge, &standings));
        }
    })
    .beside(
        "std BTreeMap, extended",
        "no origin for a field, no standing, no deletion",
        move |times| {
            for _ in 0..times {
                let mut all: Fields = BTreeMap::new();
                for fields in &records {
                    all.extend(fields.clone());
                }
                black_box(all);
            }
        },
    )
}

const NAME: FieldId = FieldId::new("username");
const EMAIL: FieldId = FieldId::new("email");
const SHORT: Code = Code::new("too-short");
const NO_AT: Code = Code::new("no-at");

fn length(name: &str) -> bool {
    name.chars().count() >= 3
}

/// A keystroke in a form with two fields and three rules that answer at once.
fn keystroke(runtime: &Runtime) -> Result<Work<'_>, Failed> {
    let verdict = |holds, code| if holds { Verdict::ok() } else { Verdict::error(code) };
    let form = FormBuilder::new()
        .field(NAME)
        .field(EMAIL)
        .sync_rule(NAME, "length", &[], move |name, _| verdict(length(name), SHORT))
        .sync_rule(NAME, "unlike-email", &[EMAIL], move |name, form| {
            let local = form.get(EMAIL).and_then(|email| email.split('@').next());
            verdict(local != Some(name), SHORT)
        })
        .sync_rule(EMAIL, "has-at", &[], move |email, _| verdict(email.contains('@'), NO_AT))
        .build()?;
    form.set(EMAIL, "ann@example.com")?;
    let shown = form.status();
    let mut odd = false;
    let mut by_hand = (String::new(), "ann@example.com".to_owned());
    Ok(Work::new("form, a keystroke", move |times| {
        let _in_runtime = runtime.enter();
        for _ in 0..times {
            odd = !odd;
            let _ = form.set(NAME, if odd { "annie" } else { "an" });
            black_box(*shown.borrow());
        }
    })
    .beside(
        "a function with the same rules",
        "no status of its own for a field, no watchers, no checks that ask a service",
        move |times| {
            for number in 0..times {
                (if number % 2 == 0 { "annie" } else { "an" }).clone_into(&mut by_hand.0);
                let (name, email) = (&by_hand.0, &by_hand.1);
                let mut errors = Vec::new();
                if !length(name) {
                    errors.push("too-short");
                }
                if email.split('@').next() == Some(name.as_str()) {
                    errors.push("too-similar");
                }
                if !email.contains('@') {
                    errors.push("no-at");
                }
                black_box(errors);
            }
        },
    ))
}
