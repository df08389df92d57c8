//! How the cost of an event, a request and a user grows with their number.

use std::hint::black_box;

use bench_criterion::plot::{self, Curve};
use bench_kit::contest::{self, Case};
use bench_kit::stats::Bounded;
use level5::notifications::Priority;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::events::{self, Accepts};
use crate::{Failed, requests, users};

/// The smallest size and the largest one.
const FIRST: u64 = 10_000;
const LAST: u64 = 1_000_000;

/// A cost at several sizes.
#[derive(Debug, Clone)]
pub struct Growth {
    /// Nanoseconds for one, at each size.
    pub curve: Curve,
    /// How many times as much one costs at the largest size as at the smallest.
    pub ratio: Bounded,
}

/// All of them. A quick measurement has sizes that are ten times as small.
pub fn all(runtime: &Runtime, quick: bool) -> Result<Vec<Growth>, Failed> {
    let scale = if quick { 10 } else { 1 };
    Ok(vec![
        growth("an event, by the backlog that it joins", scale, |size| {
            runtime.block_on(backlog(size))
        })?,
        growth("a request, by requests that wait for a slot", scale, |size| {
            runtime.block_on(waiting(size))
        })?,
        growth("a notification, by users", scale, |size| {
            runtime.block_on(async {
                let notifier = users::start(size)?;
                let receipts = users::notify(&notifier, size, Priority::High).await;
                users::settled(receipts).await;
                Ok(())
            })
        })?,
        growth("a notification of a batch, by users that wait", scale, |size| {
            runtime.block_on(async {
                let notifier = users::start(size)?;
                black_box(users::notify(&notifier, size, Priority::Low).await);
                black_box(notifier.backlog());
                Ok(())
            })
        })?,
    ])
}

/// So many events are accepted while the sink takes none, and then all are delivered.
async fn backlog(size: u64) -> Result<(), Failed> {
    let sink = Accepts::closed();
    let processor = events::start(sink.clone()).await?;
    events::ingest(&processor, size).await;
    sink.0.add_permits(Semaphore::MAX_PERMITS);
    events::delivered(&processor, size).await;
    Ok(())
}

/// So many requests ask for a slot at once, and all run. Each has a task, as in a server: a task may do a limited number of
/// things before the others have their turn, and a task with a million requests would spend its time on being put off.
async fn waiting(size: u64) -> Result<(), Failed> {
    let orchestrator = requests::start(size, false)?;
    let mut runs = JoinSet::new();
    for number in 0..size {
        let orchestrator = orchestrator.clone();
        runs.spawn(async move { orchestrator.run(&number.to_string()).await.is_ok() });
    }
    black_box(runs.join_all().await.into_iter().all(|is_ok| is_ok));
    Ok(())
}

/// `run(n)` does it with `n` of them, from their beginning to their end.
fn growth(
    name: &str,
    scale: u64,
    run: impl Fn(u64) -> Result<(), Failed>,
) -> Result<Growth, Failed> {
    let (first, last) = (FIRST / scale, LAST / scale);
    // What fails is found here, and not while it is measured.
    run(first)?;
    let run = &run;
    let sizes = std::iter::successors(Some(first), |size| Some(size * 10));
    let case = |size: u64| {
        let run = move |times: u64| (0..times / size).for_each(|_| drop(run(size)));
        // As many as the largest size has in each batch would take minutes; a tenth of it is enough for the small ones.
        Case::new(size.to_string(), run).in_batches_of(size.max(last / 10))
    };
    let mut cases: Vec<Case<'_>> = sizes.take_while(|size| *size <= last).map(case).collect();
    let outcome = contest::run(&mut cases, true);
    let point = |size: &str| Some((size.parse().ok()?, outcome.nanos(size).median));
    let points = outcome.names().filter_map(point).collect();
    let ratio = outcome.ratio(&last.to_string(), &first.to_string());
    Ok(Growth { curve: Curve { name: name.to_owned(), points }, ratio })
}

/// The picture of all curves.
pub fn picture(found: &[Growth]) -> Result<String, Failed> {
    let curves: Vec<Curve> = found.iter().map(|growth| growth.curve.clone()).collect();
    plot::svg("CPU time for one", "how many", "nanoseconds", &curves)
}
