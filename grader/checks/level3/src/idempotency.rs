//! `idempotency::Store`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures::future::{join, pending};
use grader_kit::{Cx, Fail, Outcome, dropped_at, ensure, ensure_eq, ms};
use level3::idempotency::{
    Answered, Completion, IdempotencyError, Key, KeyError, Store, StoreConfig,
};
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

/// The stored value.
fn value(result: Asked, which: &str) -> Result<String, Fail> {
    let observed = match result {
        Ok(Answered { completion: Completion::Stored(value), .. }) => return Ok(value),
        Ok(Answered { completion: Completion::Released(value), .. }) => value,
        Err(error) => error.to_string(),
    };
    Err(Fail::new(format!("{which} got no answer")).observed(observed))
}

/// What a request gets, without the mark of a replay.
fn completion(result: Asked) -> Result<Completion<String>, IdempotencyError> {
    result.map(|answered| answered.completion)
}

pub async fn a_repeat_makes_no_call(cx: Cx) -> Outcome {
    let bench = Bench::new(&cx);
    for number in 1..=3 {
        let answer = value(bench.ask("order-1", 100, 10, false).await?, "a request")?;
        ensure!(bench.calls() == 1, "request {number} with the same key called the provider again";
            expected = "one call in all: the customer pays once");
        ensure_eq!(answer, "transaction 1", "request {number} got another answer");
    }
    let other = value(bench.ask("order-2", 100, 10, false).await?, "a request with another key")?;
    ensure_eq!(other, "transaction 2", "a request with another key got another answer");
    Ok(())
}

pub async fn a_repeat_is_marked(cx: Cx) -> Outcome {
    let bench = Bench::new(&cx);
    let replays = [bench.ask("k", 1, 0, false).await?, bench.ask("k", 1, 0, false).await?];
    let replays = replays.map(|result| result.map(|answer| answer.replayed));
    ensure_eq!(replays, [Ok(false), Ok(true)], "`replayed` of a request and of its repeat");
    Ok(())
}

pub async fn other_parameters_are_refused(cx: Cx) -> Outcome {
    let bench = Bench::new(&cx);
    bench.ask("k", 100, 10, false).await?.ok();
    let before = bench.calls();
    let other = bench.ask("k", 200, 10, false).await?;
    ensure_eq!(
        other,
        Err(IdempotencyError::Mismatch),
        "the same key with another amount, after the first was answered"
    );
    let (_, other) = join(bench.ask("running", 100, 100, false), async {
        sleep(ms(50)).await;
        bench.ask("running", 200, 10, false).await
    })
    .await;
    ensure_eq!(
        other?,
        Err(IdempotencyError::Mismatch),
        "the same key with another amount, while the first is running"
    );
    ensure!(bench.calls() == before + 1, "a request with other parameters called the provider");
    Ok(())
}

pub async fn concurrent_requests_join(cx: Cx) -> Outcome {
    let bench = Bench::new(&cx);
    let late = async {
        sleep(ms(50)).await;
        bench.ask("k", 1, 100, false).await
    };
    let (one, two, three) =
        futures::join!(bench.ask("k", 1, 100, false), bench.ask("k", 1, 100, false), late);
    ensure!(bench.calls() == 1, "three requests at once with the same key made {} calls", bench.calls();
        expected = "1: the others wait for its answer",
        help = "look the key up and claim it in one step, under one lock");
    for answer in [one?, two?, three?] {
        let answer = value(answer, "a request that came while the first was running")?;
        ensure_eq!(answer, "transaction 1", "a request got another answer");
    }
    Ok(())
}

pub async fn work_outlives_its_caller(cx: Cx) -> Outcome {
    let bench = Bench::new(&cx);
    dropped_at(&cx, NAME, 100, bench.ask("k", 1, 1000, false)).await?;
    sleep(ms(2000)).await;
    let answer = value(bench.ask("k", 1, 1000, false).await?, "the repeat")?;
    ensure!(bench.calls() == 1, "the caller went away while the work ran, and the repeat made a call of its own";
        expected = "the work goes on without its caller, and the repeat gets its answer",
        help = "the work belongs into a task of its own: a future that is dropped stops in the middle of \
                a charge");
    ensure_eq!(answer, "transaction 1", "the repeat got another answer");
    Ok(())
}

pub async fn what_may_pass_frees_the_key(cx: Cx) -> Outcome {
    let bench = Bench::new(&cx);
    let failed = bench.ask("k", 1, 10, true).await?;
    let released = Ok(Completion::Released("down".to_owned()));
    ensure_eq!(completion(failed), released, "a request whose work failed");
    let answer = value(bench.ask("k", 1, 10, false).await?, "the next request with the same key")?;
    ensure_eq!(answer, "transaction 2", "the next request with the same key";
        help = "a failure that may pass is not an answer: take the key out of the store");
    Ok(())
}

pub async fn those_who_joined_share_a_failure(cx: Cx) -> Outcome {
    let bench = Bench::new(&cx);
    let (one, other) = join(bench.ask("k", 1, 100, true), bench.ask("k", 1, 100, true)).await;
    let failed = Ok(Completion::Released("down".to_owned()));
    let found = (completion(one?), completion(other?));
    ensure_eq!(found, (failed.clone(), failed), "two requests at once whose work failed";
        help = "whoever waits for the work gets its failure, too");
    Ok(())
}

pub async fn a_panic_frees_the_key(cx: Cx) -> Outcome {
    let bench = Bench::new(&cx);
    let name = key("k")?;
    let run = bench.store.run(&name, 1, || async { panic!("work with a bug") });
    let lost = cx.call(NAME, run).await?.value;
    ensure_eq!(lost, Err(IdempotencyError::Lost), "a request whose work panicked");
    let answer = value(bench.ask("k", 1, 0, false).await?, "the next request with the same key")?;
    ensure_eq!(answer, "transaction 1", "the next request with the same key");
    Ok(())
}

pub async fn keys_are_checked(cx: Cx) -> Outcome {
    let check = |text: String| cx.call_fn("Key::new", move || Key::new(&text));
    ensure_eq!(check(String::new()).await?, Err(KeyError::Empty), "an empty key");
    let characters = 256;
    ensure_eq!(
        check("k".repeat(characters)).await?,
        Err(KeyError::TooLong { characters }),
        "a key of 256 characters"
    );
    let kept = check("key-1".to_owned()).await?.map(|key| key.as_str().to_owned());
    ensure_eq!(kept, Ok("key-1".to_owned()), "a key has another text");
    for text in ["k".repeat(255), "é".repeat(255), "k".to_owned()] {
        ensure!(check(text.clone()).await?.is_ok(), "a key of {} characters is refused", text.chars().count();
            expected = "1 to 255 characters are valid", observed = text,
            help = "count characters, not bytes");
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
    let first = value(bench.ask("k", 1, 0, false).await?, "a request")?;
    sleep(ms(59_999)).await;
    let repeat = value(bench.ask("k", 1, 0, false).await?, "a repeat")?;
    ensure_eq!(
        repeat,
        first,
        "answers are kept for 60 s, and a repeat 59 999 ms later made a call"
    );
    sleep(ms(1)).await;
    let late = value(bench.ask("k", 1, 0, false).await?, "a repeat")?;
    ensure!(late != first, "answers are kept for 60 s, and a repeat 60 s later got the old one";
        expected = "a new answer: memory is bounded",
        help = "the age of an answer counts from when it was given, not from the last repeat");
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
        ensure_eq!(third, Err(IdempotencyError::Full { capacity: 2 }), "a third key in a store of 2";
            help = "no key may go before its time: a repeat would pay again. Refuse the new one instead");
        ensure!(bench.calls() == 1, "a refused request called the provider");
        let known = value(bench.ask("a", 1, 0, false).await?, "a known key in a full store")?;
        ensure_eq!(known, "transaction 1", "a known key in a full store");
        sleep(ms(1001)).await;
        value(bench.ask("b", 1, 0, false).await?, "a new key after an old one has expired")?;
        Ok(())
    };
    join(hung, script).await.1
}
