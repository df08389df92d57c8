//! Calls that end when the state of the breaker has changed without them.
//!
//! Each script is played twice: without such a probe, which shows how this breaker counts (criteria of their own judge
//! that), and with one, which has to make no difference.

use std::fmt;
use std::panic::AssertUnwindSafe;

use futures::FutureExt as _;
use futures::future::{OptionFuture, join, join_all};
use grader_kit::{Cx, Fail, Outcome, dropped_at, ensure, ms};
use level3::breaker::State;
use tokio::time::sleep;

use super::bench::{Bench, Figures, NAME, Trouble};
use crate::parts::Payload;

/// How a call ends after a change of state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Late {
    Ends(Result<(), Trouble>),
    /// Its caller drops it.
    Dropped,
    Panics,
}

/// As the rest of a sentence about the call.
impl fmt::Display for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ends(result) => write!(f, "has ended with {result:?}"),
            Self::Dropped => f.write_str("was dropped by its caller"),
            Self::Panics => f.write_str("has panicked"),
        }
    }
}

impl Late {
    /// A call that ends so `length` milliseconds after its first poll.
    pub async fn call(self, bench: &Bench, length: u64) -> Outcome {
        let cx = &bench.cx;
        match self {
            Self::Ends(result) => bench.slow(length, result).await.map(drop),
            Self::Dropped => {
                let call = bench.breaker.call(|| async {
                    cx.timeline().record("dependency", "called");
                    std::future::pending::<Result<(), Trouble>>().await
                });
                dropped_at(cx, NAME, length, call).await
            }
            Self::Panics => {
                let call = bench.breaker.call(|| async {
                    cx.timeline().record("dependency", "called");
                    sleep(ms(length)).await;
                    cx.timeline().record("dependency", "panics");
                    Payload::Literal.throw() as Result<(), Trouble>
                });
                cx.call(NAME, AssertUnwindSafe(call).catch_unwind()).await.map(drop)
            }
        }
    }
}

const HELP: &str = "remember with each call in which state it was let in (a generation number), and begin a new \
                    generation with every change of state, closing included";

/// Breakers that let several probes through at the same time.
fn some(cx: &Cx) -> [Figures; 2] {
    let mut draw = cx.draw();
    let in_a_row = Figures {
        failures: draw.between(2..=6) as u32,
        window: None,
        reset: draw.between(1_000..=60_000),
        probes: draw.between(2..=4) as usize,
        successes: draw.between(1..=3) as u32,
    };
    [in_a_row, Figures { window: Some(600_000), ..in_a_row }]
}

/// A call from before the trip ends while a probe runs: the place of the probe stays taken.
pub async fn free_no_place(cx: &Cx, late: Late) -> Outcome {
    for figures in Figures::some(cx) {
        let (bench, reset) = (Bench::new(cx, figures)?, figures.reset);
        let script = async {
            sleep(ms(1)).await;
            bench.trip().await?;
            sleep(ms(reset + 1)).await;
            let (probe, second) = join(bench.slow(5000, Ok(())), async {
                sleep(ms(500)).await;
                // That there is one probe at a time is a criterion of its own.
                let before = bench.lets_through().await?;
                sleep(ms(1500)).await;
                Ok(!before && bench.lets_through().await?)
            })
            .await;
            let _ = probe?;
            ensure!(!second?, "half-open, a probe is on its way, a call from before the trip {late}, and a second probe is let through";
                expected = "refused: one probe at a time",
                help = "a call that took no place frees none, however it ends: remember with each call in which state \
                        it was let in (a generation number)");
            Ok(())
        };
        let (ended, outcome) = join(late.call(&bench, reset + 1000), script).await;
        ended?;
        outcome?;
    }
    Ok(())
}

/// A probe that ends so late decides nothing any more.
pub async fn decide_nothing(cx: &Cx, late: Late) -> Outcome {
    for figures in some(cx) {
        let few = figures.failures - 1;
        if after_closing(cx, figures, None).await? == [State::Closed, State::Open] {
            let [after, at_the_end] = after_closing(cx, figures, Some(late)).await?;
            let when = format!(
                "a probe was on its way when others closed the breaker; {few} failures followed, and then it {late}"
            );
            ensure!(
                after == State::Closed, "{when}: the breaker is {after:?}";
                expected = "Closed: a result counts only in the period in which its call was admitted", help = HELP
            );
            ensure!(
                at_the_end == State::Open, "{when}: one failure more leaves the breaker {at_the_end:?}";
                expected = "Open: a probe from before does not end the row, however it ends", help = HELP
            );
        }
        if after_reopening(cx, figures, None).await? == Some((State::HalfOpen, false)) {
            let when = format!(
                "a probe was on its way when another one opened the breaker, and {late} when it was half-open again"
            );
            if let Some((state, freed)) = after_reopening(cx, figures, Some(late)).await? {
                ensure!(
                    state == State::HalfOpen, "{when}: the breaker is {state:?}";
                    expected = "HalfOpen: a result counts only in the period in which its call was admitted", help = HELP
                );
                ensure!(
                    !freed, "{when}, with {} probes on their way, and one more is let through", figures.probes;
                    expected = "refused: a probe from before has no place here, and frees none", help = HELP
                );
            }
        }
    }
    Ok(())
}

/// Ends after `length` milliseconds, if there is one.
async fn ends(bench: &Bench, length: u64, late: Option<Late>) -> Result<(), Fail> {
    let call = OptionFuture::from(late.map(|late| late.call(bench, length)));
    call.await.transpose().map(drop)
}

/// The others close the breaker, and all but one of the failures that open it follow. The state when the late probe has
/// ended, and that after one failure more.
async fn after_closing(cx: &Cx, figures: Figures, late: Option<Late>) -> Result<[State; 2], Fail> {
    let bench = Bench::half_open(cx, figures).await?;
    let script = async {
        sleep(ms(1)).await;
        for _ in 0..figures.successes {
            let _ = bench.end(Ok(())).await?;
        }
        for _ in 1..figures.failures {
            let _ = bench.end(Err(Trouble::Down)).await?;
        }
        sleep(ms(2000)).await;
        let after = bench.breaker.state();
        let _ = bench.end(Err(Trouble::Down)).await?;
        Ok([after, bench.breaker.state()])
    };
    let (probe, states) = join(ends(&bench, 1000, late), script).await;
    probe?;
    states
}

/// Another probe fails, and the breaker is half-open again, one success before it closes. The state when the late probe
/// has ended, and whether one probe more is let through then, beside as many as there may be; nothing if there are fewer.
async fn after_reopening(
    cx: &Cx,
    figures: Figures,
    late: Option<Late>,
) -> Result<Option<(State, bool)>, Fail> {
    let (bench, reset) = (Bench::half_open(cx, figures).await?, figures.reset);
    let script = async {
        sleep(ms(1)).await;
        let _ = bench.end(Err(Trouble::Down)).await?;
        bench.reset().await;
        for _ in 1..figures.successes {
            let _ = bench.end(Ok(())).await?;
        }
        let before = bench.calls.get();
        let busy = join_all((0..figures.probes).map(|_| bench.slow(5000, Ok(()))));
        let looks = async {
            sleep(ms(500)).await;
            let are_full = (bench.calls.get() - before) as usize == figures.probes;
            sleep(ms(2500)).await;
            let state = bench.breaker.state();
            let freed = bench.lets_through().await?;
            Ok(are_full.then_some((state, freed)))
        };
        let (busy, looks) = join(busy, looks).await;
        busy.into_iter().collect::<Result<Vec<_>, _>>()?;
        looks
    };
    let (probe, looks) = join(ends(&bench, reset + 2000, late), script).await;
    probe?;
    looks
}
