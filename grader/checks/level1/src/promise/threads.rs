//! A promise that is settled on another thread than the one that awaits it.

use std::hint::{black_box, spin_loop};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use grader_kit::{Cx, Outcome, ensure, lock};
use level1::promise::{Promise, Resolver};
use tokio::runtime::Builder;

use super::{Oops, P, outcome, yes};

/// Promises that are handed over together.
const BATCH: usize = 250;
const BATCHES: usize = 30;

/// The longest of the pauses that put the settlement before, into and behind the poll.
const LONGEST_PAUSE: usize = 600;

/// One thread awaits promises as fast as it can, two others settle each of them at the moment at which it
/// is polled.
pub async fn other_threads(cx: Cx) -> Outcome {
    // What works on no thread has no merit on several.
    let _ = outcome(&cx, "a promise", || P::resolved(String::new())).await?;
    type Way = (Sender<Resolver<String, Oops>>, Receiver<Resolver<String, Oops>>);
    let [(first, firsts), (second, seconds)]: [Way; 2] = [channel(), channel()];
    let senders = Mutex::new(Some((first, second)));
    let receivers = [Mutex::new(firsts), Mutex::new(seconds)];
    // How many promises are polled, or were.
    let polled = AtomicUsize::new(0);
    let work = move |number: usize| -> usize {
        let Some(settler) = number.checked_sub(1) else {
            let Some((first, second)) = lock(&senders).take() else { return 0 };
            let Ok(runtime) = Builder::new_current_thread().build() else { return 0 };
            let _in_it = runtime.enter();
            let mut wrong = 0;
            for _ in 0..BATCHES {
                let promise = |_| -> P {
                    let (first, second) = (first.clone(), second.clone());
                    Promise::new(move |resolver| {
                        let _ = (first.send(resolver.clone()), second.send(resolver));
                    })
                };
                let promises: Vec<P> = (0..BATCH).map(promise).collect();
                for promise in promises {
                    polled.fetch_add(1, SeqCst);
                    let result = runtime.block_on(promise);
                    wrong += usize::from(result != yes("1") && result != yes("2"));
                }
            }
            return wrong;
        };
        let resolvers = lock(&receivers[settler]);
        for index in 0.. {
            let Ok(resolver) = resolvers.recv() else { break };
            wait_until(|| polled.load(SeqCst) > index);
            // 101 and 397 are prime to the longest pause: every length comes, and each thread is the
            // first one at times.
            for _ in 0..index * [101, 397][settler] % LONGEST_PAUSE {
                black_box(());
            }
            resolver.resolve(number.to_string());
        }
        0
    };
    let wrong = cx.on_threads("a promise that is settled on another thread", 3, work)?;
    let wrong: usize = wrong.into_iter().sum();
    ensure!(wrong == 0, "of {} promises that two threads settle, {wrong} have neither value", BATCH * BATCHES;
        expected = "the value of the thread that came first",
        observed = format!("{wrong} other results"),
        help = "look and settle under one lock");
    Ok(())
}

/// Spins, so that it returns at the very moment; a thread that lost its core does not wait in vain.
fn wait_until(done: impl Fn() -> bool) {
    for _ in 0..500 {
        if done() {
            return;
        }
        spin_loop();
    }
    // Longer and longer, so that threads that wait for one another use no CPU time.
    let mut pause = Duration::from_micros(100);
    while !done() {
        thread::sleep(pause);
        pause = (2 * pause).min(Duration::from_millis(20));
    }
}
