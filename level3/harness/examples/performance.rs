//! Writes `level3/performance-report.md`.
//!
//! ```text
//! cargo run --release -p level3-harness --example performance              # run and write
//! cargo run --release -p level3-harness --example performance -- --check   # is the file fresh?
//! ```
//!
//! What this writes happens in virtual time and is the same in every run. What was measured on a machine
//! stands between marks; it is neither compared nor changed. `cargo bench -p level3-bench -- --write` measures what
//! stands at the end again, and the example `overload` the figures in real time.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use std::{env, fs, io};

use level3::gateway::GatewayConfig;
use level3_harness::{Load, Surge, Tally, percentile};
use level3_sim::Rates;

#[path = "support/marks.rs"]
mod marks;

const PAYMENTS: u32 = 50_000;

/// What has been tried to make a payment cheaper. The figures are those of `instructions.txt` before and after
/// each step, so they do not change with it.
const INSTRUCTIONS: &str = "\
## Instructions of a payment

`cargo bench -p level3-instructions` counts them with valgrind, with services that answer at once
(`payment-alone`). Of 79659, writing the answer of each step as JSON took 9 %, moving futures 10 %, malloc and free
14 %, reading the clock 11 %, SipHash 3 %, SHA-256 for the name 4 %. What plain means have brought:

| means | instructions of a payment | of a refused one |
|---|---:|---:|
| before | 79659 | 5566 |
| a state is written into a buffer of the thread and allocated once, in its own size; names are checked and written by bytes | 78500 | 5494 |

Left as they are, so that the code stays plain: `Journal::append` takes a batch by value, so a batch is copied before each
try (1 %); the store of keys hashes what clients choose, and so with SipHash; a second hasher for the journal in
memory, whose names come from SHA-256, would save 2 % and add a crate to each learner's build.

";

/// Around the part that differs between machines.
const MARKS: [&str; 2] = [
    "<!-- measured: differs between machines, not checked -->",
    "<!-- end of what was measured -->",
];

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> ExitCode {
    match run(env::args().nth(1).as_deref() == Some("--check")).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("performance: {error}");
            ExitCode::from(2)
        }
    }
}

async fn run(check: bool) -> io::Result<bool> {
    // Cargo tells a program where its package is; the report stands beside it, in the level's folder.
    let folder = env::var_os("CARGO_MANIFEST_DIR").ok_or_else(|| {
        io::Error::other("start me with `cargo run -p level3-harness --example performance`")
    })?;
    let path = PathBuf::from(folder).with_file_name("performance-report.md");
    // A checkout on Windows may have carriage returns.
    let committed = fs::read_to_string(&path)?.replace("\r\n", "\n");
    let text = report(marks::block(&committed).unwrap_or_default()).await?;
    let [begin, end] = MARKS;
    let (exact, measured) = committed.split_once(begin).unwrap_or((&committed, ""));
    if check {
        let fresh = exact == text;
        println!("performance-report.md is {}", if fresh { "fresh" } else { "stale" });
        return Ok(fresh);
    }
    let fresh = path.with_extension("md.new");
    let measured = measured.split_once(end).map_or("\n", |(measured, _)| measured);
    fs::write(&fresh, format!("{text}{begin}{measured}{end}\n"))?;
    fs::rename(&fresh, &path)?;
    println!("wrote performance-report.md");
    Ok(true)
}

/// Writes the report, with the given figures in real time.
async fn report(real_time: &str) -> io::Result<String> {
    let mut text = format!(
        "# Performance\n\n\
         `cargo bench -p level3-bench -- --write` brings this file up to date: it simulates, then measures. CI\n\
         compares the simulated part (`cargo run --release -p level3-harness --example performance -- --check`).\n\n\
         ## Success and latency\n\n\
         {PAYMENTS} payments for each row, one every 2 ms, in virtual time, with the assignment's latencies and\n\
         seeded failures. Ten payments share a gateway, so that a breaker that opens by chance (five failures\n\
         in a row come once in some 111 000 attempts at 10 %) does not decide about all of them.\n\n\
         | calls that fail | success | 95 % interval | p50 ms | p95 ms | p99 ms | longest ms | longest answer of all ms |\n\
         |---|---:|---|---:|---:|---:|---:|---:|\n"
    );
    let mut counts = String::from(
        "\n| calls that fail | paid | declined | failed | compensating | refused | out of balance | stuck |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for (name, rates) in [
        ("as in the assignment (1, 0.5, 2, 0.1 and 5 %)", Rates::ASSIGNMENT),
        ("10 % of each kind", Rates::TEN_PERCENT),
    ] {
        let load =
            Load { payments: PAYMENTS, every: Duration::from_millis(2), share: 10, rates, seed: 1 };
        let tally = load.run(&GatewayConfig::default()).await.map_err(io::Error::other)?;
        text.push_str(&row(name, &tally));
        counts.push_str(&format!(
            "| {name} | {} | {} | {} | {} | {} | {} | {} |\n",
            tally.paid,
            tally.declined,
            tally.failed,
            tally.compensating,
            tally.refused,
            tally.unbalanced,
            tally.stuck
        ));
    }
    text.push_str(&counts);
    text.push_str(
        "\nSuccess is the share of the payments that were not declined. The latencies are those of the paid\n\
         ones. The least there can be is 1100 ms: create 200, fraud check 500, confirm 300, save 100. Three\n\
         attempts at 10 % give 0.999^4 = 99.60 % on average.\n\n",
    );
    text.push_str(&overload().await?);
    text.push_str(
        "In real time, on a machine with other work beside it, without failures, for 10 s after a warm-up of 5 s\n\
         (`cargo run --release -p level3-harness --example overload -- --write`):\n\n",
    );
    text.push_str(&marks::marked(real_time));
    text.push_str("\n\n");
    text.push_str(INSTRUCTIONS);
    Ok(text)
}

/// The account allows 100 calls in a second, and a payment needs two.
const CAPACITY: u32 = 50;

/// What is paid when more and more is offered.
async fn overload() -> io::Result<String> {
    let mut text = String::from(
        "## Overload\n\n\
         One gateway, in virtual time, for 20 s after a warm-up of 5 s. The account allows 100 calls in a second and\n\
         a payment needs two, so 50 payments in a second are its capacity; with a fraud check that answers 32\n\
         questions in a second, 32. A refused payment is refused before its first call.\n\n\
         | offered in a second | times the capacity | paid in a second | with the assignment's failures | with a fraud check of 32 in a second | refused | failed | p50 ms | longest ms |\n\
         |---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for offered in [25, 45, 50, 75, 100, 250, 500, 1000, 5000] {
        let surge = |rates, fraud_workers| Surge {
            offered,
            lasts: Duration::from_secs(20),
            fraud_workers,
            rates,
            seed: 1,
        };
        let config = GatewayConfig::default();
        let run = async |surge: Surge| surge.run(&config).await.map_err(io::Error::other);
        let calm = run(surge(Rates::NONE, None)).await?;
        let faulty = run(surge(Rates::ASSIGNMENT, None)).await?;
        let narrow = run(surge(Rates::NONE, Some(16))).await?;
        text.push_str(&format!(
            "| {offered} | {} | {:.1} | {:.1} | {:.1} | {} | {} | {} | {} |\n",
            f64::from(offered) / f64::from(CAPACITY),
            calm.paid,
            faulty.paid,
            narrow.paid,
            calm.refused,
            calm.failed + faulty.failed + narrow.failed,
            calm.median.as_millis(),
            calm.longest.as_millis()
        ));
    }
    text.push_str(
        "\nPaid: without failures, with those of the assignment, and with the slow fraud check. Refused, p50 and\n\
         longest are those of the first of the three; failed counts all three.\n\n",
    );
    Ok(text)
}

fn row(name: &str, tally: &Tally) -> String {
    let success = tally.success();
    let ms = |time: Duration| time.as_millis();
    let [p50, p95, p99, most] = [50, 95, 99, 100].map(|p| ms(percentile(&tally.latencies, p)));
    format!(
        "| {name} | {:.3} % | {:.3} to {:.3} % | {p50} | {p95} | {p99} | {most} | {} |\n",
        success.share,
        success.low,
        success.high,
        ms(tally.longest)
    )
}
