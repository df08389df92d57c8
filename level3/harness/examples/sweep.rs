//! Every fault at every call of a payment, singly and in pairs; or one case by its name.
//!
//! ```text
//! cargo run -p level3-harness --example sweep                  # all of them, and a summary
//! cargo run -p level3-harness --example sweep -- --case confirm=lose-reply+save*=hang
//! cargo run -p level3-harness --example sweep -- --write       # writes level3/failure-scenarios.md
//! cargo run -p level3-harness --example sweep -- --check       # is the file fresh?
//! ```

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::{env, fs, io};

use level3::answer::Status;
use level3::gateway::GatewayConfig;
use level3_harness::{Case, FaultCase, SITES, Single, one_payment, pairs, singles, timeline};
use level3_sim::CallSite;

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments.as_slice() {
        [] => sweep().await.map(|swept| {
            print!("{}", swept.summary);
            for line in &swept.broken {
                println!("{line}");
            }
            swept.broken.is_empty()
        }),
        ["--case", case] => match demo_kit::written(one(case)).await {
            Ok(outcome) => outcome,
            Err(part) => recorded(case, &part),
        },
        ["--write"] => write().await,
        ["--check"] => check().await,
        _ => Err(io::Error::other("--case NAME, --write, --check, or nothing")),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("sweep: {error}");
            ExitCode::from(2)
        }
    }
}

/// What a sweep has found.
struct Report {
    rows: String,
    summary: String,
    broken: Vec<String>,
}

async fn sweep() -> io::Result<Report> {
    let config = GatewayConfig::default();
    let singles = singles(&config).await;
    let mut report = Report { rows: rows(&singles), summary: String::new(), broken: Vec::new() };
    for single in singles.iter().filter(|single| !single.trial.broken.is_empty()) {
        report.broken.push(format!("{}: {}", single.slot, single.trial.broken.join("; ")));
    }
    let text = &mut report.summary;
    let lines = writeln!(
        text,
        "| later fault at | pairs | of these equal to a single fault | run | rules broken |"
    )
    .and_then(|()| writeln!(text, "|---|---:|---:|---:|---:|"));
    lines.map_err(io::Error::other)?;
    for site in SITES {
        let mut broken = 0;
        let swept = pairs(site, &singles, &config, |case, trial| {
            if !trial.broken.is_empty() {
                broken += 1;
                report.broken.push(format!("{case}: {}", trial.broken.join("; ")));
            }
        })
        .await;
        let all = swept.run + swept.equal_to_single + swept.not_judged;
        writeln!(
            report.summary,
            "| {site} | {all} | {} | {} | {broken} |",
            swept.equal_to_single, swept.run
        )
        .map_err(io::Error::other)?;
    }
    Ok(report)
}

/// One row for each single fault.
fn rows(singles: &[Single]) -> String {
    let mut text = String::from(
        "| what goes wrong | the client is told | after ms | undone by | asked again |\n\
         |---|---|---:|---|---|\n",
    );
    for single in singles {
        let trial = &single.trial;
        let told = trial.answer.as_ref().map_or("nothing", told);
        let at = trial.answered_at.map_or(String::new(), |at| at.as_millis().to_string());
        let undone: Vec<&str> = [CallSite::Cancel, CallSite::Refund, CallSite::Void]
            .into_iter()
            // What comes after the answer to a repeat is another run.
            .filter(|site| trial.calls.iter().any(|call| call.site == *site))
            .map(CallSite::name)
            .collect();
        let parked = if trial.parked { ", by hand" } else { "" };
        let again = trial.again.as_ref().map_or("nothing", told_again);
        text.push_str(&format!(
            "| `{}` | {told} | {at} | {}{parked} | {again} |\n",
            single.slot,
            undone.join(", ")
        ));
    }
    text
}

type Told = Result<level3::answer::Reply, level3::answer::PayError>;

fn told(answer: &Told) -> &'static str {
    match answer.as_ref().map(|reply| &reply.answer.status) {
        Ok(Status::Paid { .. }) => "paid",
        Ok(Status::Declined { .. }) => "declined",
        Ok(Status::Failed { retryable: true, .. }) => "failed, may pass",
        Ok(Status::Failed { .. }) => "failed",
        Ok(Status::Compensating { .. }) => "compensating",
        Err(_) => "refused",
    }
}

fn told_again(answer: &Told) -> &'static str {
    match answer {
        Ok(reply) if reply.replayed => "the same again",
        answer => told(answer),
    }
}

const HEAD: &str = "# Failure scenarios and their outcomes\n\n\
    Written by `cargo run -p level3-harness --example sweep -- --write` from runs of the gateway; CI compares it.\n\
    Each row is a case that the grader judges too (`level3/sweep`), and\n\
    `cargo run -p level3-harness --example sweep -- --case 'NAME'` shows it call by call.\n\n\
    `confirm=lose-reply` means that the first call of confirm takes effect and its answer is lost,\n\
    `confirm*=lose-reply` that this happens to every one. After each case the services are healed and the\n\
    client asks once more with the same key. In every row, after all of it, the customer is charged\n\
    nothing or the amount, charged exactly if one row stands, and gets one receipt at most.\n\n\
    ## One fault\n\n";

const PAIRS: &str = "\n## Two faults\n\n\
    Every pair of the faults above. Where one of the two is never met once the other has happened, the\n\
    pair is that single fault, and is not run again.\n\n";

async fn document() -> io::Result<(String, bool)> {
    let report = sweep().await?;
    let mut text = format!("{HEAD}{}{PAIRS}{}", report.rows, report.summary);
    if !report.broken.is_empty() {
        text.push_str("\n## Rules that are broken\n\n");
        for line in &report.broken {
            text.push_str(&format!("- {line}\n"));
        }
    }
    Ok((text, report.broken.is_empty()))
}

fn path() -> io::Result<PathBuf> {
    // Cargo tells a program where its package is; the report stands beside it, in the level's folder.
    let folder = env::var_os("CARGO_MANIFEST_DIR").ok_or_else(|| {
        io::Error::other("start me with `cargo run -p level3-harness --example sweep`")
    })?;
    Ok(PathBuf::from(folder).with_file_name("failure-scenarios.md"))
}

async fn write() -> io::Result<bool> {
    let (text, whole) = document().await?;
    let path = path()?;
    // Written beside the old file and renamed: an interrupted run leaves no half of a report.
    let fresh = path.with_extension("md.new");
    fs::write(&fresh, text)?;
    fs::rename(&fresh, &path)?;
    println!("wrote failure-scenarios.md");
    Ok(whole)
}

async fn check() -> io::Result<bool> {
    let (text, whole) = document().await?;
    let fresh = fs::read_to_string(path()?)? == text;
    println!("failure-scenarios.md is {}", if fresh { "fresh" } else { "stale: run with --write" });
    Ok(fresh && whole)
}

/// The cases that the documents name, as the reference solution plays them.
#[expect(clippy::disallowed_macros, reason = "the reference's runs, committed beside this file")]
const RECORDED: [(&str, &str); 2] = [
    ("confirm=lose-reply", include_str!("recorded/confirm-lose-reply.txt")),
    ("save=lose-reply+refund=hang", include_str!("recorded/save-lose-reply-refund-hang.txt")),
];

/// What there is to see of a case as long as the gateway is not written.
fn recorded(case: &str, part: &demo_kit::Unwritten) -> io::Result<bool> {
    match RECORDED.iter().find(|(name, _)| *name == case) {
        Some((_, run)) => print!("{}", demo_kit::in_its_place(part, run)),
        None => println!(
            "{part}\n\nlevel3/failure-scenarios.md says what the reference solution does in every case."
        ),
    }
    Ok(true)
}

async fn one(name: &str) -> io::Result<bool> {
    let case: Case = name.parse().map_err(io::Error::other)?;
    let trial: FaultCase = one_payment(&case, &GatewayConfig::default()).await;
    println!("case: {case}");
    println!("answer: {:?}", trial.answer);
    println!("answered at: {:?}", trial.answered_at);
    for line in timeline(&trial.calls) {
        println!("{line}");
    }
    println!("asked again: {:?}", trial.again);
    for rule in &trial.broken {
        println!("BROKEN: {rule}");
    }
    Ok(trial.broken.is_empty())
}
