//! Reading one HTTP answer: its status, its body, and the time it may take.
//!
//! The assignment's client gets three of these wrong: it appends each chunk as text, so that a
//! character cut in two by the network arrives as two wrong ones; it has no time limit, so that a
//! silent server keeps it waiting without end; it has no limit on the length. `http` is built on the
//! functions here.

use std::future::Future;
use std::time::Duration;

use futures::{Stream, TryStreamExt};

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
    let body = chunks
        .try_fold(Vec::new(), |mut body, chunk| {
            body.extend(chunk);
            let fits = body.len() <= limit;
            std::future::ready(if fits { Ok(body) } else { Err(SourceError::TooLarge { limit }) })
        })
        .await?;
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
    tokio::select! {
        result = request => result,
        () = tokio::time::sleep(limit) => Err(SourceError::Timeout { limit }),
    }
}
