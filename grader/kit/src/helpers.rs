//! What the scripts of several levels have in common.
use std::fmt::{Debug, Display};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::timeout;

use crate::{Cx, Fail, Outcome};

/// Bytes of a value's `Debug` form that a failure shows.
const MOST_SHOWN: usize = 300;

/// `count` milliseconds.
#[must_use]
pub const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Locks, also after a panic of the judged code: what a fake has seen stays of interest.
pub fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The items as a learner reads them: `0, 1000, 3000`, or `none`.
pub fn list(items: impl IntoIterator<Item = impl Display>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    if items.is_empty() { "none".to_owned() } else { items.join(", ") }
}

/// The error of a call that had to fail.
///
/// # Errors
///
/// A [`Fail`] that shows the value of the success.
pub fn failed<T: Debug, E>(result: Result<T, E>, why: &str) -> Result<E, Fail> {
    let value = match result {
        Err(error) => return Ok(error),
        Ok(value) => value,
    };
    let mut value = format!("{value:?}");
    if value.len() > MOST_SHOWN {
        value.truncate(value.floor_char_boundary(MOST_SHOWN));
        value.push_str("...");
    }
    Err(Fail::new(format!("returned a success although {why}")).observed(value))
}

/// Runs a future of the learner's code for `at` milliseconds of virtual time and drops it. `name` is
/// how messages call it.
///
/// # Errors
///
/// A [`Fail`] when it ends before, or as [`Cx::call`] says.
pub async fn dropped_at<F: Future>(cx: &Cx, name: &str, at: u64, future: F) -> Outcome {
    match timeout(ms(at), cx.call(name, future)).await {
        Err(_) => {
            cx.timeline().record("the grader", format!("drops {name}"));
            Ok(())
        }
        Ok(Err(fail)) => Err(fail),
        Ok(Ok(call)) => Err(Fail::new(format!(
            "{name} returned at {} ms, before it could be dropped at {at} ms",
            call.took.as_millis()
        ))),
    }
}
