//! A promise that is settled on another thread than the one that awaits it.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

use grader_kit::{Cx, Outcome, ensure, lock};
use level1::promise::{Promise, Resolver};
use tokio::runtime::Builder;

use super::{Oops, P, outcome, yes};

/// Promises that are handed over together.
const BATCH: usize = 250;
const BATCHES: usize = 80;

/// One thread awaits promises as fast as it can, two others settle them at the same time.
pub async fn other_threads(cx: Cx) -> Outcome {
    // What works on no thread has no merit on several.
    let _ = outcome(&cx, "a promise", || P::resolved(String::new())).await?;
    type Way = (Sender<Resolver<String, Oops>>, Receiver<Resolver<String, Oops>>);
    let [(first, firsts), (second, seconds)]: [Way; 2] = [channel(), channel()];
    let senders = Mutex::new(Some((first, second)));
    let receivers = [Mutex::new(firsts), Mutex::new(seconds)];
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
                    let result = runtime.block_on(promise);
                    wrong += usize::from(result != yes("1") && result != yes("2"));
                }
            }
            return wrong;
        };
        while let Ok(resolver) = lock(&receivers[settler]).recv() {
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
