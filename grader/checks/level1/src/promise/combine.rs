//! all, all_settled, race and any.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex};

use grader_kit::{Cx, Draw, Fail, Outcome, ensure, lock};
use level1::promise::{self, Promise};

use super::{Oops, P, SLOW, Settled, after, ends, no, outcome, slow_outcome, stands, yes};

/// What is said of a combination that does not wait for a promise that takes 25 years.
const LATE: &str = "a promise stays pending until it is settled: there is no time limit";

/// More promises than a first guess at a limit allows.
const MANY: u64 = 2_000;

/// What an iterator says about its length, from the length that it has.
type Hint = fn(usize) -> (usize, Option<usize>);

/// As a list does.
const EXACT: Hint = |length| (length, Some(length));

/// As a filter does, or a generator: no less than nothing, and no more than this, or than anything.
const LOOSE: Hint = |length| (0, Some(length + 3));
const UNKNOWN: Hint = |_| (0, None);
const WIDE: Hint = |length| (length / 2, Some(usize::MAX));

/// Promises behind an iterator that knows its length better or worse.
struct Hinted {
    promises: std::vec::IntoIter<P>,
    hint: Hint,
}

impl Iterator for Hinted {
    type Item = P;

    fn next(&mut self) -> Option<P> {
        self.promises.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.hint)(self.promises.len())
    }
}

fn hinted(promises: Vec<P>, hint: Hint) -> Hinted {
    Hinted { promises: promises.into_iter(), hint }
}

/// Numbers of promises, each with a hint.
const COUNTS: [(u64, Hint); 6] =
    [(1, EXACT), (1, LOOSE), (3, UNKNOWN), (3, LOOSE), (7, WIDE), (MANY, EXACT)];

/// So many that twelve bits do not count them; all but the first are settled already.
const MOST: usize = 5_000;

/// A promise that comes to this at 100 ms, and many that came to the other before.
fn most(first: Settled, others: &Settled) -> Vec<P> {
    let settled = |_| match others.clone() {
        Ok(value) => P::resolved(value),
        Err(error) => P::rejected(error),
    };
    std::iter::once(after(100, first)).chain((1..MOST).map(settled)).collect()
}

/// The length that such an iterator says it has, in words.
fn says(hint: Hint, count: u64) -> String {
    let (least, most) = hint(usize::try_from(count).unwrap_or_default());
    let most = most.map_or_else(|| "any number".to_owned(), |most| most.to_string());
    format!("from an iterator that says it has {least} to {most}")
}

/// Drawn words, and each with the time after which a promise gives it: all times are different, and
/// not in order.
fn planned(draw: &mut Draw, count: u64) -> Vec<(u64, String)> {
    let mut times: Vec<u64> = (1..=count).map(|number| number * 10).collect();
    draw.shuffle(&mut times);
    if times.is_sorted() {
        times.reverse();
    }
    times.into_iter().map(|time| (time, draw.word())).collect()
}

/// A promise for each of the results.
fn promises(plans: &[(u64, Settled)]) -> Vec<P> {
    plans.iter().map(|(time, result)| after(*time, result.clone())).collect()
}

/// The same plans, with this as the end of each.
fn each(plans: &[(u64, String)], end: fn(&str) -> Settled) -> Vec<(u64, Settled)> {
    plans.iter().map(|(time, word)| (*time, end(word))).collect()
}

/// Promises, and after the first or the second of them a panic.
struct Breaks(usize);

impl Iterator for Breaks {
    type Item = P;

    fn next(&mut self) -> Option<P> {
        if self.0 == 0 {
            resume_unwind(Box::new("an iterator with a bug"));
        }
        self.0 -= 1;
        Some(P::resolved(String::new()))
    }
}

/// A panic of the iterator is a bug of the caller's, and passes to the caller: it is no rejection of a promise.
async fn passes_a_panic_on(cx: &Cx, name: &str, combine: fn(Breaks)) -> Outcome {
    for promises in [1, 2] {
        let call = || catch_unwind(AssertUnwindSafe(|| combine(Breaks(promises)))).is_err();
        let passed = cx.call_fn(name, call).await?;
        ensure!(passed, "{name}, and the iterator of the promises panics after {promises}";
            expected = "the panic passes to the caller", observed = "a promise is returned",
            help = "take the promises outside of the executor of `Promise::new`, which turns panics into rejections");
    }
    Ok(())
}

fn latest(plans: &[(u64, Settled)]) -> u128 {
    plans.iter().map(|(time, _)| u128::from(*time)).max().unwrap_or_default()
}

pub async fn all(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let help =
        "in the order of the promises, not in that of their arrival, when the last has arrived";
    for (count, hint) in COUNTS {
        let mut plans = each(&planned(&mut draw, count), yes);
        if count == 7 {
            plans[2].0 = 0; // settled before all sees it
        }
        let expected = plans.iter().map(|(_, result)| result.clone()).collect();
        let all = || promise::all(hinted(promises(&plans), hint));
        let observed = outcome(&cx, "promise::all", all).await?;
        let case = format!("all of {count} promises, {}", says(hint, count));
        ends(observed, expected, latest(&plans), &case, help)?;
    }
    let (first, others) = (yes(&draw.word()), yes("settled"));
    let promises = most(first.clone(), &others);
    let observed = outcome(&cx, "promise::all", || promise::all(promises)).await?;
    let expected = std::iter::once(first).chain(std::iter::repeat_n(others, MOST - 1)).collect();
    ends(
        observed,
        expected,
        100,
        &format!("all of {MOST} promises, the first one is the last"),
        help,
    )?;
    let slow = slow_outcome(&cx, "promise::all", || {
        promise::all([after(SLOW, yes("late")), after(10, yes("early"))])
    });
    let case = "all of two promises, one of which is settled after 25 years";
    ends(slow.await?, Ok(vec!["late".to_owned(), "early".to_owned()]), SLOW.into(), case, LATE)?;
    passes_a_panic_on(&cx, "promise::all", |promises| drop(promise::all(promises))).await
}

pub async fn all_fails_fast(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let help = "all is rejected at the first rejection, and waits for nothing more";
    for at in 0..3 {
        let mut plans = each(&planned(&mut draw, 3), yes);
        // The first to be rejected has 200 ms, another one that is rejected later 300 ms.
        plans[at] = (200, no("first"));
        plans[(at + 1) % 3] = (300, no("late"));
        plans[(at + 2) % 3].0 = 100;
        let case = format!("all, the promise at index {at} is rejected first");
        let hint = [EXACT, LOOSE, UNKNOWN][at];
        let all = || promise::all(hinted(promises(&plans), hint));
        let observed = outcome(&cx, "promise::all", all).await?;
        ends(observed, Err(Oops::Said("first".to_owned())), 200, &case, help)?;
    }
    // Late among many: a look at some of them at a time does not see it.
    for count in [31, 120, MANY] {
        let mut plans = each(&planned(&mut draw, count), yes);
        let at = plans.len() - 1 - draw.index(plans.len() / 8);
        plans[at] = (5, no("first"));
        let case = format!("all of {count} promises, the one at index {at} is rejected first");
        let all = || promise::all(promises(&plans));
        let observed = outcome(&cx, "promise::all", all).await?;
        ends(observed, Err(Oops::Said("first".to_owned())), 5, &case, help)?;
    }
    let observed = outcome(&cx, "promise::all", || {
        promise::all([
            after(300, yes("")),
            after(100, no("first")),
            P::from_future(std::future::pending()),
        ])
    });
    let case = "all, with a promise that is rejected at 100 ms and one that stays pending";
    ends(observed.await?, Err(Oops::Said("first".to_owned())), 100, case, help)?;
    let observed = outcome(&cx, "promise::all", || {
        promise::all([after(300, yes("")), P::rejected(Oops::Said("before".to_owned()))])
    });
    let case = "all, with a promise that is rejected already";
    ends(observed.await?, Err(Oops::Said("before".to_owned())), 0, case, help)
}

pub async fn all_settled(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let help = "it is never rejected: a failure is one of the results, in its promise's place";
    for (count, hint) in COUNTS {
        let mut plans = each(&planned(&mut draw, count), yes);
        for index in (0..plans.len()).step_by(3) {
            plans[index].1 = no(&draw.word());
        }
        let expected = Ok(plans.iter().map(|(_, result)| result.clone()).collect());
        let all = || promise::all_settled(hinted(promises(&plans), hint));
        let observed = outcome(&cx, "promise::all_settled", all).await?;
        let case = format!("all_settled of {count} promises, {}", says(hint, count));
        ends(observed, expected, latest(&plans), &case, help)?;
    }
    let (first, others) = (yes(&draw.word()), no("settled"));
    let promises = most(first.clone(), &others);
    let observed = outcome(&cx, "promise::all_settled", || promise::all_settled(promises)).await?;
    let expected =
        Ok(std::iter::once(first).chain(std::iter::repeat_n(others, MOST - 1)).collect());
    let case = format!("all_settled of {MOST} promises, the first one is the last");
    ends(observed, expected, 100, &case, help)?;
    let slow = slow_outcome(&cx, "promise::all_settled", || {
        promise::all_settled([after(SLOW, yes("late")), after(10, yes("early"))])
    });
    let case = "all_settled of two promises, one of which is settled after 25 years";
    ends(slow.await?, Ok(vec![yes("late"), yes("early")]), SLOW.into(), case, LATE)?;
    passes_a_panic_on(&cx, "promise::all_settled", |promises| drop(promise::all_settled(promises)))
        .await
}

pub async fn race(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let help = "the first promise to settle wins, with a value or with an error";
    for (count, hint) in COUNTS {
        for first in [yes("first"), no("first")] {
            let mut plans = each(&planned(&mut draw, count), yes);
            plans[0].1 = no("late");
            // Of many, the last one: it does not stand among the first hundred.
            let at = if count == MANY { plans.len() - 1 } else { draw.index(plans.len()) };
            plans[at] = (5, first.clone());
            let case = format!(
                "a race of {count}, won by the promise at index {at}, {}",
                says(hint, count)
            );
            let race = || promise::race(hinted(promises(&plans), hint));
            let observed = outcome(&cx, "promise::race", race).await?;
            ends(observed, first, 5, &case, help)?;
        }
    }
    let held = Arc::new(Mutex::new(Vec::with_capacity(MOST)));
    let observed = outcome(&cx, "promise::race", || {
        let pending = (1..MOST).map(|_| {
            let held = Arc::clone(&held);
            Promise::new(move |resolver| lock(&held).push(resolver))
        });
        promise::race(pending.chain([after(100, yes("last"))]).collect::<Vec<P>>())
    });
    let case = format!("a race of {MOST}, all but the last stay pending");
    ends(observed.await?, yes("last"), 100, &case, help)?;
    drop(held);
    let observed = outcome(&cx, "promise::race", || {
        promise::race([
            P::from_future(std::future::pending()),
            after(200, yes("")),
            after(100, no("no")),
        ])
    });
    let case = "a race with a promise that stays pending";
    ends(observed.await?, no("no"), 100, case, help)?;
    let slow = slow_outcome(&cx, "promise::race", || {
        promise::race([after(SLOW, yes("late")), P::from_future(std::future::pending())])
    });
    let case = "a race whose first promise is settled after 25 years";
    ends(slow.await?, yes("late"), SLOW.into(), case, LATE)?;
    passes_a_panic_on(&cx, "promise::race", |promises| drop(promise::race(promises))).await
}

/// The end of `any`, its errors taken out.
async fn any_of(
    cx: &Cx,
    promises: impl IntoIterator<Item = P>,
) -> Result<(Result<String, Vec<Oops>>, u128), Fail> {
    let any = || async { promise::any(promises).await.map_err(|aggregate| aggregate.errors) };
    outcome(cx, "promise::any", any).await
}

pub async fn any(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let help = "the first success wins, rejections before it do not count";
    for (count, hint) in COUNTS {
        let mut plans = each(&planned(&mut draw, count), no);
        let first = if count == MANY { plans.len() - 1 } else { draw.index(plans.len()) };
        plans[first] = (count * 10 + 5, yes("first"));
        let mut others = promises(&plans);
        // A later success, and one that never comes.
        others.push(after(count * 10 + 500, yes("late")));
        others.push(P::from_future(std::future::pending()));
        let case = format!(
            "any of {count} and two more, one of which is fulfilled after all rejections, {}",
            says(hint, count + 2)
        );
        let at = u128::from(count * 10 + 5);
        let observed = any_of(&cx, hinted(others, hint)).await?;
        ends(observed, Ok("first".to_owned()), at, &case, help)?;
    }
    let observed = any_of(&cx, most(yes("first"), &no("settled"))).await?;
    let case = format!("any of {MOST}, all but the first are rejected already");
    ends(observed, Ok("first".to_owned()), 100, &case, help)?;
    let two = vec![after(300, yes("late")), after(10, no("early")), after(200, yes("first"))];
    ends(any_of(&cx, two).await?, Ok("first".to_owned()), 200, "any, two are fulfilled", help)?;
    let late = (1..MANY).map(|_| after(200, no("late")));
    let observed = any_of(&cx, late.chain([after(100, yes("last"))]).collect::<Vec<P>>()).await?;
    let case = format!("any of {MANY}, the last one is fulfilled before the others are rejected");
    ends(observed, Ok("last".to_owned()), 100, &case, help)?;
    let slow = slow_outcome(&cx, "promise::any", || async {
        let any = promise::any([after(SLOW, yes("late")), after(10, no("early"))]).await;
        any.map_err(|aggregate| aggregate.errors)
    });
    let case = "any of two promises, one of which is fulfilled after 25 years";
    ends(slow.await?, Ok("late".to_owned()), SLOW.into(), case, LATE)?;
    passes_a_panic_on(&cx, "promise::any", |promises| drop(promise::any(promises))).await
}

pub async fn any_all_rejected(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let help = "all errors, in the order of the promises, when the last is rejected";
    for (count, hint) in COUNTS {
        let plans = planned(&mut draw, count);
        let expected = plans.iter().map(|(_, why)| Oops::Said(why.clone())).collect();
        let plans = each(&plans, no);
        let case = format!("any of {count} promises that are all rejected, {}", says(hint, count));
        let observed = any_of(&cx, hinted(promises(&plans), hint)).await?;
        ends(observed, Err(expected), latest(&plans), &case, help)?;
    }
    let said = |why: &str| Oops::Said(why.to_owned());
    let first = draw.word();
    let expected =
        std::iter::once(said(&first)).chain((1..MOST).map(|_| said("settled"))).collect();
    let case = format!("any of {MOST} promises that are all rejected, the first one is the last");
    let observed = any_of(&cx, most(no(&first), &no("settled"))).await?;
    ends(observed, Err(expected), 100, &case, help)
}

pub async fn of_nothing(cx: Cx) -> Outcome {
    for hint in [EXACT, LOOSE, UNKNOWN, WIDE] {
        of_nothing_that_says(&cx, hint).await?;
    }
    Ok(())
}

async fn of_nothing_that_says(cx: &Cx, hint: Hint) -> Outcome {
    let none = || hinted(Vec::new(), hint);
    let observed = outcome(cx, "promise::all", || promise::all(none())).await?;
    ends(observed, Ok(vec![]), 0, "all of no promises", "fulfilled with no values")?;
    let observed = outcome(cx, "promise::all_settled", || promise::all_settled(none())).await?;
    ends(observed, Ok(vec![]), 0, "all_settled of no promises", "fulfilled with no results")?;
    let help = "all of them have failed, so it is rejected, with no errors";
    ends(any_of(cx, none()).await?, Err(vec![]), 0, "any of no promises", help)?;
    let promise = cx.call_fn("promise::race", || promise::race(none())).await?;
    tokio::time::sleep(grader_kit::ms(1_000)).await;
    let help = "nothing settles it: it stays pending, as in JavaScript";
    stands(cx, &promise, "pending", "of a race of no promises", help).await
}
