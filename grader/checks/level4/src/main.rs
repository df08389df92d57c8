//! The criteria of level 4 and the scripted operations they run against.
//!
//! Each criterion watches one behaviour and lets every other pass, so that a fault costs its own
//! criterion and no second one.
//!
//! Each exercise is a module and a feature of the same name, so that one exercise can be judged without
//! compiling the checks of the others.
// What the exercises share is not all used by each of them.
#![cfg_attr(not(feature = "default"), allow(dead_code))]

#[cfg(any(feature = "paging", feature = "models"))]
mod books;
#[cfg(any(feature = "debounce", feature = "models"))]
mod bursts;
#[cfg(any(feature = "single-flight", feature = "ttl-cache", feature = "models"))]
mod fetches;
mod ops;
mod panics;
#[cfg(any(feature = "chunk", feature = "models"))]
mod rows;
#[cfg(any(feature = "socket", feature = "realtime"))]
mod server;

#[cfg(feature = "bulkhead")]
mod bulkhead;
#[cfg(feature = "cancel")]
mod cancel;
#[cfg(feature = "chunk")]
mod chunk;
#[cfg(feature = "compose")]
mod compose;
#[cfg(feature = "dashboard")]
mod dashboard;
#[cfg(feature = "debounce")]
mod debounce;
#[cfg(feature = "http-client")]
mod http_client;
#[cfg(feature = "limiter")]
mod limiter;
#[cfg(feature = "models")]
mod models;
#[cfg(feature = "paging")]
mod paging;
#[cfg(feature = "realtime")]
mod realtime;
#[cfg(feature = "recovery")]
mod recovery;
#[cfg(feature = "resubscribe")]
mod resubscribe;
#[cfg(feature = "single-flight")]
mod single_flight;
#[cfg(feature = "socket")]
mod socket;
#[cfg(feature = "sources")]
mod sources;
#[cfg(feature = "state-store")]
mod state_store;
#[cfg(feature = "ttl-cache")]
mod ttl_cache;

fn main() -> std::process::ExitCode {
    grader_kit::main(
        include!(concat!(env!("OUT_DIR"), "/checks.rs")),
        include!(concat!(env!("OUT_DIR"), "/built_from.rs")),
    )
}
