//! `cancel`: `with_timeout`, `cancellable`, `with_timeout_and_cancel`.

mod stops;

use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{LocalBoxFuture, join};
use grader_kit::{Cx, Outcome, ensure, ms, scarce};
use level4::cancel::{Stopped, cancellable, with_timeout, with_timeout_and_cancel};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::ops::moves;
use crate::panics::Payload;

pub use stops::{
    a_cancelled_token_starts_nothing, cancels_at_once, ends_a_busy_operation_too,
    leaves_the_token_alone, stops_what_it_gives_up, stops_when_dropped,
};

/// One of the three functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Timeout,
    Cancel,
    Both,
}

impl Way {
    const ALL: [Self; 3] = [Self::Timeout, Self::Cancel, Self::Both];
    const WITH_LIMIT: [Self; 2] = [Self::Timeout, Self::Both];
    const WITH_TOKEN: [Self; 2] = [Self::Cancel, Self::Both];

    const fn name(self) -> &'static str {
        match self {
            Self::Timeout => "with_timeout",
            Self::Cancel => "cancellable",
            Self::Both => "with_timeout_and_cancel",
        }
    }

    /// Calls it, now: what the function does before it returns its future is done. The part that it does not
    /// have is left out.
    fn run<'a, T: 'a, E: 'a>(
        self,
        limit: Duration,
        token: &'a CancellationToken,
        op: impl Future<Output = Result<T, E>> + 'a,
    ) -> LocalBoxFuture<'a, Result<T, Stopped<E>>> {
        match self {
            Self::Timeout => with_timeout(limit, op).boxed_local(),
            Self::Cancel => cancellable(token, op).boxed_local(),
            Self::Both => with_timeout_and_cancel(limit, token, op).boxed_local(),
        }
    }
}

/// A result as a learner reads it.
fn shown<T: std::fmt::Display, E: std::fmt::Display>(result: &Result<T, Stopped<E>>) -> String {
    match result {
        Ok(value) => format!("Ok({value})"),
        Err(Stopped::TimedOut(limit)) => format!("TimedOut({} ms)", limit.as_millis()),
        Err(Stopped::Cancelled) => "Cancelled".to_owned(),
        Err(Stopped::Failed(error)) => format!("Failed({error})"),
    }
}

/// The call returned `expected`, at `at` milliseconds.
fn returned(
    name: &str,
    script: &str,
    got: (String, Duration),
    expected: &str,
    at: u64,
    help: &str,
) -> Outcome {
    let (got, took) = got;
    ensure!(got == expected && took == ms(at), "{name}, {script}: {got} at {} ms", took.as_millis();
        expected = format!("{expected} at {at} ms"), help = help);
    Ok(())
}

pub async fn returns_the_value(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    for way in Way::ALL {
        for length in [0, draw.between(1..=900)] {
            let token = CancellationToken::new();
            let (text, number) = (draw.word(), draw.below(1000));
            let borrowed = text.as_str();
            let op = async {
                sleep(ms(length)).await;
                Ok::<_, String>(format!("{borrowed} {number}"))
            };
            let call = cx.call(way.name(), way.run(ms(1000), &token, op)).await?;
            let script = format!("an operation of {length} ms, a limit of 1000 ms");
            let expected = format!("Ok({text} {number})");
            let help = "an operation that is ready ends the wait at once";
            returned(
                way.name(),
                &script,
                (shown(&call.value), call.took),
                &expected,
                length,
                help,
            )?;
        }
    }
    Ok(())
}

pub async fn an_error_is_a_failure(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    for way in Way::ALL {
        let (at, number) = (draw.between(1..=400), draw.below(1000));
        let token = CancellationToken::new();
        let op = async {
            sleep(ms(at)).await;
            Err::<u64, _>(number)
        };
        let call = cx.call(way.name(), way.run(ms(500), &token, op)).await?;
        let script = format!("an operation that fails at {at} ms");
        let help =
            "an error of the operation is an end of its own: Stopped::Failed with that error";
        returned(
            way.name(),
            &script,
            (shown(&call.value), call.took),
            &format!("Failed({number})"),
            at,
            help,
        )?;
    }
    // The token is cancelled when the operation has already ended: nothing changes any more.
    for way in Way::WITH_TOKEN {
        let token = CancellationToken::new();
        let op = async {
            sleep(ms(100)).await;
            Err::<u64, _>("no such page")
        };
        let cancels = async {
            sleep(ms(101)).await;
            token.cancel();
        };
        let run = async {
            let began = Instant::now();
            let result = way.run(ms(500), &token, op).await;
            (result, began.elapsed())
        };
        let ((result, took), ()) = cx.call(way.name(), join(run, cancels)).await?.value;
        let help = "cancelling after the end does nothing";
        let script = "an operation that fails at 100 ms, a token that is cancelled at 101 ms";
        returned(way.name(), script, (shown(&result), took), "Failed(no such page)", 100, help)?;
    }
    Ok(())
}

pub async fn ends_at_the_limit(cx: Cx) -> Outcome {
    let drawn = cx.draw().between(2..=60_000);
    for way in Way::WITH_LIMIT {
        for limit in [1000, 1, drawn] {
            for (what, length) in
                [("1 ms longer", limit + 1), ("for five times as long", 5 * limit)]
            {
                let token = CancellationToken::new();
                let op = async {
                    sleep(ms(length)).await;
                    Ok::<_, String>(length)
                };
                let call = cx.call(way.name(), way.run(ms(limit), &token, op)).await?;
                let script = format!("a limit of {limit} ms, an operation that takes {what}");
                let help = "`tokio::time::timeout` ends at its limit; TimedOut names the limit";
                let expected = format!("TimedOut({limit} ms)");
                returned(
                    way.name(),
                    &script,
                    (shown(&call.value), call.took),
                    &expected,
                    limit,
                    help,
                )?;
            }
        }
        // A future that was only made has not begun.
        let token = CancellationToken::new();
        let op = async {
            sleep(ms(300)).await;
            Ok::<_, String>(300)
        };
        let late = async {
            let run = way.run(ms(1000), &token, op);
            sleep(ms(900)).await;
            run.await
        };
        let call = cx.call(way.name(), late).await?;
        let script =
            "polled first 900 ms after it was made; a limit of 1000 ms, an operation of 300 ms";
        ensure!(call.value.is_ok(), "{}, {script}: {}", way.name(), shown(&call.value);
            expected = "its value, 1200 ms after the future was made",
            help = "the limit counts from the first poll: begin to count inside of the future");
        // A caller that polls late.
        let token = CancellationToken::new();
        let late = async {
            let mut run = way.run(ms(100), &token, std::future::pending::<Result<u64, String>>());
            let _ = futures::poll!(&mut run);
            sleep(ms(250)).await;
            run.await
        };
        let call = cx.call(way.name(), late).await?;
        let script = "a limit of 100 ms, polled at 0 ms and then not before 250 ms";
        let help =
            "TimedOut names the limit that the call was given, not the time that has gone by";
        returned(
            way.name(),
            script,
            (shown(&call.value), call.took),
            "TimedOut(100 ms)",
            250,
            help,
        )?;
        let token = CancellationToken::new();
        let never = way.run(ms(100), &token, std::future::pending::<Result<u64, String>>());
        moves(&cx, way.name(), 50, 100, never).await?;
        // Limits that are no whole number of milliseconds.
        for nanos in [1_500_000, cx.draw().between(1..=999_999_999)] {
            names_the_limit(&cx, way, Duration::from_nanos(nanos)).await?;
        }
    }
    Ok(())
}

/// A call with this limit whose operation does not end: the limit is named as it is.
async fn names_the_limit(cx: &Cx, way: Way, limit: Duration) -> Outcome {
    let token = CancellationToken::new();
    let never = way.run(limit, &token, std::future::pending::<Result<u64, String>>());
    let call = cx.call_within(2 * limit + ms(1000), way.name(), never).await?;
    let named = match call.value {
        Err(Stopped::TimedOut(named)) => Some(named),
        _ => None,
    };
    ensure!(named == Some(limit), "{}: a limit of {limit:?}, an operation that does not end: {}", way.name(), shown(&call.value);
        expected = format!("TimedOut({limit:?})"), observed = format!("{named:?}"),
        help = "TimedOut has the limit that the call was given");
    Ok(())
}

pub async fn ready_at_the_limit_is_in_time(cx: Cx) -> Outcome {
    let drawn = cx.draw().between(2..=10_000);
    for way in Way::WITH_LIMIT {
        for limit in [0, 1000, drawn] {
            let token = CancellationToken::new();
            let run = async {
                let at = Instant::now() + ms(limit);
                let mut timer = pin!(sleep_until(at));
                // Ready in any poll from its instant on, whichever timer has woken it.
                let op = poll_fn(|task| match timer.as_mut().poll(task) {
                    Poll::Pending if Instant::now() < at => Poll::Pending,
                    _ => Poll::Ready(Ok::<_, String>("the value")),
                });
                way.run(ms(limit), &token, op).await
            };
            let call = cx.call(way.name(), run).await?;
            ensure!(call.value.is_ok(), "{}: an operation is ready at {limit} ms, its limit: {}", way.name(), shown(&call.value);
                expected = "its value: it has made it",
                help = "at the limit both are ready. Poll the operation before the timer, as `tokio::time::timeout` does");
        }
        let token = CancellationToken::new();
        let never = way.run(ms(0), &token, std::future::pending::<Result<u64, String>>());
        let call = cx.call(way.name(), never).await?;
        ensure!(call.took == ms(0) && matches!(call.value, Err(Stopped::TimedOut(limit)) if limit.is_zero()),
            "{}: a limit of zero, an operation that is not ready: {} at {} ms", way.name(), shown(&call.value), call.took.as_millis();
            expected = "TimedOut(0 ms) at once: zero leaves no time, it does not stand for \"no limit\"");
    }
    Ok(())
}

pub async fn takes_any_limit(cx: Cx) -> Outcome {
    for way in Way::WITH_LIMIT {
        for limit in
            [Duration::MAX, Duration::from_secs(u64::MAX / 2), Duration::from_secs(1 << 40)]
        {
            let token = CancellationToken::new();
            let op = async {
                sleep(ms(500)).await;
                Ok::<_, String>("the value")
            };
            let call = cx.call(way.name(), way.run(limit, &token, op)).await?;
            ensure!(call.value.is_ok(), "{} with a limit of {limit:?}, an operation of 500 ms: {} at {} ms", way.name(), shown(&call.value), call.took.as_millis();
                expected = "its value",
                help = "`Instant::now() + limit` panics on overflow; `tokio::time::timeout(limit, ..)` does not");
        }
        // Limits of months and years.
        for days in [40, cx.draw().between(800..=1500)] {
            let limit = Duration::from_secs(days * 24 * 3600) + ms(1);
            let token = CancellationToken::new();
            let never = way.run(limit, &token, std::future::pending::<Result<u64, String>>());
            let call = cx.call_within(2 * limit, way.name(), never).await?;
            ensure!(call.took.abs_diff(limit) <= ms(2), "{}: a limit of {days} days and 1 ms ends after {:?}", way.name(), call.took;
                expected = format!("{limit:?}"), help = "pass the limit to `tokio::time::timeout` as it is");
        }
    }
    Ok(())
}

pub async fn panics_pass(cx: Cx) -> Outcome {
    let word = cx.draw().word();
    for way in Way::ALL {
        // A function that is not written yet says so, and not that its panic is another one.
        let token = CancellationToken::new();
        cx.call(way.name(), way.run(ms(1000), &token, async { Ok::<_, String>(1) })).await?;
        for payload in Payload::all(&word) {
            for length in [0, 50] {
                let token = CancellationToken::new();
                let op = async {
                    if length > 0 {
                        sleep(ms(length)).await;
                    }
                    payload.clone().throw();
                    #[expect(unreachable_code, reason = "the type of the operation")]
                    Ok::<u32, String>(0)
                };
                let run = AssertUnwindSafe(way.run(ms(1000), &token, op)).catch_unwind();
                let caught = cx.call(way.name(), run).await?.value;
                let passed = caught.as_ref().is_err_and(|panic| payload.is(panic.as_ref()));
                ensure!(passed, "{}: an operation panics after {length} ms, and its caller gets {}", way.name(),
                    caught.map_or_else(|_| "another panic".to_owned(), |result| shown(&result));
                    expected = "the operation's own panic",
                    help = "a panic is a bug of the operation, neither a timeout nor an error: let it pass");
            }
        }
    }
    Ok(())
}

pub async fn keeps_nothing_of_what_has_ended(cx: Cx) -> Outcome {
    // A token that lives as long as the program.
    let token = CancellationToken::new();
    let ready = async || Ok::<_, String>(1_u32);
    let _ = Way::Both.run(ms(1000), &token, ready()).await;
    let _scarce = scarce(1 << 20);
    for way in Way::ALL {
        for _ in 0..10 {
            let many = async {
                for _ in 0..3000 {
                    let _ = way.run(ms(1000), &token, ready()).await;
                    // Goes away while it listens.
                    let waits = way.run(ms(1000), &token, std::future::pending::<Result<(), ()>>());
                    let _ = futures::future::poll_immediate(pin!(waits)).await;
                }
            };
            cx.call(way.name(), many).await?;
        }
    }
    Ok(())
}

pub async fn waits_without_looking(cx: Cx) -> Outcome {
    for way in Way::ALL {
        let token = CancellationToken::new();
        let op = async {
            sleep(Duration::from_secs(400)).await;
            Ok::<_, String>(0)
        };
        let call = cx.call(way.name(), way.run(Duration::from_secs(500), &token, op)).await?;
        ensure!(call.polls < 1000, "{}: an operation of 400 s was polled {} times", way.name(), call.polls;
            expected = "a few times: what ends the wait wakes it",
            help = "listen with `token.cancelled()` instead of looking at `is_cancelled` again and again");
    }
    Ok(())
}
