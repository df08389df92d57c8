//! Panics, large figures, several threads.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};

use futures::future::{join, poll_immediate};
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use grader_kit::marbles::{Marbles, Mark};
use grader_kit::{Cx, Outcome, ensure, ensure_eq, ms, scarce};
use level4::state_store::Store;
use tokio::task::yield_now;
use tokio::time::sleep;

use super::{Page, SELECT, TRACK, UPDATE, observed, page, shown};
use crate::ops::NEWEST_WAKER;
use crate::panics::Payload;

const THREADS: usize = 4;
const ROUNDS: u32 = 10_000;

pub async fn no_update_is_lost(cx: Cx) -> Outcome {
    let store = Store::new(0_u32);
    let shared = store.clone();
    cx.on_threads(UPDATE, THREADS, move |_| {
        for _ in 0..ROUNDS {
            shared.update(|state| *state += 1);
        }
    })?;
    let sum = store.view().state;
    ensure!(sum == 4 * ROUNDS, "{THREADS} threads add one, {ROUNDS} times each: the sum is {sum}";
        expected = (4 * ROUNDS).to_string(), help = "read the state and write the next one under one lock");
    Ok(())
}

/// Whether the thread that writes is still writing, for those that read meanwhile.
#[derive(Default)]
struct Writes(AtomicBool);

impl Writes {
    fn end(&self) {
        self.0.store(true, SeqCst);
    }

    fn go_on(&self) -> bool {
        !self.0.load(SeqCst)
    }
}

/// Two fields that are always changed together.
type Pair = (u32, u32);

async fn fails() -> Result<(), &'static str> {
    Err("no luck")
}

pub async fn a_change_is_one_step(cx: Cx) -> Outcome {
    let store: Store<Pair> = Store::new((0, 0));
    let _ = poll_immediate(store.track("load", fails())).await;
    let writes = Writes::default();
    let mixed = cx.on_threads(UPDATE, THREADS, move |thread| {
        let mut mixed = (0_u32, 0_u32);
        if thread == 0 {
            for number in 0..ROUNDS / 3 {
                store.update(|pair| {
                    pair.0 = number;
                    pair.1 = number;
                });
                let _ = store.track("load", fails()).now_or_never();
            }
            writes.end();
        }
        while writes.go_on() {
            // On two processors, four threads that never yield leave the writer little time.
            std::thread::yield_now();
            let view = store.view();
            mixed.0 += u32::from(view.state.0 != view.state.1);
            mixed.1 += u32::from(!view.loading("load") && view.error("load").is_none());
        }
        mixed
    })?;
    let (fields, ends) = mixed.iter().fold((0, 0), |sum, mixed| (sum.0 + mixed.0, sum.1 + mixed.1));
    ensure!(fields == 0, "an update changes two fields together, and a reader on another thread saw only one of them changed, {fields} times";
        help = "make the whole next view, and publish it once");
    ensure!(ends == 0, "each run of an operation fails, and a reader on another thread saw it over and without an error, {ends} times";
        help = "the end of a run and its error are one step, and so are a begin and the end of the old error");
    Ok(())
}

pub async fn resets_in_one_step(cx: Cx) -> Outcome {
    const HELP: &str = "state, counts and errors are replaced by one write";
    let store = Store::new(page("guest"));
    let _ = cx.call(TRACK, store.track("load", fails())).await?;
    store.update(|page| *page = Page { user: "anna".to_owned(), seats: 5 });
    let mut run = Box::pin(store.track("save", sleep(ms(50)).map(Ok::<_, String>)));
    let _ = poll_immediate(&mut run).await;
    let before = store.view();
    cx.call_fn("Store::reset", || store.reset()).await?;
    for operation in ["load", "save"] {
        ensure_eq!(shown(&store.view(), operation), "guest with 0 seats, idle, no error", "`load` has failed, `save` runs, the state was changed, then a reset: state and {operation:?}"; help = HELP);
    }
    ensure_eq!(
        shown(&before, "save"),
        "anna with 5 seats, loading, no error",
        "a view that was taken before a reset"
    );
    drop(run);
    let writes = Writes::default();
    let mixed = cx.on_threads("Store::reset", THREADS, move |thread| {
        let mut mixed = 0_u32;
        if thread == 0 {
            for _ in 0..ROUNDS / 3 {
                store.update(|page| page.seats = 1);
                let _ = store.track("load", fails()).now_or_never();
                store.reset();
            }
            writes.end();
        }
        while writes.go_on() {
            // On two processors, four threads that never yield leave the writer little time.
            std::thread::yield_now();
            let view = store.view();
            // An error exists only while the seats are 1.
            mixed += u32::from(view.state.seats == 0 && view.error("load").is_some());
        }
        mixed
    })?;
    let mixed: u32 = mixed.iter().sum();
    ensure!(mixed == 0, "a reader on another thread saw the state from after a reset with an error from before it, {mixed} times"; help = HELP);
    Ok(())
}

pub async fn a_panic_leaves_no_trace(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    for payload in Payload::all(&draw.word()) {
        let store = Store::new(page("anna"));
        let thrown = payload.clone();
        let change = || {
            store.update(|page| {
                page.user = "half".to_owned();
                thrown.throw()
            });
        };
        let caught = cx.call_fn(UPDATE, || catch_unwind(AssertUnwindSafe(change))).await?;
        ensure!(caught.is_err_and(|panic| payload.is(&*panic)), "a panic in a closure of `update` does not pass to its caller";
            expected = "the same panic");
        ensure_eq!(shown(&store.view(), "load"), "anna with 0 seats, idle, no error", "a closure of `update` has changed one field and panicked";
            help = "let the closure change a copy, and publish it when the closure has returned");
        let thrown = payload.clone();
        let panics = async {
            sleep(ms(10)).await;
            if true {
                thrown.throw();
            }
            Ok::<(), String>(())
        };
        let run = AssertUnwindSafe(store.track("load", panics)).catch_unwind();
        let caught = cx.call(TRACK, run).await?.value;
        ensure!(caught.is_err_and(|panic| payload.is(&*panic)), "a panic in the work of `track` does not pass to its caller";
            expected = "the same panic");
        ensure_eq!(shown(&store.view(), "load"), "anna with 0 seats, idle, no error", "a run has panicked";
            help = "a destructor inside of the future ends the run");
        cx.call_fn(UPDATE, || store.update(|page| page.seats = 1)).await?;
        let next = cx.call(TRACK, store.track("load", async { Ok::<_, String>(3) })).await?.value;
        ensure_eq!(next, Ok(3), "a run after a panic");
        ensure_eq!(
            shown(&store.view(), "load"),
            "anna with 1 seats, idle, no error",
            "an update and a run after a panic"
        );
    }
    Ok(())
}

pub async fn waits_without_looking(cx: Cx) -> Outcome {
    let store = Store::new(0);
    let mut stream = store.select(|view| view.state);
    let reads = async {
        let mut read = Vec::new();
        for _ in 0..3 {
            read.extend(stream.next().await);
        }
        read
    };
    let changes = async {
        sleep(ms(200_000)).await;
        store.update(|state| *state = 1);
        sleep(ms(200_000)).await;
        store.update(|state| *state = 2);
    };
    let call = cx.call(SELECT, join(reads, changes)).await?;
    ensure_eq!(call.value.0, [0, 1, 2], "two changes in 400 s");
    ensure!(call.polls < 100, "two changes in 400 s took {} polls", call.polls;
        expected = "a few: a reader is woken by a change", help = "no loop that checks repeatedly");
    sleeps_without_a_change(&cx).await?;
    wakes_all(&cx).await?;
    moves(&cx).await
}

/// Counts how often it is woken.
#[derive(Default)]
struct Wakes(AtomicU32);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// Updates that change nothing wake no reader, and a change does.
async fn sleeps_without_a_change(cx: &Cx) -> Outcome {
    let store = Store::new(page("anna"));
    let mut stream = store.select(|view| view.state.user.clone());
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let mut read = || {
        let mut read = Vec::new();
        while let Poll::Ready(item) = stream.poll_next_unpin(&mut Context::from_waker(&waker)) {
            let ended = item.is_none();
            read.extend(item);
            if ended {
                break;
            }
        }
        read
    };
    let first = cx.call_fn(SELECT, &mut read).await?;
    ensure_eq!(first, ["anna"], "what a stream yields before there was a change");
    let nothing = || {
        let mut yielded = Vec::new();
        for number in 0..1_000 {
            let before = wakes.0.load(SeqCst);
            match number % 3 {
                0 => store.update(|_| {}),
                1 => store.update(|page| page.user = "anna".to_owned()),
                _ => store.update(|page| {
                    page.seats += 1;
                    page.seats -= 1;
                }),
            }
            if wakes.0.load(SeqCst) > before {
                yielded.extend(read());
            }
        }
        yielded
    };
    let yielded = cx.call_fn(UPDATE, nothing).await?;
    let woken = wakes.0.load(SeqCst);
    ensure!(woken < 10 && yielded.is_empty(), "a thousand updates leave the state as it was, and a reader that waits is woken {woken} times";
        expected = "it sleeps: nothing has changed", help = "compare the state before and after the update, and notify only if they differ");
    cx.call_fn(UPDATE, || store.update(|page| page.user = "bert".to_owned())).await?;
    ensure!(
        wakes.0.load(SeqCst) > woken,
        "the state has changed, and a reader that waits is not woken"
    );
    let read = cx.call_fn(SELECT, &mut read).await?;
    ensure_eq!(read, ["bert"], "what a stream yields after a change");
    Ok(())
}

/// Readers that wait in tasks of their own are all woken: by an update, by a reset, and by the end.
async fn wakes_all(cx: &Cx) -> Outcome {
    const READERS: usize = 5;
    let store = Store::new(0);
    // Each of them is polled only when it was woken itself.
    let reads: FuturesUnordered<_> = (0..READERS)
        .map(|_| observed(5_000, store.select(|view| view.state.to_string())))
        .collect();
    let script = async {
        sleep(ms(10)).await;
        store.update(|state| *state = 1);
        sleep(ms(10)).await;
        store.reset();
        sleep(ms(10)).await;
        drop(store);
    };
    let (seen, ()) = cx.call(SELECT, join(reads.collect::<Vec<_>>(), script)).await?.value;
    let marks = [Mark::item("0"), Mark::item("1"), Mark::item("0"), Mark::End];
    let expected = Marbles::at((0..).step_by(10).zip(marks));
    for seen in seen {
        seen.ensure(
            &expected,
            "one of five readers that wait, each in a task of its own: an update, a reset and the end of the store",
            "a change wakes all readers",
        )?;
    }
    Ok(())
}

/// A stream that one task has polled and another one awaits.
async fn moves(cx: &Cx) -> Outcome {
    for end in [false, true] {
        let store = Store::new(0);
        let mut stream = store.select(|view| view.state);
        while stream.next().now_or_never().is_some() {}
        let script = async {
            sleep(ms(10)).await;
            store.update(|state| *state = 7);
            if end {
                drop(store);
                return None;
            }
            Some(store)
        };
        let reads = observed(1_000, stream.map(|state| state.to_string()));
        let (seen, _store) = cx.call(SELECT, join(reads, script)).await?.value;
        // What was ready at the first poll may come with the second one.
        let seen = Marbles::at(seen.marks().iter().filter(|(at, _)| *at > 0).cloned());
        let mut expected = vec![(10, Mark::item("7"))];
        expected.extend(end.then_some((10, Mark::End)));
        seen.ensure(
            &Marbles::at(expected),
            "a stream that one task has polled and another one awaits, and a change at 10 ms",
            NEWEST_WAKER,
        )?;
    }
    Ok(())
}

pub async fn keeps_nothing_of_what_has_gone(cx: Cx) -> Outcome {
    // Names of many operations, made once.
    let names: &'static [&'static str] = {
        let names: Vec<&'static str> =
            (0..30_000).map(|number| &*number.to_string().leak()).collect();
        names.leak()
    };
    let value = Arc::new(());
    let store = Store::new((0, Arc::clone(&value)));
    let keeps = store.select(|view| view.state.0);
    // A run that goes on while others of its operation are dropped.
    let mut goes_on = Box::pin(store.track("long", std::future::pending::<Result<(), String>>()));
    let _ = poll_immediate(&mut goes_on).await;
    let mut memory = None;
    for round in 0..30 {
        let many = async {
            for (number, name) in names.iter().enumerate().skip(round * 1_000).take(1_000) {
                let mut stream = store.select(|view| view.state.0);
                let _ = poll_immediate(stream.next()).await;
                store.update(|state| *state = (number, Arc::new(())));
                let _ = poll_immediate(stream.next()).await;
                let _ = store.track(name, async { Ok::<_, String>(()) }).await;
                let lost = store.track(name, std::future::pending::<Result<(), String>>());
                let _ = poll_immediate(lost).await;
                let other = store.track("long", std::future::pending::<Result<(), String>>());
                let _ = poll_immediate(other).await;
                // tokio notes each wait of a task that is never pending; the notes go when it is.
                yield_now().await;
            }
        };
        cx.call(SELECT, many).await?;
        // After the first round: what is allocated once does not count.
        memory.get_or_insert_with(|| scarce(256 << 10));
    }
    drop(memory);
    drop(goes_on);
    ensure!(store.readers() == 1, "30 000 streams have come and gone, one is there, and `readers` is {}", store.readers(); expected = "1");
    drop(keeps);
    ensure!(store.readers() == 0, "all streams are dropped, and `readers` is {}", store.readers(); expected = "0");
    // The first state stays, for `reset`; the rest is dropped.
    let second = Arc::new(());
    store.update(|state| state.1 = Arc::clone(&second));
    store.update(|state| state.1 = Arc::clone(&value));
    ensure!(Arc::strong_count(&second) == 1, "a state was replaced by another one, and is still kept"; expected = "it is dropped at once");
    // A reader that has read a state and is not polled any more.
    let mut reads = store.select(|view| view.state.0);
    let third = Arc::new(());
    store.update(|state| *state = (7, Arc::clone(&third)));
    let _ = poll_immediate(reads.next()).await;
    store.update(|state| *state = (8, Arc::clone(&value)));
    ensure!(Arc::strong_count(&third) == 1, "a reader has read its part of a state that was replaced since, and is not polled any more: the old state is still kept";
        expected = "it is dropped at once", help = "a stream keeps the value of its part, to compare the next one with it, and not the view that it has it from");
    drop(reads);
    drop(store);
    ensure!(Arc::strong_count(&value) == 1, "a store was dropped, and its state was not");
    Ok(())
}
