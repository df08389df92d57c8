//! Settings, drops, large figures.

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use futures::{Stream, StreamExt as _, stream};
use grader_kit::marbles::{Marbles, Mark};
use grader_kit::{Cx, Outcome, dropped_at, ensure, ms};
use level4::debounce::{ConfigError, Debounce, DebounceExt as _, Edge, LONGEST};
use tokio::time::sleep;

use super::{DEBOUNCE, expect, took};
use crate::bursts::{How, source, values};

const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
const EDGES: [Edge; 3] = [Edge::Leading, Edge::Trailing, Edge::Both];

pub async fn refuses_bad_times(cx: Cx) -> Outcome {
    ensure!(LONGEST == YEAR, "LONGEST is {LONGEST:?}"; expected = format!("{YEAR:?}"));
    for edge in EDGES {
        let new = |wait| cx.call_fn("Debounce::new", move || Debounce::new(wait, edge));
        ensure!(
            matches!(new(Duration::ZERO).await?, Err(ConfigError::ZeroWait)),
            "a wait of zero is not refused as ZeroWait"
        );
        for long in [YEAR + Duration::from_nanos(1), YEAR * 2, Duration::MAX] {
            let refused = matches!(new(long).await?, Err(ConfigError::TooLong(it)) if it == long);
            ensure!(refused, "a wait of {long:?} is not refused as TooLong with that time");
        }
        for fine in [Duration::from_nanos(1), ms(1), YEAR - Duration::from_nanos(1), YEAR] {
            ensure!(new(fine).await?.is_ok(), "a wait of {fine:?} is refused"; expected = "it is accepted");
        }
        let valid = How::new(100, edge).make(&cx).await?;
        let max = |max| cx.call_fn("Debounce::with_max_wait", move || valid.with_max_wait(max));
        ensure!(
            matches!(max(Duration::ZERO).await?, Err(ConfigError::ZeroMaxWait)),
            "a max_wait of zero is not refused as ZeroMaxWait"
        );
        for long in [YEAR + Duration::from_nanos(1), Duration::MAX] {
            let refused = matches!(max(long).await?, Err(ConfigError::TooLong(it)) if it == long);
            ensure!(refused, "a max_wait of {long:?} is not refused as TooLong with that time");
        }
        for fine in [Duration::from_nanos(1), ms(1), ms(100), YEAR] {
            ensure!(max(fine).await?.is_ok(), "a max_wait of {fine:?} is refused"; expected = "it is accepted");
        }
    }
    // The shortest and the longest time work.
    const HELP: &str = "a time that is accepted works";
    let input = values([(0, "a"), (5, "b")]);
    let output = values([(1, "a"), (6, "b")]);
    expect(&cx, How::new(1, Edge::Trailing), &input, &output, 100, HELP).await?;
    let year = u64::try_from(YEAR.as_millis()).unwrap_or(u64::MAX);
    for (edge, output) in [(Edge::Leading, "a"), (Edge::Trailing, ""), (Edge::Both, "a")] {
        let how = How::new(year, edge).max(year);
        expect(&cx, how, &Marbles::line("a--b"), &Marbles::line(output), 10_000, HELP).await?;
    }
    Ok(())
}

/// Notes that it was dropped.
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
    for edge in EDGES {
        for at in [0, 20, 49, 51, 70, 240] {
            let how = How::new(100, edge).max(230).make(&cx).await?;
            let (items, sources) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
            let polls = Rc::new(Cell::new(0));
            let guard = Counted::new(&sources);
            let mut values =
                Box::pin(source(&values([(0, "a"), (50, "b"), (140, "c"), (200, "d")])));
            let (made, polled) = (Rc::clone(&items), Rc::clone(&polls));
            let input = stream::poll_fn(move |cx| {
                let _guard = &guard;
                polled.set(polled.get() + 1);
                values.poll_next_unpin(cx).map(|item| item.map(|_| Counted::new(&made)))
            });
            let out = input.debounce(how);
            let before = cx.alive_tasks();
            if at == 0 {
                drop(out);
            } else {
                let all = async { pin!(out).for_each(|_| async {}).await };
                dropped_at(&cx, DEBOUNCE, at, all).await?;
            }
            let when = format!("a stream was dropped at {at} ms");
            ensure!(sources.get() == 0, "{when}, and its source is still there"; expected = "the source is dropped with it");
            ensure!(items.get() == 0, "{when}, and the value that waited is still there"; expected = "the value is dropped with it");
            ensure!(cx.alive_tasks() <= before, "{when}, and a task of it is left";
                expected = "none: what is needed lies in the stream itself");
            let polled = polls.get();
            sleep(Duration::from_secs(200)).await;
            ensure!(polls.get() == polled, "{when}, and its source was polled later");
        }
    }
    Ok(())
}

pub async fn begins_with_the_first_poll(cx: Cx) -> Outcome {
    for edge in EDGES {
        let how = How::new(100, edge).max(300).make(&cx).await?;
        let polls = Rc::new(Cell::new(0));
        let counted = Rc::clone(&polls);
        let mut letters = ["b", "a"].map(str::to_owned).to_vec();
        let input = stream::poll_fn(move |_| {
            counted.set(counted.get() + 1);
            letters.pop().map_or(Poll::Pending, |letter| Poll::Ready(Some(letter)))
        });
        let out = cx.call_fn(DEBOUNCE, || input.debounce(how)).await?;
        sleep(ms(1000)).await;
        ensure!(polls.get() == 0, "a stream was made and not polled, and its source was polled {} times", polls.get();
            expected = "a stream does nothing before its first poll");
        let observed = cx.call(DEBOUNCE, Marbles::record(1000, out, Mark::item)).await?.value;
        let expected = match edge {
            Edge::Leading => "a",
            Edge::Trailing => "----------b",
            Edge::Both => "a---------b",
        };
        let headline = format!("{edge:?}: a stream of a and b that was polled late");
        observed.ensure(&Marbles::line(expected), &headline, "time counts from the first poll")?;
    }
    // Outside of every runtime: a thread of its own.
    let how = How::new(100, Edge::Both).max(300).make(&cx).await?;
    let made = cx.on_threads(DEBOUNCE, 1, move |_| {
        let made = std::panic::catch_unwind(|| drop(stream::iter(["a"]).debounce(how)));
        made.is_ok()
    })?;
    ensure!(made == [true], "making a stream panics where there is no runtime";
        expected = "nothing needs a runtime before the first poll",
        help = "`tokio::time::sleep` panics outside of a runtime: make the timer when a value waits");
    Ok(())
}

/// `count` values that are ready at once, and then silence. Notes how many of them are alive, at most.
fn flood(
    count: usize,
    alive: &Rc<Cell<usize>>,
    most: &Rc<Cell<usize>>,
) -> impl Stream<Item = (usize, Counted)> {
    let (alive, most) = (Rc::clone(alive), Rc::clone(most));
    let values = stream::iter(0..count).map(move |number| {
        let value = Counted::new(&alive);
        most.set(most.get().max(alive.get()));
        (number, value)
    });
    values.chain(stream::pending())
}

pub async fn keeps_one_value(cx: Cx) -> Outcome {
    const COUNT: usize = 100_000;
    for edge in EDGES {
        let how = How::new(100, edge).make(&cx).await?;
        let (alive, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let out = RefCell::new(Vec::new());
        let run = async {
            let mut stream =
                pin!(flood(COUNT, &alive, &most).debounce(how).take_until(sleep(ms(1000))));
            while let Some((number, _)) = stream.next().await {
                out.borrow_mut().push(number);
            }
        };
        cx.call(DEBOUNCE, run).await?;
        // One that waits, one that has just come, and one on its way out.
        ensure!(most.get() <= 4, "{edge:?}: of {COUNT} values at once, {} were kept at the same time", most.get();
            expected = "one waits; what it replaces is dropped at once",
            help = "one `Option`, not a list");
        let expected = match edge {
            Edge::Leading => vec![0],
            Edge::Trailing => vec![COUNT - 1],
            Edge::Both => vec![0, COUNT - 1],
        };
        let out = out.into_inner();
        ensure!(out == expected, "{edge:?}: of {COUNT} values at once, {} came out", out.len();
            expected = format!("numbers {expected:?}"), observed = format!("{:?}", &out[..out.len().min(10)]));
    }
    Ok(())
}

pub async fn sleeps_until_something_is_due(cx: Cx) -> Outcome {
    for (edge, wait) in
        [(Edge::Leading, 100), (Edge::Trailing, 100), (Edge::Trailing, 150_000), (Edge::Both, 100)]
    {
        let how = How::new(wait, edge).make(&cx).await?;
        let run = async {
            let mut out =
                pin!(source(&values([(0, "a"), (10, "b"), (200_000, "c")])).debounce(how));
            let mut last = Duration::ZERO;
            let began = tokio::time::Instant::now();
            while began.elapsed() < ms(200_000) {
                if out.next().await.is_none() {
                    break;
                }
                last = began.elapsed();
            }
            last
        };
        let call = cx.call(DEBOUNCE, run).await?;
        ensure!(call.polls < 100, "a source that is silent for 200 s: the stream was polled {} times", call.polls;
            expected = "a few: for each value, and when one is due",
            help = "a `Sleep` that ends when the value is due, not a loop that looks every few milliseconds");
        let expected = if edge == Edge::Trailing { 200_000 + wait } else { 200_000 };
        took(call.value, expected, &format!("{edge:?}, {wait} ms: the last value"))?;
    }
    Ok(())
}
