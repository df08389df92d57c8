//! Reading one HTTP answer: its status, its body, and the time it may take.
//!
//! A simple client gets three things wrong. It appends each chunk as text, so that a character that
//! the network cuts in two arrives as two wrong ones. It has no time limit, so that a silent server
//! keeps it waiting without end. It has no limit on the length. `http` is built on the functions here.
//!
//! Lesson: [`lessons/transport.md`](crate::lessons::transport).
//!
//! # Contract
//!
#![doc = include_str!("../contract/transport.md")]

use std::future::Future;
use std::time::Duration;

use futures::{Stream, StreamExt, pin_mut};

use crate::source::SourceError;

/// Accepts the statuses of success, 200 to 299.
///
/// # Errors
/// [`SourceError::Status`] with any other status.
pub fn check_status(status: u16) -> Result<(), SourceError> {
    match status {
        200..=299 => Ok(()),
        _ => Err(SourceError::Status { status }),
    }
}

/// Puts the chunks of a body together and reads them as UTF-8.
///
/// A chunk may end anywhere, also inside a character. At most `limit` bytes are accepted; reading
/// ends with the chunk that exceeds it, so an endless body costs no more memory than that.
///
/// # Errors
/// The first error of `chunks`, unchanged; [`SourceError::TooLarge`]; [`SourceError::Malformed`]
/// when the whole is not UTF-8.
pub async fn read_text<S>(chunks: S, limit: usize) -> Result<String, SourceError>
where
    S: Stream<Item = Result<Vec<u8>, SourceError>>,
{
    // `next` needs a stream that does not move between polls. Pinned on the stack of this future, since it does
    // not leave it.
    pin_mut!(chunks);
    let mut body = Vec::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk?;
        // Compared before the chunk is kept, and by subtraction: `body.len() + chunk.len()` could overflow, while
        // `body.len() <= limit` always holds.
        if chunk.len() > limit - body.len() {
            return Err(SourceError::TooLarge { limit });
        }
        body.extend_from_slice(&chunk);
    }
    // Once, at the end: a chunk may end inside a character.
    String::from_utf8(body)
        .map_err(|error| SourceError::Malformed { reason: error.utf8_error().to_string() })
}

/// Runs the request for `limit` at most. When the time is over, the request is dropped.
///
/// The limit is in whole milliseconds, as tokio's timers are; a request that ends at the very limit
/// may be reported either way.
///
/// # Errors
/// The request's own error, unchanged, or [`SourceError::Timeout`] with the limit.
pub async fn within<T, F>(limit: Duration, request: F) -> Result<T, SourceError>
where
    F: Future<Output = Result<T, SourceError>>,
{
    // `timeout` owns the request and drops it at the limit, which stops it.
    tokio::time::timeout(limit, request).await.unwrap_or(Err(SourceError::Timeout { limit }))
}
