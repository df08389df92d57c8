//! What the programs and examples of a level show where the learner has not written a part yet.
//!
//! A blank's bodies are `todo!()`. A program of the course that meets one says which file is to be
//! written, instead of ending with a panic, and shows the run of the reference solution where there is
//! a recorded one.
//!
//! This is for programs: it sets the panic hook of the process. Libraries, tests and the grader do not use
//! it; to them a `todo!()` is a panic like any other.

use std::any::Any;
use std::fmt;
use std::future::poll_fn;
use std::io::{self, Write as _};
use std::panic::{self, AssertUnwindSafe};
use std::pin::pin;
use std::sync::{Mutex, Once, PoisonError};
use std::task::Poll;

/// A part that is not written yet: a `todo!()` that ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unwritten {
    /// The source file, relative to the workspace: `level2/src/race.rs`.
    pub file: String,
    /// The line of the `todo!()`.
    pub line: u32,
}

impl fmt::Display for Unwritten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not written yet: {}:{}", self.file, self.line)
    }
}

static HOOK: Once = Once::new();
static LAST: Mutex<Option<Unwritten>> = Mutex::new(None);

/// From now on a `todo!()` prints nothing when it runs; [`take`] knows of it. Every other panic is reported
/// as before.
pub fn watch() {
    HOOK.call_once(|| {
        let report = panic::take_hook();
        panic::set_hook(Box::new(move |info| match info.location() {
            Some(place) if is_todo(info.payload()) => {
                let unwritten = Unwritten { file: place.file().to_owned(), line: place.line() };
                *LAST.lock().unwrap_or_else(PoisonError::into_inner) = Some(unwritten);
            }
            _ => report(info),
        }));
    });
}

/// The last `todo!()` that ran since [`watch`], on whichever thread; it is forgotten by this.
pub fn take() -> Option<Unwritten> {
    LAST.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Runs `work`; an error if it ended with a `todo!()`. Every other panic goes on.
///
/// A `todo!()` in a task of its own does not end `work`; [`take`] knows of it afterwards.
///
/// # Errors
///
/// [`Unwritten`], the part that `work` needed.
///
/// # Cancellation
///
/// Dropping the future drops `work`.
pub async fn written<T>(work: impl Future<Output = T>) -> Result<T, Unwritten> {
    watch();
    let mut work = pin!(work);
    let ended = poll_fn(|cx| {
        // What panicked is not polled again.
        match panic::catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
            Ok(polled) => polled.map(Ok),
            Err(payload) => Poll::Ready(Err(payload)),
        }
    });
    ended.await.map_err(|payload| {
        let todo = if is_todo(payload.as_ref()) { take() } else { None };
        todo.unwrap_or_else(|| panic::resume_unwind(payload))
    })
}

/// Runs an example. If it needs a part that is not written, names the part and shows `recorded`, the
/// output of the reference solution, instead.
///
/// # Errors
///
/// Those of the example.
///
/// # Cancellation
///
/// Dropping the future drops the example.
pub async fn or_recorded<E>(
    recorded: &str,
    example: impl Future<Output = Result<(), E>>,
) -> Result<(), E> {
    let (ended, text) = match written(example).await {
        Ok(ended) => (ended, take().map(|part| format!("{part}\n"))),
        Err(part) => (Ok(()), Some(in_its_place(&part, recorded))),
    };
    if let Some(text) = text {
        // The reader may have seen enough.
        let _ = io::stdout().write_all(text.as_bytes());
    }
    ended
}

/// The text that replaces a run that needs `part`.
#[must_use]
pub fn in_its_place(part: &Unwritten, recorded: &str) -> String {
    format!("{part}\n\nThe run of the reference solution:\n\n{recorded}")
}

/// Whether a panic is that of `todo!()`, with a message of its own or without.
fn is_todo(payload: &(dyn Any + Send)) -> bool {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.is_some_and(|text| text.starts_with("not yet implemented"))
}

#[cfg(test)]
#[expect(clippy::todo, reason = "these tests are about `todo!()`")]
mod tests {
    use std::task::{Context, Waker};

    use super::*;

    fn now<T>(future: impl Future<Output = T>) -> T {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("pending"),
        }
    }

    // One test, since there is one hook and one last part for the whole process.
    #[test]
    fn what_is_written_runs_and_what_is_not_is_named() {
        assert_eq!(now(written(async { 7 })), Ok(7));
        let part = now(written(async { todo!("with a message") as u8 })).unwrap_err();
        assert!(part.file.ends_with("lib.rs"), "{part}");
        assert!(part.to_string().starts_with("not written yet: "), "{part}");
        assert_eq!(take(), None);
        let bug = panic::catch_unwind(|| now(written(async { panic!("a bug") as u8 })));
        assert_eq!(bug.unwrap_err().downcast_ref(), Some(&"a bug"));
        assert_eq!(now(or_recorded("", async { Err("broken") })), Err("broken"));
        assert_eq!(now(or_recorded("", async { todo!() as Result<(), &str> })), Ok(()));
    }
}
