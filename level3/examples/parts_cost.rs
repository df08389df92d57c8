//! What one call through a part costs: by one thread alone, and by two threads that share the part.
//!
//! `cargo run --release -p level3 --example parts_cost`
//!
//! Each figure is the median of several rounds, in CPU time for one call by one thread. The operation
//! succeeds at once, so that what is left is the part's own cost.

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use level3::breaker::{BreakerConfig, CircuitBreaker};
use level3::deadline::Deadline;
use level3::limiter::{Priority, RateLimiter};
use level3::retry::{Disposition, NoJitter, RetryPolicy, retry};
use tokio::runtime::Builder;
use tokio::time::Instant;

type Failed = Box<dyn std::error::Error + Send + Sync>;

const ROUNDS: usize = 15;
const CALLS: u32 = 500_000;

fn main() -> Result<(), Failed> {
    println!("{:<36} {:>10} {:>12}", "ns of CPU time for one call", "one thread", "two threads");

    show("reading tokio's clock", || async {
        black_box(Instant::now());
    })?;

    let breaker = CircuitBreaker::new("it", BreakerConfig::payment(|_: &()| true))?;
    show("a closed breaker", || async {
        let _ = black_box(breaker.call(work).await);
    })?;

    let open = CircuitBreaker::new("it", BreakerConfig::payment(|_: &()| true))?;
    Builder::new_current_thread().build()?.block_on(async {
        for _ in 0..5 {
            // To open it.
            let _ = open.call(|| async { Err::<u32, ()>(()) }).await;
        }
    });
    show("an open breaker", || async {
        let _ = black_box(open.call(work).await);
    })?;

    // The window is always full, and each call takes the place of one that is just old enough.
    let limiter = RateLimiter::new(
        NonZeroUsize::new(100).ok_or("a limit is not zero")?,
        Duration::from_nanos(1),
    )?;
    let deadline = Deadline::never();
    show("an admission by the limiter", || async {
        let _ = black_box(limiter.admit(Priority::Charge, deadline).await);
    })?;

    let policy = RetryPolicy::default();
    show("a retry that succeeds at once", || async {
        let classify = |(): &()| Disposition::Retry;
        let call = retry(black_box(&policy), &NoJitter, deadline, classify, |_| work());
        let _ = black_box(call.await);
    })
}

/// An operation that succeeds without waiting.
async fn work() -> Result<u32, ()> {
    Ok(black_box(1))
}

fn show<F: Future<Output = ()>>(what: &str, call: impl Fn() -> F + Sync) -> Result<(), Failed> {
    let [one, two] = [cost(1, &call)?, cost(2, &call)?];
    println!("{what:<36} {one:>10.1} {two:>12.1}");
    Ok(())
}

/// The median cost of a call in nanoseconds when so many threads make it at the same time.
#[expect(
    clippy::disallowed_methods,
    reason = "measures threads that use one part at the same time"
)]
fn cost<F: Future<Output = ()>>(
    threads: usize,
    call: &(impl Fn() -> F + Sync),
) -> Result<f64, Failed> {
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let start = Barrier::new(threads);
        let thread = || -> Result<Duration, Failed> {
            let runtime = Builder::new_current_thread().enable_time().build()?;
            start.wait();
            runtime.block_on(async {
                let begin = cpu_time();
                for _ in 0..CALLS {
                    call().await;
                }
                Ok(cpu_time().saturating_sub(begin))
            })
        };
        let costs: Vec<_> = thread::scope(|scope| {
            let running: Vec<_> = (0..threads).map(|_| scope.spawn(thread)).collect();
            running.into_iter().map(|running| running.join()).collect()
        });
        for cost in costs {
            let cost = cost.map_err(|_| "a measuring thread panicked")??;
            rounds.push(cost.as_secs_f64() * 1e9 / f64::from(CALLS));
        }
    }
    rounds.sort_by(f64::total_cmp);
    Ok(rounds[rounds.len() / 2])
}

/// The CPU time of this thread. Where the system does not report it, the real time, which other
/// programs on the machine lengthen.
fn cpu_time() -> Duration {
    // The first figure is the time on a CPU in nanoseconds (Linux, proc_pid_schedstat(5)).
    let nanos = std::fs::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .and_then(|text| text.split_ascii_whitespace().next()?.parse().ok());
    nanos.map_or_else(real_time, Duration::from_nanos)
}

fn real_time() -> Duration {
    use std::sync::OnceLock;
    static BEGIN: OnceLock<Instant> = OnceLock::new();
    BEGIN.get_or_init(Instant::now).elapsed()
}
