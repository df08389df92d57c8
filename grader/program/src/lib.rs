//! What the programs of the course have in common: the log, Ctrl-C, and names of runs.

pub mod log;
pub mod run_name;
pub mod stop;
