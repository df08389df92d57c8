//! How many instructions the hot paths of level 3 take; see [`bench_kit::instructions`].

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bench_kit::instructions::{self, HotPath};
use bench_kit::paused;
use level3::breaker::{BreakerConfig, CircuitBreaker};
use level3::deadline::Deadline;
use level3::event::NoObserver;
use level3::gateway::{Gateway, GatewayConfig};
use level3::journal::MemoryJournal;
use level3::limiter::{Priority, RateLimiter};
use level3::nonzero;
use level3::retry::{Disposition, NoJitter, RetryPolicy, retry};
use level3_sim::{Latencies, NoFaults, World};

const HOUR: Duration = Duration::from_secs(3600);

fn main() -> ExitCode {
    let path = |name, times, run| HotPath { name, times, run };
    instructions::main(
        "level3-instructions",
        &[
            path("breaker-success", 20_000, breaker),
            path("breaker-open", 20_000, open_breaker),
            path("retry-success", 20_000, retried),
            path("limiter-admit", 20_000, limiter),
            path("payment", 400, payments),
        ],
    )
}

async fn work() -> Result<u32, ()> {
    Ok(black_box(1))
}

/// On a paused clock: what reads it takes the same way each time.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    paused::runtime().expect("a runtime").block_on(future)
}

fn breaker(times: u64) {
    let breaker = CircuitBreaker::new("it", BreakerConfig::payment(|_: &()| true)).expect("valid");
    block_on(async {
        for _ in 0..times {
            let _ = black_box(breaker.call(work).await);
        }
    });
}

fn open_breaker(times: u64) {
    let breaker = CircuitBreaker::new("it", BreakerConfig::payment(|_: &()| true)).expect("valid");
    block_on(async {
        for _ in 0..5 {
            // To open it.
            let _ = breaker.call(|| async { Err::<u32, ()>(()) }).await;
        }
        for _ in 0..times {
            let _ = black_box(breaker.call(work).await);
        }
    });
}

fn retried(times: u64) {
    let policy = RetryPolicy::default();
    block_on(async {
        let deadline = Deadline::after(HOUR);
        for _ in 0..times {
            let classify = |(): &()| Disposition::Retry;
            let call = retry(black_box(&policy), &NoJitter, deadline, classify, |_| work());
            let _ = black_box(call.await);
        }
    });
}

fn limiter(times: u64) {
    let room = nonzero!(1_000_000);
    block_on(async {
        let limiter = RateLimiter::new(room, HOUR).expect("a window");
        let deadline = Deadline::after(HOUR);
        for _ in 0..times {
            let _ = black_box(limiter.admit(Priority::Charge, deadline).await);
        }
    });
}

/// With the simulated services: what they take is the same each time, and a fault of theirs would show.
fn payments(times: u64) {
    block_on(async {
        let world = World::with(Latencies::NONE, Arc::new(NoFaults), None);
        let rate = nonzero!(1_000_000);
        let config = GatewayConfig { rate, ..GatewayConfig::default() };
        let journal = Arc::new(MemoryJournal::new());
        let gateway = Gateway::new(config, world.providers(), journal, Arc::new(NoObserver));
        let gateway = gateway.expect("the figures fit together");
        for number in 0..times {
            let request = level3_harness::request(u32::try_from(number).expect("few payments"));
            let _ = black_box(gateway.pay(request).await);
        }
        gateway.drain(HOUR).await;
    });
}
