//! A paged API as a stream.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt, Stream, StreamExt};
use grader_kit::{Cx, Fail, Outcome, Timeline, ensure, ensure_eq};
use level1::errors::FetchError;
use level1::model::Page;
use level1::pages::items;
use level1::source::{PageSource, Request, SourceError};
use tokio::time::{sleep, timeout};

const ITEMS: &str = "pages::items";

/// A source of pages that take 100 ms each. What comes after the last planned page is a mistake.
struct Pages {
    timeline: Timeline,
    pages: Vec<Result<Vec<u32>, SourceError>>,
    under_way: Arc<Mutex<Vec<u32>>>,
}

impl Pages {
    fn new(cx: &Cx, pages: Vec<Result<Vec<u32>, SourceError>>) -> Arc<Self> {
        Arc::new(Self { timeline: cx.timeline().clone(), pages, under_way: Arc::default() })
    }

    fn under_way(&self) -> Vec<u32> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The pages requested so far.
    fn requested(&self) -> Vec<String> {
        let events = self.timeline.events().into_iter();
        events.filter(|event| event.what == "requested").map(|event| event.who).collect()
    }
}

impl PageSource<u32> for Pages {
    fn page(&self, number: u32) -> BoxFuture<'static, Result<Page<u32>, SourceError>> {
        let timeline = self.timeline.clone();
        let has_next = (number as usize) < self.pages.len();
        let planned = (number as usize).checked_sub(1).and_then(|index| self.pages.get(index));
        let planned = planned.cloned().unwrap_or(Err(SourceError::Status { status: 404 }));
        let under_way = Arc::clone(&self.under_way);
        async move {
            timeline.record(Request::Page(number).to_string(), "requested");
            under_way.lock().unwrap_or_else(PoisonError::into_inner).push(number);
            let _gone = Gone { number, under_way };
            sleep(Duration::from_millis(100)).await;
            timeline.record(Request::Page(number).to_string(), "answers");
            planned.map(|items| Page { items, has_next })
        }
        .boxed()
    }
}

struct Gone {
    number: u32,
    under_way: Arc<Mutex<Vec<u32>>>,
}

impl Drop for Gone {
    fn drop(&mut self) {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.retain(|number| *number != self.number);
    }
}

type Item = Result<u32, FetchError>;

async fn next(
    cx: &Cx,
    stream: &mut (impl Stream<Item = Item> + Unpin),
) -> Result<Option<Item>, Fail> {
    Ok(cx.call(ITEMS, stream.next()).await?.value)
}

async fn open(
    cx: &Cx,
    source: &Arc<Pages>,
) -> Result<futures::stream::BoxStream<'static, Item>, Fail> {
    let source = Arc::clone(source);
    cx.call_fn(ITEMS, || items(source as Arc<dyn PageSource<u32>>).boxed()).await
}

fn three_pages() -> Vec<Result<Vec<u32>, SourceError>> {
    vec![Ok(vec![1, 2]), Ok(vec![]), Ok(vec![3])]
}

pub async fn in_order(cx: Cx) -> Outcome {
    let source = Pages::new(&cx, three_pages());
    let mut stream = open(&cx, &source).await?;
    let mut got = Vec::new();
    while let Some(item) = next(&cx, &mut stream).await? {
        got.push(item.ok());
        ensure!(got.len() < 10, "the stream does not end";
            expected = "an end behind the page that has no next", observed = format!("{got:?}"));
    }
    ensure_eq!(got, vec![Some(1), Some(2), Some(3)], "the items of pages [1, 2], [] and [3]";
        help = "begin with page 1; an empty page is not the last one unless it says so");
    Ok(())
}

pub async fn on_demand(cx: Cx) -> Outcome {
    let source = Pages::new(&cx, vec![Ok(vec![1, 2]), Ok(vec![3]), Ok(vec![4])]);
    let mut stream = open(&cx, &source).await?;
    let pause = Duration::from_millis(1_000);
    let help = "ask for a page only when an item is asked for and none is left";
    sleep(pause).await;
    ensure_eq!(source.requested().len(), 0, "pages were requested before the first item was asked for";
        help = help);
    for item in 1..=2 {
        next(&cx, &mut stream).await?;
        sleep(pause).await;
        ensure_eq!(source.requested(), vec!["page 1".to_owned()], "the pages requested for item {}", item;
            help = help);
    }
    next(&cx, &mut stream).await?;
    let all = ["page 1", "page 2"].map(str::to_owned).to_vec();
    ensure_eq!(source.requested(), all, "the pages requested for item 3, which is on page 2";
        help = "each page once, in order");
    Ok(())
}

fn failing() -> Vec<Result<Vec<u32>, SourceError>> {
    vec![Ok(vec![1]), Err(SourceError::Status { status: 503 }), Ok(vec![3])]
}

pub async fn error_ends(cx: Cx) -> Outcome {
    let source = Pages::new(&cx, failing());
    let mut stream = open(&cx, &source).await?;
    let mut got = Vec::new();
    for _ in 0..3 {
        got.push(next(&cx, &mut stream).await?.map(|item| item.ok()));
    }
    ensure_eq!(got, vec![Some(Some(1)), Some(None), None], "the items when page 2 of 3 fails (None inside is an error)";
        help = "the items before it, the error, and then the end: no page is asked for after a failure");
    ensure_eq!(source.requested().len(), 2, "the number of pages requested when page 2 fails";
        help = "no page is asked for after a failure");
    Ok(())
}

pub async fn names_the_page(cx: Cx) -> Outcome {
    let source = Pages::new(&cx, failing());
    let mut stream = open(&cx, &source).await?;
    while let Some(item) = next(&cx, &mut stream).await? {
        let Err(error) = item else { continue };
        let cause = SourceError::Status { status: 503 };
        let told = crate::styles::parts(&error);
        ensure!(told == Some((Request::Page(2), &cause)), "the error does not say that page 2 failed, and why";
            expected = format!("request {:?} with cause {cause:?}", Request::Page(2)),
            observed = format!("{error:?}"),
            help = "FetchError::new(Request::Page(number), cause)");
        return Ok(());
    }
    Err(Fail::new("the failure of page 2 was swallowed"))
}

pub async fn stops_when_dropped(cx: Cx) -> Outcome {
    let before = cx.alive_tasks();
    let source = Pages::new(&cx, three_pages());
    let mut stream = open(&cx, &source).await?;
    let cut = timeout(Duration::from_millis(50), stream.next());
    let _ = cx.call(ITEMS, cut).await?;
    ensure_eq!(source.under_way(), vec![1], "page 1 is not under way while its item is awaited");
    drop(stream);
    cx.settle().await;
    ensure_eq!(source.under_way(), Vec::<u32>::new(), "the stream was dropped, its request goes on";
        help = "keep the page's future inside the stream: dropped with it, it stops");
    let left = cx.alive_tasks().saturating_sub(before);
    ensure!(left == 0, "the stream was dropped, but {left} of its tasks live on";
        expected = "nothing is left", observed = format!("{left} tasks"),
        help = "a task that fetches for the stream has to be aborted with it");
    Ok(())
}
