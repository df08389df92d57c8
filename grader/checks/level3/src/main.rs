//! The criteria of level 3.
//!
//! Each exercise is a module and a feature of the same name, so that one exercise can be judged without
//! compiling the checks of the others.
// What the exercises share is not all used by each of them.
#![cfg_attr(not(feature = "default"), allow(dead_code))]

mod faulty;
mod ill;
mod parts;
mod requests;
mod steps;
mod values;
mod world;

#[cfg(feature = "assignment")]
mod assignment;
#[cfg(feature = "breaker")]
mod breaker;
#[cfg(feature = "dead-letters")]
mod dead_letters;
#[cfg(feature = "deadline")]
mod deadline;
#[cfg(feature = "gateway")]
mod gateway;
#[cfg(feature = "idempotency")]
mod idempotency;
#[cfg(feature = "limiter")]
mod limiter;
#[cfg(feature = "models")]
mod models;
#[cfg(feature = "overload")]
mod overload;
#[cfg(feature = "recovery")]
mod recovery;
#[cfg(feature = "request")]
mod request;
#[cfg(feature = "retry")]
mod retry;
#[cfg(feature = "saga")]
mod saga;
#[cfg(feature = "sweep")]
mod sweep;

fn main() -> std::process::ExitCode {
    grader_kit::main(
        include!(concat!(env!("OUT_DIR"), "/checks.rs")),
        include!(concat!(env!("OUT_DIR"), "/built_from.rs")),
    )
}
