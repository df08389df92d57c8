//! `recovery::Recovery`.

mod attempts;
mod ends;
mod fakes;
mod figures;
mod scale;
mod waits;

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use grader_kit::{Cx, Fail, ms};
use level4::recovery::{Class, Recovered, RecoveryError, Waits};

pub use attempts::{
    both_errors_are_reported, counts_attempts, repeats_only_what_may_help, says_what_failed,
    the_fallback_comes_last,
};
pub use ends::{a_dropped_run_stops, a_panic_passes, begins_with_the_first_poll};
pub use figures::{
    an_error_may_ask_for_figures, counts_each_run_once, keeps_the_last_hundred_errors,
    operations_are_apart, the_mean_is_of_whole_runs,
};
pub use scale::{
    keeps_nothing_of_what_has_ended, threads_share_the_figures, waits_without_looking,
};
pub use waits::{
    knows_the_usual_waits, no_wait_is_longer_than_the_longest, refuses_bad_waits,
    statuses_have_classes, waits_by_the_class,
};

use fakes::{Broken, Calls, Ends};

const RUN: &str = "Recovery::run";
const ON_CLASS: &str = "Recovery::on_class";

type Recovery = level4::recovery::Recovery<u64, Broken>;
type Answer = Result<Recovered<u64>, RecoveryError<Broken>>;

/// `count` as the interfaces take it. 0 becomes 1; no criterion asks for 0.
const fn attempts(count: u32) -> NonZeroU32 {
    match NonZeroU32::new(count) {
        Some(count) => count,
        None => NonZeroU32::MIN,
    }
}

async fn recovery(cx: &Cx) -> Result<Recovery, Fail> {
    cx.call_fn("Recovery::new", Recovery::new).await
}

const fn constant(wait: u64) -> Waits {
    Waits { first: ms(wait), factor: NonZeroU32::MIN, longest: ms(wait) }
}

async fn on_class(
    cx: &Cx,
    recovery: &mut Recovery,
    class: Class,
    waits: Waits,
) -> Result<(), Fail> {
    cx.call_fn(ON_CLASS, || recovery.on_class(class, waits)).await?.map_err(|error| {
        Fail::new(format!("{waits:?} for {class:?} is refused: {error:?}")).expected("it is taken")
    })
}

/// The errors of all attempts have one class, and no wait that matters: 1 ms after each attempt.
async fn quick(cx: &Cx) -> Result<Recovery, Fail> {
    let mut recovery = recovery(cx).await?;
    on_class(cx, &mut recovery, Class::Network, constant(1)).await?;
    Ok(recovery)
}

/// A run of `op` whose attempts take `length` ms each and end as `ends` says; the last end counts for all that follow.
async fn run(
    recovery: &Recovery,
    calls: &Calls,
    op: &'static str,
    max: u32,
    length: u64,
    ends: &[Ends],
) -> Answer {
    let next = AtomicUsize::new(0);
    let attempt = || {
        let end = ends.get(next.fetch_add(1, SeqCst)).or(ends.last());
        calls.call(op, length, end.cloned().unwrap_or(Ends::Well(0)))
    };
    recovery.run(op, attempts(max), attempt).await
}
