//! Many payments in flight at once: what one of them holds in memory, and what it costs.
//!
//! Each size runs in a process of its own, since freed memory is not returned to the system.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bench_kit::{cpu, memory, process};
use tokio::sync::watch;

use crate::payments::{Services, gateway, request};

/// Tells a process how many payments to hold.
const VARIABLE: &str = "LEVEL3_BENCH_IN_FLIGHT";

/// A million payments take a minute of CPU time.
const LIMIT: Duration = Duration::from_secs(300);

/// Memory that has to be free for each payment, so that no run drives a machine into its swap.
const ROOM: u64 = 20 * 1024;

type Failed = Box<dyn std::error::Error>;

/// What a number of payments in flight came to.
#[derive(Debug, Clone, Copy)]
pub struct Held {
    pub payments: u32,
    /// Resident memory for each, from before the first to when all of them wait for their charge.
    pub bytes: f64,
    /// CPU time of each, from the first call to the last answer, in nanoseconds.
    pub nanos: f64,
}

/// Does the work if this process was started for it.
pub fn child() -> Option<Result<(), Failed>> {
    let payments = std::env::var(VARIABLE).ok()?;
    Some(payments.parse().map_err(Failed::from).and_then(hold))
}

/// Holds so many payments in a process of its own.
pub fn measure(payments: u32) -> Result<Held, String> {
    let needed = u64::from(payments) * ROOM;
    match memory::available() {
        Some(available) if available < needed => {
            return Err(format!(
                "{payments} payments in flight are left out: {} MiB of memory are free, {} are needed",
                available >> 20,
                needed >> 20
            ));
        }
        _ => {}
    }
    let output = process::run_self(VARIABLE, &payments.to_string(), LIMIT)?;
    let figures: Vec<f64> =
        output.split_ascii_whitespace().filter_map(|figure| figure.parse().ok()).collect();
    match figures[..] {
        [bytes, nanos] => Ok(Held { payments, bytes, nanos }),
        _ => Err(format!("{payments} payments in flight gave no figures: {output}")),
    }
}

fn hold(payments: u32) -> Result<(), Failed> {
    let runtime = bench_kit::paused::running()?;
    let (open, gate) = watch::channel(false);
    let services = Services::new(Some(gate))?;
    let gateway = gateway(&services, payments)?;
    runtime.block_on(async {
        // One payment first: what is there once for all is not any payment's.
        warm(&gateway, &open).await?;
        let base = services.arrived.load(Ordering::Relaxed);
        let before =
            memory::resident().ok_or("this system does not tell the memory of a process")?;
        let begin = cpu::thread_time();
        let mut running = Vec::with_capacity(payments as usize);
        for number in 0..payments {
            let (gateway, request) = (gateway.clone(), request(number + 1));
            running.push(tokio::spawn(async move { gateway.pay(request).await.is_ok() }));
        }
        while services.arrived.load(Ordering::Relaxed) < base + u64::from(payments) {
            tokio::task::yield_now().await;
        }
        let bytes = memory::resident().ok_or("the memory of a process")?.saturating_sub(before);
        open.send_replace(true);
        for payment in running {
            if !payment.await? {
                return Err("a payment failed".into());
            }
        }
        let took = cpu::thread_time().saturating_sub(begin);
        let each = f64::from(payments);
        println!("{} {}", bytes as f64 / each, took.as_secs_f64() * 1e9 / each);
        Ok(())
    })
}

/// Sends one payment through and closes the gate again.
async fn warm(
    gateway: &level3::gateway::Gateway,
    open: &watch::Sender<bool>,
) -> Result<(), Failed> {
    open.send_replace(true);
    gateway.pay(request(0)).await?;
    open.send_replace(false);
    Ok(())
}
