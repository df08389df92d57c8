//! The schedule and the jitter: arithmetic without a clock.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use grader_kit::{Cx, Fail, Outcome, ensure, ensure_eq, list, ms};
use level3::deadline::Deadline;
use level3::retry::{
    Backoff, BackoffConfigError, Disposition, Jitter, NoJitter, RetryPolicy, SeededJitter,
};

use super::{backoff, run};
use crate::parts::{Calls, nz};

pub async fn stays_below_the_cap(cx: Cx) -> Outcome {
    let cap = cx.draw().between(1000..=100_000_000);
    let (default, drawn) = (backoff(1000, 2.0, 10_000, 3)?, backoff(1000, 2.0, cap, 3)?);
    let steep = backoff(1000, 1e300, 10_000, 3)?;
    for (schedule, cap) in [(default, 10_000), (drawn, cap), (steep, 10_000)] {
        for attempt in [5, 6, 40, 70, 5000, u32::MAX] {
            for unit in [0.0, 0.9, 1.0] {
                let wait = cx.call_fn("Backoff::delay", || schedule.delay(attempt, unit)).await?;
                ensure!(wait <= ms(cap), "the wait after attempt {attempt} is {wait:?}";
                    expected = format!("at most the cap of {cap} ms, jitter included"),
                    help = "cut at the cap first, then apply jitter that only shortens");
                // How it grows, and what jitter makes of it, are criteria of their own.
                ensure!(attempt < 40 || unit < 0.5 || wait >= ms(cap / 2), "the wait after attempt {attempt} is {wait:?}";
                    expected = "at least half the cap: the schedule has long reached it",
                    help = "an overflow must end at the cap, not at zero: compute in f64, where it becomes \
                            infinity");
            }
        }
        let nominal = cx.call_fn("Backoff::nominal", || schedule.nominal(u32::MAX)).await?;
        ensure!(nominal == ms(cap), "nominal({}) is {nominal:?}", u32::MAX; expected = format!("the cap, {cap} ms"));
    }
    let longest = || {
        let schedule = Backoff::new(Duration::MAX, 2.0, Duration::MAX, nz(3)).ok()?;
        Some((schedule.nominal(2), schedule.delay(1, 0.0)))
    };
    let longest = cx.call_fn("Backoff::delay", longest).await?;
    let century = Duration::from_secs(100 * 365 * 86_400);
    ensure!(longest.is_some_and(|(nominal, delay)| nominal > century && delay > century),
        "a base and a cap of Duration::MAX give the waits {longest:?}";
        expected = "waits longer than any deadline");
    // To the millisecond, also where the wait is long.
    let triples = backoff(1, 3.0, 1_000_000_000_000_000, 3)?;
    for attempt in [2, 16, 17, 18, 21, 25, 30] {
        let nominal = cx.call_fn("Backoff::nominal", || triples.nominal(attempt)).await?;
        let expected = ms(3_u64.pow(attempt - 1));
        ensure!(nominal.abs_diff(expected) <= ms(1), "a base of 1 ms and a factor of 3: nominal({attempt}) is {nominal:?}";
            expected = format!("{expected:?}"),
            help = "an f64 holds whole numbers up to 2^53 exactly, an f32 only up to 2^24");
    }
    // A schedule that grows slowly grows for long.
    let slow = backoff(1000, 1.1, 1_000_000_000, 3)?;
    for attempt in [2, 33, 50, 100] {
        let nominal = cx.call_fn("Backoff::nominal", || slow.nominal(attempt)).await?;
        let expected = Duration::from_secs_f64(1.1_f64.powf(f64::from(attempt - 1)));
        ensure!(nominal.abs_diff(expected) <= ms(1), "a base of 1 s and a factor of 1.1: nominal({attempt}) is {nominal:?}";
            expected = format!("{expected:?}: each wait is longer than the one before, up to the cap"),
            help = "limit the wait, not the exponent");
    }
    Ok(())
}

pub async fn jitter_shortens_by_up_to_a_half(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let factor = *draw.pick(&[1.0, 1.5, 2.0, 2.5, 3.0]);
    let odd = backoff(2 * draw.between(100..=100_000) + 1, factor, 100_000_000, 3)?;
    for (schedule, exact) in [(backoff(1000, 2.0, 10_000, 3)?, true), (odd, false)] {
        for attempt in [1, 2, 3] {
            let delay =
                async |unit| cx.call_fn("Backoff::delay", || schedule.delay(attempt, unit)).await;
            let nominal = delay(1.0).await?;
            for (unit, expected) in
                [(0.0, nominal / 2), (0.5, nominal * 3 / 4), (0.25, nominal * 5 / 8)]
            {
                let wait = delay(unit).await?;
                let right = if exact { wait == expected } else { wait.abs_diff(expected) < ms(1) };
                ensure!(right, "delay({attempt}, 1.0) is {nominal:?}, and delay({attempt}, {unit}) is wrong";
                    observed = format!("{wait:?}"), expected = format!("{expected:?}"),
                    help = "equal jitter: half of the nominal wait, and `unit` of the other half");
                ensure!(wait * 2 >= nominal && wait <= nominal, "delay({attempt}, {unit}) is {wait:?} of {nominal:?}";
                    expected = "never less than one half, also after rounding",
                    help = "round up to whole milliseconds");
                ensure!(wait.subsec_nanos() % 1_000_000 == 0, "delay({attempt}, {unit}) is {wait:?}";
                    expected = "whole milliseconds: the timer has no finer ones");
            }
            // Another Jitter than ours may be wrong.
            for (unit, like) in [
                (-0.5, 0.0),
                (f64::NEG_INFINITY, 0.0),
                (1.5, 1.0),
                (f64::INFINITY, 1.0),
                (f64::NAN, 1.0),
            ] {
                let (wait, like_wait) = (delay(unit).await?, delay(like).await?);
                ensure_eq!(wait, like_wait, "delay({attempt}, {unit})";
                    help = "a number outside of 0 to 1 is taken as the nearer end, NaN as 1");
            }
        }
    }
    any_jitter_is_bounded(&cx).await?;
    drops_fractions(&cx).await
}

/// Always the same number.
#[derive(Debug)]
struct Always(f64);

impl Jitter for Always {
    fn unit(&self) -> f64 {
        self.0
    }
}

/// `retry` waits as `delay` says, whatever number the Jitter returns.
async fn any_jitter_is_bounded(cx: &Cx) -> Outcome {
    let mut draw = cx.draw();
    let base = 2 * draw.between(1..=5000);
    let far = draw.between(2..=1000) as f64;
    let (whole, half) = ([0, base, 3 * base], [0, base / 2, 3 * base / 2]);
    let cases = [
        (1.5, whole),
        (far, whole),
        (f64::INFINITY, whole),
        (f64::NAN, whole),
        (1.0_f64.next_up(), whole),
        (-0.5, half),
        (-far, half),
        (f64::NEG_INFINITY, half),
        (0.0_f64.next_down(), half),
    ];
    let attempts_with = async |unit| {
        let calls = Calls::new(cx, "operation");
        let policy = RetryPolicy { backoff: backoff(base, 2.0, 2 * base, 3)?, min_attempt: ms(0) };
        let retries = |_| Some(Disposition::Retry);
        let _ = run(cx, &calls, &policy, &Always(unit), Deadline::never(), retries).await?;
        Ok::<_, Fail>(calls.at())
    };
    // What a retry does with numbers from 0 to 1 is judged elsewhere.
    if attempts_with(1.0).await? != whole || attempts_with(0.0).await? != half {
        return Ok(());
    }
    for (unit, expected) in cases {
        let at = attempts_with(unit).await?;
        ensure!(at == expected,
            "a Jitter returns {unit}, and the waits are {base} ms and {} ms before it: attempts began at {} ms", 2 * base, list(&at);
            expected = format!("{} ms", list(expected)),
            help = "a Jitter of the caller's may return any number: `Backoff::delay` takes it as the nearest from 0 to 1, and NaN as 1");
    }
    Ok(())
}

/// Base and cap count in whole milliseconds, and only then the base is multiplied.
async fn drops_fractions(cx: &Cx) -> Outcome {
    let mut draw = cx.draw();
    let micros = Duration::from_micros;
    let drawn = draw.between(1..=500);
    let cases = [
        // Base, factor, cap in microseconds; the attempt; its nominal wait in milliseconds.
        (2900, 1.0, 2950, 1, 2),
        (1900, 2.0, 1_000_000, 2, 2),
        (1900, 2.0, 1_000_000, 4, 8),
        (1999, 10.0, 1_000_000, 3, 100),
        (1000, 2.0, 3900, 3, 3),
        (1000 * drawn + draw.between(500..=999), 3.0, 1_000_000_000, 3, 9 * drawn),
    ];
    for (base, factor, cap, attempt, expected) in cases {
        let waits = || {
            let schedule = Backoff::new(micros(base), factor, micros(cap), nz(9)).ok()?;
            Some((schedule.nominal(attempt), schedule.delay(attempt, 1.0)))
        };
        let waits = cx.call_fn("Backoff::nominal", waits).await?;
        ensure_eq!(
            waits, Some((ms(expected), ms(expected))),
            "nominal({attempt}) and delay({attempt}, 1.0) of a base of {base} us, a factor of {factor} and a cap of {cap} us";
            help = "fractions of a millisecond in base and cap are dropped, before anything is computed from them"
        );
    }
    Ok(())
}

pub async fn seeds_determine_the_waits(cx: Cx) -> Outcome {
    let numbers = |jitter: &SeededJitter| (0..50).map(|_| jitter.unit()).collect::<Vec<_>>();
    let mut draw = cx.draw();
    let drawn = draw.between(2..=u64::MAX - 2);
    let stream = draw.between(2..=u64::MAX - 1);
    share_no_numbers(&cx, drawn).await?;
    for seed in [7, 0, u64::MAX, drawn] {
        let found = cx
            .call_fn("SeededJitter", || {
                let parent = SeededJitter::new(seed);
                let early = numbers(&parent.fork(stream));
                let own = numbers(&parent);
                let (first, second) = (parent.fork(1), parent.fork(2));
                let nested = [
                    numbers(&first.fork(2)),
                    numbers(&second.fork(1)),
                    numbers(&first),
                    numbers(&second),
                ];
                let late = numbers(&parent.fork(stream));
                let again = numbers(&SeededJitter::new(seed));
                let others: Vec<_> =
                    (0..64).map(|bit| numbers(&SeededJitter::new(seed ^ (1 << bit)))).collect();
                // Each bit of the stream counts.
                let bits = (0..64).map(|bit| stream ^ (1 << bit));
                let siblings: Vec<_> = [0, 1, u64::MAX]
                    .into_iter()
                    .chain(bits)
                    .map(|stream| numbers(&parent.fork(stream)))
                    .collect();
                let cousins: Vec<_> = (0..64)
                    .map(|bit| numbers(&SeededJitter::new(seed ^ (1 << bit)).fork(stream)))
                    .collect();
                let [a, b] = [SeededJitter::new(seed), SeededJitter::new(seed)];
                let mixed = (0..50).map(|_| (a.unit(), b.unit())).collect::<Vec<_>>();
                (own, again, others, early, late, siblings, cousins, mixed, nested)
            })
            .await?;
        let (own, again, others, early, late, siblings, cousins, mixed, nested) = found;
        let in_range = own.iter().chain(&early).all(|unit| (0.0..=1.0).contains(unit));
        ensure!(in_range, "numbers outside of 0 to 1"; observed = format!("{own:?}"));
        ensure!(own == again, "the same seed gives different numbers"; expected = "the same, run after run");
        ensure!(
            others.iter().all(|other| *other != own),
            "different seeds give the same numbers";
            expected = "other numbers for every other seed: each of the 64 bits counts"
        );
        let different: BTreeSet<u64> = own.iter().map(|unit| unit.to_bits()).collect();
        ensure!(different.len() >= 40, "50 numbers of the seed {seed} are only {} different ones", different.len();
            help = "some generators stay at 0 once their state is 0: SplitMix64 has no such seed");
        ensure!(mixed.iter().zip(&own).all(|((a, b), own)| a == own && b == own),
            "two sources with the seed {seed} that are asked in turn give other numbers than one alone";
            expected = "each has a state of its own");
        ensure!(early == late, "a fork depends on what was drawn from its parent before";
            expected = "a fork depends on the seed and the stream alone",
            help = "a payment's waits must not depend on which other payments ran");
        ensure!(
            siblings.iter().all(|sibling| *sibling != early),
            "two forks give the same numbers: their retries come together";
            expected = "other numbers for every other stream: each of the 64 bits counts"
        );
        ensure!(
            cousins.iter().all(|cousin| *cousin != early),
            "forks of two seeds for one stream give the same numbers";
            expected = "other numbers for every other seed: each of the 64 bits counts"
        );
        let apart = (1..4).all(|at| nested[..at].iter().all(|before| *before != nested[at]));
        ensure!(apart, "a fork of a fork gives the numbers of another fork";
            expected = "fork(1).fork(2), fork(2).fork(1), fork(1) and fork(2) are four sources",
            help = "a fork is made from the state of the source that it is forked from, not from the first seed");
        ensure!(siblings.iter().all(|sibling| *sibling != own), "a fork gives its parent's own numbers";
            expected = "an independent source, for stream 0 too");
    }
    // Neighbours: of seeds, and of streams.
    let firsts = || {
        let forks =
            (0..32).flat_map(|seed| (0..32).map(move |stream| (drawn.wrapping_add(seed), stream)));
        forks
            .map(|(seed, stream)| {
                let fork = SeededJitter::new(seed).fork(stream);
                [fork.unit(), fork.unit(), fork.unit(), fork.unit()]
            })
            .collect::<Vec<_>>()
    };
    let firsts = cx.call_fn("SeededJitter::fork", firsts).await?;
    // Four numbers each, since one alone may be coarse.
    let different: BTreeSet<[u64; 4]> = firsts.iter().map(|four| four.map(f64::to_bits)).collect();
    ensure!(different.len() >= 1020, "32 forks of each of 32 seeds begin with only {} different rows of numbers", different.len();
        expected = "1024: neighbouring seeds and streams must not share their numbers",
        help = "mix the seed before you add the stream");
    let low = firsts.iter().filter(|four| four[0] < 0.5).count();
    ensure!((400..624).contains(&low), "{low} of 1024 forks begin with a number below one half";
        expected = "about 512: callers must spread out");
    let many = || {
        let jitter = SeededJitter::new(drawn);
        let mut tenths = [0_u32; 10];
        (0..10_000).for_each(|_| tenths[((jitter.unit() * 10.0) as usize).min(9)] += 1);
        tenths
    };
    let tenths = cx.call_fn("SeededJitter::unit", many).await?;
    ensure!(tenths.iter().all(|count| (700..1300).contains(count)), "of 10 000 numbers, {} lie in the tenths from 0 to 1", list(tenths);
        expected = "about 1000 in each");
    let none = cx.call_fn("NoJitter::unit", || [NoJitter.unit(), NoJitter.unit()]).await?;
    ensure_eq!(none, [1.0, 1.0], "NoJitter gives other numbers than 1");
    Ok(())
}

/// Numbers in a row that no two sources share. One number may be coarse; so many together are not.
const ROW: usize = 6;

/// No source goes through numbers that another one has drawn earlier or draws later.
async fn share_no_numbers(cx: &Cx, seed: u64) -> Outcome {
    let sources = || {
        let of_seed = |seed: u64| {
            let parent = SeededJitter::new(seed);
            let forks = (0..12).chain([u64::MAX]).map(|stream| {
                (format!("the fork {stream} of the seed {seed}"), parent.fork(stream))
            });
            let forks: Vec<_> = forks.collect();
            let nested = forks[..3]
                .iter()
                .map(|(name, fork)| (format!("the fork 1 of {name}"), fork.fork(1)));
            let nested: Vec<_> = nested.collect();
            let parent = (format!("the seed {seed}"), SeededJitter::new(seed));
            forks.into_iter().chain(nested).chain([parent])
        };
        let seeds = [seed, seed.wrapping_add(1), seed.wrapping_add(2)];
        let numbers = |(name, source): (String, SeededJitter)| {
            let numbers: Vec<u64> = (0..60).map(|_| source.unit().to_bits()).collect();
            (name, numbers)
        };
        seeds.into_iter().flat_map(of_seed).map(numbers).collect::<Vec<_>>()
    };
    let sources = cx.call_fn("SeededJitter::fork", sources).await?;
    let mut known: HashMap<&[u64], (usize, usize)> = HashMap::new();
    for (nth, (name, numbers)) in sources.iter().enumerate() {
        for (at, row) in numbers.windows(ROW).enumerate() {
            // Two that are the same from their first number on are another matter, and so is one that stands still.
            let Some((other, before)) = known.insert(row, (nth, at)) else { continue };
            if other == nth || before == at {
                continue;
            }
            return Err(Fail::new(format!("{} and {name} go through the same numbers, one of them some draws later", sources[other].0))
                .expected("numbers of its own for each: callers that failed together must not share their waits")
                .help("mix the seed with the stream: a fork that begins further on in the sequence of its parent meets the other forks there"));
        }
    }
    Ok(())
}

pub async fn refuses_bad_schedules(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let (base, factor) = (draw.between(2..=100_000), draw.below(1000) as f64 / 1000.0);
    let short = [ms(0), Duration::from_micros(999), Duration::from_nanos(1)];
    for base in short {
        let made =
            cx.call_fn("Backoff::new", || Backoff::new(base, 2.0, ms(10_000), nz(3))).await?;
        ensure!(made.is_err(), "Backoff::new accepts a base of {base:?}"; expected = "a BackoffConfigError that says what is wrong");
        ensure!(matches!(made, Err(BackoffConfigError::BaseTooShort { base: said }) if said == base),
            "a base of {base:?} is refused for another reason"; expected = "BaseTooShort, with the base");
    }
    let factors = [
        ("a factor of 0.5", 0.5),
        ("a factor of 0", 0.0),
        ("a factor just below 1", 1.0_f64.next_down()),
        ("a factor of -2", -2.0),
        ("a factor that is NaN", f64::NAN),
        ("an infinite factor", f64::INFINITY),
        ("a factor below 1", factor),
    ];
    for (what, factor) in factors {
        let made = cx
            .call_fn("Backoff::new", || Backoff::new(ms(base), factor, ms(200_000), nz(3)))
            .await?;
        ensure!(made.is_err(), "Backoff::new accepts {what}";
            expected = "a BackoffConfigError that says what is wrong",
            help = "NaN compares with nothing: `factor < 1.0` does not catch it");
        ensure!(matches!(made, Err(BackoffConfigError::BadFactor { factor: said }) if said.to_bits() == factor.to_bits()),
            "{what} is refused for another reason"; expected = "BadFactor, with the factor");
    }
    // Both within one millisecond, too.
    let nanos = Duration::from_nanos;
    let within = draw.between(1..=999_999);
    let caps = [
        (ms(base), ms(base) - nanos(1)),
        (ms(base), ms(0)),
        (ms(base) + nanos(within), ms(base)),
        (ms(base) + nanos(within), ms(base) + nanos(within - 1)),
    ];
    for (long, cap) in caps {
        let made = cx.call_fn("Backoff::new", || Backoff::new(long, 2.0, cap, nz(3))).await?;
        ensure!(made.is_err(), "Backoff::new accepts a cap below the base";
            observed = format!("a base of {long:?}, a cap of {cap:?}"), expected = "a BackoffConfigError that says what is wrong");
        ensure!(matches!(made, Err(BackoffConfigError::CapBelowBase { base, cap: said }) if (base, said) == (long, cap)),
            "a cap of {cap:?} below the base of {long:?} is refused for another reason"; expected = "CapBelowBase, with both");
    }
    backoff(1, 1.0, 1, 1)?;
    backoff(base, 1e300, base, u32::MAX)?;
    Ok(())
}
