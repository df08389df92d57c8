//! The public API of level 4.

mod debounce;
mod limiter;
