//! Overload in real time: how many payments are paid, and what a refused payment costs.
//!
//! ```text
//! cargo run --release -p level3-harness --example overload              # measure
//! cargo run --release -p level3-harness --example overload -- --write   # and write the figures into the report
//! ```
//!
//! The example `performance` has the same curve in virtual time, which is exact. Here the clock, the threads and
//! the timers are real. The run takes a minute. The CPU times of paid and refused payments are measured in
//! turns; the ratio is the median over all rounds.

use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use std::{env, fs, io};

use level3::answer::{PayError, Status};
use level3::event::NoObserver;
use level3::gateway::{Gateway, GatewayConfig};
use level3::journal::MemoryJournal;
use level3::money::{Currency, Money};
use level3::request::PaymentRequest;
use level3_harness::Surge;
use level3_sim::{InstantServices, Rates};

#[path = "support/cpu_time.rs"]
mod cpu_time;
use cpu_time::cpu_time;
#[path = "support/marks.rs"]
mod marks;

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// The account allows 100 calls in a second, and a payment needs two.
const CAPACITY: u32 = 50;
/// How long the goodput is measured, after the warm-up of a [`Surge`].
const LASTS: Duration = Duration::from_secs(10);
/// Odd, so that there is one median.
const ROUNDS: usize = 21;
const PAYMENTS: u32 = 2000;
/// More than are paid, so that both take the system's clock of CPU time several ticks.
const REFUSALS: u32 = 40_000;
const AMOUNT: i64 = 1999;

fn main() -> ExitCode {
    match run(env::args().nth(1).as_deref() == Some("--write")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("overload: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(write: bool) -> Result<(), Failed> {
    let mut text = goodput()?;
    text.push_str(&refusals()?);
    print!("{text}");
    if write {
        let folder = env::var_os("CARGO_MANIFEST_DIR").ok_or_else(|| {
            io::Error::other("start me with `cargo run -p level3-harness --example overload`")
        })?;
        let path = PathBuf::from(folder).with_file_name("performance-report.md");
        let report = marks::with_block(&fs::read_to_string(&path)?, &text)
            .ok_or("level3/performance-report.md has no marks around the figures in real time")?;
        let fresh = path.with_extension("md.new");
        fs::write(&fresh, report)?;
        fs::rename(&fresh, &path)?;
    }
    Ok(())
}

/// Offers 1, 2, 10 and 100 times the capacity to a gateway on a runtime with a real clock.
fn goodput() -> Result<String, Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut text = String::from(
        "| offered in a second | times the capacity | paid in a second, real time | of the peak | refused | refused after a call | failed | longest ms |\n\
         |---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    let mut all = Vec::new();
    for times in [1, 2, 10, 100] {
        let surge = Surge {
            offered: CAPACITY * times,
            lasts: LASTS,
            fraud_workers: None,
            rates: Rates::NONE,
            seed: 1,
        };
        let goodput = runtime.block_on(async {
            let surge = tokio::spawn(async move { surge.run(&GatewayConfig::default()).await });
            surge.await
        })??;
        all.push((times, goodput));
    }
    let peak = all.iter().map(|(_, goodput)| goodput.paid).fold(0.0, f64::max);
    for (times, goodput) in all {
        writeln!(
            text,
            "| {} | {times} | {:.1} | {:.1} % | {} | {} | {} | {} |",
            CAPACITY * times,
            goodput.paid,
            100.0 * goodput.paid / peak,
            goodput.refused,
            goodput.refused_late,
            goodput.failed,
            goodput.longest.as_millis()
        )?;
    }
    Ok(text)
}

/// Compares the CPU time of a refused payment with that of a paid one.
fn refusals() -> Result<String, Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut paid, mut refused, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (one, other) =
            runtime.block_on(async { Ok::<_, Failed>((pay().await?, refuse().await?)) })?;
        let (one, other) = (one / PAYMENTS, other / REFUSALS);
        ratios.push(other.as_secs_f64() / one.as_secs_f64());
        paid.push(one);
        refused.push(other);
    }
    paid.sort_unstable();
    refused.sort_unstable();
    ratios.sort_unstable_by(f64::total_cmp);
    let middle = ROUNDS / 2;
    Ok(format!(
        "\nA payment that is refused costs {:.1} % of the CPU time of one that is paid by services that answer at\n\
         once ({} ns and {} ns). The least of {ROUNDS} rounds is {:.1} %, the largest {:.1} %; 5 % are allowed.\n",
        100.0 * ratios[middle],
        refused[middle].as_nanos(),
        paid[middle].as_nanos(),
        100.0 * ratios[0],
        100.0 * ratios[ROUNDS - 1],
    ))
}

fn gateway(config: GatewayConfig) -> Result<Gateway, Failed> {
    let providers = InstantServices::new(Money::new(AMOUNT, Currency::USD)?)?.providers();
    Ok(Gateway::new(config, providers, Arc::new(MemoryJournal::new()), Arc::new(NoObserver))?)
}

/// Written before the clock starts: that is the clients' work.
fn requests(count: u32) -> Vec<PaymentRequest> {
    let request = |number| PaymentRequest { amount: AMOUNT, ..level3_harness::request(number) };
    (1..=count).map(request).collect()
}

/// The CPU time of [`PAYMENTS`] payments that are paid, receipts included.
async fn pay() -> Result<Duration, Failed> {
    // A limit that is never met: this measures what a payment costs, not how long it waits.
    let rate = NonZeroUsize::new(10_000_000).ok_or("not zero")?;
    let gateway = gateway(GatewayConfig { rate, ..GatewayConfig::default() })?;
    let requests = requests(PAYMENTS);
    let begin = cpu_time();
    for request in requests {
        let reply = gateway.pay(request).await?;
        if !matches!(reply.answer.status, Status::Paid { .. }) {
            return Err(Failed::from(format!("not paid: {:?}", reply.answer)));
        }
    }
    gateway.drain(Duration::from_secs(60)).await;
    Ok(cpu_time().saturating_sub(begin))
}

/// The same for payments that are refused, because the account owes its calls to another payment.
async fn refuse() -> Result<Duration, Failed> {
    // An account that makes one call in an hour takes one payment.
    let config = GatewayConfig {
        rate: NonZeroUsize::MIN,
        rate_window: Duration::from_secs(3600),
        ..GatewayConfig::default()
    };
    let gateway = gateway(config)?;
    let first = tokio::spawn({
        let gateway = gateway.clone();
        let request = PaymentRequest { amount: AMOUNT, ..level3_harness::request(0) };
        async move { gateway.pay(request).await }
    });
    tokio::task::yield_now().await;
    let requests = requests(REFUSALS);
    let begin = cpu_time();
    for request in requests {
        let told = gateway.pay(request).await;
        if !matches!(told, Err(PayError::Overloaded { .. })) {
            return Err(Failed::from(format!("not refused: {told:?}")));
        }
    }
    let took = cpu_time().saturating_sub(begin);
    first.abort();
    Ok(took)
}
