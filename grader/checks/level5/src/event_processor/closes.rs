//! Calls of `shutdown` that are dropped, and several of them.

use futures::future::join;
use grader_kit::{Cx, Outcome, ensure, ensure_eq, ms};
use level5::event_processor::{Ack, Config, Rejected, Report};
use level5::priority_queue::Priority;
use tokio::time::{sleep, timeout};

use super::fakes::{Answer, Book, Over, Services};
use super::{INGEST, SHUTDOWN, accept, accept_all, event, ids, one_by_one, start};

fn left(report: &Report) -> Vec<String> {
    report.left.iter().map(ToString::to_string).collect()
}

/// What is pending goes on, without a deadline, and another call waits for it.
pub async fn a_dropped_call_stops_nothing(cx: &Cx) -> Outcome {
    const HELP: &str = "`shutdown` closes the processor and then only waits: a call that is dropped, as in a `select!` that another branch wins, takes its deadline along and stops nothing";
    let mut draw = cx.draw();
    // Long after the drop, and a moment after it.
    for deadline in [60_000, draw.between(301..=1500)] {
        let (services, book) = (Services::new(cx, 2000), Book::new(cx));
        services.next("two", [(0, Answer::Acks(vec![Ack::Retry("busy".to_owned())]))]);
        let processor = start(cx, one_by_one(), &services, &book).await?;
        accept_all(cx, &processor, ids("e", 3), "one", Priority::Low).await?;
        accept(cx, &processor, event("again", "two", Priority::Low)).await?;
        sleep(ms(100)).await;
        let dropped_at = draw.between(1..=300);
        let gone = timeout(ms(dropped_at), processor.shutdown(ms(deadline)));
        let gone = cx.call(SHUTDOWN, gone).await?.value.is_err();
        let what = format!(
            "three events of 2 s each are pending, and one that waits for another attempt; a call of shutdown with a deadline of {deadline} ms is dropped after {dropped_at} ms"
        );
        ensure!(gone, "{what}: it is ready before that"; expected = "it waits");
        let call = processor.ingest(event("late", "one", Priority::Low));
        let late = cx.call(INGEST, call).await?.value;
        ensure!(late == Err(Rejected::Closed), "{what}, and an event comes: {late:?}"; expected = "Closed", help = HELP);
        sleep(ms(3000)).await;
        let dropped = services
            .sent()
            .iter()
            .filter(|it| matches!(it.ended, Some((_, Over::Dropped))))
            .count();
        ensure_eq!(dropped, 0, "{what}: the sends that were dropped within 3 s"; help = HELP);
        sleep(ms(4000)).await;
        let call = cx.call(SHUTDOWN, processor.shutdown(ms(10_000))).await?;
        let seen = (call.value.metrics.delivered, left(&call.value), call.took.as_millis());
        ensure_eq!(seen, (4, vec![], 0), "{what}, and another one comes 7 s later, when all have had their time: delivered, left, and the time of that call in ms"; help = HELP);
        // One that is dropped, and another one while something is still pending.
        let (services, book) = (Services::new(cx, 2000), Book::new(cx));
        let processor = start(cx, one_by_one(), &services, &book).await?;
        accept_all(cx, &processor, ids("e", 3), "one", Priority::Low).await?;
        let gone = timeout(ms(dropped_at), processor.shutdown(ms(deadline)));
        drop(cx.call(SHUTDOWN, gone).await?);
        let call = cx.call(SHUTDOWN, processor.shutdown(ms(3000))).await?;
        let seen = (call.value.metrics.delivered, left(&call.value), call.took.as_millis());
        let expected = (1, vec!["e1".to_owned(), "e2".to_owned()], 3000);
        ensure_eq!(seen, expected, "three events of 2 s each are pending, one after the other; a call of shutdown with a deadline of {deadline} ms is dropped after {dropped_at} ms, and another one follows with 3000 ms: delivered, left, and the time of that call in ms"; help = HELP);
    }
    Ok(())
}

/// Two calls at the same time.
pub async fn the_earliest_deadline_counts(cx: &Cx) -> Outcome {
    let mut draw = cx.draw();
    for short_first in [true, false] {
        let (short, later) = (draw.between(100..=2000), draw.between(0..=90));
        let (services, book) = (Services::new(cx, 0), Book::new(cx));
        services.next("one", [(0, Answer::Hang)]);
        let config = Config { send_timeout: ms(100_000), ..one_by_one() };
        let processor = start(cx, config, &services, &book).await?;
        accept_all(cx, &processor, ids("e", 2), "one", Priority::Low).await?;
        sleep(ms(10)).await;
        let (first, second) = if short_first { (short, 60_000) } else { (60_000, short) };
        let begin = cx.timeline().now_ms();
        let call = async |wait: u64, deadline: u64| {
            sleep(ms(wait)).await;
            let report = processor.shutdown(ms(deadline)).await;
            (left(&report), cx.timeline().now_ms() - begin)
        };
        let (one, other) =
            cx.call(SHUTDOWN, join(call(0, first), call(later, second))).await?.value;
        let end = if short_first { short } else { later + short };
        let expected = (ids("e", 2), end);
        ensure_eq!((&one, &other), (&expected, &expected), "a send hangs, and shutdown is called with a deadline of {first} ms, and {later} ms later with one of {second} ms: what both calls leave, and when they return"; help = "the earliest deadline counts, and both calls have the same report");
    }
    Ok(())
}
