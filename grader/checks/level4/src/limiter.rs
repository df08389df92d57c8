//! `limiter::Limiter`.

mod batch;
mod ends;
mod line;
mod scale;

use grader_kit::{Cx, Outcome, ensure, list, ms};
use level4::limiter::{DEFAULT_LIMIT, Limiter};

use futures::future::{join, join_all};
use tokio::time::{sleep, timeout};

use crate::ops::{Ops, nz};

pub use batch::{
    a_dropped_batch_stops, an_empty_batch_is_done_at_once, begins_as_soon_as_a_slot_is_free,
    contains_panics, settles_in_the_order_of_the_batch,
};
pub use ends::{a_dropped_caller_frees_its_slot, a_panic_passes_and_frees_its_slot};
pub use line::{
    calls_nothing_before_its_turn, first_come_first_served, no_newcomer_overtakes,
    takes_its_place_when_polled,
};
pub use scale::{
    keeps_nothing_of_what_has_ended, takes_any_limit, ten_thousand_wait, threads_share_one_limiter,
    waits_without_looking,
};

const RUN: &str = "Limiter::run";
const RUN_ALL: &str = "Limiter::run_all";

/// A batch with these lengths: operation 0 of 100 ms, operation 1 of ... Each returns its number.
async fn batch(limiter: &Limiter, ops: &Ops<'_>, lengths: &[u64]) -> Vec<Option<usize>> {
    let batch = lengths.iter().enumerate().map(|(number, length)| {
        move || async move { Ok::<_, String>(ops.run(number, *length).await) }
    });
    let results = limiter.run_all(batch.collect()).await;
    results.into_iter().map(Result::ok).collect()
}

/// The same operations, each by a caller of its own.
async fn singly(limiter: &Limiter, ops: &Ops<'_>, lengths: &[u64]) -> Vec<Option<usize>> {
    let calls = lengths.iter().enumerate().map(|(number, length)| async move {
        Some(limiter.run(|| ops.run(number, *length)).await)
    });
    join_all(calls).await
}

async fn bounds(cx: &Cx, limit: usize, count: usize) -> Outcome {
    let limiter = Limiter::new(nz(limit));
    let lengths = vec![100; count];
    for (name, batched) in [(RUN, false), (RUN_ALL, true)] {
        let ops = Ops::new(cx);
        let call = if batched {
            cx.call(name, batch(&limiter, &ops, &lengths)).await?
        } else {
            cx.call(name, singly(&limiter, &ops, &lengths)).await?
        };
        let expected = limit.min(count);
        ensure!(ops.most() == expected, "{name}: {} of {count} operations ran at once", ops.most();
            expected = format!("{expected}: the limit is {limit}"),
            help = "take a slot before the operation is called and keep it until the operation has ended");
        let rounds = count.div_ceil(limit) as u64;
        ensure!(call.took == ms(rounds * 100), "{name}: {count} operations of 100 ms took {} ms", call.took.as_millis();
            expected = format!("{} ms with {limit} at a time", rounds * 100),
            help = "a slot that is free is taken at once by the caller that waits longest");
        let own: Vec<_> = (0..count).map(Some).collect();
        // The order of a batch's results is a criterion of its own.
        ensure!(
            batched || call.value == own,
            "{name}: an operation's value went to another caller"
        );
    }
    Ok(())
}

pub async fn never_more_than_the_limit(cx: Cx) -> Outcome {
    bounds(&cx, 5, 10).await?;
    bounds(&cx, 1, 4).await?;
    let mut draw = cx.draw();
    for _ in 0..3 {
        bounds(&cx, draw.index(12) + 1, draw.index(40) + 1).await?;
    }
    bounds(&cx, 300, 350).await?;
    ends::a_slot_outlives_its_operation(&cx, false).await
}

pub async fn three_by_default(cx: Cx) -> Outcome {
    ensure!(DEFAULT_LIMIT.get() == 3, "DEFAULT_LIMIT is {DEFAULT_LIMIT}"; expected = "3");
    let limiter = Limiter::default();
    let ops = Ops::new(&cx);
    cx.call(RUN, singly(&limiter, &ops, &[100; 7])).await?;
    ensure!(ops.most() == 3, "{} operations of a default limiter ran at once", ops.most();
        expected = "3", help = "make the default limiter with DEFAULT_LIMIT");
    // Each default limiter has slots of its own.
    let (full, other) = (Limiter::default(), Limiter::default());
    let hang = join_all((0..3).map(|_| full.run(std::future::pending::<()>)));
    let both = async {
        tokio::select! {
            biased;
            _ = hang => false,
            served = timeout(ms(1000), other.run(|| sleep(ms(10)))) => served.is_ok(),
        }
    };
    let served = cx.call(RUN, both).await?.value;
    ensure!(served, "all slots of a default limiter are taken, and a call of another default limiter waits for a second";
        expected = "it has slots of its own", help = "`Limiter::default` makes a limiter, as `Limiter::new` does");
    Ok(())
}

pub async fn all_callers_share_one_limit(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let limit = draw.index(3) + 2;
    let limiter = Limiter::new(nz(limit));
    let clone = limiter.clone();
    let ops = Ops::new(&cx);
    // Twice as many as there are slots, from each of three sides.
    let lengths = vec![100; 2 * limit];
    let all = async {
        let singles = singly(&limiter, &ops, &lengths);
        let (one, other) = (batch(&limiter, &ops, &lengths), batch(&clone, &ops, &lengths));
        futures::join!(singles, one, other)
    };
    cx.call("a limiter and its clone", all).await?;
    ensure!(ops.most() == limit, "run, run_all and a clone at the same time: {} operations ran at once", ops.most();
        expected = format!("{limit}: all callers of a limiter share its slots"),
        help = "a clone is a handle to the same slots, and a batch takes its slots where every caller does");

    // Calls and batches that come one after the other. A batch has as many slots as every other caller.
    for _ in 0..20 {
        let limiter = Limiter::new(nz(limit));
        // A handle that goes changes nothing for the others.
        let (first, second) = (limiter.clone(), limiter.clone());
        drop(limiter);
        let ops = Ops::new(&cx);
        let callers: Vec<_> = (0..8)
            .map(|number| {
                let handle = if draw.chance(50) { &first } else { &second };
                // No operation ends in the millisecond in which a caller comes: that is another criterion.
                let length = 20 * draw.between(2..=7) + 1;
                let lengths = vec![length; draw.index(limit) + 1];
                (number * 20, handle, lengths, draw.chance(50))
            })
            .collect();
        let ops = &ops;
        let all = join_all(callers.iter().map(|(at, limiter, lengths, batched)| async move {
            sleep(ms(*at)).await;
            if *batched {
                batch(limiter, ops, lengths).await
            } else {
                singly(limiter, ops, lengths).await
            }
        }));
        cx.call("a limiter and its clone", all).await?;
        let shown = callers.iter().map(|(at, _, lengths, batched)| {
            let how = if *batched { "a batch of" } else { "single calls of" };
            format!("at {at} ms {how} {}", lengths.len())
        });
        ensure!(ops.most() <= limit, "{limit} slots; {}: {} operations ran at once", shown.collect::<Vec<_>>().join(", "), ops.most();
            expected = format!("at most {limit}: all callers of a limiter share its slots"),
            help = "every operation takes a slot, also where more are free than a batch needs");
    }

    // Another limiter has slots of its own.
    let (first, second) = (Limiter::new(nz(2)), Limiter::new(nz(3)));
    let (ours, theirs) = (Ops::new(&cx), Ops::new(&cx));
    let began = cx.timeline().now_ms();
    let both = join(singly(&first, &ours, &[100; 6]), singly(&second, &theirs, &[100; 6]));
    cx.call(RUN, both).await?;
    let at_once = [ours, theirs]
        .map(|ops| ops.seen().iter().filter(|seen| seen.began == Some(began)).count());
    ensure!(at_once == [2, 3], "two limiters with 2 and 3 slots begin with {} operations", list(at_once);
        expected = "2 and 3: each limiter has its own slots",
        help = "keep the slots in a field of the limiter, not in a static");
    Ok(())
}
