//! How costs grow with sizes.

use std::num::NonZeroUsize;
use std::time::Duration;

use bench_criterion::plot::{self, Curve};
use bench_kit::contest::{self, Case};
use bench_kit::cpu;
use level3::breaker::{BreakerConfig, CircuitBreaker};
use level3::idempotency::{Completion, Key, Store, StoreConfig};
use tokio::runtime::Runtime;

use crate::in_flight::Held;
use crate::parts;

type Failed = Box<dyn std::error::Error>;

/// Times that what is too large for a contest is measured; the least counts, since whatever disturbs a
/// measurement adds to it.
const REPEATS: usize = 3;

/// The sizes up to `most`, each ten times the one before.
fn sizes(first: usize, most: usize) -> impl Iterator<Item = usize> {
    std::iter::successors(Some(first), |size| Some(size * 10)).take_while(move |&size| size <= most)
}

/// All curves: CPU time in nanoseconds against a size.
pub fn all(runtime: &Runtime, held: &[Held], quick: bool) -> Result<Vec<Curve>, Failed> {
    let most = if quick { 10_000 } else { 1_000_000 };
    let payments = held.iter().map(|held| (f64::from(held.payments), held.nanos)).collect();
    let curves = [
        Curve { name: "a payment, by payments in flight".to_owned(), points: payments },
        callers(runtime, most)?,
        keys(runtime, most, quick)?,
        windows(runtime, most, quick)?,
    ];
    Ok(curves.into_iter().chain(rows(runtime, most)?).collect())
}

#[cfg(feature = "stores")]
fn rows(runtime: &Runtime, most: usize) -> Result<Vec<Curve>, Failed> {
    Ok(crate::stores::rows(runtime, sizes(1000, most))?.into())
}

#[cfg(not(feature = "stores"))]
fn rows(_: &Runtime, _: usize) -> Result<Vec<Curve>, Failed> {
    Ok(Vec::new())
}

/// Memory for each payment against the payments in flight.
pub fn memory(held: &[Held]) -> Curve {
    let points = held.iter().map(|held| (f64::from(held.payments), held.bytes)).collect();
    Curve { name: "bytes of a payment, by payments in flight".to_owned(), points }
}

/// A call of a breaker that so many callers have a call under way with: the task around it included.
fn callers(runtime: &Runtime, most: usize) -> Result<Curve, Failed> {
    let breaker = CircuitBreaker::new("it", BreakerConfig::payment(|_: &()| true))?;
    let breaker = std::sync::Arc::new(breaker);
    let once = |callers: usize| {
        let took = cpu::time(|| {
            runtime.block_on(async {
                let call = |_| {
                    let breaker = std::sync::Arc::clone(&breaker);
                    tokio::spawn(async move {
                        let work = || async {
                            tokio::task::yield_now().await;
                            Ok::<_, ()>(1)
                        };
                        breaker.call(work).await.is_ok()
                    })
                };
                let tasks: Vec<_> = (0..callers).map(call).collect();
                for task in tasks {
                    assert!(task.await.unwrap_or(false), "every call succeeds here");
                }
            });
        });
        took.as_secs_f64() * 1e9 / callers as f64
    };
    let points = sizes(10, most).map(|callers| {
        // Small ones are repeated until they take some milliseconds in all.
        let times = (20_000 / callers).max(1);
        let average = || (0..times).map(|_| once(callers)).sum::<f64>() / times as f64;
        let least = (0..REPEATS).map(|_| average()).fold(f64::INFINITY, f64::min);
        (callers as f64, least)
    });
    Ok(Curve {
        name: "a breaker's call in its task, by callers at once".to_owned(),
        points: points.collect(),
    })
}

/// A repeat of a request, answered from a store that keeps so many keys.
fn keys(runtime: &Runtime, most: usize, quick: bool) -> Result<Curve, Failed> {
    let mut cases = Vec::new();
    for size in sizes(1000, most) {
        let config = StoreConfig {
            capacity: NonZeroUsize::new(size + 1).ok_or("not zero")?,
            retention: Duration::from_secs(24 * 3600),
        };
        let store: Store<Key, (), u32> = Store::new(config);
        let keys: Vec<Key> =
            (0..size).map(|number| Key::new(&format!("key-{number}"))).collect::<Result<_, _>>()?;
        let work = || async { Completion::Stored(1) };
        runtime.block_on(async {
            for key in &keys {
                store.run(key, (), work).await.map_err(|_| "a key of the store")?;
            }
            Ok::<_, &str>(())
        })?;
        let mut next = 0;
        cases.push(Case::new(size.to_string(), move |times| {
            runtime.block_on(async {
                for _ in 0..times {
                    // A step that shares no factor with the size comes to every key, in no order that a
                    // cache would know.
                    next = (next + 7919) % size;
                    let _ = std::hint::black_box(store.run(&keys[next], (), work).await);
                }
            });
        }));
    }
    Ok(curve("a repeat answered, by keys kept", &mut cases, quick))
}

/// An admission by a limiter whose window holds so many calls.
fn windows(runtime: &Runtime, most: usize, quick: bool) -> Result<Curve, Failed> {
    let mut cases = sizes(100, most)
        .map(|size| {
            Ok(parts::admit(&size.to_string(), runtime, parts::full_window(runtime, size)?))
        })
        .collect::<Result<Vec<_>, Failed>>()?;
    Ok(curve("an admission, by calls in the limiter's window", &mut cases, quick))
}

fn curve(name: &str, cases: &mut [Case<'_>], quick: bool) -> Curve {
    let outcome = contest::run(cases, quick);
    let point = |name: &str| Some((name.parse().ok()?, outcome.nanos(name).median));
    Curve { name: name.to_owned(), points: outcome.names().filter_map(point).collect() }
}

/// The picture of all curves.
pub fn picture(curves: &[Curve]) -> Result<String, Failed> {
    plot::svg("CPU time against size", "how many", "nanoseconds", curves)
}
