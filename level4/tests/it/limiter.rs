//! A limiter that tasks share.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use level4::limiter::Limiter;
use tokio::task::{JoinSet, yield_now};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_share_the_slots_of_its_clones() {
    let limiter = Limiter::new(NonZeroUsize::new(2).expect("2 is not 0"));
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut tasks = JoinSet::new();
    for number in 0..100 {
        let (limiter, running, most) = (limiter.clone(), Arc::clone(&running), Arc::clone(&most));
        tasks.spawn(async move {
            let op = || async {
                most.fetch_max(running.fetch_add(1, SeqCst) + 1, SeqCst);
                yield_now().await;
                running.fetch_sub(1, SeqCst);
                number
            };
            limiter.run(op).await
        });
    }
    let mut numbers = tasks.join_all().await;
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(0..100));
    assert!(most.load(SeqCst) <= 2);
}
