//! Runs a plan of HTTP requests with the orchestrator of level 5. `cargo run -p request-plan -- --help` lists the options.
//!
//! ```text
//!  FILE ──▶ plan: requests and what they need ──▶ layers: no cycle, nothing unknown
//!                     │
//!                     ▼
//!  Orchestrator over Watched<Reqwest> ──▶ answers ──▶ report: table and timeline, or JSON
//!                            │
//!                            └── each attempt ──▶ view: a line for each request while it goes on
//! ```

pub mod args;
pub mod attempts;
pub mod plan;
pub mod report;
pub mod run;
pub mod view;
