//! A breaker that counts within a window.

use grader_kit::{Cx, Fail, Outcome, ensure, ensure_eq, ms};
use level3::breaker::State;
use tokio::time::sleep;

use super::bench::{ASSIGNED, Bench, Figures, Trouble};

/// 5 within 60 s; and others, with a window that is longer than the reset timeout.
fn some(cx: &Cx) -> [Figures; 2] {
    let mut draw = cx.draw();
    let window = 2 * draw.between(500..=30_000);
    let drawn = Figures {
        failures: draw.between(4..=9) as u32,
        window: Some(window),
        reset: draw.between(10..=window / 4),
        ..ASSIGNED
    };
    [Figures { window: Some(60_000), ..ASSIGNED }, drawn]
}

fn window(figures: Figures) -> Result<u64, Fail> {
    figures.window.ok_or_else(|| Fail::new("these figures have a window"))
}

pub async fn a_window_counts_despite_successes(cx: Cx) -> Outcome {
    for figures in some(&cx) {
        let (bench, most) = (Bench::new(&cx, figures)?, figures.failures);
        let window = window(figures)?;
        let pause = window / 100 / u64::from(most);
        for number in 1..=most {
            ensure!(bench.lets_through().await?, "refused after {} failures within the window", number - 1;
                expected = format!("closed until failure {most}"));
            let _ = bench.end(Err(Trouble::Down)).await?;
            // Not after the last one: the breaker may stay open for less than a pause.
            if number < most {
                sleep(ms(pause)).await;
            }
        }
        ensure!(!bench.lets_through().await?, "{most} failures within {} ms, with successes between them, have not opened the breaker", pause * u64::from(most - 1);
            expected = format!("open at failure {most} within {window} ms: a success takes none away"),
            help = "a success ends a row of failures, which Trip::Consecutive counts; Trip::InWindow counts those within the window");
    }
    Ok(())
}

pub async fn the_window_slides(cx: Cx) -> Outcome {
    for figures in some(&cx) {
        let (bench, most) = (Bench::new(&cx, figures)?, figures.failures);
        let window = window(figures)?;
        let _ = bench.end(Err(Trouble::Down)).await?;
        sleep(ms(window / 2)).await;
        for _ in 0..most - 2 {
            let _ = bench.end(Err(Trouble::Down)).await?;
        }
        sleep(ms(window - window / 2)).await;
        let _ = bench.end(Err(Trouble::Down)).await?;
        ensure_eq!(bench.breaker.state(), State::Closed, "state after failure {most}, when failure 1 is {window} ms old: only {} count, and it takes {most} to open", most - 1;
            help = "a failure counts while its age is below the window");
        let _ = bench.end(Err(Trouble::Down)).await?;
        ensure!(!bench.lets_through().await?, "{most} failures within the last {} ms have not opened the breaker", window - window / 2;
            expected = "open: the window ends now, wherever it began",
            help = "keep the instants of the failures; a count that starts again every window forgets those \
                    just before the turn");
        // The first one is a millisecond younger than the window: it counts.
        let bench = Bench::new(&cx, figures)?;
        let _ = bench.end(Err(Trouble::Down)).await?;
        sleep(ms(window - 1)).await;
        for _ in 0..most - 1 {
            let _ = bench.end(Err(Trouble::Down)).await?;
        }
        ensure!(!bench.lets_through().await?, "{most} failures, the first one {} ms before the last, have not opened the breaker", window - 1;
            expected = format!("open: a failure counts while its age is below {window} ms"));
        // A slow failure counts from its end.
        let bench = Bench::new(&cx, figures)?;
        let _ = bench.slow(window, Err(Trouble::Down)).await?;
        for _ in 0..most - 1 {
            let _ = bench.end(Err(Trouble::Down)).await?;
        }
        ensure!(!bench.lets_through().await?, "{most} calls have failed at one time, the first of them after {window} ms, and have not opened the breaker";
            expected = "open: a failure happens when the call ends");
    }
    let [_, figures] = some(&cx);
    // The failures that tripped it are still within the window, which is longer than the open time.
    let bench = Bench::half_open(&cx, figures).await?;
    for _ in 0..figures.successes {
        let _ = bench.end(Ok(())).await?;
    }
    let _ = bench.end(Err(Trouble::Down)).await?;
    ensure_eq!(bench.breaker.state(), State::Closed, "{} ms after the trip it has closed and then seen one failure: the state", figures.reset + 1;
        help = "closing forgets the failures from before the trip, however young they are");
    Ok(())
}
