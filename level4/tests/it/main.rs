//! The public API of level 4.

mod limiter;
