//! `idempotency::Store`.

mod expired_keys;
mod threads;

use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{join, pending, poll_immediate};
use grader_kit::{Cx, Fail, Outcome, dropped_at, ensure, ensure_eq, ms};
use level3::idempotency::{
    Answered, Completion, IdempotencyError, Key, KeyError, Store, StoreConfig,
};
use tokio::runtime::Builder;
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};

use crate::parts::nzu;

const NAME: &str = "Store::run";

type Asked = Result<Answered<String>, IdempotencyError>;

fn key(text: &str) -> Result<Key, Fail> {
    Key::new(text).map_err(|error| {
        Fail::new("Key::new refuses a valid key").observed(format!("{text:?}: {error}"))
    })
}

/// A provider behind a store.
struct Bench {
    cx: Cx,
    store: Store<Key, u32, String>,
    calls: Arc<AtomicU32>,
}

impl Bench {
    fn new(cx: &Cx) -> Self {
        Self::with(cx, StoreConfig::default())
    }

    fn with(cx: &Cx, config: StoreConfig) -> Self {
        Self { cx: cx.clone(), store: Store::new(config), calls: Arc::default() }
    }

    fn calls(&self) -> u32 {
        self.calls.load(Ordering::Relaxed)
    }

    /// A request whose work takes `length` milliseconds. The answer tells the calls apart.
    async fn ask(&self, name: &str, amount: u32, length: u64, fails: bool) -> Result<Asked, Fail> {
        let key = key(name)?;
        self.cx.timeline().record("client", format!("asks with key {name} and amount {amount}"));
        let work = || {
            let number = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
            let timeline = self.cx.timeline().clone();
            timeline.record("provider", format!("call {number}"));
            async move {
                if length > 0 {
                    sleep(ms(length)).await;
                }
                timeline.record(
                    "provider",
                    format!("call {number} {}", if fails { "fails" } else { "answers" }),
                );
                if fails {
                    Completion::Released("down".to_owned())
                } else {
                    Completion::Stored(format!("transaction {number}"))
                }
            }
        };
        Ok(self.cx.call(NAME, self.store.run(&key, amount, work)).await?.value)
    }
}

/// What a request got, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    Stored(String, Replayed),
    Released(String),
    Mismatch,
    Full(usize),
    Lost,
}

type Replayed = bool;

fn seen(asked: &Asked) -> Seen {
    match asked {
        Ok(Answered { completion: Completion::Stored(value), replayed }) => {
            Seen::Stored(value.clone(), *replayed)
        }
        Ok(Answered { completion: Completion::Released(value), .. }) => {
            Seen::Released(value.clone())
        }
        Err(IdempotencyError::Mismatch) => Seen::Mismatch,
        Err(IdempotencyError::Full { capacity }) => Seen::Full(*capacity),
        Err(IdempotencyError::Lost) => Seen::Lost,
    }
}

/// The stored value.
fn value(result: &Asked, which: &str) -> Result<String, Fail> {
    match seen(result) {
        Seen::Stored(value, _) => Ok(value),
        other => Err(Fail::new(format!("{which} got no answer"))
            .expected("a stored answer")
            .observed(format!("{other:?}"))),
    }
}

/// Keys that are easily mistaken for one another: they share all but their last character, or differ in a blank, in
/// capital letters or in an accent.
fn similar_keys(cx: &Cx) -> Vec<String> {
    let mut draw = cx.draw();
    let mut keys: Vec<String> =
        ["k", " k", "k ", "K", "kk", "\u{e9}", "e\u{301}", "e", "\u{6ce8}", "0", "00"]
            .map(str::to_owned)
            .to_vec();
    for length in [16, 17, 254, 255] {
        let shared = draw.text(length - 1..=length - 1);
        keys.extend(["a", "b"].map(|last| format!("{shared}{last}")));
    }
    draw.shuffle(&mut keys);
    keys
}

pub async fn a_repeat_makes_no_call(cx: Cx) -> Outcome {
    let bench = Bench::new(&cx);
    for number in 1..=3 {
        let answer = value(&bench.ask("order-1", 100, 10, false).await?, "a request")?;
        ensure!(bench.calls() == 1, "request {number} with the same key called the provider again";
            expected = "one call in all: the customer pays once");
        ensure_eq!(answer, "transaction 1", "request {number} got another answer");
    }
    let other = value(&bench.ask("order-2", 100, 10, false).await?, "a request with another key")?;
    ensure_eq!(other, "transaction 2", "a request with another key got another answer");
    // A clone is the same store, a second store is another one.
    let clone =
        Bench { cx: cx.clone(), store: bench.store.clone(), calls: Arc::clone(&bench.calls) };
    let same =
        value(&clone.ask("order-1", 100, 10, false).await?, "a repeat to a clone of the store")?;
    ensure_eq!(same, "transaction 1", "a repeat to a clone of the store got another answer");
    let second = Bench::new(&cx);
    value(&second.ask("order-1", 100, 10, false).await?, "a request to a second store")?;
    ensure!(second.calls() == 1, "a second store knows the keys of the first one";
        expected = "a store of its own", help = "the entries belong to the store, not to a `static`");
    expired_keys::run_once_more(&cx).await
}

/// A key whose hash is that of all others.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Colliding(u32);

impl Hash for Colliding {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u8(0);
    }
}

pub async fn keys_are_kept_apart(cx: Cx) -> Outcome {
    let bench = Bench::new(&cx);
    let keys = similar_keys(&cx);
    for round in 0..2 {
        for (nth, name) in keys.iter().enumerate() {
            let answer = value(&bench.ask(name, 1, 0, false).await?, "a request")?;
            ensure!(
                answer == format!("transaction {}", nth + 1),
                "a request with one key got the answer of another one";
                expected = format!("{name:?} is key {} of {}: the answer of transaction {}", nth + 1, keys.len(), nth + 1),
                observed = format!("{answer}, in round {}", round + 1),
                help = "compare whole keys, as they are"
            );
        }
    }
    let store: Store<Colliding, (), u32> = Store::new(StoreConfig::default());
    for _ in 0..2 {
        for number in 0..50 {
            let key = Colliding(number);
            let run = store.run(&key, (), || async move { Completion::Stored(number) });
            let found = match cx.call(NAME, run).await?.value {
                Ok(Answered { completion: Completion::Stored(found), .. }) => found,
                _ => return Err(Fail::new("a request with a new key got no answer")),
            };
            ensure_eq!(found, number, "two keys with the same hash count as one");
        }
    }
    Ok(())
}

pub async fn a_repeat_is_marked(cx: Cx) -> Outcome {
    let bench = Bench::new(&cx);
    let first = join(bench.ask("k", 1, 10, false), async {
        sleep(ms(5)).await;
        bench.ask("k", 1, 10, false).await
    });
    let (first, joined) = first.await;
    let repeat = bench.ask("k", 1, 0, false).await?;
    let replays = [first?, joined?, repeat].map(|asked| asked.ok().map(|answer| answer.replayed));
    ensure_eq!(
        replays,
        [Some(false), Some(true), Some(true)],
        "`replayed` of a request, of one that joined it, and of a repeat"
    );
    let (one, joined) =
        join(bench.ask("fails", 1, 100, true), bench.ask("fails", 1, 0, true)).await;
    let marks: Vec<bool> =
        [one?, joined?].into_iter().flatten().map(|answered| answered.replayed).collect();
    ensure_eq!(marks, [false, true], "`replayed` of two requests at once whose work is released";
        help = "the mark says whose work it was, whatever the work returned");
    Ok(())
}

/// What a payment asks for: a mistake compares some of it.
#[derive(Debug, Clone, PartialEq)]
struct Order {
    amount: i64,
    currency: &'static str,
    order: &'static str,
    email: &'static str,
    card: &'static str,
}

pub async fn other_parameters_are_refused(cx: Cx) -> Outcome {
    let bench = Bench::new(&cx);
    bench.ask("k", 100, 10, false).await?.ok();
    let before = bench.calls();
    let other = bench.ask("k", 200, 10, false).await?;
    ensure_eq!(
        seen(&other),
        Seen::Mismatch,
        "the same key with another amount, after the first was answered"
    );
    let (_, other) = join(bench.ask("running", 100, 100, false), async {
        sleep(ms(50)).await;
        bench.ask("running", 200, 10, false).await
    })
    .await;
    ensure_eq!(
        seen(&other?),
        Seen::Mismatch,
        "the same key with another amount, while the first is running"
    );
    ensure!(bench.calls() == before + 1, "a request with other parameters called the provider");
    let same = bench.ask("k", 100, 10, false).await?;
    let same = value(&same, "a repeat with the first parameters, after one with others")?;
    ensure_eq!(same, "transaction 1", "a repeat with the first parameters, after one with others");

    let order = Order { amount: 1999, currency: "USD", order: "1", email: "a@b.de", card: "pm_1" };
    let others = [
        ("amount", Order { amount: 2000, ..order.clone() }),
        ("currency", Order { currency: "EUR", ..order.clone() }),
        ("order", Order { order: "2", ..order.clone() }),
        ("e-mail address", Order { email: "a@b.com", ..order.clone() }),
        ("card", Order { card: "pm_2", ..order.clone() }),
    ];
    let store: Store<Key, Order, String> = Store::new(StoreConfig::default());
    let key = key("one")?;
    let work = || async { Completion::Stored("paid".to_owned()) };
    let first = cx.call(NAME, store.run(&key, order, work)).await?.value;
    value(&first, "a request")?;
    for (what, other) in others {
        let other = cx.call(NAME, store.run(&key, other, work)).await?.value;
        ensure_eq!(
            seen(&other), Seen::Mismatch, "the same key with another {what}";
            help = "keep the parameters whole, and compare them whole"
        );
    }
    Ok(())
}

pub async fn concurrent_requests_join(cx: Cx) -> Outcome {
    let bench = Bench::new(&cx);
    let late = async {
        sleep(ms(50)).await;
        bench.ask("k", 1, 100, false).await
    };
    let leaves = async {
        sleep(ms(20)).await;
        timeout(ms(20), bench.ask("k", 1, 100, false)).await.ok();
    };
    let (one, two, three, ()) =
        futures::join!(bench.ask("k", 1, 100, false), bench.ask("k", 1, 100, false), late, leaves);
    ensure!(bench.calls() == 1, "four requests at once with the same key made {} calls", bench.calls();
        expected = "1: the others wait for its answer",
        help = "look the key up and claim it in one step, under one lock");
    for answer in [one?, two?, three?] {
        let answer = value(&answer, "a request that came while the first was running")?;
        ensure_eq!(answer, "transaction 1", "a request got another answer");
    }
    those_who_join_get_it_whatever_expires(&cx).await?;
    // Requests with other keys do not wait for it.
    let (_, other) = join(bench.ask("slow", 1, 100_000, false), async {
        sleep(ms(10)).await;
        let asked = timeout(ms(1000), bench.ask("quick", 1, 10, false)).await;
        asked.map_err(|_| Fail::new("a request waits for the work behind another key"))?
    })
    .await;
    value(&other?, "a request with another key")?;
    Ok(())
}

/// What the work returns belongs to those who waited for it, however short answers are kept, and however late they
/// look.
async fn those_who_join_get_it_whatever_expires(cx: &Cx) -> Outcome {
    for (retention, late) in [(0, 0), (0, 500), (1, 500), (100, 100), (100, 5000)] {
        let config = StoreConfig { retention: ms(retention), ..StoreConfig::default() };
        let bench = Bench::with(cx, config);
        let (mut one, mut two) =
            (Box::pin(bench.ask("k", 1, 100, false)), Box::pin(bench.ask("k", 1, 100, false)));
        if late > 0 {
            // Both wait, and are polled again when the answer has expired.
            ensure!(
                poll_immediate(&mut one).await.is_none()
                    && poll_immediate(&mut two).await.is_none(),
                "work of 100 ms is over at its first poll"
            );
            sleep(ms(100 + late)).await;
        }
        let (one, two) = join(one, two).await;
        let found = [seen(&one?), seen(&two?)];
        // How the two are marked is a criterion of its own.
        let is_answer =
            |found: &Seen| matches!(found, Seen::Stored(answer, _) if answer == "transaction 1");
        let when = match late {
            0 => String::new(),
            late => format!(", and both callers look {late} ms after it has ended"),
        };
        ensure!(
            found.iter().all(is_answer) && bench.calls() == 1,
            "answers are kept for {retention} ms, two requests with one key wait for the same work{when}: they get {found:?}";
            expected = "its answer, for both: one call is made, and they waited for it",
            help = "hand the answer to those who wait, and do not let them look it up: it may have expired by then"
        );
    }
    Ok(())
}

pub async fn work_outlives_its_caller(cx: Cx) -> Outcome {
    // While the work runs: at its beginning, in the middle, before its end.
    for (at, comes_back) in [(0, 500), (1, 5000), (500, 600), (999, 2000)] {
        let bench = Bench::new(&cx);
        if at == 0 {
            // Polled once.
            let _ = bench.ask("k", 1, 1000, false).now_or_never();
        } else {
            dropped_at(&cx, NAME, at, bench.ask("k", 1, 1000, false)).await?;
        }
        sleep(ms(comes_back - at)).await;
        let answer = value(&bench.ask("k", 1, 1000, false).await?, "the repeat")?;
        ensure!(bench.calls() == 1, "the caller was dropped at {at} ms while the work ran, and the repeat made a call of its own";
            expected = "the work goes on without its caller, and the repeat gets its answer",
            help = "the work belongs into a task of its own: a future that is dropped stops in the middle of \
                    a charge");
        ensure_eq!(answer, "transaction 1", "the repeat got another answer");
    }
    goes_on_without_a_store(&cx).await?;
    // The first caller goes, and one that has joined stays.
    let bench = Bench::new(&cx);
    let (_, joined) = join(timeout(ms(100), bench.ask("k", 1, 1000, false)), async {
        sleep(ms(50)).await;
        bench.ask("k", 1, 1000, false).await
    })
    .await;
    let answer = value(&joined?, "a request that joined one whose caller was dropped")?;
    ensure_eq!(
        (answer.as_str(), bench.calls()),
        ("transaction 1", 1),
        "the answer, and how many calls were made"
    );
    Ok(())
}

/// The caller that goes away had the last handle of the store.
async fn goes_on_without_a_store(cx: &Cx) -> Outcome {
    for polled_by in ["a task that goes on", "`now_or_never`"] {
        let (begun, ended) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let (begins, ends) = (Arc::clone(&begun), Arc::clone(&ended));
        let name = key("k")?;
        let asks = async move {
            let store: Store<Key, u32, String> = Store::new(StoreConfig::default());
            let work = || {
                begins.fetch_add(1, Ordering::Relaxed);
                async move {
                    sleep(ms(1000)).await;
                    ends.fetch_add(1, Ordering::Relaxed);
                    Completion::Stored("paid".to_owned())
                }
            };
            store.run(&name, 1, work).await
        };
        if polled_by == "`now_or_never`" {
            let _ = asks.now_or_never();
        } else {
            dropped_at(cx, NAME, 100, asks).await?;
        }
        sleep(ms(5000)).await;
        let found = [&begun, &ended].map(|count| count.load(Ordering::Relaxed));
        ensure!(
            found == [1, 1],
            "a caller is dropped while its work runs, and with it the last handle of the store: the work has begun {} times and ended {} times", found[0], found[1];
            expected = "once and once: the work runs to its end",
            help = "the task of the work belongs to no handle of the store: a charge that is cut in the middle is neither made nor not made"
        );
    }
    Ok(())
}

pub async fn a_transient_failure_frees_the_key(cx: Cx) -> Outcome {
    let bench = Bench::new(&cx);
    for number in 1..=2 {
        let failed = bench.ask("k", 1, 10, true).await?;
        ensure_eq!(
            seen(&failed),
            Seen::Released("down".to_owned()),
            "request {number} whose work failed"
        );
    }
    // Other parameters as well: nothing is left of the first request.
    let answer = value(&bench.ask("k", 2, 10, false).await?, "the next request with the same key")?;
    ensure_eq!(answer, "transaction 3", "the next request with the same key";
        help = "a failure that may pass is not an answer: take the key out of the store");
    bench.ask("again", 1, 10, true).await?.ok();
    let kept = bench.store.len();
    ensure!(kept == 1, "{kept} keys are kept after an answer and work that failed"; expected = "1");
    // A caller that waits and asks again at once finds the key free.
    let bench = Bench::new(&cx);
    let asks_again = async {
        let first = bench.ask("at once", 1, 10, true).await?;
        ensure_eq!(seen(&first), Seen::Released("down".to_owned()), "a request whose work failed");
        bench.ask("at once", 1, 10, false).await
    };
    let answer = value(
        &asks_again.await?,
        "a request in the millisecond in which the one before it failed",
    )?;
    ensure_eq!(answer, "transaction 2", "the answer of the second work");
    frees_it_without_a_caller(&cx).await?;
    nothing_is_left_of_it(&cx).await
}

/// All who asked have gone when the work fails. That it goes on without them is a criterion of its own.
async fn frees_it_without_a_caller(cx: &Cx) -> Outcome {
    for joined in [false, true] {
        let bench = Bench::new(cx);
        let ask = async |at| timeout(ms(at), bench.ask("k", 1, 1000, true)).await.is_ok();
        let ended = match joined {
            true => join(ask(100), ask(200)).await == (true, true),
            false => ask(100).await,
        };
        ensure!(!ended, "work of 1000 ms has ended after 200 ms");
        sleep(ms(2000)).await;
        let next = bench.ask("k", 1, 0, false).await?;
        ensure!(
            matches!(seen(&next), Seen::Stored(..)),
            "the work behind a key has failed after all of its callers were dropped, and the next request with the key runs no work of its own";
            expected = "a stored answer: the key was free", observed = format!("{:?}", seen(&next)),
            help = "the work's own task frees the key: its callers may have been dropped"
        );
    }
    Ok(())
}

/// What is seen of a key that is used again after its work has failed, if it has: whether its second answer is replayed
/// to the end of its time, and how many calls are made when a request comes while the second work runs.
async fn used_again(cx: &Cx, retention: u64, has_failed: bool) -> Result<(bool, u32), Fail> {
    let config = || StoreConfig { retention: ms(retention), ..StoreConfig::default() };
    let bench = Bench::with(cx, config());
    if has_failed {
        bench.ask("k", 1, 0, true).await?.ok();
    }
    sleep(ms(retention / 2)).await;
    let answer = seen(&bench.ask("k", 1, 0, false).await?);
    sleep(ms(retention - 1)).await;
    let is_kept = match (answer, seen(&bench.ask("k", 1, 0, false).await?)) {
        (Seen::Stored(answer, _), Seen::Stored(repeat, _)) => answer == repeat,
        _ => false,
    };
    // Still at work when the failure is a retention old.
    let bench = Bench::with(cx, config());
    if has_failed {
        bench.ask("k", 1, 0, true).await?.ok();
    }
    let before = bench.calls();
    sleep(ms(retention / 2)).await;
    let (first, joined) = join(bench.ask("k", 1, retention, false), async {
        sleep(ms(retention - retention / 4)).await;
        bench.ask("k", 1, 0, false).await
    })
    .await;
    let _ = (first?, joined?);
    Ok((is_kept, bench.calls() - before))
}

/// The age of a failure is nothing to the next work with its key, and to the answer of that.
async fn nothing_is_left_of_it(cx: &Cx) -> Outcome {
    let retention = cx.draw().between(1_000..=100_000);
    // How long answers are kept, and that requests join, are criteria of their own.
    if used_again(cx, retention, false).await? != (true, 1) {
        return Ok(());
    }
    let (is_kept, calls) = used_again(cx, retention, true).await?;
    ensure!(
        is_kept,
        "a key whose work had failed was answered {} ms later, and {} ms after that the answer is forgotten", retention / 2, retention - 1;
        expected = format!("kept for {retention} ms, from the end of its own work on"),
        help = "nothing may be left of a released key: a time of it that expires later takes the new answer away"
    );
    ensure!(
        calls == 1,
        "a key whose work had failed is used again, and a request comes {} ms after the failure, while the second work runs: it makes a call of its own", retention / 2 + retention - retention / 4;
        expected = "it waits for the work that runs",
        help = "nothing may be left of a released key: a time of it that expires later takes the key from under running work"
    );
    Ok(())
}

pub async fn joined_requests_share_a_failure(cx: Cx) -> Outcome {
    let bench = Bench::new(&cx);
    let late = async {
        sleep(ms(99)).await;
        bench.ask("k", 1, 100, true).await
    };
    let (one, other, late) =
        futures::join!(bench.ask("k", 1, 100, true), bench.ask("k", 1, 100, true), late);
    let failed = Seen::Released("down".to_owned());
    let found = [seen(&one?), seen(&other?), seen(&late?)];
    ensure_eq!(found, [failed.clone(), failed.clone(), failed], "three requests at once whose work failed";
        help = "every request that waits for the work gets its failure, too");
    Ok(())
}

pub async fn a_panic_frees_the_key(cx: Cx) -> Outcome {
    let bench = Bench::new(&cx);
    let name = key("k")?;
    let run = |takes: u64| {
        bench.store.run(&name, 1, move || async move {
            sleep(ms(takes)).await;
            panic!("work with a bug")
        })
    };
    let (lost, joined) = cx.call(NAME, join(run(10), run(10))).await?.value;
    ensure_eq!(
        (seen(&lost), seen(&joined)),
        (Seen::Lost, Seen::Lost),
        "a request whose work panicked, and one that had joined it"
    );
    let answer = value(&bench.ask("k", 1, 0, false).await?, "the next request with the same key")?;
    ensure_eq!(answer, "transaction 1", "the next request with the same key");

    // The caller has gone before the work panics, so no caller can clean up.
    let bench = Bench::new(&cx);
    let run = bench.store.run(&name, 1, || async {
        sleep(ms(1000)).await;
        panic!("work with a bug")
    });
    dropped_at(&cx, NAME, 100, run).await?;
    sleep(ms(2000)).await;
    let kept = bench.store.len();
    ensure!(kept == 0, "the work panicked after its caller was dropped, and {kept} key is still taken";
        expected = "the key is free",
        help = "the task that does the work frees the key, in a destructor: its caller may have been dropped");
    let answer = value(&bench.ask("k", 1, 0, false).await?, "the next request with the same key")?;
    ensure_eq!(answer, "transaction 1", "the next request with the same key");
    Ok(())
}

pub async fn a_panicking_closure_affects_no_other_key(cx: Cx) -> Outcome {
    let bench = Bench::new(&cx);
    value(&bench.ask("before", 1, 0, false).await?, "a request")?;
    for (nth, name) in ["k", "another"].into_iter().enumerate() {
        let name = key(name)?;
        let run = bench.store.run(&name, 1, || {
            if nth < 2 {
                panic!("a closure with a bug")
            }
            async { Completion::Stored(String::new()) }
        });
        // The panic may pass to the caller, whose closure it is, or be told as Lost.
        let asked = cx.call(NAME, AssertUnwindSafe(run).catch_unwind()).await?.value;
        if let Ok(asked) = asked {
            ensure_eq!(
                seen(&asked),
                Seen::Lost,
                "a request whose closure panicked before there was a future"
            );
        }
    }
    let help = "call `work` after the lock is released: a std mutex is poisoned by a panic that passes while it is \
                held, and every later `lock().unwrap()` panics as well";
    for (name, which) in [
        ("k", "the same key"),
        ("new", "another key"),
        ("before", "a key that was answered before"),
    ] {
        let asked = bench.ask(name, 1, 0, false).await.map_err(|fail| {
            let headline = fail.headline.clone();
            Fail {
                headline: format!(
                    "after a closure that panicked, a request with {which} fails: {headline}"
                ),
                ..fail.help(help)
            }
        })?;
        ensure!(
            matches!(seen(&asked), Seen::Stored(..)),
            "after a closure that panicked, a request with {which} gets no answer";
            observed = format!("{:?}", seen(&asked)), help = help
        );
    }
    Ok(())
}

/// Parameters or an answer whose code panics.
#[derive(Debug)]
struct Fragile(bool);

impl PartialEq for Fragile {
    fn eq(&self, other: &Self) -> bool {
        assert!(!(self.0 || other.0), "parameters that cannot be compared");
        true
    }
}

impl Clone for Fragile {
    fn clone(&self) -> Self {
        assert!(!self.0, "an answer that cannot be cloned");
        Self(self.0)
    }
}

pub async fn foreign_panics_affect_no_other_request(cx: Cx) -> Outcome {
    let store: Store<Key, Fragile, Fragile> = Store::new(StoreConfig::default());
    let names = [key("one")?, key("two")?, key("three")?];
    let run = |nth: usize, bad_parameters: bool, bad_answer: bool| {
        let run = store.run(&names[nth], Fragile(bad_parameters), move || async move {
            Completion::Stored(Fragile(bad_answer))
        });
        let run =
            async { matches!(run.await, Ok(Answered { completion: Completion::Stored(_), .. })) };
        cx.call(NAME, AssertUnwindSafe(run).catch_unwind())
    };
    ensure!(matches!(run(0, false, false).await?.value, Ok(true)), "a request got no answer");
    // Compared with those of the first request, its parameters panic.
    let _ = run(0, true, false).await?;
    let help = "comparing parameters and cloning answers runs foreign code: a panic there passes through your \
                lock, which is poisoned then. `PoisonError::into_inner` still takes it";
    let again = run(0, false, false).await.map_err(|fail| fail.help(help))?.value;
    ensure!(matches!(again, Ok(true)), "after parameters that panic when they are compared, the key gets no answer";
        help = help);
    // Its answer panics when it is cloned: for the caller, and for the store.
    let _ = run(1, false, true).await?;
    let _ = run(1, false, true).await?;
    let other = run(2, false, false).await.map_err(|fail| fail.help(help))?.value;
    ensure!(matches!(other, Ok(true)), "after an answer that panics when it is cloned, another key gets no answer";
        help = help);
    keys_that_panic_leave_nothing(&cx).await
}

/// A key that panics when it is cloned, once it has been cloned as often as `left` says.
#[derive(Debug)]
struct BrittleKey {
    name: String,
    left: Arc<AtomicU32>,
}

impl PartialEq for BrittleKey {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for BrittleKey {}

impl Hash for BrittleKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl Clone for BrittleKey {
    fn clone(&self) -> Self {
        let left =
            self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        assert!(left.is_ok(), "a key that panics when it is cloned");
        Self { name: self.name.clone(), left: Arc::clone(&self.left) }
    }
}

/// However often a store clones a key: when one of these clones panics, the next request with the key is answered.
async fn keys_that_panic_leave_nothing(cx: &Cx) -> Outcome {
    const NEVER: u32 = u32::MAX;
    let left = Arc::new(AtomicU32::new(NEVER));
    let store: Store<BrittleKey, u32, u32> = Store::new(StoreConfig::default());
    for clones in 0..100 {
        let key = BrittleKey { name: cx.draw().word(), left: Arc::clone(&left) };
        let run = || {
            let run = store.run(&key, 1, || async { Completion::Stored(1) });
            cx.call(NAME, AssertUnwindSafe(run).catch_unwind())
        };
        left.store(clones, Ordering::Relaxed);
        let panicked = !matches!(run().await?.value, Ok(Ok(_)));
        left.store(NEVER, Ordering::Relaxed);
        let help = "clone the key before you insert its entry, or make what frees the key before it: a panic between \
                    the two leaves a key whose work never runs";
        let again = run().await.map_err(|fail| fail.help(help))?.value;
        ensure!(
            matches!(again, Ok(Ok(Answered { completion: Completion::Stored(1), .. }))),
            "clone {} of a key panics, and the next request with the key gets no answer", clones + 1;
            expected = "its own work runs, or it gets the stored answer", help = help
        );
        if !panicked {
            return Ok(());
        }
    }
    Err(Fail::new("one request clones its key a hundred times").expected("a few clones"))
}

pub async fn keys_are_checked(cx: Cx) -> Outcome {
    let check = async |text: String| {
        let key = cx.call_fn("Key::new", || Key::new(&text)).await?;
        Ok::<_, Fail>(key.map(|key| key.as_str().to_owned()))
    };
    let said = |key: &Result<String, KeyError>| match key {
        Ok(text) => format!("a key, {text:?}"),
        Err(KeyError::Empty) => "Empty".to_owned(),
        Err(KeyError::TooLong { characters }) => format!("TooLong {{ characters: {characters} }}"),
    };
    ensure_eq!(said(&check(String::new()).await?), "Empty", "an empty key");
    // What a text looks like decides nothing: blanks alone, digits alone and marks alone are keys as well.
    let blanks = [" ", "  ", "\u{3000}"].map(str::to_owned);
    let marks = ["4242424242424242", "0", "-", "/", "\"", "'", "*", "%", "\\", "\u{200b}"]
        .map(str::to_owned);
    let longest = [" ", "k", "\u{e9}", "\u{1f980}"].map(|letter| letter.repeat(255));
    for text in similar_keys(&cx).into_iter().chain(blanks).chain(marks).chain(longest) {
        let found = check(text.clone()).await?;
        ensure!(found.is_ok(), "a key of {} characters is refused", text.chars().count();
            expected = "a key: 1 to 255 characters are valid, blanks and marks included", observed = format!("{text:?}: {}", said(&found)),
            help = "count the characters of the text as it is: not its bytes, and not what is left without blanks");
        ensure_eq!(said(&found), format!("a key, {text:?}"), "a key has another text");
    }
    let long = [("k", 256), ("\u{e9}", 256), ("k", 511), ("\u{1f980}", 100_000)];
    for (letter, characters) in long {
        ensure_eq!(
            said(&check(letter.repeat(characters)).await?),
            format!("TooLong {{ characters: {characters} }}"),
            "a key of {characters} characters"
        );
    }
    Ok(())
}

pub async fn answers_are_kept_for_their_time(cx: Cx) -> Outcome {
    ensure_eq!(
        StoreConfig::default().retention,
        Duration::from_secs(24 * 60 * 60),
        "the default retention"
    );
    let bench = Bench::with(&cx, StoreConfig { retention: ms(60_000), ..StoreConfig::default() });
    // The age counts from the end of the work, which takes 10 s.
    let first = value(&bench.ask("k", 1, 10_000, false).await?, "a request")?;
    sleep(ms(30_000)).await;
    value(&bench.ask("later", 1, 0, false).await?, "a request")?;
    sleep(ms(29_999)).await;
    let repeat = value(&bench.ask("k", 1, 0, false).await?, "a repeat")?;
    ensure_eq!(
        repeat,
        first,
        "answers are kept for 60 s, and a repeat 59 999 ms later made a call"
    );
    let kept = bench.store.contains(&key("k")?);
    sleep(ms(1)).await;
    let expired = bench.store.contains(&key("k")?);
    ensure_eq!((kept, expired), (true, false), "contains() for an answer that is kept for 60 s, 59 999 ms and 60 000 ms later";
        help = "an expired answer may still be in memory: contains() looks at its age");
    let late = value(&bench.ask("k", 1, 0, false).await?, "a repeat")?;
    ensure!(late != first, "answers are kept for 60 s, and a repeat 60 s later got the old one";
        expected = "a new answer: memory is bounded",
        help = "the age of an answer counts from when it was given, not from the last repeat; is it looked at when \
                the key is looked up?");
    // The key is in use again: what is left of its first answer must not end its second one.
    sleep(ms(59_999)).await;
    let repeat = value(&bench.ask("k", 1, 0, false).await?, "a repeat")?;
    ensure_eq!(
        repeat,
        late,
        "a key that was used again has lost its second answer before its time"
    );

    for (retention, calls) in [(Duration::ZERO, 2), (ms(1), 1), (Duration::MAX, 1)] {
        let bench = Bench::with(&cx, StoreConfig { retention, ..StoreConfig::default() });
        for _ in 0..2 {
            value(&bench.ask("k", 1, 0, false).await?, "a request")?;
        }
        ensure!(bench.calls() == calls, "answers are kept for {retention:?}, and two requests in one millisecond made {} calls", bench.calls();
            expected = format!("{calls}"));
    }
    Ok(())
}

pub async fn the_store_is_bounded(cx: Cx) -> Outcome {
    let bench = Bench::with(&cx, StoreConfig { retention: ms(1000), capacity: nzu(2) });
    ensure!(bench.store.is_empty(), "a new store is not empty");
    let _ = bench.ask("a", 1, 0, false).await?;
    let hung = key("hung")?;
    let hung = timeout(ms(500), bench.store.run(&hung, 1, pending));
    let script = async {
        sleep(ms(10)).await;
        let (kept, is_empty) = (bench.store.len(), bench.store.is_empty());
        ensure!(kept == 2 && !is_empty, "an answer and a request under way are not two keys";
            observed = format!("len() is {kept}, is_empty() {is_empty}"));
        let third = bench.ask("b", 1, 0, false).await?;
        ensure_eq!(seen(&third), Seen::Full(2), "a third key in a store of 2";
            help = "no key may go before its time: a repeat would pay again. Refuse the new one instead");
        ensure!(bench.calls() == 1, "a refused request called the provider");
        let known = value(&bench.ask("a", 1, 0, false).await?, "a known key in a full store")?;
        ensure_eq!(known, "transaction 1", "a known key in a full store");
        sleep(ms(1001)).await;
        value(&bench.ask("b", 1, 0, false).await?, "a new key after an old one has expired")?;
        Ok(())
    };
    join(hung, script).await.1?;
    // Work that fails or panics makes room again.
    let bench = Bench::with(&cx, StoreConfig { retention: ms(1000), capacity: nzu(1) });
    for round in 0..3 {
        bench.ask(&format!("fails {round}"), 1, 10, true).await?.ok();
        let name = key(&format!("panics {round}"))?;
        let panics = bench.store.run(&name, 1, || async { resume_unwind(Box::new("a bug")) });
        let panics = cx.call(NAME, panics).await?.value;
        ensure_eq!(seen(&panics), Seen::Lost, "a request whose work panicked, in a store of 1");
    }
    value(
        &bench.ask("new", 1, 0, false).await?,
        "a request in a store of 1, after work that failed or panicked",
    )?;
    Ok(())
}

pub async fn forgets_what_has_expired(cx: Cx) -> Outcome {
    const BATCH: usize = 250;
    const BATCHES: usize = 400;
    let retention = ms(1000);
    let store: Store<u64, Arc<()>, Arc<()>> =
        Store::new(StoreConfig { retention, capacity: nzu(BATCH) });
    let (params, answer) = (Arc::new(()), Arc::new(()));
    let mut key = 0;
    let mut requests = async || {
        let mut refused = 0;
        for _ in 0..BATCH {
            key += 1;
            let given = Arc::clone(&answer);
            let stays = key % 5 != 0;
            let work = move || async move {
                if stays { Completion::Stored(given) } else { Completion::Released(given) }
            };
            refused += usize::from(store.run(&key, Arc::clone(&params), work).await.is_err());
        }
        refused
    };
    let before = cx.alive_tasks();
    let mut refused = cx.call(NAME, requests()).await?.value;
    for _ in 1..BATCHES {
        sleep(retention + ms(1)).await;
        refused += requests().await;
    }
    ensure!(refused == 0, "{refused} of {} requests are refused although older keys have expired", BATCH * BATCHES;
        expected = "none: expired keys make room");
    cx.settle().await;
    let timers = cx.alive_tasks().saturating_sub(before);
    ensure!(timers <= 5, "{timers} tasks are left of {BATCH} requests whose answers are kept for {} ms", retention.as_millis();
        expected = "none: a million answers would have a million tasks", help = "no timer for each key: look which answers are due when the store is used");
    sleep(retention + ms(1)).await;
    cx.settle().await;
    let leaked = cx.alive_tasks().saturating_sub(before);
    let kept = cx.call_fn("Store::len", || store.len()).await?;
    let counts = (Arc::strong_count(&params) - 1, Arc::strong_count(&answer) - 1);
    ensure!(
        kept == 0 && counts == (0, 0),
        "after {} keys that all have expired, {kept} keys are kept, {} parameters and {} answers are in memory",
        BATCH * BATCHES, counts.0, counts.1;
        expected = "0, 0 and 0 as soon as len() was called",
        help = "remove an entry when it has expired, and everything that belongs to it"
    );
    ensure!(leaked == 0, "{leaked} tasks are left of {} requests that are over", BATCH * BATCHES;
        expected = "none", help = "no timer for each key: look which answers are due when the store is used");
    Ok(())
}

/// A key that lets other threads run while it is cloned: what a store does between two locks takes time.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Slow(usize);

impl Clone for Slow {
    fn clone(&self) -> Self {
        std::thread::yield_now();
        Self(self.0)
    }
}

pub async fn no_wake_up_is_lost(cx: Cx) -> Outcome {
    const THREADS: usize = 4;
    const ROUNDS: usize = 1000;
    // One request on the virtual clock first: a store that is not written is found here.
    let bench = Bench::new(&cx);
    value(&bench.ask("k", 1, 0, false).await?, "a request")?;
    let store: Store<Slow, (), usize> = Store::new(StoreConfig::default());
    let calls: Arc<Vec<AtomicU32>> = Arc::new((0..ROUNDS).map(|_| AtomicU32::new(0)).collect());
    let (counted, spread, later) = (Arc::clone(&calls), cx.draw().index(1000), store.clone());
    let replays = cx.on_threads(NAME, THREADS, move |thread| {
        let Ok(runtime) = Builder::new_current_thread().enable_time().start_paused(true).build()
        else {
            return None;
        };
        let mut replays = 0;
        for round in 0..ROUNDS {
            let counted = Arc::clone(&counted);
            let answer = runtime.block_on(store.run(&Slow(round), (), move || async move {
                counted[round].fetch_add(1, Ordering::Relaxed);
                for _ in 0..(round + spread) % 4 {
                    // The others come while the work runs, on one core as well.
                    std::thread::yield_now();
                    yield_now().await;
                }
                Completion::Stored(thread)
            }));
            match answer {
                Ok(Answered { completion: Completion::Stored(_), replayed }) => {
                    replays += usize::from(replayed);
                }
                _ => return None,
            }
        }
        Some(replays)
    })?;
    // Repeats that come later get the stored answer, too.
    for _ in 0..3 {
        let work = || {
            calls[0].fetch_add(1, Ordering::Relaxed);
            async { Completion::Stored(0) }
        };
        let _ = cx.call(NAME, later.run(&Slow(0), (), work)).await?;
    }
    let twice = calls.iter().map(|calls| calls.load(Ordering::Relaxed)).find(|calls| *calls > 1);
    ensure!(
        twice.is_none(),
        "{THREADS} threads asked with one key at the same time, and the work ran {} times", twice.unwrap_or_default();
        expected = "once",
        help = "look the key up and claim it in one step, under one lock"
    );
    let replays: Option<usize> = replays.into_iter().sum();
    ensure!(replays.is_some(), "{THREADS} threads asked with one key at the same time, and one of them got no answer";
        expected = "the stored answer for each");
    ensure_eq!(
        replays,
        Some(ROUNDS * (THREADS - 1)),
        "answers that were marked as replays, of {THREADS} threads with {ROUNDS} keys"
    );
    threads::asks_again_when_woken(&cx).await
}
