//! The criteria of level 1, one function each.
//!
//! Each exercise is a module and a feature of the same name, so that one exercise can be judged without
//! compiling the checks of the others.
// What the exercises share is not all used by each of them.
#![cfg_attr(not(feature = "default"), allow(dead_code))]

mod fake;
mod style_async;
mod style_callbacks;
mod style_combinators;
mod styles;
mod syntax;
mod told;
mod values;

#[cfg(feature = "background")]
mod background;
#[cfg(feature = "callbacks")]
mod callbacks;
#[cfg(feature = "combinators")]
mod combinators;
#[cfg(feature = "errors")]
mod errors;
#[cfg(feature = "pages")]
mod pages;
#[cfg(feature = "parallel")]
mod parallel;
#[cfg(feature = "promise")]
mod promise;
#[cfg(feature = "promisify")]
mod promisify;
#[cfg(feature = "sequential")]
mod sequential;
#[cfg(feature = "transport")]
mod transport;

fn main() -> std::process::ExitCode {
    grader_kit::main(
        include!(concat!(env!("OUT_DIR"), "/checks.rs")),
        include!(concat!(env!("OUT_DIR"), "/built_from.rs")),
    )
}
