//! The ride that was paid for or never happened: reserve, complete the ride, capture.
//!
//! The case study of the assignment. At Uber 2 % of the payments got stuck, because a capture hung and
//! no code released the reservation. Here a capture that gives no answer is cut, and the reservation is
//! released.
//!
//! `cargo run -p level3 --example ride`

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use level3::deadline::Deadline;
use level3::journal::{FailureKind, MemoryJournal, SagaId};
use level3::saga::{Saga, SagaError, SagaOutcome, Step, StepError};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

/// The state of the saga.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Ride {
    id: u32,
    cents: u64,
}

/// The two services: what is reserved, charged and driven.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Books {
    reserved: u64,
    charged: u64,
    completed: bool,
}

type Shared = Arc<Mutex<Books>>;

fn change(books: &Shared, what: impl FnOnce(&mut Books)) {
    what(&mut books.lock().unwrap_or_else(PoisonError::into_inner));
}

/// Reserve, complete, capture; `capture_hangs` is the assignment's bug on the other side.
fn ride_saga(books: &Shared, capture_hangs: bool) -> Saga<Ride, Mutex<Books>> {
    let second = Duration::from_secs(1);
    Saga::sharing("ride", Arc::clone(books))
        .step(
            Step::new("reserve", |ride: Ride, context| async move {
                sleep(Duration::from_millis(200)).await;
                change(&context.shared, |books| books.reserved = ride.cents);
                Ok(ride)
            })
            .undo(second, |ride, context| async move {
                change(&context.shared, |books| books.reserved = 0);
                Ok(ride)
            }),
        )
        .step(
            Step::new("complete", |ride, context| async move {
                sleep(Duration::from_millis(100)).await;
                change(&context.shared, |books| books.completed = true);
                Ok(ride)
            })
            .undo(second, |ride, context| async move {
                change(&context.shared, |books| books.completed = false);
                Ok(ride)
            }),
        )
        .step(
            Step::new("capture", move |ride, context| async move {
                if capture_hangs {
                    let hung =
                        tokio::time::timeout(Duration::from_secs(5), std::future::pending::<()>());
                    let no_answer =
                        |_| StepError::unknown(FailureKind::Transient, "no answer within 5 s");
                    hung.await.map_err(no_answer)?;
                }
                change(&context.shared, |books| {
                    books.charged = books.reserved;
                    books.reserved = 0;
                });
                Ok(ride)
            })
            // The capture may have happened although it gave no answer.
            .undo(second, |ride, context| async move {
                change(&context.shared, |books| books.charged = 0);
                Ok(ride)
            }),
        )
}

async fn drive(books: &Shared, capture_hangs: bool) -> Result<SagaOutcome<Ride>, SagaError> {
    let saga = Arc::new(ride_saga(books, capture_hangs));
    let ride = Ride { id: 7, cents: 2350 };
    // The lesson: all transactions end within 30 s.
    let deadline = Deadline::after(Duration::from_secs(30));
    let id = SagaId::new(&format!("ride-{}", ride.id));
    saga.execute(Arc::new(MemoryJournal::new()), id, ride, deadline).await
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
#[expect(clippy::disallowed_macros, reason = "the reference's run, committed beside this file")]
async fn main() -> Result<(), SagaError> {
    demo_kit::or_recorded(include_str!("recorded/ride.txt"), show()).await
}

async fn show() -> Result<(), SagaError> {
    for hangs in [false, true] {
        let books = Shared::default();
        let end = drive(&books, hangs).await?;
        println!("capture {}: {end:?}", if hangs { "hangs" } else { "works" });
        println!("  {:?}", books.lock().unwrap_or_else(PoisonError::into_inner));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_ride_is_charged_once() {
        let books = Shared::default();
        assert!(matches!(drive(&books, false).await, Ok(SagaOutcome::Completed(_))));
        let expected = Books { reserved: 0, charged: 2350, completed: true };
        assert_eq!(*books.lock().unwrap(), expected);
    }

    #[tokio::test(start_paused = true)]
    async fn a_capture_that_hangs_leaves_nothing_reserved() {
        let books = Shared::default();
        let begun = tokio::time::Instant::now();
        let end = drive(&books, true).await.unwrap();
        assert!(
            matches!(&end, SagaOutcome::Compensated { failure, .. } if failure.step == "capture")
        );
        assert!(begun.elapsed() < Duration::from_secs(30));
        assert_eq!(*books.lock().unwrap(), Books::default());
    }
}
