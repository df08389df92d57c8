//! Pays a stream of payments, and loses none of them. `cargo run -p level3 -- --help` says how.

mod program;

use std::process::ExitCode;

fn main() -> ExitCode {
    program::main()
}
