//! The patterns beyond the four strategies.

use std::cell::Cell;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _};
use level2::all_settled::{self, Timeouts};
use level2::cache::{Answer, CacheError, CachedDashboard};
use level2::deadline::{self, DeadlineError};
use level2::error::{SectionError, SectionFailure};
use level2::metrics::{LoadMetrics, Severity};
use level2::model::{Section, SectionData, Users};
use level2::queue::AsyncQueue;
use level2::recovery::{self, Backoff};
use level2::settled::{SectionReport, Settled};
use level2::source::DashboardSource;
use level2::{any, critical, progressive, retry_failed};
use tokio::time::{Instant, sleep};

use crate::sources::{Does, MockSource, after, down, mock, ms, refused};

#[tokio::test(start_paused = true)]
async fn deadline_cuts_the_load() {
    let source = mock(&[(Section::Users, Does::Hangs)]);
    let began = Instant::now();
    let error = deadline::load(source, ms(700)).await.unwrap_err();
    assert_eq!(error, DeadlineError::Elapsed { limit: ms(700) });
    assert_eq!(began.elapsed(), ms(700));
    assert_eq!(error.to_string(), "the dashboard was not there after 700 ms");
}

#[tokio::test(start_paused = true)]
async fn deadline_returns_what_is_there() {
    let settled = deadline::load_partial(mock(&[]), ms(450)).await;
    assert_eq!(settled.took, ms(450));
    assert_eq!(settled.partial().missing(), [Section::Sales, Section::LowStock]);
}

#[tokio::test(start_paused = true)]
async fn retry_asks_only_for_what_failed_and_may_succeed() {
    let source = mock(&[
        (Section::Users, Does::Fails(ms(30), down())),
        (Section::Orders, Does::Fails(ms(40), refused())),
    ]);
    let settled = all_settled::load(source, Timeouts::default()).await;
    let mut again = MockSource::new();
    again.expect_users().once().returning(|| after(ms(300), Ok(Users::default())));
    let settled = retry_failed::retry(Arc::new(again), settled, Timeouts::default()).await;
    assert_eq!(settled.took, ms(900));
    assert_eq!(settled.errors(), [SectionError::new(Section::Orders, refused())]);
}

#[tokio::test(start_paused = true)]
async fn a_critical_failure_ends_the_load() {
    let failing = |section| mock(&[(section, Does::Fails(ms(100), down()))]);
    let began = Instant::now();
    let load = |section| critical::load(failing(section), &critical::CRITICAL, Timeouts::default());
    let error = load(Section::Orders).await.unwrap_err();
    assert_eq!((error.section, began.elapsed()), (Section::Orders, ms(100)));
    let settled = load(Section::Users).await.unwrap();
    assert_eq!(settled.errors(), [SectionError::new(Section::Users, down())]);
}

#[tokio::test(start_paused = true)]
async fn the_cache_bridges_an_outage_for_a_minute() {
    let mut source = MockSource::new();
    let calls = Cell::new(0);
    source.expect_sales().returning_st(move || {
        calls.set(calls.get() + 1);
        after(ms(10), if calls.get() == 1 { Ok(Default::default()) } else { Err(down()) })
    });
    source.expect_users().returning(|| after(ms(5), Ok(Default::default())));
    source.expect_orders().returning(|| after(ms(5), Ok(Default::default())));
    source.expect_low_stock().returning(|| after(ms(5), Ok(Default::default())));
    source.expect_reviews().returning(|| after(ms(5), Ok(Default::default())));
    let cache = CachedDashboard::new(Arc::new(source));
    assert!(matches!(cache.load().await, Ok(Answer::Live(_))));
    sleep(ms(20_000)).await;
    assert!(matches!(cache.load().await, Ok(Answer::Cached { age, .. }) if age == ms(20_010)));
    sleep(ms(40_000)).await;
    let error = cache.load().await.unwrap_err();
    assert!(matches!(error, CacheError::Expired { age, .. } if age == ms(60_020)));
    assert_eq!(error.to_string(), "the last page is 60 s old: sales: unavailable: down");
}

#[tokio::test(start_paused = true)]
async fn progressive_loads_in_two_phases() {
    let began = Instant::now();
    let first = progressive::load(mock(&[]), Timeouts::default()).await.unwrap();
    assert_eq!((first.took, first.sales.orders), (ms(500), 2));
    let rest: Vec<_> = first.rest.map(|report| (report.section, began.elapsed())).collect().await;
    assert_eq!(
        rest,
        [(Section::Reviews, ms(700)), (Section::Users, ms(800)), (Section::LowStock, ms(1100)),]
    );
}

#[tokio::test(start_paused = true)]
async fn any_takes_the_first_success() {
    let replica = |latency, answer: Result<u32, _>| -> Arc<dyn DashboardSource> {
        let mut source = MockSource::new();
        source.expect_users().once().returning(move || {
            after(latency, answer.clone().map(|online| Users { online, ..Users::default() }))
        });
        Arc::new(source)
    };
    let replicas =
        vec![replica(ms(10), Err(down())), replica(ms(90), Ok(1)), replica(ms(50), Ok(2))];
    let winner = any::fetch(Section::Users, replicas).await.unwrap();
    assert_eq!(winner.replica, 2);
    assert_eq!(winner.data, SectionData::Users(Users { online: 2, ..Users::default() }));

    let replicas = vec![replica(ms(90), Err(down())), replica(ms(10), Err(refused()))];
    let error = any::fetch(Section::Users, replicas).await.unwrap_err();
    assert_eq!(error.errors, [down(), refused()]);
    assert_eq!(error.to_string(), "none of 2 replicas answered");
}

#[tokio::test(start_paused = true)]
async fn the_queue_bounds_concurrency_and_survives_a_panic() {
    let queue = AsyncQueue::new(NonZeroUsize::new(2).unwrap());
    let running = Cell::new(0);
    let most = Cell::new(0);
    let job = || async {
        running.set(running.get() + 1);
        most.set(most.get().max(running.get()));
        sleep(ms(10)).await;
        running.set(running.get() - 1);
    };
    let began = Instant::now();
    futures::future::join_all((0..6).map(|_| queue.add(job))).await;
    assert_eq!((began.elapsed(), most.get()), (ms(30), 2));

    let panics = queue.add(|| async { panic!("a bug") });
    assert!(std::panic::AssertUnwindSafe(panics).catch_unwind().await.is_err());
    futures::future::join_all((0..2).map(|_| queue.add(job))).await;
    assert_eq!(began.elapsed(), ms(40));
}

#[tokio::test(start_paused = true)]
async fn any_number_is_a_limit_of_a_queue() {
    let queue = AsyncQueue::new(NonZeroUsize::MAX);
    assert_eq!(queue.add(|| async { 7 }).await, 7);
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_closure_frees_its_place() {
    let queue = AsyncQueue::new(NonZeroUsize::MIN);
    let panics = queue.add(|| -> std::future::Ready<()> { panic!("a bug") });
    assert!(std::panic::AssertUnwindSafe(panics).catch_unwind().await.is_err());
    assert_eq!(queue.add(|| async { 7 }).await, 7);
}

#[tokio::test(start_paused = true)]
async fn limits_may_be_of_any_length() {
    let settled = all_settled::load(mock(&[]), all(Duration::MAX)).await;
    assert!(settled.errors().is_empty());
    let settled = all_settled::load(mock(&[]), all(Duration::ZERO)).await;
    assert_eq!(settled.errors().len(), 5);
    let longest = Backoff { base: Duration::MAX, ..Backoff::default() };
    assert_eq!(longest.delay(2), Duration::MAX);
}

fn all(limit: Duration) -> Timeouts {
    Timeouts { sales: limit, users: limit, orders: limit, low_stock: limit, reviews: limit }
}

#[test]
fn very_many_calls_raise_no_alert_by_themselves() {
    let calls = LoadMetrics { calls: usize::MAX, ..LoadMetrics::default() };
    assert_eq!(calls.alerts().worst(), Severity::Normal);
    let failed = LoadMetrics { failures: usize::MAX, ..calls };
    assert_eq!(failed.alerts().success_rate, Severity::Critical);
}

#[test]
fn alerts_follow_the_thresholds() {
    let report = |section, failure: Option<SectionFailure>| SectionReport {
        section,
        result: match failure {
            Some(failure) => Err(failure),
            None => Ok(SectionData::Users(Users::default())),
        },
        took: ms(1),
    };
    let settled = Settled::new(
        [
            report(Section::Sales, None),
            report(Section::Users, Some(SectionFailure::TimedOut { limit: ms(1) })),
            report(Section::Orders, Some(down().into())),
            report(Section::LowStock, None),
            report(Section::Reviews, None),
        ],
        ms(1000),
    );
    let alerts = LoadMetrics::of(&settled).alerts();
    assert_eq!(alerts.load_time, Severity::Normal);
    assert_eq!(alerts.success_rate, Severity::Warning);
    assert_eq!(alerts.failures, Severity::Warning);
    assert_eq!(alerts.timeout_rate, Severity::Warning);
    assert_eq!(alerts.worst(), Severity::Warning);
}

#[tokio::test(start_paused = true)]
async fn retry_doubles_its_wait() {
    let began = Instant::now();
    let times = std::cell::RefCell::new(Vec::new());
    let error = recovery::retry(Backoff::default(), || {
        times.borrow_mut().push(began.elapsed());
        async { Err::<(), _>(down()) }
    })
    .await
    .unwrap_err();
    assert_eq!(*times.borrow(), [ms(0), ms(1000), ms(3000)]);
    assert_eq!(error.to_string(), "gave up after 3 attempts: unavailable: down");
}

#[tokio::test(start_paused = true)]
async fn a_degraded_page_lists_its_gaps() {
    let source = mock(&[(Section::LowStock, Does::Fails(ms(1), refused()))]);
    let degraded = recovery::degrade(&all_settled::load(source, Timeouts::default()).await);
    assert_eq!(degraded.dashboard.low_stock, Default::default());
    assert_eq!(degraded.dashboard.users.online, 2);
    assert_eq!(degraded.errors, [SectionError::new(Section::LowStock, refused())]);
}
