//! Moves a stream of events through the event processor of level 5, and loses none of them.
//! `cargo run -p event-processor -- --help` lists the options.
//!
//! ```text
//!  source: lanes ─▶ ingest ─▶ Processor ─▶ sink: simulated, file, HTTP
//!                                │
//!                             journal: files or memory ─▶ the next start goes on
//!
//!  args ── journal ── run ── drain ── balance ── summary
//!                      │ live figures: figures, view, monitor (a page in a browser)
//!                      └ ends early: stop (Ctrl-C), a journal that cannot write
//! ```
//!
//! Progress goes to stderr, results to stdout.

pub mod args;
pub mod balance;
pub mod chance;
pub mod figures;
pub mod ingest;
pub mod journal;
pub mod key_order;
pub mod monitor;
pub mod problem;
pub mod run;
pub mod sink;
pub mod source;
pub mod summary;
pub mod view;
