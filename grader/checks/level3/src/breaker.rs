//! `breaker::CircuitBreaker`.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{join, join_all};
use grader_kit::{Cx, Fail, Outcome, ensure, ensure_eq, ms};
use level3::breaker::{BreakerConfig, BreakerError, CircuitBreaker, State, Trip};
use tokio::time::{sleep, timeout};

use crate::parts::{nz, nzu};

const NAME: &str = "CircuitBreaker::call";

/// What a dependency answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// It is down: a failure.
    Down,
    /// The card was declined: nothing that the breaker minds.
    Declined,
}

type Breaker = CircuitBreaker<Trouble>;
type Ended = Result<(), BreakerError<Trouble>>;

fn is_failure(trouble: &Trouble) -> bool {
    *trouble == Trouble::Down
}

/// 5 in a row, 60 s, one probe at a time, 2 successes.
fn config() -> BreakerConfig<Trouble> {
    BreakerConfig {
        trip: Trip::Consecutive(nz(5)),
        reset_timeout: ms(60_000),
        probes: nzu(1),
        successes_to_close: nz(2),
        is_failure,
    }
}

fn made(config: BreakerConfig<Trouble>) -> Result<Breaker, Fail> {
    CircuitBreaker::new("payments", config).map_err(|error| {
        Fail::new("CircuitBreaker::new refuses a valid configuration").observed(error.to_string())
    })
}

/// A dependency behind a breaker.
struct Bench {
    cx: Cx,
    breaker: Breaker,
    calls: Cell<u32>,
}

impl Bench {
    fn new(cx: &Cx) -> Result<Self, Fail> {
        Self::with(cx, config())
    }

    fn with(cx: &Cx, config: BreakerConfig<Trouble>) -> Result<Self, Fail> {
        Ok(Self { cx: cx.clone(), breaker: made(config)?, calls: Cell::new(0) })
    }

    /// A breaker that five failures have opened.
    async fn opened(cx: &Cx) -> Result<Self, Fail> {
        let bench = Self::new(cx)?;
        bench.trip().await?;
        Ok(bench)
    }

    /// A breaker that is half-open.
    async fn half_open(cx: &Cx) -> Result<Self, Fail> {
        let bench = Self::opened(cx).await?;
        sleep(ms(60_001)).await;
        Ok(bench)
    }

    /// Six failures in a row: more than it takes, since how many exactly is a criterion of its own.
    async fn trip(&self) -> Result<(), Fail> {
        for _ in 0..6 {
            let _ = self.end(Err(Trouble::Down)).await?;
        }
        Ok(())
    }

    /// One call that ends at once.
    async fn end(&self, answer: Result<(), Trouble>) -> Result<Ended, Fail> {
        self.slow(0, answer).await
    }

    /// One call that ends after `length` milliseconds.
    async fn slow(&self, length: u64, answer: Result<(), Trouble>) -> Result<Ended, Fail> {
        let call = self.breaker.call(|| async {
            self.calls.set(self.calls.get() + 1);
            self.cx.timeline().record("dependency", "called");
            if length > 0 {
                sleep(ms(length)).await;
            }
            let says = match answer {
                Ok(()) => "answers",
                Err(Trouble::Down) => "fails",
                Err(Trouble::Declined) => "declines",
            };
            self.cx.timeline().record("dependency", says);
            answer
        });
        let ended = self.cx.call(NAME, call).await?.value;
        if let Err(BreakerError::Open { retry_after }) = &ended {
            let wait = retry_after.as_millis();
            self.cx.timeline().record("breaker", format!("refuses, for another {wait} ms"));
        }
        Ok(ended)
    }

    /// Whether a call that would succeed is let through.
    async fn lets_through(&self) -> Result<bool, Fail> {
        let before = self.calls.get();
        let _ = self.end(Ok(())).await?;
        Ok(self.calls.get() > before)
    }
}

pub async fn opens_at_the_fifth_failure(cx: Cx) -> Outcome {
    let bench = Bench::new(&cx)?;
    for number in 1..=5 {
        ensure_eq!(bench.breaker.state(), State::Closed, "the state after {} failures in a row", number - 1;
            help = "the 5th failure opens the breaker, not one before");
        let ended = bench.end(Err(Trouble::Down)).await?;
        ensure_eq!(
            ended,
            Err(BreakerError::Inner(Trouble::Down)),
            "call {number} did not return its error"
        );
    }
    let ended = bench.end(Ok(())).await?;
    ensure!(bench.calls.get() == 5, "after 5 failures in a row a call still reaches the dependency";
        expected = "the 5th failure opens the breaker; the next call is refused without running",
        help = "compare with >=, and refuse before the operation is called");
    ensure!(matches!(ended, Err(BreakerError::Open { .. })), "the refused call returned something else";
        expected = "BreakerError::Open", observed = format!("{ended:?}"));
    ensure_eq!(bench.breaker.state(), State::Open, "the state is wrong");
    Ok(())
}

pub async fn a_success_ends_the_row(cx: Cx) -> Outcome {
    let bench = Bench::new(&cx)?;
    for round in 1..=5 {
        for _ in 0..3 {
            let _ = bench.end(Err(Trouble::Down)).await?;
        }
        ensure!(bench.lets_through().await?, "refused after {} failures with a success after every third", round * 3;
            expected = "closed: 5 failures *in a row* open it, and a success ends the row",
            help = "a success sets the count of failures back to zero");
    }
    Ok(())
}

pub async fn says_when_to_come_back(cx: Cx) -> Outcome {
    let bench = Bench::opened(&cx).await?;
    for left in [60_000, 45_000, 30_000, 15_000] {
        let ended = bench.end(Ok(())).await?;
        let expected = BreakerError::Open { retry_after: ms(left) };
        ensure_eq!(ended, Err(expected), "the refusal {} ms after the trip", 60_000 - left;
            help = "retry_after counts down to the end of the reset timeout");
        sleep(ms(15_000)).await;
    }
    Ok(())
}

pub async fn probes_after_the_reset_timeout(cx: Cx) -> Outcome {
    let bench = Bench::opened(&cx).await?;
    sleep(ms(59_999)).await;
    ensure!(!bench.lets_through().await?, "a call is let through 59 999 ms after the trip";
        expected = "refused until 60 000 ms have passed");
    sleep(ms(1)).await;
    ensure!(bench.lets_through().await?, "a call is refused 60 000 ms after the trip";
        expected = "half-open from exactly 60 000 ms on: elapsed >= reset_timeout",
        help = "a refused call must not move the end of the open time; and read tokio's clock, std's \
                does not see virtual time");
    Ok(())
}

pub async fn shows_half_open_without_a_call(cx: Cx) -> Outcome {
    let bench = Bench::opened(&cx).await?;
    sleep(ms(59_000)).await;
    ensure_eq!(bench.breaker.state(), State::Open, "state() 59 s after the trip");
    sleep(ms(1001)).await;
    let state = cx.call_fn("CircuitBreaker::state", || bench.breaker.state()).await?;
    ensure_eq!(state, State::HalfOpen, "state() 60 001 ms after the trip, without a call since";
        help = "let state() look at the clock as call() does");
    Ok(())
}

pub async fn one_probe_at_a_time(cx: Cx) -> Outcome {
    let bench = Bench::half_open(&cx).await?;
    let before = bench.calls.get();
    let calls = (0..20).map(|_| bench.slow(1000, Ok(())));
    let ended = join_all(calls).await.into_iter().collect::<Result<Vec<_>, _>>()?;
    let through = bench.calls.get() - before;
    ensure!(through == 1, "{through} of 20 calls at once reach the half-open dependency";
        expected = "1: the others are refused while the probe is on its way",
        help = "count probes when they start, not when they end; give the place back when they end");
    let refused = ended.iter().filter(|e| matches!(e, Err(BreakerError::Open { .. }))).count();
    ensure!(refused == 19, "{refused} calls were refused"; expected = "19");
    Ok(())
}

pub async fn a_failed_probe_reopens(cx: Cx) -> Outcome {
    let bench = Bench::half_open(&cx).await?;
    for successes in [0, 1] {
        for _ in 0..successes {
            let _ = bench.end(Ok(())).await?;
        }
        let _ = bench.end(Err(Trouble::Down)).await?;
        ensure!(!bench.lets_through().await?, "after {successes} good probe(s) and a failed one, a call is let through";
            expected = "any failure while half-open opens it again",
            help = "do not count failures while half-open: one is enough");
        sleep(ms(59_000)).await;
        ensure!(!bench.lets_through().await?, "59 s after a failed probe a call is let through";
            expected = "open for the full 60 s again");
        sleep(ms(1001)).await;
    }
    Ok(())
}

pub async fn closes_at_the_second_success(cx: Cx) -> Outcome {
    let bench = Bench::half_open(&cx).await?;
    let _ = bench.end(Ok(())).await?;
    ensure_eq!(bench.breaker.state(), State::HalfOpen, "the state after one good probe");
    let _ = bench.end(Ok(())).await?;
    ensure_eq!(bench.breaker.state(), State::Closed, "the state after two good probes");
    let through = join_all((0..3).map(|_| bench.slow(10, Ok(())))).await;
    let through = through.into_iter().collect::<Result<Vec<_>, _>>()?;
    ensure!(through.iter().all(Result::is_ok), "calls are refused after it has closed");
    Ok(())
}

pub async fn closes_with_empty_counts(cx: Cx) -> Outcome {
    let bench = Bench::half_open(&cx).await?;
    // As many good probes as it takes: how many is a criterion of its own.
    for _ in 0..10 {
        let _ = bench.end(Ok(())).await?;
        if bench.breaker.state() == State::Closed {
            break;
        }
    }
    // Whether a success ends a row of failures is one, too: none comes between these.
    for number in 1..=3 {
        let _ = bench.end(Err(Trouble::Down)).await?;
        ensure_eq!(bench.breaker.state(), State::Closed, "the state at failure {number} after it has closed";
            help = "closing forgets the failures from before the trip");
    }
    // At which failure it opens is a criterion of its own, too.
    for _ in 4..=10 {
        let _ = bench.end(Err(Trouble::Down)).await?;
    }
    ensure!(bench.breaker.state() != State::Closed, "10 failures in a row do not open it a second time";
        help = "a breaker that has closed is as good as new: what calls are told when they are let in has to fit \
                the state that it is in now");
    Ok(())
}

pub async fn every_half_open_time_counts_anew(cx: Cx) -> Outcome {
    let bench = Bench::half_open(&cx).await?;
    let _ = bench.end(Ok(())).await?;
    let _ = bench.end(Err(Trouble::Down)).await?;
    sleep(ms(60_001)).await;
    let _ = bench.end(Ok(())).await?;
    ensure_eq!(bench.breaker.state(), State::HalfOpen, "the state after a success, a failure, 60 s and a success";
        help = "the success before the failed probe does not count any more: set the count back when the \
                state changes");
    Ok(())
}

pub async fn a_dropped_probe_frees_its_place(cx: Cx) -> Outcome {
    let bench = Bench::half_open(&cx).await?;
    let hung = bench.breaker.call(|| async {
        cx.timeline().record("dependency", "called");
        pending::<Result<(), Trouble>>().await
    });
    ensure!(timeout(ms(1000), hung).await.is_err(), "a call that hangs has ended");
    cx.timeline().record("the grader", "drops the probe");
    ensure!(bench.lets_through().await?, "after a probe was dropped, the next call is refused";
        expected = "the place of a probe is given back when its future is dropped",
        help = "give it back from a destructor: code after the await does not run when the future is \
                dropped");
    Ok(())
}

pub async fn a_panicking_probe_frees_its_place(cx: Cx) -> Outcome {
    let bench = Bench::half_open(&cx).await?;
    let probe = bench.breaker.call(|| async {
        cx.timeline().record("dependency", "panics");
        sleep(ms(10)).await;
        panic!("a probe with a bug");
        #[expect(unreachable_code, reason = "says which type the future has")]
        Ok::<(), Trouble>(())
    });
    let caught = AssertUnwindSafe(probe).catch_unwind().await;
    ensure!(caught.is_err(), "the operation's panic did not reach the caller");
    ensure!(bench.lets_through().await?, "after a probe has panicked, the next call is refused";
        expected = "the place of a probe is given back when it panics",
        help = "give it back from a destructor: a panic never gets to the code after the await");
    Ok(())
}

pub async fn a_gone_caller_is_no_failure(cx: Cx) -> Outcome {
    let bench = Bench::new(&cx)?;
    for _ in 0..6 {
        let call = bench.breaker.call(pending::<Result<(), Trouble>>);
        if timeout(ms(100), call).await.is_ok() {
            // Refused: the breaker has opened.
            break;
        }
        cx.timeline().record("the grader", "drops a call");
    }
    ensure!(bench.lets_through().await?, "6 callers that went away have opened the breaker";
        expected = "a dropped call is neither a failure nor a success",
        help = "six closed browser windows say nothing about the dependency");
    Ok(())
}

pub async fn late_failures_decide_nothing(cx: Cx) -> Outcome {
    let bench = Bench::new(&cx)?;
    let late = |length| bench.slow(length, Err(Trouble::Down));
    let script = async {
        sleep(ms(1)).await;
        bench.trip().await?;
        // The first late failure comes at 30 s, while open, the second one at 61 s.
        sleep(ms(60_001)).await;
        ensure!(bench.lets_through().await?, "60 s after the trip a call is refused: a call from before it has failed at 30 s";
            expected = "half-open 60 s after the trip",
            help = "a failure while open does not begin the open time anew");
        sleep(ms(1500)).await;
        ensure!(bench.lets_through().await?, "half-open, a call from before the trip has failed, and now a call is refused";
            expected = "half-open still: the probe has succeeded",
            help = "only a probe's failure opens it again: remember with each call in which state it was \
                    let in (a generation number), and ignore the others");
        Ok(())
    };
    let (first, second, outcome) = futures::join!(late(30_000), late(61_000), script);
    let _ = first?;
    let _ = second?;
    outcome
}

pub async fn late_successes_decide_nothing(cx: Cx) -> Outcome {
    let bench = Bench::new(&cx)?;
    let late = |length| bench.slow(length, Ok(()));
    let script = async {
        sleep(ms(1)).await;
        bench.trip().await?;
        sleep(ms(40_000)).await;
        ensure!(!bench.lets_through().await?, "open, a call from before the trip has succeeded, and now a call is let through";
            expected = "open for 60 s");
        sleep(ms(20_001)).await;
        let (probe, outcome) = join(bench.slow(5000, Err(Trouble::Down)), async {
            sleep(ms(3000)).await;
            ensure_eq!(bench.breaker.state(), State::HalfOpen,
                "half-open, a probe is on its way, and two calls from before the trip have succeeded";
                help = "they say how the dependency was then: remember with each call in which state it \
                        was let in (a generation number), and ignore the others");
            Ok(())
        })
        .await;
        let _ = probe?;
        outcome
    };
    let (first, second, third, outcome) =
        futures::join!(late(30_000), late(61_000), late(62_000), script);
    let _ = first?;
    let _ = second?;
    let _ = third?;
    outcome
}

pub async fn business_errors_are_neutral(cx: Cx) -> Outcome {
    let bench = Bench::new(&cx)?;
    for _ in 0..6 {
        let ended = bench.end(Err(Trouble::Declined)).await?;
        ensure!(ended == Err(BreakerError::Inner(Trouble::Declined)), "6 declined cards have opened the breaker, or a decline got lost";
            expected = "a decline passes through", observed = format!("{ended:?}"),
            help = "ask is_failure before you count");
    }
    for _ in 0..4 {
        let _ = bench.end(Err(Trouble::Down)).await?;
    }
    let _ = bench.end(Err(Trouble::Declined)).await?;
    // Two, so that it makes no difference whether it opens at the fifth or after it.
    let _ = bench.end(Err(Trouble::Down)).await?;
    let _ = bench.end(Err(Trouble::Down)).await?;
    ensure!(!bench.lets_through().await?, "4 failures, a decline and 2 failures have not opened the breaker";
        expected = "open: a decline is no success either, so it does not end the row");
    Ok(())
}

pub async fn a_business_error_decides_no_probe(cx: Cx) -> Outcome {
    let bench = Bench::half_open(&cx).await?;
    for _ in 0..3 {
        let ended = bench.end(Err(Trouble::Declined)).await?;
        ensure_eq!(ended, Err(BreakerError::Inner(Trouble::Declined)), "a probe after a declined one was not let through";
            help = "a probe that decides nothing must give its place back all the same");
    }
    ensure_eq!(bench.breaker.state(), State::HalfOpen, "the state after three declined probes";
        help = "a decline neither closes nor opens it");
    Ok(())
}

pub async fn falls_back_only_while_open(cx: Cx) -> Outcome {
    let bench = Bench::new(&cx)?;
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
    ensure_eq!(ask(Err(Trouble::Down)).await?.value, Err(Trouble::Down), "an error while closed";
        help = "the fallback stands in for a refused call, it does not hide errors");
    bench.trip().await?;
    sleep(ms(10_000)).await;
    ensure_eq!(ask(Ok(Some(1))).await?.value, Ok(None), "a call while open did not return the fallback's value";
        help = "None, 0 and an empty text are values too");
    ensure!(asked.borrow().len() == 1, "the fallback was called {} times", asked.borrow().len();
        expected = "once, for the refused call");
    Ok(())
}

fn windowed(cx: &Cx) -> Result<Bench, Fail> {
    let trip = Trip::InWindow { failures: nz(5), window: ms(60_000) };
    Bench::with(cx, BreakerConfig { trip, ..config() })
}

pub async fn a_window_counts_despite_successes(cx: Cx) -> Outcome {
    let bench = windowed(&cx)?;
    for number in 1..=5 {
        ensure!(bench.lets_through().await?, "refused after {} failures within the window", number - 1;
            expected = "closed until the 5th");
        let _ = bench.end(Err(Trouble::Down)).await?;
        sleep(ms(100)).await;
    }
    ensure!(!bench.lets_through().await?, "5 failures within half a second, with successes between them, have not opened the breaker";
        expected = "open at the 5th failure within 60 s: a success takes none away");
    Ok(())
}

pub async fn the_window_slides(cx: Cx) -> Outcome {
    let bench = windowed(&cx)?;
    let _ = bench.end(Err(Trouble::Down)).await?;
    sleep(ms(30_000)).await;
    for _ in 0..3 {
        let _ = bench.end(Err(Trouble::Down)).await?;
    }
    sleep(ms(30_000)).await;
    let _ = bench.end(Err(Trouble::Down)).await?;
    ensure_eq!(bench.breaker.state(), State::Closed, "the state when the first of 5 failures is 60 s old";
        help = "a failure counts while its age is below the window");
    let _ = bench.end(Err(Trouble::Down)).await?;
    ensure!(!bench.lets_through().await?, "5 failures within the last 30 s have not opened the breaker";
        expected = "open: the window ends now, wherever it began",
        help = "keep the instants of the failures; a count that starts anew every 60 s forgets those \
                just before the turn");
    Ok(())
}

pub async fn figures_add_up(cx: Cx) -> Outcome {
    let bench = Bench::new(&cx)?;
    ensure_eq!(bench.breaker.name(), "payments", "the name that the figures stand under");
    let _ = bench.end(Ok(())).await?;
    let _ = bench.end(Ok(())).await?;
    let _ = bench.end(Err(Trouble::Declined)).await?;
    let _ = bench.end(Err(Trouble::Down)).await?;
    let _ = bench.end(Err(Trouble::Down)).await?;
    let snapshot = bench.breaker.snapshot();
    ensure_eq!(
        (snapshot.failures, snapshot.opened_at),
        (2, None),
        "`failures` and `opened_at` while closed"
    );
    let hung = bench.breaker.call(pending::<Result<(), Trouble>>);
    ensure!(timeout(ms(100), hung).await.is_err(), "a call that hangs has ended");
    let snapshot = bench.breaker.snapshot();
    let counts =
        |s: &level3::breaker::Snapshot| (s.calls, s.ok, s.failed, s.neutral, s.dropped, s.refused);
    ensure_eq!(
        counts(&snapshot),
        (6, 2, 2, 1, 1, 0),
        "calls, ok, failed, neutral, dropped, refused after 2 successes, a decline, 2 failures and a dropped call"
    );
    // As many more as it lets through.
    while bench.breaker.state() == State::Closed && bench.calls.get() < 20 {
        let _ = bench.end(Err(Trouble::Down)).await?;
    }
    let opened = tokio::time::Instant::now();
    let failed = bench.breaker.snapshot().failed;
    sleep(ms(1000)).await;
    for _ in 0..3 {
        let _ = bench.end(Ok(())).await?;
    }
    let snapshot = bench.breaker.snapshot();
    ensure_eq!(counts(&snapshot), (7 + failed, 2, failed, 1, 1, 3),
        "calls, ok, failed, neutral, dropped, refused after 3 refused calls more";
        help = "a refused call is a call, and no failure");
    ensure_eq!(snapshot.opened_at, Some(opened), "`opened_at`");
    Ok(())
}

pub async fn watchers_see_each_change(cx: Cx) -> Outcome {
    let bench = Bench::new(&cx)?;
    let mut watch = bench.breaker.watch();
    let mut seen = vec![*watch.borrow_and_update()];
    let mut look = || {
        if watch.has_changed().unwrap_or(false) {
            seen.push(*watch.borrow_and_update());
        }
    };
    bench.trip().await?;
    look();
    sleep(ms(60_001)).await;
    let (probe, ()) = join(bench.slow(100, Ok(())), async {
        sleep(ms(50)).await;
        look();
    })
    .await;
    let _ = probe?;
    for _ in 0..2 {
        let _ = bench.end(Ok(())).await?;
    }
    look();
    use State::{Closed, HalfOpen, Open};
    ensure_eq!(seen, [Closed, Open, HalfOpen, Closed], "a watcher saw other states";
        help = "send the new state whenever it changes, half-open included");
    Ok(())
}

pub async fn listeners_may_call_the_breaker(cx: Cx) -> Outcome {
    let told = Arc::new(Mutex::new(Vec::new()));
    let made = made(config())?;
    let breaker = Arc::new_cyclic(|weak: &Weak<Breaker>| {
        let (weak, told) = (weak.clone(), Arc::clone(&told));
        made.with_listener(move |transition| {
            // From within the listener: a lock held around it would never be free.
            let state = weak.upgrade().map(|breaker| breaker.state());
            let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
            told.push((transition.from, transition.to, state));
        })
    });
    for _ in 0..6 {
        let call = breaker.call(|| async { Err::<(), _>(Trouble::Down) });
        let _ = cx.call(NAME, call).await?;
    }
    let told = told.lock().unwrap_or_else(PoisonError::into_inner).clone();
    ensure_eq!(
        told,
        [(State::Closed, State::Open, Some(State::Open))],
        "what the listener was told, and the state it saw"
    );
    Ok(())
}

pub async fn refuses_times_of_zero(cx: Cx) -> Outcome {
    let zero_window = Trip::InWindow { failures: nz(5), window: ms(0) };
    let bad = [
        ("a reset timeout of zero", BreakerConfig { reset_timeout: ms(0), ..config() }),
        ("a window of zero", BreakerConfig { trip: zero_window, ..config() }),
    ];
    for (what, config) in bad {
        let made = cx.call_fn("CircuitBreaker::new", || CircuitBreaker::new("x", config)).await?;
        ensure!(made.is_err(), "CircuitBreaker::new accepts {what}"; expected = "a BreakerConfigError");
    }
    made(config())?;
    Ok(())
}
