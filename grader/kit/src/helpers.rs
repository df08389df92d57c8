//! What the scripts of several levels have in common.
use std::fmt::{Debug, Display};
use std::pin::Pin;
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

/// Starts a task of the check's own, which outlives the returning call.
///
/// The future is boxed, so that all these tasks have one type: for each type of a task the compiler writes five
/// thousand lines.
///
/// # Panics
///
/// Outside of a runtime.
pub fn in_background(task: impl Future<Output = ()> + Send + 'static) {
    let task: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(task);
    drop(tokio::spawn(task));
}

/// The items as a learner reads them: `0, 1000, 3000`, or `none`.
pub fn list(items: impl IntoIterator<Item = impl Display>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    if items.is_empty() { "none".to_owned() } else { items.join(", ") }
}

/// Texts up to this many bytes are shown whole.
const SHORT: usize = 160;

/// Bytes that are shown of what two long texts have in common before and after their difference.
const CONTEXT: usize = 48;

/// Two texts that differ, as a reader can compare them: whole when both are short, else the part in which
/// they differ with a little of what stands around it.
#[must_use]
pub fn difference(expected: &str, observed: &str) -> (String, String) {
    if expected.len() <= SHORT && observed.len() <= SHORT {
        return (expected.to_owned(), observed.to_owned());
    }
    let same = |(a, b): &(char, char)| a == b;
    let pairs = || expected.chars().zip(observed.chars());
    let before: usize = pairs().take_while(same).map(|(a, _)| a.len_utf8()).sum();
    let ends = expected[before..].chars().rev().zip(observed[before..].chars().rev());
    let after: usize = ends.take_while(same).map(|(a, _)| a.len_utf8()).sum();
    let part = |text: &str| {
        let start = text.floor_char_boundary(before.saturating_sub(CONTEXT));
        let end = text.ceil_char_boundary((text.len() - after + CONTEXT).min(text.len()));
        let dots = |shown: bool| if shown { "..." } else { "" };
        format!("{}{}{}", dots(start > 0), &text[start..end], dots(end < text.len()))
    };
    (part(expected), part(observed))
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

/// A text as a message shows it: its first 160 characters, and its length in bytes where there are more.
#[must_use]
pub fn short(text: &str) -> String {
    const MOST: usize = 160;
    match text.char_indices().nth(MOST) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}... ({} bytes)", &text[..end], text.len()),
    }
}

/// Nothing has woken up again and again since [`Cx::parks`] was `before`: `what` names the time in between.
///
/// # Errors
///
/// A [`Fail`] for more than a hundred moments. A far timer moves nearer in a few steps, each of which is one.
pub fn ensure_still(cx: &Cx, before: u64, what: &str, help: &str) -> Outcome {
    let moments = cx.parks() - before;
    if moments <= 100 {
        return Ok(());
    }
    Err(Fail::new(format!("{what}: something woke up at {moments} moments"))
        .expected("a few: what has nothing to do sleeps")
        .help(help))
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
            cx.timeline().record("the grader", format!("drops the future of {name}"));
            Ok(())
        }
        Ok(Err(fail)) => Err(fail),
        Ok(Ok(call)) => Err(Fail::new(format!(
            "{name} returned at {} ms, before it could be dropped at {at} ms",
            call.took.as_millis()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_texts_are_shown_whole() {
        assert_eq!(difference("400", "600"), ("400".to_owned(), "600".to_owned()));
    }

    #[test]
    fn of_long_texts_the_difference_is_shown() {
        let list =
            |took: &str| format!("[{}took: {took}, {}]", "Orders(é), ".repeat(60), "x".repeat(600));
        let (expected, observed) = difference(&list("650ms"), &list("0ns"));
        assert!(expected.contains("took: 650ms") && observed.contains("took: 0ns"), "{observed}");
        assert!(expected.len() < 130 && observed.len() < 130, "{expected}");
        assert!(expected.starts_with("...") && expected.ends_with("..."), "{expected}");
        let (expected, observed) = difference(&"a".repeat(500), &"a".repeat(501));
        assert!(expected.len() < observed.len(), "{expected}\n{observed}");
    }
}
