//! The mock of the five sources.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use level2::error::SourceError;
use level2::model::{Cents, LowStock, Orders, Reviews, Sales, Section, Users};
use level2::source::{DashboardSource, SourceResult};
use tokio::time::sleep;

mockall::mock! {
    /// A source whose every call is expected beforehand.
    pub Source {}

    impl DashboardSource for Source {
        fn sales<'a>(&'a self) -> BoxFuture<'a, SourceResult<Sales>>;
        fn users<'a>(&'a self) -> BoxFuture<'a, SourceResult<Users>>;
        fn orders<'a>(&'a self) -> BoxFuture<'a, SourceResult<Orders>>;
        fn low_stock<'a>(&'a self) -> BoxFuture<'a, SourceResult<LowStock>>;
        fn reviews<'a>(&'a self) -> BoxFuture<'a, SourceResult<Reviews>>;
    }
}

/// `count` milliseconds.
pub const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// An answer that comes after `latency`.
pub fn after<T: Send + 'static>(
    latency: Duration,
    answer: SourceResult<T>,
) -> BoxFuture<'static, SourceResult<T>> {
    sleep(latency).map(|()| answer).boxed()
}

/// The error of a source that is down.
pub fn down() -> SourceError {
    SourceError::Unavailable("down".to_owned())
}

/// The error of a source that refuses.
pub fn refused() -> SourceError {
    SourceError::Rejected("refused".to_owned())
}

/// What the mock does for one section, other than to answer in time.
#[derive(Clone)]
pub enum Does {
    /// Is not called.
    NotCalled,
    /// Fails after that time.
    Fails(Duration, SourceError),
    /// Never answers.
    Hangs,
    /// Panics in its future, after that time.
    Panics(Duration),
}

/// A mock with the assignment's latencies. Each section is called exactly once, and `others` name the
/// sections that do something else than answer.
pub fn mock(others: &[(Section, Does)]) -> Arc<dyn DashboardSource> {
    let mut mock = MockSource::new();
    let does = |section| others.iter().find(|(other, _)| *other == section).map(|(_, does)| does);
    macro_rules! expect {
        ($method:ident, $section:expr, $data:expr) => {
            match does($section).cloned() {
                Some(Does::NotCalled) => {
                    mock.$method().never();
                }
                other => {
                    mock.$method().once().returning(move || match &other {
                        None | Some(Does::NotCalled) => after($section.latency(), Ok($data)),
                        Some(Does::Fails(latency, error)) => after(*latency, Err(error.clone())),
                        Some(Does::Hangs) => std::future::pending().boxed(),
                        Some(Does::Panics(latency)) => {
                            sleep(*latency).map(|()| panic!("a bug")).boxed()
                        }
                    });
                }
            }
        };
    }
    expect!(expect_sales, Section::Sales, sales());
    expect!(expect_users, Section::Users, Users { total: 3, online: 2, new_today: 1 });
    expect!(expect_orders, Section::Orders, Orders { total: 6, urgent: 5, processing: 4 });
    expect!(expect_low_stock, Section::LowStock, LowStock { total: 7, ..LowStock::default() });
    expect!(expect_reviews, Section::Reviews, Reviews { total: 8, ..Reviews::default() });
    Arc::new(mock)
}

/// The sales of the mock.
pub fn sales() -> Sales {
    Sales { total: Cents(1050), orders: 2, average_order: Cents(525) }
}
