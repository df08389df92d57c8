//! The parts beside other people's crates, each at the same work: an operation that succeeds at once.

use std::hint::black_box;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use bench_kit::contest::Case;
use bench_kit::paused;
use failsafe::futures::CircuitBreaker as _;
use level3::breaker::{BreakerConfig, CircuitBreaker};
use level3::deadline::Deadline;
use level3::limiter::{Priority, RateLimiter};
use level3::retry::{Disposition, NoJitter, RetryPolicy, retry};
use tokio::runtime::Runtime;
use tokio::time::Instant;

pub const CLOCK: &str = "clock/tokio, read once";

pub const BREAKER: &str = "breaker/this course";
pub const BREAKER_PEERS: [&str; 2] = ["breaker/failsafe", "breaker/recloser"];

pub const OPEN: &str = "open breaker/this course";
pub const OPEN_PEERS: [&str; 2] = ["open breaker/failsafe", "open breaker/recloser"];

pub const RETRY: &str = "retry/this course";
pub const RETRY_PEERS: [&str; 2] = ["retry/backon", "retry/tokio-retry"];

pub const LIMITER: &str = "limiter/this course";
pub const LIMITER_LARGE: &str = "limiter/this course, 1 000 000 live";
pub const LIMITER_PEERS: [&str; 2] = ["limiter/governor", "limiter/tower"];

/// Long enough for no call to meet it.
const HOUR: Duration = Duration::from_secs(3600);

type Failed = Box<dyn std::error::Error>;

/// What is protected: an operation that succeeds without waiting.
async fn work() -> Result<u32, ()> {
    Ok(black_box(1))
}

/// All cases. Each runs its batch inside one `block_on`.
pub fn cases(runtime: &Runtime) -> Result<Vec<Case<'_>>, Failed> {
    let mut cases = vec![Case::new(CLOCK, |times| {
        runtime.block_on(async {
            for _ in 0..times {
                black_box(Instant::now());
            }
        });
    })];
    cases.extend(breakers(runtime)?);
    cases.extend(open_breakers(runtime)?);
    cases.extend(retries(runtime));
    cases.extend(limiters(runtime)?);
    Ok(cases)
}

/// Each with its policy that counts failures in a row, or the nearest that it has.
fn breakers(runtime: &Runtime) -> Result<[Case<'_>; 3], Failed> {
    let own = CircuitBreaker::new("it", BreakerConfig::payment(|_: &()| true))?;
    let failsafe = failsafe_breaker(HOUR);
    let recloser = recloser::AsyncRecloser::from(recloser_breaker(HOUR));
    Ok([
        Case::new(BREAKER, move |times| {
            runtime.block_on(async {
                for _ in 0..times {
                    let _ = black_box(own.call(work).await);
                }
            });
        }),
        Case::new(BREAKER_PEERS[0], move |times| {
            runtime.block_on(async {
                for _ in 0..times {
                    let _ = black_box(failsafe.call(work()).await);
                }
            });
        }),
        Case::new(BREAKER_PEERS[1], move |times| {
            runtime.block_on(async {
                for _ in 0..times {
                    let _ = black_box(recloser.call(work()).await);
                }
            });
        }),
    ])
}

/// The same, open: how long a call takes that is refused.
fn open_breakers(runtime: &Runtime) -> Result<[Case<'_>; 3], Failed> {
    let mut config = BreakerConfig::payment(|_: &()| true);
    config.reset_timeout = HOUR;
    let own = CircuitBreaker::new("it", config)?;
    let failsafe = failsafe_breaker(HOUR);
    let recloser = recloser::AsyncRecloser::from(recloser_breaker(HOUR));
    runtime.block_on(async {
        for _ in 0..200 {
            // That is what they are here for: to open.
            let _ = own.call(|| async { Err::<u32, ()>(()) }).await;
            let _ = failsafe.call(async { Err::<u32, ()>(()) }).await;
            let _ = recloser.call(async { Err::<u32, ()>(()) }).await;
        }
    });
    Ok([
        Case::new(OPEN, move |times| {
            runtime.block_on(async {
                for _ in 0..times {
                    let _ = black_box(own.call(work).await);
                }
            });
        }),
        Case::new(OPEN_PEERS[0], move |times| {
            runtime.block_on(async {
                for _ in 0..times {
                    let _ = black_box(failsafe.call(work()).await);
                }
            });
        }),
        Case::new(OPEN_PEERS[1], move |times| {
            runtime.block_on(async {
                for _ in 0..times {
                    let _ = black_box(recloser.call(work()).await);
                }
            });
        }),
    ])
}

pub fn failsafe_breaker(
    open_for: Duration,
) -> failsafe::StateMachine<
    failsafe::failure_policy::ConsecutiveFailures<failsafe::backoff::Constant>,
    (),
> {
    let policy =
        failsafe::failure_policy::consecutive_failures(5, failsafe::backoff::constant(open_for));
    failsafe::Config::new().failure_policy(policy).build()
}

pub fn recloser_breaker(open_for: Duration) -> recloser::Recloser {
    recloser::Recloser::custom()
        .error_rate(0.5)
        .closed_len(100)
        .half_open_len(10)
        .open_wait(open_for)
        .build()
}

/// Three attempts, exponential backoff from 200 ms on. The schedules are hidden from the compiler, which
/// would otherwise know beforehand what they come to.
fn retries(runtime: &Runtime) -> [Case<'_>; 3] {
    let policy = RetryPolicy::default();
    [
        Case::new(RETRY, move |times| {
            runtime.block_on(async {
                let deadline = Deadline::after(HOUR);
                for _ in 0..times {
                    let classify = |(): &()| Disposition::Retry;
                    let policy = black_box(&policy);
                    let call = retry(policy, &NoJitter, deadline, classify, |_| work());
                    let _ = black_box(call.await);
                }
            });
        }),
        Case::new(RETRY_PEERS[0], |times| {
            use backon::Retryable as _;
            let schedule = backon::ExponentialBuilder::default()
                .with_min_delay(Duration::from_millis(200))
                .with_max_times(2);
            runtime.block_on(async {
                for _ in 0..times {
                    let _ = black_box(work.retry(black_box(schedule)).await);
                }
            });
        }),
        Case::new(RETRY_PEERS[1], |times| {
            use tokio_retry::Retry;
            use tokio_retry::strategy::ExponentialBackoff;
            let schedule = ExponentialBackoff::from_millis(200);
            runtime.block_on(async {
                for _ in 0..times {
                    let schedule = black_box(&schedule).clone().take(2);
                    let _ = black_box(Retry::start(schedule, work).await);
                }
            });
        }),
    ]
}

/// A limiter of this course whose window is always full: each call takes the place of one that is just
/// old enough.
pub fn full_window(runtime: &Runtime, limit: usize) -> Result<RateLimiter, Failed> {
    let size = NonZeroUsize::new(limit).ok_or("a limit is not zero")?;
    let limiter = RateLimiter::new(size, Duration::from_nanos(1))?;
    runtime.block_on(async {
        for _ in 0..limit {
            limiter.admit(Priority::Charge, Deadline::never()).await?;
        }
        Ok(limiter)
    })
}

pub fn admit<'a>(name: &str, runtime: &'a Runtime, limiter: RateLimiter) -> Case<'a> {
    Case::new(name, move |times| {
        runtime.block_on(async {
            let deadline = Deadline::after(HOUR);
            for _ in 0..times {
                let _ = black_box(limiter.admit(Priority::Charge, deadline).await);
            }
        });
    })
}

/// Each with a limit that is never met, so that no call waits.
fn limiters(runtime: &Runtime) -> Result<Vec<Case<'_>>, Failed> {
    use tower::{Service as _, ServiceExt as _};
    let small = admit(LIMITER, runtime, full_window(runtime, 100)?);
    let large = admit(LIMITER_LARGE, runtime, full_window(runtime, 1_000_000)?);
    let governor = governor::RateLimiter::direct(
        governor::Quota::per_second(NonZeroU32::MAX).allow_burst(NonZeroU32::MAX),
    );
    // Tower's limiter makes its timer when it is built, which only works inside of a runtime.
    let mut tower = runtime.block_on(async {
        tower::ServiceBuilder::new()
            .rate_limit(u64::MAX / 2, Duration::from_secs(1))
            .service_fn(|()| async { work().await })
    });
    Ok(vec![
        small,
        large,
        Case::new(LIMITER_PEERS[0], move |times| {
            runtime.block_on(async {
                for _ in 0..times {
                    black_box(&governor).until_ready().await;
                }
            });
        }),
        Case::new(LIMITER_PEERS[1], move |times| {
            runtime.block_on(async {
                for _ in 0..times {
                    if let Ok(ready) = tower.ready().await {
                        let _ = black_box(ready.call(()).await);
                    }
                }
            });
        }),
    ])
}

/// A runtime whose clock runs: what reads it pays for that.
pub fn runtime() -> Result<Runtime, Failed> {
    Ok(paused::running()?)
}
