//! Random readers of a stream of pages, side by side with a model.

use grader_kit::{Cx, Draw, Outcome, ensure, list, ms};
use tokio::time::{sleep, timeout};

use super::{ITEMS, Items, Pages, items_of, open, pages, told};

/// What is looked at: the rest is another criterion's business.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    Items,
    Requests,
    Drop,
}

/// Virtual milliseconds of a page.
const PAGE: u64 = 100;

/// Scripts that are played.
const SCRIPTS: usize = 25;

/// What a reader does. All times are multiples of 7 ms, so that none ends together with a page.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// Asks for an item and waits until it is there.
    Next,
    /// Asks for an item and stops waiting after this time.
    Cut(u64),
    Pause(u64),
}

impl Step {
    fn drawn(draw: &mut Draw) -> Self {
        match draw.below(4) {
            0 => Step::Cut(7 * draw.between(1..=40)),
            1 => Step::Pause(7 * draw.between(1..=40)),
            _ => Step::Next,
        }
    }
}

/// A stream as the contract describes it.
struct Model {
    lengths: Vec<usize>,
    now: u64,
    /// Items of the last page that are left.
    left: usize,
    given: usize,
    /// The page that comes next, or is under way; counted from 0.
    page: Option<usize>,
    /// When the page under way is there.
    ready: Option<u64>,
    requested: Vec<u32>,
}

/// What becomes of a call of `next`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Got {
    Item,
    End,
    Nothing,
}

impl Model {
    fn new(lengths: Vec<usize>) -> Self {
        Self {
            lengths,
            now: 0,
            left: 0,
            given: 0,
            page: Some(0),
            ready: None,
            requested: Vec::new(),
        }
    }

    /// Asks for an item, for `time` at most.
    fn ask(&mut self, time: Option<u64>) -> Got {
        let end = time.map(|time| self.now + time);
        loop {
            if self.left > 0 {
                self.left -= 1;
                self.given += 1;
                return Got::Item;
            }
            let Some(page) = self.page else { return Got::End };
            let ready = self.ready.unwrap_or_else(|| {
                self.requested.push(u32::try_from(page + 1).unwrap_or(u32::MAX));
                self.now + PAGE
            });
            self.ready = Some(ready);
            if let Some(end) = end.filter(|end| *end < ready) {
                self.now = end;
                return Got::Nothing;
            }
            self.now = self.now.max(ready);
            self.ready = None;
            self.left = self.lengths[page];
            self.page = (page + 1 < self.lengths.len()).then_some(page + 1);
        }
    }
}

/// Plays scripts, and ends the criterion's at the first difference.
pub async fn plays(cx: &Cx, draw: &mut Draw, look: Look) -> Outcome {
    for _ in 0..SCRIPTS {
        let lengths: Vec<usize> = (0..=draw.index(6)).map(|_| draw.index(4)).collect();
        let steps: Vec<Step> = (0..=draw.index(14)).map(|_| Step::drawn(draw)).collect();
        play(cx, draw, &lengths, &steps, look).await?;
    }
    Ok(())
}

async fn play(cx: &Cx, draw: &mut Draw, lengths: &[usize], steps: &[Step], look: Look) -> Outcome {
    let planned = pages(draw, lengths);
    let expected = items_of(&planned);
    let before = cx.alive_tasks();
    let source = Pages::new(cx, planned);
    let mut stream = open(cx, &source).await?;
    let (mut model, mut given) = (Model::new(lengths.to_vec()), 0);
    for (number, step) in steps.iter().enumerate() {
        let time = match step {
            Step::Pause(time) => {
                sleep(ms(*time)).await;
                model.now += time;
                continue;
            }
            Step::Cut(time) => Some(*time),
            Step::Next => None,
        };
        let got = model.ask(time);
        let item = next_within(cx, &mut stream, time).await?;
        let case =
            || format!("pages of {} items, after the steps {:?}", list(lengths), &steps[..=number]);
        if look == Look::Items {
            let next = expected.get(given);
            let right = match &item {
                Some(Some(Ok(item))) => next == Some(item),
                Some(None) => next.is_none(),
                Some(Some(Err(_))) => false,
                // How soon a page is there is another criterion's business.
                None => true,
            };
            ensure!(right, "{}: not the item that comes next", case();
                expected = next.map_or_else(|| "the end".to_owned(), |next| format!("{next:?}")),
                observed = item.as_ref().map_or_else(|| "none yet".to_owned(), |item| told(item.as_ref())),
                help = "a consumer that stops waiting loses nothing: the page under way stays in the stream");
        }
        given += usize::from(matches!(item, Some(Some(Ok(_)))));
        let as_expected = match got {
            Got::Item => given == model.given,
            Got::End => matches!(item, Some(None)),
            Got::Nothing => item.is_none(),
        };
        if !as_expected {
            return Ok(()); // when a page is requested, and what it gives, is another criterion's business
        }
        let requested = source.requested();
        if look == Look::Requests {
            ensure!(requested == model.requested, "{}: the pages requested", case();
                expected = list(&model.requested), observed = list(&requested),
                help = "request a page only when the consumer asks for an item and none is left, and once; the call of \
                        `page` is the request");
        }
    }
    drop(stream);
    cx.settle().await;
    if look == Look::Drop {
        let requested = source.requested();
        sleep(ms(5_000)).await;
        let (open, later) = (source.under_way(), source.requested());
        let left = cx.alive_tasks().saturating_sub(before);
        ensure!(open.is_empty() && later == requested && left == 0, "the stream was dropped after the steps {steps:?}, and something goes on";
            expected = format!("no request and no task; the pages requested: {}", list(&requested)),
            observed = format!("{} requests under way, {left} tasks; the pages requested: {}", open.len(), list(&later)),
            help = "keep the page's future inside the stream: dropped with it, it stops");
    }
    Ok(())
}

/// The next item, or the end; `None` if neither was there in time.
async fn next_within(
    cx: &Cx,
    stream: &mut Items,
    time: Option<u64>,
) -> Result<Option<Option<super::Item>>, grader_kit::Fail> {
    use futures::StreamExt;
    Ok(match time {
        Some(time) => cx.call(ITEMS, timeout(ms(time), stream.next())).await?.value.ok(),
        None => Some(super::next(cx, stream).await?),
    })
}
