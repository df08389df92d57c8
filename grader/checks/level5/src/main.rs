//! The criteria of level 5 and the scripted partners they run against.
//!
//! Each criterion watches one behaviour and lets every other pass, so that a fault costs its own
//! criterion and no second one.
//!
//! Each exercise is a module and a feature of the same name, so that one exercise can be judged without
//! compiling the checks of the others.
// What the exercises share is not all used by each of them.
#![cfg_attr(not(feature = "default"), allow(dead_code))]

#[cfg(any(feature = "notifications", feature = "notifications-conservation"))]
mod mailroom;

#[cfg(feature = "conflict")]
mod conflict;
#[cfg(feature = "event-processor")]
mod event_processor;
#[cfg(feature = "form-validator")]
mod form_validator;
#[cfg(feature = "multi-source-cache")]
mod multi_source_cache;
#[cfg(feature = "notifications")]
mod notifications;
#[cfg(feature = "notifications-conservation")]
mod notifications_conservation;
#[cfg(feature = "orchestrator")]
mod orchestrator;
#[cfg(feature = "pipeline")]
mod pipeline;
#[cfg(feature = "registration")]
mod registration;
#[cfg(feature = "sync-engine")]
mod sync_engine;

fn main() -> std::process::ExitCode {
    grader_kit::main(
        include!(concat!(env!("OUT_DIR"), "/checks.rs")),
        include!(concat!(env!("OUT_DIR"), "/built_from.rs")),
    )
}
