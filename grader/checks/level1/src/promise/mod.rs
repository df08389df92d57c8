//! The hand-written promise.

mod chain;
mod combine;
mod life;

pub use chain::*;
pub use combine::*;
pub use life::*;

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use grader_kit::{Cx, Fail, ms};
use level1::promise::{Broken, Promise};
use tokio::time::sleep;

/// The error type that the criteria's promises have.
#[derive(Debug, Clone, PartialEq)]
pub enum Oops {
    Said(&'static str),
    Broken(Broken),
}

impl From<Broken> for Oops {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

pub type P<T = u32> = Promise<T, Oops>;

/// A promise that is settled with this result after a time.
fn after(time: u64, result: Result<u32, Oops>) -> P {
    Promise::new(move |resolver| {
        tokio::spawn(async move {
            sleep(ms(time)).await;
            match result {
                Ok(value) => resolver.resolve(value),
                Err(error) => resolver.reject(error),
            }
        });
    })
}

fn no(why: &'static str) -> Result<u32, Oops> {
    Err(Oops::Said(why))
}

/// Awaits what `make` builds, and says how long that took in virtual milliseconds.
async fn outcome<T, F>(cx: &Cx, what: &str, make: impl FnOnce() -> F) -> Result<(T, u128), Fail>
where
    F: Future<Output = T>,
{
    let call = cx.call(what, async { make().await }).await?;
    Ok((call.value, call.took.as_millis()))
}

/// Notes in the order in which they were made.
#[derive(Debug, Clone, Default)]
struct Notes(Arc<Mutex<Vec<&'static str>>>);

impl Notes {
    fn add(&self, note: &'static str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(note);
    }

    fn all(&self) -> Vec<&'static str> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
