//! Large figures and threads.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use futures::future::{join, join_all, poll_immediate};
use grader_kit::{Cx, Outcome, ensure, ensure_eq, ms, scarce};
use level4::single_flight::SingleFlight;
use tokio::runtime::Builder;
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};

use super::{Flight, LENGTH, RUN, call, value};
use crate::fetches::{Ends, Fetches};

const THREADS: usize = 4;
const ROUNDS: usize = 5_000;

pub async fn begins_with_the_first_poll(cx: Cx) -> Outcome {
    let (flight, record) = (Flight::new(), Fetches::new());
    let made = flight.run("a".to_owned(), record.work(LENGTH, Ends::Value));
    ensure!(
        record.count() == 0,
        "a future of `run` was made and not polled, and the work was called"
    );
    let kept = flight.len();
    ensure!(kept == 0, "a future of `run` was made and not polled, and `len` is {}", kept;
        expected = "0: it has joined nothing");
    let first = cx.call(RUN, call(&flight, &record, "a", 0, Ends::Value)).await?.value;
    ensure_eq!(
        first,
        (LENGTH, value(1)),
        "a future of `run` was made and not polled before another one"
    );
    sleep(ms(500)).await;
    let later = cx.call(RUN, made).await?.value;
    ensure_eq!(later, value(2), "a future of `run` was made before a run and polled after it";
        help = "look into the map at the first poll: inside of an `async fn` or an `async` block");
    Ok(())
}

pub async fn ten_thousand_callers_share_a_run(cx: Cx) -> Outcome {
    let (flight, record) = (Flight::new(), Fetches::new());
    let calls = (0..10_000).map(|_| call(&flight, &record, "a", 0, Ends::Value));
    let answers = cx.call("SingleFlight::run, with 10 000 callers", join_all(calls)).await?.value;
    ensure!(record.count() == 1, "10 000 callers: the work was run {} times", record.count(); expected = "once");
    let fine = answers.iter().all(|answer| *answer == (LENGTH, value(1)));
    ensure!(fine, "one of 10 000 callers did not get the value at {LENGTH} ms");
    Ok(())
}

pub async fn keeps_nothing_of_what_has_ended(cx: Cx) -> Outcome {
    let flight: SingleFlight<u64, u64, u64> = SingleFlight::new();
    let _ = flight.run(0, || async { Ok(0) }).await;
    let memory = scarce(1 << 20);
    for round in 0..20_u64 {
        let many = async {
            for number in 0..2_000 {
                let key = round * 10_000 + number;
                let _ = flight
                    .run(key, move || async move { if key % 2 == 0 { Ok(key) } else { Err(key) } })
                    .await;
                let never = flight.run(key, std::future::pending::<Result<u64, u64>>);
                let _ = poll_immediate(never).await;
                drop(flight.run(key, || async { Ok(1) }));
                let forgotten = flight.run(key + 5_000, std::future::pending::<Result<u64, u64>>);
                let mut forgotten = std::pin::pin!(forgotten);
                let _ = futures::poll!(&mut forgotten);
                flight.forget(&(key + 5_000));
            }
        };
        cx.call(RUN, many).await?;
        let kept = flight.len();
        ensure!(kept == 0, "all runs have ended, and `len` is {}", kept;
            expected = "0: nothing is kept of a run that has ended, with a value, with an error or with its callers");
    }
    drop(memory);
    nothing_is_kept_of_a_gone_caller(&cx).await
}

/// Callers that join a run and leave it, while it goes on for another one.
async fn nothing_is_kept_of_a_gone_caller(cx: &Cx) -> Outcome {
    let flight: SingleFlight<u64, u64, u64> = SingleFlight::new();
    let joins = || flight.run(0, std::future::pending::<Result<u64, u64>>);
    let mut stays = std::pin::pin!(joins());
    let _ = cx.call(RUN, poll_immediate(&mut stays)).await?;
    let mut memory = None;
    for _ in 0..20 {
        let many = async {
            for _ in 0..1_000 {
                // Two at a time, of which the first one leaves first.
                let _ = poll_immediate(join(joins(), joins())).await;
                // tokio notes each wait of a task that is never pending; the notes go when it is.
                yield_now().await;
            }
        };
        cx.call(RUN, many).await?;
        // What is allocated once does not count.
        memory.get_or_insert_with(|| scarce(128 << 10));
    }
    drop(memory);
    Ok(())
}

pub async fn threads_share_runs(cx: Cx) -> Outcome {
    // With callers that leave, an abandoned run may still be on its way out when the next one begins.
    for leave in [false, true] {
        threads(&cx, leave, Key::new(false)).await?;
    }
    threads(&cx, false, Key::new(true)).await
}

/// A key. A slow one holds up each look into a map, so that callers queue for the lock of the map: between two steps of a
/// caller another one takes its own. Its clone waits for a moment for the look of another thread: a caller clones the key
/// when it begins a run.
#[derive(Debug)]
struct Key {
    slow: bool,
    /// How often one of all clones was looked for.
    looks: Arc<AtomicUsize>,
}

impl Key {
    fn new(slow: bool) -> Self {
        Self { slow, looks: Arc::default() }
    }

    fn holds_up(&self) {
        if self.slow {
            std::thread::yield_now();
            for step in 0..2_000 {
                std::hint::black_box(step);
            }
        }
    }

    /// The same key, for another call. It waits for nothing.
    fn handle(&self) -> Self {
        Self { slow: self.slow, looks: Arc::clone(&self.looks) }
    }
}

impl PartialEq for Key {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Key {}

impl Clone for Key {
    fn clone(&self) -> Self {
        let before = self.looks.load(SeqCst);
        // Where the lock of the map is held meanwhile no other thread can look, and the time is over soon.
        for _ in 0..5 {
            if !self.slow || self.looks.load(SeqCst) != before {
                break;
            }
            std::thread::sleep(Duration::from_micros(50));
        }
        self.handle()
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.looks.fetch_add(1, SeqCst);
        self.holds_up();
        0.hash(state);
    }
}

async fn threads(cx: &Cx, leave: bool, key: Key) -> Outcome {
    let slow = key.slow;
    let rounds = if slow { ROUNDS / 20 } else { ROUNDS };
    let flight: SingleFlight<Key, usize, ()> = SingleFlight::new();
    let (inside, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (shared, seen, of) = (flight.clone(), Arc::clone(&most), key.handle());
    let served = cx.on_threads(RUN, THREADS, move |thread| {
        let Ok(runtime) = Builder::new_current_thread().enable_time().build() else { return 0 };
        runtime.block_on(async {
            let mut served = 0;
            for round in 0..rounds {
                let (inside, most) = (Arc::clone(&inside), Arc::clone(&seen));
                let work = move || async move {
                    let inside = Inside::enter(&inside, &most);
                    for _ in 0..3 {
                        yield_now().await;
                    }
                    drop(inside);
                    Ok(7)
                };
                if leave && (round + thread) % 5 == 0 {
                    let _ = poll_immediate(shared.run(of.handle(), work)).await;
                    served += 1;
                } else {
                    served += usize::from(shared.run(of.handle(), work).await == Ok(7));
                }
            }
            served
        })
    })?;
    let most = most.load(SeqCst);
    ensure!(leave || most <= 1, "{THREADS} threads ask for one key: {most} runs of it went on at the same time";
        expected = "one: the look into the map and the beginning of a run are one step",
        help = "look and insert under one lock");
    ensure!(
        served.iter().all(|served| *served == rounds),
        "a caller on one of {THREADS} threads got no value"
    );
    let kept = flight.len();
    ensure!(leave || kept == 0, "all threads have gone, and `len` is {}", kept; expected = "0");
    let next = timeout(ms(1000), flight.run(key, || async { Ok(8) }));
    let next = cx.call(RUN, next).await?.value;
    ensure!(matches!(next, Ok(Ok(_))), "all threads have gone, and the next caller gets no value");
    Ok(())
}

/// A run that is inside, until it is dropped.
struct Inside(Arc<AtomicUsize>);

impl Inside {
    fn enter(inside: &Arc<AtomicUsize>, most: &AtomicUsize) -> Self {
        most.fetch_max(inside.fetch_add(1, SeqCst) + 1, SeqCst);
        Self(Arc::clone(inside))
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}
