//! All pages first, then the items: the caller pays for what it does not use.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt, Stream, StreamExt, stream};
use level1::model::Page;
use level1::source::{PageSource, SourceError};
use tokio::time::sleep;

use crate::timeline::Timeline;

async fn items(source: Arc<dyn PageSource<u32>>) -> impl Stream<Item = Result<u32, SourceError>> {
    let mut all = Vec::new();
    for number in 1.. {
        match source.page(number).await {
            Ok(page) => {
                all.extend(page.items.into_iter().map(Ok));
                if !page.has_next {
                    break;
                }
            }
            Err(error) => {
                all.push(Err(error));
                break;
            }
        }
    }
    stream::iter(all)
}

/// Five pages of two items; a page takes 100 ms.
struct Pages(Timeline);

impl PageSource<u32> for Pages {
    fn page(&self, number: u32) -> BoxFuture<'static, Result<Page<u32>, SourceError>> {
        let timeline = self.0.clone();
        async move {
            timeline.note("source", format!("page {number} requested"));
            sleep(Duration::from_millis(100)).await;
            Ok(Page { items: vec![2 * number - 1, 2 * number], has_next: number < 5 })
        }
        .boxed()
    }
}

pub async fn run(timeline: Timeline) {
    timeline.begin();
    let items = items(Arc::new(Pages(timeline.clone()))).await;
    let mut three = items.take(3);
    while let Some(Ok(item)) = three.next().await {
        timeline.note("caller", format!("gets item {item}"));
    }
    timeline.note("caller", "has seen enough");
}
