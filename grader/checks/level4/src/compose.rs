//! `compose`: `fold_steps`, `keep_ok`, `first_ok`, `quorum`.

mod any;
mod keep;
mod quorum;
mod steps;
mod whole;

use grader_kit::ms;
use tokio::time::sleep;

use crate::ops::Ops;

pub use any::{
    has_no_success_among_none, reports_every_failure, returns_the_first_success, stops_the_rest,
};
pub use keep::{
    begins_as_soon_as_one_has_ended, keeps_selected_values, keeps_the_failures, respects_the_limit,
};
pub use quorum::{
    agrees_at_the_needed_count, agrees_on_one_value, counts_in_whole_numbers,
    gives_up_when_it_is_impossible, lists_every_outcome, refuses_bad_ratios,
};
pub use steps::{a_failing_step_ends_the_chain, no_steps_return_the_start, steps_run_in_order};
pub use whole::{panics_pass, stops_when_dropped, thousands_at_once};

const FOLD: &str = "fold_steps";
const KEEP: &str = "keep_ok";
const FIRST: &str = "first_ok";
const QUORUM: &str = "quorum";

/// Lists of so many operations: around what a solution may take for enough.
const MANY: [usize; 3] = [33, 129, 1025];
/// An operation of so many milliseconds hangs.
const NEVER: u64 = 1_000_000_000;

/// What an operation does after its time.
#[derive(Debug, Clone)]
enum Does {
    Succeeds(String),
    Fails(String),
}

fn ok(value: impl ToString) -> Does {
    Does::Succeeds(value.to_string())
}

fn err(error: impl ToString) -> Does {
    Does::Fails(error.to_string())
}

/// Operations with their times, which note what happens to them.
fn script<'a>(
    ops: &'a Ops<'_>,
    list: &'a [(u64, Does)],
) -> Vec<impl Future<Output = Result<String, String>> + 'a> {
    let op = |(number, (length, does)): (usize, &(u64, Does))| {
        let (length, does) = (*length, does.clone());
        async move {
            ops.run(number, length).await;
            match does {
                Does::Succeeds(value) => Ok(value),
                Does::Fails(error) => Err(error),
            }
        }
    };
    list.iter().enumerate().map(op).collect()
}

/// One operation without a record.
async fn after(length: u64, does: Does) -> Result<String, String> {
    if length > 0 {
        sleep(ms(length)).await;
    }
    match does {
        Does::Succeeds(value) => Ok(value),
        Does::Fails(error) => Err(error),
    }
}

/// `0: a, 2: c`.
fn numbered<T: std::fmt::Display>(list: &[(usize, T)]) -> String {
    grader_kit::list(list.iter().map(|(index, it)| format!("{index}: {it}")))
}
