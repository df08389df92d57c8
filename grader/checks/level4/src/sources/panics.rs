//! Events whose own code panics.

use std::panic::AssertUnwindSafe;
use std::task::Poll;

use futures::{FutureExt as _, StreamExt as _};
use grader_kit::{Cx, Outcome, ensure, list};
use level4::sources::{Emitter, Events, Overflow, from_events};

use super::{EMIT, EVENTS};
use crate::ops::nz;
use crate::panics::Payload;

/// An event whose clone panics if it is 13.
struct Unlucky(u64);

impl Clone for Unlucky {
    fn clone(&self) -> Self {
        if self.0 == 13 {
            Payload::Literal("unlucky").throw();
        }
        Self(self.0)
    }
}

/// Emits an event. A panic may pass.
async fn emit(cx: &Cx, emitter: &Emitter<Unlucky>, event: u64) -> Outcome {
    let emits = AssertUnwindSafe(emitter.emit(Unlucky(event))).catch_unwind();
    let emitted = cx.call(EMIT, async { emits.now_or_never() }).await?.value;
    ensure!(emitted.is_some(), "emit({event}) waits, although there is room"; expected = "it is ready at its first poll");
    let passed = emitted.is_some_and(|ended| ended.is_ok());
    ensure!(passed || event == 13, "the clone of event 13 has panicked, and emit({event}) panics";
        expected = "it emits its event", help = HELP);
    Ok(())
}

/// What a reader gets now. Event 13 may be missing: its clone is what panics.
async fn reads(cx: &Cx, reader: &mut Events<Unlucky>) -> Result<Vec<u64>, grader_kit::Fail> {
    let read = async {
        let mut got = Vec::new();
        // Each poll by itself: one that panics has not ended the stream.
        for _ in 0..20 {
            let next = AssertUnwindSafe(async { futures::poll!(reader.next()) }).catch_unwind();
            match next.await {
                Ok(Poll::Ready(Some(event))) => got.push(event.0),
                Ok(_) => break,
                Err(_) => got.push(13),
            }
        }
        got
    };
    Ok(cx.call(EVENTS, read).await?.value)
}

const HELP: &str = "foreign code may panic: clone and drop events outside of the lock, and take a lock that is \
                    poisoned with `PoisonError::into_inner`";

pub async fn a_panic_of_an_event_stays_local(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    for overflow in [Overflow::DropOldest, Overflow::DropNewest, Overflow::Block] {
        let (emitter, first) = from_events(nz(10), overflow);
        let mut readers = [first, emitter.subscribe(), emitter.subscribe()];
        let (before, after) = (draw.between(14..=90), draw.between(14..=90));
        for event in [before, 13, after] {
            emit(&cx, &emitter, event).await?;
        }
        for (number, reader) in readers.iter_mut().enumerate() {
            let got: Vec<u64> =
                reads(&cx, reader).await?.into_iter().filter(|event| *event != 13).collect();
            ensure!(got == [before, after], "three readers, and event 13 of three panics when it is cloned: the other events that reader {number} gets";
                expected = list([before, after]), observed = list(&got), help = HELP);
        }
        // Also later.
        emit(&cx, &emitter, 7).await?;
        for (number, reader) in readers.iter_mut().enumerate() {
            let got = reads(&cx, reader).await?;
            ensure!(got == [7], "event 13 has panicked when it was cloned; after that 7 is emitted, and reader {number} gets";
                expected = "7", observed = list(&got), help = HELP);
        }
        let count = cx.call_fn("Emitter::listeners", || emitter.listeners()).await?;
        ensure!(count == 3, "event 13 has panicked when it was cloned, three readers are there, and listeners() is {count}"; help = HELP);
    }
    Ok(())
}
