//! The wording of the report.

use std::fmt::Write as _;

use level2::strategy::Strategy;

use crate::simulate::{LOADS, Simulated, Statistics};

/// Around the part that differs between machines.
const MEASURED_BEGINS: &str = "<!-- measured: differs between machines, not checked -->";
const MEASURED_ENDS: &str = "<!-- end of what was measured -->";

const INTRODUCTION: &str = "\
# Level 2: what four strategies cost and what they give

Five sources: sales 500 ms, users 300 ms, orders 400 ms, low stock 600 ms, reviews 200 ms. All times
are virtual: tokio's paused clock jumps from timer to timer, so a load of 2000 ms is exactly that, on
every machine. Real time appears in one part only, which says what the strategies themselves cost.

`cargo bench -p level2-bench -- --write` brings this file up to date: it simulates, then measures. CI
compares the simulated parts (`cargo run --release -p level2 --example report -- --check`).

## One load of each

A bar is a call; `^` marks the moment at which the load returned.
";

const CHOICE: &str = "\
## Which one when

| the situation | choose | because |
|---|---|---|
| a call needs the answer of the one before | sequential | there is nothing to run at the same time |
| steps with effects: validate, then charge, then ship | sequential | a failure must keep the later steps from happening |
| the service allows one call at a time | sequential, or the queue with one place | the others would be refused |
| every section is needed, and sources are reliable | parallel | the page is there after the slowest source, and a failure is known at once |
| an answer that is only right when it is complete: a balance, a report to print | parallel | half of it would be wrong, not merely incomplete |
| something should be on the screen at once, no matter what | race | it shows three sections after 400 ms, and the rest flows in |
| a few sections matter, the others decorate | progressive | unlike the race it knows which to show first |
| independent widgets, sources that fail now and then | all settled | a failure costs one widget; nothing waits longer than its limit |
| the same data from several replicas | any | the fastest answer counts, a dead replica does not |
| the page must be there after a second, full or not | deadline | the limit holds for the load, not for each call |

For the shop's admin page this means **all settled**: its five sections are independent, an administrator
is better served by four of them than by an error, and the limits keep a silent service from holding up
the page. Sales and orders are critical, so `critical::load` is the same with one rule more.

## What the figures say

* Running the calls together saves 1400 of 2000 ms, because the load then costs the longest latency
  instead of their sum. No strategy can be faster than its slowest necessary source.
* The race is no faster way to the whole page. Its last section arrives at 600 ms as well; what it
  changes is when the first three can be shown.
* With varying latencies the strategies keep their order. The sum varies more in milliseconds and less
  in proportion than the maximum, since slow and quick calls even out.
* A sequential or parallel page is there only when all five sources answer: with a failure rate of 30 %
  that happens in 0.7^5 = 17 % of the loads. All settled always has something to show, unless all five
  fail (0.2 %).
* The parallel load that fails is the quickest of all to return, because it stops at the first failure.
  That is a virtue when the page is useless without it, and a waste when it is not.
* What the strategies themselves cost is microseconds per load. The choice is about waiting and about
  failures, never about CPU time. Memory grows with the number of calls in flight: one for sequential,
  five for the others.
* Throughput here is that of one client that loads the page again and again. A server has many clients,
  and five calls at once are also five times the burst on the services behind it. Where that hurts, the
  queue bounds it.
";

/// The whole report; `measured` is what stands between the marks.
pub fn report(simulated: &[Simulated], measured: &str) -> String {
    let (head, tail) = in_virtual_time(simulated);
    format!("{head}{MEASURED_BEGINS}\n{measured}{MEASURED_ENDS}\n{tail}")
}

/// What stands between the marks; nothing in a report without marks.
pub fn measured(committed: &str) -> &str {
    let inner =
        committed.split_once(MEASURED_BEGINS).and_then(|(_, rest)| rest.split_once(MEASURED_ENDS));
    inner.map_or("", |(measured, _)| measured.trim_start_matches(['\r', '\n']))
}

/// Whether the part of `committed` that happens in virtual time is what `simulated` says.
pub fn is_fresh(committed: &str, simulated: &[Simulated]) -> bool {
    // A checkout on Windows may have carriage returns.
    let committed = committed.replace("\r\n", "\n");
    let Some((head, rest)) = committed.split_once(&format!("{MEASURED_BEGINS}\n")) else {
        return false;
    };
    let Some((_, tail)) = rest.split_once(&format!("{MEASURED_ENDS}\n")) else { return false };
    (head.to_owned(), tail.to_owned()) == in_virtual_time(simulated)
}

/// What stands before and after the measured part.
fn in_virtual_time(simulated: &[Simulated]) -> (String, String) {
    // Writing into a String cannot fail, so the results are of no interest.
    let mut head = INTRODUCTION.to_owned();
    for Simulated { strategy, timeline, .. } in simulated {
        let _ = write!(head, "\n### {strategy}\n\n```text\n{timeline}```\n");
    }
    let _ = write!(
        head,
        "\n## {LOADS} loads of each\n\n\
         Milliseconds of virtual time until the load returns. In the second series each latency lies\n\
         between 80 % and 120 % of the assignment's; all strategies meet the same series.\n\n\
         | strategy | latencies | average | min | max | std dev |\n|---|---|---:|---:|---:|---:|\n"
    );
    for Simulated { strategy, steady, varying, .. } in simulated {
        for (name, statistics) in [("fixed", steady), ("varying", varying)] {
            let Statistics { average, min, max, deviation } = statistics;
            let _ = writeln!(
                head,
                "| {strategy} | {name} | {average:.1} | {min:.0} | {max:.0} | {deviation:.1} |"
            );
        }
    }
    let _ = write!(
        head,
        "\n## {LOADS} loads of each with failing sources\n\n\
         Every call fails with a chance of 30 %. What counts is what can be shown when the load\n\
         returns; a race shows more later.\n\n\
         | strategy | whole pages | pages with something | sections, average | ms to the return, average |\n\
         |---|---:|---:|---:|---:|\n"
    );
    for Simulated { strategy, failing, .. } in simulated {
        let _ = writeln!(
            head,
            "| {strategy} | {} | {} | {:.2} | {:.1} |",
            failing.whole, failing.partial, failing.sections, failing.average
        );
    }
    let _ = write!(
        head,
        "\n## Throughput\n\n\
         One client that begins the next load when the one before has returned, with fixed latencies.\n\n\
         | strategy | loads per minute | sections per minute | against sequential |\n|---|---:|---:|---:|\n"
    );
    let baseline = simulated.first().map_or(1.0, |first| first.steady.average);
    for Simulated { strategy, steady, .. } in simulated {
        let loads = 60_000.0 / steady.average;
        let sections = if *strategy == Strategy::Race { 3.0 } else { 5.0 };
        let _ = writeln!(
            head,
            "| {strategy} | {loads:.1} | {:.1} | {:.2} x |",
            loads * sections,
            baseline / steady.average
        );
    }
    head.push('\n');
    (head, format!("\n{CHOICE}"))
}
