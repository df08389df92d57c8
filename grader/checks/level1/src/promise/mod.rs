//! The hand-written promise.

mod chain;
mod combine;
mod life;
mod threads;

pub use chain::*;
pub use combine::*;
pub use life::*;
pub use threads::*;

use std::fmt::Debug;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use grader_kit::{Cx, Fail, Outcome, ensure, in_background, list, lock, ms, short};
use level1::promise::{Broken, Promise, State};
use tokio::time::sleep;

use crate::values;

/// The error type that the criteria's promises have. It is their own: what the promise says is taken
/// apart where it arrives.
#[derive(Debug, Clone, PartialEq)]
pub enum Oops {
    Said(String),
    Abandoned,
    Panicked(String),
}

impl From<Broken> for Oops {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Abandoned => Self::Abandoned,
            Broken::Panicked(text) => Self::Panicked(text),
        }
    }
}

pub type P<T = String> = Promise<T, Oops>;
type Settled<T = String> = Result<T, Oops>;

/// A promise that is settled with this result after a time; after 0, before it is returned.
fn after(time: u64, result: Settled) -> P {
    Promise::new(move |resolver| {
        let settle = move || match result {
            Ok(value) => resolver.resolve(value),
            Err(error) => resolver.reject(error),
        };
        if time == 0 {
            settle();
        } else {
            in_background(async move {
                sleep(ms(time)).await;
                settle();
            });
        }
    })
}

fn yes(value: &str) -> Settled {
    Ok(value.to_owned())
}

fn no(why: &str) -> Settled {
    Err(Oops::Said(why.to_owned()))
}

/// Awaits what `make` builds, and says how long that took in virtual milliseconds.
async fn outcome<T, F>(cx: &Cx, what: &str, make: impl FnOnce() -> F) -> Result<(T, u128), Fail>
where
    F: Future<Output = T>,
{
    let call = cx.call(what, async { make().await }).await?;
    Ok((call.value, call.took.as_millis()))
}

/// Milliseconds after which a slow promise is settled: 25 years.
const SLOW: u64 = values::SLOW.as_secs() * 1_000;

/// As [`outcome`], for what takes as long as [`SLOW`].
async fn slow_outcome<T, F>(
    cx: &Cx,
    what: &str,
    make: impl FnOnce() -> F,
) -> Result<(T, u128), Fail>
where
    F: Future<Output = T>,
{
    let most = values::SLOW + Duration::from_secs(600);
    let call = cx.call_within(most, what, async { make().await }).await?;
    Ok((call.value, call.took.as_millis()))
}

/// Ends the script unless a promise came to this, at this virtual millisecond.
fn ends<T: Debug + PartialEq>(
    (result, took): (T, u128),
    expected: T,
    at: u128,
    case: &str,
    help: &str,
) -> Outcome {
    ensure!(result == expected, "{case}";
        expected = short(&format!("{expected:?}")), observed = short(&format!("{result:?}")), help = help);
    ensure!(took == at, "{case}: settled at {took} ms";
        expected = format!("{at} ms"), observed = format!("{took} ms"), help = help);
    Ok(())
}

/// Ends the script unless the promise stands so.
async fn stands(cx: &Cx, promise: &P, expected: &str, when: &str, help: &str) -> Outcome {
    let state = cx.call_fn("Promise::state", || promise.state()).await?;
    let observed = match state {
        State::Pending => "pending",
        State::Fulfilled => "fulfilled",
        State::Rejected => "rejected",
    };
    ensure!(observed == expected, "the state {when}";
        expected = expected, observed = observed, help = help);
    Ok(())
}

/// Notes in the order in which they were made.
#[derive(Debug, Clone, Default)]
struct Notes(Arc<Mutex<Vec<&'static str>>>);

impl Notes {
    fn add(&self, note: &'static str) {
        lock(&self.0).push(note);
    }

    fn all(&self) -> Vec<&'static str> {
        lock(&self.0).clone()
    }

    /// Ends the script unless these notes were made, in this order.
    fn are(&self, expected: &[&str], what: &str, help: &str) -> Outcome {
        let notes = self.all();
        ensure!(notes == expected, "{what}";
            expected = list(expected), observed = list(&notes), help = help);
        Ok(())
    }
}
