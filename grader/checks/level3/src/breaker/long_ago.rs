//! Calls from before so many changes of state that a small number cannot count them.

use std::future::ready;

use futures::join;
use grader_kit::{Cx, Outcome, ensure, ms};
use level3::breaker::State;
use tokio::sync::Notify;
use tokio::time::sleep;

use super::bench::{Bench, Figures, Trouble};

const FIGURES: Figures = Figures { failures: 3, window: None, reset: 10, probes: 1, successes: 1 };

/// What a byte, and what two of them, cannot tell from no change at all.
const CHANGES: [u32; 2] = [1 << 8, 1 << 16];

/// A call was let in while the breaker was closed, and fails when it is closed once more.
pub async fn late_failures_decide_nothing(cx: &Cx) -> Outcome {
    for changes in CHANGES {
        let (bench, ends) = (Bench::new(cx, FIGURES)?, Notify::new());
        let from_before = bench.breaker.call(|| async {
            ends.notified().await;
            Err::<(), _>(Trouble::Down)
        });
        let script = async {
            change(&bench, changes).await;
            // One less than it takes.
            for _ in 1..FIGURES.failures {
                let _ = bench.end(Err(Trouble::Down)).await?;
            }
            let before = bench.breaker.state();
            ends.notify_one();
            sleep(ms(1)).await;
            let after = bench.breaker.state();
            ensure!(
                before != State::Closed || after == State::Closed,
                "closed, {} of {} failures in a row, and a call from {changes} changes of state before fails: the breaker is {after:?}",
                FIGURES.failures - 1, FIGURES.failures;
                expected = "closed: how the dependency was long ago decides nothing",
                help = "number the states with 64 bits: a small number comes round to the same one again"
            );
            Ok(())
        };
        join!(from_before, script).1?;
    }
    Ok(())
}

/// Lets the breaker change its state so many times, from closed to closed.
async fn change(bench: &Bench, changes: u32) {
    let end = async |answer: Result<(), Trouble>| {
        let _ = bench.breaker.call(|| ready(answer)).await;
    };
    let trip = async || {
        for _ in 0..FIGURES.failures {
            end(Err(Trouble::Down)).await;
        }
    };
    sleep(ms(1)).await;
    // To open, half-open and closed, twice, are six changes, and each failed probe makes two more.
    trip().await;
    for _ in 0..(changes - 6) / 2 {
        bench.reset().await;
        end(Err(Trouble::Down)).await;
    }
    bench.reset().await;
    end(Ok(())).await;
    trip().await;
    bench.reset().await;
    end(Ok(())).await;
}
