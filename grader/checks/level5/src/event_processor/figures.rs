//! Figures, settings, dead letters and payloads.

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;

use grader_kit::{Cx, Outcome, ensure, ensure_eq, ms};
use level5::event_processor::breaker::{BreakerConfig, BreakerConfigError, Trip};
use level5::event_processor::retry::Backoff;
use level5::event_processor::{
    Ack, Batch, Config, ConfigError, DecodeError, Encoding, Event, EventId, Processor, Rejected,
    SendError, Service, StartError,
};
use level5::priority_queue::Priority;
use tokio::time::{Duration, sleep};

use super::fakes::{Answer, Book, Services};
use super::{
    INGEST, REDRIVE, START, accept, accept_all, dead, event, figures, ids, keyed, nz, one_by_one,
    start,
};

pub async fn figures_add_up(cx: Cx) -> Outcome {
    const HELP: &str = "count where the decision falls: a send when its answer is there, a latency from the acceptance to the acknowledgement";
    let (services, book) = (Services::new(&cx, 100), Book::new(&cx));
    services.next("one", [(100, Answer::unavailable())]);
    let config = Config { batches_in_flight: nz(1000), ..one_by_one() };
    let processor = start(&cx, config, &services, &book).await?;
    let mut watch = processor.metrics();
    watch.borrow_and_update();
    accept(&cx, &processor, event("low", "one", Priority::Low)).await?;
    cx.settle().await;
    ensure!(watch.has_changed().unwrap_or(false), "an event was accepted, and the figures have not changed"; expected = "a change, without a call or a tick", help = HELP);
    accept_all(&cx, &processor, ids("m", 2), "two", Priority::Medium).await?;
    accept_all(&cx, &processor, ids("h", 3), "two", Priority::High).await?;
    accept_all(&cx, &processor, ids("c", 4), "two", Priority::Critical).await?;
    sleep(ms(50)).await;
    let now = figures(&processor);
    ensure!(now.backlog == [1, 2, 3, 4] && now.pending() == 10 && now.sends == 0, "1 low, 2 medium, 3 high and 4 critical events are on their way: the backlog is {:?}, pending {}, sends {}", now.backlog, now.pending(), now.sends; expected = "[1, 2, 3, 4], 10, and no send has ended", help = HELP);
    sleep(ms(60)).await;
    let now = figures(&processor);
    ensure!((now.sends, now.failed_sends, now.delivered, now.backlog) == (10, 1, 9, [1, 0, 0, 0]), "9 of 10 sends have succeeded: {now:?}"; expected = "sends 10, failed 1, delivered 9, and one low event is pending", help = HELP);
    ensure!((now.error_rate() - 0.1).abs() < 1e-9, "1 of 10 sends has failed, and the error rate is {}", now.error_rate(); expected = "0.1");
    ensure_eq!(now.latency.mean, ms(100), "the mean latency of 9 events that took 100 ms"; help = HELP);
    sleep(ms(2000)).await;
    let now = figures(&processor);
    // At 100 ms it failed, at 1100 ms it was sent again.
    ensure!(now.latency.mean == ms(210) && (1200..=1250).contains(&now.latency.p99.as_millis()), "9 events took 100 ms, and one 1200 ms with a failed attempt: the latency is {:?}", now.latency; expected = "mean 210 ms, p99 1200 ms, at most 4 % more", help = HELP);
    counts_failed_sends(&cx).await?;
    // Many: of 1000, ten are slow.
    let (services, book) = (Services::new(&cx, 20), Book::new(&cx));
    services.next("slow", (0..15).map(|_| (900, Answer::All)));
    let config = Config { batches_in_flight: nz(10_000), threshold: nz(10_000), ..one_by_one() };
    let processor = start(&cx, config, &services, &book).await?;
    ensure!(figures(&processor).error_rate() == 0.0, "no send was made, and the error rate is {}", figures(&processor).error_rate(); expected = "0");
    for (slow, p99) in [(5, 20_u128), (10, 900)] {
        accept_all(&cx, &processor, ids(&format!("s{slow}."), slow), "slow", Priority::Low).await?;
        accept_all(&cx, &processor, ids(&format!("f{slow}."), 600 - slow), "fast", Priority::Low)
            .await?;
        sleep(ms(1000)).await;
        let seen = figures(&processor).latency.p99.as_millis();
        ensure!(seen >= p99 && seen <= p99 + p99 / 25 + 1, "{} of {} events took 900 ms and the others 20 ms: the p99 is {seen} ms", if slow == 5 { 5 } else { 15 }, if slow == 5 { 600 } else { 1200 }; expected = format!("{p99} ms, at most 4 % more"), help = HELP);
    }
    Ok(())
}

/// Sends without acknowledgements, and some that acknowledge nothing good.
async fn counts_failed_sends(cx: &Cx) -> Outcome {
    let rejected = || Ack::Reject("no".to_owned());
    let status = |code| {
        let status = http::StatusCode::from_u16(code).unwrap_or_default();
        Answer::Error(SendError::Status(status, "no".to_owned()))
    };
    for (answer, failed) in [
        (Answer::Hang, 1),
        (Answer::Panic, 1),
        (status(400), 1),
        (status(503), 1),
        (Answer::Acks(vec![rejected(), Ack::Retry("busy".to_owned())]), 0),
        (Answer::Acks(Vec::new()), 0),
        (Answer::All, 0),
    ] {
        let (services, book) = (Services::new(cx, 10), Book::new(cx));
        services.next("one", [(10, answer.clone())]);
        let retry = Backoff::new(ms(5000), 1.0, ms(5000), NonZeroU32::MIN.saturating_add(1));
        let config = Config { batch_size: nz(2), send_timeout: ms(500), ..one_by_one() };
        let config = Config { flush: ms(100), retry: retry.unwrap_or_default(), ..config };
        let processor = start(cx, config, &services, &book).await?;
        accept_all(cx, &processor, ids("e", 2), "one", Priority::Low).await?;
        sleep(ms(1000)).await;
        let now = figures(&processor);
        ensure_eq!((now.sends, now.failed_sends), (1, failed), "a service answers a batch of two with {answer:?}: the sends that have ended, and those of them that failed"; help = "a send has failed when it ends without acknowledgements: by an error, a panic or its time limit");
    }
    Ok(())
}

pub async fn dead_letters_have_a_cap(cx: Cx) -> Outcome {
    const HELP: &str = "what dies when there is no room for another letter leaves the memory, and its end is not recorded: the journal still has it";
    let reject = |_: &str, events: &[Arc<Event>]| {
        (0, Answer::Acks(events.iter().map(|_| Ack::Reject("no".to_owned())).collect()))
    };
    for (capacity, count) in [(3, 10), (0, 4), (5, 5), (300, 301)] {
        let (services, book) = (Services::scripted(&cx, reject), Book::new(&cx));
        let config = Config { dead_letters: capacity, batch_size: nz(4), ..one_by_one() };
        let processor = start(&cx, config, &services, &book).await?;
        accept_all(&cx, &processor, ids("e", count), "one", Priority::Low).await?;
        sleep(ms(60_000)).await;
        let (letters, now) = (dead(&processor), figures(&processor));
        let left = count.saturating_sub(capacity);
        ensure!(letters.len() == capacity.min(count) && letters == ids("e", letters.len()), "{count} events die, with room for {capacity} letters: {} are there", letters.len(); expected = format!("the first {}", capacity.min(count)), help = HELP);
        ensure!(now.dead as usize == letters.len() && now.left_in_journal as usize == left && now.pending() == 0, "{count} events die, with room for {capacity} letters: {now:?}"; expected = format!("dead {}, left in the journal {left}, none pending", letters.len()), help = HELP);
        let held = book.pending();
        ensure!(held == ids("e", count)[letters.len()..], "{count} events die, with room for {capacity} letters: the journal holds {held:?}"; expected = format!("the last {left}"), help = HELP);
        // The next processor sends them again.
        drop(processor);
        let next = Services::new(&cx, 0);
        let config = Config { dead_letters: capacity.max(1), ..one_by_one() };
        let processor = start(&cx, config, &next, &book).await?;
        sleep(ms(60_000)).await;
        ensure!(next.order("one") == held && figures(&processor).delivered as usize == left, "after a new start {:?} were sent", next.order("one"); expected = "those that were left in the journal", help = HELP);
    }
    // Events of one key: one that is left lets the next one go.
    let (services, book) = (Services::scripted(&cx, reject), Book::new(&cx));
    let config = Config { dead_letters: 1, ..one_by_one() };
    let processor = start(&cx, config, &services, &book).await?;
    for id in ids("k", 4) {
        accept(&cx, &processor, keyed(&id, "one", Priority::Low, "key")).await?;
    }
    sleep(ms(60_000)).await;
    let now = figures(&processor);
    ensure!((now.dead, now.left_in_journal, now.pending()) == (1, 3, 0), "4 events of one key die, with room for one letter: {now:?}"; expected = "dead 1, left in the journal 3, none pending", help = "an event that is left in the journal has ended: the next one of its key follows");
    // Letters that are being redriven keep their places: the journal may fail, and they come back.
    let (services, book) = (Services::scripted(&cx, reject), Book::new(&cx));
    let config = Config { dead_letters: 2, ..one_by_one() };
    let processor = start(&cx, config, &services, &book).await?;
    accept_all(&cx, &processor, ids("e", 2), "one", Priority::Low).await?;
    sleep(ms(100)).await;
    services.next("one", [(50, Answer::Acks(vec![Ack::Reject("no".to_owned())]))]);
    accept(&cx, &processor, event("late", "one", Priority::Low)).await?;
    book.takes(100, 0);
    book.fails(1, 0);
    let both: Vec<_> = ids("e", 2).into_iter().map(EventId::new).collect();
    let answer = cx.call(REDRIVE, processor.redrive(&both)).await?.value;
    let letters = dead(&processor);
    ensure!(letters.len() <= 2, "there is room for two letters, and both are to be sent again; the journal fails after 100 ms, and at 50 ms another event dies: redrive returns {answer:?}, and the letters are {letters:?}";
        expected = "at most two letters", help = "a letter keeps its place until the journal has it as pending: when the journal fails, it comes back");
    frees_the_places_of_redriven(&cx).await
}

/// Letters that are sent again, over and over: each place is free again, once.
async fn frees_the_places_of_redriven(cx: &Cx) -> Outcome {
    const HELP: &str = "a letter has one place, from its death until it is sent again: then another event may have it";
    let mut draw = cx.draw();
    let rejected = || Answer::Acks(vec![Ack::Reject("no".to_owned())]);
    for capacity in [1, 2 + draw.index(4)] {
        let (services, book) = (Services::new(cx, 0), Book::new(cx));
        let config = Config { dead_letters: capacity, ..one_by_one() };
        let processor = start(cx, config, &services, &book).await?;
        let mut left = 0;
        for round in 0..4 {
            // One more than there are places for.
            let names = ids(&format!("{round}."), capacity + 1);
            services.next("one", (0..=capacity).map(|_| (0, rejected())));
            accept_all(cx, &processor, names.iter().cloned(), "one", Priority::Low).await?;
            sleep(ms(100)).await;
            left += 1;
            let seen = (dead(&processor), figures(&processor).left_in_journal);
            let expected = (names[..capacity].to_vec(), left);
            ensure_eq!(seen, expected, "there is room for {capacity} letters, all that died before were sent again, and {} events die: the letters, and how many events were left in the journal so far", capacity + 1; help = HELP);
            let all: Vec<_> = names.iter().cloned().map(EventId::new).collect();
            // The journal refuses first; then they die again, or are delivered.
            book.fails(1, 0);
            let refused = cx.call(REDRIVE, processor.redrive(&all)).await?.value;
            if refused.is_ok() {
                // That is the business of another criterion.
                return Ok(());
            }
            services.next("one", [(0, rejected())]);
            accept(cx, &processor, event(&format!("{round}.late"), "one", Priority::Low)).await?;
            sleep(ms(100)).await;
            left += 1;
            let seen = (dead(&processor), figures(&processor).left_in_journal);
            let expected = (names[..capacity].to_vec(), left);
            ensure_eq!(seen, expected, "there is room for {capacity} letters, the journal has refused to take them as pending, and another event dies: the letters, and how many events were left in the journal so far"; help = HELP);
            if round % 2 == 1 {
                services.next("one", (0..capacity).map(|_| (0, rejected())));
                let _ = cx.call(REDRIVE, processor.redrive(&all)).await?;
                sleep(ms(100)).await;
                ensure_eq!(dead(&processor), names[..capacity].to_vec(), "{capacity} letters were sent again and died again: the letters"; help = HELP);
            }
            let count = cx.call(REDRIVE, processor.redrive(&all)).await?.value;
            sleep(ms(100)).await;
            ensure!(count == Ok(capacity) && dead(&processor).is_empty(), "{capacity} letters are sent again: {count:?}, and the letters are {:?}", dead(&processor); expected = format!("Ok({capacity}), and none"), help = HELP);
        }
    }
    Ok(())
}

pub async fn redrive_sends_again(cx: Cx) -> Outcome {
    const HELP: &str = "a redriven letter is an event like a new one: the journal has it as pending, and it has all its attempts";
    let (services, book) = (Services::new(&cx, 10), Book::new(&cx));
    services.next("one", (0..4).map(|_| (10, Answer::Acks(vec![Ack::Reject("no".to_owned())]))));
    let attempts = NonZeroU32::MIN.saturating_add(1);
    let retry = Backoff::new(ms(100), 2.0, ms(1000), attempts).unwrap_or_default();
    let config = Config { retry, threshold: nz(6), critical_reserve: 0, ..one_by_one() };
    let processor = start(&cx, config, &services, &book).await?;
    accept_all(&cx, &processor, ids("e", 4), "one", Priority::Low).await?;
    sleep(ms(1000)).await;
    ensure_eq!(dead(&processor), ids("e", 4), "four rejected events");
    // One of them, which fails once more before it succeeds.
    services.next("one", [(10, Answer::Acks(vec![Ack::Retry("busy".to_owned())]))]);
    let wanted = ["e2", "unknown"].map(EventId::new);
    let begin = cx.timeline().now_ms();
    let count = cx.call(REDRIVE, processor.redrive(&wanted)).await?.value;
    ensure!(count == Ok(1) && book.pending() == ["e2"], "redrive of e2 and an unknown id returns {count:?}, and the journal has {:?} as pending", book.pending(); expected = "Ok(1), and e2", help = HELP);
    sleep(ms(50)).await;
    let now = figures(&processor);
    ensure!((now.accepted, now.dead, now.pending()) == (4, 3, 1), "one of four letters is sent again: {now:?}"; expected = "accepted 4, dead 3, pending 1");
    sleep(ms(1000)).await;
    let at: Vec<_> =
        services.to("one").into_iter().skip(4).map(|(at, id)| (at - begin, id)).collect();
    ensure_eq!(at, [(0, "e2".to_owned()), (110, "e2".to_owned())], "a letter that is sent again, and is to be sent again once more"; help = HELP);
    ensure_eq!(dead(&processor), ["e0", "e1", "e3"], "the letters after one was delivered");
    // A journal that fails leaves them where they are.
    book.fails(1, 0);
    let all: Vec<_> = ids("e", 4).into_iter().map(EventId::new).collect();
    let failed = cx.call(REDRIVE, processor.redrive(&all)).await?.value;
    ensure!(matches!(failed, Err(Rejected::Journal(_))), "the journal fails, and redrive returns {failed:?}"; expected = "Rejected::Journal");
    ensure_eq!(dead(&processor), ["e0", "e1", "e3"], "the letters after a redrive that the journal refused"; help = "they are dead letters as before");
    // As far as there is room.
    services.next("one", [(1000, Answer::All)]);
    accept_all(&cx, &processor, ids("f", 4), "one", Priority::Low).await?;
    let count = cx.call(REDRIVE, processor.redrive(&all)).await?.value;
    ensure!(count == Ok(2) && dead(&processor) == ["e3"], "4 of 6 places are taken, and three letters are to be sent again: {count:?}; left are {:?}", dead(&processor); expected = "Ok(2), the oldest ones, and e3 is left", help = "a redriven letter takes a place below the threshold");
    // One that dies again is a letter again, and is accepted no other way.
    sleep(ms(10_000)).await;
    services.next("one", [(10, Answer::Acks(vec![Ack::Reject("never".to_owned())]))]);
    let count = cx.call(REDRIVE, processor.redrive(&all)).await?.value;
    sleep(ms(1000)).await;
    let letter = processor
        .dead_letters()
        .first()
        .map(|it| (it.event.id.to_string(), it.attempts, it.reason.clone()));
    ensure!(count == Ok(1) && letter == Some(("e3".to_owned(), 1, "never".to_owned())), "a letter is sent again and dies again: {count:?}, {letter:?}"; expected = "e3, after 1 attempt, with the new reason", help = HELP);
    redrives_all_or_none(&cx).await
}

/// A call of `redrive` that is dropped while the journal writes leaves everything as it was.
async fn redrives_all_or_none(cx: &Cx) -> Outcome {
    let dropped_at = cx.draw().between(1..=99);
    let (services, book) = (Services::new(cx, 0), Book::new(cx));
    services.next("one", (0..2).map(|_| (0, Answer::Acks(vec![Ack::Reject("no".to_owned())]))));
    let config = Config { threshold: nz(2), critical_reserve: 0, ..one_by_one() };
    let processor = start(cx, config, &services, &book).await?;
    accept_all(cx, &processor, ids("e", 2), "one", Priority::Low).await?;
    sleep(ms(100)).await;
    // One of them alone, the oldest: it is the oldest again.
    for dropped in [false, true] {
        book.takes(100, 0);
        book.fails(usize::from(!dropped), 0);
        let one = [EventId::new("e0")];
        let limit = ms(if dropped { dropped_at } else { 1000 });
        let answer = tokio::time::timeout(limit, processor.redrive(&one));
        let answer = cx.call(REDRIVE, answer).await?.value;
        book.takes(0, 0);
        book.fails(0, 0);
        sleep(ms(1000)).await;
        ensure_eq!(dead(&processor), ids("e", 2), "the letters after a redrive of the older one of two, which {} ({answer:?})", if dropped { "was dropped while the journal wrote" } else { "the journal has refused" }; help = "a letter that comes back has the place that it had: `dead_letters` is the oldest first");
    }
    let all: Vec<_> = ids("e", 2).into_iter().map(EventId::new).collect();
    book.takes(100, 0);
    let gone = tokio::time::timeout(ms(dropped_at), processor.redrive(&all));
    let gone = cx.call(REDRIVE, gone).await?.value.is_err();
    ensure!(gone, "the journal takes 100 ms, and redrive is ready before {dropped_at} ms");
    book.takes(0, 0);
    sleep(ms(1000)).await;
    ensure_eq!(dead(&processor), ids("e", 2), "the letters after a call of redrive that was dropped while the journal wrote"; help = "a guard with a destructor holds the letters until they are pending: it puts them back, whichever way the call ends");
    services.next("two", [(1000, Answer::All)]);
    accept_all(cx, &processor, ids("f", 2), "two", Priority::Low).await?;
    sleep(ms(5000)).await;
    let count = cx.call(REDRIVE, processor.redrive(&all)).await?.value;
    sleep(ms(1000)).await;
    ensure!(count == Ok(2) && figures(&processor).delivered == 4, "a call of redrive was dropped, and another one returns {count:?}; {} of 4 events are delivered", figures(&processor).delivered; expected = "Ok(2), and all");
    the_journal_knows_what_was_dropped(cx, dropped_at).await?;
    goes_again_at_once(cx).await
}

/// A caller whose letters the journal refuses tries again without a pause; and the ids of those that went are known.
async fn goes_again_at_once(cx: &Cx) -> Outcome {
    let mut draw = cx.draw();
    for takes in [0, draw.between(1..=90)] {
        let count = 1 + draw.index(4);
        let (services, book) = (Services::new(cx, 0), Book::new(cx));
        let rejected = || Answer::Acks(vec![Ack::Reject("no".to_owned())]);
        services.next("one", (0..count).map(|_| (0, rejected())));
        let places = (nz(count), 2 * count + draw.index(5));
        let config = Config { threshold: places.0, critical_reserve: 0, ..one_by_one() };
        let config = Config { remembered_ids: places.1, ..config };
        let processor = start(cx, config, &services, &book).await?;
        accept_all(cx, &processor, ids("e", count), "one", Priority::Low).await?;
        sleep(ms(100)).await;
        book.takes(takes, 1000);
        book.fails(1, 0);
        let all: Vec<_> = ids("e", count).into_iter().map(EventId::new).collect();
        let both = async { [processor.redrive(&all).await, processor.redrive(&all).await] };
        let answers = cx.call(REDRIVE, both).await?.value;
        let right = matches!(answers, [Err(Rejected::Journal(_)), Ok(again)] if again == count);
        ensure!(right, "the journal takes {takes} ms and fails once, and a caller tries again at once to have {count} letters sent again: {answers:?}";
            expected = format!("Rejected::Journal, then Ok({count}): all are dead letters as before"), help = "an error of `append` says that nothing was kept: the letters are back before `redrive` returns");
        sleep(ms(5000)).await;
        book.takes(0, 0);
        ensure!(figures(&processor).delivered == count as u64, "{count} letters were sent again, and {} are delivered", figures(&processor).delivered; expected = "all");
        let last = format!("e{}", count - 1);
        let call = processor.ingest(event(&last, "one", Priority::Low));
        let answer = cx.call(INGEST, call).await?.value;
        ensure!(answer == Err(Rejected::Duplicate), "a dead letter was sent again and is delivered, as the last event so far, and its event comes again: {answer:?}"; expected = "Duplicate");
        for number in 0..places.1 {
            accept(cx, &processor, event(&format!("n{number}"), "one", Priority::Low)).await?;
            sleep(ms(5)).await;
        }
        accept(cx, &processor, event(&last, "one", Priority::Low)).await?;
    }
    Ok(())
}

/// A call of `redrive` that is dropped when the journal has the letters as pending already.
async fn the_journal_knows_what_was_dropped(cx: &Cx, dropped_at: u64) -> Outcome {
    const HELP: &str = "a journal whose `append` is dropped may have written: tell it `Dead` again, as an `ingest` that is dropped tells it `Withdrawn`";
    let (services, book) = (Services::new(cx, 0), Book::new(cx));
    services.next("one", (0..3).map(|_| (0, Answer::Acks(vec![Ack::Reject("no".to_owned())]))));
    let processor = start(cx, one_by_one(), &services, &book).await?;
    accept_all(cx, &processor, ids("e", 3), "one", Priority::Low).await?;
    sleep(ms(100)).await;
    book.takes(100, 0);
    book.writes_first(true);
    let wanted = ["e0", "e1"].map(EventId::new);
    let gone = tokio::time::timeout(ms(dropped_at), processor.redrive(&wanted));
    let gone = cx.call(REDRIVE, gone).await?.value.is_err();
    ensure!(gone, "the journal takes 100 ms, and redrive is ready before {dropped_at} ms");
    book.takes(0, 0);
    book.writes_first(false);
    sleep(ms(1000)).await;
    ensure_eq!(dead(&processor), ids("e", 3), "the letters after a call of redrive that was dropped when the journal had written"; help = "they are dead letters as before");
    let pending = book.pending();
    ensure!(pending.is_empty(), "a call of redrive was dropped when the journal had written, and a second later the processor has the letters {:?}, and the journal has {pending:?} as pending", dead(&processor); expected = "none: the next processor would send what is a dead letter here", help = HELP);
    cx.call_fn("drop", move || drop(processor)).await?;
    let next = Services::new(cx, 0);
    let processor = start(cx, one_by_one(), &next, &book).await?;
    sleep(ms(60_000)).await;
    let mut letters = dead(&processor);
    letters.sort();
    ensure!(letters == ids("e", 3) && next.count() == 0, "a call of redrive was dropped when the journal had written; the next processor that starts with the journal has the letters {letters:?}, and has sent {} batches", next.count(); expected = "the same three letters, and none is sent", help = HELP);
    Ok(())
}

/// A small body that stands for a large batch.
fn reads_no_more_than_its_limit() -> Outcome {
    const LIMIT: usize = Batch::MOST_BYTES;
    for (length, fits) in [(LIMIT - 4096, true), (LIMIT, false)] {
        let large = Event { data: vec![0; length].into(), ..event("e", "one", Priority::Low) };
        let body = Batch::new(vec![Arc::new(large)], Encoding::Gzip).encode();
        let read = Batch::decode(&body, Encoding::Gzip);
        let seen = read.map(|batch| batch.events().len());
        let observed = grader_kit::short(&format!("{seen:?}"));
        if fits {
            ensure!(seen == Ok(1), "a compressed body of {} bytes has an event with {length} bytes of data, and decode returns {observed}", body.len(); expected = format!("the event: the limit is {LIMIT} bytes"));
        } else {
            ensure!(seen == Err(DecodeError::TooLong), "a compressed body of {} bytes has an event with {length} bytes of data, and decode returns {observed}", body.len(); expected = "DecodeError::TooLong: a sender must not choose how much memory its reader needs", help = "`Read::take` with the limit and one byte more");
        }
    }
    Ok(())
}

pub async fn a_batch_decodes(cx: Cx) -> Outcome {
    const CALL: &str = "Batch";
    let mut draw = cx.draw();
    cx.call_fn(CALL, || {
        for size in [0_usize, 1, 2, 17, 100] {
            let events: Vec<_> = (0..size)
                .map(|number| {
                    let length = usize::try_from(draw.below(300)).unwrap_or_default();
                    let data: Vec<u8> = (0..length).map(|_| draw.below(256) as u8).collect();
                    let texts = ["\n", "{\"id\":1}", "ä \" \\ \0", "plain"];
                    Arc::new(Event {
                        id: EventId::new(format!("{}{number}", draw.pick(&texts))),
                        kind: (*draw.pick(&texts)).to_owned(),
                        key: draw.chance(50).then(|| draw.text(0..=20)),
                        priority: *draw.pick(&Priority::ALL),
                        at: jiff::Timestamp::from_nanosecond(i128::from(draw.below(1 << 62))).unwrap_or_default(),
                        data: data.into(),
                    })
                })
                .collect();
            for encoding in [Encoding::Plain, Encoding::Gzip] {
                let batch = Batch::new(events.clone(), encoding);
                let body = batch.encode();
                let read = Batch::decode(&body, encoding);
                ensure!(read.as_ref() == Ok(&batch), "a batch of {size} events is written as {encoding:?} and read again: {}", grader_kit::short(&format!("{read:?}")); expected = "the same events, with every byte of their data");
                // Bytes that are cut, and bytes that are something else.
                for cut in [1, 2, body.len() / 2, body.len().saturating_sub(1)] {
                    let cut = cut.min(body.len());
                    let read = Batch::decode(&body[..cut], encoding);
                    let whole = read.as_ref().is_ok_and(|it| it.events().len() == size);
                    ensure!(!whole || cut == body.len() || size == 0, "the first {cut} of {} bytes of a batch are read as all {size} events", body.len(); expected = "a DecodeError, or the events that are complete");
                }
                let noise: Vec<u8> = (0..200).map(|_| draw.below(256) as u8).collect();
                ensure!(Batch::decode(&noise, encoding).is_err(), "200 random bytes are read as a batch"; expected = "a DecodeError");
                for more in [&noise[..], b"0", b"\0", b"\n"] {
                    let longer = [&body[..], more].concat();
                    let read = Batch::decode(&longer, encoding);
                    ensure!(read.is_err(), "a batch of {size} events is written as {encoding:?}, {} bytes follow that are no batch, such as {:?}, and it is read as one of {} events", more.len(), more[0] as char, read.map(|it| it.events().len()).unwrap_or_default();
                        expected = "a DecodeError: no byte is passed over", help = "look at what is left when the events are read; flate2's `GzDecoder` stops at the end of the compressed data, whatever follows");
                }
            }
        }
        let similar: Vec<_> = ids("event-", 100).iter().map(|id| Arc::new(event(id, "analytics", Priority::Low))).collect();
        let plain = Batch::new(similar.clone(), Encoding::Plain).encode().len();
        let packed = Batch::new(similar, Encoding::Gzip).encode().len();
        reads_no_more_than_its_limit()?;
        ensure!(packed * 2 < plain, "100 similar events are {plain} bytes as Plain and {packed} as Gzip"; expected = "less than half of it", help = "compress the batch as a whole");
        Ok(())
    })
    .await??;
    for compress in [true, false] {
        let (services, book) = (Services::new(&cx, 0), Book::new(&cx));
        let processor = start(&cx, Config { compress, ..one_by_one() }, &services, &book).await?;
        accept(&cx, &processor, event("e", "one", Priority::Low)).await?;
        sleep(ms(10)).await;
        let encoding = services.last().map(|batch| batch.encoding());
        ensure!(
            encoding == Some(if compress { Encoding::Gzip } else { Encoding::Plain }),
            "with `compress` {compress} a batch is sent as {encoding:?}"
        );
    }
    Ok(())
}

pub async fn takes_any_setting(cx: Cx) -> Outcome {
    let refused = async |config: Config| {
        let (services, book) = (Services::new(&cx, 0), Book::new(&cx));
        let started = Processor::start(config, services, book, |_: &Event| Service::new("one"));
        cx.call(START, started).await.map(|call| call.value.err())
    };
    let zero = refused(Config { send_timeout: ms(0), ..Config::default() }).await?;
    ensure!(zero == Some(StartError::Config(ConfigError::ZeroSendTimeout)), "a processor with a send timeout of zero: {zero:?}"; expected = "ZeroSendTimeout");
    let breaker = BreakerConfig { reset_timeout: ms(0), ..super::no_breaker() };
    let zero = refused(Config { breaker, ..Config::default() }).await?;
    ensure!(zero == Some(StartError::Config(ConfigError::Breaker(BreakerConfigError::ZeroResetTimeout))), "a processor with a breaker that is open for no time: {zero:?}"; expected = "ConfigError::Breaker, with the breaker's own error");
    let breaker = BreakerConfig {
        trip: Trip::InWindow { failures: NonZeroU32::MIN, window: ms(0) },
        ..super::no_breaker()
    };
    let zero = refused(Config { breaker, ..Config::default() }).await?;
    ensure!(zero == Some(StartError::Config(ConfigError::Breaker(BreakerConfigError::ZeroWindow))), "a processor with a breaker whose window is zero: {zero:?}"; expected = "ConfigError::Breaker, with the breaker's own error");
    // The largest of everything.
    let forever = Duration::MAX;
    let breaker =
        BreakerConfig { reset_timeout: forever, probes: NonZeroUsize::MAX, ..super::no_breaker() };
    let largest = Config {
        batch_size: NonZeroUsize::MAX,
        flush: ms(10),
        batches_in_flight: NonZeroUsize::MAX,
        send_timeout: forever,
        retry: Backoff::new(ms(1), 1e300, forever, NonZeroU32::MAX).unwrap_or_default(),
        breaker,
        threshold: NonZeroUsize::MAX,
        critical_reserve: usize::MAX,
        max_wait: forever,
        dead_letters: usize::MAX,
        remembered_ids: usize::MAX,
        compress: true,
    };
    // The smallest.
    let smallest = Config {
        send_timeout: ms(1),
        threshold: nz(1),
        critical_reserve: 0,
        max_wait: ms(0),
        dead_letters: 0,
        remembered_ids: 0,
        ..one_by_one()
    };
    for (config, which) in [(largest, "the largest"), (smallest, "the smallest")] {
        let (services, book) = (Services::new(&cx, 0), Book::new(&cx));
        let processor = start(&cx, config, &services, &book).await?;
        for priority in Priority::ALL {
            accept(&cx, &processor, event(&format!("{priority:?}"), "one", priority)).await?;
            sleep(ms(20)).await;
        }
        ensure!(figures(&processor).delivered == 4, "with {which} settings {} of 4 events are delivered", figures(&processor).delivered; expected = "4");
        // Nothing is remembered: the same event may come again.
        if which == "the smallest" {
            accept(&cx, &processor, event("Low", "one", Priority::Low)).await?;
        }
        let report = cx.call("Processor::shutdown", processor.shutdown(forever)).await?.value;
        ensure!(
            report.left.is_empty(),
            "with {which} settings a shutdown without a limit leaves {:?}",
            report.left
        );
    }
    // A wait that never ends is no busy one.
    let (services, book) = (Services::new(&cx, 0), Book::new(&cx));
    services.next("one", [(0, Answer::unavailable())]);
    let retry = Backoff::new(forever, 2.0, forever, NonZeroU32::MAX).unwrap_or_default();
    let processor = start(&cx, Config { retry, ..one_by_one() }, &services, &book).await?;
    accept(&cx, &processor, event("e", "one", Priority::Low)).await?;
    cx.pass(ms(86_400_000)).await;
    ensure!(services.count() == 1 && figures(&processor).pending() == 1, "the wait before the second attempt is `Duration::MAX`, and a day later the event was sent {} times", services.count(); expected = "once");
    Ok(())
}
