//! How many instructions the hot paths of level 3 take; see [`bench_kit::instructions`].

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bench_kit::instructions::{self, HotPath};
use bench_kit::paused;
use level3::answer::{PayError, Status};
use level3::breaker::{BreakerConfig, CircuitBreaker};
use level3::deadline::Deadline;
use level3::event::NoObserver;
use level3::gateway::{Gateway, GatewayConfig};
use level3::journal::MemoryJournal;
use level3::limiter::{Priority, RateLimiter};
use level3::money::{Currency, Money};
use level3::nonzero;
use level3::provider::Providers;
use level3::request::PaymentRequest;
use level3::retry::{Disposition, NoJitter, RetryPolicy, retry};
use level3_sim::{InstantServices, Latencies, NoFaults, World};

const HOUR: Duration = Duration::from_secs(3600);
const AMOUNT: i64 = 1999;

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
            path("payment-alone", 400, payments_alone),
            path("payment-refused", 20_000, refusals),
            path("request", 20_000, requests),
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

fn gateway(providers: Providers, rate: NonZeroUsize, rate_window: Duration) -> Gateway {
    let config = GatewayConfig { rate, rate_window, ..GatewayConfig::default() };
    let journal = Arc::new(MemoryJournal::new());
    Gateway::new(config, providers, journal, Arc::new(NoObserver))
        .expect("the figures fit together")
}

fn instant_services() -> Providers {
    let amount = Money::new(AMOUNT, Currency::USD).expect("an amount");
    InstantServices::new(amount).expect("names").providers()
}

fn request(number: u64) -> PaymentRequest {
    let number = u32::try_from(number).expect("few payments");
    PaymentRequest { amount: AMOUNT, ..level3_harness::request(number) }
}

/// Writing a request, which is the client's work and part of each of the two paths below.
fn requests(times: u64) {
    for number in 1..=times {
        drop(black_box(request(number)));
    }
}

/// With services that answer at once and keep nothing: the gateway alone.
fn payments_alone(times: u64) {
    block_on(async {
        let gateway = gateway(instant_services(), nonzero!(1_000_000), Duration::from_secs(1));
        for number in 0..times {
            let reply = black_box(gateway.pay(request(number)).await);
            assert!(matches!(reply.expect("an answer").answer.status, Status::Paid { .. }));
        }
        gateway.drain(HOUR).await;
    });
}

/// Payments that are refused, because the account owes its one call of an hour to another payment.
fn refusals(times: u64) {
    block_on(async {
        let gateway = gateway(instant_services(), nonzero!(1), HOUR);
        let first = tokio::spawn({
            let gateway = gateway.clone();
            async move { gateway.pay(request(0)).await }
        });
        tokio::task::yield_now().await;
        for number in 1..=times {
            let told = black_box(gateway.pay(request(number)).await);
            assert!(matches!(told, Err(PayError::Overloaded { .. })));
        }
        first.abort();
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
