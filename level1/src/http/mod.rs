//! A source over HTTP, on reqwest. Needs the feature `http`, which is on by default.
//!
//! It talks to any server with JSONPlaceholder's shape: `PREFIX/users/1` and `PREFIX/users/1/posts`.
//! Every answer is bounded in time, in length and in redirections, and read by
//! [`transport`](crate::transport).

mod config;
mod source;

pub use self::config::{HttpConfig, SetupError};
pub use self::source::HttpSource;
