//! What follows the answer of a service.

use std::num::{NonZeroU32, NonZeroUsize};

use grader_kit::{Cx, Outcome, ensure, ensure_eq, ms};
use http::StatusCode;
use level5::event_processor::breaker::{BreakerConfig, Trip};
use level5::event_processor::retry::Backoff;
use level5::event_processor::{Ack, Config, SendError};
use level5::priority_queue::Priority;
use tokio::time::sleep;

use super::fakes::{Answer, Book, Services};
use super::{accept, accept_all, dead, event, figures, ids, keyed, nz, one_by_one, start};

fn backoff(base: u64, attempts: u32) -> Backoff {
    let attempts = NonZeroU32::new(attempts).unwrap_or(NonZeroU32::MIN);
    Backoff::new(ms(base), 2.0, ms(30_000), attempts).unwrap_or_default()
}

fn retry(why: &str) -> Ack {
    Ack::Retry(why.to_owned())
}

pub async fn acks_are_of_single_events(cx: Cx) -> Outcome {
    const HELP: &str =
        "walk through events and acknowledgements together: each event has its own end";
    let mut draw = cx.draw();
    for round in 0..6 {
        let (services, book) = (Services::new(&cx, 10), Book::new(&cx));
        let size = if round == 1 { 30 } else { usize::try_from(draw.between(3..=30)).unwrap_or(3) };
        let acks: Vec<_> = if round == 0 {
            vec![Ack::Ok, retry("busy"), Ack::Reject("no such user".to_owned())]
        } else {
            (0..size)
                .map(|number| match draw.below(3) {
                    0 => Ack::Ok,
                    1 => retry(&format!("busy {number}")),
                    _ => Ack::Reject(format!("no {number}")),
                })
                .collect()
        };
        let size = acks.len();
        // Some services answer with more than there are events.
        let more = if round < 2 { 0 } else { draw.index(3) + usize::from(round == 2) };
        let beyond = (0..more).map(|_| retry("of no event"));
        services.next("one", [(10, Answer::Acks(acks.iter().cloned().chain(beyond).collect()))]);
        let config = Config { batch_size: nz(size), flush: ms(5000), ..one_by_one() };
        let processor = start(&cx, config, &services, &book).await?;
        accept_all(&cx, &processor, ids("e", size), "one", Priority::Low).await?;
        sleep(ms(20_000)).await;
        let order = services.order("one");
        for (id, ack) in order[..size.min(order.len())].iter().zip(&acks) {
            let letter = processor.dead_letters().into_iter().find(|it| it.event.id.as_str() == id);
            let seen = (services.times(id), letter.map(|it| (it.attempts, it.reason)));
            let expected = match ack {
                Ack::Ok => (1, None),
                Ack::Retry(_) => (2, None),
                Ack::Reject(why) => (1, Some((1, why.clone()))),
            };
            ensure!(seen == expected, "a batch of {size} events; the service answers {ack:?} for {id}, with {more} acknowledgements beyond the events, and it was sent {} times; its dead letter (attempts, reason): {:?}", seen.0, seen.1;
                expected = format!("{} times, {:?}", expected.0, expected.1), help = HELP);
        }
        let rejected = acks.iter().filter(|ack| matches!(ack, Ack::Reject(_))).count();
        let figures = figures(&processor);
        ensure!((figures.delivered, figures.dead) == ((size - rejected) as u64, rejected as u64), "{rejected} of {size} events were rejected: delivered {}, dead {}", figures.delivered, figures.dead; expected = "each event in one of them", help = HELP);
    }
    Ok(())
}

pub async fn retries_wait_and_end(cx: Cx) -> Outcome {
    const HELP: &str = "each event has its own count of attempts: after the failed attempt n it waits for `retry.nominal(n)`; after the last one it is a dead letter with the last reason";
    for (attempts, base) in [(4, 1000), (1, 1000), (2, 30), (7, 5)] {
        let (services, book) = (Services::new(&cx, 0), Book::new(&cx));
        let waits: Vec<u64> = (0..attempts - 1).map(|n| (base << n).min(30_000)).collect();
        services
            .next("one", (1..=10).map(|n| (0, Answer::Acks(vec![retry(&format!("reason {n}"))]))));
        let config = Config { retry: backoff(base, attempts), ..one_by_one() };
        let processor = start(&cx, config, &services, &book).await?;
        let begin = cx.timeline().now_ms();
        accept(&cx, &processor, event("e", "one", Priority::High)).await?;
        sleep(ms(200_000)).await;
        let at: Vec<_> = services.to("one").iter().map(|(at, _)| at - begin).collect();
        let mut expected = vec![0];
        expected.extend(waits.iter().scan(0, |sum, wait| {
            *sum += wait;
            Some(*sum)
        }));
        ensure!(at == expected, "an event is to be sent again each time, with {attempts} attempts and a first wait of {base} ms: it was sent at {at:?} ms"; expected = format!("{expected:?}"), help = HELP);
        let letters = processor.dead_letters();
        let seen: Vec<_> = letters
            .iter()
            .map(|it| (it.event.id.as_str(), it.attempts, it.reason.clone()))
            .collect();
        ensure!(seen == [("e", attempts, format!("reason {attempts}"))], "the dead letters (event, attempts, reason): {seen:?}"; expected = format!("e, {attempts}, reason {attempts}"), help = HELP);
    }
    // Each event has its own count, and a long wait has its cap.
    let (services, book) = (Services::new(&cx, 0), Book::new(&cx));
    let counts = std::sync::Arc::new(std::sync::Mutex::new(std::collections::HashMap::new()));
    let seen = std::sync::Arc::clone(&counts);
    drop(services);
    let services = Services::scripted(&cx, move |_, events| {
        let mut counts = grader_kit::lock(&seen);
        let acks = events.iter().map(|event| {
            let count = counts.entry(event.id.to_string()).or_insert(0_u32);
            *count += 1;
            if *count < 3 { retry("again") } else { Ack::Ok }
        });
        (0, Answer::Acks(acks.collect()))
    });
    let config =
        Config { batch_size: nz(2), flush: ms(5000), retry: backoff(1000, 4), ..one_by_one() };
    let processor = start(&cx, config, &services, &book).await?;
    let begin = cx.timeline().now_ms();
    accept_all(&cx, &processor, ["a".to_owned(), "b".to_owned()], "one", Priority::Low).await?;
    sleep(ms(500)).await;
    accept_all(&cx, &processor, ["c".to_owned(), "d".to_owned()], "one", Priority::Low).await?;
    sleep(ms(20_000)).await;
    for (id, expected) in [("a", [0, 1000, 3000]), ("c", [500, 1500, 3500])] {
        let sent = services.sent();
        let at: Vec<_> = sent
            .iter()
            .filter(|sent| sent.ids.iter().any(|it| it == id))
            .map(|sent| sent.began - begin)
            .collect();
        ensure!(at == expected, "event {id} is to be sent again twice, and others between: it was sent at {at:?} ms"; expected = format!("{expected:?}: its own count decides"), help = HELP);
    }
    ensure!(figures(&processor).delivered == 4, "4 events were acknowledged at their third attempt, and {} are delivered", figures(&processor).delivered; expected = "all");
    more_than_a_batch_comes_back(&cx).await
}

/// Events whose wait is over in the same moment, more of them than a batch has, beside others that wait for `flush`.
async fn more_than_a_batch_comes_back(cx: &Cx) -> Outcome {
    const HELP: &str = "an event whose wait is over goes as soon as it may, also if it does not fit into the first batch of that moment: count those that are left in the queue";
    let mut draw = cx.draw();
    for beside in [false, true] {
        for _ in 0..4 {
            let (size, batches) = (2 + draw.index(5), 2 + draw.index(3));
            // In each batch all but one are to be sent again, so that they fill no whole number of batches.
            let mut acks = vec![retry("busy"); size];
            acks[draw.index(size)] = Ack::Ok;
            let (services, book) = (Services::new(cx, 0), Book::new(cx));
            services.next("one", (0..batches).map(|_| (0, Answer::Acks(acks.clone()))));
            let in_flight = nz(1 + draw.index(3));
            let config =
                Config { batch_size: nz(size), batches_in_flight: in_flight, ..one_by_one() };
            let config = Config { flush: ms(60_000), retry: backoff(1000, 4), ..config };
            let processor = start(cx, config, &services, &book).await?;
            let begin = cx.timeline().now_ms();
            accept_all(cx, &processor, ids("e", size * batches), "one", Priority::Low).await?;
            sleep(ms(900)).await;
            // Fewer than a batch, and more important.
            let fresh = if beside { size - 1 } else { 0 };
            accept_all(cx, &processor, ids("fresh", fresh), "one", Priority::High).await?;
            sleep(ms(300)).await;
            let sent = services.sent();
            let late: Vec<_> = ids("e", size * batches)
                .into_iter()
                .filter(|id| {
                    let of_it = sent.iter().filter(|sent| sent.ids.contains(id));
                    let at: Vec<_> = of_it.map(|sent| sent.began - begin).collect();
                    at != [0] && at != [0, 1000]
                })
                .collect();
            let again = sent.iter().filter(|sent| sent.began > begin + 500).flat_map(|it| &it.ids);
            let again = again.filter(|id| id.starts_with('e')).count();
            let expected = (size - 1) * batches;
            ensure!(late.is_empty() && again == expected, "{} low events go in {batches} full batches of {size}, of which each has one that is delivered and others that are to be sent again, {expected} in all; {fresh} high ones come at 900 ms and may wait for 60 s. Within 200 ms of the moment at which the waits are over, at 1000 ms, {again} were sent again", size * batches;
                expected = format!("{expected}, at 1000 ms"), help = HELP);
        }
    }
    Ok(())
}

pub async fn untyped_errors_are_transient(cx: Cx) -> Outcome {
    const HELP: &str =
        "an error of which nothing is known may pass: only statuses that say so are final";
    let status = |code: u16| {
        SendError::Status(StatusCode::from_u16(code).unwrap_or_default(), "no".to_owned())
    };
    let transient = [408, 425, 429, 500, 501, 502, 503, 504, 511, 599].map(status);
    let texts = ["temporarily unavailable", "", "404", "connection reset"];
    let transport = texts.map(|text| SendError::Transport(text.to_owned()));
    for error in transient.into_iter().chain(transport) {
        let (services, book) = (Services::new(&cx, 0), Book::new(&cx));
        services
            .next("one", [(0, Answer::Error(error.clone())), (0, Answer::Error(error.clone()))]);
        let config = Config { batch_size: nz(2), flush: ms(0), ..one_by_one() };
        let processor = start(&cx, config, &services, &book).await?;
        accept_all(&cx, &processor, ids("e", 2), "one", Priority::Low).await?;
        sleep(ms(10_000)).await;
        let figures = figures(&processor);
        ensure!(figures.delivered == 2 && figures.dead == 0 && services.count() == 3, "a service has the error {error:?} twice and is well then: {} batches were sent, {} events are delivered, {} dead", services.count(), figures.delivered, figures.dead; expected = "3 batches, 2 delivered, none dead", help = HELP);
        ensure!(error.is_transient(), "is_transient of {error:?} is false"; expected = "true");
    }
    Ok(())
}

pub async fn final_errors_are_not_tried_again(cx: Cx) -> Outcome {
    for code in [300, 304, 400, 401, 403, 404, 409, 410, 413, 422, 424, 426, 428, 430, 499] {
        let error =
            SendError::Status(StatusCode::from_u16(code).unwrap_or_default(), "never".to_owned());
        let (services, book) = (Services::new(&cx, 0), Book::new(&cx));
        services.next("one", [(0, Answer::Error(error.clone()))]);
        let config = Config { batch_size: nz(3), flush: ms(1000), ..one_by_one() };
        let processor = start(&cx, config, &services, &book).await?;
        accept_all(&cx, &processor, ids("e", 3), "one", Priority::Low).await?;
        sleep(ms(20_000)).await;
        let mut letters = processor.dead_letters();
        letters.sort_by(|a, b| a.event.id.cmp(&b.event.id));
        let right =
            letters.iter().all(|letter| letter.attempts == 1 && letter.reason.contains("never"));
        ensure!(services.count() == 1 && letters.len() == 3 && right, "a service answers a batch of 3 with the status {code}: {} batches were sent, and the dead letters are {letters:?}", services.count();
            expected = "1 batch, and its 3 events are dead letters after 1 attempt, with the error's text",
            help = "a status below 500 but 408, 425 and 429 says that the same batch never succeeds");
        ensure!(!error.is_transient(), "is_transient of {error:?} is true"; expected = "false");
    }
    Ok(())
}

pub async fn an_open_breaker_parks(cx: Cx) -> Outcome {
    const HELP: &str = "ask the breaker before the batch is taken out of its queue; while it is open the events stay there, with their attempts";
    let (services, book) = (Services::new(&cx, 0), Book::new(&cx));
    services.next("one", (0..4).map(|_| (0, Answer::unavailable())));
    let breaker = BreakerConfig {
        trip: Trip::Consecutive(NonZeroU32::MIN.saturating_add(2)),
        reset_timeout: ms(60_000),
        probes: NonZeroUsize::MIN,
        successes_to_close: NonZeroU32::MIN.saturating_add(1),
        ..super::no_breaker()
    };
    let attempts = backoff(1000, 2);
    let config = Config { breaker, retry: attempts, ..one_by_one() };
    let processor = start(&cx, config, &services, &book).await?;
    let begin = cx.timeline().now_ms();
    // Three first attempts fail, and the breaker opens. Their second attempts are due at 1 s, when it is open.
    accept_all(&cx, &processor, ids("e", 8), "one", Priority::Low).await?;
    accept(&cx, &processor, event("other", "two", Priority::Low)).await?;
    sleep(ms(59_999)).await;
    let sent = services.to("one");
    ensure!(sent.len() == 3, "the breaker opens at the third failure in a row, for 60 s: within that time {} batches were sent", sent.len(); expected = "3", help = HELP);
    let letters = dead(&processor);
    ensure!(letters.is_empty() && figures(&processor).pending() == 8, "the breaker is open: {} events are pending, dead letters: {letters:?}", figures(&processor).pending(); expected = "8 pending, none dead", help = HELP);
    ensure!(services.times("other") == 1, "the breaker of one service is open, and the event of another one was sent {} times", services.times("other"); expected = "once: each service has its own");
    // The first probe fails: open for another 60 s.
    sleep(ms(59_000)).await;
    ensure!(services.to("one").len() == 4 && services.to("one")[3].0 == begin + 60_000, "a breaker that has been open for 60 s: {} more batches were sent", services.to("one").len() - 3; expected = "one, the probe, at 60 s. It fails, and the breaker is open again", help = HELP);
    // The next ones succeed.
    sleep(ms(120_000)).await;
    let figures = figures(&processor);
    let died = dead(&processor);
    // The event whose second attempt was the failed probe has used its attempts, if it was one that had failed before.
    let probe = &services.to("one")[3].1;
    let twice = services.to("one")[..3].iter().any(|(_, id)| id == probe);
    let expected: Vec<String> = if twice { vec![probe.clone()] } else { Vec::new() };
    ensure!(died == expected, "events waited for a breaker that was open, and the dead letters are {died:?}"; expected = format!("{expected:?}: a refusal of the breaker is no attempt"), help = HELP);
    ensure!(figures.delivered == 9 - expected.len() as u64 && figures.pending() == 0, "the service is well again since the probe at 120 s; after a minute {} of 9 events are delivered, and {} are pending", figures.delivered, figures.pending(); expected = "all that are not dead letters", help = HELP);
    let again: Vec<_> = services.to("one")[4..].iter().map(|(at, _)| at - begin).collect();
    ensure!(again.iter().all(|at| (120_000..121_000).contains(at)), "the probe at 120 s succeeds, and batches were sent at {again:?} ms"; expected = "all right after it", help = "an answer may have changed the breaker's mind: ask again when one has come");
    counts_what_was_long_ago(&cx).await?;
    leaves_no_rest(&cx).await?;
    goes_on_with_the_probe(&cx).await
}

/// A service with few events, of which each one dies before the next one comes: its failures are failures in a row.
async fn counts_what_was_long_ago(cx: &Cx) -> Outcome {
    const HELP: &str = "a breaker belongs to its service, also while that has nothing in its queue: what it has counted is not forgotten with the last event";
    let services = Services::scripted(cx, |_, _| (0, Answer::unavailable()));
    let book = Book::new(cx);
    let breaker = BreakerConfig {
        trip: Trip::Consecutive(NonZeroU32::MIN.saturating_add(2)),
        reset_timeout: ms(60_000),
        ..super::no_breaker()
    };
    let config = Config { breaker, retry: backoff(1000, 1), ..one_by_one() };
    let processor = start(cx, config, &services, &book).await?;
    for id in ids("e", 3) {
        accept(cx, &processor, event(&id, "one", Priority::Low)).await?;
        sleep(ms(2000)).await;
    }
    ensure_eq!(
        dead(&processor),
        ids("e", 3),
        "three events that fail, with one attempt each: the dead letters"
    );
    accept(cx, &processor, event("parked", "one", Priority::Low)).await?;
    sleep(ms(50_000)).await;
    let letters = dead(&processor);
    ensure!(services.count() == 3 && letters.len() == 3, "a breaker opens at the third failure in a row, for 60 s. Three events come one by one, each 2 s after the one before it, which has failed by then; a fourth one comes: {} batches were sent, and the dead letters are {letters:?}", services.count();
        expected = "3 batches: the breaker is open, and the fourth event waits", help = HELP);
    Ok(())
}

/// More events than a batch has wait for the breaker: all go when it lets them through, also a last, smaller batch.
async fn leaves_no_rest(cx: &Cx) -> Outcome {
    let mut draw = cx.draw();
    for _ in 0..3 {
        let (size, flush) = (2 + draw.index(5), draw.between(100..=40_000));
        let count = size * (1 + draw.index(3)) + 1 + draw.index(size - 1);
        let (services, book) = (Services::new(cx, 10), Book::new(cx));
        services.next("one", [(10, Answer::unavailable())]);
        let breaker = BreakerConfig {
            trip: Trip::Consecutive(NonZeroU32::MIN),
            reset_timeout: ms(60_000),
            probes: NonZeroUsize::MIN,
            successes_to_close: NonZeroU32::MIN,
            ..super::no_breaker()
        };
        let config = Config { breaker, batch_size: nz(size), flush: ms(flush), ..one_by_one() };
        let processor = start(cx, config, &services, &book).await?;
        let begin = cx.timeline().now_ms();
        accept_all(cx, &processor, ids("e", count), "one", Priority::Low).await?;
        sleep(ms(61_000)).await;
        let at: Vec<_> = services.to("one").iter().map(|(at, _)| at - begin).collect();
        let batches = count.div_ceil(size);
        let right =
            at.len() == batches + 1 && at[1..].iter().all(|at| (60_010..60_900).contains(at));
        ensure!(right && figures(&processor).delivered == count as u64, "{count} events come, in batches of {size} with a `flush` of {flush} ms; the first batch fails after 10 ms, and the breaker is open for 60 s from then on. Batches were sent at {at:?} ms, and at 61 s {} events are delivered", figures(&processor).delivered;
            expected = format!("{batches} batches, one after the other from 60 010 ms on, and all delivered: what is left has waited for longer than `flush`"), help = "what a breaker holds up grows older meanwhile");
    }
    Ok(())
}

/// With several batches at once, some are refused while a probe is on its way. They go on with its answer, whatever it
/// says of the events.
async fn goes_on_with_the_probe(cx: &Cx) -> Outcome {
    let refused = Answer::Error(SendError::Status(StatusCode::BAD_REQUEST, "never".to_owned()));
    let rejected = Answer::Acks(vec![Ack::Reject("no".to_owned())]);
    for (probe, dies) in [(Answer::All, 0), (refused, 1), (rejected, 1)] {
        let (services, book) = (Services::new(cx, 100), Book::new(cx));
        services.next("one", (0..3).map(|_| (0, Answer::unavailable())));
        services.next("one", [(100, probe.clone())]);
        let breaker = BreakerConfig {
            trip: Trip::Consecutive(NonZeroU32::MIN.saturating_add(2)),
            reset_timeout: ms(60_000),
            probes: NonZeroUsize::MIN,
            successes_to_close: NonZeroU32::MIN.saturating_add(1),
            ..super::no_breaker()
        };
        let config = Config { breaker, batches_in_flight: nz(3), ..one_by_one() };
        let processor = start(cx, config, &services, &book).await?;
        accept_all(cx, &processor, ids("e", 8), "one", Priority::Low).await?;
        sleep(ms(61_500)).await;
        let figures = figures(&processor);
        ensure!((figures.delivered, figures.dead) == (8 - dies, dies), "a breaker was open for 60 s, and two probes of 100 ms have closed it, of which the first has the answer {probe:?}; three batches may be on their way. 1.5 s after the first probe {} of 8 events are delivered, and {} dead", figures.delivered, figures.dead;
            expected = format!("{} and {dies}", 8 - dies), help = "what the breaker refuses while a probe is on its way goes on when the probe has its answer, also one that is final for its events");
    }
    Ok(())
}

pub async fn a_key_keeps_its_order(cx: Cx) -> Outcome {
    const HELP: &str = "a line for each key: only its first event is in a queue, on its way or waits for another attempt";
    let mut draw = cx.draw();
    let keys = ["a", "b", "", "A"];
    // Every third attempt fails, for some time.
    let mut count = 0;
    let services = Services::scripted(&cx, move |_, events| {
        let acks = events.iter().map(|_| {
            count += 1;
            if count % 3 == 0 { retry("busy") } else { Ack::Ok }
        });
        (20, Answer::Acks(acks.collect()))
    });
    let book = Book::new(&cx);
    let config =
        Config { batch_size: nz(8), flush: ms(100), batches_in_flight: nz(3), ..one_by_one() };
    let config = Config { retry: backoff(50, 30), ..config };
    let processor = start(&cx, config, &services, &book).await?;
    let mut accepted: Vec<Vec<String>> = vec![Vec::new(); keys.len()];
    for number in 0..120 {
        let index = draw.index(keys.len());
        let (id, to) = (format!("e{number}"), *draw.pick(&["one", "two"]));
        accept(&cx, &processor, keyed(&id, to, *draw.pick(&Priority::ALL), keys[index])).await?;
        accepted[index].push(id);
        if draw.chance(20) {
            sleep(ms(draw.below(60))).await;
        }
    }
    accept(&cx, &processor, event("free", "one", Priority::Low)).await?;
    let free = cx.timeline().now_ms();
    sleep(ms(500_000)).await;
    let sent = services.sent();
    for (key, accepted) in keys.iter().zip(&accepted) {
        // The times at which each of them was sent: those of one end before those of the next begin.
        let mut last = (0, "");
        for id in accepted {
            let times: Vec<_> =
                sent.iter().filter(|sent| sent.ids.contains(id)).map(|sent| sent.began).collect();
            let (Some(first), Some(end)) = (times.first(), times.last()) else {
                ensure!(false, "event {id} with the key `{key}` was never sent"; expected = "each is sent when the one before it has ended", help = HELP);
                return Ok(());
            };
            ensure!(last.1.is_empty() || *first >= last.0 + 20, "event {id} with the key `{key}` was sent at {first} ms; the one before it, {}, was sent at {} ms and had its answer 20 ms later", last.1, last.0; expected = "not before that one has ended", help = HELP);
            last = (*end, id);
        }
    }
    let at = sent
        .iter()
        .find(|sent| sent.ids.iter().any(|id| id == "free"))
        .map(|sent| sent.began - free);
    ensure!(at.is_some_and(|at| at <= 200), "many events with keys wait, and one without a key is sent after {at:?} ms"; expected = "100 ms, or a batch later: it waits for no key");
    // An event that dies lets the next one of its key go; another key does not wait at all.
    let (services, book) = (Services::new(&cx, 10), Book::new(&cx));
    services.next(
        "one",
        [
            (10, Answer::Acks(vec![retry("later")])),
            (10, Answer::All),
            (10, Answer::Acks(vec![Ack::Reject("no".to_owned())])),
        ],
    );
    let config = Config { retry: backoff(1000, 2), ..one_by_one() };
    let processor = start(&cx, config, &services, &book).await?;
    let begin = cx.timeline().now_ms();
    for (id, key) in [("k1", "k"), ("k2", "k"), ("o1", "other")] {
        accept(&cx, &processor, keyed(id, "one", Priority::High, key)).await?;
    }
    sleep(ms(10_000)).await;
    let seen: Vec<_> = services.to("one").into_iter().map(|(at, id)| (at - begin, id)).collect();
    let expected =
        [(0, "k1"), (10, "o1"), (1010, "k1"), (1020, "k2")].map(|(at, id)| (at, id.to_owned()));
    ensure_eq!(seen, expected, "k1 and k2 have one key and o1 another; k1 is to be sent again once, and then rejected"; help = HELP);
    waits_for_the_record(&cx).await
}

/// An event has ended when the journal knows it: until then the next one of its key waits.
async fn waits_for_the_record(cx: &Cx) -> Outcome {
    const HELP: &str = "the next event of a key follows when the end of the one before it is recorded: after a crash the journal would send the older one behind it";
    let takes = cx.draw().between(20..=400);
    let rejected = || Answer::Acks(vec![Ack::Reject("no".to_owned())]);
    for (first, fails, letters) in
        [(Answer::All, 2, 9), (rejected(), 1, 9), (rejected(), 0, 0), (Answer::All, 0, 9)]
    {
        let (services, book) = (Services::new(cx, 10), Book::new(cx));
        services.next("one", [(10, first.clone())]);
        // After its failures the journal records at 10 ms, 1010 ms or 3010 ms, and takes a while.
        book.fails(0, fails);
        book.takes(0, takes);
        let config = Config { dead_letters: letters, retry: backoff(1000, 4), ..one_by_one() };
        let processor = start(cx, config, &services, &book).await?;
        let begin = cx.timeline().now_ms();
        for (id, to) in [("k1", "one"), ("k2", "two")] {
            accept(cx, &processor, keyed(id, to, Priority::High, "k")).await?;
        }
        sleep(ms(20_000)).await;
        let ends = book.ends_of("k1");
        let next: Vec<_> = services.to("two").iter().map(|(at, _)| at - begin).collect();
        // What is left in the journal has no record of its end.
        let recorded = ends.first().map_or(begin + 10, |(at, _)| *at) - begin;
        ensure!(next == [recorded], "k1 and k2 have one key. The service of k1 answers {first:?} at 10 ms, and the journal, which fails {fails} times and takes {takes} ms, has its end at {recorded} ms: k2 was sent at {next:?} ms"; expected = format!("at {recorded} ms"), help = HELP);
    }
    Ok(())
}
