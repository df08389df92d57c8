//! Permits, pauses, and the figures of a limiter.

use futures::future::{join, join_all, join3};
use grader_kit::{Cx, Fail, Outcome, ensure, ensure_eq, list, ms};
use level3::deadline::Deadline;
use level3::limiter::{Priority, Usage};
use tokio::time::{Instant, sleep};

use super::bench::{Bench, NAME, limiter, told, wait_of};
use super::scale::with;
use crate::parts::formatted;
use Priority::{Charge, Refund};

pub async fn an_unused_permit_frees_its_slot(cx: Cx) -> Outcome {
    let limit = cx.draw().between(1..=5) as usize;
    for limit in [2, limit] {
        let bench = Bench::new(&cx, limit)?;
        for _ in 0..limit + 1 {
            // The breaker refuses, say: the call is never made.
            let call = cx.call(NAME, bench.limiter.acquire(Charge, Deadline::never())).await?;
            ensure!(call.value.is_ok(), "a free slot was refused");
            ensure!(call.took == ms(0), "after permits were dropped unused, a call had to wait for {} ms", call.took.as_millis();
                expected = "no wait: a call that is never made takes no slot");
            cx.timeline().record("the grader", "drops an unused permit");
        }
        let call = cx.call(NAME, bench.go("a charge", Charge, Deadline::never())).await?;
        ensure!(call.took == ms(0), "after permits were dropped unused, a call had to wait for {} ms", call.took.as_millis();
            expected = "no wait: a call that is never made takes no slot",
            help = "give the slot back when a Permit is dropped that was not used");
    }
    released_to_the_first(&cx, limit).await
}

/// The caller that waits for a slot is served when a permit is dropped, whatever the other slots do.
async fn released_to_the_first(cx: &Cx, limit: usize) -> Outcome {
    for limit in [1, 2, limit + 1] {
        // A deadline may come before the held permits could be a window old.
        for (made, deadline) in [(0, 5000), (limit / 2, 5000), (0, 400), (limit - 1, 400)] {
            cx.timeline().restart();
            let bench = Bench::new(cx, limit)?;
            bench.crowd(made).await?;
            let mut permits = Vec::new();
            for _ in made..limit {
                permits.push(bench.permit().await?);
                cx.timeline().record("the grader", "holds a permit");
            }
            let drops = async {
                sleep(ms(300)).await;
                cx.timeline().record("the grader", "drops a permit that was held");
                permits.pop();
            };
            let waits = cx.call(NAME, bench.go("a charge", Charge, Deadline::after(ms(deadline))));
            let (call, ()) = join(waits, drops).await;
            let call = call.map_err(|fail| {
                let held = limit - made;
                with(&format!("limit {limit}, {made} calls made and {held} permits held: a caller waits for a slot"), fail)
            })?;
            ensure!(call.value.is_ok() && call.took == ms(300),
                "limit {limit}, and no slot is free from 0 ms on: calls have taken {made}, permits that are held {}; a caller waits for a slot, with a deadline in {deadline} ms: it {} {} ms",
                limit - made, if call.value.is_ok() { "got a permit at" } else { "was refused at" }, call.took.as_millis();
                expected = "a permit at 300 ms: then one of the held permits is dropped unused",
                help = "a held permit is no reason to refuse; when one is dropped, wake the first caller in the queue");
        }
    }
    Ok(())
}

pub async fn a_permit_counts_from_its_use(cx: Cx) -> Outcome {
    let drawn = cx.draw().between(20..=5000);
    for window in [1000, drawn] {
        let bench = Bench::with(&cx, 1, window)?;
        let permit = bench.permit().await?;
        sleep(ms(window)).await;
        bench.calls("slow", permit);
        cx.call(NAME, bench.go("a charge", Charge, Deadline::never())).await?;
        let (most, from) = bench.most_in_a_window();
        let span =
            if window == 1000 { "the second".to_owned() } else { format!("the {window} ms") };
        ensure!(most <= 1, "1 in {window} ms: {most} calls in {span} from {from} ms on";
            expected = format!("the second call at {} ms, a window after the first one was made", 2 * window),
            observed = format!("calls at {} ms", list(bench.instants())),
            help = "a slot is taken as long as its permit is held; its second begins when the permit is used");
        // A caller that comes while the permit is held cannot know when its second will end.
        let bench = Bench::with(&cx, 1, window)?;
        let permit = bench.permit().await?;
        let using = async {
            sleep(ms(window)).await;
            permit.used();
        };
        let waiting = bench.go("a charge", Charge, Deadline::after(ms(5 * window)));
        let call = cx.call(NAME, async { join(waiting, using).await.0 }).await;
        let call = call.map_err(|fail| {
            with("a caller waits while the only slot is taken by a permit that is held", fail)
        })?;
        ensure!(call.value.is_ok() && call.took < ms(2 * window + 100), "a caller who came while the permit was held is {} after {} ms",
            if call.value.is_ok() { "called" } else { "refused" }, call.took.as_millis();
            expected = format!("called a window after the permit was used, at {} ms", 2 * window),
            help = "using a permit changes what those in the line wait for: wake the first of them");
    }
    Ok(())
}

pub async fn waits_when_the_server_says_so(cx: Cx) -> Outcome {
    let drawn = cx.draw().between(1000..=60_000);
    for pause in [3000, drawn] {
        let bench = Bench::new(&cx, 2)?;
        let pauses = async {
            // A shorter wish does not shorten a longer one.
            for time in [pause, 100, 0] {
                bench.limiter.pause_for(ms(time));
                cx.timeline().record("the grader", format!("calls pause_for({time} ms)"));
            }
        };
        cx.call("RateLimiter::pause_for", pauses).await?;
        bench.crowd(1).await?;
        let at = bench.instants().first().copied().unwrap_or_default();
        ensure!((pause..pause + 500).contains(&at), "the server asked for a pause of {pause} ms, the call was made at {at} ms";
            expected = format!("at {pause} ms: of several pauses the one that ends last holds"),
            help = "keep the instant at which the pause ends; a new pause sets it to the later of the two");
    }
    // Two went, so that the next one waits in the line when it learns of the pause.
    let bench = Bench::new(&cx, 2)?;
    bench.crowd(2).await?;
    let pause = async {
        sleep(ms(500)).await;
        bench.limiter.pause_for(ms(3000));
    };
    let waiting = bench.go("a charge", Charge, Deadline::after(ms(1500)));
    let call = cx.call(NAME, async { join(waiting, pause).await.0 }).await?;
    ensure!(call.value.is_err() && call.took <= ms(1500),
        "a pause that goes beyond the deadline of a call that waits: told after {} ms", call.took.as_millis();
        expected = "refused by its deadline, 1500 ms",
        help = "wait until the slot or until the deadline, whichever comes first");
    // So is one that is not the first in the line.
    let bench = Bench::new(&cx, 2)?;
    bench.crowd(2).await?;
    let pause = async {
        sleep(ms(500)).await;
        bench.limiter.pause_for(ms(10_000));
    };
    let first = bench.limiter.admit(Charge, Deadline::never());
    let second = async {
        let began = Instant::now();
        let answer = bench.limiter.admit(Charge, Deadline::after(ms(2500))).await;
        (answer.is_err(), began.elapsed())
    };
    let (_, (refused, took), ()) =
        cx.call(NAME, async { join3(first, second, pause).await }).await?.value;
    ensure!(refused && took <= ms(2500), "two callers wait, and at 500 ms the server asks for a pause of 10 s: the second one, with a deadline of 2500 ms, is {} after {} ms",
        if refused { "refused" } else { "admitted" }, took.as_millis();
        expected = "refused by its deadline, 2500 ms",
        help = "the deadline belongs to each caller: also one that is not the first waits until its turn or until its deadline");
    // The others wait for the end of the pause, refunds too; a permit that is held may be used.
    let bench = Bench::new(&cx, 3)?;
    let permit = bench.permit().await?;
    let pause = async {
        bench.limiter.pause_for(ms(700));
        sleep(ms(300)).await;
        bench.calls("held", permit);
    };
    let calls = [
        bench.go("a charge", Charge, Deadline::never()),
        bench.go("a refund", Refund, Deadline::never()),
    ];
    let both = async { join(pause, join_all(calls)).await };
    cx.call(NAME, both).await?;
    let at =
        [bench.instants_of("held"), bench.instants_of("a refund"), bench.instants_of("a charge")];
    let in_time = |at: &[u64], from| at.len() == 1 && (from..from + 100).contains(&at[0]);
    ensure!(in_time(&at[0], 300) && in_time(&at[1], 700) && in_time(&at[2], 700),
        "during a pause of 700 ms: the permit that was held called at {} ms, the refund at {} ms, the charge at {} ms", list(&at[0]), list(&at[1]), list(&at[2]);
        expected = "300, 700 and 700 ms",
        help = "a pause stops the callers that have no permit yet, and the first in the line sleeps until it ends");
    // A pause is a wait like any other: a caller that cannot be in time is refused at once.
    let bench = Bench::new(&cx, 2)?;
    bench.limiter.pause_for(ms(700));
    let call = cx.call(NAME, bench.go("a charge", Charge, Deadline::after(ms(700)))).await?;
    let wait = call.value.map_err(wait_of);
    ensure!(wait == Err(ms(700)) && call.took == ms(0), "a pause of 700 ms, a deadline in 700 ms: after {} ms the caller was {}", call.took.as_millis(), told(wait);
        expected = "refused at once, with a wait of 700 ms",
        help = "the time at which a slot is free is not before the end of a pause: count the pause when you compute the wait");
    Ok(())
}

pub async fn figures_are_those_of_now(cx: Cx) -> Outcome {
    let drawn = cx.draw().between(2000..=20_000);
    for window in [1000, drawn] {
        let limiter = limiter(2, window)?;
        let figures = || {
            let Usage { in_window, held, waiting_refunds, waiting_charges } = limiter.usage();
            [in_window, held, waiting_refunds, waiting_charges]
        };
        let wait = |priority| limiter.acquire(priority, Deadline::never());
        let play = async {
            let at_first = figures();
            let admitted = limiter.admit(Charge, Deadline::never()).await;
            sleep(ms(window / 10)).await;
            let held = wait(Charge).await;
            let (Ok(()), Ok(held)) = (admitted, held) else {
                return Err(Fail::new("a free slot was refused")
                    .expected("2 calls in a window: the first two callers wait for nothing"));
            };
            let mut while_they_wait = [0; 4];
            let looks = async {
                sleep(ms(window / 10)).await;
                while_they_wait = figures();
            };
            tokio::select! {
                _ = join_all([wait(Refund), wait(Charge), wait(Charge)]) => {
                    return Err(Fail::new("one call was made, one permit is held, and of three callers that wait each has got a permit")
                        .expected("they wait: 2 slots are taken, one by the call and one by the permit that is held")
                        .help("a permit that is held takes its slot, also before it is used: count held slots and made calls together"));
                }
                () = looks => {}
            }
            let when_they_have_gone = figures();
            // The call of the beginning is exactly a window old.
            sleep(ms(window - window / 10 * 2)).await;
            let with_one_held = figures();
            held.used();
            sleep(ms(window - 1)).await;
            let young = figures();
            sleep(ms(1)).await;
            Ok([at_first, while_they_wait, when_they_have_gone, with_one_held, young, figures()])
        };
        let call = cx.call("RateLimiter::usage", play).await?;
        let seen = call.value?;
        let whens = [
            "at the beginning",
            "while one slot is used and one held, and a refund and two charges wait",
            "when those who waited have gone away",
            "when the used slot is exactly a window old, and the other one is still held",
            "1 ms before the other one, now used, is a window old",
            "when it is a window old",
        ];
        let wanted =
            [[0, 0, 0, 0], [1, 1, 1, 2], [1, 1, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]];
        for ((seen, wanted), when) in seen.into_iter().zip(wanted).zip(whens) {
            ensure_eq!(seen, wanted, "in_window, held, waiting_refunds and waiting_charges in usage() {when}";
                help = "a slot is held, then it is used and counts for one window; who goes away waits no more");
        }
    }
    let shown = limiter(2, 1000)?;
    let name = "RateLimiter's Debug, written to a log that asks the limiter for its usage";
    let write = || {
        formatted(&shown, || {
            let _ = shown.usage();
        })
    };
    cx.call_fn(name, write).await?;
    Ok(())
}
