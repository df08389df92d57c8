//! `limiter::RateLimiter`.

use std::cell::RefCell;

use futures::future::{join, join_all};
use grader_kit::{Cx, Fail, Outcome, dropped_at, ensure, ensure_eq, list, ms};
use level3::deadline::Deadline;
use level3::limiter::{LimitError, Priority, RateLimiter, Usage};
use tokio::time::{Instant, sleep};

use crate::parts::nzu;
use Priority::{Charge, Refund};

const NAME: &str = "RateLimiter::acquire";

fn limiter(limit: usize, window: u64) -> Result<RateLimiter, Fail> {
    RateLimiter::new(nzu(limit), ms(window)).map_err(|error| {
        Fail::new("RateLimiter::new refuses a valid limit").observed(error.to_string())
    })
}

/// A provider that is called as soon as the limiter allows it.
struct Bench {
    cx: Cx,
    limiter: RateLimiter,
    began: Instant,
    // Who called, and in which millisecond.
    wire: RefCell<Vec<(&'static str, u64)>>,
}

impl Bench {
    /// `limit` calls a second.
    fn new(cx: &Cx, limit: usize) -> Result<Self, Fail> {
        Ok(Self {
            cx: cx.clone(),
            limiter: limiter(limit, 1000)?,
            began: Instant::now(),
            wire: RefCell::default(),
        })
    }

    fn now(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    /// Waits for a slot and makes a call.
    async fn go(
        &self,
        who: &'static str,
        priority: Priority,
        deadline: Deadline,
    ) -> Result<(), LimitError> {
        self.limiter.acquire(priority, deadline).await?.used();
        self.wire.borrow_mut().push((who, self.now()));
        self.cx.timeline().record("provider", format!("is called by {who}"));
        Ok(())
    }

    /// `count` calls that come together.
    async fn crowd(&self, count: usize) -> Result<(), Fail> {
        self.crowd_of(count, "a charge").await
    }

    async fn crowd_of(&self, count: usize, who: &'static str) -> Result<(), Fail> {
        let calls = (0..count).map(|_| self.go(who, Charge, Deadline::never()));
        let done = self.cx.call(NAME, join_all(calls)).await?.value;
        match done.into_iter().find_map(Result::err) {
            None => Ok(()),
            Some(error) => {
                Err(Fail::new("a call without a deadline was refused").observed(error.to_string()))
            }
        }
    }

    fn instants(&self) -> Vec<u64> {
        let mut instants: Vec<u64> = self.wire.borrow().iter().map(|(_, at)| *at).collect();
        instants.sort_unstable();
        instants
    }

    fn callers(&self) -> Vec<&'static str> {
        self.wire.borrow().iter().map(|(who, _)| *who).collect()
    }

    /// The most calls in any window of a second that begins with a call.
    fn most_in_a_second(&self) -> (usize, u64) {
        let instants = self.instants();
        let count =
            |from: u64| instants.iter().filter(|at| (from..from + 1000).contains(*at)).count();
        instants
            .iter()
            .map(|&from| (count(from), from))
            .max_by_key(|(count, _)| *count)
            .unwrap_or_default()
    }
}

pub async fn goes_again_after_one_window(cx: Cx) -> Outcome {
    let bench = Bench::new(&cx, 2)?;
    bench.crowd(1).await?;
    sleep(ms(400)).await;
    bench.crowd(3).await?;
    // Not later: whether too many went before is a criterion of its own.
    let last = bench.instants().last().copied().unwrap_or_default();
    ensure!(last <= 1400, "2 a second, one call at 0 and three at 400 ms: the last went at {last} ms";
        expected = "1400 ms: a call counts while its age is below 1000 ms",
        help = "sleep until the call that is in the way is exactly a window old, not longer");
    Ok(())
}

pub async fn no_window_sees_too_many(cx: Cx) -> Outcome {
    for (begin, pause) in [(0, 0), (950, 100)] {
        let bench = Bench::new(&cx, 100)?;
        // Calls at the end of one second and at the begin of the next one; or all at once.
        sleep(ms(begin)).await;
        bench.crowd(100).await?;
        sleep(ms(pause)).await;
        bench.crowd(if pause == 0 { 1 } else { 100 }).await?;
        let (most, from) = bench.most_in_a_second();
        ensure!(most <= 100, "{most} calls in the second from {from} ms on";
            expected = "at most 100 in any second, wherever it begins",
            observed = format!("100 calls came at {begin} ms, more at {} ms", begin + pause),
            help = "a counter that starts anew every second lets 200 through around the turn; a token \
                    bucket lets its burst through and refills meanwhile. Remember the instants of the \
                    last 100 calls");
    }
    Ok(())
}

pub async fn those_who_waited_do_not_storm(cx: Cx) -> Outcome {
    let bench = Bench::new(&cx, 100)?;
    bench.crowd(350).await?;
    let (most, from) = bench.most_in_a_second();
    ensure!(most <= 100, "{most} of 350 calls that came together went in the second from {from} ms on";
        expected = "at most 100 in any second, those who waited included",
        help = "whoever wakes up has to look again whether there is a slot");
    ensure!(bench.instants().len() == 350, "{} of 350 calls were made", bench.instants().len());
    Ok(())
}

pub async fn serves_in_order(cx: Cx) -> Outcome {
    let bench = Bench::new(&cx, 1)?;
    let names = ["a", "b", "c", "d", "e", "f", "g"];
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

    let bench = Bench::new(&cx, 1)?;
    let permit = cx.call(NAME, bench.limiter.acquire(Charge, Deadline::never())).await?.value;
    // It gives its slot back and asks anew in one breath, before the one who waits has had a turn.
    let newcomer = async {
        sleep(ms(50)).await;
        drop(permit);
        bench.go("newcomer", Charge, Deadline::never()).await
    };
    cx.call(NAME, join(bench.go("waiting", Charge, Deadline::never()), newcomer)).await?;
    ensure_eq!(bench.callers(), ["waiting", "newcomer"], "a newcomer went before one who waited";
        help = "between waking a waiter and its turn to run, a newcomer finds the slot free: let it join the \
                queue if there is one");
    Ok(())
}

pub async fn a_hopeless_wait_is_refused_at_once(cx: Cx) -> Outcome {
    let bench = Bench::new(&cx, 2)?;
    bench.crowd(2).await?;
    sleep(ms(300)).await;
    let call = bench.go("a charge", Charge, Deadline::after(ms(500)));
    let call = cx.call(NAME, call).await?;
    ensure!(call.value.is_err(), "a call was made although the next slot comes after its deadline");
    ensure!(call.took == ms(0), "a slot in 700 ms, a deadline in 500 ms: refused after {} ms", call.took.as_millis();
        expected = "at once", help = "compute when the slot comes before you wait for it");
    ensure_eq!(
        call.value,
        Err(LimitError::WouldMissDeadline { wait: ms(700) }),
        "the refusal says something else"
    );
    let call = cx.call(NAME, bench.go("a charge", Charge, Deadline::after(ms(800)))).await?;
    ensure!(call.value.is_ok(), "refused although the slot comes 100 ms before the deadline");
    Ok(())
}

pub async fn those_ahead_count_too(cx: Cx) -> Outcome {
    // Two go at 0, two at 1000, two at 2000, and one at 3000, as one more does that comes at 500.
    let after = async |deadline| {
        let bench = Bench::new(&cx, 2)?;
        let one_more = async {
            sleep(ms(500)).await;
            cx.call(NAME, bench.go("a charge", Charge, Deadline::after(deadline))).await
        };
        let (crowd, one_more) = join(bench.crowd(7), one_more).await;
        crowd?;
        one_more
    };
    let late = after(ms(2000)).await?;
    ensure!(late.value.is_err() && late.took == ms(0),
        "2 a second, 5 before it, a deadline in 2000 ms: came to its end after {} ms", late.took.as_millis();
        expected = "refused at once: the slot comes in 2500 ms, after those of the callers before it",
        help = "each of those before takes a slot, and each slot comes free once a window");
    let in_time = after(ms(2600)).await?;
    ensure!(in_time.value.is_ok(), "2 a second, 5 before it, a deadline in 2600 ms: refused after {} ms",
        in_time.took.as_millis();
        expected = "called after 2500 ms",
        help = "each slot comes free once a window: whoever has 5 before him waits for the third window and no longer");
    Ok(())
}

pub async fn a_refused_caller_takes_no_slot(cx: Cx) -> Outcome {
    let bench = Bench::new(&cx, 2)?;
    bench.crowd(2).await?;
    sleep(ms(500)).await;
    for _ in 0..10 {
        let _ =
            cx.call(NAME, bench.go("a hopeless charge", Charge, Deadline::after(ms(10)))).await?;
    }
    sleep(ms(501)).await;
    let now = bench.now();
    bench.crowd_of(2, "a later charge").await?;
    let later: Vec<u64> = bench
        .wire
        .borrow()
        .iter()
        .filter(|(who, _)| *who == "a later charge")
        .map(|(_, at)| *at)
        .collect();
    ensure!(later.iter().all(|at| *at == now), "after 10 refused calls, two calls at {now} ms went at {} ms", list(&later);
        expected = "at once: refused calls do not count");
    Ok(())
}

pub async fn a_gone_caller_holds_up_nobody(cx: Cx) -> Outcome {
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
    ensure!(stays.took < ms(1999), "two callers before it went away; a call that could be made at 1000 ms was made at {} ms",
        stays.took.as_millis();
        expected = "1000 ms: a caller that is gone leaves the line and takes no slot",
        help = "leave the line in a destructor, and wake the next one if you were the first");
    Ok(())
}

pub async fn an_unused_permit_is_given_back(cx: Cx) -> Outcome {
    let bench = Bench::new(&cx, 2)?;
    for _ in 0..2 {
        // The breaker refuses, say: the call is never made.
        let call = cx.call(NAME, bench.limiter.acquire(Charge, Deadline::never())).await?;
        ensure!(call.value.is_ok(), "a free slot was refused");
        cx.timeline().record("the grader", "drops an unused permit");
    }
    let call = cx.call(NAME, bench.go("a charge", Charge, Deadline::never())).await?;
    ensure!(call.took == ms(0), "after two permits were dropped unused, a call had to wait for {} ms", call.took.as_millis();
        expected = "no wait: a call that is never made takes no slot",
        help = "give the slot back when a Permit is dropped that was not used");
    Ok(())
}

pub async fn a_permit_counts_from_its_use(cx: Cx) -> Outcome {
    let bench = Bench::new(&cx, 1)?;
    let permit = cx.call(NAME, bench.limiter.acquire(Charge, Deadline::never())).await?;
    let Ok(permit) = permit.value else { return Err(Fail::new("a free slot was refused")) };
    sleep(ms(1000)).await;
    permit.used();
    bench.wire.borrow_mut().push(("slow", bench.now()));
    cx.timeline().record("provider", "is called by slow");
    cx.call(NAME, bench.go("a charge", Charge, Deadline::never())).await?;
    let (most, from) = bench.most_in_a_second();
    ensure!(most <= 1, "1 a second: {most} calls in the second from {from} ms on";
        expected = "the second call at 2000 ms, a second after the first one was made",
        observed = format!("calls at {} ms", list(bench.instants())),
        help = "a slot is taken as long as its permit is held; its second begins when the permit is used");
    // Somebody who comes while the permit is held cannot know when its second will end.
    let bench = Bench::new(&cx, 1)?;
    let permit = cx.call(NAME, bench.limiter.acquire(Charge, Deadline::never())).await?;
    let Ok(permit) = permit.value else { return Err(Fail::new("a free slot was refused")) };
    let using = async {
        sleep(ms(1000)).await;
        permit.used();
    };
    let waiting = bench.go("a charge", Charge, Deadline::after(ms(5000)));
    let call = cx.call(NAME, async { join(waiting, using).await.0 }).await?;
    ensure!(call.value.is_ok(), "a caller who came while the permit was held is refused after {} ms",
        call.took.as_millis();
        expected = "called a second after the permit was used, at 2000 ms",
        help = "using a permit changes what those in the line wait for: wake the first of them");
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
    Ok(())
}

pub async fn waits_when_the_server_says_so(cx: Cx) -> Outcome {
    let bench = Bench::new(&cx, 2)?;
    let pause = async {
        // A shorter wish does not shorten a longer one.
        bench.limiter.pause_for(ms(3000));
        bench.limiter.pause_for(ms(100));
    };
    cx.call("RateLimiter::pause_for", pause).await?;
    bench.crowd(1).await?;
    let at = bench.instants().first().copied().unwrap_or_default();
    ensure!((3000..3500).contains(&at), "the server asked for a pause of 3000 ms, the call was made at {at} ms";
        help = "the longest pause that was asked for holds");
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
    Ok(())
}

pub async fn waits_without_looking(cx: Cx) -> Outcome {
    let limiter = limiter(1, 500_000)?;
    let calls = async {
        for _ in 0..2 {
            if let Ok(permit) = limiter.acquire(Charge, Deadline::never()).await {
                permit.used();
            }
        }
    };
    let call = cx.call(NAME, calls).await?;
    ensure!(call.polls < 1000, "a wait of 500 s took {} looks at the clock", call.polls;
        expected = "a few: sleep until the slot is free",
        help = "a loop that sleeps for a moment and looks again costs a processor when thousands wait");
    Ok(())
}

pub async fn takes_the_same_time_at_any_limit(cx: Cx) -> Outcome {
    let limiter = limiter(100_000, 1000)?;
    let calls = async {
        for _ in 0..100_000_u32 {
            match limiter.acquire(Charge, Deadline::never()).await {
                Ok(permit) => permit.used(),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    };
    let call = cx.call("100 000 calls of RateLimiter::acquire", calls).await?;
    ensure_eq!(call.value, Ok(()), "a free slot was refused");
    ensure!(
        call.took == ms(0),
        "100 000 calls at 100 000 a second took {} ms",
        call.took.as_millis()
    );
    Ok(())
}

pub async fn refuses_a_window_of_zero(cx: Cx) -> Outcome {
    let made = cx.call_fn("RateLimiter::new", || RateLimiter::new(nzu(1), ms(0)).is_err()).await?;
    ensure!(made, "RateLimiter::new accepts a window of zero"; expected = "a LimiterConfigError");
    limiter(1, 1)?;
    Ok(())
}

pub async fn figures_are_those_of_now(cx: Cx) -> Outcome {
    let limiter = limiter(2, 1000)?;
    // That a slot counts from its use, and that there are two lanes, are criteria of their own.
    let figures = || {
        let Usage { in_window, held, waiting_refunds, waiting_charges } = limiter.usage();
        (in_window + held, waiting_refunds + waiting_charges)
    };
    let wait = |priority| limiter.acquire(priority, Deadline::never());
    let play = async {
        let admitted = limiter.admit(Charge, Deadline::never()).await;
        sleep(ms(100)).await;
        let held = wait(Charge).await;
        let (Ok(()), Ok(held)) = (admitted, held) else { return Err("a free slot was refused") };
        let mut while_they_wait = (0, 0);
        let looks = async {
            sleep(ms(100)).await;
            while_they_wait = figures();
        };
        tokio::select! {
            _ = join_all([wait(Refund), wait(Charge), wait(Charge)]) => {
                return Err("more than two calls in a second");
            }
            () = looks => {}
        }
        // Those who waited have gone; 1050 ms after the first call, 950 ms after the other permit.
        sleep(ms(850)).await;
        let with_one_held = figures();
        held.used();
        Ok([while_they_wait, with_one_held, figures()])
    };
    let seen = cx.call("RateLimiter::usage", play).await?.value.map_err(Fail::new)?;
    ensure_eq!(
        seen,
        [(2, 3), (1, 0), (1, 0)],
        "the slots that are taken (used or held), and those who wait, in usage(): while a slot is held, one is used \
         and three wait; when the used one is older than the window and all have gone away; when the other is used";
        help = "a slot is held, then it is used and counts for one window; who goes away waits no more"
    );
    Ok(())
}
