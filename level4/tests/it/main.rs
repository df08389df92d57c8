//! The public API of level 4.

mod debounce;
mod http_client;
mod limiter;
