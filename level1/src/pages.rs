//! A paged API as a [`Stream`], the counterpart of an async generator and `for await`.
//!
//! Lesson: [`lessons/pages.md`](crate::lessons::pages).
//!
//! # Contract
//!
#![doc = include_str!("../contract/pages.md")]

use std::sync::Arc;

use futures::{Stream, StreamExt, TryStreamExt, stream};

use crate::errors::FetchError;
use crate::source::{PageSource, Request};

/// The items of all pages, in order, from page 1 to the first one that has no next.
///
/// A page is requested when the consumer asks for an item and none is left of the pages before it: not
/// earlier, and never twice. An empty page is skipped. The first failure is the stream's
/// last item. Dropping the stream drops the request that is under way, and no task is left.
///
/// # Errors
/// An item is the error of the page that failed, as [`FetchError::new`] classifies it for
/// [that page](crate::source::Request::Page).
pub fn items<T>(
    source: Arc<dyn PageSource<T>>,
) -> impl Stream<Item = Result<T, FetchError>> + Send + 'static
where
    T: Send + 'static,
{
    // The state is the number of the next page; `None` behind the last one.
    stream::try_unfold(Some(1), move |number| {
        // Called in the closure, which `try_unfold` runs when the consumer asks and no item is left. The future
        // owns what it needs, so the `async` block below does not borrow `source`.
        let page = number.map(|number| (number, source.page(number)));
        async move {
            let Some((number, page)) = page else { return Ok(None) };
            let page = page.await.map_err(|cause| FetchError::new(Request::Page(number), cause))?;
            // The state that the next call of the closure gets.
            let next = page.has_next.then_some(number + 1);
            Ok(Some((stream::iter(page.items.into_iter().map(Ok)), next)))
        }
    })
    // A stream of pages becomes a stream of items; an empty page contributes none.
    .try_flatten()
    // Keeps the stream at its end, also when it is polled again.
    .fuse()
}
