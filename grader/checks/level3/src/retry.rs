//! `retry`.

use std::fmt::Debug;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use grader_kit::{Cx, Fail, Outcome, ensure, ensure_eq, failed, list, ms};
use level3::deadline::Deadline;
use level3::retry::{
    Attempt, Backoff, Disposition, Jitter, NoJitter, Reason, Retried, RetryError, RetryPolicy,
    SeededJitter, retry,
};
use tokio::time::sleep;

use crate::parts::{Calls, nz};

const NAME: &str = "retry";

fn backoff(base: u64, factor: f64, cap: u64, attempts: u32) -> Result<Backoff, Fail> {
    Backoff::new(ms(base), factor, ms(cap), nz(attempts)).map_err(|error| {
        Fail::new("Backoff::new refuses a valid schedule").observed(error.to_string())
    })
}

/// 1 s, doubled, at most 10 s.
fn policy(attempts: u32) -> Result<RetryPolicy, Fail> {
    Ok(RetryPolicy { backoff: backoff(1000, 2.0, 10_000, attempts)?, min_attempt: ms(0) })
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
    let op = |_| {
        let number = calls.note();
        let fails = fails(number);
        async move {
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

pub async fn three_attempts_are_three_calls(cx: Cx) -> Outcome {
    let retries = |_| Some(Disposition::Retry);
    for attempts in [3, 1, 8] {
        let calls = Calls::new(&cx, "operation");
        let policy = policy(attempts)?;
        let (result, _) = run(&cx, &calls, &policy, &NoJitter, Deadline::never(), retries).await?;
        failed(result, "every attempt failed")?;
        ensure!(calls.count() == u64::from(attempts), "{attempts} attempts made {} calls", calls.count();
            expected = format!("{attempts} calls: the first call is an attempt too"));
    }
    ensure_eq!(
        Backoff::default().attempts().get(),
        3,
        "the default has the wrong number of attempts"
    );
    Ok(())
}

pub async fn returns_the_first_success(cx: Cx) -> Outcome {
    let calls = Calls::new(&cx, "operation");
    let second = |number| (number < 2).then_some(Disposition::Retry);
    let (result, _) = run(&cx, &calls, &policy(3)?, &NoJitter, Deadline::never(), second).await?;
    match result {
        Ok(retried) => ensure_eq!(retried.value, 2, "retry returned another attempt's value"),
        Err(error) => {
            return Err(Fail::new("retry failed although the second attempt succeeded")
                .observed(error.to_string()));
        }
    }
    ensure!(calls.count() == 2, "{} calls were made", calls.count();
        expected = "2: the second one succeeded");
    Ok(())
}

pub async fn backs_off_exponentially(cx: Cx) -> Outcome {
    let retries = |_| Some(Disposition::Retry);
    for (base, factor, expected) in
        [(1000, 2.0, [0, 1000, 3000, 7000]), (300, 3.0, [0, 300, 1200, 3900])]
    {
        let calls = Calls::new(&cx, "operation");
        let policy = RetryPolicy { backoff: backoff(base, factor, 60_000, 4)?, min_attempt: ms(0) };
        let _ = run(&cx, &calls, &policy, &NoJitter, Deadline::never(), retries).await?;
        // As many as there are: how many there must be is another criterion.
        let at = calls.at();
        ensure!(at.iter().zip(expected).all(|(at, expected)| *at == expected),
            "attempts began at {} ms", list(&at);
            expected = format!("{} ms: waits of base * factor^(n - 1)", list(expected)),
            help = "the wait after attempt n is base * factor^(n - 1): the first wait is the base");
    }
    Ok(())
}

pub async fn stays_below_the_cap(cx: Cx) -> Outcome {
    let schedule = backoff(1000, 2.0, 10_000, 3)?;
    for attempt in [5, 6, 40, 70, 5000, u32::MAX] {
        for unit in [0.0, 0.9, 1.0] {
            let wait = cx.call_fn("Backoff::delay", || schedule.delay(attempt, unit)).await?;
            ensure!(wait <= ms(10_000), "the wait after attempt {attempt} is {wait:?}";
                expected = "at most the cap of 10 s, jitter included",
                help = "cut at the cap first, then apply jitter that only shortens");
            // How it grows, and what jitter makes of it, are criteria of their own.
            ensure!(attempt < 40 || unit < 0.5 || wait >= ms(5000), "the wait after attempt {attempt} is {wait:?}";
                expected = "at least half the cap: the schedule has long reached it",
                help = "an overflow must end at the cap, not at zero: compute in f64, where it becomes \
                        infinity");
        }
    }
    Ok(())
}

pub async fn jitter_takes_up_to_a_half(cx: Cx) -> Outcome {
    let schedule = backoff(1000, 2.0, 10_000, 3)?;
    for attempt in [1, 2, 3] {
        let delay =
            async |unit| cx.call_fn("Backoff::delay", || schedule.delay(attempt, unit)).await;
        let nominal = delay(1.0).await?;
        for (unit, expected) in [(0.0, nominal / 2), (0.5, nominal * 3 / 4)] {
            let wait = delay(unit).await?;
            ensure_eq!(wait, expected, "delay({attempt}, 1.0) is {nominal:?}, and delay({attempt}, {unit}) is wrong";
                help = "equal jitter: half of the nominal wait, and `unit` of the other half");
        }
    }
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

pub async fn seeds_determine_the_waits(cx: Cx) -> Outcome {
    let draw = |jitter: &SeededJitter| (0..50).map(|_| jitter.unit()).collect::<Vec<_>>();
    let drawn = cx
        .call_fn("SeededJitter", || {
            let parent = SeededJitter::new(7);
            let early = draw(&parent.fork(1));
            let own = draw(&parent);
            let late = draw(&parent.fork(1));
            let again = draw(&SeededJitter::new(7));
            (own, again, draw(&SeededJitter::new(8)), early, late, draw(&parent.fork(2)))
        })
        .await?;
    let (own, again, other, early, late, sibling) = drawn;
    let in_range = own.iter().chain(&early).all(|unit| (0.0..=1.0).contains(unit));
    ensure!(in_range, "numbers outside of 0 to 1"; observed = format!("{own:?}"));
    ensure!(own == again, "the same seed gives different numbers"; expected = "the same, run after run");
    ensure!(own != other, "different seeds give the same numbers");
    ensure!(own.iter().any(|unit| *unit != own[0]), "all 50 numbers are the same");
    ensure!(early == late, "a fork depends on what was drawn from its parent before";
        expected = "a fork depends on the seed and the stream alone",
        help = "a payment's waits must not depend on which other payments ran");
    ensure!(early != sibling, "two forks give the same numbers: their retries come together");
    let spread = (0..1000).map(|stream| SeededJitter::new(7).fork(stream).unit());
    let low = spread.filter(|unit| *unit < 0.5).count();
    ensure!((300..700).contains(&low), "{low} of 1000 forks begin with a number below one half";
        expected = "about 500: callers must spread out");
    Ok(())
}

pub async fn gives_up_when_told(cx: Cx) -> Outcome {
    for hopeless in [1, 2] {
        let calls = Calls::new(&cx, "operation");
        let fails = |number| {
            Some(if number == hopeless { Disposition::GiveUp } else { Disposition::Retry })
        };
        let (result, took) =
            run(&cx, &calls, &policy(3)?, &NoJitter, Deadline::never(), fails).await?;
        let error = failed(result, "an attempt failed for good")?;
        ensure!(calls.count() == hopeless, "{} calls, although call {hopeless} failed for good", calls.count();
            expected = "no attempt after the classifier said GiveUp",
            help = "declines, bad input and an open breaker do not pass: ask the classifier after each \
                    failure");
        ensure_eq!(error.reason, Reason::GivenUp, "the reason is wrong");
        ensure!(took <= ms(1000), "the failure was returned at {} ms", took.as_millis();
            expected = "at once");
    }
    Ok(())
}

pub async fn obeys_retry_after(cx: Cx) -> Outcome {
    for (wait, jitter) in [(42_000, &NoJitter as &dyn Jitter), (200, &SeededJitter::new(3))] {
        let calls = Calls::new(&cx, "operation");
        let fails = |number| (number == 1).then_some(Disposition::RetryAfter(ms(wait)));
        let _ = run(&cx, &calls, &policy(3)?, jitter, Deadline::never(), fails).await?;
        let second = calls.at().get(1).copied();
        ensure_eq!(second, Some(wait), "the server asked for {wait} ms, the second attempt came at another time";
            help = "Retry-After stands above the backoff, its cap and its jitter");
    }
    Ok(())
}

pub async fn no_wait_past_the_deadline(cx: Cx) -> Outcome {
    let long = |_| Some(Disposition::RetryAfter(ms(60_000)));
    let short = |_| Some(Disposition::Retry);
    let cases: [(&str, Fails); 2] = [("Retry-After of 60 s", &long), ("a backoff of 1 s", &short)];
    for (name, fails) in cases {
        let calls = Calls::new(&cx, "operation");
        let deadline = Deadline::after(ms(900));
        let (result, took) = run(&cx, &calls, &policy(3)?, &NoJitter, deadline, fails).await?;
        let error = failed(result, "every attempt failed")?;
        ensure!(took == ms(0), "with 900 ms left and {name}, retry returned at {} ms", took.as_millis();
            expected = "at once: the wait cannot be over in time",
            help = "compare the wait with what is left before you sleep");
        ensure_eq!(error.reason, Reason::DeadlineTooClose, "the reason is wrong");
        ensure!(calls.count() == 1, "{} calls were made", calls.count(); expected = "1");
    }
    Ok(())
}

pub async fn no_attempt_that_cannot_finish(cx: Cx) -> Outcome {
    let retries = |_| Some(Disposition::Retry);
    let policy = RetryPolicy { min_attempt: ms(200), ..policy(3)? };
    for (limit, expected) in [(1201, 2), (1200, 2), (1199, 1), (200, 1), (199, 0)] {
        let calls = Calls::new(&cx, "operation");
        let deadline = Deadline::after(ms(limit));
        let (result, _) = run(&cx, &calls, &policy, &NoJitter, deadline, retries).await?;
        let error = failed(result, "every attempt failed")?;
        ensure!(calls.count() == expected, "with {limit} ms in all, {} attempts began", calls.count();
            expected = format!("{expected}: an attempt needs 200 ms, and the first wait takes 1000 ms"),
            help = "before each attempt, the first included: is min_attempt left after the wait?");
        ensure_eq!(error.reason, Reason::DeadlineTooClose, "the reason is wrong");
        ensure!(error.last.is_some() == (expected > 0), "`last` does not fit {expected} attempts";
            expected = "the last attempt's error; none if there was no attempt");
    }
    Ok(())
}

pub async fn keeps_the_last_error(cx: Cx) -> Outcome {
    let calls = Calls::new(&cx, "operation");
    let retries = |_| Some(Disposition::Retry);
    let (result, _) = run(&cx, &calls, &policy(3)?, &NoJitter, Deadline::never(), retries).await?;
    let error = failed(result, "every attempt failed")?;
    ensure_eq!(error.reason, Reason::Exhausted, "the reason is wrong");
    ensure_eq!(
        error.last.map(|trouble| trouble.number),
        Some(calls.count()),
        "`last` holds the error of another attempt"
    );
    Ok(())
}

pub async fn reports_attempts_and_waits(cx: Cx) -> Outcome {
    // What is reported must be what happened: how often and how long are criteria of their own.
    for works_at in [2, 99] {
        let calls = Calls::new(&cx, "operation");
        let policy = policy(3)?;
        let op = |attempt: Attempt| {
            let number = calls.note();
            async move {
                sleep(ms(100)).await;
                if attempt.number < works_at { Err(()) } else { Ok((number, attempt)) }
            }
        };
        let classify = |&(): &()| Disposition::Retry;
        let call =
            cx.call(NAME, retry(&policy, &NoJitter, Deadline::never(), classify, op)).await?;
        let waited = call.took.saturating_sub(ms(100 * calls.count()));
        let reported = match call.value {
            Ok(retried) => {
                let (number, attempt) = retried.value;
                ensure_eq!(
                    (u64::from(attempt.number), attempt.of),
                    (number, 3),
                    "`number` and `of` of an Attempt"
                );
                (u64::from(retried.attempts), retried.backoff)
            }
            Err(error) => (u64::from(error.attempts), error.backoff),
        };
        ensure_eq!(reported, (calls.count(), waited), "`attempts` and `backoff` are not what happened";
            help = "backoff is the time spent between the attempts, not that of the attempts");
    }
    Ok(())
}

pub async fn refuses_bad_schedules(cx: Cx) -> Outcome {
    let bad = [
        ("a base of 0", 0, 2.0, 10_000),
        ("a factor of 0.5", 1000, 0.5, 10_000),
        ("a factor of -2", 1000, -2.0, 10_000),
        ("a factor that is NaN", 1000, f64::NAN, 10_000),
        ("an infinite factor", 1000, f64::INFINITY, 10_000),
        ("a cap below the base", 1000, 2.0, 999),
    ];
    for (what, base, factor, cap) in bad {
        let made =
            cx.call_fn("Backoff::new", || Backoff::new(ms(base), factor, ms(cap), nz(3))).await?;
        ensure!(made.is_err(), "Backoff::new accepts {what}";
            expected = "a BackoffConfigError that says what is wrong",
            help = "NaN compares with nothing: `factor < 1.0` does not catch it");
    }
    backoff(1, 1.0, 1, 1)?;
    Ok(())
}
