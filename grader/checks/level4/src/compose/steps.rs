//! `fold_steps`.

use std::cell::RefCell;

use grader_kit::{Cx, Outcome, ensure, ensure_eq, ms};
use level4::compose::{StepError, fold_steps};
use tokio::time::sleep;

use super::FOLD;
use crate::ops::moves;

/// Runs steps that append their name to the value; those in `fails` fail. What was called, with what, and when.
async fn chain(
    cx: &Cx,
    start: &str,
    count: usize,
    fails: &[usize],
) -> (Result<String, StepError<String>>, Vec<(usize, String, u64)>) {
    let called = RefCell::new(Vec::new());
    let began = cx.timeline().now_ms();
    let steps = (0..count).map(|number| {
        let called = &called;
        move |value: String| {
            let at = cx.timeline().now_ms() - began;
            cx.timeline().record(format!("step {number}"), format!("is called with {value:?}"));
            called.borrow_mut().push((number, value.clone(), at));
            async move {
                sleep(ms(100)).await;
                if fails.contains(&number) {
                    Err(format!("no {number}"))
                } else {
                    Ok(format!("{value}>{number}"))
                }
            }
        }
    });
    let result = fold_steps(start.to_owned(), steps.collect()).await;
    (result, called.into_inner())
}

pub async fn steps_run_in_order(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let start = draw.word();
    for count in [3, 1, draw.index(20) + 2] {
        let call = cx.call(FOLD, chain(&cx, &start, count, &[])).await?;
        let (result, called) = call.value;
        let mut value = start.clone();
        let mut expected = Vec::new();
        for number in 0..count {
            expected.push((number, value.clone(), 100 * number as u64));
            value = format!("{value}>{number}");
        }
        ensure_eq!(called, expected, "{count} steps of 100 ms: which step was called, with what, and at which millisecond";
            help = "a step is called with the value of the step before it, when that one has ended");
        ensure!(result.as_ref().is_ok_and(|it| *it == value), "{count} steps: the chain returns {}",
            result.unwrap_or_else(|error| format!("an error of step {}", error.index));
            expected = format!("{value}, the value of the last step"));
        ensure!(
            call.took == ms(100 * count as u64),
            "{count} steps of 100 ms took {} ms",
            call.took.as_millis()
        );
    }
    moves(&cx, FOLD, 50, 300, chain(&cx, &start, 3, &[])).await?;
    Ok(())
}

pub async fn a_failing_step_ends_the_chain(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let drawn = draw.index(6);
    for (count, fails) in [(3, vec![1]), (3, vec![0, 2]), (3, vec![2]), (7, vec![drawn, 6])] {
        let call = cx.call(FOLD, chain(&cx, "start", count, &fails)).await?;
        let (result, called) = call.value;
        let first = fails[0];
        ensure!(called.len() == first + 1, "step {first} of {count} fails, and {} steps were called", called.len();
            expected = format!("{}: none after the one that failed", first + 1),
            help = "`?` ends the loop at the first failure");
        let observed = match result {
            Ok(value) => format!("Ok({value})"),
            Err(StepError { index, source }) => format!("step {index}: {source}"),
        };
        let expected = format!("step {first}: no {first}");
        ensure!(observed == expected, "step {first} of {count} fails: {observed}";
            expected = expected, help = "the error names the step that failed, counted from 0, and keeps its error");
    }
    Ok(())
}

pub async fn no_steps_return_the_start(cx: Cx) -> Outcome {
    let word = cx.draw().word();
    let call = cx.call(FOLD, chain(&cx, &word, 0, &[])).await?;
    let (result, _) = call.value;
    ensure!(result.is_ok_and(|value| value == word) && call.took == ms(0), "a chain without steps does not return its start at once";
        expected = "the start, as it is");
    Ok(())
}
