//! The order in which callers are served, and callers that go away.

use futures::FutureExt as _;
use futures::future::{join, join_all, poll_immediate};
use grader_kit::{Cx, Fail, Outcome, dropped_at, ensure, ensure_eq, ms};
use level3::deadline::Deadline;
use level3::limiter::Priority;
use tokio::time::{Instant, sleep};

use super::bench::{Bench, NAME};
use Priority::{Charge, Refund};

pub async fn serves_in_order(cx: Cx) -> Outcome {
    let mut names = ["a", "b", "c", "d", "e", "f", "g"];
    cx.draw().shuffle(&mut names);
    let bench = Bench::new(&cx, 1)?;
    let calls = names.iter().zip(0..).map(|(name, number)| {
        let bench = &bench;
        async move {
            // In the same second, but one after the other.
            sleep(ms(number * 10)).await;
            bench.go(name, Charge, Deadline::never()).await
        }
    });
    cx.call(NAME, join_all(calls)).await?;
    ensure_eq!(bench.callers(), names, "calls were made in another order than they came";
        help = "waiters that all wake up and race have no order. Keep them in a queue, and let the first \
                one wait for the slot");

    for uses_it in [false, true] {
        let bench = Bench::new(&cx, 1)?;
        let permit = bench.permit().await?;
        // It releases its slot and asks again in one breath, before the one who waits has had a turn.
        let newcomer = async {
            sleep(ms(50)).await;
            if uses_it {
                permit.used();
                sleep(ms(1000)).await;
            } else {
                drop(permit);
            }
            bench.go("newcomer", Charge, Deadline::never()).await
        };
        let waiting = bench.go("waiting", Charge, Deadline::after(ms(5000)));
        let ended = cx.call(NAME, join(waiting, newcomer)).await;
        let ended = ended.map_err(|fail| after_a_permit(fail, uses_it))?.value;
        if ended.0.is_err() {
            // Whether a released slot wakes the first in the queue is a criterion of its own.
            continue;
        }
        ensure_eq!(bench.callers(), ["waiting", "newcomer"], "a newcomer was served before a caller that waited";
            help = "between waking a waiter and its turn to run, a newcomer finds the slot free: let it join the \
                    queue if there is one");
    }
    Ok(())
}

/// What a caller that is never served has waited for: a permit was used or dropped meanwhile.
fn after_a_permit(fail: Fail, uses_it: bool) -> Fail {
    let (what, help) = if uses_it {
        ("used", "the slot of a permit is free again one window after it was used")
    } else {
        (
            "dropped unused",
            "a permit that is dropped unused must free its slot, and wake the first caller in the queue: \
                            implement `Drop` for `Permit`",
        )
    };
    let headline =
        format!("a permit was {what} while a caller waited for its slot: {}", fail.headline);
    Fail { headline, ..fail }.help(help)
}

pub async fn takes_its_place_when_polled(cx: Cx) -> Outcome {
    // A free slot is not taken by a future that was only made.
    let bench = Bench::new(&cx, 1)?;
    let made = bench.limiter.acquire(Charge, Deadline::never());
    let call = cx.call(NAME, bench.go("another", Charge, Deadline::after(ms(5000)))).await?;
    ensure!(call.value.is_ok() && call.took == ms(0), "acquire was called and not polled, and the call of another caller had to wait for {} ms", call.took.as_millis();
        expected = "no wait: a future that was not polled has no slot",
        help = "do the work inside of the future: what a plain `fn` does before it returns one is done at once");
    drop(made);
    // Nor does it have a place in the queue.
    for refund in [false, true] {
        let bench = Bench::new(&cx, 1)?;
        bench.crowd_of(1, "first").await?;
        let priority = if refund { Refund } else { Charge };
        let made = bench.go("made first, polled last", priority, Deadline::never());
        let waiting = bench.limiter.usage();
        ensure!(
            waiting.waiting_charges + waiting.waiting_refunds == 0,
            "usage() counts a caller as waiting whose future was not polled"
        );
        let polled_last = async {
            sleep(ms(20)).await;
            made.await
        };
        let polled_first = async {
            sleep(ms(10)).await;
            bench.go("polled first", priority, Deadline::never()).await
        };
        cx.call(NAME, join(polled_last, polled_first)).await?;
        ensure_eq!(bench.callers(), ["first", "polled first", "made first, polled last"], "calls were made in another order than their futures were first polled";
            help = "take the number in the queue at the first poll, inside of the future");
    }
    // It may stay away for as long as it likes.
    let bench = Bench::new(&cx, 1)?;
    bench.crowd_of(1, "first").await?;
    let made = bench.limiter.acquire(Charge, Deadline::never());
    let call = cx.call(NAME, bench.go("another", Charge, Deadline::after(ms(5000)))).await?;
    ensure!(call.value.is_ok() && call.took < ms(1100), "acquire was called before and not polled: the next call was made after {} ms", call.took.as_millis();
        expected = "1000 ms: only callers that were polled stand in the queue");
    drop(made);
    waits_in_another_task(&cx).await
}

/// A future is first polled by one task and then awaited by another.
async fn waits_in_another_task(cx: &Cx) -> Outcome {
    let run = async |moved: &str| {
        let bench = Bench::new(cx, 1)?;
        bench.crowd_of(1, "before").await?;
        let mut first = Box::pin(bench.go("first", Charge, Deadline::never()));
        let mut second = Box::pin(bench.go("second", Charge, Deadline::never()));
        let both = async {
            for (name, future) in [("first", &mut first), ("second", &mut second)] {
                if name == moved {
                    // Polled with a waker that wakes no task.
                    let _ = future.now_or_never();
                } else {
                    poll_immediate(future).await;
                }
            }
            join(first, second).await
        };
        let took = cx.call(NAME, both).await?.took;
        Ok((bench.callers(), took))
    };
    // That both are served in order is a criterion of its own.
    let expected = (vec!["before", "first", "second"], ms(2000));
    if !matches!(run("neither").await, Ok(found) if found == expected) {
        return Ok(());
    }
    for moved in ["first", "second"] {
        let when = format!(
            "the {moved} caller in the queue is polled once by one task, and then awaited in another one"
        );
        let help = "a future may move to another task between two polls: the waker of the latest poll is the one to wake";
        let (callers, took) = run(moved).await.map_err(|fail: Fail| {
            let headline = format!("{when}: {}", fail.headline);
            Fail { headline, ..fail.help(help) }
        })?;
        ensure!(
            (&callers, took) == (&expected.0, expected.1),
            "{when}: the calls are those of {}, the last one after {} ms", callers.join(", "), took.as_millis();
            expected = "before, first, second, the last one after 2000 ms", help = help
        );
    }
    Ok(())
}

pub async fn a_dropped_caller_delays_no_other(cx: Cx) -> Outcome {
    let bench = Bench::new(&cx, 1)?;
    bench.crowd(1).await?;
    // Both before the third one; the first one goes while it is first in the line.
    let first = dropped_at(&cx, NAME, 300, bench.go("gone", Charge, Deadline::never()));
    let second = dropped_at(&cx, NAME, 500, bench.go("gone", Charge, Deadline::never()));
    let stays = cx.call(NAME, bench.go("stays", Charge, Deadline::never()));
    let (first, second, stays) = futures::join!(first, second, stays);
    first?;
    second?;
    let stays = stays?;
    ensure!(stays.took < ms(1999), "two callers ahead were dropped: a call that could be made at 1000 ms was made at {} ms",
        stays.took.as_millis();
        expected = "1000 ms: a caller that is dropped leaves the queue and takes no slot",
        help = "leave the queue in a destructor, and wake the next caller if you were the first");

    // Of either priority, before one of either priority.
    for (gone, stays) in [(Refund, Charge), (Charge, Refund), (Refund, Refund), (Charge, Charge)] {
        let bench = Bench::new(&cx, 1)?;
        bench.crowd_of(1, "first").await?;
        let leaves = dropped_at(&cx, NAME, 300, bench.go("gone", gone, Deadline::never()));
        let stays_there = cx.call(NAME, bench.go("stays", stays, Deadline::after(ms(5000))));
        let (left, served) = join(leaves, stays_there).await;
        left?;
        let served = served?;
        ensure!(served.value.is_ok() && served.took == ms(1000), "a {gone:?} was the first in the queue and was dropped at 300 ms: the {stays:?} behind it {} {} ms",
            if served.value.is_ok() { "was served at" } else { "was refused at" }, served.took.as_millis();
            expected = "served at 1000 ms, when the slot is free",
            help = "a caller that leaves the front of the queue wakes the one that is first now, whatever its priority");
    }

    // From the middle, from the end, refunds and charges: those that stay are served as if the others had not come.
    let mut draw = cx.draw();
    let bench = Bench::new(&cx, 1)?;
    bench.crowd_of(1, "first").await?;
    let mut gone: Vec<_> = (0..8)
        .map(|number| (draw.between(1..=900), if number % 2 == 0 { Refund } else { Charge }))
        .collect();
    draw.shuffle(&mut gone);
    let leave = |which: &[(u64, Priority)]| {
        let leave = |&(at, priority)| {
            dropped_at(&cx, NAME, at, bench.go("gone", priority, Deadline::never()))
        };
        join_all(which.iter().map(leave).collect::<Vec<_>>())
    };
    let stays = async || cx.call(NAME, bench.go("stays", Charge, Deadline::never())).await;
    let (some, one, others, two) =
        futures::join!(leave(&gone[..4]), stays(), leave(&gone[4..]), stays());
    for outcome in some.into_iter().chain(others) {
        outcome?;
    }
    let took = [one?.took, two?.took].map(|took| took.as_millis());
    ensure!((1000..1100).contains(&took[0]) && (2000..2100).contains(&took[1]), "eight callers ahead of and between two others were dropped: the two were served after {} and {} ms", took[0], took[1];
        expected = "1000 and 2000 ms: as if the others had never come");

    // The slot is free, the first in the line was woken, and goes away before it has had its turn.
    for (uses_it, served_at) in [(false, 100), (true, 1100)] {
        let bench = Bench::new(&cx, 1)?;
        let permit = bench.permit().await?;
        let mut first = Box::pin(bench.limiter.acquire(Charge, Deadline::never()));
        if poll_immediate(&mut first).await.is_some() {
            // Whether a permit that is held takes its slot is a criterion of its own.
            continue;
        }
        let frees = async {
            sleep(ms(100)).await;
            if uses_it {
                permit.used();
                sleep(ms(1000)).await;
            } else {
                drop(permit);
            }
            drop(first);
        };
        let waits = cx.call(NAME, bench.go("stays", Charge, Deadline::after(ms(5000))));
        let (call, ()) = join(waits, frees).await;
        let call = call.map_err(|fail| after_a_permit(fail, uses_it))?;
        let at = call.took.as_millis();
        ensure!(call.value.is_ok() && at < served_at + 100, "the first in the queue was dropped in the very instant in which a slot became free: the next one {} {at} ms",
            if call.value.is_ok() { "was served at" } else { "was refused at" };
            expected = format!("served at {served_at} ms: the wake-up is passed on"),
            help = "a caller that was woken and is dropped has to wake the next one");
    }
    a_gone_caller_is_not_waited_for(&cx).await
}

/// Callers have gone from the middle of the line: one that comes now waits for those that are still there.
async fn a_gone_caller_is_not_waited_for(cx: &Cx) -> Outcome {
    let count = cx.draw().between(3..=20);
    for (gone, comes) in [(Charge, Charge), (Refund, Refund), (Refund, Charge)] {
        let bench = Bench::new(cx, 1)?;
        bench.crowd_of(1, "used").await?;
        let first = bench.go("first", gone, Deadline::never());
        let leave = (0..count)
            .map(|_| dropped_at(cx, NAME, 300, bench.go("gone", gone, Deadline::never())));
        let last = bench.go("last", gone, Deadline::never());
        let newcomer = async {
            sleep(ms(400)).await;
            let began = Instant::now();
            let told = bench.go("newcomer", comes, Deadline::after(ms(3000))).await;
            (told, began.elapsed())
        };
        let all =
            async { futures::join!(first, join_all(leave.collect::<Vec<_>>()), last, newcomer) };
        let (_, left, _, (told, took)) = cx.call(NAME, all).await?.value;
        left.into_iter().collect::<Result<(), _>>()?;
        ensure!(
            told.is_ok() && took == ms(2600),
            "a {gone:?} waits, {count} behind it were dropped at 300 ms, and another one behind those waits: a {comes:?} that comes at 400 ms, with a deadline at 3400 ms, {} {} ms",
            if told.is_ok() { "is served at" } else { "is refused at" }, 400 + took.as_millis();
            expected = "served at 3000 ms, after the two that wait",
            help = "count the callers that wait, not their places: callers that were dropped take no slot"
        );
    }
    Ok(())
}

pub async fn refunds_go_first(cx: Cx) -> Outcome {
    let bench = Bench::new(&cx, 1)?;
    bench.crowd_of(1, "first").await?;
    let after = |wait, who, priority| {
        let bench = &bench;
        async move {
            sleep(ms(wait)).await;
            bench.go(who, priority, Deadline::never()).await
        }
    };
    let calls = [
        after(10, "charge 1", Charge),
        after(20, "charge 2", Charge),
        after(30, "refund 1", Refund),
        after(40, "refund 2", Refund),
    ];
    cx.call(NAME, join_all(calls)).await?;
    ensure_eq!(bench.callers(), ["first", "refund 1", "refund 2", "charge 1", "charge 2"],
        "calls were made in another order";
        help = "two queues: charges are served when no refund waits");
    // Charges that wait are nothing to a refund with a short deadline.
    let bench = Bench::new(&cx, 1)?;
    let refund = async {
        sleep(ms(500)).await;
        cx.call(NAME, bench.go("a refund", Refund, Deadline::after(ms(600)))).await
    };
    let (crowd, refund) = join(bench.crowd(4), refund).await;
    crowd?;
    let refund = refund?;
    ensure!(refund.value.is_ok(), "3 charges wait, the next slot comes in 500 ms: a refund with a deadline in 600 ms {} {} ms",
        if refund.value.is_ok() { "is made after" } else { "is refused after" }, refund.took.as_millis();
        expected = "made after 500 ms: no charge is before a refund",
        help = "only refunds stand before a refund when you compute its wait");
    // And the other way round: a charge that a refund has overtaken learns of it by its deadline.
    let bench = Bench::new(&cx, 1)?;
    bench.crowd(1).await?;
    let overtaken = cx.call(NAME, bench.go("a charge", Charge, Deadline::after(ms(1500))));
    let refund = async {
        sleep(ms(500)).await;
        cx.call(NAME, bench.go("a refund", Refund, Deadline::never())).await
    };
    let (overtaken, refund) = join(overtaken, refund).await;
    refund?;
    let overtaken = overtaken?;
    ensure!(overtaken.value.is_err() && overtaken.took <= ms(1500), "a refund took the slot of a charge with a deadline in 1500 ms: the charge ended after {} ms", overtaken.took.as_millis();
        expected = "refused, by its deadline");
    Ok(())
}
