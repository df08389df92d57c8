//! What a limit or a half-open breaker lets through: counted, not timed. Cheaper is easy for who promises
//! less.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bench_kit::paused;
use bench_kit::report::Table;
use failsafe::futures::CircuitBreaker as _;
use futures::FutureExt as _;
use futures::future::join_all;
use governor::clock::FakeRelativeClock;
use level3::breaker::{BreakerConfig, CircuitBreaker};
use level3::deadline::Deadline;
use level3::limiter::{Priority, RateLimiter};
use level3::nonzero;
use tokio::time::{sleep, timeout};

use crate::parts::{failsafe_breaker, recloser_breaker};

type Failed = Box<dyn std::error::Error>;

const CALLERS: u32 = 1000;

/// The table of promises.
pub fn table() -> Result<String, Failed> {
    let [own_probes, failsafe_probes, recloser_probes] = probes()?;
    let [own_calls, governor_calls, tower_calls] = calls_in_a_second()?;
    let mut table = Table::new(&["promise", "this course", "failsafe", "recloser"]);
    let counts = [own_probes, failsafe_probes, recloser_probes].map(|count| count.to_string());
    table.row(&row(&format!("callers let through of {CALLERS} at once, half-open"), &counts));
    table.row(&[
        "a call that is dropped gives its place back",
        "yes",
        "no place to give",
        "no place to give",
    ]);
    table.row(&["results of calls from before the trip decide nothing", "yes", "no", "no"]);
    table.row(&["time is tokio's", "yes", "no", "no"]);
    let mut text = table.text().to_owned();
    let mut table = Table::new(&["promise", "this course", "governor", "tower"]);
    let counts = [own_calls, governor_calls, tower_calls].map(|count| count.to_string());
    table.row(&row("most calls in one second, at a limit of 100", &counts));
    table.row(&["refuses at once what would come too late", "yes", "no", "no"]);
    table.row(&["refunds go first", "yes", "no", "no"]);
    table.row(&["time is tokio's", "yes", "no", "yes"]);
    text.push_str(&format!("\n{}", table.text()));
    let mut table = Table::new(&["promise", "this course", "backon", "tokio-retry"]);
    table.row(&["begins no wait that ends after the deadline", "yes", "no", "no"]);
    table.row(&["the server's Retry-After stands above the backoff", "yes", "by `adjust`", "no"]);
    table.row(&["jitter from a seed", "yes", "yes", "no"]);
    text.push_str(&format!("\n{}", table.text()));
    Ok(text)
}

fn row(name: &str, counts: &[String; 3]) -> [String; 4] {
    let [own, one, other] = counts.clone();
    [name.to_owned(), own, one, other]
}

/// How many of [`CALLERS`] that call at once a half-open breaker lets through.
fn probes() -> Result<[u32; 3], Failed> {
    // The peers read the real clock.
    let runtime = paused::running()?;
    let open_for = Duration::from_millis(5);
    let mut config = BreakerConfig::payment(|_: &()| true);
    config.reset_timeout = open_for;
    let own = CircuitBreaker::new("it", config)?;
    let failsafe = failsafe_breaker(open_for);
    let recloser = recloser::AsyncRecloser::from(recloser_breaker(open_for));
    Ok(runtime.block_on(async {
        let mut found = [0; 3];
        for (index, found) in found.iter_mut().enumerate() {
            let entered = AtomicU32::new(0);
            // Enters and does not end: the others come while it is under way.
            let probe = || async {
                entered.fetch_add(1, Ordering::Relaxed);
                std::future::pending::<Result<(), ()>>().await
            };
            let fail = || async { Err::<(), ()>(()) };
            for _ in 0..200 {
                // That is what they are here for: to open the breaker.
                match index {
                    0 => drop(own.call(fail).await),
                    1 => drop(failsafe.call(fail()).await),
                    _ => drop(recloser.call(fail()).await),
                }
            }
            sleep(open_for * 2).await;
            let callers = (0..CALLERS).map(|_| match index {
                0 => own.call(probe).map(drop).boxed_local(),
                1 => failsafe.call(probe()).map(drop).boxed_local(),
                _ => recloser.call(probe()).map(drop).boxed_local(),
            });
            // All of them are polled once; those that entered never end.
            let _ = timeout(Duration::from_millis(50), join_all(callers)).await;
            *found = entered.load(Ordering::Relaxed);
        }
        found
    }))
}

/// The most calls that a limiter of 100 a second lets through within a second, to a client that calls as
/// soon as it may: from the start, or after a first call and a wait.
fn calls_in_a_second() -> Result<[usize; 3], Failed> {
    let mut most = [0; 3];
    for idle in [0, 999] {
        for (most, found) in most.iter_mut().zip([own(idle)?, governor(idle)?, tower(idle)?]) {
            *most = (*most).max(most_within(&found, 1000));
        }
    }
    Ok(most)
}

/// The largest number of instants (in milliseconds, sorted) within a window.
fn most_within(instants: &[u64], window: u64) -> usize {
    let within =
        |&first: &u64| instants.iter().filter(|&&at| at >= first && at < first + window).count();
    instants.iter().map(within).max().unwrap_or_default()
}

/// The milliseconds at which a client calls that makes one call and waits for `idle`, then asks again and
/// again for three seconds.
fn own(idle: u64) -> Result<Vec<u64>, Failed> {
    let limit = nonzero!(100);
    let runtime = paused::runtime()?;
    runtime.block_on(async {
        let limiter = RateLimiter::new(limit, Duration::from_secs(1))?;
        let begin = tokio::time::Instant::now();
        let mut calls = Vec::new();
        while begin.elapsed() < Duration::from_secs(3) {
            limiter.admit(Priority::Charge, Deadline::never()).await?;
            calls.push(begin.elapsed().as_millis() as u64);
            if calls.len() == 1 {
                sleep(Duration::from_millis(idle)).await;
            }
        }
        Ok(calls)
    })
}

fn governor(idle: u64) -> Result<Vec<u64>, Failed> {
    let clock = FakeRelativeClock::default();
    let quota = governor::Quota::per_second(nonzero!(100));
    let limiter = governor::RateLimiter::direct_with_clock(quota, clock.clone());
    let mut calls = Vec::new();
    let mut at = 0;
    while at < 3000 {
        while limiter.check().is_ok() {
            calls.push(at);
            if calls.len() == 1 {
                clock.advance(Duration::from_millis(idle));
                at += idle;
            }
        }
        clock.advance(Duration::from_millis(1));
        at += 1;
    }
    Ok(calls)
}

fn tower(idle: u64) -> Result<Vec<u64>, Failed> {
    use tower::{Service as _, ServiceExt as _};
    let runtime = paused::runtime()?;
    runtime.block_on(async {
        let mut service = tower::ServiceBuilder::new()
            .rate_limit(100, Duration::from_secs(1))
            .service_fn(|()| async { Ok::<(), std::convert::Infallible>(()) });
        let begin = tokio::time::Instant::now();
        let mut calls = Vec::new();
        while begin.elapsed() < Duration::from_secs(3) {
            service.ready().await?.call(()).await?;
            calls.push(begin.elapsed().as_millis() as u64);
            if calls.len() == 1 {
                sleep(Duration::from_millis(idle)).await;
            }
        }
        Ok(calls)
    })
}
