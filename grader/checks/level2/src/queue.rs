//! `queue::AsyncQueue`.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::num::NonZeroUsize;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use futures::future::{join, join_all};
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use grader_kit::{Cx, Fail, Outcome, ensure, ensure_eq, list, ms};
use level2::queue::{AsyncQueue, DEFAULT_CONCURRENCY};
use tokio::task::unconstrained;
use tokio::time::{sleep, timeout};

use crate::fake::Payload;

pub const NAME: &str = "AsyncQueue::add";

/// Jobs that note when they are called, when they end, and how many there are between.
struct Jobs<'a> {
    cx: &'a Cx,
    /// Which job was called, and when.
    started: RefCell<Vec<(usize, u64)>>,
    running: Cell<usize>,
    most: Cell<usize>,
}

impl<'a> Jobs<'a> {
    fn new(cx: &'a Cx) -> Self {
        Self { cx, started: RefCell::default(), running: Cell::new(0), most: Cell::new(0) }
    }

    /// The jobs began in this order. Those of one millisecond may have begun in any.
    fn began_in(&self, expected: &[usize], headline: &str, help: &str) -> Outcome {
        let started = self.started.borrow();
        let at = |number: &usize| started.iter().find(|(job, _)| job == number).map(|(_, at)| *at);
        let times: Vec<_> = expected.iter().map(at).collect();
        let complete = times.iter().all(Option::is_some) && started.len() == expected.len();
        ensure!(complete && times.is_sorted(), "{headline}";
            expected = format!("{} (the order in which `add` was first polled)", list(expected)),
            observed = list(started.iter().map(|(number, _)| number)), help = help);
        Ok(())
    }

    /// Adds a job that runs for `length` milliseconds.
    fn add<'q>(
        &'q self,
        queue: &'q AsyncQueue,
        number: usize,
        length: u64,
    ) -> impl Future<Output = usize> + use<'q, 'a> {
        queue.add(move || self.run(number, length))
    }

    /// A job that runs for `length` milliseconds, from the call of this method on.
    fn run(&self, number: usize, length: u64) -> impl Future<Output = usize> {
        self.cx.timeline().record(format!("job {number}"), "begins");
        self.started.borrow_mut().push((number, self.cx.timeline().now_ms()));
        self.running.set(self.running.get() + 1);
        self.most.set(self.most.get().max(self.running.get()));
        // From a destructor: a dropped job does not run any more either.
        let leave = scopeguard(move || {
            self.running.set(self.running.get() - 1);
            self.cx.timeline().record(format!("job {number}"), "ends");
        });
        async move {
            let _leave = leave;
            if length > 0 {
                sleep(ms(length)).await;
            }
            number
        }
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

async fn bounds(cx: &Cx, concurrency: usize, count: usize) -> Outcome {
    let queue = queue(concurrency)?;
    let jobs = Jobs::new(cx);
    let all = (0..count).map(|number| jobs.add(&queue, number, 100));
    let call = cx.call(NAME, join_all(all)).await?;
    let expected = concurrency.min(count);
    ensure!(jobs.most.get() == expected, "{} jobs ran at once", jobs.most.get();
        expected = format!("{expected} of {count} jobs: the queue's limit is {concurrency}"),
        help = "take a permit before the job is called and keep it until the job has ended");
    let rounds = u64::try_from(count.div_ceil(concurrency)).unwrap_or(u64::MAX);
    ensure!(call.took == ms(rounds * 100), "{count} jobs of 100 ms took {} ms", call.took.as_millis();
        expected = format!("{} ms with {concurrency} at a time", rounds * 100),
        help = "a place that is free is taken at once by the job that waits longest");
    Ok(())
}

pub async fn bounds_the_jobs(cx: Cx) -> Outcome {
    bounds(&cx, 3, 7).await?;
    bounds(&cx, 1, 7).await?;
    let mut draw = cx.draw();
    for _ in 0..4 {
        bounds(&cx, draw.index(12) + 1, draw.index(40) + 1).await?;
    }
    bounds(&cx, 300, 350).await?;
    wakes_who_waits(&cx).await?;
    frees_the_place_at_the_end(&cx).await
}

/// A place is free when its job has returned, also while the future of `add` still exists.
async fn frees_the_place_at_the_end(cx: &Cx) -> Outcome {
    let queue = queue(1)?;
    let jobs = Jobs::new(cx);
    let mut ended = Box::pin(jobs.add(&queue, 0, 100));
    cx.call(NAME, ended.as_mut()).await?;
    let next = timeout(ms(10_000), jobs.add(&queue, 1, 100));
    ensure!(cx.call(NAME, next).await?.value.is_ok(),
        "the place of a job that has returned is not free while its future is kept";
        expected = "the next job begins when the one before it has returned",
        help = "drop the permit when the job has ended: a future that has returned may be kept for long");
    drop(ended);
    Ok(())
}

/// A caller that has moved to another task since its first poll gets its place.
async fn wakes_who_waits(cx: &Cx) -> Outcome {
    let queue = queue(1)?;
    let jobs = Jobs::new(cx);
    let mut holds = Box::pin(jobs.add(&queue, 0, 100));
    let mut waits = Box::pin(jobs.add(&queue, 1, 100));
    let polled = || {
        poll_once(holds.as_mut(), Waker::noop());
        poll_once(waits.as_mut(), Waker::noop());
    };
    cx.call_fn(NAME, polled).await?;
    // It looks before the place is free, and then has to be woken.
    let both = timeout(ms(10_000), join(waits, holds));
    let moved = cx.call(NAME, both).await?.value.is_ok();
    ensure!(moved, "a caller that waits and has moved to another task is not woken";
        expected = "its job begins when a place is free",
        help = "keep the waker of the newest poll: that of an earlier one belongs to a task that may be gone");
    Ok(())
}

pub async fn takes_any_limit(cx: Cx) -> Outcome {
    let half = usize::MAX / 2;
    for limit in [usize::MAX, half, usize::MAX >> 3, (usize::MAX >> 3) + 1, 1 << 32] {
        let limit = NonZeroUsize::new(limit).unwrap_or(NonZeroUsize::MIN);
        let queue = cx.call_fn("AsyncQueue::new", || AsyncQueue::new(limit)).await?;
        let jobs = Jobs::new(&cx);
        let all = (0..50).map(|number| jobs.add(&queue, number, 100));
        cx.call(NAME, join_all(all)).await?;
        ensure!(jobs.most.get() == 50, "with a limit of {limit}, {} of 50 jobs ran at once", jobs.most.get();
            expected = "all 50", help = "any NonZeroUsize is a limit, also one that no machine reaches");
    }
    as_many_as_allowed(&cx, 66_000).await
}

/// A queue that allows very many jobs at once runs them all at once, and no more.
async fn as_many_as_allowed(cx: &Cx, places: usize) -> Outcome {
    const MORE: usize = 10;
    let queue = queue(places)?;
    let running = Cell::new(0_usize);
    let mut callers: Vec<_> = (0..places + MORE)
        .map(|_| {
            let running = &running;
            Box::pin(queue.add(move || {
                running.set(running.get() + 1);
                std::future::pending::<()>()
            }))
        })
        .collect();
    // A queue may need more than one poll to call a job for which there is a place.
    for _ in 0..3 {
        let arrive = poll_fn(|cx| {
            for caller in &mut callers {
                let _ = caller.as_mut().poll(cx).is_ready();
            }
            Poll::Ready(())
        });
        // Tokio makes a task wait that has polled a semaphore often: this one may go on.
        cx.call(NAME, unconstrained(arrive)).await?;
        if running.get() >= places {
            break;
        }
    }
    let most = running.get();
    ensure!(most == places, "with a limit of {places}, {most} of {} jobs ran at once", places + MORE;
        expected = format!("{places}, as many as the limit allows"),
        help = "any NonZeroUsize is a limit: keep it in a usize, and make it no smaller");
    Ok(())
}

pub async fn keeps_queues_apart(cx: Cx) -> Outcome {
    let (first, second) = (queue(2)?, queue(3)?);
    let (ours, theirs) = (Jobs::new(&cx), Jobs::new(&cx));
    let began = cx.timeline().now_ms();
    let both = join(
        join_all((0..6).map(|number| ours.add(&first, number, 100))),
        join_all((0..6).map(|number| theirs.add(&second, number, 100))),
    );
    cx.call(NAME, both).await?;
    let at_once = [&ours, &theirs]
        .map(|jobs| jobs.started.borrow().iter().filter(|(_, at)| *at == began).count());
    ensure!(at_once == [2, 3], "of two queues, one begins {} and the other {} jobs at once", at_once[0], at_once[1];
        expected = "2 and 3: each queue has its own limit",
        help = "keep the places in a field of the queue, not in a static");
    Ok(())
}

pub async fn first_come_first_served(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    for (concurrency, count) in [(1, 5), (2, 9), (draw.index(5) + 1, draw.index(30) + 10)] {
        let queue = queue(concurrency)?;
        let jobs = Jobs::new(&cx);
        // Made in one order and polled in another: a future that was only made does not stand in line.
        let mut callers: Vec<_> =
            (0..count).map(|number| Box::pin(jobs.add(&queue, number, 100))).collect();
        let _never = jobs.add(&queue, usize::MAX, 100);
        let mut order: Vec<usize> = (0..count).collect();
        draw.shuffle(&mut order);
        let arrive = poll_fn(|cx| {
            for number in &order {
                let _ = callers[*number].as_mut().poll(cx).is_ready();
            }
            Poll::Ready(())
        });
        cx.call(NAME, arrive).await?;
        let call = cx.call(NAME, join_all(callers)).await?;
        jobs.began_in(
            &order,
            "jobs began in another order than they were added",
            "the first that waits is the first that gets a place",
        )?;
        let own: Vec<usize> = (0..count).collect();
        ensure_eq!(call.value, own, "a job's result went to another caller");
    }
    Ok(())
}

pub async fn no_newcomer_overtakes(cx: Cx) -> Outcome {
    for concurrency in [1, 2] {
        let queue = queue(concurrency)?;
        let jobs = Jobs::new(&cx);
        // Each caller adds its next job in the same breath in which its place becomes free, before the one
        // that waits has had a chance to look.
        let callers = concurrency + 1;
        let came = RefCell::new(Vec::new());
        let all = (0..callers).map(|caller| {
            let (queue, jobs, came) = (&queue, &jobs, &came);
            async move {
                for round in 0..3 {
                    let number = round * callers + caller;
                    came.borrow_mut().push(number);
                    jobs.add(queue, number, [100, 130, 160][caller]).await;
                }
            }
        });
        cx.call(NAME, join_all(all)).await?;
        let most = jobs.most.get();
        ensure!(most == concurrency, "a newcomer took the place of a job that was waiting, and both ran";
            expected = format!("{concurrency} jobs at once"), observed = format!("{most} jobs at once"),
            help = "a waiter that is woken may run when the place is its own: hand it over, as tokio's \
                    Semaphore does");
        jobs.began_in(
            &came.borrow(),
            "a newcomer took the place of a job that was waiting",
            "between waking a waiter and its turn to run, a newcomer finds the counter free. Hand the \
             place to the waiter itself, as tokio's Semaphore does",
        )?;
    }
    Ok(())
}

/// How a job fails.
#[derive(Debug, Clone, Copy)]
enum Fails {
    ReturnsAnError,
    PanicsInItsFuture,
    PanicsInItsClosure,
}

impl Fails {
    const ALL: [Self; 3] =
        [Self::ReturnsAnError, Self::PanicsInItsFuture, Self::PanicsInItsClosure];

    fn said(self) -> &'static str {
        match self {
            Self::ReturnsAnError => "has returned an error",
            Self::PanicsInItsFuture => "has panicked in its future",
            Self::PanicsInItsClosure => "has panicked in its closure, before there was a future",
        }
    }

    /// Adds a job that fails so. Runs `then` when it has failed and its caller still keeps the future.
    async fn add(
        self,
        queue: &AsyncQueue,
        jobs: &Jobs<'_>,
        payload: Payload,
        then: impl AsyncFnOnce() -> Outcome,
    ) -> Outcome {
        let text = payload.text();
        let said = text.clone();
        let job = || {
            if matches!(self, Self::PanicsInItsClosure) {
                payload.clone().throw();
            }
            let runs = jobs.run(0, 100);
            async move {
                runs.await;
                if matches!(self, Self::PanicsInItsFuture) {
                    payload.throw();
                }
                Err::<(), _>(text.clone())
            }
        };
        let mut added = Box::pin(queue.add(job));
        let adds = AssertUnwindSafe(added.as_mut()).catch_unwind();
        let Ok(outcome) = timeout(ms(10_000), adds).await else {
            return Err(self.lost());
        };
        let (observed, wanted) = match outcome {
            Ok(Err(text)) => (text, matches!(self, Self::ReturnsAnError)),
            Ok(Ok(())) => ("a success".to_owned(), false),
            Err(payload) => {
                let text = payload.downcast_ref::<&str>().map(ToString::to_string);
                let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
                let text = text.unwrap_or_else(|| "a panic without a text".to_owned());
                (text, !matches!(self, Self::ReturnsAnError))
            }
        };
        let seen = wanted && observed == said;
        ensure!(seen, "the caller of a job that {} does not see that", self.said();
            expected = said, observed = observed,
            help = "an error is a result like any other, and a panic passes to the caller of `add`");
        then().await?;
        drop(added);
        Ok(())
    }

    /// The place of a job that failed so is lost.
    fn lost(self) -> Fail {
        Fail::new(format!("after a job {}, the next one never begins", self.said()))
            .expected("the place is free again, however the job ended, and other callers do not notice")
            .help(
                "free the place in a destructor (of a permit, for instance), not after the await: a panic never gets there. And take the place before the closure is called",
            )
    }
}

pub async fn survives_failing_jobs(cx: Cx) -> Outcome {
    for fails in Fails::ALL {
        for payload in [Payload::Literal("no luck"), Payload::Text("row 7: no luck".to_owned())] {
            // More failures than places, so that a place lost with each is missed. One caller waits
            // meanwhile, and one comes later.
            for places in [1, 3] {
                let queue = queue(places)?;
                let jobs = Jobs::new(&cx);
                let failing = async {
                    for _ in 0..=places {
                        fails.add(&queue, &jobs, payload.clone(), async || Ok(())).await?;
                    }
                    Ok(())
                };
                let waits = async {
                    // Behind the first failing job.
                    tokio::task::yield_now().await;
                    let waits = timeout(ms(10_000), jobs.add(&queue, 1, 100));
                    AssertUnwindSafe(waits).catch_unwind().await
                };
                let (failed, waited) = cx.call(NAME, join(failing, waits)).await?.value;
                failed?;
                if !matches!(waited, Ok(Ok(_))) {
                    return Err(fails.lost());
                }
                serves(&cx, &queue, places, &format!("after a job {}", fails.said())).await?;
            }
        }
        frees_the_place_that_failed(&cx, fails).await?;
    }
    Ok(())
}

/// A place is free when its job has failed, also while the future of `add` still exists. That of a job that has
/// returned is another criterion's business.
async fn frees_the_place_that_failed(cx: &Cx, fails: Fails) -> Outcome {
    if frees_the_place_at_the_end(cx).await.is_err() {
        return Ok(());
    }
    cx.timeline().restart();
    let queue = queue(1)?;
    let jobs = Jobs::new(cx);
    let next = async || {
        let next = timeout(ms(10_000), jobs.add(&queue, 1, 100)).await;
        ensure!(next.is_ok(), "the place of a job that {} is not free while its future is kept", fails.said();
            expected = "the next job begins when the one before it has ended, however it did",
            help = "a caller that catches the panic of a future may keep it for long. Take the permit out of the \
                    future while the job is polled, so that unwinding drops it; the body of an `async fn` does so by \
                    itself");
        Ok(())
    };
    cx.call(NAME, fails.add(&queue, &jobs, Payload::Literal("no luck"), next)).await?.value
}

/// As many jobs as there are places run at once.
async fn serves(cx: &Cx, queue: &AsyncQueue, places: usize, when: &str) -> Outcome {
    const HELP: &str = "a dropped waiter must not get a place, and a job that fails or is dropped must free its place: let destructors do it";
    let jobs = Jobs::new(cx);
    let all = (0..places).map(|number| jobs.add(queue, number, 100));
    let all = AssertUnwindSafe(timeout(ms(10_000), join_all(all))).catch_unwind();
    let outcome = cx.call(NAME, all).await?.value;
    ensure!(matches!(outcome, Ok(Ok(_))), "{when}, the next job never begins";
        expected = "every place is free again", help = HELP);
    ensure!(jobs.most.get() == places, "{when}, {} of {places} places are left", jobs.most.get();
        expected = "every place is free again, and no more than there were", help = HELP);
    Ok(())
}

pub async fn survives_dropped_callers(cx: Cx) -> Outcome {
    for places in [1, 2] {
        let queue = queue(places)?;
        let jobs = Jobs::new(&cx);
        for _ in 0..3 {
            let running = (0..places).map(|number| timeout(ms(50), jobs.add(&queue, number, 100)));
            let waiting = (0..3).map(|number| timeout(ms(30), jobs.add(&queue, 10 + number, 100)));
            let (running, waiting) = join(join_all(running), join_all(waiting)).await;
            let over = running.iter().chain(&waiting).any(Result::is_ok);
            ensure!(!over, "a job of 100 ms was over within 50 ms");
            ensure!(jobs.running.get() == 0, "a job still runs after its caller was dropped";
                expected = "dropping the future stops its job",
                help = "run the job inside the caller's own future, or abort its task in a destructor");
            serves(
                &cx,
                &queue,
                places,
                "after callers were dropped while they ran and while they waited",
            )
            .await?;
        }

        // Callers in the middle of the line go: those behind them move up, in their order.
        let order = Jobs::new(&cx);
        let line = (0..places + 6).map(|number| {
            let (queue, order) = (&queue, &order);
            let patience = if number >= places && number % 2 == 0 { 20 } else { 10_000 };
            async move { timeout(ms(patience), order.add(queue, number, 100)).await.is_ok() }
        });
        let served = cx.call(NAME, join_all(line)).await?.value;
        let stayed: Vec<usize> =
            (0..places + 6).filter(|number| *number < places || number % 2 == 1).collect();
        order.began_in(
            &stayed,
            "after callers in the middle of the queue were dropped, the wrong callers began, or in another order",
            "a dropped waiter must not get a place, and the callers behind it keep their order",
        )?;
        ensure!(
            served.iter().filter(|served| **served).count() == stayed.len(),
            "after callers in the middle of the queue were dropped, another one got no place"
        );

        // The narrowest case: a caller is dropped when its turn has come, but before it could run.
        for handed in 1..=3 {
            let mut waiting: Vec<_> =
                (0..handed).map(|number| Box::pin(jobs.add(&queue, 20 + number, 100))).collect();
            let mut holding: Vec<_> =
                (0..places).map(|number| Box::pin(jobs.add(&queue, 30 + number, 100))).collect();
            let arrive = poll_fn(|cx| {
                let mut early =
                    holding.iter_mut().any(|caller| caller.as_mut().poll(cx).is_ready());
                for caller in &mut waiting {
                    early |= caller.as_mut().poll(cx).is_ready();
                }
                Poll::Ready(early)
            });
            ensure!(!cx.call(NAME, arrive).await?.value, "a job of 100 ms was over at once");
            cx.call(NAME, join_all(holding)).await?;
            drop(waiting);
            serves(&cx, &queue, places, "after a caller was dropped at its turn").await?;
        }
        hands_on_what_is_not_taken(&cx, &queue, places).await?;

        // Callers that were never polled, and one that stays in the line, not polled again.
        for number in 0..3 {
            drop(jobs.add(&queue, number, 100));
        }
        serves(&cx, &queue, places, "after callers were dropped before their first poll").await?;
    }
    Ok(())
}

/// A caller is dropped when its turn has come, before it could run, and others wait behind it: the place is theirs.
async fn hands_on_what_is_not_taken(cx: &Cx, queue: &AsyncQueue, places: usize) -> Outcome {
    for gone in 1..=3 {
        let jobs = Jobs::new(cx);
        let mut holding: Vec<_> =
            (0..places).map(|number| Box::pin(jobs.add(queue, number, 100))).collect();
        let mut going: Vec<_> =
            (0..gone).map(|number| Box::pin(jobs.add(queue, 10 + number, 100))).collect();
        // Each is polled when it is woken, and at no other time.
        let mut behind: FuturesUnordered<_> =
            (0..3).map(|number| jobs.add(queue, 20 + number, 100)).collect();
        let arrive = poll_fn(|cx| {
            for caller in holding.iter_mut().chain(&mut going) {
                let _ = caller.as_mut().poll(cx).is_ready();
            }
            Poll::Ready(behind.poll_next_unpin(cx).is_ready())
        });
        ensure!(!cx.call(NAME, arrive).await?.value, "a job of 100 ms was over at once");
        cx.call(NAME, join_all(holding)).await?;
        drop(going);
        let behind = timeout(ms(10_000), behind.count());
        ensure!(cx.call(NAME, behind).await?.value.is_ok(),
            "after a caller was dropped at its turn, those behind it wait although a place is free";
            expected = "the place passes to the next one in the queue",
            help = "a waiter that was woken may be dropped before it runs: its destructor hands the place on, \
                    or wakes the next one");
    }
    Ok(())
}

pub async fn five_by_default(cx: Cx) -> Outcome {
    ensure_eq!(DEFAULT_CONCURRENCY.get(), 5, "DEFAULT_CONCURRENCY is not 5");
    let mut most = Vec::new();
    for queue in [AsyncQueue::default(), AsyncQueue::new(DEFAULT_CONCURRENCY)] {
        let jobs = Jobs::new(&cx);
        let all = (0..7).map(|number| jobs.add(&queue, number, 100));
        cx.call(NAME, join_all(all)).await?;
        most.push(jobs.most.get());
    }
    ensure!(most[0] == most[1], "{} jobs ran at once", most[0];
        expected = format!("{}, as in a queue made for DEFAULT_CONCURRENCY", most[1]));
    Ok(())
}

pub async fn ten_thousand_wait(cx: Cx) -> Outcome {
    const COUNT: usize = 10_000;
    const PLACES: usize = 10;
    let queue = queue(PLACES)?;
    let started = RefCell::new(Vec::with_capacity(COUNT));
    let all = (0..COUNT).map(|number| {
        let started = &started;
        queue.add(move || {
            started.borrow_mut().push(number);
            sleep(ms(1))
        })
    });
    let call = cx.call(NAME, join_all(all)).await?;
    let started = started.borrow();
    // Those of one millisecond may begin in any order.
    let wrong =
        started.iter().enumerate().find(|(place, number)| place / PLACES != *number / PLACES);
    if let Some((place, number)) = wrong {
        return Err(Fail::new(format!(
            "of {COUNT} jobs that wait, number {number} began as number {place}"
        ))
        .expected("the order in which `add` was first polled, however many wait")
        .help("the queue is unbounded: a new caller joins at its back"));
    }
    let rounds = (COUNT / PLACES) as u64;
    ensure!(call.took == ms(rounds), "{COUNT} jobs of 1 ms took {} ms", call.took.as_millis();
        expected = format!("{rounds} ms with {PLACES} at a time"));
    Ok(())
}

/// Counts how often it is stored: its `Arc` knows.
struct Counted;

impl Wake for Counted {
    fn wake(self: Arc<Self>) {}
}

pub async fn forgets_ended_jobs(cx: Cx) -> Outcome {
    /// So many that what is kept for each of them needs more than the memory that is left.
    const CALLERS: usize = 50_000;
    let queue = queue(1)?;
    // A caller that is polled again and again while it waits, as in a `select!` with a ticker.
    let counted = Arc::new(Counted);
    let waker = Waker::from(Arc::clone(&counted));
    let kept = || Arc::strong_count(&counted) - 2;
    let mut holds = Box::pin(queue.add(std::future::pending::<()>));
    let mut waits = Box::pin(queue.add(std::future::pending::<()>));
    let polled = cx.call_fn(NAME, || {
        let mut context = Context::from_waker(&waker);
        let _ = holds.as_mut().poll(&mut context);
        for _ in 0..1000 {
            let _ = waits.as_mut().poll(&mut context);
        }
        kept()
    });
    let wakers = polled.await?;
    ensure!(wakers <= 20, "one caller that waits was polled 1000 times, and {wakers} wakers are kept";
        expected = "one, or a few: the newest waker of a caller replaces the older ones",
        help = "store the waker in the caller's own entry in the queue instead of adding one at each poll");
    drop((holds, waits));
    // Callers that came and went, one after the other: little memory is enough for any number of them.
    let many = async {
        for _ in 0..1000 {
            let mut waits = Box::pin(queue.add(|| async {}));
            poll_once(waits.as_mut(), &waker);
            drop(waits);
        }
    };
    cx.call(NAME, many).await?;
    // The same behind a job that does not end: each waits, and is dropped while it does.
    let behind = async {
        let mut holds = Box::pin(queue.add(std::future::pending::<()>));
        poll_once(holds.as_mut(), Waker::noop());
        for _ in 0..1000 {
            let mut waits = Box::pin(queue.add(|| async {}));
            poll_once(waits.as_mut(), &waker);
            drop(waits);
        }
        let wakers = kept();
        drop(holds);
        wakers
    };
    let wakers = cx.call(NAME, behind).await?.value;
    ensure!(wakers <= 20, "1000 callers were dropped while they waited, and {wakers} of their wakers are kept";
        expected = "none, or a few: nothing is kept for a caller that has left the queue",
        help = "remove a caller's entry when it is dropped, not when its turn comes: the jobs before it may \
                never end");
    let wakers = kept();
    ensure!(wakers <= 20, "1000 callers have come and gone, and {wakers} of their wakers are kept";
        expected = "none, or a few: nothing is kept for a caller whose job has ended",
        help = "remove a caller's entries when it leaves");
    let _scarce = grader_kit::scarce(1 << 20);
    // Callers that are dropped while their job runs, and while they wait behind one that does not end.
    let dropped = async {
        for _ in 0..CALLERS {
            let mut runs = Box::pin(queue.add(std::future::pending::<()>));
            poll_once(runs.as_mut(), Waker::noop());
        }
        let mut holds = Box::pin(queue.add(std::future::pending::<()>));
        poll_once(holds.as_mut(), Waker::noop());
        for _ in 0..CALLERS {
            let mut waits = Box::pin(queue.add(|| async {}));
            poll_once(waits.as_mut(), Waker::noop());
        }
    };
    // Tokio makes a task wait that has polled a semaphore often: this one may go on.
    cx.call(NAME, unconstrained(dropped)).await?;
    // In parts: a solution may let other tasks run after each job, and such polls are no loop without an end.
    for _ in 0..100 {
        let many = async {
            for number in 0..1_000_u32 {
                queue.add(|| async move { number }).await;
            }
        };
        cx.call(NAME, many).await?;
    }
    Ok(())
}

fn poll_once<F: Future>(future: Pin<&mut F>, waker: &Waker) {
    let _ = future.poll(&mut Context::from_waker(waker));
}
