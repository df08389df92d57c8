//! The wording of what was measured.

use bench_criterion::plot;
use bench_kit::fit;
use bench_kit::report::{self, Table};
use bench_kit::stats::Bounded;

use crate::parts::{
    BREAKER, BREAKER_PEERS, CLOCK, LIMITER, LIMITER_LARGE, LIMITER_PEERS, OPEN, OPEN_PEERS, RETRY,
    RETRY_PEERS,
};
use crate::payments::PAYMENT;
use crate::{Measured, curves, price, promises};

type Failed = Box<dyn std::error::Error>;

/// The generated part of the report.
pub struct Document {
    /// The text between the marks of the report.
    pub text: String,
    /// The pictures that it shows: file names and SVG.
    pub pictures: Vec<(&'static str, String)>,
}

/// Writes the report on what was measured.
pub fn write(measured: &Measured) -> Result<Document, Failed> {
    let mut text = format!(
        "## What it costs\n\n\
         CPU time of one run on {}. Cases are measured in turns; a ratio is the\n\
         median over all rounds, with the bounds within which it lies in 95 of 100 such runs. Absolute figures\n\
         are of this machine.\n\n\
         ### Goals\n\n{}",
        machine(),
        goals(measured)
    );
    for why in &measured.skipped {
        text.push_str(&format!("\n{why}\n"));
    }
    text.push_str(&format!(
        "\n### What a payment pays for\n\n\
         A payment that survives its client and its process has a task of its own, a store that knows its\n\
         key, and a journal that knows of every effect before it is tried; each call has a breaker, a time\n\
         limit and a retry around it, which read the clock. The shares of these parts:\n\n{}\n\
         The memory of a payment in flight is mostly three futures with a timer in each, those of its task, of its\n\
         current step and of the waiting client, and the journal's records.\n\
         `cargo run --release -p level3-harness --example in_flight` prints the bytes on the heap, with the journal\n\
         in memory and without it.\n",
        price::table(measured)
    ));
    text.push_str(&format!(
        "\n### Beside other people's crates\n\n\
         The same work for all: an operation that succeeds at once (for the open breakers: that is refused).\n\n{}\n\
         What the cheaper ones do not promise, counted in the same run where it can be counted:\n\n{}",
        peers(measured),
        promises::table()?
    ));
    if let Some(javascript) = &measured.javascript {
        text.push_str(&format!(
            "\n### Beside the assignment's JavaScript\n\n\
             Its code as it stands on Node {}, CPU time of the process; the median of {} runs, and the least and\n\
             the largest of them.\n\n{}",
            javascript.version,
            javascript.runs,
            javascript.table(|name| figure(measured, name))
        ));
    }
    text.push_str(&format!("\n### How costs grow\n\n{}", growth(measured)));
    let mut pictures = Vec::new();
    // A quick run may have left out everything that could be drawn.
    if !measured.held.is_empty() {
        text.push_str(
            "\n![CPU time against size](bench/cost-by-size.svg)\n\n\
             ![Memory against size](bench/memory-by-size.svg)\n",
        );
        pictures.push(("cost-by-size.svg", curves::picture(&measured.curves)?));
        let memory = [curves::memory(&measured.held)];
        pictures.push((
            "memory-by-size.svg",
            plot::svg("Memory of a payment", "payments in flight", "bytes", &memory)?,
        ));
    }
    Ok(Document { text, pictures })
}

fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{cores} {} cores ({})", std::env::consts::ARCH, std::env::consts::OS)
}

/// This course's figure for something that the JavaScript is measured at too, in nanoseconds or bytes.
fn figure(measured: &Measured, name: &str) -> Option<f64> {
    let nanos = |name| Some(measured.outcome.nanos(name).median);
    match name {
        "payment" => nanos(PAYMENT),
        "breaker" => nanos(BREAKER),
        "open breaker" => nanos(OPEN),
        "retry" => nanos(RETRY),
        "limiter, 100 live" => nanos(LIMITER),
        "limiter, 1 000 000 live" => nanos(LIMITER_LARGE),
        "memory in flight" => measured.held.iter().find(|h| h.payments == 100_000).map(|h| h.bytes),
        _ => None,
    }
}

/// A row of the goals: how much of what was allowed was used.
fn goals(measured: &Measured) -> String {
    let outcome = &measured.outcome;
    let mut table = Table::new(&["goal", "measured", "of what is allowed"]);
    let mut row =
        |goal: &str, found: String, share: String| table.row(&[goal.to_owned(), found, share]);

    let of_limit = |found: Bounded, limit: f64| Bounded {
        median: found.median / limit,
        low: found.low / limit,
        high: found.high / limit,
    };
    let payment = outcome.nanos(PAYMENT);
    row(
        "a payment with instant services and all protections: 5 us of CPU time",
        report::nanos(payment.median),
        report::ratio(of_limit(payment, 5000.0)),
    );
    match measured.held.last() {
        Some(held) => {
            row(
                "memory of a payment in flight: 2 KiB",
                format!("{:.0} bytes, of {} in flight", held.bytes, held.payments),
                format!("{:.2}", held.bytes / 2048.0),
            );
            row(
                "1 000 000 in flight in one process",
                format!(
                    "{} in flight, {} of CPU time each",
                    held.payments,
                    report::nanos(held.nanos)
                ),
                if held.payments >= 1_000_000 { "reached" } else { "not tried in this run" }
                    .to_owned(),
            );
        }
        None => {
            row("memory of a payment in flight: 2 KiB", "not measured".to_owned(), String::new())
        }
    }
    row(
        "a breaker's call on success: 1 us, a 100 000th of the shortest call that it protects",
        time(measured, BREAKER),
        report::ratio(of_limit(outcome.nanos(BREAKER), 1000.0)),
    );
    row(
        "an admission by the exact sliding window: 1 us, as the breaker",
        time(measured, LIMITER),
        report::ratio(of_limit(outcome.nanos(LIMITER), 1000.0)),
    );
    row(
        "the same with 1 000 000 live entries: as with 100",
        time(measured, LIMITER_LARGE),
        report::ratio(outcome.ratio(LIMITER_LARGE, LIMITER)),
    );
    row(
        "a retry that succeeds at once: as backon",
        format!("{}; backon: {}", time(measured, RETRY), time(measured, RETRY_PEERS[0])),
        report::ratio(outcome.ratio(RETRY, RETRY_PEERS[0])),
    );
    if let Some(grading) = measured.grading {
        row(
            "grading: from saving a file to the verdicts on it",
            format!("{:.1} s", grading.edit_to_verdict.as_secs_f64()),
            "no goal".to_owned(),
        );
        row(
            "grading: all levels, without the build",
            format!("{:.1} s for {} criteria", grading.suite.as_secs_f64(), grading.criteria),
            "no goal".to_owned(),
        );
    }
    format!(
        "{}\nBelow 1 the goal is reached. Reading tokio's clock once takes {} here. A breaker's call and an\n\
         admission read it twice, under their locks; a retry reads it once. Payments that are durable before\n\
         they are answered have a report of their own, since they depend on the disk. The times of grading\n\
         are real time: other work on the machine makes them longer.\n",
        table.text(),
        time(measured, CLOCK)
    )
}

fn time(measured: &Measured, name: &str) -> String {
    report::nanos(measured.outcome.nanos(name).median)
}

fn peers(measured: &Measured) -> String {
    let mut table =
        Table::new(&["peer", "its CPU time", "this course", "this course over the peer"]);
    let rows = [
        (BREAKER, BREAKER_PEERS),
        (OPEN, OPEN_PEERS),
        (RETRY, RETRY_PEERS),
        (LIMITER, LIMITER_PEERS),
    ];
    for (own, peers) in rows {
        for peer in peers {
            let ratio = report::ratio(measured.outcome.ratio(own, peer));
            let what = own.split('/').next().unwrap_or(own);
            table.row(&[
                format!("{what}: {}", short(peer)),
                time(measured, peer),
                time(measured, own),
                ratio,
            ]);
        }
    }
    table.text().to_owned()
}

/// `failsafe` for `breaker/failsafe`.
fn short(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

fn growth(measured: &Measured) -> String {
    let mut table = Table::new(&["what", "from", "to", "exponent"]);
    let memory = curves::memory(&measured.held);
    let costs = measured.curves.iter().map(|curve| (curve, true));
    for (curve, is_time) in costs.chain([(&memory, false)]) {
        let (Some(first), Some(last), Some(exponent)) =
            (curve.points.first(), curve.points.last(), curve.exponent())
        else {
            continue;
        };
        let cell = |point: &(f64, f64)| match is_time {
            true => format!("{} at {:.0}", report::nanos(point.1), point.0),
            false => format!("{:.0} bytes at {:.0}", point.1, point.0),
        };
        table.row(&[curve.name.clone(), cell(first), cell(last), fit::text(exponent)]);
    }
    format!(
        "{}\nThe exponent is that of the power law that fits best: 0 is flat, 1 would be proportional. What is left\n\
         above 0 is the caches': a thing of which there are a million is not in one.\n",
        table.text()
    )
}
