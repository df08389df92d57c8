//! Pipelines on a runtime with several threads, and what one says of itself.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use futures::{StreamExt as _, stream};
use level5::pipeline::{Failed, Failure, Pipeline, Stage};
use tokio::task::yield_now;

const fn nz(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).expect("not 0")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stages_keep_their_limits_on_several_threads() {
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = Arc::clone(&most);
    let work = move |item: u64| {
        let (running, most) = (Arc::clone(&running), Arc::clone(&seen));
        async move {
            most.fetch_max(running.fetch_add(1, SeqCst) + 1, SeqCst);
            yield_now().await;
            running.fetch_sub(1, SeqCst);
            Ok::<_, ()>(item)
        }
    };
    let slow = Stage::new("slow", nz(3), |item| async move {
        yield_now().await;
        Ok(item + 1)
    });
    let pipeline =
        Pipeline::new(nz(2)).stage(Stage::new("counted", nz(4), work)).stage(slow.ordered());
    let output = pipeline.run(stream::iter(0..2000));
    let stats = output.stats();
    let mut values: Vec<_> = output.map(|result| result.expect("no item fails")).collect().await;
    values.sort_unstable();
    assert!(values.into_iter().eq(1..=2000));
    assert!(most.load(SeqCst) <= 4);
    assert!(stats.borrow().iter().all(|stage| stage.passed == 2000 && stage.inside() == 0));
    assert!(stats.has_changed().is_err(), "the tasks have ended, and the channel is closed");
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_can_be_built_by_a_loop() {
    let stages = (0..200)
        .map(|_| Stage::new("add", nz(1), |item: u64| async move { Ok::<_, ()>(item + 1) }));
    let pipeline = stages.fold(Pipeline::new(nz(1)), Pipeline::stage);
    let results: Vec<_> = pipeline.run(stream::iter([0, 10])).collect().await;
    assert_eq!(results, [Ok(200), Ok(210)]);
}

#[test]
fn a_failure_says_what_happened() {
    let cause = Failure::Error("no such user");
    let failed = Failed { stage: "check", index: 7, attempts: 3, cause };
    assert_eq!(failed.to_string(), "item 7 failed in stage check after 3 attempts: no such user");
}
