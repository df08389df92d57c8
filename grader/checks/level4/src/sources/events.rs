//! Events without waiting emitters.

use futures::future::join;
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use grader_kit::{Cx, Outcome, ensure, list, ms};
use level4::sources::Overflow;
use tokio::time::{sleep, timeout};

use super::{EVENTS, emit_all, has, next, read_now, source};

pub async fn every_event_arrives(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    for overflow in [Overflow::DropOldest, Overflow::DropNewest, Overflow::Block] {
        let events: Vec<u64> = (0..draw.between(3..=40)).map(|_| draw.below(9)).collect();
        let help = "the buffer is a queue: in at the back, out at the front, one event at a time; equal events are \
                    different events";
        // All at once, then read.
        let (emitter, mut reader) = source(40, overflow);
        emit_all(&cx, &emitter, events.iter().copied()).await?;
        has(&cx, &mut reader, &events, "a reader does not get all events in their order", help)
            .await?;
        wakes_the_last_task(&cx, overflow).await?;
        wakes_all(&cx, overflow, false).await?;
        // One by one, to a reader that waits for each.
        let emits = async {
            for event in &events {
                sleep(ms(10)).await;
                emitter.emit(*event).await;
            }
        };
        let mut read = Vec::new();
        let reads = async {
            while read.len() < events.len() {
                let Ok(Some(event)) = timeout(ms(1000), reader.next()).await else { return };
                read.push(event);
            }
        };
        // The reader first: in the turn of an event it has been polled already, so the event has to wake it.
        let took = cx.call(EVENTS, join(reads, emits)).await?.took;
        let in_time = took == ms(10 * events.len() as u64);
        ensure!(read == events && in_time, "a reader that waits for each event does not get all of them when they come";
            expected = list(&events), observed = list(&read),
            help = "an event wakes the reader, each time: the waker is taken when it is used, and stored again at the next poll");
    }
    Ok(())
}

/// A reader that was polled by one task and then by another is woken in the second one.
async fn wakes_the_last_task(cx: &Cx, overflow: Overflow) -> Outcome {
    let (emitter, mut reader) = source(4, overflow);
    ensure!(reader.next().now_or_never().is_none(), "a reader without an event is ready");
    let emits = async {
        sleep(ms(50)).await;
        emitter.emit(7).await;
        // Longer than `next` waits.
        sleep(ms(100_000)).await;
    };
    let waits =
        next(cx, EVENTS, &mut reader, "an event came to a reader that two tasks have polled");
    let (event, ()) = join(waits, emits).await;
    ensure!(event? == Some(7), "a reader gets another event than was emitted");
    Ok(())
}

/// Readers that wait in tasks of their own are all woken, by an event or by the end.
async fn wakes_all(cx: &Cx, overflow: Overflow, end: bool) -> Outcome {
    const READERS: usize = 5;
    let (emitter, first) = source(4, overflow);
    let rest = (1..READERS).map(|_| emitter.subscribe());
    // Each of them is polled only when it was woken itself.
    let waits: FuturesUnordered<_> = std::iter::once(first)
        .chain(rest)
        .map(async |mut reader| {
            let item = timeout(ms(60_000), reader.next()).await.ok();
            (item, cx.timeline().now_ms(), reader)
        })
        .collect();
    let began = cx.timeline().now_ms();
    let happens = async {
        sleep(ms(50)).await;
        if end {
            drop(emitter);
            None
        } else {
            emitter.emit(7).await;
            Some(emitter)
        }
    };
    let (woken, _emitter) = cx.call(EVENTS, join(waits.collect::<Vec<_>>(), happens)).await?.value;
    let expected = if end { None } else { Some(7) };
    let fine = |(item, at, _): &(_, u64, _)| *item == Some(expected) && *at == began + 50;
    let count = woken.iter().filter(|it| fine(it)).count();
    let what = if end { "the last emitter is dropped" } else { "an event comes" };
    ensure!(count == READERS, "{READERS} readers wait, each in a task of its own, and {what}: {count} of them are woken by it";
        expected = "all of them", help = "take the waker of every reader, and wake each of them");
    Ok(())
}

pub async fn each_reader_sees_every_event(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    for overflow in [Overflow::DropOldest, Overflow::DropNewest, Overflow::Block] {
        let (emitter, mut first) = source(100, overflow);
        let clone = emitter.clone();
        let mut second = emitter.subscribe();
        let (a, b): (Vec<u64>, Vec<u64>) =
            ((0..5).map(|_| draw.below(100)).collect(), (0..7).map(|_| draw.below(100)).collect());
        emit_all(&cx, &emitter, a.iter().copied()).await?;
        let help = "each reader has a buffer of its own, and an event goes into all of them";
        has(&cx, &mut second, &a, "of two readers, the second does not see all events", help)
            .await?;
        let mut late = clone.subscribe();
        emit_all(&cx, &clone, b.iter().copied()).await?;
        let both = [a.clone(), b.clone()].concat();
        has(&cx, &mut first, &both, "of two readers, the first does not see all events", help)
            .await?;
        has(
            &cx,
            &mut second,
            &b,
            "a reader that has read sees other events than the new ones",
            help,
        )
        .await?;
        has(
            &cx,
            &mut late,
            &b,
            "a reader that came late sees other events than those since it came",
            "a reader sees the events from its subscription on",
        )
        .await?;
        ensure!(
            emitter.listeners() == 3,
            "three readers, and listeners() is {}",
            emitter.listeners()
        );
    }
    // Two sources have nothing in common.
    let (one, mut of_one) = source(5, Overflow::DropOldest);
    let (other, mut of_other) = source(5, Overflow::DropOldest);
    emit_all(&cx, &one, [1]).await?;
    emit_all(&cx, &other, [2]).await?;
    let help = "keep the readers in the source, not in a static";
    has(&cx, &mut of_one, &[1], "a reader sees the events of another source", help).await?;
    has(&cx, &mut of_other, &[2], "a reader sees the events of another source", help).await
}

pub async fn a_reader_that_goes_is_forgotten(cx: Cx) -> Outcome {
    for overflow in [Overflow::DropOldest, Overflow::DropNewest, Overflow::Block] {
        let (emitter, reader) = source(2, overflow);
        let mut stays = emitter.subscribe();
        let before = emitter.listeners();
        emit_all(&cx, &emitter, [1]).await?;
        drop(reader);
        let after = emitter.listeners();
        ensure!((before, after) == (2, 1), "two readers, one of them goes: listeners() is {before} before and {after} after";
            expected = "2 and 1", help = "unregister in the destructor of Events");
        emit_all(&cx, &emitter, [2]).await?;
        has(
            &cx,
            &mut stays,
            &[1, 2],
            "one of two readers has gone, and the other one misses events",
            "remove the one that has gone, and no other",
        )
        .await?;
        drop(stays);
        ensure!(emitter.listeners() == 0, "no reader is left, and listeners() is {}", emitter.listeners();
            expected = "0");
        // More than the buffer has room for: without a reader nothing is kept, and nothing is waited for.
        emit_all(&cx, &emitter, 10..20).await?;
        let mut new = emitter.subscribe();
        emit_all(&cx, &emitter, [20]).await?;
        has(
            &cx,
            &mut new,
            &[20],
            "a reader that came after events without a reader sees other events than its own",
            "an event without a reader is dropped",
        )
        .await?;
    }
    for overflow in [Overflow::DropOldest, Overflow::DropNewest, Overflow::Block] {
        readers_come_and_go(&cx, overflow).await?;
    }
    // What a reader has not read goes with it.
    let (emitter, reader) = level4::sources::from_events(crate::ops::nz(5), Overflow::DropOldest);
    let event = std::sync::Arc::new(());
    cx.call(super::EMIT, emitter.emit(std::sync::Arc::clone(&event))).await?;
    drop(reader);
    ensure!(std::sync::Arc::strong_count(&event) == 1, "a reader has gone, and an event that it had not read is still there";
        expected = "it is dropped with the reader");
    Ok(())
}

/// Readers come and go in any order: each that is there has the events since it came, and no other reader's.
async fn readers_come_and_go(cx: &Cx, overflow: Overflow) -> Outcome {
    const HELP: &str =
        "give each reader a number that no other one has or has had, and find it by that number";
    let mut draw = cx.draw();
    let (emitter, first) = source(1000, overflow);
    let mut readers = vec![(first, Vec::new())];
    for event in 0..60 {
        match draw.below(3) {
            0 => readers.push((emitter.subscribe(), Vec::new())),
            1 if !readers.is_empty() => drop(readers.swap_remove(draw.index(readers.len()))),
            _ => {
                emit_all(cx, &emitter, [event]).await?;
                readers.iter_mut().for_each(|(_, events)| events.push(event));
            }
        }
        ensure!(emitter.listeners() == readers.len(), "readers have come and gone, {} are there, and listeners() is {}", readers.len(), emitter.listeners(); help = HELP);
    }
    emit_all(cx, &emitter, [60]).await?;
    for (reader, events) in &mut readers {
        events.push(60);
        let headline =
            "readers have come and gone: one that is there does not have the events since it came";
        has(cx, reader, events, headline, HELP).await?;
    }
    // More readers than two bytes can number.
    let (emitter, mut stays) = source(1, overflow);
    let many = async { (0..70_000).for_each(|_| drop(emitter.subscribe())) };
    cx.call("Emitter::subscribe", many).await?;
    let late = emitter.subscribe();
    emit_all(cx, &emitter, [7]).await?;
    ensure!(emitter.listeners() == 2, "70 000 readers have come and gone, 2 are there, and listeners() is {}", emitter.listeners(); help = HELP);
    drop(late);
    has(
        cx,
        &mut stays,
        &[7],
        "70 000 readers have come and gone, and the first one misses an event",
        HELP,
    )
    .await
}

/// A buffer of two, five events, none of them read.
async fn overflows(cx: &Cx, overflow: Overflow, help: &str) -> Outcome {
    let capacity = cx.draw().between(1..=20);
    for (capacity, count) in [(2, 5), (1, 3), (capacity, capacity * 3 + 1), (capacity, capacity)] {
        let (emitter, mut reader) = source(capacity as usize, overflow);
        emit_all(cx, &emitter, 1..=count).await?;
        let kept: Vec<u64> = match overflow {
            Overflow::DropOldest => (count - capacity + 1..=count).collect(),
            _ => (1..=capacity).collect(),
        };
        let headline = format!("a buffer of {capacity}, {count} events unread");
        has(cx, &mut reader, &kept, &headline, help).await?;
        // There is room again.
        emit_all(cx, &emitter, [77]).await?;
        has(cx, &mut reader, &[77], "the buffer was read empty, and one more event came", help)
            .await?;
    }
    // A reader that reads loses nothing because of one that does not.
    let (emitter, mut reads) = source(2, overflow);
    let sleeps = emitter.subscribe();
    for event in 1..=5 {
        emit_all(cx, &emitter, [event]).await?;
        let headline = "one reader reads each event at once, the other one none";
        has(cx, &mut reads, &[event], headline, "each reader has a buffer of its own").await?;
    }
    drop(sleeps);
    Ok(())
}

pub async fn drops_the_oldest(cx: Cx) -> Outcome {
    let help = "the event at the front goes, the new one comes in at the back: the newest ones are left, in their order";
    overflows(&cx, Overflow::DropOldest, help).await
}

pub async fn drops_the_newest(cx: Cx) -> Outcome {
    let help = "what has no room does not come in: the first ones are left";
    overflows(&cx, Overflow::DropNewest, help).await
}

pub async fn counts_what_is_missed(cx: Cx) -> Outcome {
    for overflow in [Overflow::DropOldest, Overflow::DropNewest] {
        let (emitter, mut reader) = source(2, overflow);
        let mut other = emitter.subscribe();
        let mut counts = vec![reader.missed()];
        emit_all(&cx, &emitter, 1..=2).await?;
        counts.push(reader.missed());
        emit_all(&cx, &emitter, 3..=5).await?;
        counts.push(reader.missed());
        let _ = read_now(&cx, &mut reader).await?;
        counts.push(reader.missed());
        emit_all(&cx, &emitter, 6..=8).await?;
        counts.push(reader.missed());
        ensure!(counts == [0, 0, 3, 3, 4], "a buffer of 2: missed() at first, after 2 events, after 5, after reading, and after 3 more";
            expected = "0, 0, 3, 3, 4", observed = list(&counts),
            help = "count each event that a reader loses, for that reader");
        let _ = read_now(&cx, &mut other).await?;
        let missed = other.missed();
        ensure!(missed == 6, "the other reader has read nothing of 8 events, and misses {missed}"; expected = "6: each reader counts for itself");
        let late = emitter.subscribe();
        ensure!(late.missed() == 0, "a reader that came late misses {} events", late.missed(); expected = "0: it counts from its subscription on");
    }
    let (emitter, reader) = source(2, Overflow::Block);
    emit_all(&cx, &emitter, 1..=2).await?;
    ensure!(reader.missed() == 0, "a reader of a source that blocks misses {} events", reader.missed(); expected = "0");
    Ok(())
}

pub async fn ends_with_the_last_emitter(cx: Cx) -> Outcome {
    for overflow in [Overflow::DropOldest, Overflow::DropNewest, Overflow::Block] {
        let (emitter, mut reader) = source(5, overflow);
        let clone = emitter.clone();
        emit_all(&cx, &emitter, [1, 2]).await?;
        drop(emitter);
        let (read, ended) = read_now(&cx, &mut reader).await?;
        ensure!(!ended, "one of two emitters was dropped, and the stream has ended after {}", list(&read);
            expected = "it goes on: a clone of the emitter is left", help = "count the emitters; `Clone` adds one");
        emit_all(&cx, &clone, [3, 4]).await?;
        drop(clone);
        let (read, ended) = read_now(&cx, &mut reader).await?;
        ensure!(read == [3, 4] && ended, "two events, then the last emitter was dropped: the reader gets {}{}", list(&read), if ended { ", and then the end" } else { " and no end" };
            expected = "3, 4, and then the end: what is in the buffer is read first");
        // A reader that waits is woken by the end.
        let (emitter, mut reader) = source(5, overflow);
        let goes = async {
            sleep(ms(100)).await;
            drop(emitter);
        };
        let (end, ()) =
            join(next(&cx, EVENTS, &mut reader, "the last emitter was dropped"), goes).await;
        ensure!(
            end?.is_none(),
            "the last emitter was dropped, and a reader that waits gets an event"
        );
        wakes_all(&cx, overflow, true).await?;
    }
    Ok(())
}
