//! A paged API as a stream, polled by hand.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::Stream;
use futures::future::BoxFuture;

use crate::errors::FetchError;
use crate::model::Page;
use crate::source::{PageSource, Request, SourceError};

/// The items of all pages, in order.
pub fn items<T>(
    source: Arc<dyn PageSource<T>>,
) -> impl Stream<Item = Result<T, FetchError>> + Send + 'static
where
    T: Send + 'static,
{
    Items { source, number: 1, left: VecDeque::new(), request: None, over: false }
}

struct Items<T> {
    source: Arc<dyn PageSource<T>>,
    number: u32,
    left: VecDeque<T>,
    request: Option<BoxFuture<'static, Result<Page<T>, SourceError>>>,
    over: bool,
}

impl<T> Unpin for Items<T> {}

impl<T> Stream for Items<T> {
    type Item = Result<T, FetchError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(item) = self.left.pop_front() {
                return Poll::Ready(Some(Ok(item)));
            }
            if self.over {
                return Poll::Ready(None);
            }
            let number = self.number;
            let mut request = self.request.take().unwrap_or_else(|| self.source.page(number));
            let Poll::Ready(page) = request.as_mut().poll(cx) else {
                self.request = Some(request);
                return Poll::Pending;
            };
            match page {
                Ok(page) => {
                    self.left = page.items.into();
                    self.over = !page.has_next;
                    self.number += 1;
                }
                Err(cause) => {
                    self.over = true;
                    return Poll::Ready(Some(Err(FetchError::new(Request::Page(number), cause))));
                }
            }
        }
    }
}
