//! `keep_ok`.

use grader_kit::{Cx, Outcome, ensure, list, ms};
use level4::compose::keep_ok;

use super::{Does, KEEP, MANY, after, err, numbered, ok, script};
use crate::ops::{Ops, moves, nz};

/// Numbers as values, some of which fail, in times that are drawn.
fn drawn(cx: &Cx, count: usize) -> Vec<(u64, Does)> {
    let mut draw = cx.draw();
    let mut ops: Vec<_> = (0..count)
        .map(|number| (0, if number % 4 == 1 { err(format!("no {number}")) } else { ok(number) }))
        .collect();
    for op in &mut ops {
        op.0 = 10 * draw.between(1..=50);
    }
    ops
}

pub async fn keeps_selected_values(cx: Cx) -> Outcome {
    for (limit, count) in [(1, 5), (3, 12), (40, 40)] {
        let mut list = drawn(&cx, count);
        // The first is the slowest of all.
        list[0].0 = 1000;
        let ops = Ops::new(&cx);
        // By the value and by the place; both must be those of the operation.
        let keep = |value: &String, index: usize| {
            value.parse().is_ok_and(|number: usize| number == index) && index % 3 != 2
        };
        let selected = cx.call(KEEP, keep_ok(nz(limit), script(&ops, &list), keep)).await?.value;
        let expected: Vec<_> = (0..count)
            .filter(|number| number % 4 != 1 && number % 3 != 2)
            .map(|number| (number, number.to_string()))
            .collect();
        let (observed, expected) = (numbered(&selected.kept), numbered(&expected));
        ensure!(observed == expected, "{count} operations, {limit} at once: other values were kept, or with other places";
            expected = expected, observed = observed,
            help = "number the operations first: a value keeps the place of its operation, and the list is in their order");
    }
    Ok(())
}

pub async fn keeps_the_failures(cx: Cx) -> Outcome {
    for (limit, count) in [(1, 5), (3, 14), (40, 40)] {
        let list = drawn(&cx, count);
        let ops = Ops::new(&cx);
        let run = keep_ok(nz(limit), script(&ops, &list), |_, _| false);
        let selected = cx.call(KEEP, run).await?.value;
        let expected: Vec<_> = (0..count)
            .filter(|number| number % 4 == 1)
            .map(|number| (number, format!("no {number}")))
            .collect();
        let (observed, expected) = (numbered(&selected.failed), numbered(&expected));
        ensure!(observed == expected, "{count} operations, {limit} at once: the list of failures is another one";
            expected = expected, observed = observed,
            help = "a failure ends nothing and is not dropped: it stands in `failed` with the place of its operation");
    }
    Ok(())
}

pub async fn respects_the_limit(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let drawn = (draw.index(9) + 1, draw.index(30) + 1);
    let many = MANY.map(|count| (usize::MAX, count));
    for (limit, count) in
        [(3, 10), (1, 3), (5, 2), (usize::MAX, 20), drawn, (1030, 2050)].into_iter().chain(many)
    {
        let list = vec![(100, ok("x")); count];
        let ops = Ops::new(&cx);
        cx.call(KEEP, keep_ok(nz(limit), script(&ops, &list), |_, _| true)).await?;
        let expected = limit.min(count);
        ensure!(ops.most() == expected, "{count} operations with a limit of {limit}: {} ran at once", ops.most();
            expected = expected.to_string(),
            help = "poll no more than so many of the futures: one that is not polled has not begun");
        let order: Vec<_> = (0..count).collect();
        ops.began_in(
            &order,
            "the operations began in another order than they stand in the list",
            "take the next operation of the list when one has ended",
        )?;
    }
    Ok(())
}

pub async fn begins_as_soon_as_one_has_ended(cx: Cx) -> Outcome {
    let long = cx.draw().between(1000..=5000);
    for lengths in [[long, 100, 100, 100], [100, long, 100, 100]] {
        let script_of: Vec<_> = lengths.iter().map(|length| (*length, ok("x"))).collect();
        let ops = Ops::new(&cx);
        let began = cx.timeline().now_ms();
        let call = cx.call(KEEP, keep_ok(nz(2), script(&ops, &script_of), |_, _| true)).await?;
        let observed: Vec<_> =
            (0..4).map(|number| ops.began(number).map_or(u64::MAX, |at| at - began)).collect();
        ensure!(observed == [0, 0, 100, 200], "two at once, operations of {} ms: they begin at {} ms", list(lengths), list(&observed);
            expected = "0, 0, 100, 200 ms: each begins when another one has ended",
            help = "chunks wait for the slowest of each chunk, and `buffered` holds the next back until the first is out");
        ensure!(
            call.took == ms(long),
            "two at once, operations of {} ms took {} ms",
            list(lengths),
            call.took.as_millis()
        );
    }
    a_slow_first_one_holds_up_none(&cx).await?;
    let ops = [40, 20, 30].map(|at| after(at, ok("x")));
    moves(&cx, KEEP, 10, 50, keep_ok(nz(2), ops.into(), |_, _| true)).await?;
    Ok(())
}

/// A list that is much longer than its limit, whose first operation outlasts all others.
async fn a_slow_first_one_holds_up_none(cx: &Cx) -> Outcome {
    let count = 2000 + cx.draw().index(100);
    let mut list = vec![(1, ok("x")); count];
    list[0].0 = 2 * count as u64;
    let ops = Ops::new(cx);
    let began = cx.timeline().now_ms();
    cx.call(KEEP, keep_ok(nz(2), script(&ops, &list), |_, _| true)).await?;
    // The others pass through the second place, one each millisecond.
    let seen = ops.seen();
    let late = seen.iter().find(|seen| {
        let at = seen.number.saturating_sub(1) as u64;
        seen.began.is_none_or(|began_at| began_at - began > at)
    });
    ensure!(late.is_none() && seen.len() == count, "two at once, {count} operations: the first one takes {} ms, the others 1 ms each; number {} does not begin when the one before it has ended", 2 * count, late.map_or(seen.len(), |late| late.number);
        expected = "one place is enough for all the others, however many they are",
        help = "take the next operation whenever one has ended: a list that is cut into rows waits for the slowest of each row");
    Ok(())
}
