//! What a payment costs when nothing goes wrong: the CPU time that is left when the services take none.
//!
//! `cargo run --release -p level3-harness --example cost`
//!
//! Each figure is the least of several rounds, and each round has a gateway of its own. The first line
//! is the gateway with all that protects it: store of keys, admission, journal in memory, breakers,
//! limiter, timeouts, receipts. The second adds the simulated services, which keep books; the third has
//! 1000 clients at once. The example `overload` measures a payment that is refused.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use futures::future::try_join_all;
use level3::answer::Status;
use level3::event::NoObserver;
use level3::gateway::{Gateway, GatewayConfig};
use level3::journal::MemoryJournal;
use level3::money::{Currency, Money};
use level3::provider::Providers;
use level3::request::PaymentRequest;
use level3_sim::{InstantServices, Latencies, NoFaults, World};

#[path = "support/cpu_time.rs"]
mod cpu_time;
use cpu_time::cpu_time;

type Failed = Box<dyn std::error::Error + Send + Sync>;

const ROUNDS: u32 = 10;
const PAYMENTS: u32 = 50_000;
const CLIENTS: u32 = 1000;
const AMOUNT: i64 = 1999;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failed> {
    let at_once = InstantServices::new(Money::new(AMOUNT, Currency::USD)?)?;
    let simulated = || World::with(Latencies::NONE, Arc::new(NoFaults), None).providers();
    show("services that answer at once", || at_once.providers(), 1).await?;
    show("the simulated services", simulated, 1).await?;
    show("services that answer at once, 1000 clients", || at_once.providers(), CLIENTS).await
}

async fn show(what: &str, providers: impl Fn() -> Providers, clients: u32) -> Result<(), Failed> {
    let mut least = Duration::MAX;
    for _ in 0..ROUNDS {
        least = least.min(round(providers(), clients).await?);
    }
    let each = least / PAYMENTS;
    println!("{what:<45} {:>7} ns of CPU time a payment", each.as_nanos());
    Ok(())
}

/// The CPU time of [`PAYMENTS`] payments by so many clients at once.
async fn round(providers: Providers, clients: u32) -> Result<Duration, Failed> {
    // A limit that is never met: this measures what a call costs, not how long it waits.
    let rate = NonZeroUsize::new(10_000_000).ok_or("not zero")?;
    let config = GatewayConfig { rate, ..GatewayConfig::default() };
    let journal = Arc::new(MemoryJournal::new());
    let gateway = Gateway::new(config, providers, journal, Arc::new(NoObserver))?;
    // Written before the clock starts: that is the clients' work.
    let share = PAYMENTS / clients;
    let requests = |client: u32| (client * share..(client + 1) * share).map(request).collect();
    let requests: Vec<Vec<PaymentRequest>> = (0..clients).map(requests).collect();
    let begin = cpu_time();
    let client = |requests: Vec<PaymentRequest>| {
        let gateway = gateway.clone();
        tokio::spawn(async move {
            for request in requests {
                let reply = gateway.pay(request).await?;
                if !matches!(reply.answer.status, Status::Paid { .. }) {
                    return Err(Failed::from(format!("not paid: {:?}", reply.answer)));
                }
            }
            Ok(())
        })
    };
    for done in try_join_all(requests.into_iter().map(client)).await? {
        done?;
    }
    // The receipts as well.
    gateway.drain(Duration::from_secs(60)).await;
    Ok(cpu_time().saturating_sub(begin))
}

fn request(number: u32) -> PaymentRequest {
    PaymentRequest { amount: AMOUNT, ..level3_harness::request(number) }
}
