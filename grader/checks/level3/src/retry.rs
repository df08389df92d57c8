//! `retry`.

mod schedule;
mod threads;

use std::cell::Cell;
use std::fmt::Debug;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::FutureExt as _;
use grader_kit::{Cx, Fail, Outcome, dropped_at, ensure, ensure_eq, failed, list, ms};
use level3::deadline::Deadline;
use level3::retry::{
    Attempt, Backoff, Disposition, Jitter, NoJitter, Reason, Retried, RetryError, RetryPolicy,
    SeededJitter, retry,
};
use tokio::time::{Instant, sleep};

use crate::parts::{Calls, OnDrop, Payload, caught_as, nz};
pub use schedule::{
    jitter_shortens_by_up_to_a_half, refuses_bad_schedules, seeds_determine_the_waits,
    stays_below_the_cap,
};
pub use threads::threads_draw_apart;

const NAME: &str = "retry";

fn backoff(base: u64, factor: f64, cap: u64, attempts: u32) -> Result<Backoff, Fail> {
    Backoff::new(ms(base), factor, ms(cap), nz(attempts)).map_err(|error| {
        Fail::new("Backoff::new refuses a valid schedule")
            .expected(format!("a schedule: base {base} ms, factor {factor}, cap {cap} ms"))
            .observed(error.to_string())
    })
}

/// 1 s, doubled, at most 10 s.
fn policy(attempts: u32) -> Result<RetryPolicy, Fail> {
    Ok(RetryPolicy { backoff: backoff(1000, 2.0, 10_000, attempts)?, min_attempt: ms(0) })
}

/// Every wait takes 1 ms.
fn quick(attempts: u32) -> Result<RetryPolicy, Fail> {
    Ok(RetryPolicy { backoff: backoff(1, 1.0, 1, attempts)?, min_attempt: ms(0) })
}

/// The error of attempt `number`, and what is to be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Trouble {
    number: u64,
    disposition: Disposition,
}

/// What is to be done about the error of an attempt, by its number.
type Fails<'a> = &'a dyn Fn(u64) -> Option<Disposition>;

type Ended<T> = Result<Retried<T>, RetryError<Trouble>>;

/// An operation whose attempts fail as `fails` says, by their number, and succeed where it says
/// nothing.
async fn run<J: Jitter + ?Sized>(
    cx: &Cx,
    calls: &Calls,
    policy: &RetryPolicy,
    jitter: &J,
    deadline: Deadline,
    fails: impl Fn(u64) -> Option<Disposition>,
) -> Result<(Ended<u64>, Duration), Fail> {
    run_slow(cx, calls, policy, jitter, deadline, 0, fails).await
}

/// The same, with attempts that take `length` milliseconds each.
async fn run_slow<J: Jitter + ?Sized>(
    cx: &Cx,
    calls: &Calls,
    policy: &RetryPolicy,
    jitter: &J,
    deadline: Deadline,
    length: u64,
    fails: impl Fn(u64) -> Option<Disposition>,
) -> Result<(Ended<u64>, Duration), Fail> {
    let op = |_| {
        let number = calls.note();
        let fails = fails(number);
        async move {
            if length > 0 {
                sleep(ms(length)).await;
            }
            match fails {
                Some(disposition) => Err(Trouble { number, disposition }),
                None => Ok(number),
            }
        }
    };
    let call = cx.call(NAME, retry(policy, jitter, deadline, |e: &Trouble| e.disposition, op));
    let call = call.await?;
    Ok((call.value, call.took))
}

/// A reason by its name: a comparison of the learner's own could lie.
const fn named(reason: Reason) -> &'static str {
    match reason {
        Reason::Exhausted => "Exhausted",
        Reason::GivenUp => "GivenUp",
        Reason::DeadlineTooClose => "DeadlineTooClose",
    }
}

pub async fn three_attempts_are_three_calls(cx: Cx) -> Outcome {
    let retries = |_| Some(Disposition::Retry);
    let drawn = cx.draw().between(2..=9) as u32;
    // 300 are more than a byte counts.
    let cases = [
        (3, policy(3)?),
        (1, policy(1)?),
        (8, policy(8)?),
        (drawn, policy(drawn)?),
        (300, quick(300)?),
    ];
    for (attempts, policy) in cases {
        let calls = Calls::new(&cx, "operation");
        let (result, _) = run(&cx, &calls, &policy, &NoJitter, Deadline::never(), retries).await?;
        failed(result, "every attempt failed")?;
        ensure!(calls.count() == u64::from(attempts), "{attempts} attempts made {} calls", calls.count();
            expected = format!("{attempts} calls: the first call is an attempt too"));
        ensure_eq!(
            policy.backoff.attempts().get(),
            attempts,
            "Backoff::attempts of a schedule of {attempts} attempts"
        );
    }
    ensure_eq!(
        Backoff::default().attempts().get(),
        3,
        "the default has the wrong number of attempts"
    );
    Ok(())
}

pub async fn fails_at_once_after_the_last(cx: Cx) -> Outcome {
    let after = cx.draw().between(1..=9000);
    let retry_after = |_| Some(Disposition::RetryAfter(ms(after)));
    let retries = |_| Some(Disposition::Retry);
    let cases: [(&str, Fails); 2] = [("Retry", &retries), ("RetryAfter", &retry_after)];
    for (attempts, length) in [(3, 0), (1, 0), (2, 40)] {
        for (disposition, fails) in cases {
            let calls = Calls::new(&cx, "operation");
            let policy = policy(attempts)?;
            let never = Deadline::never();
            let (result, took) =
                run_slow(&cx, &calls, &policy, &NoJitter, never, length, fails).await?;
            failed(result, "every attempt failed")?;
            let last = calls.at().last().copied().unwrap_or_default() + length;
            let returned = took.as_millis();
            ensure!(took == ms(last),
                "attempt {} of {attempts} failed at {last} ms (the classifier returned {disposition}), and retry returned at {returned} ms", calls.count();
                expected = "the error at once: there is no attempt left to wait for",
                help = "ask whether an attempt is left before you wait");
        }
    }
    // The last attempt is the last one wherever the deadline is.
    for (limit, attempts) in [(60, 1), (1130, 2)] {
        let calls = Calls::new(&cx, "operation");
        let (policy, deadline) = (policy(attempts)?, Deadline::after(ms(limit)));
        let (result, _) = run_slow(&cx, &calls, &policy, &NoJitter, deadline, 100, retries).await?;
        let error = failed(result, "every attempt failed")?;
        ensure!(named(error.reason) == "Exhausted", "attempt {attempts} of {attempts} ends after the deadline of {limit} ms: the reason is {}", named(error.reason);
            expected = "Exhausted: no attempt is left",
            help = "ask first whether an attempt is left, then what time is left");
    }
    Ok(())
}

pub async fn returns_the_first_success(cx: Cx) -> Outcome {
    let drawn = cx.draw().between(2..=8) as u32;
    // As many attempts as a u32 holds are a limit like others, and no reason to reserve memory.
    let cases = [
        (policy(3)?, 2),
        (policy(3)?, 1),
        (policy(3)?, 3),
        (quick(u32::MAX)?, 5),
        (quick(9)?, drawn),
    ];
    for (policy, works_at) in cases {
        let calls = Calls::new(&cx, "operation");
        let works_at = u64::from(works_at);
        let fails = |number| (number < works_at).then_some(Disposition::Retry);
        let (result, took) = run(&cx, &calls, &policy, &NoJitter, Deadline::never(), fails).await?;
        match result {
            Ok(retried) => {
                ensure_eq!(retried.value, works_at, "retry returned another attempt's value")
            }
            Err(error) => {
                let of = policy.backoff.attempts();
                return Err(Fail::new(format!(
                    "retry failed although attempt {works_at} of {of} succeeded"
                ))
                .observed(format!(
                    "{} after {} attempts",
                    named(error.reason),
                    error.attempts
                )));
            }
        }
        ensure!(calls.count() == works_at, "{} calls were made", calls.count();
            expected = format!("{works_at}: that one succeeded"));
        let last = calls.at().last().copied().unwrap_or_default();
        ensure!(took == ms(last), "attempt {works_at} succeeded at {last} ms, and retry returned at {} ms", took.as_millis();
            expected = "at once");
    }
    Ok(())
}

pub async fn backs_off_exponentially(cx: Cx) -> Outcome {
    let base = cx.draw().between(1..=500);
    let drawn = [0, base, base * 5, base * 21];
    let cases =
        [(1000, 2.0, [0, 1000, 3000, 7000]), (300, 3.0, [0, 300, 1200, 3900]), (base, 4.0, drawn)];
    for (base, factor, expected) in cases {
        let retries = |_| Some(Disposition::Retry);
        let calls = Calls::new(&cx, "operation");
        let policy = RetryPolicy { backoff: backoff(base, factor, 60_000, 4)?, min_attempt: ms(0) };
        let _ = run(&cx, &calls, &policy, &NoJitter, Deadline::never(), retries).await?;
        // As many as there are: how many there must be is another criterion.
        let at = calls.at();
        ensure!(at.iter().zip(expected).all(|(at, expected)| *at == expected),
            "attempts began at {} ms", list(&at);
            expected = format!("{} ms: waits of base * factor^(n - 1)", list(expected)),
            help = "the wait after attempt n is base * factor^(n - 1): the first wait is the base");
        // The number of the failed attempt decides, whatever the wait before it was.
        let calls = Calls::new(&cx, "operation");
        let at_first = |number| {
            Some(if number == 1 { Disposition::RetryAfter(ms(70)) } else { Disposition::Retry })
        };
        let _ = run(&cx, &calls, &policy, &NoJitter, Deadline::never(), at_first).await?;
        let (at, second) = (calls.at(), expected[2] - expected[1]);
        ensure!(at.get(2).is_none_or(|third| *third == 70 + second) || at.get(1) != Some(&70),
            "attempt 1 was told to retry after 70 ms; attempts began at {} ms", list(&at);
            expected = format!("the third one {second} ms after the second: n counts the failed attempts"),
            help = "the wait after attempt n is base * factor^(n - 1), whatever the waits before it were");
    }
    let default = Backoff::default();
    let nominal = || [1, 2, 3, 4, 5, 6].map(|attempt| default.nominal(attempt));
    let nominal = cx.call_fn("Backoff::nominal", nominal).await?;
    ensure_eq!(
        nominal[..3],
        [1000, 2000, 4000].map(ms),
        "the default's nominal waits after attempts 1, 2 and 3"
    );
    let zero = cx.call_fn("Backoff::nominal", || default.nominal(0)).await?;
    ensure_eq!(zero, nominal[0], "nominal(0)"; help = "attempts are counted from 1, and 0 counts as 1");
    Ok(())
}

/// Hands out the given numbers in turn.
#[derive(Debug)]
struct Scripted(&'static [f64], AtomicUsize);

impl Jitter for Scripted {
    fn unit(&self) -> f64 {
        let index = self.1.fetch_add(1, Ordering::Relaxed);
        self.0.get(index).copied().unwrap_or(1.0)
    }
}

pub async fn draws_for_every_wait(cx: Cx) -> Outcome {
    let calls = Calls::new(&cx, "operation");
    let jitter = Scripted(&[0.0, 0.5], AtomicUsize::new(0));
    let retries = |_| Some(Disposition::Retry);
    let _ = run(&cx, &calls, &policy(3)?, &jitter, Deadline::never(), retries).await?;
    let at = calls.at();
    // Only the number of different jitters matters here: 500 and 1500 ms, or twice from one number.
    ensure!(at.len() < 3 || at != [0, 1000, 3000], "the waits have no jitter: attempts at {} ms", list(&at);
        help = "ask the Jitter for a number before each wait");
    ensure!(at.len() < 3 || at != [0, 500, 1500], "both waits use the same number of the jitter";
        observed = format!("attempts at {} ms", list(&at)),
        help = "ask the Jitter for a new number before each wait");
    Ok(())
}

pub async fn obeys_the_classifier(cx: Cx) -> Outcome {
    for (hopeless, of) in [(1, 3), (2, 3), (3, 3), (1, 1)] {
        let calls = Calls::new(&cx, "operation");
        let fails = |number| {
            Some(if number == hopeless { Disposition::GiveUp } else { Disposition::Retry })
        };
        let (result, took) =
            run(&cx, &calls, &policy(of)?, &NoJitter, Deadline::never(), fails).await?;
        let error = failed(result, "an attempt failed for good")?;
        ensure!(calls.count() == hopeless, "{} calls, although call {hopeless} failed for good", calls.count();
            expected = "no attempt after the classifier said GiveUp",
            help = "declines, bad input and an open breaker do not pass: ask the classifier after each \
                    failure");
        ensure!(named(error.reason) == "GivenUp", "attempt {hopeless} of {of} failed for good: the reason is {}", named(error.reason);
            expected = "GivenUp: the classifier is asked after every failure, the last one included");
        let last = calls.at().last().copied().unwrap_or_default();
        ensure!(took == ms(last), "attempt {hopeless} failed for good at {last} ms, and retry returned at {} ms", took.as_millis();
            expected = "at once", help = "ask the classifier before you wait");
    }
    // However close the deadline: what cannot help is given up, and time is not the reason.
    let calls = Calls::new(&cx, "operation");
    let give_up = |_| Some(Disposition::GiveUp);
    let soon = Deadline::after(ms(1));
    let (result, _) = run(&cx, &calls, &policy(3)?, &NoJitter, soon, give_up).await?;
    let error = failed(result, "an attempt failed for good")?;
    ensure!(named(error.reason) == "GivenUp", "1 ms before the deadline an attempt failed for good: the reason is {}", named(error.reason);
        expected = "GivenUp");
    // Or past the deadline: the classifier is asked then, too.
    let calls = Calls::new(&cx, "operation");
    let deadline = Deadline::after(ms(10));
    let (result, _) = run_slow(&cx, &calls, &policy(3)?, &NoJitter, deadline, 50, give_up).await?;
    let error = failed(result, "an attempt failed for good")?;
    ensure!(named(error.reason) == "GivenUp", "40 ms after the deadline an attempt failed for good: the reason is {}", named(error.reason);
        expected = "GivenUp: the classifier is asked after every failure");
    Ok(())
}

pub async fn obeys_retry_after(cx: Cx) -> Outcome {
    let drawn = cx.draw().between(1..=300_000);
    let seeded = SeededJitter::new(drawn);
    let cases =
        [(42_000, &NoJitter as &dyn Jitter), (200, &seeded), (0, &seeded), (drawn, &seeded)];
    for (wait, jitter) in cases {
        let calls = Calls::new(&cx, "operation");
        let fails = |number| (number == 1).then_some(Disposition::RetryAfter(ms(wait)));
        let (result, _) = run(&cx, &calls, &policy(3)?, jitter, Deadline::never(), fails).await?;
        let second = calls.at().get(1).copied();
        let came = match (second, &result) {
            (Some(at), _) => format!("came at {at} ms"),
            (None, Err(error)) => format!("was not made: {}", named(error.reason)),
            (None, Ok(_)) => "was not made, and there is a success".to_owned(),
        };
        ensure!(second == Some(wait), "the server asked for {wait} ms, the second attempt {came}";
            expected = format!("a second attempt at {wait} ms"),
            help = "Retry-After stands above the backoff, its cap and its jitter");
    }
    // Not only after the first attempt.
    let calls = Calls::new(&cx, "operation");
    let second = |number| {
        Some(if number == 2 { Disposition::RetryAfter(ms(77)) } else { Disposition::Retry })
    };
    let _ = run(&cx, &calls, &policy(3)?, &NoJitter, Deadline::never(), second).await?;
    let at = calls.at();
    ensure!(at.get(2).is_none_or(|third| *third == at[1] + 77), "the server asked for 77 ms after the second attempt; attempts began at {} ms", list(&at);
        expected = "the third one 77 ms after the second");
    Ok(())
}

pub async fn no_wait_past_the_deadline(cx: Cx) -> Outcome {
    let long = |_| Some(Disposition::RetryAfter(ms(60_000)));
    let endless = |_| Some(Disposition::RetryAfter(Duration::MAX));
    let short = |_| Some(Disposition::Retry);
    let in_900 = Deadline::after(ms(900));
    let exactly = Deadline::after(ms(1000));
    let cases: [(&str, Deadline, Fails); 5] = [
        ("900 ms left and Retry-After of 60 s", in_900, &long),
        ("900 ms left and a backoff of 1 s", in_900, &short),
        ("1000 ms left and a backoff of 1 s", exactly, &short),
        ("900 ms left and Retry-After of Duration::MAX", in_900, &endless),
        ("no deadline and Retry-After of Duration::MAX", Deadline::never(), &endless),
    ];
    for (name, deadline, fails) in cases {
        let calls = Calls::new(&cx, "operation");
        let (result, took) = run(&cx, &calls, &policy(3)?, &NoJitter, deadline, fails).await?;
        let error = failed(result, "every attempt failed")?;
        ensure!(took == ms(0), "with {name}, retry returned at {} ms", took.as_millis();
            expected = "at once: the wait cannot be over in time",
            help = "compare the wait with what is left before you sleep");
        ensure!(calls.count() == 1, "with {name}, {} calls were made", calls.count(); expected = "1");
        ensure!(named(error.reason) == "DeadlineTooClose", "with {name}, the reason is {}", named(error.reason);
            expected = "DeadlineTooClose");
    }
    // What is left counts, not the deadline's length: attempts and waits have used some of it.
    let calls = Calls::new(&cx, "operation");
    let deadline = Deadline::after(ms(3400));
    let (result, took) =
        run_slow(&cx, &calls, &policy(5)?, &NoJitter, deadline, 200, short).await?;
    let error = failed(result, "every attempt failed")?;
    let at = list(calls.at());
    ensure!(took == ms(1400) && named(error.reason) == "DeadlineTooClose",
        "3400 ms in all, attempts of 200 ms at {at} ms: retry returned at {} ms with {}", took.as_millis(), named(error.reason);
        expected = "attempts at 0 and 1200 ms, and DeadlineTooClose at 1400 ms: the next wait of 2000 ms would end at the deadline",
        help = "ask the deadline what is left after each failure; nothing begins at its very instant");
    Ok(())
}

pub async fn no_attempt_that_cannot_finish(cx: Cx) -> Outcome {
    let retries = |_| Some(Disposition::Retry);
    let needs = |min_attempt| policy(3).map(|policy| RetryPolicy { min_attempt, ..policy });
    let (some, none, all) = (needs(ms(200))?, needs(ms(0))?, needs(Duration::MAX)?);
    let cases = [
        (some, 1201, 2, "200 ms"),
        (some, 1200, 2, "200 ms"),
        (some, 1199, 1, "200 ms"),
        (some, 200, 1, "200 ms"),
        (some, 199, 0, "200 ms"),
        (some, 0, 0, "200 ms"),
        (none, 0, 0, "no time, but nothing begins at the deadline itself"),
        (none, 1, 1, "no time"),
        (all, 1_000_000, 0, "Duration::MAX"),
    ];
    for (policy, limit, expected, needed) in cases {
        let calls = Calls::new(&cx, "operation");
        let deadline = Deadline::after(ms(limit));
        let (result, _) = run(&cx, &calls, &policy, &NoJitter, deadline, retries).await?;
        let error = failed(result, "every attempt failed")?;
        ensure!(calls.count() == expected, "with {limit} ms in all, {} attempts began", calls.count();
            expected = format!("{expected}: an attempt needs {needed}, and the first wait takes 1000 ms"),
            help = "before each attempt, the first included: is min_attempt left after the wait?");
        ensure!(named(error.reason) == "DeadlineTooClose", "with {limit} ms in all, the reason is {}", named(error.reason);
            expected = "DeadlineTooClose");
        ensure!(error.last.is_some() == (expected > 0), "`last` does not fit {expected} attempts";
            expected = "the last attempt's error; none if there was no attempt");
    }
    // A wait that the server asked for leaves as much.
    for (wait, expected) in [(300, 2), (301, 1), (400, 1)] {
        let calls = Calls::new(&cx, "operation");
        let fails = |_| Some(Disposition::RetryAfter(ms(wait)));
        let deadline = Deadline::after(ms(500));
        let (result, _) = run(&cx, &calls, &some, &NoJitter, deadline, fails).await?;
        failed(result, "every attempt failed")?;
        ensure!(calls.count() == expected, "with 500 ms in all and a Retry-After of {wait} ms, {} attempts began", calls.count();
            expected = format!("{expected}: an attempt needs 200 ms, after a wait that the server asked for as well"));
    }
    Ok(())
}

pub async fn lets_an_attempt_finish(cx: Cx) -> Outcome {
    let length = cx.draw().between(1001..=60_000);
    for succeeds in [true, false] {
        let calls = Calls::new(&cx, "operation");
        let deadline = Deadline::after(ms(1000));
        let fails = |_| (!succeeds).then_some(Disposition::Retry);
        let (result, took) =
            run_slow(&cx, &calls, &policy(3)?, &NoJitter, deadline, length, fails).await?;
        ensure!(took == ms(length), "an attempt of {length} ms, a deadline at 1000 ms: retry returned at {} ms", took.as_millis();
            expected = format!("at {length} ms: an attempt that has begun is not cut short here"),
            help = "the limit of an attempt belongs into the operation, inside the breaker, which has to see the timeout");
        let has_it = match &result {
            Ok(_) => succeeds,
            Err(error) => !succeeds && error.last.is_some() && error.attempts == 1,
        };
        ensure!(has_it, "an attempt that ended after the deadline, {}: its result is lost", if succeeds { "well" } else { "with an error" };
            observed = result.map_or_else(|e| format!("{} after {} attempts", named(e.reason), e.attempts), |_| "a success".to_owned()),
            expected = "the attempt's own result");
    }
    Ok(())
}

pub async fn keeps_the_last_error(cx: Cx) -> Outcome {
    let drawn = cx.draw().between(2..=9) as u32;
    for attempts in [3, 1, drawn] {
        let calls = Calls::new(&cx, "operation");
        let retries = |_| Some(Disposition::Retry);
        let never = Deadline::never();
        let (result, _) = run(&cx, &calls, &policy(attempts)?, &NoJitter, never, retries).await?;
        let error = failed(result, "every attempt failed")?;
        ensure!(named(error.reason) == "Exhausted", "all {attempts} attempts failed: the reason is {}", named(error.reason);
            expected = "Exhausted");
        ensure_eq!(
            error.last.map(|trouble| trouble.number),
            Some(calls.count()),
            "`last` holds the error of another attempt"
        );
    }
    Ok(())
}

pub async fn reports_attempts_and_waits(cx: Cx) -> Outcome {
    // What is reported must be what happened: how often and how long are criteria of their own.
    let after = ms(cx.draw().between(1..=20_000));
    let cases = [
        ("success at the second attempt", 2, Disposition::Retry),
        ("no success", 99, Disposition::Retry),
        ("an attempt that failed for good", 99, Disposition::GiveUp),
        ("Retry-After and no success", 99, Disposition::RetryAfter(after)),
        ("a wait that does not fit", 99, Disposition::RetryAfter(ms(100_000))),
        ("success at once", 1, Disposition::Retry),
    ];
    for (name, works_at, disposition) in cases {
        let calls = Calls::new(&cx, "operation");
        let policy = policy(3)?;
        let deadline = Deadline::after(ms(90_000));
        let instant = deadline.instant();
        let wrong = Cell::new(None);
        let op = |attempt: Attempt| {
            let number = calls.note();
            let told = (u64::from(attempt.number), attempt.of, attempt.deadline.instant());
            if told != (number, 3, instant) {
                wrong.set(Some(told));
            }
            async move {
                sleep(ms(100)).await;
                if attempt.number < works_at { Err(()) } else { Ok(()) }
            }
        };
        let classify = |&(): &()| disposition;
        let call = cx.call(NAME, retry(&policy, &NoJitter, deadline, classify, op)).await?;
        if let Some((number, of, at)) = wrong.get() {
            let at = at - (instant - ms(90_000));
            return Err(Fail::new("an Attempt has the wrong number, `of` or deadline")
                .expected("1, 2, 3 in turn; of 3; the deadline that retry was given, at 90000 ms")
                .observed(format!("{number}, of {of}, at {} ms", at.as_millis())));
        }
        let waited = call.took.saturating_sub(ms(100 * calls.count()));
        let reported = match call.value {
            Ok(retried) => (u64::from(retried.attempts), retried.backoff),
            Err(error) => (u64::from(error.attempts), error.backoff),
        };
        ensure_eq!(reported, (calls.count(), waited), "{name}: `attempts` and `backoff` are not what happened";
            help = "backoff is the time spent between the attempts, not that of the attempts");
    }
    Ok(())
}

pub async fn stops_when_dropped(cx: Cx) -> Outcome {
    // Attempts of 100 ms at 0, 1100, 3200 ms, dropped in each of them and in each wait between.
    for (at, made) in [(50, 1), (600, 1), (1150, 2), (2000, 2), (3250, 3)] {
        let calls = Calls::new(&cx, "operation");
        let ended = Cell::new(false);
        let policy = policy(4)?;
        let op = |_| {
            calls.note();
            ended.set(false);
            let guard = OnDrop(&ended);
            async move {
                sleep(ms(100)).await;
                drop(guard);
                Err::<(), ()>(())
            }
        };
        let retried = retry(&policy, &NoJitter, Deadline::never(), |&()| Disposition::Retry, op);
        dropped_at(&cx, NAME, at, retried).await?;
        ensure!(ended.get(), "retry was dropped at {at} ms, and the attempt that ran goes on";
            expected = "the attempt is dropped with it");
        sleep(ms(20_000)).await;
        ensure!(calls.count() == made, "retry was dropped at {at} ms, and later {} calls had been made", calls.count();
            expected = format!("{made}: no further attempt"));
    }
    let calls = Calls::new(&cx, "operation");
    let policy = policy(3)?;
    let op = |_| {
        calls.note();
        async { Err::<(), ()>(()) }
    };
    let not_polled = retry(&policy, &NoJitter, Deadline::never(), |&()| Disposition::Retry, op);
    sleep(ms(5000)).await;
    drop(not_polled);
    ensure!(calls.count() == 0, "{} calls were made for a future that was never polled", calls.count();
        expected = "none: a call without `.await` does nothing");
    // The first attempt begins at the first poll, and so does the look at the deadline.
    let late = retry(
        &policy,
        &NoJitter,
        Deadline::at(Instant::now() + ms(50)),
        |&()| Disposition::Retry,
        op,
    );
    sleep(ms(50)).await;
    let _ = cx.call(NAME, late).await?;
    ensure!(calls.count() == 0, "retry was made before the deadline and polled first at the deadline: {} calls", calls.count();
        expected = "none: look at the deadline when the future is polled");
    Ok(())
}

/// Panics at each draw.
#[derive(Debug)]
struct Bad(Payload);

impl Jitter for Bad {
    fn unit(&self) -> f64 {
        self.0.throw()
    }
}

pub async fn passes_panics_on(cx: Cx) -> Outcome {
    let payloads = Payload::all(cx.draw().below(1_000_000));
    let parts = [
        "the operation, before there is a future",
        "an attempt, at once",
        "an attempt, after 10 ms",
        "the second attempt",
        "the classifier",
        "the jitter",
    ];
    let cases = parts.into_iter().enumerate();
    let cases = cases.flat_map(|case| payloads.map(|payload| (case, payload)));
    for ((case, part), payload) in cases {
        let calls = Calls::new(&cx, "operation");
        let policy = policy(3)?;
        let bad = Bad(payload);
        let op = |_| {
            let number = calls.note();
            if case == 0 {
                payload.throw();
            }
            async move {
                if case == 1 {
                    payload.throw();
                }
                sleep(ms(10)).await;
                if case == 2 || case == 3 && number >= 2 {
                    payload.throw();
                }
                Err::<(), ()>(())
            }
        };
        let classify = |&(): &()| {
            if case == 4 {
                payload.throw();
            }
            Disposition::Retry
        };
        let jitter: &dyn Jitter = if case == 5 { &bad } else { &NoJitter };
        let retried = retry(&policy, jitter, Deadline::never(), classify, op);
        let caught = cx.call(NAME, AssertUnwindSafe(retried).catch_unwind()).await?.value;
        ensure!(caught.as_ref().is_err_and(|panic| payload.is_in(panic.as_ref())),
            "{part}, panics with {}: the caller gets {}", payload.name(), caught_as(&caught);
            expected = "that panic, with its payload",
            help = "a panic is a bug and no failure of the service: let it through as it is");
        let expected = if case == 3 { 2 } else { 1 };
        // When a Jitter is asked is a criterion of its own.
        ensure!(case == 5 || calls.count() == expected, "{part}, panics: {} calls", calls.count();
            expected = format!("{expected}: no attempt after a panic"));
    }
    Ok(())
}
