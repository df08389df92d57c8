//! Settings, drops, large figures.

use std::cell::Cell;
use std::num::NonZeroUsize;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use futures::{StreamExt as _, stream};
use grader_kit::marbles::Marbles;
use grader_kit::{Cx, Outcome, dropped_at, ensure, ms, scarce};
use level4::chunk::{ChunkExt as _, Chunks, ConfigError, LONGEST};
use tokio::time::{Instant, sleep};

use super::{CHUNK, expect};
use crate::ops::nz;
use crate::rows::{How, items, mark, source};

const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

pub async fn refuses_bad_times(cx: Cx) -> Outcome {
    ensure!(LONGEST == YEAR, "LONGEST is {LONGEST:?}"; expected = format!("{YEAR:?}"));
    for max in [NonZeroUsize::MIN, nz(7), NonZeroUsize::MAX] {
        let new = |within| cx.call_fn("Chunks::new", move || Chunks::new(max, within));
        ensure!(
            matches!(new(Duration::ZERO).await?, Err(ConfigError::ZeroTime)),
            "a time of zero is not refused as ZeroTime"
        );
        for long in [YEAR + Duration::from_nanos(1), YEAR * 2, Duration::MAX] {
            let refused = matches!(new(long).await?, Err(ConfigError::TooLong(it)) if it == long);
            ensure!(refused, "a time of {long:?} is not refused as TooLong with that time");
        }
        for fine in [Duration::from_nanos(1), ms(1), YEAR - Duration::from_nanos(1), YEAR] {
            ensure!(new(fine).await?.is_ok(), "a time of {fine:?} with a size of {max} is refused"; expected = "it is accepted");
        }
    }
    // The shortest and the longest time work.
    const HELP: &str = "a time that is accepted works";
    let input = items([(0, "a"), (5, "b")]);
    expect(&cx, How::new(2, 1), &input, &items([(1, "a"), (6, "b")]), 100, HELP).await?;
    let year = u64::try_from(YEAR.as_millis()).unwrap_or(u64::MAX);
    expect(&cx, How::new(3, year), &input, &items([]), 10_000, HELP).await
}

/// An item that is counted while it is alive.
struct Counted(Rc<Cell<usize>>);

impl Counted {
    fn new(alive: &Rc<Cell<usize>>) -> Self {
        alive.set(alive.get() + 1);
        Self(Rc::clone(alive))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

pub async fn a_dropped_stream_stops(cx: Cx) -> Outcome {
    for at in [0, 5, 20, 70, 105, 180] {
        let chunks = How::new(3, 100).make(&cx).await?;
        let (alive, sources) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let polls = Rc::new(Cell::new(0));
        let guard = Counted::new(&sources);
        let mut input = Box::pin(source(&items([(10, "a"), (60, "b"), (130, "c"), (160, "d")])));
        let (made, polled) = (Rc::clone(&alive), Rc::clone(&polls));
        let input = stream::poll_fn(move |cx| {
            let _guard = &guard;
            polled.set(polled.get() + 1);
            input.poll_next_unpin(cx).map(|item| item.map(|_| Counted::new(&made)))
        });
        let out = input.chunk_within(chunks);
        let before = cx.alive_tasks();
        if at == 0 {
            drop(out);
        } else {
            let all = async { pin!(out).for_each(|_| async {}).await };
            dropped_at(&cx, CHUNK, at, all).await?;
        }
        let when = format!("a stream was dropped at {at} ms");
        ensure!(sources.get() == 0, "{when}, and its source is still there"; expected = "the source is dropped with it");
        ensure!(alive.get() == 0, "{when}, and {} items of its open chunk are still there", alive.get();
            expected = "the items are dropped with it");
        ensure!(cx.alive_tasks() <= before, "{when}, and a task of it is left";
            expected = "none: what is needed lies in the stream itself");
        let polled = polls.get();
        sleep(Duration::from_secs(200)).await;
        ensure!(polls.get() == polled, "{when}, and its source was polled later");
    }
    Ok(())
}

pub async fn begins_with_the_first_poll(cx: Cx) -> Outcome {
    let chunks = How::new(3, 100).make(&cx).await?;
    let polls = Rc::new(Cell::new(0));
    let counted = Rc::clone(&polls);
    let mut letters = ["b", "a"].map(str::to_owned).to_vec();
    let input = stream::poll_fn(move |_| {
        counted.set(counted.get() + 1);
        letters.pop().map_or(Poll::Pending, |letter| Poll::Ready(Some(letter)))
    });
    let out = cx.call_fn(CHUNK, || input.chunk_within(chunks)).await?;
    sleep(ms(1000)).await;
    ensure!(polls.get() == 0, "a stream was made and not polled, and its source was polled {} times", polls.get();
        expected = "a stream does nothing before its first poll");
    let observed = cx.call(CHUNK, Marbles::record(1000, out, mark)).await?.value;
    observed.ensure(
        &items([(100, "ab")]),
        "a stream of a and b that was polled late",
        "time counts from the first poll",
    )?;
    // Outside of every runtime: a thread of its own.
    let made = cx.on_threads(CHUNK, 1, move |_| {
        let made = std::panic::catch_unwind(|| drop(stream::iter(["a"]).chunk_within(chunks)));
        made.is_ok()
    })?;
    ensure!(made == [true], "making a stream panics where there is no runtime";
        expected = "nothing needs a runtime before the first poll",
        help = "`tokio::time::sleep` panics outside of a runtime: make the timer when a chunk is open");
    Ok(())
}

pub async fn keeps_one_chunk(cx: Cx) -> Outcome {
    // A size that no memory has room for is a bound, not a wish.
    let huge = How::new(usize::MAX, 100);
    let chunks = huge.make(&cx).await?;
    let run = async {
        let input = items([(0, "a"), (5, "b")]);
        pin!(source(&input).chunk_within(chunks)).next().await.map_or(0, |chunk| chunk.len())
    };
    let came = cx.call(CHUNK, run).await?.value;
    ensure!(came == 2, "{huge}: of two items, {came} come out when the time is over");
    let large = How::new(1 << 24, 100).make(&cx).await?;
    {
        let _scarce = scarce(8 << 20);
        let input = stream::iter([1_u64, 2]).chain(stream::pending());
        let run = async { pin!(input.chunk_within(large)).next().await };
        let came = cx.call(CHUNK, run).await?.value;
        ensure!(
            came == Some(vec![1, 2]),
            "chunks of 16 million: of two items, {came:?} come out when the time is over"
        );
    }

    // Many streams with one item each, which comes out, and after which they wait for more.
    const STREAMS: u64 = 1000;
    let chunks = How::new(4096, 100).make(&cx).await?;
    {
        let _scarce = scarce(8 << 20);
        let streams = async {
            let mut streams = Vec::new();
            for number in 0..STREAMS {
                let input = stream::iter([number]).chain(stream::pending());
                let mut out = Box::pin(input.chunk_within(chunks));
                let _ = futures::poll!(out.next());
                streams.push(out);
            }
            sleep(ms(100)).await;
            let mut came = 0;
            for out in &mut streams {
                came += u64::from(out.next().await.is_some());
                let _ = futures::poll!(out.next());
            }
            came
        };
        let came = cx.call(CHUNK, streams).await?.value;
        ensure!(came == STREAMS, "{STREAMS} streams with one item in a chunk of 4096: {came} items come out when the time is over"; expected = STREAMS.to_string());
    }

    // Items that are ready at once: no more of them wait than a chunk has.
    const COUNT: usize = 100_000;
    const MAX: usize = 10;
    let chunks = How::new(MAX, 100).make(&cx).await?;
    let (alive, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let (made, seen) = (Rc::clone(&alive), Rc::clone(&most));
    let input = stream::iter(0..COUNT).map(move |_| {
        let item = Counted::new(&made);
        seen.set(seen.get().max(made.get()));
        item
    });
    let run = async {
        let mut out = pin!(input.chunk_within(chunks));
        let mut count = 0;
        while let Some(chunk) = out.next().await {
            count += chunk.len();
        }
        count
    };
    let count = cx.call(CHUNK, run).await?.value;
    ensure!(count == COUNT, "of {COUNT} items that are ready at once, {count} came out");
    ensure!(most.get() <= MAX + 2, "chunks of {MAX}: {} items were alive at the same time", most.get();
        expected = format!("at most {MAX}: a chunk that is complete comes out before the source is polled again"));
    Ok(())
}

pub async fn sleeps_until_a_chunk_is_due(cx: Cx) -> Outcome {
    for within in [100, 150_000] {
        let chunks = How::new(5, within).make(&cx).await?;
        let run = async {
            let input = items([(0, "a"), (10, "b"), (400_000, "c")]);
            let mut out = pin!(source(&input).chunk_within(chunks));
            let began = Instant::now();
            let mut last = Duration::ZERO;
            while began.elapsed() < ms(400_000) {
                if out.next().await.is_none() {
                    break;
                }
                last = began.elapsed();
            }
            last
        };
        let call = cx.call(CHUNK, run).await?;
        ensure!(call.polls < 100, "a source that is silent for minutes: the stream was polled {} times", call.polls;
            expected = "a few: for each item, and when a chunk is due",
            help = "a `Sleep` that ends when the chunk is due, not a loop that looks every few milliseconds");
        ensure!(call.value == ms(400_000 + within), "within {within} ms: the chunk of an item that came at 400 s came out after {} ms", call.value.as_millis();
            expected = format!("after {} ms", 400_000 + within));
    }
    Ok(())
}
