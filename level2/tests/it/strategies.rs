//! The four strategies.

use std::sync::Arc;

use futures::{FutureExt as _, StreamExt as _};
use level2::all_settled::{self, Timeouts};
use level2::error::{SectionError, SectionFailure};
use level2::model::{Section, SectionData};
use level2::source::DashboardSource;
use level2::{parallel, race, sequential};
use tokio::time::{Instant, timeout};

use crate::sources::{Does, MockSource, down, mock, ms, refused, sales};

#[tokio::test(start_paused = true)]
async fn sequential_takes_the_sum() {
    let loaded = sequential::load(mock(&[])).await.unwrap();
    assert_eq!(loaded.took, ms(2000));
    assert_eq!(loaded.dashboard.sales, sales());
}

#[tokio::test(start_paused = true)]
async fn sequential_ends_at_the_first_failure() {
    let source = mock(&[
        (Section::Users, Does::Fails(ms(300), refused())),
        (Section::Orders, Does::NotCalled),
        (Section::LowStock, Does::NotCalled),
        (Section::Reviews, Does::NotCalled),
    ]);
    let began = Instant::now();
    let error = sequential::load(source).await.unwrap_err();
    assert_eq!(error, SectionError::new(Section::Users, refused()));
    assert_eq!(began.elapsed(), ms(800));
}

#[tokio::test(start_paused = true)]
async fn parallel_takes_the_longest() {
    let loaded = parallel::load(mock(&[])).await.unwrap();
    assert_eq!(loaded.took, ms(600));
    assert_eq!(loaded.dashboard.users.online, 2);
}

#[tokio::test(start_paused = true)]
async fn parallel_ends_at_the_failure_that_comes_first_in_time() {
    let source = mock(&[
        (Section::Sales, Does::Fails(ms(450), refused())),
        (Section::LowStock, Does::Fails(ms(100), down())),
    ]);
    let began = Instant::now();
    let error = parallel::load(source).await.unwrap_err();
    assert_eq!(error, SectionError::new(Section::LowStock, down()));
    assert_eq!(began.elapsed(), ms(100));
}

#[tokio::test(start_paused = true)]
async fn race_returns_at_the_third_success_and_hands_over_the_rest() {
    let began = Instant::now();
    let first = race::load(mock(&[])).await.unwrap();
    assert_eq!(began.elapsed(), ms(400));
    let arrived: Vec<_> = first.arrived.iter().map(SectionData::section).collect();
    assert_eq!(arrived, [Section::Reviews, Section::Users, Section::Orders]);
    let rest: Vec<_> =
        first.rest.map(|outcome| (outcome.unwrap().section(), began.elapsed())).collect().await;
    assert_eq!(rest, [(Section::Sales, ms(500)), (Section::LowStock, ms(600))]);
}

#[tokio::test(start_paused = true)]
async fn race_does_not_count_a_failure() {
    let source = mock(&[(Section::Users, Does::Fails(ms(300), down()))]);
    let first = race::load(source).await.unwrap();
    assert_eq!(first.took, ms(500));
    assert_eq!(first.failed, [SectionError::new(Section::Users, down())]);
}

#[tokio::test(start_paused = true)]
async fn race_gives_up_when_three_cannot_come_together() {
    let source = mock(&[
        (Section::Sales, Does::Fails(ms(50), down())),
        (Section::Users, Does::Fails(ms(100), down())),
        (Section::LowStock, Does::Fails(ms(250), down())),
    ]);
    let began = Instant::now();
    let error = race::load(source).await.unwrap_err();
    assert_eq!(began.elapsed(), ms(250));
    assert_eq!(error.arrived.len(), 1);
    assert_eq!(error.to_string(), "only 2 of 3 sections can still arrive: 3 failed");
}

#[tokio::test(start_paused = true)]
async fn all_settled_keeps_what_arrived() {
    let source = mock(&[
        (Section::Sales, Does::Panics(ms(20))),
        (Section::Users, Does::Hangs),
        (Section::Orders, Does::Fails(ms(40), refused())),
    ]);
    let settled = all_settled::load(source, Timeouts::default()).await;
    assert_eq!(settled.took, ms(3000));
    let failures: Vec<_> = settled.errors().into_iter().map(|e| (e.section, e.failure)).collect();
    assert_eq!(
        failures,
        [
            (Section::Sales, SectionFailure::Panicked { message: "a bug".to_owned() }),
            (Section::Users, SectionFailure::TimedOut { limit: ms(3000) }),
            (Section::Orders, SectionFailure::Source(refused())),
        ]
    );
    assert_eq!(settled.partial().missing(), [Section::Sales, Section::Users, Section::Orders]);
}

#[tokio::test(start_paused = true)]
async fn all_settled_contains_a_panic_before_the_future() {
    let mut source = MockSource::new();
    source.expect_reviews().once().returning(|| panic!("no future yet"));
    let report = all_settled::settle(Section::Reviews, Arc::new(source), ms(100)).await;
    assert_eq!(
        report.result,
        Err(SectionFailure::Panicked { message: "no future yet".to_owned() })
    );
}

/// Every strategy, cut in the middle, gives up its hold of the source: no task, no call is left.
#[tokio::test(start_paused = true)]
async fn a_dropped_load_leaves_nothing_behind() {
    type Load = fn(Arc<dyn DashboardSource>) -> futures::future::BoxFuture<'static, ()>;
    let loads: [(&str, Load); 3] = [
        ("parallel", |source| parallel::load(source).map(drop).boxed()),
        ("race", |source| race::load(source).map(drop).boxed()),
        ("all_settled", |source| all_settled::load(source, Timeouts::default()).map(drop).boxed()),
    ];
    for (name, load) in loads {
        let source = mock(&[]);
        assert!(timeout(ms(150), load(Arc::clone(&source))).await.is_err(), "{name}");
        tokio::task::yield_now().await;
        assert_eq!(Arc::strong_count(&source), 1, "{name}");
    }
}
