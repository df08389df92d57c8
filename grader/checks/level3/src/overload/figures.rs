//! `Backlog` and `ConcurrencyLimit` by themselves: figures that a load would take long to show.

use std::time::Duration;

use grader_kit::{Cx, Outcome, ensure, ms};
use level3::overload::{Backlog, ConcurrencyLimit, Source};
use tokio::time::Instant;

use crate::parts::nzu;

/// The calls of a payment.
const PAYMENT: u32 = 2;

/// Reserves payments until one is refused: how many calls that are, and the wait that the refusal names.
fn fill(backlog: &mut Backlog, rate: u64, now: Instant) -> (u64, Duration) {
    let mut calls = 0;
    while calls <= 2 * rate + 10 {
        if let Err(wait) = backlog.reserve(PAYMENT, now) {
            return (calls, wait);
        }
        calls += u64::from(PAYMENT);
    }
    (calls, Duration::ZERO)
}

/// The backlog takes the calls that an account can make in a time, whatever its rate.
pub fn reserves_what_the_rate_allows(cx: &Cx) -> Outcome {
    let mut draw = cx.draw();
    let drawn = (draw.between(101..=1999), draw.between(500..=5000));
    let idle = draw.between(3..=600);
    for (rate, window) in [(3000, 1000), (150, 1000), (7, 10_000), (20_000, 700), drawn] {
        let now = Instant::now();
        let account = || {
            let rate = usize::try_from(rate).unwrap_or(usize::MAX);
            Backlog::new(nzu(rate), ms(window), ms(window), now)
        };
        let mut backlog = account();
        let (calls, wait) = fill(&mut backlog, rate, now);
        let is_right = |calls: u64, right: u64| calls.abs_diff(right) <= u64::from(PAYMENT);
        let help =
            "a call takes window / rate, in nanoseconds: whole milliseconds are too coarse for it";
        ensure!(
            is_right(calls, rate),
            "Backlog: an account with {rate} calls in {window} ms reserves {calls} calls in {window} ms";
            expected = format!("{rate}, or one call of a payment more or less"), help = help
        );
        // The clock works them off.
        let half = now + ms(window) / 2;
        let (calls, _) = fill(&mut backlog, rate, half);
        ensure!(
            is_right(calls, rate / 2),
            "Backlog: an account with {rate} calls in {window} ms is full, and {} ms later it reserves {calls} calls more", window / 2;
            expected = format!("{}: those that it has made meanwhile", rate / 2), help = help
        );
        // Time in which nothing was reserved is not saved up: after a start, and after a busy time.
        let quiet = now + ms(window * idle);
        for (mut backlog, which) in [(account(), "new"), (backlog, "full")] {
            let (calls, _) = fill(&mut backlog, rate, quiet);
            ensure!(
                is_right(calls, rate),
                "Backlog: an account with {rate} calls in {window} ms is {which}, and after {} ms without a call it reserves {calls} calls in {window} ms", window * idle;
                expected = format!("{rate}, or one call of a payment more or less: the time that has passed makes no calls"),
                help = "new calls are made from now on, or after those that are reserved, whichever is later"
            );
        }
        // The wait that a refusal names is the time until the same calls are accepted.
        let mut backlog = account();
        fill(&mut backlog, rate, now);
        let early = backlog.clone().reserve(PAYMENT, now + wait - wait / 4);
        let in_time = backlog.reserve(PAYMENT, now + wait);
        ensure!(
            early.is_err() && in_time.is_ok() && !wait.is_zero(),
            "Backlog: a payment is refused with a wait of {wait:?}";
            expected = "refused after three quarters of that time, and accepted after all of it",
            observed = format!("{early:?} and {in_time:?}")
        );
    }
    Ok(())
}

/// An account without reservations accepts the calls of a payment, however long it needs for them.
pub fn accepts_what_takes_long(cx: &Cx) -> Outcome {
    let drawn = cx.draw().between(2..=600);
    for seconds in [2, 60, drawn] {
        let now = Instant::now();
        let mut backlog = Backlog::new(nzu(1), ms(1000 * seconds), ms(1000), now);
        let first = backlog.reserve(PAYMENT, now);
        let second = backlog.reserve(PAYMENT, now);
        let later = now + ms(2000 * seconds);
        let after = backlog.reserve(PAYMENT, later);
        ensure!(
            first.is_ok() && second == Err(ms(2000 * seconds)) && after.is_ok(),
            "Backlog: an account with one call in {seconds} s is asked for two calls, at once for two more, and {} s later for two more", 2 * seconds;
            expected = format!("Ok, Err({:?}) and Ok: an account without reservations accepts any number of calls", ms(2000 * seconds)),
            observed = format!("{first:?}, {second:?} and {after:?}"),
            help = "otherwise a slow account never accepts a payment"
        );
    }
    Ok(())
}

/// A pause ends when the provider has said, however often it was asked for.
pub fn pauses_side_by_side(cx: &Cx) -> Outcome {
    let drawn = cx.draw().between(1100..=60_000);
    for longest in [5000, drawn] {
        let now = Instant::now();
        let account = || Backlog::new(nzu(100), ms(1000), ms(1000), now);
        let wait = |pauses: &[u64]| {
            let mut backlog = account();
            pauses.iter().for_each(|time| backlog.pause_for(ms(*time), now));
            backlog.wait_for(PAYMENT, now)
        };
        let once = wait(&[longest]);
        ensure!(
            !once.is_zero() && once <= ms(longest + 1000),
            "Backlog: the provider asks for a pause of {longest} ms, and the wait for the next payment is {once:?}";
            expected = "more than zero, and about the pause"
        );
        for (pauses, how) in [
            ([longest, longest, longest], "three times"),
            ([longest, 100, 0], "and then for shorter ones"),
            ([0, 100, longest], "after shorter ones"),
        ] {
            let found = wait(&pauses);
            ensure!(
                found == once,
                "Backlog: the provider asks for a pause of {longest} ms {how}, at one time, and the wait for the next payment is {found:?}";
                expected = format!("{once:?}, as after one pause of {longest} ms: of several pauses the one that ends last holds"),
                help = "pauses run at the same time: take the longer one, not their sum and not the last one"
            );
        }
        // A pause that ends before the reserved calls can be made gives nothing away.
        let mut backlog = account();
        fill(&mut backlog, 100, now);
        let before = backlog.wait_for(PAYMENT, now);
        backlog.pause_for(ms(0), now);
        let after = backlog.wait_for(PAYMENT, now);
        ensure!(
            after == before,
            "Backlog: an account is full, and a pause of 0 ms changes the wait for the next payment from {before:?} to {after:?}";
            expected = "no change: reserved calls are still to be made"
        );
    }
    Ok(())
}

/// A limit that an overload has lowered rises again when the overload is over.
pub fn rises_again(cx: &Cx) -> Outcome {
    const ALL: [Source; 4] = [Source::Payments, Source::Fraud, Source::Ledger, Source::Whole];
    let max = u32::try_from(cx.draw().between(40..=120)).unwrap_or(100);
    let mut now = Instant::now();
    let mut limit = ConcurrencyLimit::new(max, max, now);
    // One more payment is refused in each round, so that the limit is known to be in the way.
    let mut round = |limit: &mut ConcurrencyLimit, share: f64| {
        let under_way = limit.limit();
        limit.admits(under_way);
        now += ms(10);
        for source in ALL.into_iter().flat_map(|source| [source; 20]) {
            limit.sample(source, share, under_way, now, now);
        }
    };
    let mut lowest = max;
    for _ in 0..20 {
        round(&mut limit, 0.99);
        lowest = lowest.min(limit.limit());
    }
    ensure!(
        lowest < max,
        "ConcurrencyLimit::new({max}, {max}, now): after 20 rounds of calls that take 0.99 of their time limits, limit() was never below {max}";
        expected = "lower: the services are overloaded"
    );
    for _ in 0..3000 {
        round(&mut limit, 0.05);
    }
    let after = limit.limit();
    ensure!(
        after == max,
        "ConcurrencyLimit: an overload has lowered the limit from {max} to {lowest}, and after 3000 rounds of fast calls, each with a payment refused, limit() is {after}";
        expected = format!("{max} again: no payment is refused because of an overload that has ended"),
        help = "while no service is strained and the limit refuses payments, it has to rise, also after it was lowered"
    );
    Ok(())
}

/// The limit stays between one and its maximum, whatever it learns.
pub fn stays_at_or_below_the_maximum(cx: &Cx) -> Outcome {
    let drawn = u32::try_from(cx.draw().between(5..=500)).unwrap_or(500);
    for max in [1, 2, 3, 4, drawn] {
        for first in [1, max, 10 * max] {
            for share in [0.01, 0.99] {
                let mut now = Instant::now();
                let mut limit = ConcurrencyLimit::new(first, max, now);
                let mut seen = vec![limit.limit()];
                for _ in 0..20 {
                    let under_way = limit.limit();
                    let one_more = limit.admits(under_way);
                    ensure!(
                        !one_more,
                        "ConcurrencyLimit: limit() is {under_way}, and one more is admitted while {under_way} payments are under way"
                    );
                    now += ms(10);
                    for source in [Source::Payments, Source::Fraud, Source::Ledger, Source::Whole] {
                        for _ in 0..20 {
                            limit.sample(source, share, under_way, now, now);
                        }
                    }
                    seen.push(limit.limit());
                }
                ensure!(
                    seen.iter().all(|limit| (1..=max).contains(limit)),
                    "ConcurrencyLimit::new({first}, {max}, now), with calls that take {share} of their time limits: the limit leaves its range";
                    expected = format!("from 1 to {max}"), observed = format!("{seen:?}"),
                    help = "the maximum comes last: it holds for the least limit too"
                );
            }
        }
    }
    Ok(())
}
