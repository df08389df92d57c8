//! What happens while a breaker is half-open.

use std::cell::Cell;
use std::future::pending;
use std::panic::AssertUnwindSafe;

use futures::FutureExt as _;
use futures::future::{join_all, poll_immediate};
use grader_kit::{Cx, Fail, Outcome, ensure, ensure_eq, ms};
use level3::breaker::{BreakerConfig, BreakerError, CircuitBreaker, State};
use tokio::time::{sleep, timeout};

use super::bench::{ASSIGNED, Bench, Figures, Got, NAME, Trouble};
use crate::parts::{Payload, caught_as};

pub async fn one_probe_at_a_time(cx: Cx) -> Outcome {
    let [assigned, drawn] = Figures::some(&cx);
    let probes = cx.draw().between(2..=6) as usize;
    // As many successes as a byte does not count, so that it stays half-open.
    let several = Figures { probes, successes: 300, ..drawn };
    for figures in [assigned, drawn, several] {
        let (bench, places) = (Bench::half_open(&cx, figures).await?, figures.probes);
        for round in 1..=2 {
            let before = bench.calls.get();
            let calls = (0..20).map(|_| bench.slow(1000, Ok(())));
            let got = join_all(calls).await.into_iter().collect::<Result<Vec<_>, _>>()?;
            let through = (bench.calls.get() - before) as usize;
            ensure!(through == places, "{through} of 20 calls at once reach the half-open dependency";
                expected = format!("{places}: the others are refused while {places} probes at a time are on their way"),
                help = "count probes when they start, not when they end; give the place back when they end");
            let refused = got.iter().filter(|got| matches!(got, Got::Refused(_))).count();
            ensure!(refused == 20 - places, "{refused} calls were refused"; expected = format!("{}", 20 - places));
            if figures.successes < 3 || round == 2 {
                break;
            }
        }
    }
    Ok(())
}

pub async fn a_failed_probe_reopens(cx: Cx) -> Outcome {
    for figures in Figures::some(&cx) {
        let (bench, reset) = (Bench::half_open(&cx, figures).await?, figures.reset);
        let mut was_half_open = false;
        for successes in [0, 1] {
            for _ in 0..successes {
                let got = bench.end(Ok(())).await?;
                // Whether it is ever half-open is a criterion of its own.
                ensure!(
                    !was_half_open || !matches!(got, Got::Refused(_)),
                    "{reset} ms after a failed probe a call is refused";
                    expected = format!("half-open from exactly {reset} ms after the failure on"),
                    observed = bench.told(got),
                    help = "the open time is over when its age is `reset_timeout`, compared with `>=`; each time that it opens it stays \
                            open for as long, and refused calls do not move that"
                );
            }
            // The open time begins at the probe's end.
            let before = bench.calls.get();
            let _ = bench.slow(300, Err(Trouble::Down)).await?;
            was_half_open |= bench.calls.get() > before;
            ensure!(!bench.lets_through().await?, "after {successes} good probe(s) and a failed one, a call is let through";
                expected = "any failure while half-open opens it again",
                help = "do not count failures while half-open: one is enough");
            sleep(ms(reset - 1)).await;
            ensure!(!bench.lets_through().await?, "{} ms after a failed probe a call is let through", reset - 1;
                expected = format!("open for the full {reset} ms again"));
            sleep(ms(1)).await;
        }
    }
    Ok(())
}

pub async fn closes_at_the_second_success(cx: Cx) -> Outcome {
    let [assigned, drawn] = Figures::some(&cx);
    for figures in [assigned, drawn, Figures { successes: 1, ..drawn }] {
        let (bench, needed) = (Bench::half_open(&cx, figures).await?, figures.successes);
        for number in 1..needed {
            let _ = bench.end(Ok(())).await?;
            ensure_eq!(
                bench.breaker.state(),
                State::HalfOpen,
                "{needed} successes close it: the state after {number} good probe(s)"
            );
        }
        let _ = bench.end(Ok(())).await?;
        ensure_eq!(bench.breaker.state(), State::Closed, "{needed} successes close it: the state after {needed} good probe(s)";
            help = "count the success, then compare with >=");
        let through = join_all((0..3).map(|_| bench.slow(10, Ok(())))).await;
        let through = through.into_iter().collect::<Result<Vec<_>, _>>()?;
        ensure!(
            through.iter().all(|got| *got == Got::Success),
            "calls are refused after it has closed"
        );
    }
    Ok(())
}

pub async fn closes_with_empty_counts(cx: Cx) -> Outcome {
    for figures in Figures::some(&cx) {
        let (bench, most) = (Bench::half_open(&cx, figures).await?, figures.failures);
        // As many good probes as it takes: how many is a criterion of its own.
        for _ in 0..10 {
            let _ = bench.end(Ok(())).await?;
            if bench.breaker.state() == State::Closed {
                break;
            }
        }
        // Whether a success ends a row of failures is one, too: none comes between these.
        for number in 1..=most - 2 {
            let _ = bench.end(Err(Trouble::Down)).await?;
            ensure_eq!(bench.breaker.state(), State::Closed, "the state at failure {number} after it has closed";
                help = "closing forgets the failures from before the trip");
        }
        // At which failure it opens is a criterion of its own, too.
        for _ in most - 1..=2 * most {
            let _ = bench.end(Err(Trouble::Down)).await?;
        }
        ensure!(bench.breaker.state() != State::Closed, "{} failures in a row do not open it a second time", 2 * most;
            help = "a breaker that has closed behaves like a new one: the generation that a call gets when it is admitted has to fit \
                    the state that it is in now");
    }
    Ok(())
}

pub async fn each_half_open_phase_counts_from_zero(cx: Cx) -> Outcome {
    for figures in Figures::some(&cx) {
        let (bench, needed) = (Bench::half_open(&cx, figures).await?, figures.successes);
        for _ in 1..needed {
            let _ = bench.end(Ok(())).await?;
        }
        let _ = bench.end(Err(Trouble::Down)).await?;
        bench.reset().await;
        for number in 1..needed {
            let _ = bench.end(Ok(())).await?;
            ensure_eq!(bench.breaker.state(), State::HalfOpen, "the state after {} success(es), a failure, the reset timeout and {number} success(es)", needed - 1;
                help = "a success before the failed probe does not count any more: set the count back when the \
                        state changes");
        }
    }
    Ok(())
}

pub async fn takes_no_place_before_its_first_poll(cx: Cx) -> Outcome {
    for figures in Figures::some(&cx) {
        let bench = Bench::half_open(&cx, figures).await?;
        let called = Cell::new(false);
        let op = || async {
            called.set(true);
            Ok::<(), Trouble>(())
        };
        let waits = bench.breaker.call(op);
        let dropped = bench.breaker.call(op);
        ensure!(bench.lets_through().await?, "half-open, two calls were made and not polled yet, and a call is refused";
            expected = "let through: a future that was not polled does nothing",
            help = "ask for the place inside of the future, when it is polled first");
        drop(dropped);
        ensure!(!called.get(), "the operation was called for a future that was not polled");
        // What counts is the state at the first poll.
        drop(waits);
        let bench = Bench::new(&cx, figures)?;
        let waits = bench.breaker.call(op);
        bench.trip().await?;
        let got = Got::of(cx.call(NAME, waits).await?.value);
        ensure!(matches!(got, Got::Refused(_)) && !called.get(), "a call that was made while closed and polled first while open got {got:?}";
            expected = "refused: the state at the first poll decides");
        // Nor does one that waits before its first poll hold the breaker closed or open.
        ensure_eq!(bench.breaker.snapshot().dropped, 0, "dropped calls in the snapshot, after one that was never polled";
            help = "only a call that was let in is counted");
    }
    Ok(())
}

pub async fn a_dropped_probe_frees_its_place(cx: Cx) -> Outcome {
    for figures in Figures::some(&cx) {
        let bench = Bench::half_open(&cx, figures).await?;
        // Dropped at its first await, and after some time; more often than there are places.
        for time in [0, 1, 1000, 0] {
            let hung = bench.breaker.call(|| async {
                cx.timeline().record("dependency", "called");
                sleep(ms(1)).await;
                pending::<Result<(), Trouble>>().await
            });
            let ended = match time {
                0 => poll_immediate(hung).await,
                time => timeout(ms(time), hung).await.ok(),
            };
            if let Some(ended) = ended {
                return Err(refused_after_a_drop(&bench, Got::of(ended)));
            }
            cx.timeline().record("the grader", "drops the probe");
        }
        let (before, got) = (bench.calls.get(), bench.end(Ok(())).await?);
        if bench.calls.get() == before {
            return Err(refused_after_a_drop(&bench, got));
        }
        // Nor does it take a success away.
        if let Some(needed) = closes_after(&cx, figures).await? {
            let bench = Bench::half_open(&cx, figures).await?;
            for _ in 0..needed {
                poll_immediate(bench.breaker.call(pending::<Result<(), Trouble>>)).await;
                let _ = bench.end(Ok(())).await?;
            }
            ensure_eq!(bench.breaker.state(), State::Closed, "the state after {needed} successes while half-open, with a dropped probe before each";
                help = "a dropped probe decides nothing: the count of successes stays as it is");
        }
    }
    Ok(())
}

/// A probe was dropped, and the next call is not let through.
fn refused_after_a_drop(bench: &Bench, got: Got) -> Fail {
    let (state, observed) = (bench.breaker.state(), bench.told(got));
    if state == State::Open {
        return Fail::new("after a probe was dropped, the breaker is open, and the next call is refused")
            .expected("half-open: a dropped call is neither a failure nor a success")
            .observed(observed)
            .help(
                "the destructor of the guard frees the place and counts the call as dropped; it reports no failure",
            );
    }
    Fail::new("after a probe was dropped, the next call does not reach the dependency")
        .expected("let through: the place of a probe is freed when its future is dropped")
        .observed(observed)
        .help(
            "free the place in a destructor: code after the await does not run when the future is dropped",
        )
}

/// How many successes close a half-open breaker when nothing comes between them: how many it must be is a criterion of
/// its own.
async fn closes_after(cx: &Cx, figures: Figures) -> Result<Option<u32>, Fail> {
    let bench = Bench::half_open(cx, figures).await?;
    for number in 1..=10 {
        let _ = bench.end(Ok(())).await?;
        if bench.breaker.state() == State::Closed {
            return Ok(Some(number));
        }
    }
    Ok(None)
}

/// Where a probe panics.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Where {
    BeforeTheFuture,
    AtOnce,
    Later,
    InItsDestructor,
    InTheClassifier,
}

/// No text: a panic may carry anything.
const BUG: Payload = Payload::Value(1);

/// Panics when it is dropped.
struct BadDrop;

impl Drop for BadDrop {
    fn drop(&mut self) {
        BUG.throw();
    }
}

pub async fn a_panicking_probe_frees_its_place(cx: Cx) -> Outcome {
    let cases = [
        (Where::Later, "after 10 ms"),
        (Where::AtOnce, "when it is polled first"),
        (Where::BeforeTheFuture, "in its closure, before there is a future"),
        (Where::InItsDestructor, "in the destructor of its future"),
        (Where::InTheClassifier, "in is_failure"),
    ];
    for (case, name) in cases {
        let bench = Bench::new(&cx, ASSIGNED)?;
        let bad = |trouble: &Trouble| match trouble {
            Trouble::Down => true,
            Trouble::Declined => BUG.throw(),
        };
        let config = BreakerConfig { is_failure: bad, ..ASSIGNED.config() };
        let Ok(breaker) = CircuitBreaker::new("payments", config) else { continue };
        let bench = Bench { breaker, ..bench };
        bench.trip().await?;
        bench.reset().await;
        // Twice: more often than there are places.
        for round in 1..=2 {
            let probe = bench.breaker.call(|| {
                cx.timeline().record("dependency", format!("is called, and panics {name}"));
                if case == Where::BeforeTheFuture {
                    BUG.throw();
                }
                async {
                    if case == Where::AtOnce {
                        BUG.throw();
                    }
                    let _bad = (case == Where::InItsDestructor).then(|| BadDrop);
                    sleep(ms(10)).await;
                    if case == Where::Later {
                        BUG.throw();
                    }
                    Err(Trouble::Declined)
                }
            });
            let caught = cx.call(NAME, AssertUnwindSafe(probe).catch_unwind()).await?.value;
            match &caught {
                Ok(Err(BreakerError::Open { .. })) if round == 2 => {
                    return Err(refused_after(name, bench.breaker.state()));
                }
                Ok(ended) => return Err(not_told(name, format!("{:?}", Got::of(*ended)))),
                Err(panic) if BUG.is_in(panic.as_ref()) => {}
                Err(_) => return Err(not_told(name, caught_as(&caught))),
            }
        }
        if !bench.lets_through().await? {
            return Err(refused_after(name, bench.breaker.state()));
        }
        ensure_eq!(bench.breaker.state(), State::HalfOpen, "the state after two probes that panicked {name} and a good one";
            help = "a panic is a bug of the program, and not a failure of the dependency: it decides nothing");
    }
    panics_while_closed(&cx).await
}

/// Panics are no failures of the dependency while the breaker is closed either, and no successes.
async fn panics_while_closed(cx: &Cx) -> Outcome {
    for figures in Figures::some(cx) {
        let (bench, most) = (Bench::new(cx, figures)?, figures.failures);
        let panics = async || {
            let call = bench.breaker.call(|| async { BUG.throw() as Result<(), Trouble> });
            cx.timeline().record("dependency", "panics");
            cx.call(NAME, AssertUnwindSafe(call).catch_unwind()).await
        };
        for _ in 0..=most {
            let _ = panics().await?.value;
        }
        ensure!(bench.lets_through().await?, "closed: {} calls that panicked have opened the breaker", most + 1;
            expected = "closed: a panic is neither a failure nor a success",
            help = "a panic is a bug of the caller's code and says nothing about the dependency");
        for _ in 1..most {
            let _ = bench.end(Err(Trouble::Down)).await?;
        }
        let _ = panics().await?.value;
        // Two, so that it makes no difference whether it opens at the last one or after it.
        let _ = bench.end(Err(Trouble::Down)).await?;
        let _ = bench.end(Err(Trouble::Down)).await?;
        ensure!(!bench.lets_through().await?, "closed: {} failures, a call that panicked and 2 failures have not opened the breaker", most - 1;
            expected = "open: a panic is no success either, so it does not end the row",
            help = "the destructor that counts a panicked or dropped call leaves the row of failures as it is: only a success ends it");
    }
    Ok(())
}

fn refused_after(name: &str, state: State) -> Fail {
    if state == State::Open {
        return Fail::new(format!("a probe has panicked {name}, and the breaker is open"))
            .expected("half-open: a panic is neither a failure nor a success")
            .help("decide how a call has ended when `is_failure` has returned; until then it decides nothing");
    }
    Fail::new(format!("after a probe has panicked {name}, the next call is refused"))
        .expected("the place of a probe is freed when the probe panics")
        .help(
            "free it in a destructor, of a guard made before the operation is called: a panic never gets to the \
             code after the await",
        )
}

fn not_told(name: &str, got: String) -> Fail {
    Fail::new(format!("a probe has panicked {name}, and its panic did not reach the caller"))
        .expected("the operation's own panic, with its payload")
        .observed(got)
        .help("a panic is a bug of the caller's code: let it through")
}

pub async fn a_business_error_decides_no_probe(cx: Cx) -> Outcome {
    for figures in Figures::some(&cx) {
        let bench = Bench::half_open(&cx, figures).await?;
        for _ in 0..figures.successes + 1 {
            let got = bench.end(Err(Trouble::Declined)).await?;
            ensure_eq!(got, Got::Failed(Trouble::Declined), "a probe after a declined one was not let through";
                help = "a probe that decides nothing must still free its place");
        }
        ensure_eq!(bench.breaker.state(), State::HalfOpen, "the state after {} declined probes", figures.successes + 1;
            help = "a decline neither closes nor opens it");
        // Nor does it take a success away.
        if let Some(needed) = closes_after(&cx, figures).await? {
            let bench = Bench::half_open(&cx, figures).await?;
            for number in 1..=needed {
                if number > 1 {
                    let _ = bench.end(Err(Trouble::Declined)).await?;
                }
                let _ = bench.end(Ok(())).await?;
            }
            ensure_eq!(bench.breaker.state(), State::Closed, "the state after {needed} successes while half-open, with a declined probe between each two";
                help = "a decline leaves the count of successes as it is");
        }
    }
    Ok(())
}
