//! The criteria of level 3.
use std::process::ExitCode;

use grader_kit::criteria;

fn main() -> ExitCode {
    grader_kit::main(criteria! {})
}
