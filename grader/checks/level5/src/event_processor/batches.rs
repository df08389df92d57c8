//! When batches go, and which events are in them.

use std::num::NonZeroU32;

use grader_kit::{Cx, Outcome, ensure, ensure_eq, ms};
use level5::event_processor::retry::Backoff;
use level5::event_processor::{Ack, Config};
use level5::priority_queue::Priority;
use tokio::time::sleep;

use super::fakes::{Answer, Book, Over, Services};
use super::{accept, accept_all, event, figures, ids, nz, one_by_one, start};

pub async fn a_full_batch_goes_at_once(cx: Cx) -> Outcome {
    const HELP: &str = "send as soon as `batch_size` events of a service are in its queue, and never more than that";
    let size = usize::try_from(cx.draw().between(2..=40)).unwrap_or(2);
    for size in [size, 1, 100, 257] {
        let (services, book) = (Services::new(&cx, 10), Book::new(&cx));
        let config = Config {
            batch_size: nz(size),
            flush: ms(5000),
            batches_in_flight: nz(100),
            ..one_by_one()
        };
        let processor = start(&cx, config, &services, &book).await?;
        accept_all(&cx, &processor, ids("a", size - 1), "one", Priority::High).await?;
        accept_all(&cx, &processor, ids("b", size - 1), "two", Priority::High).await?;
        sleep(ms(100)).await;
        ensure!(services.count() == 0, "batches of {size}: two services have {} events each, and after 100 ms something was sent: {}", size - 1, services.shown(); expected = "nothing, until a batch is full or 5 s are over", help = HELP);
        let begin = cx.timeline().now_ms();
        accept(&cx, &processor, event("last", "one", Priority::Low)).await?;
        sleep(ms(5)).await;
        let sent = services.sent();
        let [only] = sent.as_slice() else {
            ensure!(false, "batches of {size}, and the event number {size} for a service has come: {} batches were sent", sent.len(); expected = "one, at once", help = HELP);
            return Ok(());
        };
        ensure!(only.began == begin && only.ids.len() == size && only.to == "one", "a batch of {} events was sent to {} {} ms after it was full", only.ids.len(), only.to, only.began - begin; expected = format!("all {size} events, to `one`, at once"), help = HELP);
        // More than one batch at once.
        accept_all(&cx, &processor, ids("c", size * 3), "three", Priority::Medium).await?;
        sleep(ms(5)).await;
        let batches = services.to("three");
        ensure!(batches.len() == 3, "{} events for one service come at once, with batches of {size}: {} batches are on their way", size * 3, batches.len(); expected = "3, at once", help = HELP);
        for sent in services.sent() {
            ensure!(sent.ids.len() <= size, "batches of {size}, and one has {} events", sent.ids.len(); expected = "never more", help = HELP);
        }
    }
    Ok(())
}

pub async fn a_partial_batch_goes_at_its_time(cx: Cx) -> Outcome {
    const HELP: &str = "a batch goes when its oldest event has waited for `flush`; a timer that starts again with each event, or that runs for all services together, is another thing";
    for flush in [5000_u64, 1, 333, 0, 86_400_000] {
        let (services, book) = (Services::new(&cx, 10), Book::new(&cx));
        let config = Config { batch_size: nz(100), flush: ms(flush), ..one_by_one() };
        let processor = start(&cx, config, &services, &book).await?;
        // Some time after the start: a tick of the processor's own would be at another moment.
        cx.pass(ms(flush / 3 + 7)).await;
        for round in 0..3_u64 {
            let begin = cx.timeline().now_ms();
            for number in 0..4_u64 {
                accept(
                    &cx,
                    &processor,
                    event(&format!("{round}.{number}"), "one", Priority::ALL[number as usize]),
                )
                .await?;
                cx.pass(ms(flush / 5)).await;
            }
            accept(&cx, &processor, event(&format!("{round}.other"), "two", Priority::Low)).await?;
            let second = cx.timeline().now_ms();
            cx.pass(ms(flush * 2 + 20)).await;
            for (to, expected, count) in [("one", begin, 4), ("two", second, 1)] {
                let sent: Vec<_> = services
                    .sent()
                    .into_iter()
                    .filter(|sent| sent.to == to && sent.ids[0].starts_with(&format!("{round}.")))
                    .collect();
                let at: Vec<_> = sent.iter().map(|sent| sent.began - begin).collect();
                if flush >= 5 || to == "two" {
                    ensure!(at == [expected + flush - begin], "the first of {count} events for `{to}` comes at {} ms, with a time of {flush} ms for a batch: batches are sent at {at:?} ms", expected - begin; expected = format!("one, at {} ms", expected + flush - begin), help = HELP);
                    ensure_eq!(sent[0].ids.len(), count, "events in a batch that was sent at its time"; help = HELP);
                }
            }
        }
    }
    // With the longest time there is, only a full batch goes, or a shutdown.
    let (services, book) = (Services::new(&cx, 10), Book::new(&cx));
    let config = Config { batch_size: nz(3), flush: tokio::time::Duration::MAX, ..one_by_one() };
    let processor = start(&cx, config, &services, &book).await?;
    accept_all(&cx, &processor, ids("e", 2), "one", Priority::Low).await?;
    cx.pass(ms(86_400_000_000)).await;
    ensure!(services.count() == 0, "two of three events are there, the time is `Duration::MAX`, and after 1000 days they were sent"; expected = "they wait for the third one");
    accept_all(&cx, &processor, ids("f", 1), "one", Priority::Low).await?;
    cx.settle().await;
    ensure_eq!(services.count(), 1, "batches when the third event has come");
    // An event that is sent again goes at once. Those that come afterwards wait for one another as before.
    // Another one is on its way all the time: the service has something to do.
    let (services, book) = (Services::new(&cx, 10), Book::new(&cx));
    services.next("one", [(60_000, Answer::All), (10, Answer::unavailable())]);
    let breaker = Config::default().breaker;
    let config = Config { batch_size: nz(100), flush: ms(1000), breaker, ..one_by_one() };
    let send_timeout = ms(100_000);
    let config = Config { batches_in_flight: nz(2), send_timeout, ..config };
    let processor = start(&cx, config, &services, &book).await?;
    accept(&cx, &processor, event("slow", "one", Priority::High)).await?;
    sleep(ms(1500)).await;
    accept(&cx, &processor, event("again", "one", Priority::High)).await?;
    sleep(ms(5000)).await;
    ensure_eq!(
        services.times("again"),
        2,
        "how often an event was sent whose service was unavailable once"
    );
    let begin = cx.timeline().now_ms();
    for id in ["a", "b"] {
        accept(&cx, &processor, event(id, "one", Priority::High)).await?;
        sleep(ms(300)).await;
    }
    sleep(ms(3000)).await;
    let after: Vec<_> =
        services.to("one").into_iter().skip(3).map(|(at, id)| (at - begin, id)).collect();
    ensure_eq!(after, [(1000, "a b".to_owned())], "an event was sent again and is delivered; then two more come, 300 ms apart, with a time of 1000 ms for a batch: the batches (time, events)"; help = "only the event that had to wait for something else goes at once, not all that come to its service later");
    what_full_batches_leave(&cx).await
}

/// Low events that full batches of more important ones leave behind go when they have waited for `flush` themselves.
async fn what_full_batches_leave(cx: &Cx) -> Outcome {
    const HELP: &str = "the time of a batch counts from the moment at which its oldest event came, whatever was sent meanwhile";
    let mut draw = cx.draw();
    for _ in 0..3 {
        let (flush, comes) = (1000 * draw.between(4..=9), draw.between(1..=900));
        let (services, book) = (Services::new(cx, 100), Book::new(cx));
        // Two batches are on their way until 1 s and 2 s. What comes meanwhile waits.
        services.next("one", [(1000, Answer::All), (2000, Answer::All)]);
        let config = Config {
            batch_size: nz(10),
            flush: ms(flush),
            batches_in_flight: nz(2),
            ..one_by_one()
        };
        let processor = start(cx, config, &services, &book).await?;
        let begin = cx.timeline().now_ms();
        accept_all(cx, &processor, ids("first", 20), "one", Priority::High).await?;
        sleep(ms(comes)).await;
        accept_all(cx, &processor, ids("low", 9), "one", Priority::Low).await?;
        sleep(ms(950 - comes)).await;
        accept_all(cx, &processor, ids("critical", 8), "one", Priority::Critical).await?;
        sleep(ms(3 * flush)).await;
        let sent = services.sent();
        let at: Vec<_> = sent.iter().map(|sent| sent.began - begin).collect();
        let sizes: Vec<_> = sent.iter().map(|sent| sent.ids.len()).collect();
        let expected = (vec![0, 0, 1000, comes + flush], vec![10, 10, 10, 7]);
        ensure!((&at, &sizes) == (&expected.0, &expected.1), "with batches of 10 and a time of {flush} ms two batches are on their way; 9 low events come at {comes} ms and 8 critical ones at 950 ms, and at 1000 ms a full batch goes, which leaves seven events, some low ones among them: batches were sent at {at:?} ms, of {sizes:?} events";
            expected = format!("at {:?} ms, of {:?}: those that are left have waited since {comes} ms", expected.0, expected.1), help = HELP);
    }
    Ok(())
}

pub async fn low_events_have_their_turn(cx: Cx) -> Outcome {
    const HELP: &str = "a queue of each service with the priorities inside of it: `PriorityQueue`";
    // A service that takes 15 events a second, and as many high events that come.
    let (services, book) = (Services::new(&cx, 1000), Book::new(&cx));
    let config = Config { batch_size: nz(15), ..one_by_one() };
    let processor = start(&cx, config, &services, &book).await?;
    accept_all(&cx, &processor, ids("h", 60), "one", Priority::High).await?;
    accept_all(&cx, &processor, ids("low", 60), "one", Priority::Low).await?;
    for second in 0..10 {
        accept_all(&cx, &processor, ids(&format!("h{second}."), 15), "one", Priority::High).await?;
        sleep(ms(1000)).await;
    }
    let sent = services.sent();
    for (index, batch) in sent.iter().enumerate().skip(1).take(8) {
        let low = batch.ids.iter().filter(|id| id.starts_with("low")).count();
        ensure!(low > 0, "high events come as fast as the service takes them, and batch {} of 15 has no low event, which wait: {}", index + 1, batch.shown(); expected = "at least one of 15", help = HELP);
    }
    // A critical event goes with the next batch, whatever waits.
    let begin = cx.timeline().now_ms();
    accept(&cx, &processor, event("critical", "one", Priority::Critical)).await?;
    sleep(ms(1001)).await;
    let at = services
        .sent()
        .into_iter()
        .find(|sent| sent.ids.iter().any(|id| id == "critical"))
        .map(|sent| sent.began - begin);
    ensure!(at.is_some_and(|at| at <= 1000), "a critical event comes to a backlog of {}; it was sent after {at:?} ms", figures(&processor).pending(); expected = "with the next batch, within 1000 ms", help = HELP);
    // One event at a time, ten seconds each: nothing waits longer than 30 s for its turn.
    let (services, book) = (Services::new(&cx, 10_000), Book::new(&cx));
    let config = Config { max_wait: ms(30_000), ..one_by_one() };
    let processor = start(&cx, config, &services, &book).await?;
    accept(&cx, &processor, event("first", "one", Priority::High)).await?;
    sleep(ms(1)).await;
    let begin = cx.timeline().now_ms();
    accept(&cx, &processor, event("low", "one", Priority::Low)).await?;
    for number in 0..8 {
        sleep(ms(5000)).await;
        accept(&cx, &processor, event(&format!("high{number}"), "one", Priority::High)).await?;
    }
    let at =
        services.sent().into_iter().find(|sent| sent.ids == ["low"]).map(|sent| sent.began - begin);
    ensure!(at.is_some_and(|at| at <= 40_000), "high events come twice as fast as they go, one every 10 s; a low event that came at 0 goes at {at:?} ms"; expected = "at the first turn after 30 s, or before", help = HELP);
    comes_back_as_a_new_one(&cx).await
}

/// Events that have waited for another attempt have not waited for their turn.
async fn comes_back_as_a_new_one(cx: &Cx) -> Outcome {
    let (services, book) = (Services::new(cx, 100), Book::new(cx));
    let busy = || Answer::Acks(vec![Ack::Retry("busy".to_owned())]);
    services.next("one", (0..6).map(|_| (0, busy())));
    let retry = Backoff::new(ms(10_000), 2.0, ms(10_000), NonZeroU32::MIN.saturating_add(3));
    let retry = retry.unwrap_or_default();
    let config = Config { max_wait: ms(5000), retry, ..one_by_one() };
    let processor = start(cx, config, &services, &book).await?;
    let begin = cx.timeline().now_ms();
    accept_all(cx, &processor, ids("low", 6), "one", Priority::Low).await?;
    sleep(ms(8050)).await;
    accept_all(cx, &processor, ids("high", 40), "one", Priority::High).await?;
    sleep(ms(6000)).await;
    let sent = services.sent();
    let back = sent.iter().filter(|sent| sent.began > begin + 10_000).take(6);
    let back: Vec<_> = back.flat_map(|sent| sent.ids.clone()).collect();
    let low = back.iter().filter(|id| id.starts_with("low")).count();
    ensure!(low <= 3, "6 low events wait for another attempt from 0 to 10 s, and high ones for their turn since 8 s, with a `max_wait` of 5 s: of the next 6 turns {low} are for low events: {}", back.join(" ");
        expected = "about 1 of 5, by their weight", help = "the time in a queue counts from the moment at which the event may be sent, not from its acceptance");
    Ok(())
}

pub async fn a_hanging_service_delays_no_other(cx: Cx) -> Outcome {
    const HELP: &str = "a send is a task of its own; do not wait for all services of a round";
    let services = Services::scripted(&cx, |to, _| match to {
        "hangs" => (0, Answer::Hang),
        "slow" => (7000, Answer::All),
        _ => (10, Answer::All),
    });
    let book = Book::new(&cx);
    let config = Config { send_timeout: ms(600_000), ..one_by_one() };
    let processor = start(&cx, config, &services, &book).await?;
    let begin = cx.timeline().now_ms();
    for number in 0..12 {
        accept(&cx, &processor, event(&format!("h{number}"), "hangs", Priority::Critical)).await?;
        accept(&cx, &processor, event(&format!("s{number}"), "slow", Priority::High)).await?;
        accept(
            &cx,
            &processor,
            event(&format!("f{number}"), &format!("fast{}", number % 3), Priority::Low),
        )
        .await?;
    }
    sleep(ms(100)).await;
    for number in 0..12_u64 {
        let id = format!("f{number}");
        let at = services
            .sent()
            .into_iter()
            .find(|sent| sent.ids == [id.as_str()])
            .map(|sent| sent.began - begin);
        let expected = number / 3 * 10;
        ensure!(at == Some(expected), "one service hangs and one is slow; event {number} of three others, which take 10 ms, was sent after {at:?} ms"; expected = format!("{expected} ms"), help = HELP);
    }
    sleep(ms(100_000)).await;
    ensure_eq!(services.to("slow").len(), 12, "events that a slow service got beside one that hangs"; help = HELP);
    Ok(())
}

pub async fn a_send_has_a_limit(cx: Cx) -> Outcome {
    const HELP: &str = "a time limit around the sink's future, which drops it; the attempt has failed then, as with any transport error";
    for limit in [1_u64, 30_000, 400] {
        let (services, book) = (Services::new(&cx, limit), Book::new(&cx));
        // One that is just in time, one that hangs, one that is late.
        services.next("one", [(limit, Answer::All), (0, Answer::Hang), (limit + 1, Answer::All)]);
        let config = Config { send_timeout: ms(limit), ..one_by_one() };
        let processor = start(&cx, config, &services, &book).await?;
        accept(&cx, &processor, event("in time", "one", Priority::Low)).await?;
        sleep(ms(limit + 50)).await;
        ensure!(figures(&processor).delivered == 1, "a service answers after {limit} ms, the limit, and the event is not delivered"; expected = "an answer at the limit is in time");
        let begin = cx.timeline().now_ms();
        accept(&cx, &processor, event("late", "one", Priority::Low)).await?;
        sleep(ms(limit * 3 + 10_000)).await;
        let sent: Vec<_> =
            services.sent().into_iter().filter(|sent| sent.ids == ["late"]).collect();
        let ended = sent.first().and_then(|sent| sent.ended).map(|(at, over)| (at - begin, over));
        ensure!(ended == Some((limit, Over::Dropped)), "a service hangs, with a limit of {limit} ms: the send has ended {ended:?}"; expected = format!("dropped after {limit} ms"), help = HELP);
        let began: Vec<_> = sent.iter().map(|sent| sent.began - begin).collect();
        let expected = [0, limit + 1000, limit * 2 + 3000];
        ensure!(began == expected, "the first send of an event hangs, the second answers after the limit of {limit} ms: the sends begin at {began:?} ms"; expected = format!("{expected:?}: each has failed at its limit"), help = HELP);
    }
    Ok(())
}

pub async fn several_batches_on_the_way(cx: Cx) -> Outcome {
    const HELP: &str = "count the batches of each service that are on their way; a batch that has its answer makes room for the next one at once";
    for limit in [1, 2, 5, 300] {
        let (services, book) = (Services::new(&cx, 100), Book::new(&cx));
        let config = Config { batches_in_flight: nz(limit), ..one_by_one() };
        let processor = start(&cx, config, &services, &book).await?;
        let begin = cx.timeline().now_ms();
        accept_all(&cx, &processor, ids("a", limit * 3), "one", Priority::Low).await?;
        accept_all(&cx, &processor, ids("b", limit * 3), "two", Priority::Low).await?;
        sleep(ms(1000)).await;
        for to in ["one", "two"] {
            ensure!(services.most(to) == limit, "{} events for `{to}`, at most {limit} batches on their way: {} were at once", limit * 3, services.most(to); expected = format!("{limit}"), help = HELP);
            let at: Vec<_> = services.to(to).iter().map(|(at, _)| at - begin).collect();
            let expected: Vec<_> =
                (0..limit * 3).map(|number| (number / limit) as u64 * 100).collect();
            ensure!(at == expected, "{} events for `{to}`, which takes 100 ms, {limit} at once: they were sent at {} ms", limit * 3, grader_kit::short(&format!("{at:?}")); expected = grader_kit::short(&format!("{expected:?}")), help = HELP);
        }
    }
    // A batch that has its answer is no longer on its way, also while the journal records the ends of its events.
    let (services, book) = (Services::new(&cx, 100), Book::new(&cx));
    let processor = start(&cx, one_by_one(), &services, &book).await?;
    book.takes(0, 5000);
    let begin = cx.timeline().now_ms();
    accept_all(&cx, &processor, ids("a", 4), "one", Priority::Low).await?;
    sleep(ms(1000)).await;
    let at: Vec<_> = services.to("one").iter().map(|(at, _)| at - begin).collect();
    ensure_eq!(at, [0, 100, 200, 300], "4 events, one at once, for a service that takes 100 ms, and a journal that takes 5 s to record an end: when they were sent"; help = HELP);
    Ok(())
}
