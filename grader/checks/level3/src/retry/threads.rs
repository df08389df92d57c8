//! One source of jitter and several threads.

use std::sync::Arc;

use grader_kit::{Cx, Outcome, ensure};
use level3::retry::{Jitter, SeededJitter};

/// How many numbers each thread draws in a round.
const DRAWS: usize = 50_000;

const ROUNDS: u64 = 3;

const THREADS: usize = 4;

pub async fn threads_draw_apart(cx: Cx) -> Outcome {
    let seed = cx.draw().between(0..=u64::MAX - ROUNDS);
    for seed in seed..seed + ROUNDS {
        let jitter = Arc::new(SeededJitter::new(seed));
        let drawn = cx.on_threads("SeededJitter::unit", THREADS, move |_| {
            (0..DRAWS).map(|_| jitter.unit()).collect::<Vec<_>>()
        })?;
        let alone = SeededJitter::new(seed);
        let mut wanted: Vec<f64> = (0..THREADS * DRAWS).map(|_| alone.unit()).collect();
        let mut found = drawn.concat();
        wanted.sort_unstable_by(f64::total_cmp);
        found.sort_unstable_by(f64::total_cmp);
        let others = found.iter().zip(&wanted).filter(|(found, wanted)| found != wanted).count();
        ensure!(others == 0, "{THREADS} threads draw {} numbers from one source, and {others} of them are others than one thread would draw", THREADS * DRAWS;
            expected = "each number of the source is drawn by one of the threads",
            help = "a load and a store hand the same number to two threads: fetch_add, fetch_update or a lock");
    }
    Ok(())
}
