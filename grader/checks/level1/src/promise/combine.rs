//! all, all_settled, race and any.

use grader_kit::{Cx, Outcome, ensure_eq};
use level1::promise::{self, AggregateError, State};

use super::{Oops, P, after, no, outcome};

pub async fn all(cx: Cx) -> Outcome {
    let (result, took) = outcome(&cx, "promise::all", || {
        promise::all([after(200, Ok(1)), after(300, Ok(2)), after(100, Ok(3))])
    })
    .await?;
    ensure_eq!(result, Ok(vec![1, 2, 3]), "the values of all";
        help = "in the order of the promises, not in that of their arrival");
    ensure_eq!(took, 300, "how long all took; the slowest promise takes 300 ms");
    Ok(())
}

pub async fn all_fails_fast(cx: Cx) -> Outcome {
    let (result, took) = outcome(&cx, "promise::all", || {
        promise::all([after(100, Ok(1)), after(300, no("late")), after(200, no("first"))])
    })
    .await?;
    ensure_eq!(result, Err(Oops::Said("first")), "the error of all");
    ensure_eq!(took, 200, "when all was rejected; the first rejection comes after 200 ms";
        help = "all is rejected at the first rejection, and waits for nothing more");
    Ok(())
}

pub async fn all_settled(cx: Cx) -> Outcome {
    let (result, took) = outcome(&cx, "promise::all_settled", || {
        promise::all_settled([after(200, Ok(1)), after(300, no("late")), after(100, no("first"))])
    })
    .await?;
    let expected = Ok(vec![Ok(1), no("late"), no("first")]);
    ensure_eq!(result, expected, "the results of all_settled";
        help = "it is never rejected: a failure is one of the results, in its promise's place");
    ensure_eq!(took, 300, "how long all_settled took; the slowest promise takes 300 ms");
    Ok(())
}

pub async fn race(cx: Cx) -> Outcome {
    for (first, expected) in [(Ok(2), Ok(2)), (no("first"), no("first"))] {
        let (result, took) = outcome(&cx, "promise::race", || {
            promise::race([after(200, Ok(1)), after(100, first), after(300, no("late"))])
        })
        .await?;
        ensure_eq!(result, expected, "the winner of a race";
            help = "the first promise to settle wins, with a value or with an error");
        ensure_eq!(took, 100, "how long the race took; the first promise settles after 100 ms");
    }
    Ok(())
}

pub async fn any(cx: Cx) -> Outcome {
    let (result, took) = outcome(&cx, "promise::any", || {
        promise::any([after(100, no("early")), after(300, Ok(1)), after(200, Ok(2))])
    })
    .await?;
    ensure_eq!(result, Ok(2), "the value of any";
        help = "the first success wins, rejections before it do not count");
    ensure_eq!(took, 200, "how long any took; the first success comes after 200 ms");
    Ok(())
}

pub async fn any_all_rejected(cx: Cx) -> Outcome {
    let (result, took) = outcome(&cx, "promise::any", || {
        promise::any([after(300, no("a")), after(100, no("b")), after(200, no("c"))])
    })
    .await?;
    let errors = ["a", "b", "c"].map(Oops::Said).to_vec();
    ensure_eq!(result, Err(AggregateError { errors }), "the error of any";
        help = "all errors, in the order of the promises");
    ensure_eq!(took, 300, "when any was rejected; the last promise is rejected after 300 ms");
    Ok(())
}

pub async fn of_nothing(cx: Cx) -> Outcome {
    let none = || Vec::<P>::new();
    let (result, _) = outcome(&cx, "promise::all", || promise::all(none())).await?;
    ensure_eq!(result, Ok(vec![]), "all of no promises");
    let (result, _) = outcome(&cx, "promise::all_settled", || promise::all_settled(none())).await?;
    ensure_eq!(result, Ok(vec![]), "all_settled of no promises");
    let (result, _) = outcome(&cx, "promise::any", || promise::any(none())).await?;
    ensure_eq!(result, Err(AggregateError { errors: vec![] }), "any of no promises";
        help = "all of them have failed, so it is rejected, with no errors");
    let promise = cx.call_fn("promise::race", || promise::race(none())).await?;
    cx.settle().await;
    let state = cx.call_fn("Promise::state", || promise.state()).await?;
    ensure_eq!(state, State::Pending, "race of no promises";
        help = "nobody settles it: it stays pending for ever, as in JavaScript");
    Ok(())
}
