//! Where a payment's CPU time goes: its parts by themselves, in the same run.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use bench_kit::contest::Case;
use bench_kit::report::{self, Table};
use level3::breaker::{BreakerConfig, CircuitBreaker};
use level3::deadline::Deadline;
use level3::idempotency::{Completion, Key, Store, StoreConfig};
use level3::journal::{Journal, MemoryJournal, SagaId};
use level3::limiter::Priority;
use level3::request::Payment;
use level3::retry::{Disposition, NoJitter, RetryPolicy, retry};
use level3::saga::{Saga, Step};
use tokio::runtime::Runtime;
use tokio::time::timeout_at;

use crate::payments::{PAYMENT, request};
use crate::{Measured, parts};

const CALLS: &str = "price/six calls";
const SAGA: &str = "price/saga";
const STORE: &str = "price/store";
const TASK: &str = "price/task";

/// Wire calls of a payment that goes well: four steps, the mail, and the outbox. The first two that go to
/// the payment provider pass its limiter.
const SIX: usize = 6;
const LIMITED: usize = 2;
/// Sagas and keys of a batch: what remembers them grows.
const BATCH: u64 = 2000;
const HOUR: Duration = Duration::from_secs(3600);

type Failed = Box<dyn std::error::Error>;

pub fn cases(runtime: &Runtime) -> Result<[Case<'_>; 4], Failed> {
    Ok([calls(runtime)?, saga(runtime)?, store(runtime)?, task(runtime)])
}

/// Each call of a payment with all that is around it.
fn calls(runtime: &Runtime) -> Result<Case<'_>, Failed> {
    let policy = RetryPolicy::default();
    let breaker = CircuitBreaker::new("it", BreakerConfig::payment(|(): &()| true))?;
    let limiter = parts::full_window(runtime, 100)?;
    Ok(Case::new(CALLS, move |times| {
        runtime.block_on(async {
            let deadline = Deadline::after(HOUR);
            for _ in 0..times {
                for nth in 0..SIX {
                    let (limiter, breaker) = (&limiter, &breaker);
                    let wire = move || async move {
                        if nth < LIMITED {
                            limiter.admit(Priority::Charge, deadline).await.map_err(|_| ())?;
                        }
                        // Boxed, as an answer of any service behind a trait is.
                        let answer = Box::pin(async { Ok::<_, ()>(black_box(1)) });
                        timeout_at(deadline.instant(), answer).await.map_err(|_| ())?
                    };
                    let attempt = |_| async move { breaker.call(wire).await.map_err(|_| ()) };
                    let classify = |(): &()| Disposition::Retry;
                    let _ = black_box(
                        retry(black_box(&policy), &NoJitter, deadline, classify, attempt).await,
                    );
                }
            }
        });
    }))
}

/// Four steps that do nothing, two of which change the state, announced and written down in memory.
fn saga(runtime: &Runtime) -> Result<Case<'_>, Failed> {
    type State = (Arc<Payment>, u32);
    let payment = Arc::new(request(1).validate()?);
    let idle = |name| Step::new(name, |state: State, _| async { Ok(state) });
    let change =
        |name| Step::new(name, |(payment, nth): State, _| async move { Ok((payment, nth + 1)) });
    let saga = Saga::new("payment")
        .step(change("create"))
        .step(idle("fraud"))
        .step(idle("confirm").pivot())
        .step(change("save"));
    let saga = Arc::new(saga);
    let ids: Vec<SagaId> = (0..BATCH).map(|nth| SagaId::new(&format!("pay_{nth:032}"))).collect();
    Ok(Case::new(SAGA, move |_| {
        runtime.block_on(async {
            let journal: Arc<dyn Journal> = Arc::new(MemoryJournal::new());
            for id in &ids {
                let (journal, state) = (Arc::clone(&journal), (Arc::clone(&payment), 0));
                let end = saga.execute(journal, id.clone(), state, Deadline::after(HOUR)).await;
                assert!(black_box(end).is_ok(), "every step succeeds here");
            }
        });
    })
    .in_batches_of(BATCH))
}

/// New keys, with the task that owns the work behind each.
fn store(runtime: &Runtime) -> Result<Case<'_>, Failed> {
    let payment = Arc::new(request(1).validate()?);
    let keys: Vec<Key> =
        (0..BATCH).map(|nth| Key::new(&format!("key-{nth}"))).collect::<Result<_, _>>()?;
    Ok(Case::new(STORE, move |_| {
        runtime.block_on(async {
            let store: Store<Key, Arc<Payment>, u32> = Store::new(StoreConfig::default());
            for key in &keys {
                let work = || async { Completion::Stored(black_box(1)) };
                let _ = black_box(store.run(key, Arc::clone(&payment), work).await);
            }
        });
    })
    .in_batches_of(BATCH))
}

/// A task that does nothing, waited for.
fn task(runtime: &Runtime) -> Case<'_> {
    Case::new(TASK, |times| {
        runtime.block_on(async {
            for _ in 0..times {
                let _ = tokio::spawn(async { black_box(1) }).await;
            }
        });
    })
}

/// The parts, and what they leave of the whole.
pub fn table(measured: &Measured) -> String {
    let outcome = &measured.outcome;
    let mut table = Table::new(&["part of a payment", "CPU time by itself", "of the whole"]);
    let mut parts = 0.0;
    let rows = [
        (
            "six calls, each with retry, breaker and time limit; two of them through the limiter",
            CALLS,
        ),
        (
            "a saga of four steps that do nothing, in a task, every step announced and written down",
            SAGA,
        ),
        ("the store of keys, with the task that owns the work", STORE),
        ("a task, for the receipt", TASK),
    ];
    for (what, name) in rows {
        let share = outcome.ratio(name, PAYMENT);
        parts += share.median;
        let nanos = report::nanos(outcome.nanos(name).median);
        table.row(&[what.to_owned(), nanos, report::ratio(share)]);
    }
    // The saga's case spawns a task of its own, which a payment does not: its cost is subtracted from the parts.
    let rest = 1.0 - parts + outcome.ratio(TASK, PAYMENT).median;
    table.row(&[
        "the rest: checking the request, names and keys, events, rows, the outbox, memory for all of it; \
         the second row counts one task that a payment does not spawn, so its cost is added here"
            .to_owned(),
        String::new(),
        format!("{rest:.2}"),
    ]);
    table.text().to_owned()
}
