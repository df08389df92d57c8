//! `breaker::CircuitBreaker`.

mod bench;
mod half_open;
mod late_probes;
mod long_ago;
mod seen;
mod threads;
mod window;

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::time::Duration;

use futures::future::{join, join_all};
use grader_kit::{Cx, Outcome, ensure, ensure_eq, ms};
use level3::breaker::{BreakerConfig, BreakerConfigError, CircuitBreaker, State, Trip};
use tokio::time::{sleep, timeout};

use crate::parts::nz;
use bench::{ASSIGNED, Bench, Figures, Got, NAME, Trouble, is_failure, made};
pub use half_open::{
    a_business_error_decides_no_probe, a_dropped_probe_frees_its_place, a_failed_probe_reopens,
    a_panicking_probe_frees_its_place, closes_at_the_second_success, closes_with_empty_counts,
    each_half_open_phase_counts_from_zero, one_probe_at_a_time,
    takes_no_place_before_its_first_poll,
};
use late_probes::Late;
pub use seen::{
    figures_add_up, listeners_may_call_the_breaker, survives_a_panicking_listener,
    the_snapshot_counts_down, watchers_see_each_change,
};
pub use threads::threads_share_one_breaker;
pub use window::{a_window_counts_despite_successes, the_window_slides};

pub async fn opens_at_the_fifth_failure(cx: Cx) -> Outcome {
    let [assigned, drawn] = Figures::some(&cx);
    // 300 are more than a byte counts.
    for figures in
        [assigned, drawn, Figures { failures: 1, ..drawn }, Figures { failures: 300, ..drawn }]
    {
        let (bench, most) = (Bench::new(&cx, figures)?, figures.failures);
        for number in 1..=most {
            ensure_eq!(bench.breaker.state(), State::Closed, "the state after {} failures in a row", number - 1;
                help = "the failure that opens the breaker is that of the configuration, not one before it");
            let got = bench.end(Err(Trouble::Down)).await?;
            ensure_eq!(got, Got::Failed(Trouble::Down), "call {number} did not return its error");
        }
        let got = bench.end(Ok(())).await?;
        ensure!(bench.calls.get() == most, "after {most} failures in a row a call still reaches the dependency";
            expected = format!("failure {most} opens the breaker; the next call is refused without running"),
            help = "compare with >=, and refuse before the operation is called");
        ensure!(matches!(got, Got::Refused(_)), "the refused call returned something else";
            expected = "BreakerError::Open", observed = format!("{got:?}"));
        ensure_eq!(bench.breaker.state(), State::Open, "the state is wrong");
    }
    Ok(())
}

pub async fn a_success_ends_the_row(cx: Cx) -> Outcome {
    for figures in Figures::some(&cx) {
        let (bench, most) = (Bench::new(&cx, figures)?, figures.failures);
        for round in 1..=5 {
            for _ in 0..most - 2 {
                let _ = bench.end(Err(Trouble::Down)).await?;
            }
            ensure!(bench.lets_through().await?, "refused after {} failures with a success after every {} of them", round * (most - 2), most - 2;
                expected = format!("closed: {most} failures *in a row* open it, and a success ends the row"),
                help = "a success sets the count of failures back to zero");
        }
    }
    Ok(())
}

pub async fn says_when_to_come_back(cx: Cx) -> Outcome {
    for figures in Figures::some_and_a_short_one(&cx) {
        let (bench, reset) = (Bench::opened(&cx, figures).await?, figures.reset);
        let pause = reset / 4;
        for gone in [0, pause, 2 * pause, 3 * pause] {
            let got = bench.end(Ok(())).await?;
            ensure_eq!(got, Got::Refused(ms(reset - gone)), "the refusal {gone} ms after the trip";
                help = "retry_after counts down to the end of the reset timeout");
            sleep(ms(pause)).await;
        }
    }
    Ok(())
}

pub async fn names_a_time_while_probing(cx: Cx) -> Outcome {
    for figures in Figures::some_and_a_short_one(&cx) {
        let bench = Bench::half_open(&cx, figures).await?;
        let others = async {
            let mut got = Vec::new();
            // Also when the probe has run for longer than the reset timeout.
            let quarter = figures.reset / 4;
            for pause in [quarter, quarter, quarter, quarter, 2 * quarter, 4 * quarter] {
                sleep(ms(pause)).await;
                got.push(bench.end(Ok(())).await?);
            }
            Ok(got)
        };
        let (probe, others) = join(bench.slow(3 * figures.reset, Ok(())), others).await;
        let _ = probe?;
        for got in others? {
            let Got::Refused(wait) = got else { continue };
            ensure!(!wait.is_zero() && wait <= ms(figures.reset), "a call while another one probes gets the wait {wait:?}";
                expected = "a time above zero, and at most the reset timeout",
                help = "no clock knows when the probe ends; a caller that obeys zero asks again at once, and spins: \
                        name the reset timeout, for which a failing probe keeps it open");
        }
    }
    Ok(())
}

pub async fn probes_after_the_reset_timeout(cx: Cx) -> Outcome {
    for figures in Figures::some_and_a_short_one(&cx) {
        let (bench, reset) = (Bench::new(&cx, figures)?, figures.reset);
        // Failures that take their time: it is open from the end of the one that trips it.
        // They end together, and one more than it takes: how many it takes is a criterion of its own.
        for got in
            join_all((0..=figures.failures).map(|_| bench.slow(700, Err(Trouble::Down)))).await
        {
            let _ = got?;
        }
        sleep(ms(reset / 2)).await;
        let _ = bench.end(Ok(())).await?;
        sleep(ms(reset - reset / 2 - 1)).await;
        ensure!(!bench.lets_through().await?, "a call is let through {} ms after the trip", reset - 1;
            expected = format!("refused until {reset} ms have passed since the failure that opened it"));
        sleep(ms(1)).await;
        ensure!(bench.lets_through().await?, "a call is refused {reset} ms after the trip";
            expected = format!("half-open from exactly {reset} ms on: elapsed >= reset_timeout"),
            help = "a refused call must not move the end of the open time; and read tokio's clock, std's \
                    does not see virtual time");
    }
    Ok(())
}

pub async fn shows_half_open_without_a_call(cx: Cx) -> Outcome {
    for figures in Figures::some_and_a_short_one(&cx) {
        let (bench, reset) = (Bench::opened(&cx, figures).await?, figures.reset);
        sleep(ms(reset - 1)).await;
        ensure_eq!(bench.breaker.state(), State::Open, "state() {} ms after the trip", reset - 1);
        sleep(ms(2)).await;
        let state = cx.call_fn("CircuitBreaker::state", || bench.breaker.state()).await?;
        ensure_eq!(state, State::HalfOpen, "state() {} ms after the trip, without a call since", reset + 1;
            help = "let state() look at the clock as call() does");
    }
    Ok(())
}

pub async fn a_dropped_caller_is_no_failure(cx: Cx) -> Outcome {
    for figures in Figures::some(&cx) {
        let (bench, most) = (Bench::new(&cx, figures)?, figures.failures);
        let leave = async || {
            let call = bench.breaker.call(pending::<Result<(), Trouble>>);
            let gone = timeout(ms(100), call).await.is_err();
            cx.timeline().record("the grader", "drops a call");
            gone
        };
        for _ in 0..=most {
            if !leave().await {
                // Refused: the breaker has opened.
                break;
            }
        }
        ensure!(bench.lets_through().await?, "{} callers that went away have opened the breaker", most + 1;
            expected = "a dropped call is neither a failure nor a success",
            help = "six closed browser windows say nothing about the dependency");
        for _ in 1..most {
            let _ = bench.end(Err(Trouble::Down)).await?;
        }
        leave().await;
        // Two, so that it makes no difference whether it opens at the last one or after it.
        let _ = bench.end(Err(Trouble::Down)).await?;
        let _ = bench.end(Err(Trouble::Down)).await?;
        ensure!(!bench.lets_through().await?, "{} failures, a caller that went away and 2 failures have not opened the breaker", most - 1;
            expected = "open: a dropped call is no success either, so it does not end the row",
            help = "the destructor that counts a dropped call leaves the row of failures as it is: only a success ends it");
    }
    Ok(())
}

pub async fn late_failures_decide_nothing(cx: Cx) -> Outcome {
    for figures in Figures::some(&cx) {
        let (bench, reset) = (Bench::new(&cx, figures)?, figures.reset);
        let late = |length| bench.slow(length, Err(Trouble::Down));
        let script = async {
            sleep(ms(1)).await;
            bench.trip().await?;
            // The first late failure comes while open, the second one while half-open.
            sleep(ms(reset + 1)).await;
            ensure!(bench.lets_through().await?, "{reset} ms after the trip a call is refused: a call from before it has failed at {} ms", reset / 2;
                expected = format!("half-open {reset} ms after the trip"),
                help = "a failure while open does not begin the open time again");
            sleep(ms(1500)).await;
            ensure!(bench.lets_through().await?, "while the breaker was half-open, a call from before the trip failed, and after that a call is refused";
                expected = "let through: that failure decides nothing, and the breaker is half-open still",
                help = "only a probe's failure opens it again: remember with each call in which state it was \
                        let in (a generation number), and ignore the others");
            Ok(())
        };
        let (first, second, outcome) = futures::join!(late(reset / 2), late(reset + 1000), script);
        let _ = first?;
        let _ = second?;
        outcome?;
    }
    let lates = [
        Late::Ends(Err(Trouble::Down)),
        Late::Dropped,
        Late::Panics,
        Late::Ends(Err(Trouble::Declined)),
    ];
    for late in lates {
        late_probes::free_no_place(&cx, late).await?;
        late_probes::decide_nothing(&cx, late).await?;
    }
    long_ago::late_failures_decide_nothing(&cx).await
}

pub async fn late_successes_decide_nothing(cx: Cx) -> Outcome {
    for figures in Figures::some(&cx) {
        let (bench, reset) = (Bench::new(&cx, figures)?, figures.reset);
        let late = |length| bench.slow(length, Ok(()));
        let script = async {
            sleep(ms(1)).await;
            bench.trip().await?;
            let two_thirds = reset * 2 / 3;
            sleep(ms(two_thirds)).await;
            ensure!(!bench.lets_through().await?, "while the breaker was open, a call from before the trip succeeded, and after that a call is let through";
                expected = format!("open for {reset} ms"));
            sleep(ms(reset - two_thirds + 1)).await;
            let (probe, outcome) = join(bench.slow(5000, Err(Trouble::Down)), async {
                sleep(ms(3000)).await;
                ensure_eq!(bench.breaker.state(), State::HalfOpen,
                    "the state while a probe is on its way, after two calls from before the trip have succeeded";
                    help = "they say how the dependency was then: remember with each call in which state it \
                            was let in (a generation number), and ignore the others");
                Ok(())
            })
            .await;
            let _ = probe?;
            outcome
        };
        let lates = futures::future::join3(late(reset / 2), late(reset + 1000), late(reset + 2000));
        let ((first, second, third), outcome) = join(lates, script).await;
        let _ = first?;
        let _ = second?;
        let _ = third?;
        outcome?;
    }
    late_probes::free_no_place(&cx, Late::Ends(Ok(()))).await?;
    late_probes::decide_nothing(&cx, Late::Ends(Ok(()))).await
}

pub async fn business_errors_are_neutral(cx: Cx) -> Outcome {
    for figures in Figures::some(&cx) {
        let (bench, most) = (Bench::new(&cx, figures)?, figures.failures);
        for _ in 0..=most {
            let got = bench.end(Err(Trouble::Declined)).await?;
            ensure!(got == Got::Failed(Trouble::Declined), "{} declined cards have opened the breaker, or a decline got lost", most + 1;
                expected = "a decline passes through", observed = format!("{got:?}"),
                help = "ask is_failure before you count");
        }
        for _ in 1..most {
            let _ = bench.end(Err(Trouble::Down)).await?;
        }
        let _ = bench.end(Err(Trouble::Declined)).await?;
        // Two, so that it makes no difference whether it opens at the last one or after it.
        let _ = bench.end(Err(Trouble::Down)).await?;
        let _ = bench.end(Err(Trouble::Down)).await?;
        ensure!(!bench.lets_through().await?, "{} failures, a decline and 2 failures have not opened the breaker", most - 1;
            expected = "open: a decline is no success either, so it does not end the row");
    }
    Ok(())
}

pub async fn falls_back_only_while_open(cx: Cx) -> Outcome {
    for figures in Figures::some(&cx) {
        let bench = Bench::new(&cx, figures)?;
        let asked = RefCell::new(Vec::new());
        let ask = |answer: Result<Option<u32>, Trouble>| {
            let fallback = |wait: Duration| {
                asked.borrow_mut().push(wait);
                None
            };
            cx.call(
                "CircuitBreaker::call_or",
                bench.breaker.call_or(move || async move { answer }, fallback),
            )
        };
        ensure_eq!(ask(Ok(Some(1))).await?.value, Ok(Some(1)), "a success while closed");
        for trouble in [Trouble::Down, Trouble::Declined] {
            ensure_eq!(ask(Err(trouble)).await?.value, Err(trouble), "an error while closed";
                help = "the fallback stands in for a refused call, it does not hide errors");
        }
        bench.trip().await?;
        let gone = figures.reset / 6;
        sleep(ms(gone)).await;
        let before = bench.breaker.snapshot();
        ensure_eq!(ask(Ok(Some(1))).await?.value, Ok(None), "a call while open did not return the fallback's value";
            help = "None, 0 and an empty text are values too");
        ensure!(asked.borrow().len() == 1, "the fallback was called {} times", asked.borrow().len();
            expected = "once, for the refused call");
        let after = bench.breaker.snapshot();
        let more = (after.refused - before.refused, after.calls - before.calls);
        ensure!(more == (1, 1), "a call that was refused, and has its fallback's value, is not counted";
            expected = "1 more in `refused`, and 1 more in `calls`",
            observed = format!("{} more, and {} more", more.0, more.1),
            help = "`call_or` is `call` with another answer for a refusal: let `call` refuse and count");
        let wait = asked.borrow()[0];
        ensure!(!wait.is_zero() && wait <= ms(figures.reset), "{gone} ms after the trip, the time that the fallback was given is {wait:?}";
            expected = "`retry_after` of the refusal");
        ensure_eq!(bench.breaker.snapshot().ok, 1, "successes in the snapshot, after a success and a fallback";
            help = "a fallback's value is no success of the dependency");
    }
    falls_back_while_probing(&cx).await
}

/// Half-open, with a probe on its way, the others are refused too.
async fn falls_back_while_probing(cx: &Cx) -> Outcome {
    for figures in Figures::some(cx) {
        let bench = Bench::half_open(cx, figures).await?;
        let others = async {
            sleep(ms(figures.reset / 2)).await;
            let refused = bench.end(Ok(())).await?;
            let given = Cell::new(None);
            let fallback = |wait: Duration| {
                given.set(Some(wait));
                None
            };
            let call = bench.breaker.call_or(|| async { Ok(Some(1)) }, fallback);
            let got = cx.call("CircuitBreaker::call_or", call).await?.value;
            Ok((refused, got, given.get()))
        };
        let (probe, others) = join(bench.slow(figures.reset, Ok(())), others).await;
        let _ = probe?;
        let (refused, got, given) = others?;
        let is_time = |wait: Duration| !wait.is_zero() && wait <= ms(figures.reset);
        // Whether `call` refuses it, and with which time, are criteria of their own.
        if !matches!(refused, Got::Refused(wait) if is_time(wait)) {
            continue;
        }
        ensure!(
            got == Ok(None) && given.is_some_and(is_time),
            "half-open, a probe is on its way, and another call has a fallback: the fallback is given {given:?}, and the call returns {got:?}";
            expected = format!("the time that the refusal names, above zero and at most {} ms, and the fallback's value", figures.reset),
            observed = format!("`call` is refused at the same time with {refused:?}"),
            help = "pass on `retry_after` of BreakerError::Open: the snapshot's is zero unless the breaker is open"
        );
    }
    Ok(())
}

pub async fn takes_any_figures(cx: Cx) -> Outcome {
    let largest = BreakerConfig {
        trip: Trip::InWindow { failures: nz(u32::MAX), window: Duration::MAX },
        reset_timeout: Duration::MAX,
        probes: std::num::NonZeroUsize::MAX,
        successes_to_close: nz(u32::MAX),
        is_failure,
    };
    let breaker =
        cx.call_fn("CircuitBreaker::new", || CircuitBreaker::new("payments", largest)).await?;
    let Ok(breaker) = breaker else {
        return Err(grader_kit::Fail::new("CircuitBreaker::new refuses the largest figures"));
    };
    let calls = async {
        for _ in 0..1000 {
            let _ = breaker.call(|| async { Err::<(), _>(Trouble::Down) }).await;
        }
    };
    cx.call(NAME, calls).await?;
    ensure_eq!(breaker.state(), State::Closed, "the state after 1000 failures of {}", u32::MAX);
    // A window that never ends forgets nothing.
    let endless = Trip::InWindow { failures: nz(3), window: Duration::MAX };
    let breaker = made(BreakerConfig { trip: endless, ..ASSIGNED.config() })?;
    for (number, expected) in [(1, State::Closed), (2, State::Closed), (3, State::Open)] {
        sleep(ms(900_000)).await;
        let call = breaker.call(|| async { Err::<(), _>(Trouble::Down) });
        let _ = cx.call(NAME, call).await?;
        ensure_eq!(breaker.state(), expected, "the state after failure {number} of 3 within a window of Duration::MAX";
            help = "compare ages with the window: `now - window` is before the first instant that the clock has");
    }
    // Open without an end: the time to wait is as long as the clock can say.
    let long = Figures { failures: 1, ..ASSIGNED };
    let config = BreakerConfig { reset_timeout: Duration::MAX, ..long.config() };
    let breaker = made(config)?;
    for seconds in [0, 1, 500] {
        sleep(Duration::from_secs(seconds)).await;
        let call = breaker.call(|| async { Err::<(), _>(Trouble::Down) });
        let _ = cx.call(NAME, call).await?;
    }
    let call = cx.call(NAME, breaker.call(|| async { Ok(()) })).await?;
    let got = Got::of(call.value);
    ensure!(matches!(got, Got::Refused(wait) if wait > Duration::from_secs(365 * 86_400)),
        "a breaker that is open for Duration::MAX: a call gets {got:?} after 501 s";
        expected = "refused, for longer than a year",
        help = "`Instant + Duration` panics when the clock cannot express it: compare the age with the timeout instead");
    let state = cx.call_fn("CircuitBreaker::snapshot", || breaker.snapshot().state).await?;
    ensure_eq!(state, State::Open, "the state of a breaker that is open for Duration::MAX");
    Ok(())
}

pub async fn each_breaker_has_a_state_of_its_own(cx: Cx) -> Outcome {
    let [assigned, drawn] = Figures::some(&cx);
    // Both are called "payments".
    let benches = [Bench::new(&cx, assigned)?, Bench::new(&cx, drawn)?, Bench::new(&cx, assigned)?];
    let [one, other, third] = &benches;
    one.trip().await?;
    ensure!(other.lets_through().await? && third.lets_through().await?, "a breaker refuses calls after another one has opened";
        expected = "each dependency has a breaker of its own, whatever its name",
        help = "keep the state in the struct, not in a static");
    for _ in 2..assigned.failures {
        let _ = third.end(Err(Trouble::Down)).await?;
        let _ = other.end(Ok(())).await?;
    }
    ensure!(third.breaker.snapshot().failures == assigned.failures - 2, "a success of one dependency ends the row of failures of another one";
        expected = format!("{} failures in a row", assigned.failures - 2), observed = format!("{}", third.breaker.snapshot().failures));
    Ok(())
}

pub async fn presets_are_those_of_the_course(cx: Cx) -> Outcome {
    let presets = || [BreakerConfig::payment(is_failure), BreakerConfig::windowed(is_failure)];
    let [payment, windowed] = cx.call_fn("BreakerConfig::payment", presets).await?;
    let of = |config: &BreakerConfig<Trouble>| {
        let (failures, window) = match config.trip {
            Trip::Consecutive(failures) => (failures.get(), None),
            Trip::InWindow { failures, window } => (failures.get(), Some(window)),
        };
        let (probes, successes) = (config.probes.get(), config.successes_to_close.get());
        (failures, window, config.reset_timeout, probes, successes)
    };
    ensure_eq!(
        of(&payment),
        (5, None, ms(60_000), 1, 2),
        "BreakerConfig::payment: failures, window, reset timeout, probes, successes"
    );
    ensure_eq!(
        of(&windowed),
        (5, Some(ms(60_000)), ms(30_000), 1, 3),
        "BreakerConfig::windowed: failures, window, reset timeout, probes, successes"
    );
    let judges = [payment, windowed].map(|config| {
        ((config.is_failure)(&Trouble::Down), (config.is_failure)(&Trouble::Declined))
    });
    ensure_eq!(judges, [(true, false); 2], "what `is_failure` of the two says of a failure and of a decline";
        help = "it is the function that the caller passes in");
    Ok(())
}

pub async fn refuses_times_of_zero(cx: Cx) -> Outcome {
    let drawn = cx.draw().between(1..=100_000);
    let window = |window| Trip::InWindow { failures: nz(5), window };
    let shortest = Duration::from_nanos(1);
    let bad = [
        (
            "a reset timeout of zero",
            BreakerConfig { reset_timeout: ms(0), ..ASSIGNED.config() },
            "ZeroResetTimeout",
        ),
        (
            "a window of zero",
            BreakerConfig { trip: window(ms(0)), ..ASSIGNED.config() },
            "ZeroWindow",
        ),
        (
            "a window of zero",
            BreakerConfig { trip: window(ms(0)), reset_timeout: ms(drawn), ..ASSIGNED.config() },
            "ZeroWindow",
        ),
    ];
    for (what, config, expected) in bad {
        let made = cx.call_fn("CircuitBreaker::new", || CircuitBreaker::new("x", config)).await?;
        let said = match made {
            Ok(_) => None,
            Err(BreakerConfigError::ZeroResetTimeout) => Some("ZeroResetTimeout"),
            Err(BreakerConfigError::ZeroWindow) => Some("ZeroWindow"),
        };
        ensure!(said.is_some(), "CircuitBreaker::new accepts {what}"; expected = "a BreakerConfigError");
        ensure!(said == Some(expected), "{what} is refused with another error"; expected = expected, observed = said.unwrap_or_default());
    }
    made(ASSIGNED.config())?;
    made(BreakerConfig { trip: window(shortest), reset_timeout: shortest, ..ASSIGNED.config() })?;
    Ok(())
}

/// What the report shows of it.
pub mod scenes {
    use grader_kit::figure::Change;
    use grader_kit::{Cx, Figure, Outcome, ms};
    use level3::breaker::State;
    use tokio::time::sleep;

    use super::bench::{ASSIGNED, Bench, Trouble};

    /// Between two calls, in milliseconds.
    const STEP: u64 = 2000;
    /// Calls in all: three minutes.
    const CALLS: u64 = 90;

    const fn name(state: State) -> &'static str {
        match state {
            State::Closed => "closed",
            State::Open => "open",
            State::HalfOpen => "half-open",
        }
    }

    /// The dependency is down from 20 s to 100 s. The state is read before and after each call.
    pub async fn outage(cx: Cx) -> Outcome {
        let bench = Bench::new(&cx, ASSIGNED)?;
        let mut changes: Vec<Change> = Vec::new();
        let mut at = 0;
        for _ in 0..CALLS {
            let down = (20_000..100_000).contains(&at);
            see(&mut changes, at, bench.breaker.state());
            let _ = bench.end(if down { Err(Trouble::Down) } else { Ok(()) }).await?;
            see(&mut changes, at, bench.breaker.state());
            sleep(ms(STEP)).await;
            at += STEP;
        }
        cx.show(Figure::States { changes, end_us: at * 1000 });
        Ok(())
    }

    fn see(changes: &mut Vec<Change>, at: u64, state: State) {
        let state = name(state).to_owned();
        if changes.last().is_none_or(|last| last.state != state) {
            changes.push(Change { at_us: at * 1000, state });
        }
    }
}
