//! A paged API as a stream.

use std::pin::pin;
use std::sync::{Arc, Mutex};

use futures::future::{BoxFuture, join};
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryStreamExt};
use grader_kit::{Cx, Draw, Fail, Outcome, Timeline, ensure, list, lock, ms, short};
use level1::errors::FetchError;
use level1::model::Page;
use level1::pages::items;
use level1::source::{PageSource, Request, SourceError};
use tokio::runtime::Builder;
use tokio::task::unconstrained;
use tokio::time::{Duration, sleep, timeout};

use crate::told::{parts, shown};
use crate::values;

mod script;

use script::{Look, plays};

const ITEMS: &str = "pages::items";

/// So many pages are there at once, where there are more than a call of the grader may read.
const PART: u32 = 500;

/// So many parts are read in one call.
const PARTS: usize = 4;

/// What a source gives for a page: its items, or why there are none.
type Planned = Result<Vec<String>, SourceError>;

/// A source of pages. What comes after the last planned page is a mistake.
///
/// Its method is the request, as of a source that sends at once: a page counts as requested, and is under way, from the
/// call on. Its time begins with the first poll.
struct Pages {
    /// How long the page of this number takes, in virtual milliseconds; 0 is at once.
    time: fn(u32) -> u64,
    timeline: Option<Timeline>,
    pages: Vec<Planned>,
    seen: Arc<Mutex<Seen>>,
}

/// What happened to a source.
#[derive(Default)]
struct Seen {
    requested: Vec<u32>,
    under_way: Vec<u32>,
}

impl Pages {
    /// The timeline begins with it: those of one case are made before the case begins.
    fn new(cx: &Cx, pages: Vec<Planned>) -> Arc<Self> {
        cx.timeline().restart();
        let timeline = Some(cx.timeline().clone());
        Arc::new(Self { time: |_| 100, timeline, pages, seen: Arc::default() })
    }

    /// So many pages that the timeline would not hold them, each answered at once.
    fn at_once(pages: Vec<Planned>) -> Arc<Self> {
        Arc::new(Self { time: |_| 0, timeline: None, pages, seen: Arc::default() })
    }

    /// So many pages as well, of which one in [`PART`] takes a millisecond: a reader that lets other tasks run between
    /// two pages does not count as one that spins.
    fn in_parts(pages: Vec<Planned>) -> Arc<Self> {
        let time = |number: u32| u64::from(number.is_multiple_of(PART));
        Arc::new(Self { time, timeline: None, pages, seen: Arc::default() })
    }

    /// Pages that take 25 years each.
    fn slow(pages: Vec<Planned>) -> Arc<Self> {
        let time = |_| values::SLOW.as_secs() * 1_000;
        Arc::new(Self { time, timeline: None, pages, seen: Arc::default() })
    }

    fn under_way(&self) -> Vec<u32> {
        lock(&self.seen).under_way.clone()
    }

    /// The pages requested so far.
    fn requested(&self) -> Vec<u32> {
        lock(&self.seen).requested.clone()
    }
}

impl PageSource<String> for Pages {
    fn page(&self, number: u32) -> BoxFuture<'static, Result<Page<String>, SourceError>> {
        let index = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
        let planned = index.and_then(|index| self.pages.get(index)).cloned();
        let planned = planned.unwrap_or(Err(SourceError::Status { status: 404 }));
        let has_next = index.is_some_and(|index| index + 1 < self.pages.len());
        let (timeline, seen) = (self.timeline.clone(), Arc::clone(&self.seen));
        let after = (self.time)(number);
        let note = move |what: &str| {
            if let Some(timeline) = &timeline {
                timeline.record(Request::Page(number).to_string(), what);
            }
        };
        note("requested");
        lock(&seen).requested.push(number);
        lock(&seen).under_way.push(number);
        let gone = Gone { number, seen };
        async move {
            let _gone = gone;
            if after > 0 {
                sleep(ms(after)).await;
            }
            note(if planned.is_ok() { "answers" } else { "fails" });
            planned.map(|items| Page { items, has_next })
        }
        .boxed()
    }
}

struct Gone {
    number: u32,
    seen: Arc<Mutex<Seen>>,
}

impl Drop for Gone {
    fn drop(&mut self) {
        lock(&self.seen).under_way.retain(|number| *number != self.number);
    }
}

type Item = Result<String, FetchError>;
type Items = BoxStream<'static, Item>;

async fn next(cx: &Cx, stream: &mut Items) -> Result<Option<Item>, Fail> {
    Ok(cx.call(ITEMS, stream.next()).await?.value)
}

async fn open(cx: &Cx, source: &Arc<Pages>) -> Result<Items, Fail> {
    let source = Arc::clone(source);
    cx.call_fn(ITEMS, || items(source as Arc<dyn PageSource<String>>).boxed()).await
}

/// Pages of so many items each.
fn pages(draw: &mut Draw, lengths: &[usize]) -> Vec<Planned> {
    let mut page = |length: &usize| (0..*length).map(|_| values::untidy(draw)).collect();
    lengths.iter().map(|length| Ok(page(length))).collect()
}

/// The items of the pages, up to the first that fails.
fn items_of(pages: &[Planned]) -> Vec<String> {
    pages.iter().map_while(|page| page.as_ref().ok()).flatten().cloned().collect()
}

/// An item as a message shows it.
fn told(item: Option<&Item>) -> String {
    match item {
        None => "the end".to_owned(),
        Some(Ok(item)) => format!("{:?}", short(item)),
        Some(Err(error)) => shown(error),
    }
}

/// Reads the stream to its end, and compares each item with the expected one.
async fn reads(cx: &Cx, stream: &mut Items, expected: &[String], case: &str) -> Outcome {
    let help = "begin with page 1 and go on to the page that has no next; an empty page is not the last one unless it says so, and an item that occurs twice is yielded twice";
    for (index, expected) in expected.iter().enumerate() {
        let item = next(cx, stream).await?;
        ensure!(matches!(&item, Some(Ok(item)) if item == expected), "item {} of {case}", index + 1;
            expected = format!("{expected:?}"), observed = told(item.as_ref()), help = help);
    }
    let end = next(cx, stream).await?;
    ensure!(end.is_none(), "the stream does not end behind the last item of {case}";
        expected = format!("the end after {} items", expected.len()),
        observed = told(end.as_ref()), help = help);
    Ok(())
}

pub async fn in_order(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let (a, b) = (draw.index(4) + 1, draw.index(4) + 1);
    let mut cases = vec![
        ("three pages, the middle one empty", pages(&mut draw, &[a, 0, b])),
        ("pages that are empty at both ends", pages(&mut draw, &[0, 0, a, b, 0])),
        ("one empty page", pages(&mut draw, &[0])),
        ("a page of 300 items", pages(&mut draw, &[300, b])),
    ];
    let same = draw.word();
    let twice = vec![Ok(vec![same.clone(), same.clone()]), Ok(vec![same])];
    cases.push(("pages with the same item three times", twice));
    for (case, pages) in cases {
        let (expected, count) = (items_of(&pages), pages.len());
        let source = Pages::new(&cx, pages);
        let mut stream = open(&cx, &source).await?;
        reads(&cx, &mut stream, &expected, case).await?;
        // The end stays the end.
        let after = next(&cx, &mut stream).await?;
        ensure!(after.is_none(), "after the end of {case}, the stream goes on";
            expected = "the end, however often it is asked for", observed = told(after.as_ref()),
            help = "`fuse` ends a stream for good");
        let all: Vec<u32> = (1..).take(count).collect();
        let requested = source.requested();
        ensure!(requested == all, "the pages requested for {case}";
            expected = list(&all), observed = list(&requested), help = "each page once, in order");
    }
    // The stream has no time limit of its own.
    let pages = pages(&mut draw, &[1]);
    let expected = items_of(&pages);
    let stream = open(&cx, &Pages::slow(pages)).await?;
    let read = tokio::spawn(stream.map(|item| item.map_err(|error| shown(&error))).try_collect());
    cx.pass(values::SLOW + Duration::from_secs(1)).await;
    let read: Result<Vec<String>, String> =
        read.now_or_never().and_then(Result::ok).unwrap_or_else(|| Err("nothing".to_owned()));
    ensure!(read.as_ref() == Ok(&expected), "the items of a page that takes 25 years";
        expected = list(&expected), observed = read.map_or_else(|error| error, |items| list(&items)),
        help = "a time limit is the source's business: it says so with SourceError::Timeout");
    plays(&cx, &mut draw, Look::Items).await?;
    many_pages(&cx, &mut draw)
}

/// More pages than a byte or two can count, and more empty ones in a row than a stack can hold. They are
/// read on a thread with a stack of the usual size.
fn many_pages(cx: &Cx, draw: &mut Draw) -> Outcome {
    const PAGES: usize = 70_000;
    let mut pages: Vec<Planned> = vec![Ok(Vec::new()); PAGES];
    for index in [0, 255, 256, 999, 1_000, 5_000, 65_535, 65_536, PAGES - 1] {
        pages[index] = Ok(vec![format!("{} on page {}", draw.word(), index + 1)]);
    }
    let expected = items_of(&pages);
    let source = Pages::at_once(pages);
    let work = move |_| -> Result<Vec<String>, String> {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let read = async {
            let stream = items(Arc::clone(&source) as Arc<dyn PageSource<String>>);
            stream.map(|item| item.map_err(|error| shown(&error))).try_collect().await
        };
        runtime.block_on(read)
    };
    let read = cx.on_threads(ITEMS, 1, work)?.into_iter().next().unwrap_or(Ok(Vec::new()));
    ensure!(read.as_ref() == Ok(&expected), "the items of 70000 pages, most of them empty";
        expected = list(&expected),
        observed = read.map_or_else(|error| error, |items| short(&list(&items))),
        help = "a page is a step of a loop, not a call inside of the one before it; its number is a u32");
    Ok(())
}

pub async fn on_demand(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let source = Pages::new(&cx, pages(&mut draw, &[2, 1, 1]));
    let mut stream = open(&cx, &source).await?;
    let pause = Duration::from_secs(1);
    let help = "request a page only when the consumer asks for an item and none is left. The call of `page` is the \
                request, also while its future is not polled yet";
    let asked = |for_what: &str, expected: &[u32]| -> Outcome {
        let requested = source.requested();
        ensure!(requested == expected, "the pages requested {for_what}";
            expected = list(expected), observed = list(&requested), help = help);
        Ok(())
    };
    sleep(pause).await;
    asked("before the first item was asked for", &[])?;
    // A consumer that stops waiting and asks again: the page goes on where it was.
    let cut = timeout(ms(50), stream.next());
    let cut = cx.call(ITEMS, cut).await?.value;
    ensure!(cut.is_err(), "an item was there before its page had answered";
        expected = "none for 100 ms", observed = "one within 50 ms");
    asked("for item 1, at 50 ms", &[1])?;
    for item in 1..=2 {
        let _ = next(&cx, &mut stream).await?;
        sleep(pause).await;
        asked(&format!("for item {item}"), &[1])?;
    }
    let _ = next(&cx, &mut stream).await?;
    sleep(pause).await;
    asked("for item 3, which is on page 2", &[1, 2])?;
    plays(&cx, &mut draw, Look::Requests).await?;
    // A page that takes 25 years is requested once, too.
    let slow = Pages::slow(pages(&mut draw, &[1]));
    let mut stream = open(&cx, &slow).await?;
    let read = tokio::spawn(async move { stream.next().await.is_some() });
    cx.pass(values::SLOW + Duration::from_secs(1)).await;
    drop(read);
    let requested = slow.requested();
    ensure!(requested == [1], "the pages requested for an item whose page takes 25 years";
        expected = "1", observed = list(&requested),
        help = "a page is requested once, however long it takes");
    Ok(())
}

/// Pages of which one fails: its number, counted from 1, and why.
fn failing(draw: &mut Draw, number: usize, cause: &SourceError) -> Vec<Planned> {
    let mut planned = pages(draw, &[2, 1, 1, 3]);
    planned[number - 1] = Err(cause.clone());
    planned
}

pub async fn error_ends(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let causes = values::causes(&mut draw);
    for (number, cause) in
        (1..=4).flat_map(|number| causes.iter().map(move |cause| (number, cause)))
    {
        let pages = failing(&mut draw, number, cause);
        let expected = items_of(&pages);
        let source = Pages::new(&cx, pages);
        let mut stream = open(&cx, &source).await?;
        let case = format!("when page {number} of 4 fails ({})", short(&cause.to_string()));
        let help = "the items before it, the error, and then the end: no page is requested after a failure";
        for (index, expected) in expected.iter().enumerate() {
            let item = next(&cx, &mut stream).await?;
            ensure!(matches!(&item, Some(Ok(item)) if item == expected), "item {} {case}", index + 1;
                expected = format!("{expected:?}"), observed = told(item.as_ref()), help = help);
        }
        let error = next(&cx, &mut stream).await?;
        ensure!(matches!(error, Some(Err(_))), "{case}, the stream yields no error";
            expected = "the error behind the items of the pages before it",
            observed = told(error.as_ref()), help = help);
        for _ in 0..2 {
            let after = next(&cx, &mut stream).await?;
            ensure!(after.is_none(), "{case}, the stream goes on after the error";
                expected = "the end", observed = told(after.as_ref()), help = help);
        }
        let requested = source.requested();
        ensure!(requested.len() == number, "the pages requested {case}";
            expected = list(1..=number), observed = list(&requested), help = help);
    }
    every_status(&cx).await
}

/// No status is special: each is an error, on the first page and on a later one.
async fn every_status(cx: &Cx) -> Outcome {
    for number in [1, 2] {
        let read = async {
            let mut ends = Vec::new();
            for status in 0..=999 {
                let mut pages: Vec<Planned> = vec![Ok(Vec::new()); number];
                pages[number - 1] = Err(SourceError::Status { status });
                let source = Pages::at_once(pages);
                let mut stream = items(Arc::clone(&source) as Arc<dyn PageSource<String>>).boxed();
                let end = unconstrained(stream.next()).await;
                let _ = unconstrained(stream.next()).await;
                ends.push((status, end, source.requested().len()));
            }
            ends
        };
        for (status, end, requested) in cx.call(ITEMS, read).await?.value {
            ensure!(matches!(end, Some(Err(_))), "page {number} fails with the status {status}, and the stream yields no error";
                expected = "the error", observed = told(end.as_ref()),
                help = "a failure is not the end of the pages, whatever its status is: pass it on");
            ensure!(requested == number, "page {number} fails with the status {status}, and a page is requested again";
                expected = format!("{number} requests"), observed = format!("{requested} requests"),
                help = "the failure ends the stream: whether a second try makes sense is for the caller to say");
        }
    }
    Ok(())
}

pub async fn names_the_page(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let causes = values::causes(&mut draw);
    for (number, cause) in
        (1..=4).flat_map(|number| causes.iter().map(move |cause| (number, cause)))
    {
        let source = Pages::new(&cx, failing(&mut draw, number, cause));
        names(&cx, &source, number, cause).await?;
    }
    // Behind empty pages the numbers go on.
    for lengths in [[0, 0, 1], [1, 0, 1], [2, 3, 0]] {
        let mut pages = pages(&mut draw, &lengths);
        let cause = SourceError::Status { status: 503 };
        pages.push(Err(cause.clone()));
        names(&cx, &Pages::new(&cx, pages), 4, &cause).await?;
    }
    // Numbers that fit into no byte, and into no two.
    let cause = SourceError::Status { status: 503 };
    for number in [299, 10_500, 65_536 + draw.index(4_000)] {
        let mut pages: Vec<Planned> = vec![Ok(Vec::new()); number];
        pages[number - 1] = Err(cause.clone());
        names(&cx, &Pages::in_parts(pages), number, &cause).await?;
    }
    Ok(())
}

/// The first error of a stream.
///
/// A solution may need several polls for a page: many pages are read in as many calls as keep the polls of each of them
/// far below the grader's limits.
async fn first_error(cx: &Cx, source: &Arc<Pages>) -> Result<Option<FetchError>, Fail> {
    let mut stream = open(cx, source).await?;
    let failed = stream.by_ref().filter_map(|item| std::future::ready(item.err()));
    let mut failed = pin!(failed);
    // One future for all calls: its end is not one of the calls'.
    let mut failed = failed.next();
    for _ in (0..source.pages.len()).step_by(PARTS * PART as usize) {
        let part = cx.call(ITEMS, timeout(ms(PARTS as u64), &mut failed)).await?;
        if let Ok(error) = part.value {
            return Ok(error);
        }
    }
    Ok(cx.call(ITEMS, failed).await?.value)
}

async fn names(cx: &Cx, source: &Arc<Pages>, number: usize, cause: &SourceError) -> Outcome {
    let failed = first_error(cx, source).await?;
    if let Some(error) = failed {
        let page = Request::Page(u32::try_from(number).unwrap_or(u32::MAX));
        let why = short(&format!("{cause:?}"));
        ensure!(parts(&error) == Some((page, cause)), "the error does not say that page {number} failed, and why";
            expected = format!("request {page:?} with cause {why}"),
            observed = shown(&error),
            help = "FetchError::new(Request::Page(number), cause)");
        return Ok(());
    }
    if !source.requested().iter().any(|asked| usize::try_from(*asked) == Ok(number)) {
        return Ok(()); // which pages are requested is asked elsewhere
    }
    Err(Fail::new(format!("the failure of page {number} was swallowed"))
        .expected("an error as the stream's last item")
        .observed("the end, as if there were no further pages")
        .help("a failure is not an empty page: pass it on"))
}

pub async fn stops_when_dropped(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    // The items that are taken before, and how long the next one is awaited then.
    let full = [2, 2, 1];
    for (lengths, taken, wait) in [
        (full, 0, None),
        (full, 0, Some(50)),
        (full, 1, None),
        (full, 2, Some(50)),
        (full, 3, None),
        (full, 4, Some(99)),
        ([0, 0, 1], 0, Some(150)),
        ([0, 0, 1], 0, Some(250)),
        ([1, 0, 1], 1, Some(150)),
    ] {
        let before = cx.alive_tasks();
        let source = Pages::new(&cx, pages(&mut draw, &lengths));
        let mut stream = open(&cx, &source).await?;
        for _ in 0..taken {
            let _ = next(&cx, &mut stream).await?;
        }
        let mut when = format!("after {taken} items");
        if let Some(wait) = wait {
            let _ = cx.call(ITEMS, timeout(ms(wait), stream.next())).await?;
            when = format!("{when}, while it waited for the next one");
        }
        drop(stream);
        cx.settle().await;
        let requested = source.requested();
        let open = source.under_way();
        ensure!(open.is_empty(), "the stream was dropped {when}, but its request goes on";
            expected = "the request is dropped together with the stream",
            observed = format!("page {} is under way", list(&open)),
            help = "keep the page's future inside the stream: dropped with it, it stops");
        sleep(ms(5_000)).await;
        let later = source.requested();
        ensure!(later == requested, "the stream was dropped {when}, and a page was requested after that";
            expected = list(&requested), observed = list(&later),
            help = "a task that fetches for the stream has to be aborted with it");
        let left = cx.alive_tasks().saturating_sub(before);
        ensure!(left == 0, "the stream was dropped {when}, but {left} of its tasks live on";
            expected = "nothing is left", observed = format!("{left} tasks"),
            help = "a task that fetches for the stream has to be aborted with it");
    }
    plays(&cx, &mut draw, Look::Drop).await
}

/// Two streams know nothing of one another.
pub async fn streams_keep_apart(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let (one, other) = (pages(&mut draw, &[2, 1, 2]), pages(&mut draw, &[1, 2, 2]));
    let (first, second) = (items_of(&one), items_of(&other));
    let help =
        "keep what a stream has read in that stream, not in a static: each asks its own source";
    // In turn, item by item.
    let (mut left, mut right) = (
        open(&cx, &Pages::new(&cx, one.clone())).await?,
        open(&cx, &Pages::new(&cx, other)).await?,
    );
    for (a, b) in first.iter().zip(&second) {
        for (stream, expected, whose) in [(&mut left, a, "first"), (&mut right, b, "second")] {
            let item = next(&cx, stream).await?;
            ensure!(matches!(&item, Some(Ok(item)) if item == expected), "two streams at once: an item of the {whose} one is not its own";
                expected = format!("{expected:?}"), observed = told(item.as_ref()), help = help);
        }
    }
    // One source and two streams, which ask for each of its pages at the same time.
    let source = Pages::new(&cx, one.clone());
    let (mut left, mut right) = (open(&cx, &source).await?, open(&cx, &source).await?);
    for (index, expected) in first.iter().enumerate() {
        let both = async { join(left.next(), right.next()).await };
        let call = cx.call(ITEMS, both).await?;
        let took = call.took.as_millis();
        ensure!(took <= 100, "item {} of two streams of one source at once was there after {took} ms", index + 1;
            expected = "100 ms at most, the time of one page", observed = format!("{took} ms"),
            help = "a stream waits for its own request only");
        for item in [call.value.0, call.value.1] {
            ensure!(matches!(&item, Some(Ok(item)) if item == expected), "item {} of two streams of one source at once", index + 1;
                expected = format!("{expected:?}"), observed = told(item.as_ref()), help = help);
        }
    }
    let requested = source.requested();
    ensure!(requested == [1, 1, 2, 2, 3, 3], "the pages requested by two streams of one source at once";
        expected = "1, 1, 2, 2, 3, 3", observed = list(&requested), help = help);
    // The same pages once more, in another stream of the same source.
    let source = Pages::new(&cx, one);
    for round in ["first", "second"] {
        let mut stream = open(&cx, &source).await?;
        for expected in &first {
            let item = next(&cx, &mut stream).await?;
            ensure!(matches!(&item, Some(Ok(item)) if item == expected), "the {round} stream of one source";
                expected = format!("{expected:?}"), observed = told(item.as_ref()), help = help);
        }
    }
    let requested = source.requested();
    ensure!(requested == [1, 2, 3, 1, 2, 3], "the pages requested by two streams of one source";
        expected = "1, 2, 3, 1, 2, 3", observed = list(&requested), help = help);
    // Thousands that failed, were dropped or hang keep no other one from its pages.
    const MANY: usize = 3_000;
    let failing = Pages::at_once(vec![Ok(Vec::new()), Err(SourceError::CallbackDropped)]);
    let hanging = Pages::slow(Vec::new());
    let open_all = || {
        let begun = |number: usize| {
            let source = Arc::clone(if number.is_multiple_of(2) { &failing } else { &hanging });
            let mut stream = items(source as Arc<dyn PageSource<String>>).boxed();
            let _ = unconstrained(stream.next()).now_or_never();
            (number % 4 > 1).then_some(stream)
        };
        (0..4 * MANY).filter_map(begun).collect::<Vec<_>>()
    };
    let kept = cx.call_fn(ITEMS, open_all).await?;
    let mut stream = open(&cx, &source).await?;
    let item = cx.call(ITEMS, timeout(Duration::from_secs(5), stream.next())).await?.value;
    ensure!(matches!(&item, Ok(Some(Ok(item))) if Some(item) == first.first()), "a stream beside {} others that failed, were dropped or hang", 4 * MANY;
        expected = "its first item after its own request",
        observed = item.as_ref().map_or_else(|_| "nothing after 5 s".to_owned(), |item| told(item.as_ref())),
        help = help);
    drop(kept);
    Ok(())
}
