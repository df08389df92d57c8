//! `queue::AsyncQueue`.

use std::cell::{Cell, RefCell};
use std::num::NonZeroUsize;
use std::panic::AssertUnwindSafe;

use futures::FutureExt as _;
use futures::future::{join, join_all};
use grader_kit::{Cx, Fail, Outcome, ensure, ensure_eq, ms};
use level2::queue::{AsyncQueue, DEFAULT_CONCURRENCY};
use tokio::time::{sleep, timeout};

const NAME: &str = "AsyncQueue::add";

/// Jobs that note when they begin, when they end, and how many run.
struct Jobs<'a> {
    cx: &'a Cx,
    started: RefCell<Vec<&'static str>>,
    running: Cell<usize>,
    most: Cell<usize>,
}

impl<'a> Jobs<'a> {
    fn new(cx: &'a Cx) -> Self {
        Self { cx, started: RefCell::default(), running: Cell::new(0), most: Cell::new(0) }
    }

    /// Runs for `length` milliseconds.
    async fn run(&self, name: &'static str, length: u64) -> &'static str {
        self.cx.timeline().record(format!("job {name}"), "begins");
        self.started.borrow_mut().push(name);
        self.running.set(self.running.get() + 1);
        self.most.set(self.most.get().max(self.running.get()));
        // From a destructor: a dropped job does not run any more either.
        let _leave = scopeguard(|| {
            self.running.set(self.running.get() - 1);
            self.cx.timeline().record(format!("job {name}"), "ends");
        });
        sleep(ms(length)).await;
        name
    }
}

/// Calls `on_drop` when it is dropped.
fn scopeguard<F: FnMut()>(on_drop: F) -> impl Drop {
    struct Guard<F: FnMut()>(F);
    impl<F: FnMut()> Drop for Guard<F> {
        fn drop(&mut self) {
            (self.0)();
        }
    }
    Guard(on_drop)
}

fn queue(concurrency: usize) -> Result<AsyncQueue, Fail> {
    let concurrency = NonZeroUsize::new(concurrency).ok_or_else(|| Fail::new("0 jobs at once"))?;
    Ok(AsyncQueue::new(concurrency))
}

pub async fn bounds_the_jobs(cx: Cx) -> Outcome {
    for (concurrency, expected_ms) in [(3, 300), (1, 700)] {
        let queue = queue(concurrency)?;
        let jobs = Jobs::new(&cx);
        let all = ["a", "b", "c", "d", "e", "f", "g"].map(|name| queue.add(|| jobs.run(name, 100)));
        let call = cx.call(NAME, join_all(all)).await?;
        ensure!(jobs.most.get() == concurrency, "{} jobs ran at once", jobs.most.get();
            expected = format!("{concurrency}, the queue's limit"),
            help = "take a permit before the job is called and keep it until the job has ended");
        ensure!(call.took == ms(expected_ms), "7 jobs of 100 ms took {} ms", call.took.as_millis();
            expected = format!("{expected_ms} ms with {concurrency} at a time"));
    }
    Ok(())
}

pub async fn first_come_first_served(cx: Cx) -> Outcome {
    let queue = queue(1)?;
    let jobs = Jobs::new(&cx);
    let names = ["a", "b", "c", "d", "e"];
    let call = cx.call(NAME, join_all(names.map(|name| queue.add(|| jobs.run(name, 100))))).await?;
    ensure_eq!(*jobs.started.borrow(), names, "jobs began in another order than they were added");
    ensure_eq!(call.value, names, "a job's result went to another caller");
    Ok(())
}

pub async fn no_newcomer_overtakes(cx: Cx) -> Outcome {
    let queue = queue(1)?;
    let jobs = Jobs::new(&cx);
    // The task that ran `a` adds `c` in the same breath in which the place becomes free, before the
    // waiting `b` has had a chance to look.
    let first = async {
        queue.add(|| jobs.run("a", 100)).await;
        queue.add(|| jobs.run("c", 100)).await;
    };
    let second = queue.add(|| jobs.run("b", 100));
    cx.call(NAME, join(first, second)).await?;
    ensure_eq!(*jobs.started.borrow(), ["a", "b", "c"],
        "a newcomer took the place of a job that was waiting";
        help = "between waking a waiter and its turn to run, a newcomer finds the counter free. Hand \
                the place to the waiter itself, as tokio's Semaphore does");
    Ok(())
}

pub async fn survives_failing_jobs(cx: Cx) -> Outcome {
    let queue = queue(1)?;
    let jobs = Jobs::new(&cx);
    let failing = queue.add(|| async {
        jobs.run("fails", 100).await;
        Err::<(), _>("no luck")
    });
    ensure_eq!(
        cx.call(NAME, failing).await?.value,
        Err("no luck"),
        "the job's error is not returned"
    );
    let panics = queue.add(|| async {
        jobs.run("panics", 100).await;
        panic!("a job with a bug");
    });
    let caught: Result<(), _> = AssertUnwindSafe(panics).catch_unwind().await;
    ensure!(caught.is_err(), "the job's panic did not reach the caller");
    match timeout(ms(10_000), queue.add(|| jobs.run("next", 100))).await {
        Ok(_) => Ok(()),
        Err(_) => Err(Fail::new("after a job has failed, the next one never begins")
            .expected("the place is free again, however the job ended")
            .help(
                "give the place back from a destructor (a permit that is dropped), not after the \
                   await: a panic never gets there",
            )),
    }
}

pub async fn survives_dropped_callers(cx: Cx) -> Outcome {
    let queue = queue(1)?;
    let jobs = Jobs::new(&cx);
    let running = timeout(ms(50), queue.add(|| jobs.run("dropped while it runs", 100)));
    let waiting = timeout(ms(30), queue.add(|| jobs.run("dropped while it waits", 100)));
    let (running, waiting) = join(running, waiting).await;
    ensure!(running.is_err() && waiting.is_err(), "a job of 100 ms was over within 50 ms");
    still_serves(&queue, &jobs, "after callers were dropped").await?;

    // The narrowest case: a caller is dropped when its turn has come, but before it could run.
    let mut waiting = Box::pin(queue.add(|| jobs.run("dropped at its turn", 100)));
    let running = queue.add(|| async {
        let polled = futures::poll!(waiting.as_mut());
        jobs.run("ends", 100).await;
        polled.is_pending()
    });
    ensure!(cx.call(NAME, running).await?.value, "a second job ran beside the first");
    drop(waiting);
    still_serves(&queue, &jobs, "after a caller was dropped at its turn").await
}

/// Another job gets its turn.
async fn still_serves(queue: &AsyncQueue, jobs: &Jobs<'_>, when: &str) -> Outcome {
    match timeout(ms(10_000), queue.add(|| jobs.run("next", 100))).await {
        Ok(_) => Ok(()),
        Err(_) => Err(Fail::new(format!("{when}, the next job never begins"))
            .expected("a dropped caller gives back its place and leaves the line")
            .help(
                "a waiter that is gone must not be handed a place, and a job that is dropped must \
                   give its place back: let destructors do it",
            )),
    }
}

pub async fn five_by_default(cx: Cx) -> Outcome {
    ensure_eq!(DEFAULT_CONCURRENCY.get(), 5, "DEFAULT_CONCURRENCY is not 5");
    let mut most = Vec::new();
    for queue in [AsyncQueue::default(), AsyncQueue::new(DEFAULT_CONCURRENCY)] {
        let jobs = Jobs::new(&cx);
        let all = ["a", "b", "c", "d", "e", "f", "g"].map(|name| queue.add(|| jobs.run(name, 100)));
        cx.call(NAME, join_all(all)).await?;
        most.push(jobs.most.get());
    }
    ensure!(most[0] == most[1], "{} jobs ran at once", most[0];
        expected = format!("{}, as in a queue made for DEFAULT_CONCURRENCY", most[1]));
    Ok(())
}
