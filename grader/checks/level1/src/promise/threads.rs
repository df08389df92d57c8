//! A promise that is settled on another thread than the one that awaits it.

use std::hint::{black_box, spin_loop};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use futures::future::{join_all, poll_fn};
use futures::task::AtomicWaker;
use grader_kit::{Cx, Outcome, ensure, lock};
use level1::promise::{Promise, Resolver};
use tokio::runtime::{Builder, Runtime};
use tokio::task::unconstrained;
use tokio::time::timeout;

use super::{Oops, P, Settled, outcome, yes};

/// Promises that are awaited, one after the other.
const PROMISES: usize = 400;

/// Turns of an empty loop between a poll and the look whether the promise is settled. Without them most polls that
/// meet a settlement are followed by another poll, which finds the result; with them the settlement has come to its
/// end, and such a poll is the last one.
const PAUSES: [usize; 4] = [0, 10, 30, 100];

/// Polls of one promise before the thread that awaits it goes to sleep.
const MOST_POLLS: usize = 20_000;

/// One thread polls promises in a tight loop, each time with another waker, and another thread settles them
/// meanwhile: many of the settlements come in the middle of a poll.
pub async fn other_threads(cx: Cx) -> Outcome {
    // What works on no thread has no merit on several.
    let _ = outcome(&cx, "a promise", || P::resolved(String::new())).await?;
    type Way = (Sender<Resolver<String, Oops>>, Receiver<Resolver<String, Oops>>);
    let (give, take): Way = channel();
    let (give, take) = (Mutex::new(Some(give)), Mutex::new(take));
    // How many promises are polled, or were, and how many are settled.
    let (polled, settled) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let work = move |number: usize| -> usize {
        if number == 0 {
            let Some(give) = lock(&give).take() else { return 0 };
            let Ok(runtime) = Builder::new_current_thread().build() else { return 0 };
            let _in_it = runtime.enter();
            let mut wrong = 0;
            for index in 0..PROMISES {
                let give = give.clone();
                let promise = Promise::new(move |resolver| drop(give.send(resolver)));
                polled.store(index + 1, SeqCst);
                let settled = || settled.load(SeqCst) > index;
                let result = poll(&runtime, promise, PAUSES[index % PAUSES.len()], settled);
                wrong += usize::from(result != yes("settled"));
            }
            return wrong;
        }
        let resolvers = lock(&take);
        for index in 0..PROMISES {
            let Ok(resolver) = resolvers.recv() else { break };
            wait_until(|| polled.load(SeqCst) > index);
            // At another point of the loop each time.
            for _ in 0..index % 97 {
                black_box(());
            }
            resolver.resolve("settled".to_owned());
            settled.store(index + 1, SeqCst);
        }
        0
    };
    let wrong = cx.on_threads("a promise that is settled on another thread", 2, work)?;
    let wrong: usize = wrong.into_iter().sum();
    ensure!(wrong == 0, "of {PROMISES} promises that another thread settles, {wrong} have another value";
        expected = "the value that the other thread gave",
        observed = format!("{wrong} other results"),
        help = "look and settle under one lock");
    ready_among_late_calls(&cx)?;
    abandoned_on_threads(&cx).await
}

/// One thread settles a promise and goes on calling its resolver, without effect; another one awaits the promise
/// meanwhile. A poll that meets such a call is still ready, or wakes its task: no later call will.
fn ready_among_late_calls(cx: &Cx) -> Outcome {
    const PROMISES: usize = 60;
    // The last call, should the other thread not come to its end before.
    const MOST_CALLS: usize = 30_000;
    let (give, take) = channel();
    let (give, take) = (Mutex::new(Some(give)), Mutex::new(take));
    // How many promises are settled, and how many were awaited.
    let (settled, awaited) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let work = move |number: usize| {
        if number == 0 {
            let Some(give) = lock(&give).take() else { return };
            let Ok(runtime) = Builder::new_current_thread().build() else { return };
            let _in_it = runtime.enter();
            for index in 0..PROMISES {
                let (hand, handed) = channel();
                let promise = P::new(move |resolver| drop(hand.send(resolver)));
                // Whether the executor runs at once is asked elsewhere.
                let Ok(resolver) = handed.try_recv() else { return };
                if give.send(resolver).is_err() {
                    return;
                }
                wait_until(|| settled.load(SeqCst) > index);
                // With which value is asked elsewhere.
                let _ = runtime.block_on(promise);
                awaited.store(index + 1, SeqCst);
            }
            return;
        }
        let resolvers = lock(&take);
        let resolvers = resolvers.iter();
        for (index, resolver) in resolvers.enumerate() {
            let resolver: Resolver<String, Oops> = resolver;
            resolver.resolve("settled".to_owned());
            settled.store(index + 1, SeqCst);
            for _ in 0..MOST_CALLS {
                if awaited.load(SeqCst) > index {
                    break;
                }
                resolver.resolve(String::new());
            }
        }
    };
    let name = "a promise that is settled on another thread, which goes on calling its resolver";
    cx.on_threads(name, 2, work).map(drop)
}

/// Promises whose two resolvers are dropped on two threads at the same time. Neither is the last one by a look at the
/// other, and one of them is.
///
/// On a busy machine the two threads seldom run at the same time: then more promises are tried.
async fn abandoned_on_threads(cx: &Cx) -> Outcome {
    const ROUNDS: usize = 6;
    const MOST_ROUNDS: usize = 40;
    const AT_ONCE: usize = 400;
    /// Promises whose resolvers were dropped side by side: so many are enough.
    const ENOUGH: usize = ROUNDS * AT_ONCE / 2;
    let (mut pending, mut met, mut count) = (0, 0, 0);
    for round in 0..MOST_ROUNDS {
        if pending > 0 || (round >= ROUNDS && met >= ENOUGH) {
            break;
        }
        let mut resolvers = [Vec::with_capacity(AT_ONCE), Vec::with_capacity(AT_ONCE)];
        let make = || {
            let mut promises = Vec::with_capacity(AT_ONCE);
            for _ in 0..AT_ONCE {
                let (give, take) = channel();
                let promise = P::new(move |resolver| drop(give.send(resolver)));
                // Whether the executor runs at once is asked elsewhere.
                if let Ok(resolver) = take.try_recv() {
                    resolvers[0].push(resolver.clone());
                    resolvers[1].push(resolver);
                    promises.push(promise);
                }
            }
            promises
        };
        let promises: Vec<P> = cx.call_fn("Promise::new", make).await?;
        let resolvers = resolvers.map(Mutex::new);
        // How many each thread has begun to drop.
        let begun = [AtomicUsize::new(0), AtomicUsize::new(0)];
        // How often this thread did not lose its core while it waited for the other one.
        let work = move |number: usize| -> usize {
            let mine = std::mem::take(&mut *lock(&resolvers[number]));
            let mut met = 0;
            for (index, resolver) in mine.into_iter().enumerate() {
                begun[number].store(index + 1, SeqCst);
                // Side by side. One that lost its core is waited for, but not for long.
                for turn in 0..600 {
                    if begun[1 - number].load(SeqCst) > index {
                        met += usize::from(turn < 500);
                        break;
                    }
                    if turn < 500 {
                        spin_loop();
                    } else {
                        thread::yield_now();
                    }
                }
                drop(resolver);
            }
            met
        };
        // The one that comes first has waited, the other one may have come much later: the fewer count.
        met += cx.on_threads("Resolver::drop", 2, work)?.into_iter().min().unwrap_or_default();
        count += promises.len();
        let waits = promises.into_iter().map(|promise| timeout(Duration::from_secs(1), promise));
        let ended = cx.call("Promise::poll", unconstrained(join_all(waits))).await?.value;
        pending += ended.iter().filter(|end| end.is_err()).count();
    }
    ensure!(pending == 0, "of {count} promises whose two resolvers were dropped on two threads at once, {pending} stay pending";
        expected = "each is rejected with Broken::Abandoned",
        observed = format!("{pending} are pending, and no resolver is left"),
        help = "a count that is read before it falls says 2 on both threads. Let the decrement itself say which \
                resolver is the last one: the destructor of what an Arc holds runs once, in its last drop");
    Ok(())
}

/// A task that polls, as its waker sees it.
#[derive(Default)]
struct Task {
    woken: AtomicBool,
    then: AtomicWaker,
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, SeqCst);
        self.then.wake();
    }
}

/// A task with a waker of another kind.
struct Other(Arc<Task>);

impl Wake for Other {
    fn wake(self: Arc<Self>) {
        Arc::clone(&self.0).wake();
    }
}

/// Polls the promise until it is ready, or settled without having been ready; then waits for the waker of
/// the last poll. A wake-up that is lost keeps it waiting.
///
/// A wake-up of the very first waker is enough: whether the promise keeps the latest one is asked elsewhere.
/// One that is lost in the middle of a poll goes to the waker of the poll before.
fn poll(runtime: &Runtime, mut promise: P, pause: usize, settled: impl Fn() -> bool) -> Settled {
    let mut tasks = [Arc::new(Task::default()), Arc::new(Task::default())];
    for number in 0..MOST_POLLS {
        if number > 0 {
            tasks[1] = Arc::default();
        }
        let task = Arc::clone(&tasks[number.min(1)]);
        // Neighbours are of different kinds: whether those of one kind are told apart is asked elsewhere.
        let waker = if number % 2 == 0 { Waker::from(task) } else { Arc::new(Other(task)).into() };
        let poll = Future::poll(Pin::new(&mut promise), &mut Context::from_waker(&waker));
        if let Poll::Ready(result) = poll {
            return result;
        }
        for _ in 0..pause {
            spin_loop();
        }
        // From the third poll on, the one before it was not the first.
        if number > 1 && settled() {
            break;
        }
    }
    runtime.block_on(poll_fn(|cx| {
        for task in &tasks {
            task.then.register(cx.waker());
        }
        if tasks.iter().any(|task| task.woken.load(SeqCst)) {
            Future::poll(Pin::new(&mut promise), cx)
        } else {
            Poll::Pending
        }
    }))
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
