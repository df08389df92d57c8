//! The criteria of level 2 and the sources they run against.
//!
//! Each criterion watches one behaviour and lets every other pass, so that a fault costs its own
//! criterion and no second one. None of them depends on how a load is built: joined futures, streams,
//! spawned tasks, channels and tower services are all right.
//!
//! Each exercise is a module and a feature of the same name, so that one exercise can be judged without
//! compiling the checks of the others.
// What the exercises share is not all used by each of them.
#![cfg_attr(not(feature = "default"), allow(dead_code))]

mod endings;
mod fake;
mod moves;
mod plain;
mod scripts;
#[cfg(any(
    feature = "all-settled",
    feature = "critical",
    feature = "progressive",
    feature = "retry-failed"
))]
mod settles;
mod shown;
mod support;

#[cfg(feature = "all-settled")]
mod all_settled;
#[cfg(feature = "any")]
mod any;
#[cfg(feature = "cache")]
mod cache;
#[cfg(feature = "critical")]
mod critical;
#[cfg(feature = "deadline")]
mod deadline;
#[cfg(feature = "metrics")]
mod metrics;
#[cfg(feature = "models")]
mod models;
#[cfg(feature = "parallel")]
mod parallel;
#[cfg(feature = "progressive")]
mod progressive;
#[cfg(feature = "queue")]
mod queue;
#[cfg(feature = "race")]
mod race;
#[cfg(feature = "recovery")]
mod recovery;
#[cfg(feature = "retry-failed")]
mod retry_failed;
#[cfg(feature = "sequential")]
mod sequential;

fn main() -> std::process::ExitCode {
    grader_kit::main(
        include!(concat!(env!("OUT_DIR"), "/checks.rs")),
        include!(concat!(env!("OUT_DIR"), "/built_from.rs")),
    )
}
