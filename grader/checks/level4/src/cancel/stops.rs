//! Operations that do not come to their end, and the token that stops them.

use std::cell::Cell;
use std::future::poll_fn;
use std::task::Poll;

use futures::FutureExt as _;
use futures::future::{join, join3};
use grader_kit::{Cx, Outcome, dropped_at, ensure, ms};
use level4::cancel::Stopped;
use tokio::task::coop::consume_budget;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{Way, returned, shown};
use crate::ops::{OnDrop, leaves_no_task};

/// Cancels the token at this time, counted from now.
async fn cancels(token: &CancellationToken, at: u64) {
    sleep(ms(at)).await;
    token.cancel();
}

/// An operation of five seconds with an effect at its end, and a guard that notes when it is dropped.
async fn five_seconds(dropped: &Cell<bool>, effect: &Cell<bool>) -> Result<u32, String> {
    let _guard = OnDrop(dropped);
    sleep(ms(5000)).await;
    effect.set(true);
    Ok(1)
}

pub async fn stops_what_it_gives_up(cx: Cx) -> Outcome {
    let at = cx.draw().between(1..=999);
    for (way, by_token) in
        [(Way::Timeout, false), (Way::Cancel, true), (Way::Both, false), (Way::Both, true)]
    {
        let (dropped, effect) = (Cell::new(false), Cell::new(false));
        let token = CancellationToken::new();
        let run = async {
            let limit = if by_token { 4000 } else { at };
            let mut call = way.run(ms(limit), &token, five_seconds(&dropped, &effect));
            let result = (&mut call).await;
            // Looked at while the call's own future is still there: it must let go by itself.
            let seen = (result.is_err(), dropped.get());
            drop(call);
            seen
        };
        let stops = async {
            if by_token {
                cancels(&token, at).await;
            }
        };
        let call = cx.call(way.name(), join(run, stops)).await?;
        let (stopped, was_dropped) = call.value.0;
        sleep(ms(60_000)).await;
        let by = if by_token { "cancelled" } else { "cut at its limit" };
        ensure!(
            stopped,
            "{}: an operation of 5 s is {by} at {at} ms, and the call returns a value",
            way.name()
        );
        ensure!(was_dropped && !effect.get(), "{}: an operation is {by}, and {}", way.name(),
            if effect.get() { "its effect at 5 s still happens" } else { "its future is still there when the call has returned" };
            expected = "it is dropped before the call returns, and has no effect later",
            help = "a race that only stops waiting leaves the loser running. Own the operation's future, and drop it");
        ensure!(call.leaked == 0, "{}: an operation is {by}, and a task is left", way.name();
            expected = "none: the call needs no task");
    }
    Ok(())
}

pub async fn cancels_at_once(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    for way in Way::WITH_TOKEN {
        // The operation is idle, or wakes up often.
        for (at, tick) in
            [(3000, 5000), (draw.between(1..=4999), 5000), (draw.between(1..=4999), 7)]
        {
            let token = CancellationToken::new();
            let op = async {
                let end = Instant::now() + ms(5001);
                while Instant::now() < end {
                    sleep(ms(tick).min(end - Instant::now())).await;
                }
                Ok::<_, String>(5)
            };
            let run = async {
                let began = Instant::now();
                let result = way.run(ms(5000), &token, op).await;
                (result, began.elapsed())
            };
            let ((result, took), ()) =
                cx.call(way.name(), join(run, cancels(&token, at))).await?.value;
            let script =
                format!("an operation of 5 s that wakes every {tick} ms, cancelled at {at} ms");
            let help = "wait for the operation and for `token.cancelled()` at the same time";
            returned(way.name(), &script, (shown(&result), took), "Cancelled", at, help)?;
        }
        // The token wakes the task that polls now.
        let token = CancellationToken::new();
        let run = way.run(ms(5000), &token, std::future::pending::<Result<u64, String>>());
        let mut run = Box::pin(run);
        let by_another_task = || {
            let _ = run.as_mut().now_or_never();
        };
        cx.call_fn(way.name(), by_another_task).await?;
        // `run` is polled first: it has to be woken when the token is cancelled.
        let ends = timeout(ms(1000), join(run, cancels(&token, 250)));
        let call = cx.call(way.name(), ends).await?;
        let stopped =
            call.value.map_or_else(|_| "nothing".to_owned(), |(result, ())| shown(&result));
        let script = "polled by one task and then by another, cancelled at 250 ms";
        let help = "pass the `Context` of each poll to all that you wait for";
        returned(way.name(), script, (stopped, call.took), "Cancelled", 250, help)?;
        // All that listen to one token, or to a child of it.
        let token = CancellationToken::new();
        let child = token.child_token();
        let op = || std::future::pending::<Result<u32, String>>();
        let all = join3(
            way.run(ms(5000), &token, op()),
            way.run(ms(5000), &child, op()),
            cancels(&token, 250),
        );
        let call = cx.call(way.name(), all).await?;
        let (own, of_child, ()) = call.value;
        for (whose, result) in [("the token", own), ("a child of it", of_child)] {
            let script =
                format!("a token is cancelled at 250 ms; an operation that listens to {whose}");
            let help = "each call listens to the token that it was given";
            returned(way.name(), &script, (shown(&result), call.took), "Cancelled", 250, help)?;
        }
    }
    Ok(())
}

pub async fn a_cancelled_token_starts_nothing(cx: Cx) -> Outcome {
    let late = cx.draw().between(1..=1000);
    for way in Way::WITH_TOKEN {
        for (when, before, wait) in [
            ("before the call", true, 0),
            ("between the making of the future and its first poll", false, 0),
            ("long before its first poll", true, late),
        ] {
            let token = CancellationToken::new();
            let polled = Cell::new(false);
            if before {
                token.cancel();
            }
            let op = async {
                polled.set(true);
                Ok::<_, String>(1)
            };
            let run = async {
                let run = way.run(ms(5000), &token, op);
                token.cancel();
                sleep(ms(wait)).await;
                run.await
            };
            let result = cx.call(way.name(), run).await?.value;
            ensure!(!polled.get() && matches!(result, Err(Stopped::Cancelled)),
                "{}: the token was cancelled {when}: {}, and the operation {}", way.name(), shown(&result),
                if polled.get() { "was polled" } else { "was not polled" };
                expected = "Cancelled, without a poll of the operation",
                help = "the first poll of a call sends its request: look at the token before it");
        }
    }
    Ok(())
}

pub async fn leaves_the_token_alone(cx: Cx) -> Outcome {
    for way in Way::ALL {
        let parent = CancellationToken::new();
        let (token, sibling) = (parent.child_token(), parent.child_token());
        let look = || [&token, &parent, &sibling].iter().any(|token| token.is_cancelled());
        let script = async {
            let pending = || std::future::pending::<Result<u32, String>>();
            let _ = way.run(ms(100), &token, async { Ok::<_, String>(1) }).await;
            let after_a_value = look();
            let _ = way.run(ms(100), &token, async { Err::<u32, _>("no") }).await;
            let after_an_error = look();
            if way != Way::Cancel {
                let _ = way.run(ms(100), &token, pending()).await;
            }
            let after_a_timeout = look();
            let dropped = Box::pin(way.run(ms(100), &token, pending()));
            let _ = futures::future::poll_immediate(dropped).await;
            [
                (after_a_value, "a value"),
                (after_an_error, "an error"),
                (after_a_timeout, "a timeout"),
                (look(), "a call that was dropped"),
            ]
        };
        let cancelled = cx.call(way.name(), script).await?.value;
        if let Some((_, by)) = cancelled.iter().find(|(cancelled, _)| *cancelled) {
            return Err(grader_kit::Fail::new(format!(
                "{}: after {by} the token, its parent or its sibling is cancelled",
                way.name()
            ))
            .expected("none is: the token belongs to its owner, who may stop other work with it")
            .help("only listen to the token"));
        }
        // A child that is cancelled stops itself alone.
        token.cancel();
        if way != Way::Timeout {
            let op = async {
                sleep(ms(50)).await;
                Ok::<_, String>(1)
            };
            let call = cx.call(way.name(), way.run(ms(100), &sibling, op)).await?;
            ensure!(call.value.is_ok(), "{}: one child of a token was cancelled, and an operation that listens to another child ends with {}", way.name(), shown(&call.value);
                expected = "its value");
        }
    }
    Ok(())
}

pub async fn stops_when_dropped(cx: Cx) -> Outcome {
    let at = cx.draw().between(1..=900);
    for way in Way::ALL {
        let (dropped, effect) = (Cell::new(false), Cell::new(false));
        let token = CancellationToken::new();
        let tasks = cx.alive_tasks();
        dropped_at(&cx, way.name(), at, way.run(ms(1000), &token, five_seconds(&dropped, &effect)))
            .await?;
        let was_dropped = dropped.get();
        let when = format!("{}: the caller has dropped it at {at} ms", way.name());
        leaves_no_task(&cx, tasks, &when).await?;
        sleep(ms(60_000)).await;
        ensure!(was_dropped && !effect.get(), "{}: the caller has dropped it at {at} ms, and its operation {}", way.name(),
            if effect.get() { "goes on" } else { "is kept" };
            expected = "the operation is dropped with it",
            help = "own the operation's future, in no task and in no place that outlives the call");
        // Before the first poll.
        let (dropped, polled) = (Cell::new(false), Cell::new(false));
        let guard = OnDrop(&dropped);
        drop(way.run(ms(1000), &token, async {
            polled.set(true);
            drop(guard);
            Ok::<_, String>(1)
        }));
        ensure!(dropped.get() && !polled.get(), "{}: it was dropped before its first poll, and its operation {}", way.name(),
            if polled.get() { "was polled" } else { "is kept" };
            expected = "nothing runs, and the operation is dropped with it");
    }
    Ok(())
}

/// An operation that uses up at each poll what a task may do in one turn, as a loop over a channel that is never empty
/// does. A clock of its own polls it every few milliseconds, so that time goes on.
async fn busy(polls: &Cell<u64>) -> Result<u32, String> {
    let mut clock = Box::pin(sleep(ms(7)));
    poll_fn(|task| {
        while clock.as_mut().poll(task).is_ready() {
            clock.as_mut().reset(Instant::now() + ms(7));
        }
        for _ in 0..10_000 {
            if consume_budget().now_or_never().is_none() {
                break;
            }
        }
        polls.set(polls.get() + 1);
        // It is polled again and again, and nothing beside it is.
        if polls.get() < MOST_POLLS { Poll::Pending } else { Poll::Ready(Ok(1)) }
    })
    .await
}

const MOST_POLLS: u64 = 5_000;

pub async fn ends_a_busy_operation_too(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    for (way, by_token) in
        [(Way::Timeout, false), (Way::Cancel, true), (Way::Both, false), (Way::Both, true)]
    {
        let (limit, polls) = (draw.between(100..=900), Cell::new(0));
        let token = CancellationToken::new();
        let run = async {
            let began = Instant::now();
            let most = if by_token { 5_000 } else { limit };
            let result = way.run(ms(most), &token, busy(&polls)).await;
            (result, began.elapsed())
        };
        let stops = async {
            if by_token {
                cancels(&token, limit).await;
            }
        };
        let call = cx.call(way.name(), join(stops, run)).await?;
        let (result, took) = call.value.1;
        let (by, expected) = if by_token {
            ("and a token that is cancelled", "Cancelled".to_owned())
        } else {
            ("with its limit", format!("TimedOut({limit} ms)"))
        };
        let polled = polls.get();
        let ran_on = if polled < MOST_POLLS {
            shown(&result)
        } else {
            format!("{polled} polls of the operation, and none of them sees the end")
        };
        let script = format!(
            "an operation that at each poll does as much as tokio lets a task do in one turn, {by} at {limit} ms"
        );
        let help = "a timer that is polled when the turn is used up says that it is not ready: `tokio::time::timeout` knows that, a `sleep` in a `select!` does not; put it into `tokio::task::coop::unconstrained`";
        returned(way.name(), &script, (ran_on, took), &expected, limit, help)?;
    }
    Ok(())
}
