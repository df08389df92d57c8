//! Parts of the state as streams.

use std::sync::{Arc, OnceLock};

use futures::StreamExt as _;
use futures::future::join;
use futures::stream::FusedStream as _;
use grader_kit::marbles::{Marbles, Mark};
use grader_kit::{Cx, Outcome, ensure, ensure_eq, ms};
use level4::state_store::Store;
use tokio::time::{sleep, timeout};

use super::{Page, SELECT, TRACK, items, observed, page};

/// A script of changes of a store: what, and at which time. Each time is counted from the one before.
async fn play(store: &Store<Page>, steps: &[(u64, &str)]) {
    for (after, what) in steps {
        sleep(ms(*after)).await;
        match what.split_once(' ') {
            Some(("user", name)) => store.update(|page| page.user = name.to_owned()),
            Some(("seats", count)) => {
                store.update(|page| page.seats = count.parse().unwrap_or_default());
            }
            _ => store.update(|_| {}),
        }
    }
}

async fn fails(length: u64) -> Result<(), &'static str> {
    sleep(ms(length)).await;
    Err("no luck")
}

pub async fn selects_what_is_now(cx: Cx) -> Outcome {
    let name = cx.draw().word();
    let store = Store::new(page("anna"));
    store.update(|page| page.user.clone_from(&name));
    let made_before = store.select(|view| view.state.user.clone());
    store.update(|page| page.seats = 3);
    let user = store.select(|view| view.state.user.clone());
    let seats = store.select(|view| view.state.seats.to_string());
    let all = join(observed(50, user), join(observed(50, seats), observed(50, made_before)));
    let (user, (seats, before)) = cx.call(SELECT, all).await?.value;
    let help =
        "a stream yields the value of its part at its first poll; it does not wait for a change";
    user.ensure(
        &items([(0, name.as_str())]),
        "a stream of the user, made after two changes",
        help,
    )?;
    seats.ensure(&items([(0, "3")]), "a stream of the seats, made after two changes", help)?;
    before.ensure(
        &items([(0, name.as_str())]),
        "a stream of the user, made between two changes",
        help,
    )?;
    // Its own part changes between the making and the first poll.
    let late = store.select(|view| view.state.user.clone());
    store.update(|page| page.user = "bert".to_owned());
    let late = cx.call(SELECT, observed(50, late)).await?.value;
    late.ensure(
        &items([(0, "bert")]),
        "a stream of the user, made before the user changes and polled first after it",
        "the first value is that of the first poll: look when the stream is polled, not when it is made",
    )
}

pub async fn selects_only_changes(cx: Cx) -> Outcome {
    const HELP: &str = "yield a value only if it differs from the one before it";
    let store = Store::new(page("anna"));
    let user = observed(200, store.select(|view| view.state.user.clone()));
    let seats = observed(200, store.select(|view| view.state.seats.to_string()));
    let steps = [
        (10, "seats 1"),
        (10, "user anna"),
        (10, "user bert"),
        (10, "nothing"),
        (10, "seats 1"),
        (10, "seats 2"),
        (10, "user anna"),
    ];
    let runs = async {
        sleep(ms(15)).await;
        let _ = store.track("load", fails(40)).await;
        // The readers see the failure before the next run takes it away.
        sleep(ms(7)).await;
        store.track("load", async { Ok::<_, String>(()) }).await
    };
    let all = join(join(user, seats), join(play(&store, &steps), runs));
    let ((user, seats), _) = cx.call(SELECT, all).await?.value;
    let script = "other parts change, an operation runs and fails, and a part is set to the value that it has";
    user.ensure(
        &items([(0, "anna"), (30, "bert"), (70, "anna")]),
        &format!("a stream of the user: {script}"),
        HELP,
    )?;
    seats.ensure(
        &items([(0, "0"), (10, "1"), (60, "2")]),
        &format!("a stream of the seats: {script}"),
        HELP,
    )?;
    // The value before counts, not all that were.
    let store = Store::new(0);
    let parity = observed(100, store.select(|view| (view.state % 2).to_string()));
    let counts = async {
        for number in [2, 3, 5, 6, 8] {
            sleep(ms(10)).await;
            store.update(|state| *state = number);
        }
    };
    let (parity, ()) = cx.call(SELECT, join(parity, counts)).await?.value;
    parity.ensure(
        &items([(0, "0"), (20, "1"), (40, "0")]),
        "0, 2, 3, 5, 6, 8, and a stream of the rest by two",
        HELP,
    )
}

pub async fn selects_operations_too(cx: Cx) -> Outcome {
    const HELP: &str = "state and operations change in one cell, which the stream watches";
    let store = Store::new(page("anna"));
    let loading = observed(200, store.select(|view| view.loading("save").to_string()));
    let error = observed(200, store.select(|view| view.error("save").unwrap_or("none").to_owned()));
    let runs = async {
        sleep(ms(10)).await;
        let _ = store.track("save", fails(20)).await;
        sleep(ms(30)).await;
        let works = async {
            sleep(ms(30)).await;
            Ok::<_, String>(())
        };
        store.track("save", works).await
    };
    let ((loading, error), _) = cx.call(TRACK, join(join(loading, error), runs)).await?.value;
    let script = "a run of 20 ms at 10 ms that fails, and one of 30 ms at 60 ms";
    loading.ensure(
        &items([(0, "false"), (10, "true"), (30, "false"), (60, "true"), (90, "false")]),
        &format!("a stream of `loading`: {script}"),
        HELP,
    )?;
    error.ensure(
        &items([(0, "none"), (30, "no luck"), (60, "none")]),
        &format!("a stream of `error`: {script}"),
        HELP,
    )
}

pub async fn a_slow_reader_sees_the_newest(cx: Cx) -> Outcome {
    const HELP: &str = "keep the newest value, and not a queue of all";
    let store = Store::new(0);
    let mut stream = store.select(|view| view.state);
    let first = cx.call(SELECT, stream.next()).await?.value;
    ensure_eq!(first, Some(0), "the first value of a stream");
    for last in [1000, 1, 7] {
        for number in (0..=last).rev() {
            store.update(|state| *state = 10_000 * last + number);
        }
        let next = cx.call(SELECT, stream.next()).await?.value;
        ensure_eq!(next, Some(10_000 * last), "{} changes that a reader did not read; what it gets next", last + 1; help = HELP);
        let more = timeout(ms(50), stream.next()).await;
        ensure!(more.is_err(), "a reader that has read the newest of {} changes gets {more:?}", last + 1;
            expected = "it waits for the next change", help = HELP);
    }
    // Back where it was: nothing has changed for this reader.
    for _ in 0..20 {
        store.update(|state| *state += 1);
        store.update(|state| *state -= 1);
    }
    let more = timeout(ms(50), stream.next()).await;
    ensure!(more.is_err(), "a part was changed and changed back, unread; the reader gets {more:?}";
        expected = "nothing: the value is the one that it has", help = HELP);
    Ok(())
}

pub async fn streams_end_with_the_store(cx: Cx) -> Outcome {
    let store = Store::new(0);
    let other = store.clone();
    let stream = store.select(|view| view.state.to_string());
    drop(store);
    let lives = async {
        sleep(ms(20)).await;
        other.update(|state| *state = 1);
        sleep(ms(20)).await;
        other.update(|state| *state = 2);
        drop(other);
    };
    let (marbles, ()) = cx.call(SELECT, join(observed(200, stream), lives)).await?.value;
    let mut expected: Vec<_> =
        [(0, "0"), (20, "1"), (40, "2")].map(|(at, text)| (at, Mark::item(text))).into();
    expected.push((40, Mark::End));
    marbles.ensure(
        &Marbles::at(expected),
        "a store of two handles; the first is dropped at once, the second at 40 ms, right after a change",
        "a stream holds no handle of the store; it yields the newest value, and ends",
    )?;
    let store = Store::new(0);
    let mut unread = store.select(|view| view.state).fuse();
    drop(store);
    let read = cx.call(SELECT, unread.by_ref().collect::<Vec<_>>()).await?.value;
    ensure_eq!(read, [0], "a stream that was first polled when its store was gone");
    ensure!(unread.is_terminated(), "a stream whose store is gone has not ended");
    Ok(())
}

pub async fn a_part_may_use_the_store(cx: Cx) -> Outcome {
    let store = Store::new(page("anna"));
    let uses = store.clone();
    let mut stream = store.select(move |view| {
        let user = view.state.user.clone();
        if view.state.seats < 3 {
            uses.update(|page| page.seats += 1);
        }
        let loading = uses.loading("load") || uses.error("load").is_some();
        format!("{user}, {} seats, {loading}", uses.view().state.seats)
    });
    let reads = async {
        let mut read = Vec::new();
        for _ in 0..3 {
            read.extend(stream.next().await);
        }
        read
    };
    let read = cx.call(SELECT, reads).await?.value;
    ensure_eq!(read, ["anna, 1 seats, false", "anna, 2 seats, false", "anna, 3 seats, false"], "a part whose closure updates the store and asks it";
        help = "take the view out of the cell and let the lock go before the closure is called");
    a_state_may_use_the_store(&cx).await
}

/// A state that reads its store when it is cloned, compared and dropped, and changes it when it is dropped.
struct Nosy {
    number: u64,
    store: Arc<OnceLock<Store<Nosy>>>,
    /// Whether the destructor changes the store.
    changes: bool,
}

impl Nosy {
    fn reads(&self) {
        if let Some(store) = self.store.get() {
            std::hint::black_box((store.view().state.number, store.loading("load")));
        }
    }
}

impl Clone for Nosy {
    fn clone(&self) -> Self {
        self.reads();
        Self { number: self.number, store: Arc::clone(&self.store), changes: false }
    }
}

impl PartialEq for Nosy {
    fn eq(&self, other: &Self) -> bool {
        self.reads();
        self.number == other.number
    }
}

impl Drop for Nosy {
    fn drop(&mut self) {
        self.reads();
        if let (true, Some(store)) = (self.changes, self.store.get()) {
            store.update(|state| state.number += 1);
        }
    }
}

async fn a_state_may_use_the_store(cx: &Cx) -> Outcome {
    let handle = Arc::new(OnceLock::new());
    let first = Nosy { number: 0, store: Arc::clone(&handle), changes: false };
    let store = cx.call_fn("Store::new", || Store::new(first)).await?;
    let _ = handle.set(store.clone());
    let mut numbers = store.select(|view| view.state.number);
    // A change, and a change to the same; in the second case the copy is dropped, and counts.
    for (to, then) in [(1, 1), (1, 2), (7, 7)] {
        let update = || {
            store.update(|state| {
                state.changes = to == state.number;
                state.number = to;
            });
        };
        cx.call_fn("Store::update", update).await?;
        ensure_eq!(store.view().state.number, then, "a state that reads the store when it is cloned, compared and dropped, and changes it when a copy of it is dropped: after an update to {to}";
            help = "no lock that readers need is held while the state's own code runs, and no copy is dropped before the change is over");
    }
    let work = async { Err::<(), _>("no") };
    let tracked = cx.call("Store::track", store.track("load", work)).await?.value;
    ensure_eq!(
        (tracked, store.error("load")),
        (Err("no"), Some("no".to_owned())),
        "a run, and a state that reads the store when it is cloned"
    );
    cx.call_fn("Store::reset", || store.reset()).await?;
    let read = cx.call(SELECT, numbers.next()).await?.value;
    ensure_eq!(read, Some(0), "after a reset, a state that reads the store when it is cloned");
    Ok(())
}
