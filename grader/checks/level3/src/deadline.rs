//! `deadline::Deadline`.

use std::cell::Cell;
use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::join_all;
use grader_kit::{Cx, Fail, Outcome, dropped_at, ensure, ensure_eq, list, ms};
use level3::deadline::{Deadline, Elapsed};
use tokio::time::{Instant, sleep, sleep_until};

use crate::parts::{OnDrop, Payload, caught_as};

const RUN: &str = "Deadline::run";
const YEAR: Duration = Duration::from_secs(365 * 86_400);

pub async fn counts_down(cx: Cx) -> Outcome {
    for limit in [100, cx.draw().between(2..=100_000)] {
        let observed = cx.call("Deadline", async {
            let deadline = Deadline::after(ms(limit));
            // A copy is the same instant, whenever it is asked.
            let look = |copy: Deadline| (copy.remaining(), copy.is_over());
            sleep(ms(limit - 1)).await;
            let before = look(deadline);
            sleep(ms(1)).await;
            let at = look(deadline);
            sleep(ms(1)).await;
            (before, at, look(deadline))
        });
        let (before, at, after) = observed.await?.value;
        ensure_eq!(before, (ms(1), false), "remaining() and is_over() 1 ms before the deadline are wrong";
            help = "keep the instant, not the duration: every question computes what is left of it now");
        ensure_eq!(at, (ms(0), true), "remaining() and is_over() at the deadline itself are wrong";
            help = "a deadline is over from its instant on: now >= at");
        ensure_eq!(
            after,
            (ms(0), true),
            "remaining() and is_over() 1 ms after the deadline are wrong"
        );
    }
    let far = Duration::from_secs(50 * 86_400);
    let instants = || {
        let now = Instant::now();
        let given = [now - ms(5), now, now + ms(77), now + far].map(|instant| {
            let deadline = Deadline::at(instant);
            (deadline.instant() == instant, deadline.remaining())
        });
        (given, Deadline::after(far).instant() - now)
    };
    let (given, after) = cx.call_fn("Deadline::at", instants).await?;
    let expected = [(true, ms(0)), (true, ms(0)), (true, ms(77)), (true, far)];
    ensure_eq!(given, expected,
        "Deadline::at, 5 ms ago, now, in 77 ms and in 50 days: whether instant() is the instant given, and remaining()";
        help = "the instant is all that a deadline is: `at` keeps it, `instant` returns it");
    ensure_eq!(after, far, "instant() of a deadline after 50 days");
    of_any_length(&cx).await
}

/// A duration of any length, fractions of a millisecond among them.
fn lengths(cx: &Cx) -> Vec<Duration> {
    let mut draw = cx.draw();
    let mut lengths: Vec<Duration> =
        [1, 999, 1_000, 999_999, 1_000_001].into_iter().map(Duration::from_nanos).collect();
    // From a microsecond to 300 years.
    lengths.extend((3..19).map(|digits| {
        let least = 10_u64.pow(digits);
        Duration::from_nanos(draw.between(least..=least * 9))
    }));
    lengths
}

/// Deadlines that are nanoseconds and centuries away.
async fn of_any_length(cx: &Cx) -> Outcome {
    let lengths = lengths(cx);
    let looks = || {
        let now = Instant::now();
        let look = |length: &Duration| {
            let deadline = Deadline::after(*length);
            let at = Deadline::at(now + *length);
            (deadline.instant() - now, deadline.remaining(), at.remaining(), deadline.is_over())
        };
        lengths.iter().map(look).collect::<Vec<_>>()
    };
    let looks = cx.call_fn("Deadline", looks).await?;
    for (length, (after, left, at, over)) in lengths.iter().zip(looks) {
        ensure_eq!((after, left, at, over), (*length, *length, *length, false),
            "a deadline that is {length:?} away: instant() - now, remaining() after `after` and after `at`, and is_over()";
            help = "compute with the Duration itself: whole milliseconds lose what is shorter, and a longest limit cuts what is longer");
    }
    Ok(())
}

pub async fn says_what_fits(cx: Cx) -> Outcome {
    let limit = cx.draw().between(41..=100_000);
    let observed = cx.call("Deadline::allows", async {
        let deadline = Deadline::after(ms(limit));
        let asks = |least: [Duration; 4]| least.map(|needed| deadline.allows(needed));
        let at_first = asks([ms(0), ms(limit), ms(limit + 1), Duration::MAX]);
        sleep(ms(limit - 40)).await;
        let later = asks([ms(0), ms(40), ms(41), ms(limit)]);
        sleep(ms(39)).await;
        let near = asks([ms(0), ms(1), ms(2), ms(40)]);
        sleep(ms(1)).await;
        let at = asks([ms(0), ms(1), ms(limit), Duration::MAX]);
        (at_first, later, near, at)
    });
    let (at_first, later, near, at) = observed.await?.value;
    ensure_eq!(at_first, [true, true, false, false], "{limit} ms are left: allows(0), allows({limit} ms), allows({} ms) and allows(Duration::MAX)", limit + 1;
        help = "work that takes exactly what is left can end in time");
    ensure_eq!(later, [true, true, false, false], "40 ms are left: allows(0), allows(40 ms), allows(41 ms) and allows({limit} ms)";
        help = "compare with what is left now, not with the limit at the start");
    ensure_eq!(
        near,
        [true, true, false, false],
        "1 ms is left: allows(0), allows(1 ms), allows(2 ms) and allows(40 ms)"
    );
    ensure_eq!(at, [false; 4], "at the deadline itself: allows(0) and others";
        help = "a deadline that is over allows nothing, not even work that takes no time");
    let lengths = lengths(&cx);
    let asks = || {
        let nanosecond = Duration::from_nanos(1);
        let ask = |left: &Duration| {
            let deadline = Deadline::after(*left);
            [*left - nanosecond, *left, *left + nanosecond].map(|needed| deadline.allows(needed))
        };
        lengths.iter().map(ask).collect::<Vec<_>>()
    };
    let answers = cx.call_fn("Deadline::allows", asks).await?;
    for (left, answer) in lengths.iter().zip(answers) {
        ensure_eq!(answer, [true, true, false],
            "{left:?} are left: allows() of a nanosecond less, of just that, and of a nanosecond more";
            help = "compare the two Durations: rounded to milliseconds, work that is too long fits");
    }
    Ok(())
}

pub async fn keeps_a_reserve(cx: Cx) -> Outcome {
    for (limit, reserve) in [(10_000, 2000), (cx.draw().between(2000..=1_000_000), 1999)] {
        let reserves = || {
            let deadline = Deadline::after(ms(limit));
            let left = |reserve| deadline.earlier_by(ms(reserve)).remaining();
            let twice = deadline.earlier_by(ms(reserve - 1)).earlier_by(ms(1)).remaining();
            let too_long = [limit, limit + 1, limit * 6].map(left);
            (left(reserve), twice, too_long, left(0), deadline.remaining())
        };
        let (left, twice, too_long, none, own) =
            cx.call_fn("Deadline::earlier_by", reserves).await?;
        ensure_eq!(
            left,
            ms(limit - reserve),
            "{limit} ms less a reserve of {reserve} ms leave the wrong time"
        );
        ensure_eq!(twice, ms(limit - reserve), "a reserve of a reserve leaves the wrong time");
        ensure!(too_long.iter().all(Duration::is_zero), "a reserve as long as the deadline, or longer, leaves time";
            expected = "nothing is left");
        ensure_eq!(none, ms(limit), "a reserve of zero moves the deadline");
        ensure_eq!(own, ms(limit), "the deadline itself has moved");
    }
    Ok(())
}

pub async fn takes_any_duration(cx: Cx) -> Outcome {
    let extremes = || {
        let far = [Deadline::after(Duration::MAX), Deadline::never()];
        let far = far.map(|deadline| (deadline.is_over(), deadline.remaining() > YEAR));
        let reserve = Deadline::after(ms(1000)).earlier_by(Duration::MAX).remaining();
        let never = Deadline::never().earlier_by(Duration::MAX).remaining();
        (far, reserve.is_zero() && never.is_zero(), Deadline::after(ms(0)).remaining().is_zero())
    };
    let (far, reserve, zero) = cx.call_fn("Deadline", extremes).await?;
    ensure_eq!(far, [(false, true); 2],
        "Deadline::after(Duration::MAX) and Deadline::never(): whether it is over, whether more than a year is left";
        help = "now + limit panics when the clock cannot express it: checked_add, and something far \
                away instead");
    ensure!(reserve, "a reserve of Duration::MAX leaves time"; expected = "nothing is left");
    ensure!(zero, "Deadline::after of zero leaves time"; expected = "nothing is left");
    let run = async {
        let far = [Deadline::after(Duration::MAX), Deadline::never()];
        join_all(far.map(|deadline| deadline.run(sleep(ms(5))))).await
    };
    let done = cx.call(RUN, run).await?.value;
    ensure!(done.iter().all(Result::is_ok), "work of 5 ms is cut by a deadline that never comes");
    Ok(())
}

pub async fn cuts_at_the_instant(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    for (limit, gone) in [(500, 200), (draw.between(1000..=60_000), draw.between(1..=999))] {
        let run = async {
            let deadline = Deadline::after(ms(limit));
            // Some of the time is gone already.
            sleep(ms(gone)).await;
            deadline.run(sleep(ms(500_000))).await
        };
        let call = cx.call(RUN, run).await?;
        ensure!(matches!(call.value, Err(Elapsed)), "work of 500 s within {limit} ms was not cut");
        ensure!(call.took == ms(limit), "the work was cut at {} ms", call.took.as_millis();
            expected = format!("{limit} ms: the deadline is an instant, and {gone} ms of it had passed before the run"),
            help = "timeout_at, not timeout: the limit does not begin again with each run");
    }
    // A run that is made early and polled late.
    let late = async {
        let run = Deadline::after(ms(500)).run(sleep(ms(500_000)));
        sleep(ms(50)).await;
        run.await
    };
    let call = cx.call(RUN, late).await?;
    ensure!(matches!(call.value, Err(Elapsed)) && call.took == ms(500), "a run that is first polled 50 ms after it was made is cut at {} ms", call.took.as_millis();
        expected = "500 ms, as its deadline says",
        help = "the time that is left when `run` is called is no longer the time that is left at the first poll");
    // Polled first in one task, with another waker, and awaited in another: work that never ends, and work that does.
    for takes in [500_000, draw.between(1..=499)] {
        let mut moved = Box::pin(Deadline::after(ms(500)).run(sleep(ms(takes))));
        let early = (&mut moved).now_or_never();
        ensure!(early.is_none(), "work of {takes} ms is over at its first poll");
        let call = cx.call(RUN, moved).await.map_err(|fail| {
            let headline = format!(
                "a run is polled once by one task, and then awaited in another one: {}",
                fail.headline
            );
            let help = "a future may move to another task between two polls: the waker of the latest poll is the one to wake";
            Fail { headline, ..fail.help(help) }
        })?;
        ensure!(call.value.is_ok() == (takes < 500) && call.took == ms(takes.min(500)),
            "a run is polled once by one task, and then awaited in another one: it ends after {} ms with {:?}", call.took.as_millis(), call.value;
            expected = format!("{} ms: its work takes {takes} ms, and its deadline is at 500 ms", takes.min(500)));
    }
    // Far away, as a deadline of days or months is. In a task: such a wait is longer than a call may be.
    for most in [10, 1_000, 100_000] {
        let limit = ms(draw.between(1..=86_400 * most));
        let run = tokio::spawn(async move {
            let begun = Instant::now();
            let end = Deadline::after(limit).run(sleep(limit + YEAR)).await;
            (end, begun.elapsed())
        });
        cx.pass(limit + ms(1)).await;
        let is_over = run.is_finished();
        let end = if is_over { run.await.ok() } else { None };
        ensure!(end == Some((Err(Elapsed), limit)), "work that takes a year more than its deadline of {limit:?}: the run {}",
            if is_over { "does not end with Elapsed at the deadline" } else { "goes on after the deadline" };
            expected = format!("Elapsed after {limit:?}"),
            help = "a deadline that is far away is a deadline: set the timer for any of them");
    }
    let number = draw.below(1000);
    let text = number.to_string();
    let quick = Deadline::after(ms(500)).run(async {
        sleep(ms(100)).await;
        // Work may borrow, and its result may be anything.
        (text.as_str(), number)
    });
    let quick = cx.call(RUN, quick).await?;
    ensure!(
        matches!(quick.value, Ok(done) if done == (text.as_str(), number)),
        "work of 100 ms within 500 ms does not return its result"
    );
    ensure!(quick.took == ms(100), "work of 100 ms took {} ms", quick.took.as_millis();
        expected = "100 ms: the work is done, so there is nothing to wait for");
    // Several at once, each with its own deadline and some with the same one.
    let limits = [300, 100, 200, 100, draw.between(1..=400)];
    let start = Instant::now();
    let runs = limits.map(|limit| async move {
        let _ = Deadline::after(ms(limit)).run(sleep(ms(1000))).await;
        start.elapsed().as_millis() as u64
    });
    let ended = cx.call(RUN, join_all(runs)).await?.value;
    ensure!(ended == limits, "five runs at once end after {} ms", list(&ended);
        expected = format!("{} ms: each at its own deadline", list(limits)),
        help = "a deadline is a value of its own: keep nothing in a static");
    Ok(())
}

pub async fn work_that_ends_at_the_deadline_is_in_time(cx: Cx) -> Outcome {
    let limit = cx.draw().between(2..=10_000);
    for (ready, in_time) in [(limit, true), (limit + 1, false), (limit - 1, true)] {
        let run = async {
            let deadline = Deadline::after(ms(limit));
            let at = Instant::now() + ms(ready);
            let mut timer = pin!(sleep_until(at));
            // Ready in any poll from its instant on, whichever timer has woken it.
            deadline
                .run(poll_fn(|task| match timer.as_mut().poll(task) {
                    Poll::Pending if Instant::now() < at => Poll::Pending,
                    _ => Poll::Ready(()),
                }))
                .await
        };
        let call = cx.call(RUN, run).await?;
        let made = call.value.is_ok();
        ensure!(made == in_time, "a deadline at {limit} ms, work that is ready at {ready} ms: {}",
            if made { "its result is returned" } else { "it is cut" };
            expected = if in_time { "its result: it has made it" } else { "Elapsed at the deadline" },
            help = "at the deadline, poll the work once more before you give up: what is ready then has made it");
    }
    Ok(())
}

pub async fn drops_what_it_cuts(cx: Cx) -> Outcome {
    let (dropped, finished) = (Cell::new(false), Cell::new(false));
    let work = || async {
        let _guard = OnDrop(&dropped);
        sleep(ms(60_000)).await;
        finished.set(true);
    };
    let run = async {
        // By reference: `.await` on the run itself would drop it, and the work with it, as soon as it has ended.
        let mut run = pin!(Deadline::after(ms(500)).run(work()));
        let _ = run.as_mut().await;
        let let_go = dropped.get();
        // The future that has returned is still there.
        sleep(ms(120_000)).await;
        let_go
    };
    let let_go = cx.call(RUN, run).await?.value;
    ensure!(dropped.get() && !finished.get(), "the work goes on after the deadline";
        expected = "run drops the work's future at the deadline",
        help = "a race that only stops waiting leaves the loser running: it may still charge the card. \
                In Rust the work stops when its future is dropped");
    ensure!(let_go, "run has returned Elapsed, and its work is still there";
        expected = "the work is dropped before run returns: the locks and permits that it holds are free then",
        help = "the future of run may live on after it has returned, as in a `select!` over `&mut run`: \
                let it own the work only until the deadline");
    // The work of a run that begins too late is dropped as well.
    dropped.set(false);
    let late = async {
        let deadline = Deadline::after(ms(100));
        let guard = OnDrop(&dropped);
        let mut run = pin!(deadline.run(async move {
            let _guard = guard;
        }));
        sleep(ms(101)).await;
        let _ = run.as_mut().await;
        dropped.get()
    };
    let let_go = cx.call(RUN, late).await?.value;
    ensure!(let_go, "a run that was first polled after its deadline has returned, and its work is still there";
        expected = "the work is dropped before run returns");
    // The caller goes away in the middle, or before the first poll.
    dropped.set(false);
    dropped_at(&cx, RUN, 100, Deadline::after(ms(500)).run(work())).await?;
    ensure!(dropped.get() && !finished.get(), "the caller has dropped the run, and its work goes on";
        expected = "the work is dropped with the run");
    dropped.set(false);
    let guard = OnDrop(&dropped);
    let polled = Cell::new(false);
    drop(Deadline::after(ms(500)).run(async {
        polled.set(true);
        drop(guard);
    }));
    sleep(ms(1000)).await;
    ensure!(dropped.get() && !polled.get(), "a run that was dropped before its first poll has begun its work, or keeps it";
        expected = "nothing runs, and the work is dropped with the run");
    Ok(())
}

pub async fn starts_nothing_too_late(cx: Cx) -> Outcome {
    let polled = Cell::new(false);
    let late = cx.draw().between(1..=5000);
    // How long the deadline has been over when the run begins.
    for (what, over_for) in [("at the deadline itself", 0), ("after the deadline", late)] {
        let run = async {
            let deadline = Deadline::after(ms(100));
            sleep(ms(100 + over_for)).await;
            deadline.run(async { polled.set(true) }).await
        };
        let value = cx.call(RUN, run).await?.value;
        ensure!(!polled.get(), "work began {what}";
            expected = "a deadline that is over runs nothing: the work is not polled",
            help = "timeout_at polls the work before it looks at the clock");
        ensure!(matches!(value, Err(Elapsed)), "a run that began {what} does not end with Elapsed");
    }
    // What matters is when the run is polled first, not when it was made.
    let run = async {
        let run = Deadline::after(ms(100)).run(async { polled.set(true) });
        sleep(ms(100)).await;
        run.await
    };
    let value = cx.call(RUN, run).await?.value;
    ensure!(!polled.get() && matches!(value, Err(Elapsed)),
        "a run that was made before the deadline and polled first at the deadline has begun its work";
        expected = "Elapsed: look at the clock when the run is polled, not when it is made");
    Ok(())
}

pub async fn passes_panics_on(cx: Cx) -> Outcome {
    let payloads = Payload::all(cx.draw().below(1_000_000));
    for (payload, pause) in payloads.into_iter().flat_map(|payload| [(payload, 0), (payload, 30)]) {
        let work = async {
            if pause > 0 {
                sleep(ms(pause)).await;
            }
            payload.throw();
        };
        let run = Deadline::after(ms(100)).run(work);
        let caught = cx.call(RUN, AssertUnwindSafe(run).catch_unwind()).await?.value;
        ensure!(caught.as_ref().is_err_and(|panic| payload.is_in(panic.as_ref())),
            "work panics after {pause} ms with {}: the caller gets {}", payload.name(), caught_as(&caught);
            expected = "the work's own panic, with its payload",
            help = "a panic is a bug of the work, not a missed deadline: let it through as it is");
    }
    Ok(())
}

pub async fn the_earlier_is_less(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let near = draw.between(4..=500_000);
    let far = near + draw.between(1..=500_000);
    let observed = cx.call("Deadline::min", async {
        // Made in both orders, and at different times.
        let first = [Deadline::after(ms(far)), Deadline::after(ms(near))];
        sleep(ms(1)).await;
        let [a, b] = first;
        let c = Deadline::after(ms(far));
        sleep(ms(2)).await;
        // Its limit is the shorter one, its instant the later one.
        let d = Deadline::after(ms(far - 1));
        let stricter = [a.min(b), b.min(a), a.min(c), Deadline::never().min(a)];
        (
            stricter.map(Deadline::remaining),
            [b < a, a < c, c < a, a > b, a < d],
            a.max(b).remaining(),
        )
    });
    let (stricter, less, later) = observed.await?.value;
    let expected = [near, near, far, far].map(|left| ms(left - 3));
    ensure_eq!(stricter, expected, "of deadlines after {far}, {near} and {} ms, what is left of the stricter of two", far + 1;
        help = "derive Ord over the instant alone, or compare instants");
    ensure_eq!(
        (less, later),
        ([true, true, false, true, true], ms(far - 3)),
        "comparisons of the same deadlines, and the later of two"
    );
    Ok(())
}
