//! The ways in which an operation ends: the slot is free after each of them.

use std::cell::Cell;
use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::task::Poll;

use futures::FutureExt as _;
use futures::future::{join, join_all};
use grader_kit::{Cx, Fail, Outcome, ensure, ms};
use level4::limiter::Limiter;
use tokio::time::{sleep, timeout};

use super::{RUN, singly};
use crate::ops::{Ops, nz};
use crate::panics::Payload;

/// As many operations as there are slots run at once.
async fn serves(cx: &Cx, limiter: &Limiter, slots: usize, when: &str) -> Outcome {
    const HELP: &str = "a waiter that is gone must not be handed a slot, and an operation that fails or is \
                        dropped must give its slot back: let destructors do it";
    let ops = Ops::new(cx);
    // More than there are slots: a limiter that has become too wide is found as well.
    let lengths = vec![100; slots + 2];
    let calls = AssertUnwindSafe(timeout(ms(10_000), singly(limiter, &ops, &lengths)));
    let outcome = cx.call(RUN, calls.catch_unwind()).await?.value;
    ensure!(matches!(outcome, Ok(Ok(_))), "{when}, the next operation never begins";
        expected = "every slot is free again", help = HELP);
    ensure!(ops.most() == slots, "{when}, {} of {slots} slots are left", ops.most();
        expected = "every slot is free again, and no more than there were", help = HELP);
    Ok(())
}

/// Notes whether another operation of the limiter begins while this is being dropped.
struct Tries<'a> {
    limiter: &'a Limiter,
    began: &'a Cell<Option<bool>>,
}

impl Drop for Tries<'_> {
    fn drop(&mut self) {
        let began = self.limiter.run(|| async {}).now_or_never().is_some();
        self.began.set(Some(began));
    }
}

/// An operation of a limiter with one slot, whose future keeps something until it is dropped: the slot is free after
/// that, and not before.
pub(super) async fn a_slot_outlives_its_operation(cx: &Cx, dropped: bool) -> Outcome {
    let (limiter, began) = (Limiter::new(nz(1)), Cell::new(None));
    let guard = Tries { limiter: &limiter, began: &began };
    let op = || {
        let mut timer = Box::pin(sleep(ms(100)));
        // No `async` block: that would drop what it holds when it ends.
        poll_fn(move |task| {
            let _guard = &guard;
            timer.as_mut().poll(task)
        })
    };
    let limit = if dropped { 50 } else { 1_000 };
    let _ = cx.call(RUN, timeout(ms(limit), limiter.run(op))).await?;
    let what =
        if dropped { "a call is dropped while its operation runs" } else { "an operation ends" };
    ensure!(began.get() == Some(false), "one slot: {what}, and {}",
        if began.get().is_some() { "another operation begins while the first one's future is being dropped" } else { "its future is kept" };
        expected = "the slot is free when the operation's future is gone: until then it may use what the limiter protects",
        help = "drop the operation's future first, then the slot: variables are dropped in the reverse order of their declaration, fields in the order of theirs");
    Ok(())
}

pub async fn a_panic_passes_and_frees_its_slot(cx: Cx) -> Outcome {
    let word = cx.draw().word();
    for payload in Payload::all(&word) {
        for in_closure in [true, false] {
            let when = if in_closure {
                "after an operation has panicked in its closure, before there was a future"
            } else {
                "after an operation has panicked in its future"
            };
            // More panics than slots, so that a slot lost with each is missed. One caller waits meanwhile.
            for slots in [1, 3] {
                let limiter = Limiter::new(nz(slots));
                let ops = Ops::new(&cx);
                let panics = async {
                    for _ in 0..=slots {
                        let op = || {
                            if in_closure {
                                payload.clone().throw();
                            }
                            let runs = ops.run(0, 100);
                            async {
                                runs.await;
                                payload.clone().throw();
                            }
                        };
                        let call = AssertUnwindSafe(limiter.run(op)).catch_unwind();
                        let Ok(ended) = timeout(ms(10_000), call).await else {
                            return Err(Fail::new(format!("{when}, the next operation never begins"))
                                .expected("its slot is free again")
                                .help("a line after the await is never reached by a panic: give the slot back \
                                       from a destructor, and take it before the closure is called"));
                        };
                        let passed = ended.is_err_and(|panic| payload.is(panic.as_ref()));
                        ensure!(passed, "the caller of an operation that panics gets another panic, or none";
                            expected = "the operation's own panic, with what it carries",
                            help = "let the panic pass: `run` does not have to catch it");
                    }
                    Ok(())
                };
                let waits = async {
                    tokio::task::yield_now().await;
                    let waits = timeout(ms(10_000), limiter.run(|| ops.run(1, 100)));
                    AssertUnwindSafe(waits).catch_unwind().await
                };
                let (panicked, waited) = cx.call(RUN, join(panics, waits)).await?.value;
                panicked?;
                ensure!(matches!(waited, Ok(Ok(1))), "{when}, a caller that waited is not served";
                    expected = "it gets the slot, and sees nothing of the panic");
                serves(&cx, &limiter, slots, when).await?;
            }
        }
    }
    Ok(())
}

pub async fn a_dropped_caller_frees_its_slot(cx: Cx) -> Outcome {
    a_slot_outlives_its_operation(&cx, true).await?;
    for slots in [1, 2] {
        let limiter = Limiter::new(nz(slots));
        let ops = Ops::new(&cx);
        let call = |number, length| {
            let (limiter, ops) = (&limiter, &ops);
            async move { limiter.run(|| ops.run(number, length)).await }
        };
        for _ in 0..3 {
            let running = (0..slots).map(|number| timeout(ms(50), call(number, 100)));
            let waiting = (0..3).map(|number| timeout(ms(30), call(10 + number, 100)));
            let gone = join(join_all(running), join_all(waiting));
            let (running, waiting) = cx.call(RUN, gone).await?.value;
            let over = running.iter().chain(&waiting).any(Result::is_ok);
            ensure!(!over, "an operation of 100 ms was over within 50 ms");
            ensure!(ops.running() == 0, "an operation still runs after its caller was dropped";
                expected = "dropping the future stops its operation",
                help = "run the operation inside the caller's own future");
            let when = "after callers were dropped while they ran and while they waited";
            serves(&cx, &limiter, slots, when).await?;
        }
        let waited =
            ops.seen().iter().filter(|seen| seen.number >= 10 && seen.began.is_some()).count();
        ensure!(waited == 0, "{waited} operations were run whose callers had been dropped while they waited";
            expected = "none");

        // The narrowest case: a caller is dropped when its turn has come, but before it could run.
        for handed in 1..=3 {
            let mut waiting: Vec<_> =
                (0..handed).map(|number| Box::pin(call(20 + number, 100))).collect();
            let mut holding: Vec<_> =
                (0..slots).map(|number| Box::pin(call(30 + number, 100))).collect();
            let arrive = poll_fn(|cx| {
                let callers = holding.iter_mut().chain(&mut waiting);
                let early: Vec<_> = callers
                    .filter_map(|caller| caller.as_mut().poll(cx).is_ready().then_some(()))
                    .collect();
                Poll::Ready(!early.is_empty())
            });
            ensure!(!cx.call(RUN, arrive).await?.value, "an operation of 100 ms was over at once");
            cx.call(RUN, join_all(holding)).await?;
            drop(waiting);
            serves(&cx, &limiter, slots, "after a caller was dropped at its turn").await?;
        }
        for number in 0..3 {
            drop(call(number, 100));
        }
        serves(&cx, &limiter, slots, "after callers were dropped before their first poll").await?;
    }
    Ok(())
}
