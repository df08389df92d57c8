//! `queue::AsyncQueue` beside its model.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::join_all;
use grader_kit::{Cx, Draw, Outcome, ms};
use level2::queue::AsyncQueue;
use tokio::time::{Instant, sleep, timeout};

use crate::queue::NAME;
use crate::scripts::{Difference, compare};

/// A caller of a script.
#[derive(Debug, Clone)]
struct Caller {
    comes: u64,
    /// Goes after this time, wherever it is then.
    patience: Option<u64>,
    length: u64,
    ends: Ends,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    Returns,
    Panics,
    PanicsAtOnce,
}

fn script(draw: &mut Draw) -> Vec<Caller> {
    let caller = |draw: &mut Draw| Caller {
        comes: draw.between(1..=1500),
        patience: draw.chance(30).then(|| draw.between(1..=900)),
        length: draw.between(1..=700),
        ends: *draw.pick(&[Ends::Returns, Ends::Returns, Ends::Panics, Ends::PanicsAtOnce]),
    };
    (0..draw.between(2..=14)).map(|_| caller(draw)).collect()
}

/// When each caller's job is called. Nothing if two things happen in the same millisecond, since the order of two
/// timers is open.
fn model(places: usize, callers: &[Caller]) -> Option<Vec<Option<u64>>> {
    let mut called = vec![None; callers.len()];
    let mut line: Vec<usize> = Vec::new();
    // Who runs, and until when.
    let mut running: Vec<(usize, u64)> = Vec::new();
    let moments =
        |caller: &Caller| [Some(caller.comes), caller.patience.map(|time| caller.comes + time)];
    let mut agenda: BTreeSet<u64> = callers.iter().flat_map(moments).flatten().collect();
    while let Some(now) = agenda.pop_first() {
        let leaves = |number: usize| {
            callers[number].patience.is_some_and(|patience| callers[number].comes + patience == now)
        };
        let came: Vec<usize> =
            (0..callers.len()).filter(|number| callers[*number].comes == now).collect();
        let gone = line.iter().filter(|number| leaves(**number)).count();
        let ended =
            running.iter().filter(|(number, until)| *until == now || leaves(*number)).count();
        if came.len() + gone + ended > 1 {
            return None;
        }
        line.retain(|number| !leaves(*number));
        running.retain(|(number, until)| *until != now && !leaves(*number));
        line.extend(came);
        while running.len() < places && !line.is_empty() {
            let next = line.remove(0);
            called[next] = Some(now);
            if callers[next].ends != Ends::PanicsAtOnce {
                running.push((next, now + callers[next].length));
                agenda.insert(now + callers[next].length);
            }
        }
    }
    Some(called)
}

async fn played(places: usize, callers: &[Caller]) -> Vec<Option<u64>> {
    let called = RefCell::new(vec![None; callers.len()]);
    let Some(places) = NonZeroUsize::new(places) else { return called.into_inner() };
    let queue = AsyncQueue::new(places);
    let began = Instant::now();
    join_all(callers.iter().enumerate().map(|(number, caller)| {
        let (queue, called) = (&queue, &called);
        async move {
            sleep(ms(caller.comes)).await;
            let job = || {
                let at = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
                called.borrow_mut()[number] = Some(at);
                assert!(caller.ends != Ends::PanicsAtOnce, "a bug in the closure");
                async {
                    sleep(ms(caller.length)).await;
                    assert!(caller.ends != Ends::Panics, "a bug in the future");
                }
            };
            let patience = ms(caller.patience.unwrap_or(60_000));
            let add = AssertUnwindSafe(timeout(patience, queue.add(job))).catch_unwind();
            drop(add.await);
        }
    }))
    .await;
    called.into_inner()
}

/// Agrees with the model of a queue.
pub async fn queue(cx: Cx) -> Outcome {
    for places in 1..=3 {
        let line = |caller: &Caller| {
            let mut line =
                format!("a caller comes at {} ms with a job of {} ms", caller.comes, caller.length);
            line += match caller.ends {
                Ends::Returns => "",
                Ends::Panics => " that panics at its end",
                Ends::PanicsAtOnce => " that panics in its closure",
            };
            match caller.patience {
                Some(patience) => line + &format!("; it is dropped after {patience} ms"),
                None => line,
            }
        };
        let play = async |callers: &[Caller]| {
            let Some(wanted) = model(places, callers) else { return Ok(Ok(())) };
            // Longer than any script, so that the kit's own limit does not speak first.
            let play = timeout(Duration::from_secs(120), played(places, callers));
            let found = match cx.call(NAME, play).await?.value {
                Ok(found) => found,
                Err(_) => vec![None; callers.len()],
            };
            let differs = wanted.iter().zip(&found).position(|(wanted, found)| wanted != found);
            let said =
                |at: Option<u64>| at.map_or_else(|| "never".to_owned(), |at| format!("at {at} ms"));
            Ok(differs.map_or(Ok(()), |at| {
                Err(Difference {
                    headline: format!(
                        "with {places} places, the job of the caller that comes at {} ms is not called when it should be",
                        callers[at].comes
                    ),
                    expected: said(wanted[at]),
                    observed: said(found[at]),
                })
            }))
        };
        compare(&cx, 25, script, play, line).await?;
    }
    Ok(())
}
