//! What a scene of level 2 shows: one load, and the calls of its sources. A scene judges nothing.

use futures::{Stream, StreamExt as _};
use grader_kit::{Cx, Figure, Outcome, ms};
use level2::model::Section;
use level2::settled::Settled;
use tokio::time::sleep;

use crate::fake::{Fake, Step, down};

/// The sources of a scene in which two are in trouble: users fails at 300 ms, and reviews never answers.
pub fn troubled(cx: &Cx) -> Fake {
    let users = Section::Users;
    Fake::new(cx).with(users, Step::Fails(300, down(users))).with(Section::Reviews, Step::Hangs)
}

/// Shows a load. `end` takes its result, may let go on what the result still holds, and says what it was.
pub async fn shows<F: Future>(
    cx: &Cx,
    name: &str,
    load: F,
    end: impl AsyncFnOnce(F::Output) -> String,
) -> Outcome {
    cx.timeline().restart();
    let call = cx.call(name, load).await?;
    let ended = cx.call(name, end(call.value)).await?.value;
    // A call that the load has left behind is seen to end.
    sleep(ms(1000)).await;
    let ended_us = u64::try_from(call.took.as_micros()).unwrap_or(u64::MAX);
    cx.show(Figure::Calls { events: cx.timeline().events(), ended_us, ended });
    Ok(())
}

/// What a whole page or its first failure is called.
pub fn page<T, E>(result: &Result<T, E>) -> String {
    result.as_ref().map_or("an error", |_| "the page").to_owned()
}

/// `3 of 5 sections`.
pub fn sections(count: usize) -> String {
    format!("{count} of {} sections", Section::ALL.len())
}

/// How many sections a report has.
pub fn settled(settled: &Settled) -> String {
    let count = settled.reports().iter().filter(|report| report.result.is_ok()).count();
    sections(count)
}

/// Takes what comes after the result. It is dropped after ten seconds.
pub async fn take(rest: impl Stream + Unpin) {
    let all = rest.for_each(|_| std::future::ready(()));
    let _ = tokio::time::timeout(ms(10_000), all).await;
}
