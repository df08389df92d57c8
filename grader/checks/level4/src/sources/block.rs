//! Emitters that wait for room.

use futures::future::join;
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use grader_kit::{Cx, Outcome, ensure, list, ms};
use level4::sources::Overflow;
use tokio::time::{sleep, timeout};

use super::{EMIT, emit_all, has, is_ready, next, read_now, source};
use crate::ops::NEWEST_WAKER;

pub async fn block_waits_for_the_slowest(cx: Cx) -> Outcome {
    let pause = cx.draw().between(20..=200);
    let (emitter, mut quick) = source(2, Overflow::Block);
    let mut slow = emitter.subscribe();
    emit_all(&cx, &emitter, [1, 2]).await?;
    let mut third = Box::pin(emitter.emit(3));
    ensure!(!is_ready(&mut third).await, "two readers with buffers of 2, three events unread: the third emit does not wait";
        expected = "it waits for room", help = "with Block a full buffer refuses the event, and the emitter waits");
    let (read, _) = read_now(&cx, &mut quick).await?;
    ensure!(read == [1, 2], "a reader that has read all gets {}", list(&read); expected = "1, 2");
    ensure!(!is_ready(&mut third).await, "one of two readers has read, the other one has no room: emit is ready";
        expected = "it waits for the slowest reader");
    let headline = "an event of an emitter that waits is seen by a reader that has room";
    has(&cx, &mut quick, &[], headline, "an event comes to all readers in one step, or to none")
        .await?;
    // The slow one reads one event: there is room in both.
    let reads = async {
        sleep(ms(pause)).await;
        let read = slow.next().await;
        (read, slow)
    };
    let (emitted, (read, slow)) = join(
        async {
            let began = cx.timeline().now_ms();
            let emitted = timeout(ms(60_000), third).await.is_ok();
            (emitted, cx.timeline().now_ms() - began)
        },
        reads,
    )
    .await;
    ensure!(emitted == (true, pause) && read == Some(1), "the slowest reader has read one event after {pause} ms, and the emitter that waits {}",
        if emitted.0 { format!("goes on after {} ms", emitted.1) } else { "is not woken within a minute".to_owned() };
        expected = format!("it goes on at {pause} ms"), help = "reading an event wakes the emitter that waits");
    // Of five readers any one may be the slowest.
    for slowest in 0..5 {
        let (emitter, first) = source(1, Overflow::Block);
        let mut readers = vec![first];
        readers.extend((1..5).map(|_| emitter.subscribe()));
        emit_all(&cx, &emitter, [1]).await?;
        for (_, reader) in readers.iter_mut().enumerate().filter(|(number, _)| *number != slowest) {
            read_now(&cx, reader).await?;
        }
        let mut second = Box::pin(emitter.emit(2));
        let early = is_ready(&mut second).await;
        ensure!(!early, "five readers with buffers of 1, and reader {slowest} has not read its event: emit is ready";
            expected = "it waits for the slowest reader, whichever that is", help = "look at every reader before the event goes into any buffer");
        let (read, _) = read_now(&cx, &mut readers[slowest]).await?;
        ensure!(read == [1], "the slowest of five readers gets {}", list(&read); expected = "1: with Block no event is lost");
    }
    // A reader that goes is not waited for.
    let mut fourth = Box::pin(emitter.emit(4));
    ensure!(!is_ready(&mut fourth).await, "the slowest reader has no room, and emit does not wait");
    let goes = async {
        sleep(ms(pause)).await;
        drop(slow);
    };
    let began = cx.timeline().now_ms();
    let (emitted, ()) = join(timeout(ms(60_000), fourth), goes).await;
    ensure!(emitted.is_ok() && cx.timeline().now_ms() == began + pause, "the reader that had no room has gone, and the emitter still waits after a minute";
        expected = "it goes on", help = "a reader that goes makes room: its destructor wakes the emitter that waits");
    has(
        &cx,
        &mut quick,
        &[3, 4],
        "the reader that is left misses events",
        "with Block no event is lost",
    )
    .await?;
    // An emit that one task has polled and another one awaits.
    for behind in [false, true] {
        let (emitter, mut reader) = source(1, Overflow::Block);
        emit_all(&cx, &emitter, [1]).await?;
        // Alone, or second in the line.
        let first = behind.then(|| Box::pin(emitter.emit(2)));
        let mut moved = Box::pin(emitter.emit(3));
        let mut line: Vec<_> = first.into_iter().collect();
        for emit in line.iter_mut().chain([&mut moved]) {
            ensure!(
                emit.as_mut().now_or_never().is_none(),
                "a full buffer, and emit does not wait"
            );
        }
        let waits = async {
            let began = cx.timeline().now_ms();
            let all = line.into_iter().chain([moved]).collect::<FuturesUnordered<_>>();
            let emitted = timeout(ms(60_000), all.collect::<Vec<_>>()).await;
            (emitted.is_ok(), cx.timeline().now_ms() - began)
        };
        let reads = async {
            for _ in 0..=usize::from(behind) {
                sleep(ms(pause)).await;
                let _ = reader.next().await;
            }
        };
        let (emitted, ()) = cx.call(EMIT, join(waits, reads)).await?.value;
        let at = pause * (1 + u64::from(behind));
        ensure!(emitted == (true, at), "an emit that waits was polled by one task and is awaited by another one; a reader makes room, and emit {}",
            if emitted.0 { format!("goes on after {} ms", emitted.1) } else { "is not woken within a minute".to_owned() };
            expected = format!("it goes on at {at} ms"),
            help = NEWEST_WAKER);
    }
    Ok(())
}

pub async fn block_loses_nothing(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let (capacity, count) = (draw.index(4) + 1, 20 + draw.below(20));
    let (emitter, reader) = source(capacity, Overflow::Block);
    let second = emitter.subscribe();
    let drains = |mut reader: level4::sources::Events<u64>, pause: u64| async move {
        let mut read = Vec::new();
        while let Some(event) = reader.next().await {
            read.push(event);
            if pause > 0 {
                sleep(ms(pause)).await;
            }
        }
        read
    };
    let emits = async {
        for event in 0..count {
            emitter.emit(event).await;
        }
        drop(emitter);
    };
    let all = async { futures::join!(emits, drains(reader, 10), drains(second, 3)) };
    let ((), first, second) = cx.call(EMIT, all).await?.value;
    for read in [first, second] {
        ensure!(read.iter().copied().eq(0..count), "a source that blocks, {count} events, two readers of another speed: one of them reads {}", list(&read);
            expected = format!("all from 0 to {}", count - 1));
    }
    // No newcomer goes before an emitter that waits, also in the very turn in which there is room.
    let (emitter, mut reader) = source(1, Overflow::Block);
    emit_all(&cx, &emitter, [1]).await?;
    let mut waits = Box::pin(emitter.emit(2));
    ensure!(!is_ready(&mut waits).await, "a full buffer, and emit does not wait");
    let (read, _) = read_now(&cx, &mut reader).await?;
    let mut newcomer = Box::pin(emitter.emit(3));
    let overtakes = is_ready(&mut newcomer).await;
    let all = join(join(waits, newcomer), async {
        let mut read = read;
        for _ in 0..2 {
            read.extend(next(&cx, super::EVENTS, &mut reader, "an emitter waits").await?);
        }
        Ok(read)
    });
    let (_, read) = if overtakes { (((), ()), Ok(Vec::new())) } else { all.await };
    let read: Vec<u64> = read?;
    ensure!(!overtakes && read == [1, 2, 3], "an emitter waits for room, a reader makes some, and a newcomer emits: {}",
        if overtakes { "the newcomer goes first".to_owned() } else { format!("a reader sees {}", list(&read)) };
        expected = "1, 2, 3: the room belongs to the one that waits",
        help = "let emitters stand in a line of which only the first looks for room");
    // Emitters that wait are served in their order.
    let (emitter, mut reader) = source(1, Overflow::Block);
    // Each of them is polled only when it was woken itself.
    let waiting: FuturesUnordered<_> = (0..10).map(|event| emitter.emit(event)).collect();
    let reads = async {
        let mut read = Vec::new();
        for _ in 0..10 {
            sleep(ms(10)).await;
            read.extend(next(&cx, super::EVENTS, &mut reader, "an emitter waits").await?);
        }
        Ok(read)
    };
    let (_, read) = join(waiting.collect::<Vec<_>>(), reads).await;
    let read: Vec<u64> = read?;
    ensure!(read.iter().copied().eq(0..10), "ten emitters wait for the room of one event: a reader sees {}", list(&read);
        expected = "0 to 9: in the order in which they first polled",
        help = "emitters that wait stand in a line: only the first of them looks for room");
    Ok(())
}

pub async fn a_dropped_emit_delivers_nothing(cx: Cx) -> Outcome {
    for first in [true, false] {
        let (emitter, mut reader) = source(1, Overflow::Block);
        emit_all(&cx, &emitter, [1]).await?;
        let mut gone = Box::pin(emitter.emit(2));
        let mut stays = Box::pin(emitter.emit(3));
        let order = if first { [&mut gone, &mut stays] } else { [&mut stays, &mut gone] };
        for emit in order {
            ensure!(!is_ready(emit).await, "a full buffer, and emit does not wait");
        }
        drop(gone);
        // Also one that was never polled.
        drop(emitter.emit(4));
        let reads = async {
            sleep(ms(50)).await;
            let one = next(&cx, super::EVENTS, &mut reader, "an emitter waits").await?;
            let other =
                next(&cx, super::EVENTS, &mut reader, "an emitter waits, and there is room")
                    .await?;
            Ok([one, other])
        };
        let (emitted, read) = join(timeout(ms(60_000), stays), reads).await;
        let read: [Option<u64>; 2] = read?;
        ensure!(read == [Some(1), Some(3)] && emitted.is_ok(), "an emitter that waited for room was dropped {} another one: a reader gets {}", if first { "before" } else { "behind" }, list(read.iter().flatten());
            expected = "1, 3: the event of the one that was dropped is nowhere, and the other one goes on");
        has(
            &cx,
            &mut reader,
            &[],
            "an emitter that waited was dropped, and its event comes later",
            "drop the event with the future",
        )
        .await?;
    }
    Ok(())
}
