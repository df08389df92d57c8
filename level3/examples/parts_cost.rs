//! What the parts cost when nothing goes wrong: `cargo run --release -p level3 --example parts_cost`.
//!
//! Each figure is the least of several rounds, in nanoseconds per call. The clock runs: a call that
//! reads it pays for that, and the first line says how much.

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::time::Duration;

use futures::FutureExt as _;
use level3::breaker::{BreakerConfig, CircuitBreaker};
use level3::deadline::Deadline;
use level3::limiter::{Priority, RateLimiter};
use level3::retry::{Disposition, NoJitter, RetryPolicy, retry};
use tokio::time::Instant;

const ROUNDS: u32 = 300;
const CALLS: u32 = 10_000;

/// The least time of a call of `call`, in nanoseconds.
fn measure(mut call: impl FnMut()) -> f64 {
    let rounds = (0..ROUNDS).map(|_| {
        let began = Instant::now();
        (0..CALLS).for_each(|_| call());
        began.elapsed().as_nanos() as f64 / f64::from(CALLS)
    });
    rounds.fold(f64::INFINITY, f64::min)
}

fn show(what: &str, nanos: f64) {
    println!("{what:<58} {nanos:>7.1} ns");
}

/// A limiter with `live` calls in its window, which never fills up while it is measured.
async fn limiter(live: usize) -> RateLimiter {
    let room = (2 * ROUNDS * CALLS) as usize;
    let limit = NonZeroUsize::new(live + room).unwrap_or(NonZeroUsize::MIN);
    let limiter = RateLimiter::new(limit, Duration::from_secs(3600)).expect("a window");
    for _ in 0..live {
        limiter.admit(Priority::Charge, Deadline::never()).await.expect("room");
    }
    limiter
}

/// A limiter whose ring is full: each call takes the place of one that is just old enough.
async fn full_ring(limit: usize) -> RateLimiter {
    let size = NonZeroUsize::new(limit).unwrap_or(NonZeroUsize::MIN);
    let limiter = RateLimiter::new(size, Duration::from_nanos(1)).expect("a window");
    for _ in 0..limit {
        limiter.admit(Priority::Charge, Deadline::never()).await.expect("room");
    }
    limiter
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    show(
        "tokio's clock, read once",
        measure(|| {
            black_box(Instant::now());
        }),
    );

    let breaker = CircuitBreaker::new("it", BreakerConfig::payment(|_: &()| true)).expect("valid");
    show(
        "breaker: call on success",
        measure(|| {
            let _ = black_box(breaker.call(|| async { Ok::<_, ()>(black_box(1)) }).now_or_never());
        }),
    );

    let policy = RetryPolicy::default();
    let deadline = Deadline::after(Duration::from_secs(3600));
    show(
        "retry: success at the first attempt",
        measure(|| {
            let op = |_| async { Ok::<_, ()>(black_box(1)) };
            let call = retry(&policy, &NoJitter, deadline, |()| Disposition::Retry, op);
            let _ = black_box(call.now_or_never());
        }),
    );

    for live in [100, 1_000_000] {
        let limiter = limiter(live).await;
        show(
            &format!("limiter: admit, {live} live entries and more"),
            measure(|| {
                let _ = black_box(limiter.admit(Priority::Charge, deadline).now_or_never());
            }),
        );
        let limiter = full_ring(live).await;
        show(
            &format!("limiter: admit, ring of {live} full"),
            measure(|| {
                let _ = black_box(limiter.admit(Priority::Charge, deadline).now_or_never());
            }),
        );
        show(
            &format!("limiter: acquire and used, ring of {live} full"),
            measure(|| {
                if let Some(Ok(permit)) = limiter.acquire(Priority::Charge, deadline).now_or_never()
                {
                    permit.used();
                }
            }),
        );
    }
}
