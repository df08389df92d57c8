//! `quorum` and its `Ratio`.

mod votes;

use grader_kit::{Cx, Fail, Outcome, ensure, ensure_eq, ms};
use level4::compose::{Agreement, NoQuorum, Quorum, Ratio, RatioError, quorum};

use tokio::time::timeout;

use super::{Does, MANY, NEVER, QUORUM, after, err, numbered, ok, script};
use crate::ops::{Ops, moves};
use votes::drawn_votes;

pub fn ratio(num: u32, den: u32) -> Result<Ratio, Fail> {
    Ratio::new(num, den)
        .map_err(|_| Fail::new(format!("Ratio::new refuses {num}/{den}, which is a valid ratio")))
}

pub const fn of(mode: Agreement) -> &'static str {
    match mode {
        Agreement::Count => "by count",
        Agreement::SameValue => "by value",
    }
}

fn shown(result: Result<Quorum<String>, NoQuorum<String, String>>) -> String {
    match result {
        Ok(Quorum { agreed }) => format!("agreed: {}", numbered(&agreed)),
        Err(NoQuorum { needed, succeeded, failed }) => {
            format!(
                "{needed} needed; succeeded: {}; failed: {}",
                numbered(&succeeded),
                numbered(&failed)
            )
        }
    }
}

/// Runs a script without a quorum: it gives up at this time. What it says then is another criterion.
async fn gives_up_at(
    cx: &Cx,
    (list, need, mode): (Vec<(u64, Does)>, Ratio, Agreement),
    at: u64,
    help: &str,
) -> Outcome {
    let ops = Ops::new(cx);
    let call = cx.call(QUORUM, quorum(script(&ops, &list), need, mode)).await?;
    let what = if call.value.is_ok() { "a quorum" } else { "no quorum" };
    let observed = format!("{what} at {} ms", call.took.as_millis());
    let expected = format!("no quorum at {at} ms");
    ensure!(observed == expected, "a quorum {} that has become impossible: {observed}", of(mode);
        expected = expected, help = help);
    Ok(())
}

/// Operations that succeed in the same instant: as many agree as are needed, and no more.
async fn agrees_in_one_instant(cx: &Cx, mode: Agreement) -> Outcome {
    for (at, count, needed) in [(0, 3, 2), (10, 5, 2), (10, 4, 4)] {
        let ops = (0..count).map(|_| after(at, ok("a")));
        let run = quorum(ops.collect(), ratio(needed, count)?, mode);
        let call = cx.call(QUORUM, run).await?;
        let observed = call.value.map_or(0, |quorum| quorum.agreed.len());
        ensure!(observed == needed as usize && call.took == ms(at), "{count} operations succeed in the same instant, at {at} ms, and {needed} are needed, {}: {observed} have agreed at {} ms",
            of(mode), call.took.as_millis();
            expected = format!("{needed}, at {at} ms"),
            help = "the success that is enough decides: those that are ready behind it are dropped");
    }
    Ok(())
}

/// Runs the script and compares the result and its time.
async fn comes_to(
    cx: &Cx,
    (list, need, mode): (Vec<(u64, Does)>, Ratio, Agreement),
    expected: &str,
    at: u64,
    help: &str,
) -> Outcome {
    let ops = Ops::new(cx);
    let call = cx.call(QUORUM, quorum(script(&ops, &list), need, mode)).await?;
    let observed = shown(call.value);
    ensure!(observed == expected && call.took == ms(at), "a quorum {} of {} operations is not what it has to be", of(mode), list.len();
        expected = format!("{expected}; at {at} ms"), observed = format!("{observed}; at {} ms", call.took.as_millis()),
        help = help);
    Ok(())
}

/// The only two that end are the last of many: all run at once, by either mode.
async fn the_last_of_many_agree(cx: &Cx) -> Outcome {
    for (count, mode) in
        MANY.into_iter().zip([Agreement::Count, Agreement::SameValue].into_iter().cycle())
    {
        let ends = |place| if place + 2 < count { NEVER } else { 10 };
        let ops: Vec<_> = (0..count).map(|place| after(ends(place), ok("a"))).collect();
        let run = quorum(ops, ratio(2, count as u32)?, mode);
        let call = cx.call(QUORUM, timeout(ms(1000), run)).await?;
        let agreed = call.value.ok().and_then(Result::ok).map_or(0, |quorum| quorum.agreed.len());
        ensure!(agreed == 2 && call.took == ms(10), "{count} operations, of which all but the last two hang; those succeed at 10 ms, and two are needed, {}: {agreed} have agreed at {} ms",
            of(mode), call.took.as_millis();
            expected = "2, at 10 ms", help = "all operations run at once, however many they are");
    }
    Ok(())
}

pub async fn agrees_at_the_needed_count(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let help = "it is decided with the success that makes the needed number; the agreed ones are listed in the order \
                of the operations";
    let list = vec![(40, ok("a")), (10, ok("b")), (20, err("no")), (30, ok("c")), (5000, ok("d"))];
    let run = (list, ratio(3, 5)?, Agreement::Count);
    comes_to(&cx, run, "agreed: 0: a, 1: b, 3: c", 40, help).await?;
    // One is enough, and all are needed.
    let list = vec![(40, ok("a")), (10, ok("b")), (30, ok("c"))];
    let run = (list.clone(), ratio(1, 3)?, Agreement::Count);
    comes_to(&cx, run, "agreed: 1: b", 10, help).await?;
    let run = (list, ratio(1, 1)?, Agreement::Count);
    comes_to(&cx, run, "agreed: 0: a, 1: b, 2: c", 40, help).await?;
    // Drawn times: the first so many in the order of time.
    let count = 8;
    let mut times: Vec<u64> = (1..=count as u64).collect();
    draw.shuffle(&mut times);
    let needed = draw.index(count) + 1;
    let list = times.iter().enumerate().map(|(number, at)| (*at, ok(number))).collect();
    let agreed: Vec<_> = times
        .iter()
        .enumerate()
        .filter(|(_, at)| **at <= needed as u64)
        .map(|(number, _)| (number, number))
        .collect();
    let expected = format!("agreed: {}", numbered(&agreed));
    let need = ratio(needed as u32, count as u32)?;
    comes_to(&cx, (list, need, Agreement::Count), &expected, needed as u64, help).await?;
    drawn_votes(&cx, Agreement::Count, true, help).await?;
    the_last_of_many_agree(&cx).await?;
    agrees_in_one_instant(&cx, Agreement::Count).await?;
    let ops = [40, 10, 30].map(|at| after(at, ok("a")));
    let run = quorum(ops.into(), ratio(2, 3)?, Agreement::Count);
    moves(&cx, QUORUM, 20, 30, run).await?;
    Ok(())
}

pub async fn gives_up_when_it_is_impossible(cx: Cx) -> Outcome {
    const HELP: &str = "after each outcome compare: the largest agreement so far and all that still run, together, \
                        with the needed number";
    let slow = cx.draw().between(1000..=9000);
    let (no, late) = (err("no"), ok("late"));
    for (mode, list, need, expected) in [
        // Three of five are needed; three have failed.
        (
            Agreement::Count,
            vec![
                (10, no.clone()),
                (10, no.clone()),
                (slow, late.clone()),
                (10, no.clone()),
                (slow, late.clone()),
            ],
            ratio(3, 5)?,
            10,
        ),
        // All are needed.
        (Agreement::Count, vec![(slow, late.clone()), (7, no.clone())], ratio(1, 1)?, 7),
        // Not yet impossible with two failures: the third decides.
        (
            Agreement::Count,
            vec![
                (10, no.clone()),
                (20, no.clone()),
                (30, no.clone()),
                (slow, late.clone()),
                (slow, late.clone()),
            ],
            ratio(3, 5)?,
            30,
        ),
        // Four different values of five: the last one cannot make three equal ones.
        (
            Agreement::SameValue,
            vec![(1, ok("a")), (2, ok("b")), (3, ok("c")), (4, ok("d")), (slow, ok("a"))],
            ratio(3, 5)?,
            4,
        ),
        // Two equal values, two failures and one that still runs.
        (
            Agreement::SameValue,
            vec![(1, ok("a")), (2, no.clone()), (3, ok("b")), (4, no.clone()), (slow, ok("a"))],
            ratio(3, 5)?,
            4,
        ),
    ] {
        gives_up_at(&cx, (list, need, mode), expected, HELP).await?;
    }
    for mode in [Agreement::Count, Agreement::SameValue] {
        drawn_votes(&cx, mode, false, HELP).await?;
    }
    Ok(())
}

pub async fn lists_every_outcome(cx: Cx) -> Outcome {
    let help = "the error has all successes and all failures up to then, in the order of the operations, with their places";
    let list = vec![(30, err("x")), (20, ok("b")), (10, err("y")), (5, ok("c")), (9000, ok("d"))];
    let run = (list, ratio(4, 5)?, Agreement::Count);
    comes_to(&cx, run, "4 needed; succeeded: 1: b, 3: c; failed: 0: x, 2: y", 30, help).await?;
    let list = vec![(50, ok("a")), (40, ok("b")), (30, ok("c")), (20, ok("d")), (10, ok("e"))];
    let run = (list, ratio(2, 5)?, Agreement::SameValue);
    comes_to(&cx, run, "2 needed; succeeded: 0: a, 1: b, 2: c, 3: d, 4: e; failed: none", 50, help)
        .await?;
    // Of no operation: that there is no quorum is another criterion, and so is what `Ratio::of` says.
    for mode in [Agreement::Count, Agreement::SameValue] {
        let need = ratio(1, 2)?;
        let needed = need.of(0);
        let ops = Ops::new(&cx);
        let none = script(&ops, &[]);
        let Err(failed) = cx.call(QUORUM, quorum(none, need, mode)).await?.value else { continue };
        ensure!(failed.needed == needed, "a quorum {} of no operation: {} needed", of(mode), failed.needed;
            expected = format!("{needed} needed, as `Ratio::of(0)` says"));
    }
    Ok(())
}

pub async fn agrees_on_one_value(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let mut words = [draw.word(), draw.word(), draw.word()];
    // Three different words, whatever was drawn.
    for (number, word) in words.iter_mut().enumerate() {
        word.push_str(&number.to_string());
    }
    let [a, b, c] = &words;
    let help = "successes with different values do not agree: count each value for itself, and list only those that agree";
    let list = vec![(10, ok(a)), (20, ok(a)), (30, ok(b)), (40, ok(a)), (50, ok(c))];
    let run = (list, ratio(3, 5)?, Agreement::SameValue);
    comes_to(&cx, run, &format!("agreed: 0: {a}, 1: {a}, 3: {a}"), 40, help).await?;
    // The value that comes first is not the one that wins; failures between.
    let list =
        vec![(30, ok(b)), (10, ok(a)), (20, err("no")), (25, ok(b)), (50, ok(b)), (60, ok(a))];
    let run = (list, ratio(1, 2)?, Agreement::SameValue);
    comes_to(&cx, run, &format!("agreed: 0: {b}, 3: {b}, 4: {b}"), 50, help).await?;
    // Those that agree may stand far apart in the list.
    let far = (0..9).map(|n| (n * 10, if n % 8 == 0 { ok(a) } else { ok(format!("{b}{n}")) }));
    let run = (far.collect(), ratio(2, 9)?, Agreement::SameValue);
    comes_to(&cx, run, &format!("agreed: 0: {a}, 8: {a}"), 80, help).await?;
    // One that comes in between differs; those that agree are still enough.
    let list = vec![(10, ok(a)), (20, ok(a)), (30, ok(b)), (40, ok(c)), (50, ok(a))];
    let run = (list, ratio(3, 5)?, Agreement::SameValue);
    comes_to(&cx, run, &format!("agreed: 0: {a}, 1: {a}, 4: {a}"), 50, help).await?;
    drawn_votes(&cx, Agreement::SameValue, true, help).await?;
    agrees_in_one_instant(&cx, Agreement::SameValue).await?;
    // Five different values are no agreement.
    let list = (1..=5).map(|number| (number, ok(format!("{a}{number}")))).collect();
    let ops = Ops::new(&cx);
    let list: Vec<_> = list;
    let run = quorum(script(&ops, &list), ratio(3, 5)?, Agreement::SameValue);
    let result = cx.call(QUORUM, run).await?.value;
    ensure!(result.is_err(), "five operations succeed with five different values, and they agree";
        expected = "NoQuorum", help = help);
    Ok(())
}

pub async fn counts_in_whole_numbers(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let (whole, part) = (draw.between(2..=1_000_000), draw.between(1..=u64::from(u32::MAX)));
    let max = u64::from(u32::MAX);
    // Numerator, denominator, how many there are, how many are needed.
    let cases: [(u64, u64, usize, usize); 14] = [
        (3, 5, 5, 3),
        (55, 100, 100, 55),
        (7, 100, 100, 7),
        (7, 10, 10, 7),
        (1, 3, 3, 1),
        (2, 3, 3, 2),
        (2, 3, 4, 3),
        (1, 2, 5, 3),
        (1, 2, 1, 1),
        (1, max, 1, 1),
        (max, max, usize::MAX, usize::MAX),
        (max - 1, max, usize::MAX, usize::MAX - (usize::MAX / u32::MAX as usize)),
        (1, 1, 0, 1),
        (part, max, whole as usize, 0),
    ];
    for (num, den, count, mut needed) in cases {
        if needed == 0 {
            needed = (u128::from(num) * count as u128).div_ceil(u128::from(den)) as usize;
        }
        let ratio = ratio(num as u32, den as u32)?;
        let observed = cx.call_fn("Ratio::of", || ratio.of(count)).await?;
        ensure_eq!(observed, needed, "Ratio::of, {num}/{den} of {count}";
            help = "whole numbers, wide enough: count * num, divided by den, rounded up. As a float 0.55 is a little more than 55/100, \
                    and 64 bits do not hold every product");
    }
    Ok(())
}

pub async fn refuses_bad_ratios(cx: Cx) -> Outcome {
    let drawn = cx.draw().between(1..=1_000_000) as u32;
    let shown = |made: Result<Ratio, RatioError>| match made {
        Ok(_) => "a ratio",
        Err(RatioError::ZeroDenominator) => "ZeroDenominator",
        Err(RatioError::Zero) => "Zero",
        Err(RatioError::AboveOne) => "AboveOne",
    };
    for (num, den, expected) in [
        (0, 1, "Zero"),
        (0, drawn, "Zero"),
        (3, 2, "AboveOne"),
        (drawn + 1, drawn, "AboveOne"),
        (u32::MAX, 1, "AboveOne"),
        (1, 0, "ZeroDenominator"),
        (0, 0, "ZeroDenominator"),
        (1, 1, "a ratio"),
        (drawn, drawn, "a ratio"),
        (1, u32::MAX, "a ratio"),
        (u32::MAX, u32::MAX, "a ratio"),
    ] {
        let made = cx.call_fn("Ratio::new", || Ratio::new(num, den)).await?;
        let observed = shown(made);
        ensure!(observed == expected, "Ratio::new({num}, {den}): {observed}";
            expected = expected, help = "above zero and at most one, and the denominator is asked first");
    }
    Ok(())
}
