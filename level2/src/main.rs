//! Shows one load per strategy: live in a terminal, as finished timelines elsewhere.

mod demo;

use std::process::ExitCode;

fn main() -> ExitCode {
    demo::main()
}
