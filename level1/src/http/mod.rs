//! A source over HTTP, on reqwest. Needs the feature `http`, which is on by default.
//!
//! It talks to any server with JSONPlaceholder's shape: `PREFIX/users/1` and `PREFIX/users/1/posts`.
//! Each request is bounded in time, in the length of its answer and in redirections.
//! [`transport`](crate::transport) reads the answers.

mod config;
mod source;

pub use self::config::{HttpConfig, SetupError};
pub use self::source::HttpSource;
