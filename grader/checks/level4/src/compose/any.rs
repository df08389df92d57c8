//! `first_ok`.

use std::num::NonZeroUsize;
use std::pin::pin;

use grader_kit::{Cx, Outcome, ensure, ensure_eq, ms};
use level4::compose::{Agreement, first_ok, keep_ok, quorum};
use tokio::time::{sleep, timeout};

use super::quorum::{of, ratio};
use super::{FIRST, KEEP, MANY, NEVER, QUORUM, after, err, ok, script};
use crate::ops::{End, Ops, moves};

pub async fn returns_the_first_success(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let (soon, late) = (draw.between(1..=40), draw.between(60..=900));
    let word = draw.word();
    for (list, at, place) in [
        (vec![(10, err("no")), (50, ok(&word)), (200, ok("late"))], 50, 1),
        (vec![(late, ok("late")), (soon, err("no")), (50, ok(&word))], 50, 2),
        (vec![(0, ok(&word)), (0, err("no"))], 0, 0),
        (vec![(soon, ok(&word))], soon, 0),
        (vec![(10, err("a")), (20, err("b")), (30, err("c")), (late, ok(&word))], late, 3),
    ] {
        let ops = Ops::new(&cx);
        let call = cx.call(FIRST, first_ok(script(&ops, &list))).await?;
        let observed = match call.value {
            Ok((index, value)) => format!("{index}: {value}"),
            Err(failed) => format!("an error with {} errors", failed.errors.len()),
        };
        let expected = format!("{place}: {word}");
        ensure!(observed == expected && call.took == ms(at), "{} operations: {observed} at {} ms", list.len(), call.took.as_millis();
            expected = format!("{expected} at {at} ms"),
            help = "all operations run at once, a failure ends nothing, and the first success ends the wait");
    }
    // The only one that ends is the last of many.
    for count in MANY.into_iter().chain([draw.index(2000) + 1]) {
        let mut list = vec![(NEVER, ok("late")); count - 1];
        list.push((soon, ok(&word)));
        let ops: Vec<_> = list.into_iter().map(|(at, does)| after(at, does)).collect();
        let call = cx.call(FIRST, timeout(ms(1000), first_ok(ops))).await?;
        let observed = call.value.ok().and_then(Result::ok).map(|(index, _)| index);
        ensure!(observed == Some(count - 1) && call.took == ms(soon), "{count} operations, of which all but the last one hang; that one succeeds at {soon} ms: {} at {} ms",
            observed.map_or("nothing".to_owned(), |index| format!("operation {index}")), call.took.as_millis();
            expected = format!("operation {} at {soon} ms", count - 1),
            help = "all operations run at once, however many they are");
    }
    let ops = [after(10, err("no")), after(50, ok(&word)), after(200, ok("late"))];
    moves(&cx, FIRST, 20, 50, first_ok(ops.into())).await?;
    Ok(())
}

pub async fn stops_the_rest(cx: Cx) -> Outcome {
    for (name, is_quorum) in [(FIRST, false), (QUORUM, true)] {
        let list = [(10, err("no")), (50, ok("x")), (200, ok("late")), (5000, ok("later"))];
        let ops = Ops::new(&cx);
        let run = async {
            // Looked at while the call's own future is still there.
            if is_quorum {
                let mut call = pin!(quorum(script(&ops, &list), ratio(1, 4)?, Agreement::Count));
                let _ = call.as_mut().await;
                Ok(ops.running())
            } else {
                let mut call = pin!(first_ok(script(&ops, &list)));
                let _ = call.as_mut().await;
                Ok(ops.running())
            }
        };
        let call = cx.call(name, run).await?;
        let running = call.value?;
        sleep(ms(10_000)).await;
        let finished = |seen: &&crate::ops::Seen| matches!(seen.ended, Some((_, End::Finished)));
        let finished = ops.seen().iter().filter(finished).count();
        ensure!(running == 0 && finished == 2, "{name} has its answer at 50 ms, and {}",
            if finished == 2 { format!("{running} operations are not dropped") } else { format!("{} others finish later", finished - 2) };
            expected = "the operations that still run are dropped",
            help = "own the futures: they are dropped when you return. A task would have to be aborted");
        ensure!(call.leaked == 0, "{name} has its answer, and {} tasks are left", call.leaked);
    }
    // A quorum that became impossible lets go as well.
    let list = [(10, err("no")), (5000, ok("late"))];
    let ops = Ops::new(&cx);
    let run = quorum(script(&ops, &list), ratio(1, 1)?, Agreement::Count);
    cx.call(QUORUM, run).await?;
    sleep(ms(10_000)).await;
    let finished = ops
        .seen()
        .iter()
        .any(|seen| seen.number == 1 && matches!(seen.ended, Some((_, End::Finished))));
    ensure!(!finished, "a quorum had become impossible, and an operation that still ran has finished later";
        expected = "it is dropped");
    Ok(())
}

pub async fn reports_every_failure(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let mut times: Vec<u64> = (1..=12).rev().collect();
    for shuffled in [false, true] {
        if shuffled {
            draw.shuffle(&mut times);
        }
        let list: Vec<_> = times
            .iter()
            .enumerate()
            .map(|(number, at)| (*at, err(format!("no {number}"))))
            .collect();
        let ops = Ops::new(&cx);
        let call = cx.call(FIRST, first_ok(script(&ops, &list))).await?;
        let Err(failed) = call.value else {
            return Err(grader_kit::Fail::new(
                "12 operations fail, and first_ok returns a success",
            ));
        };
        let expected: Vec<_> = (0..12).map(|number| format!("no {number}")).collect();
        ensure_eq!(failed.errors, expected, "12 operations fail: the errors are not those of the operations in their order";
            help = "keep every error with the place of its operation, and sort at the end");
        ensure!(
            call.took == ms(12),
            "12 operations fail, the last at 12 ms: the error comes at {} ms",
            call.took.as_millis()
        );
    }
    Ok(())
}

pub async fn has_no_success_among_none(cx: Cx) -> Outcome {
    let none = || (0..0).map(|_: u64| after(0, ok("x"))).collect::<Vec<_>>();
    let call = cx.call(FIRST, first_ok(none())).await?;
    let errors = call.value.err().map(|failed| failed.errors.len());
    ensure!(errors == Some(0) && call.took == ms(0), "first_ok of no operation does not return an error without errors at once";
        help = "`select_ok` panics on an empty list, and a race among none never ends");
    let call = cx.call(KEEP, keep_ok(NonZeroUsize::MIN, none(), |_, _| true)).await?;
    let (kept, failed) = (call.value.kept.len(), call.value.failed.len());
    ensure!(
        kept + failed == 0 && call.took == ms(0),
        "keep_ok of no operation does not return two empty lists at once"
    );
    for mode in [Agreement::Count, Agreement::SameValue] {
        let call = cx.call(QUORUM, quorum(none(), ratio(1, 2)?, mode)).await?;
        ensure!(call.value.is_err() && call.took == ms(0), "quorum of no operation, {}: it agrees", of(mode);
            expected = "NoQuorum at once: at least one has to agree");
    }
    Ok(())
}
