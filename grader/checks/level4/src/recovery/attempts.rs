//! Attempts, fallbacks and errors.

use futures::FutureExt as _;
use grader_kit::{Cx, Outcome, ensure, ensure_eq, list};
use level4::recovery::{Class, Recovered, RecoveryError};

use super::fakes::{Broken, Calls, Ends, fails};
use super::{RUN, constant, on_class, quick, recovery, run};

pub async fn repeats_only_what_may_help(cx: Cx) -> Outcome {
    const HELP: &str = "ask the error: `error.is_retryable()`";
    let error = |class, retryable| Ends::Badly(Broken { class, number: 7, retryable });
    let mut all = vec![];
    for class in [Class::Client, Class::Bug] {
        all.push((class, None, 1));
        all.push((class, Some(true), 3));
    }
    for class in [Class::Network, Class::RateLimit, Class::Server, Class::Other("disk")] {
        all.push((class, None, 3));
        all.push((class, Some(false), 1));
    }
    for (class, retryable, expected) in all {
        let mut recovery = recovery(&cx).await?;
        on_class(&cx, &mut recovery, class, constant(1)).await?;
        let calls = Calls::new();
        let ends = [error(class, retryable)];
        let call = cx.call(RUN, run(&recovery, &calls, "a", 3, 0, &ends)).await?;
        let says = match retryable {
            None => "by its class",
            Some(true) => "which may be retried",
            Some(false) => "which may not be retried",
        };
        ensure!(calls.times("a").len() == expected, "each of at most 3 attempts ends with an error of {class:?}, {says}: {} calls", calls.times("a").len(); expected = expected.to_string(), help = HELP);
        ensure!(call.value.is_err(), "all attempts failed, and the run has a value");
    }
    // The second error of a run decides as the first one does.
    let recovery = quick(&cx).await?;
    let calls = Calls::new();
    let ends = [fails(1), error(Class::Client, None), Ends::Well(1)];
    let call = cx.call(RUN, run(&recovery, &calls, "a", 3, 0, &ends)).await?;
    ensure!(calls.times("a").len() == 2 && call.value.is_err(), "the second attempt ends with a 404, and there are {} calls", calls.times("a").len(); expected = "2", help = HELP);
    Ok(())
}

pub async fn counts_attempts(cx: Cx) -> Outcome {
    const HELP: &str =
        "the first call is attempt 1; look whether attempts are left before you wait";
    let mut draw = cx.draw();
    let drawn = u32::try_from(draw.between(6..=40)).unwrap_or(6);
    let recovery = quick(&cx).await?;
    for max in [1, 2, 3, 5, drawn] {
        let calls = Calls::new();
        let call = cx.call(RUN, run(&recovery, &calls, "a", max, 10, &[fails(1)])).await?;
        let expected: Vec<_> = (0..u64::from(max)).map(|number| number * 11).collect();
        ensure_eq!(list(calls.times("a")), list(expected), "attempts of 10 ms that fail, waits of 1 ms, at most {max} attempts: the times of the calls"; help = HELP);
        let (took, expected) = (call.took.as_millis(), u128::from(max) * 11 - 1);
        ensure!(took == expected, "the last of {max} attempts failed, and the run took {took} ms"; expected = format!("{expected} ms: no wait follows the last attempt"), help = HELP);
        for success in [1, max.div_ceil(2), max] {
            let mut ends = vec![fails(1); success as usize - 1];
            ends.push(Ends::Well(u64::from(success)));
            let calls = Calls::new();
            let call = cx.call(RUN, run(&recovery, &calls, "a", max, 10, &ends)).await?;
            let expected = Ok(Recovered::Primary(u64::from(success)));
            ensure!(call.value == expected, "attempt {success} of {max} succeeds: {:?}", call.value; expected = format!("{expected:?}"), help = HELP);
            ensure!(calls.times("a").len() == success as usize, "attempt {success} of {max} succeeds, and there are {} calls", calls.times("a").len(); expected = success.to_string(), help = HELP);
        }
    }
    let calls = Calls::new();
    let ends = [fails(1), fails(2), Ends::Well(3)];
    let call = cx.call(RUN, run(&recovery, &calls, "a", u32::MAX, 0, &ends)).await?;
    ensure!(call.value == Ok(Recovered::Primary(3)), "attempt 3 of {} succeeds: {:?}", u32::MAX, call.value; expected = "its value");
    Ok(())
}

pub async fn the_fallback_comes_last(cx: Cx) -> Outcome {
    const HELP: &str = "after the loop of attempts: one call of the fallback, with the last error";
    let value = cx.draw().between(100..=999);
    let client = |number| Ends::Badly(Broken::new(Class::Client, number));
    for (what, max, ends, called_at) in [
        ("the only attempt fails", 1, vec![fails(1)], 10),
        ("three attempts fail", 3, vec![fails(1), fails(2), fails(3)], 32),
        ("the first error may not be retried", 3, vec![client(1)], 10),
        ("the second error may not be retried", 3, vec![fails(1), client(2)], 21),
    ] {
        let mut recovery = quick(&cx).await?;
        let calls = Calls::new();
        let last = ends.len() as u64;
        recovery.fallback("a", |_| async { Ok(0) }); // the next one replaces it
        let record = calls.clone();
        let with_error = move |error: &Broken| {
            record.call("fallback", 5, Ends::Well(value + 1000 * error.number))
        };
        recovery.fallback("a", with_error);
        let call = cx.call(RUN, run(&recovery, &calls, "a", max, 10, &ends)).await?;
        ensure_eq!(list(calls.times("fallback")), list([called_at]), "{what}, each after 10 ms: the times at which the fallback is called"; help = HELP);
        let expected = Ok(Recovered::Fallback(value + 1000 * last));
        ensure!(call.value == expected, "{what}, and the fallback has a value: {:?}", call.value; expected = format!("{expected:?}: marked as a fallback, and called with the last error"), help = HELP);
    }
    // After a success it is not called, at whichever attempt that was.
    for ends in [vec![Ends::Well(1)], vec![fails(1), fails(2), Ends::Well(3)]] {
        let mut recovery = quick(&cx).await?;
        let calls = Calls::new();
        let record = calls.clone();
        recovery.fallback("a", move |_: &Broken| record.call("fallback", 0, Ends::Well(0)));
        let call = cx.call(RUN, run(&recovery, &calls, "a", 3, 0, &ends)).await?;
        ensure!(calls.times("fallback").is_empty(), "attempt {} succeeded, and the fallback was called", ends.len(); help = HELP);
        ensure!(matches!(call.value, Ok(Recovered::Primary(_))), "attempt {} succeeded: {:?}", ends.len(), call.value; expected = "Primary");
    }
    let value = cx.call_fn("Recovered::into_value", || {
        (Recovered::Primary(3).into_value(), Recovered::Fallback(4).into_value())
    });
    ensure_eq!(value.await?, (3, 4), "the values of Primary(3) and Fallback(4)");
    Ok(())
}

pub async fn both_errors_are_reported(cx: Cx) -> Outcome {
    let number = cx.draw().between(100..=999);
    for class in [Class::Network, Class::Client] {
        let mut recovery = quick(&cx).await?;
        let second = Broken::new(Class::Server, number);
        let fails_too = second.clone();
        recovery.fallback("a", move |_: &Broken| {
            let error = fails_too.clone();
            async move { Err(error) }.boxed()
        });
        let calls = Calls::new();
        let first = Broken::new(class, 3);
        let ends = [fails(1), fails(2), Ends::Badly(first.clone())];
        let answer = cx.call(RUN, run(&recovery, &calls, "a", 3, 0, &ends)).await?.value;
        let both = match &answer {
            Err(RecoveryError::FallbackFailed { error, fallback, .. }) => {
                *error == first && *fallback == second
            }
            _ => false,
        };
        ensure!(both, "three attempts fail, and so does the fallback"; expected = format!("FallbackFailed with {first:?} and {second:?}"), observed = format!("{answer:?}"), help = "keep the first error while the fallback runs");
    }
    Ok(())
}

pub async fn says_what_failed(cx: Cx) -> Outcome {
    const HELP: &str = "the loop of attempts knows their number: return it with the error";
    for (name, fallback) in [("reads the user", false), ("search", false), ("rates", true)] {
        for max in [1, 2, 5] {
            let mut recovery = quick(&cx).await?;
            if fallback {
                recovery.fallback(name, |_| async { Err(Broken::new(Class::Bug, 0)) });
            }
            for stops_at in [1, max] {
                let calls = Calls::new();
                let mut ends: Vec<_> = (1..u64::from(stops_at)).map(fails).collect();
                let last = Broken::new(Class::Client, 50);
                ends.push(Ends::Badly(last.clone()));
                let answer = cx.call(RUN, run(&recovery, &calls, name, max, 0, &ends)).await?.value;
                let said = match &answer {
                    Err(RecoveryError::Failed { op, attempts, error }) if !fallback => {
                        Some((*op, *attempts, error))
                    }
                    // Which errors this one has is asked by another criterion.
                    Err(RecoveryError::FallbackFailed { op, attempts, .. }) if fallback => {
                        Some((*op, *attempts, &last))
                    }
                    _ => None,
                };
                let kind = if fallback { "FallbackFailed" } else { "Failed" };
                ensure!(said == Some((name, stops_at, &last)), "attempt {stops_at} of at most {max} of `{name}` ends with an error that may not be retried";
                    expected = format!("{kind}: `{name}`, {stops_at} attempts, {last:?}"), observed = format!("{answer:?}"), help = HELP);
            }
        }
    }
    Ok(())
}
