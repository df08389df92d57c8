//! What the works of this benchmark share.

use std::convert::Infallible;
use std::hint::black_box;
use std::num::NonZeroUsize;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use tokio::runtime::Runtime;

/// Longer than any measurement: no limit of time is met.
pub const HOUR: Duration = Duration::from_secs(3600);

/// Of a chunk, a limit, a window, a cache.
pub const SIZE: NonZeroUsize = NonZeroUsize::new(100).unwrap();

/// Reads a stream to its end.
pub fn drain<T>(runtime: &Runtime, items: impl Stream<Item = T>) {
    runtime.block_on(items.for_each(|item| {
        black_box(item);
        std::future::ready(())
    }));
}

/// An operation that succeeds at once.
pub async fn work() -> Result<u64, Infallible> {
    Ok(black_box(1))
}

/// An operation that succeeds at its second poll: calls that run at once overlap.
pub async fn later() -> Result<u64, Infallible> {
    tokio::task::yield_now().await;
    Ok(black_box(1))
}
