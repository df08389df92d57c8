//! Which events are accepted.

use futures::FutureExt as _;
use grader_kit::{Cx, Outcome, ensure, ensure_eq, ms};
use level5::event_processor::{Ack, Config, Event, Invalid, Journal as _, Rejected};
use level5::priority_queue::Priority;
use tokio::time::sleep;

use super::fakes::{Answer, Book, Services};
use super::{
    INGEST, SHUTDOWN, accept, accept_all, dead, event, figures, ids, is_backpressure, keyed, nz,
    one_by_one, start,
};

pub async fn accepts_exactly_the_threshold(cx: Cx) -> Outcome {
    const HELP: &str = "count every event from its place on until it has ended: in a queue, on its way, and while it waits for another attempt";
    for threshold in [1, 2, 7, 300, 1500] {
        // Of each three events one hangs on its way, one waits for a retry, and one is queued.
        let services = Services::scripted(&cx, |_, events| match events.first() {
            Some(event) if event.id.as_str().ends_with('1') => {
                (0, Answer::Error(super::fakes::timeout()))
            }
            _ => (0, Answer::Hang),
        });
        let book = Book::new(&cx);
        let config =
            Config { threshold: nz(threshold), critical_reserve: 5, flush: ms(50), ..one_by_one() };
        let processor = start(&cx, config, &services, &book).await?;
        for number in 0..threshold {
            let priority = [Priority::Low, Priority::Medium, Priority::High][number % 3];
            let to = if number % 10 == 1 { format!("s{number}") } else { "one".to_owned() };
            accept(&cx, &processor, event(&format!("e{number}"), &to, priority)).await?;
        }
        for pause in [0, 100, 500] {
            sleep(ms(pause)).await;
            for priority in [Priority::Low, Priority::Medium, Priority::High] {
                let more = event(&format!("more{priority:?}"), "one", priority);
                let answer = cx.call(INGEST, processor.ingest(more)).await?.value;
                ensure!(is_backpressure(&answer), "{threshold} events are pending of which some are on their way and some wait for a retry, and one more: {answer:?}";
                    expected = "Backpressure, with a time that is not zero: the threshold is reached", help = HELP);
            }
        }
    }
    // Places become free when events have ended, and not before; and those being written count.
    let (services, book) = (Services::new(&cx, 100), Book::new(&cx));
    let config = Config { threshold: nz(3), critical_reserve: 0, ..one_by_one() };
    let processor = start(&cx, config, &services, &book).await?;
    book.takes(20, 0);
    let five = futures::future::join_all(
        ids("w", 5)
            .iter()
            .map(|id| processor.ingest(event(id, "one", Priority::Low)))
            .collect::<Vec<_>>(),
    );
    let answers = cx.call(INGEST, five).await?.value;
    let accepted = answers.iter().filter(|it| it.is_ok()).count();
    ensure!(accepted == 3, "five events come at once to a processor with a threshold of 3: {accepted} are accepted"; expected = "3: events that are written to the journal have their places", help = HELP);
    book.takes(0, 0);
    // Sent at 20, 120 and 220 ms. One has ended at 120 ms.
    sleep(ms(99)).await;
    let early = cx.call(INGEST, processor.ingest(event("x", "one", Priority::Low))).await?.value;
    ensure!(is_backpressure(&early), "no event has ended, and another one: {early:?}"; expected = "Backpressure");
    sleep(ms(2)).await;
    accept(&cx, &processor, event("y", "one", Priority::Low)).await?;
    let full = cx.call(INGEST, processor.ingest(event("z", "one", Priority::Low))).await?.value;
    ensure!(is_backpressure(&full), "one event has ended, and two more come: the second is answered {full:?}"; expected = "Backpressure");
    keeps_the_place_until_the_record(&cx).await
}

/// An event has ended when the journal knows it: until then it has its place.
async fn keeps_the_place_until_the_record(cx: &Cx) -> Outcome {
    let takes = cx.draw().between(50..=900);
    for answer in [Answer::All, Answer::Acks(vec![Ack::Reject("no".to_owned())])] {
        let (services, book) = (Services::new(cx, 0), Book::new(cx));
        services.next("one", [(10, answer.clone())]);
        book.takes(0, takes);
        let config = Config { threshold: nz(1), critical_reserve: 0, ..one_by_one() };
        let processor = start(cx, config, &services, &book).await?;
        accept(cx, &processor, event("e", "one", Priority::Low)).await?;
        sleep(ms(10 + takes - 5)).await;
        let call = processor.ingest(event("more", "one", Priority::High));
        let early = cx.call(INGEST, call).await?.value;
        ensure!(is_backpressure(&early), "there is one place; a service answers {answer:?} after 10 ms, and the journal, which takes {takes} ms, records it at {} ms; another event comes 5 ms before that: {early:?}", 10 + takes;
            expected = "Backpressure: the event is pending until its end is recorded", help = "the place becomes free in the step in which the event leaves the backlog");
        sleep(ms(10)).await;
        accept(cx, &processor, event("more", "one", Priority::High)).await?;
    }
    Ok(())
}

pub async fn critical_events_have_a_reserve(cx: Cx) -> Outcome {
    const HELP: &str = "critical events have `critical_reserve` places beyond the threshold; beyond those they wait in a line, and the event that ends hands its place to the first";
    for (threshold, reserve) in [(3, 2), (1, 0), (20, 1), (2, 400)] {
        let (services, book) = (Services::new(&cx, 1000), Book::new(&cx));
        let config = Config { threshold: nz(threshold), critical_reserve: reserve, ..one_by_one() };
        let processor = start(&cx, config, &services, &book).await?;
        accept_all(&cx, &processor, ids("e", threshold), "one", Priority::High).await?;
        accept_all(&cx, &processor, ids("c", reserve), "one", Priority::Critical).await?;
        // The reserve is used. Three more wait, and the second goes away.
        let waits = |id: &str| processor.ingest(event(id, "one", Priority::Critical)).boxed_local();
        let mut line = [waits("first"), waits("gone"), waits("second")];
        for call in &mut line {
            ensure!(futures::poll!(&mut *call).is_pending(), "{threshold} events and {reserve} critical ones are pending, and one more critical event does not wait"; expected = "it waits for room", help = HELP);
        }
        let [mut first, gone, mut second] = line;
        drop(gone);
        let ended = |processor: &super::Running| figures(processor).delivered;
        let waits_for_one = async {
            let answer = (&mut first).await;
            (answer, ended(&processor), (&mut second).now_or_never())
        };
        let (answer, delivered, next) = cx.call(INGEST, waits_for_one).await?.value;
        ensure!(answer == Ok(()) && delivered <= 1 && next.is_none(), "critical events wait for room; when one event has ended, the first is answered {answer:?} with {delivered} delivered, and the second {next:?}";
            expected = "the first is accepted when one has ended, the second waits on", help = HELP);
        // A low event does not overtake the one that waits.
        sleep(ms(1)).await;
        let low =
            cx.call(INGEST, processor.ingest(event("low", "one", Priority::Low))).await?.value;
        ensure!(is_backpressure(&low), "a critical event waits for room, and a low one is answered {low:?}"; expected = "Backpressure");
        let answer = cx.call(INGEST, second).await?.value;
        ensure!(answer == Ok(()), "the second critical event that waits is answered {answer:?}"; expected = "Ok, when another event has ended", help = HELP);
        cx.pass(ms(1_000_000)).await;
        ensure!(services.times("gone") == 0, "the call of a critical event that waited was dropped, and the event was sent"; expected = "it is not");
        let all = threshold + reserve + 2;
        ensure!(figures(&processor).delivered == all as u64, "{all} events were accepted, and {} are delivered", figures(&processor).delivered; expected = "all");
    }
    gives_places_back(&cx).await?;
    starts_with_more_than_its_places(&cx).await
}

/// Critical calls that wait for room and bring no event in, whatever the reason, cost no place.
async fn gives_places_back(cx: &Cx) -> Outcome {
    const HELP: &str = "a place belongs to the call until its event is accepted: it is released when the id turns out to be a duplicate, when the journal fails, and when the caller leaves";
    let mut draw = cx.draw();
    for way in ["have one id", "are dropped", "meet a journal that fails"] {
        let (threshold, reserve, count) = (1 + draw.index(4), draw.index(3), 2 + draw.index(3));
        let services = Services::scripted(cx, |to, _| match to {
            "late" => (0, Answer::Hang),
            _ => (1000, Answer::All),
        });
        let book = Book::new(cx);
        let config = Config { threshold: nz(threshold), critical_reserve: reserve, ..one_by_one() };
        let processor = start(cx, config, &services, &book).await?;
        accept_all(cx, &processor, ids("e", threshold), "one", Priority::Low).await?;
        accept_all(cx, &processor, ids("c", reserve), "one", Priority::Critical).await?;
        if way == "meet a journal that fails" {
            book.fails(count, 0);
        }
        let waits = ids("w", count).into_iter().map(|id| {
            let id = if way == "have one id" { "twin".to_owned() } else { id };
            let limit = if way == "are dropped" { 500 } else { 500_000 };
            tokio::time::timeout(ms(limit), processor.ingest(event(&id, "one", Priority::Critical)))
        });
        let waits = futures::future::join_all(waits.collect::<Vec<_>>());
        let answers = cx.call(INGEST, waits).await?.value;
        let accepted = answers.iter().filter(|it| matches!(it, Ok(Ok(())))).count();
        let expected = usize::from(way == "have one id");
        ensure!(accepted == expected, "the processor is full, and {count} critical calls wait for room that {way}: {accepted} are accepted"; expected = format!("{expected}"));
        sleep(ms(60_000)).await;
        // Everything has ended: there is as much room as at the beginning.
        let all = (ids("late", threshold), Priority::Low);
        for (ids, priority) in [all, (ids("late critical", reserve), Priority::Critical)] {
            for id in ids {
                let call = processor.ingest(event(&id, "late", priority));
                let answer = cx.call(INGEST, tokio::time::timeout(ms(10), call)).await?.value;
                ensure!(answer == Ok(Ok(())), "{count} critical calls have waited for room that {way}; then everything has ended, and with a threshold of {threshold} and a reserve of {reserve} the {priority:?} event {id} is answered {}", match answer {
                        Ok(answer) => format!("{answer:?}"),
                        Err(_) => "nothing: it waits for room".to_owned(),
                    };
                    expected = "Ok: all places are free", help = HELP);
            }
        }
        let mut more = processor.ingest(event("more", "late", Priority::Critical)).boxed_local();
        ensure!(futures::poll!(&mut more).is_pending(), "{count} critical calls have waited for room that {way}; then everything has ended, {threshold} events and {reserve} critical ones come, and one more critical event does not wait"; expected = "it waits for room", help = HELP);
    }
    Ok(())
}

/// A journal with more pending events than the processor has places.
async fn starts_with_more_than_its_places(cx: &Cx) -> Outcome {
    const HELP: &str = "an event that ends makes room only if fewer are pending than threshold and reserve together: after a start with more there is nothing to hand on yet";
    let mut draw = cx.draw();
    for reserve in [0, 1, 2 + draw.index(3)] {
        let (threshold, beyond) = (1 + draw.index(4), 1 + draw.index(5));
        let (services, book) = (Services::new(cx, 1000), Book::new(cx));
        let places = threshold + reserve;
        let old: Vec<_> = ids("old", places + beyond)
            .iter()
            .map(|id| std::sync::Arc::new(event(id, "one", Priority::Low)))
            .collect();
        let written = book.append(&old).await;
        ensure!(written.is_ok(), "the journal of this criterion fails: {written:?}");
        let config = Config { threshold: nz(threshold), critical_reserve: reserve, ..one_by_one() };
        let processor = start(cx, config, &services, &book).await?;
        let waits = async {
            let answer = processor.ingest(event("new", "one", Priority::Critical)).await;
            (answer, figures(&processor).delivered)
        };
        let (answer, delivered) = cx.call(INGEST, waits).await?.value;
        ensure!(answer == Ok(()) && delivered as usize == beyond + 1, "a processor with a threshold of {threshold} and a reserve of {reserve} starts with {} pending events, of which one ends every second. A critical event that comes at once is answered {answer:?} when {delivered} have ended", old.len();
            expected = format!("Ok when {} have ended: {} are pending then", beyond + 1, places - 1), help = HELP);
        let mut more = processor.ingest(event("more", "one", Priority::Critical)).boxed_local();
        ensure!(futures::poll!(&mut more).is_pending(), "{places} events are pending, as many as there are places, and one more critical event does not wait"; expected = "it waits for room", help = HELP);
    }
    Ok(())
}

pub async fn evicts_nothing(cx: Cx) -> Outcome {
    let (services, book) = (Services::new(&cx, 10), Book::new(&cx));
    let config =
        Config { threshold: nz(120), critical_reserve: 20, batch_size: nz(7), ..one_by_one() };
    let processor = start(&cx, config, &services, &book).await?;
    let lows = ids("low", 110);
    accept_all(&cx, &processor, lows.clone(), "one", Priority::Low).await?;
    let criticals = ids("critical", 30);
    accept_all(&cx, &processor, criticals.clone(), "one", Priority::Critical).await?;
    // More of them than there is room for.
    let more = ids("more", 60);
    let calls = more.iter().map(|id| processor.ingest(event(id, "one", Priority::Critical)));
    let answers =
        cx.call(INGEST, futures::future::join_all(calls.collect::<Vec<_>>())).await?.value;
    ensure!(answers.iter().all(Result::is_ok), "60 critical events come to a processor that is full, and one is refused: {answers:?}"; expected = "they wait and are accepted");
    sleep(ms(60_000)).await;
    for id in lows.iter().chain(&criticals).chain(&more) {
        let times = services.times(id);
        ensure!(times == 1, "event {id} was accepted and sent {times} times, while critical events came to a full processor";
            expected = "once: an accepted event stays, whatever comes after it",
            help = "make room by waiting, not by dropping");
    }
    Ok(())
}

pub async fn validates_first(cx: Cx) -> Outcome {
    const HELP: &str = "look at the event before you look at anything else; empty data and a time of zero are values like others";
    let (services, book) = (Services::new(&cx, 100_000), Book::new(&cx));
    let config = Config { threshold: nz(2), critical_reserve: 1, ..one_by_one() };
    let processor = start(&cx, config, &services, &book).await?;
    let no_id = |priority| event("", "one", priority);
    let no_kind = |priority| Event { kind: String::new(), ..event("x", "one", priority) };
    for round in ["there is room", "the processor is full"] {
        for priority in Priority::ALL {
            for (bad, why) in
                [(no_id(priority), Invalid::EmptyId), (no_kind(priority), Invalid::EmptyKind)]
            {
                let answer = cx.call(INGEST, processor.ingest(bad)).await?.value;
                ensure!(answer == Err(Rejected::Invalid(why)), "a {priority:?} event of which {why} comes, and {round}: {answer:?}"; expected = format!("Invalid({why:?})"), help = HELP);
            }
        }
        if round == "there is room" {
            accept_all(&cx, &processor, ids("e", 2), "one", Priority::Low).await?;
            accept(&cx, &processor, event("c", "one", Priority::Critical)).await?;
        }
    }
    ensure_eq!(book.appended().len(), 3, "events that the journal got"; help = HELP);
    cx.call(SHUTDOWN, processor.shutdown(ms(0))).await?;
    for (bad, why) in [
        (no_id(Priority::Critical), Invalid::EmptyId),
        (no_kind(Priority::Low), Invalid::EmptyKind),
    ] {
        let answer = cx.call(INGEST, processor.ingest(bad)).await?.value;
        ensure!(answer == Err(Rejected::Invalid(why)), "an event of which {why} comes after a shutdown: {answer:?}"; expected = format!("Invalid({why:?})"), help = HELP);
    }
    // Values that a careless check takes for missing ones.
    let (services, book) = (Services::new(&cx, 0), Book::new(&cx));
    let processor = start(&cx, one_by_one(), &services, &book).await?;
    let times = [jiff::Timestamp::UNIX_EPOCH, jiff::Timestamp::MIN, jiff::Timestamp::MAX];
    for (number, at) in times.into_iter().enumerate() {
        for (index, data) in ["", "0", "null", "\0"].into_iter().enumerate() {
            let id = format!("e{number}.{index}");
            let odd = Event { at, data: data.into(), ..event(&id, "one", Priority::Low) };
            accept(&cx, &processor, odd.clone()).await?;
            sleep(ms(5)).await;
            let sent = services.last().and_then(|batch| batch.events().first().cloned());
            ensure!(sent.as_deref() == Some(&odd), "an event at {at} with the data {data:?} was accepted, and {sent:?} was sent"; expected = "the same event", help = HELP);
        }
    }
    let blank = Event { key: Some(String::new()), ..event(" ", " ", Priority::Low) };
    accept(&cx, &processor, blank).await
}

pub async fn an_id_is_accepted_once(cx: Cx) -> Outcome {
    const HELP: &str = "keep the ids of all events that have not ended, of the dead letters, and of the last that have ended; look and insert in one step";
    let (services, book) = (Services::new(&cx, 100), Book::new(&cx));
    let config = Config { remembered_ids: 5, ..one_by_one() };
    services.next("one", [(100, Answer::Acks(vec![Ack::Reject("no".to_owned())]))]);
    services.next("two", [(0, Answer::Acks(vec![Ack::Retry("no".to_owned())]))]);
    let processor = start(&cx, config, &services, &book).await?;
    let again = async |id: &str, when: &str| {
        for (to, priority) in [("one", Priority::Low), ("other", Priority::Critical)] {
            let answer = cx.call(INGEST, processor.ingest(event(id, to, priority))).await?.value;
            ensure!(answer == Err(Rejected::Duplicate), "event {id} {when}, and comes again as {priority:?} for `{to}`: {answer:?}"; expected = "Duplicate", help = HELP);
        }
        Ok(())
    };
    accept(&cx, &processor, event("a", "one", Priority::Low)).await?;
    accept(&cx, &processor, event("b", "one", Priority::Low)).await?;
    accept(&cx, &processor, event("r", "two", Priority::Low)).await?;
    accept(&cx, &processor, keyed("k1", "two", Priority::Low, "k")).await?;
    accept(&cx, &processor, keyed("k2", "two", Priority::Low, "k")).await?;
    sleep(ms(20)).await;
    again("a", "is on its way").await?;
    again("b", "is in a queue").await?;
    again("r", "waits for another attempt").await?;
    again("k2", "waits for an earlier one of its key").await?;
    sleep(ms(5000)).await;
    ensure_eq!(dead(&processor), ["a"], "the dead letters");
    again("a", "is a dead letter").await?;
    again("b", "was delivered").await?;
    again("r", "was delivered").await?;
    // Two at once, while the journal writes.
    book.takes(50, 0);
    let both = futures::future::join(
        processor.ingest(event("twin", "one", Priority::Low)),
        processor.ingest(event("twin", "one", Priority::Critical)),
    );
    let answers = cx.call(INGEST, both).await?.value;
    ensure!(answers == (Ok(()), Err(Rejected::Duplicate)), "the same event comes twice at once: {answers:?}"; expected = "Ok and Duplicate", help = HELP);
    book.takes(0, 0);
    sleep(ms(1000)).await;
    for id in ["b", "r", "k1", "k2", "twin"] {
        let expected = if id == "r" { 2 } else { 1 };
        ensure!(services.times(id) == expected, "event {id} was sent {} times", services.times(id); expected = format!("{expected}"));
    }
    // An id that is one character longer is another one.
    for id in ["B", "b ", " b", "bb", "b\0"] {
        accept(&cx, &processor, event(id, "one", Priority::Low)).await?;
    }
    sleep(ms(1000)).await;
    again("b ", "was delivered").await?;
    // Two calls with one id that wait for room.
    let (services, book) = (Services::new(&cx, 1000), Book::new(&cx));
    let config = Config { threshold: nz(1), critical_reserve: 0, ..one_by_one() };
    let processor = start(&cx, config, &services, &book).await?;
    accept(&cx, &processor, event("first", "one", Priority::Low)).await?;
    let twin = || processor.ingest(event("twin", "one", Priority::Critical));
    let answers = cx.call(INGEST, futures::future::join(twin(), twin())).await?.value;
    sleep(ms(5000)).await;
    let right =
        matches!(answers, (Ok(()), Err(Rejected::Duplicate)) | (Err(Rejected::Duplicate), Ok(())));
    ensure!(right && services.times("twin") == 1, "the processor is full, and two calls with the same critical event wait for room: {answers:?}, and the event was sent {} times", services.times("twin"); expected = "one Ok, one Duplicate, and sent once", help = "look up the id again when there is room: it may have been accepted meanwhile");
    super::known::however_many_end(&cx).await
}

pub async fn backpressure_shows_the_crossings(cx: Cx) -> Outcome {
    const HELP: &str = "look at the number of pending events whenever it changes, also when events end: true from the threshold on, false at 80 % of it, and as before between the two";
    for threshold in [10_usize, 5, 1, 250] {
        let (services, book) = (Services::new(&cx, 100), Book::new(&cx));
        let config = Config { threshold: nz(threshold), ..one_by_one() };
        let processor = start(&cx, config, &services, &book).await?;
        let mut watch = processor.backpressure();
        ensure!(!*watch.borrow_and_update(), "a new processor shows backpressure"; expected = "false");
        for round in 0..3 {
            let names = ids(&format!("r{round}e"), threshold);
            accept_all(
                &cx,
                &processor,
                names[..threshold - 1].iter().cloned(),
                "one",
                Priority::Low,
            )
            .await?;
            cx.settle().await;
            ensure!(!watch.has_changed().unwrap_or(true), "one event less than {threshold} is pending, and the backpressure has changed"; expected = "false", help = HELP);
            let begin = cx.timeline().now_ms();
            accept_all(
                &cx,
                &processor,
                names[threshold - 1..].iter().cloned(),
                "one",
                Priority::Low,
            )
            .await?;
            cx.settle().await;
            ensure!(watch.has_changed().unwrap_or(false) && *watch.borrow_and_update(), "{threshold} events are pending, the threshold, and the backpressure is {}", *watch.borrow(); expected = "true", help = HELP);
            // One ends every 100 ms. No event comes.
            let changed = async { watch.changed().await.is_ok() };
            let changed = tokio::time::timeout(ms(60_000), changed).await;
            let at = cx.timeline().now_ms() - begin;
            let left = threshold * 8 / 10;
            let expected = (threshold - left) as u64 * 100;
            ensure!(changed == Ok(true) && !*watch.borrow_and_update() && at == expected, "of {threshold} pending events one ends every 100 ms, and none comes: the backpressure is {} after {at} ms", *watch.borrow();
                expected = format!("false after {expected} ms, when {left} are left"), help = HELP);
            sleep(ms(threshold as u64 * 100)).await;
            ensure!(!watch.has_changed().unwrap_or(true), "everything was delivered, and the backpressure has changed once more"; expected = "one change for each crossing", help = HELP);
        }
    }
    super::known::shows_what_the_journal_had(&cx).await
}
