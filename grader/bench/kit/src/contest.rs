//! Cases measured in turns.
//!
//! Measured one after another, two cases meet two different machines: a neighbour starts a build, the
//! clock rate falls, and one of them looks slow. Here every round runs a batch of each case, and what is
//! told is the ratio of two cases within a round, over all rounds.

use std::time::Duration;

use crate::cpu;
use crate::stats::Bounded;

/// How long a batch should take: long against reading the clock, short against a neighbour's moods.
const BATCH: Duration = Duration::from_millis(4);

/// Rounds of a full measurement, and of a quick one.
const ROUNDS: [usize; 2] = [41, 7];

/// Something that can be done any number of times.
pub struct Case<'a> {
    name: String,
    run: Box<dyn FnMut(u64) + 'a>,
    fixed: Option<u64>,
}

impl std::fmt::Debug for Case<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Case").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<'a> Case<'a> {
    /// `run(n)` does it `n` times, on the calling thread.
    pub fn new(name: impl Into<String>, run: impl FnMut(u64) + 'a) -> Self {
        Self { name: name.into(), run: Box::new(run), fixed: None }
    }

    /// The same in batches of exactly `times`: for cases that need a new setup for each batch, or whose
    /// cost depends on how often it was done.
    #[must_use]
    pub fn in_batches_of(mut self, times: u64) -> Self {
        self.fixed = Some(times);
        self
    }

    /// Returns the name of the case.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The CPU time of `times` times; of whole batches, scaled to `times`, if its batches are fixed.
    pub fn time(&mut self, times: u64) -> Duration {
        let Some(batch) = self.fixed else { return cpu::time(|| (self.run)(times)) };
        let batches = times.div_ceil(batch).max(1);
        let all = cpu::time(|| (0..batches).for_each(|_| (self.run)(batch)));
        all.mul_f64(times as f64 / (batches * batch) as f64)
    }

    /// How many times fill a batch.
    fn calibrate(&mut self) -> u64 {
        if let Some(times) = self.fixed {
            // Warm up, as below.
            (self.run)(times);
            return times;
        }
        let mut times = 1;
        loop {
            let took = self.time(times);
            if took >= BATCH / 2 || times > 1 << 32 {
                let scale = BATCH.as_secs_f64() / took.as_secs_f64().max(1e-9);
                return ((times as f64 * scale) as u64).max(1);
            }
            times *= 4;
        }
    }
}

/// What each case cost in each round.
#[derive(Debug, Clone)]
pub struct Outcome {
    cases: Vec<(String, Vec<f64>)>,
}

/// Measures `cases` in turns.
#[must_use]
pub fn run(cases: &mut [Case<'_>], quick: bool) -> Outcome {
    let batches: Vec<u64> = cases.iter_mut().map(Case::calibrate).collect();
    let mut outcome =
        Outcome { cases: cases.iter().map(|case| (case.name.clone(), Vec::new())).collect() };
    for round in 0..ROUNDS[usize::from(quick)] {
        // Every other round runs backwards, so that no case always follows the same predecessor.
        for step in 0..cases.len() {
            let index = if round % 2 == 0 { step } else { cases.len() - 1 - step };
            let took = cases[index].time(batches[index]).as_secs_f64() * 1e9;
            outcome.cases[index].1.push(took / batches[index] as f64);
        }
    }
    outcome
}

impl Outcome {
    /// The names of the cases, in their order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.cases.iter().map(|(name, _)| name.as_str())
    }

    /// The CPU time of one time in nanoseconds. Only good to show the order of magnitude.
    ///
    /// # Panics
    ///
    /// When there is no such case: a mistake in the benchmark.
    #[must_use]
    pub fn nanos(&self, name: &str) -> Bounded {
        Bounded::of(self.rounds(name))
    }

    /// How many times as much `name` costs as `than`, round by round.
    ///
    /// # Panics
    ///
    /// When there is no such case: a mistake in the benchmark.
    #[must_use]
    pub fn ratio(&self, name: &str, than: &str) -> Bounded {
        let pairs = self.rounds(name).iter().zip(self.rounds(than));
        Bounded::of(&pairs.map(|(one, other)| one / other.max(1e-3)).collect::<Vec<_>>())
    }

    fn rounds(&self, name: &str) -> &[f64] {
        let found = self.cases.iter().find(|(known, _)| known == name);
        &found.unwrap_or_else(|| panic!("no case is called {name:?}")).1
    }
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use super::*;

    fn work(units: u64) {
        for unit in 0..units * 100 {
            black_box(unit);
        }
    }

    #[test]
    fn tells_ten_times_from_one() {
        let mut cases = [Case::new("one", work), Case::new("ten", |n| work(n * 10))];
        let outcome = run(&mut cases, true);
        let ratio = outcome.ratio("ten", "one");
        // Rough: this runs beside other tests.
        assert!(ratio.median > 3.0 && ratio.median < 30.0, "{ratio:?}");
    }

    #[test]
    fn fixed_batches_are_whole() {
        let mut seen = Vec::new();
        let mut case = Case::new("it", |n| seen.push(n)).in_batches_of(8);
        case.time(20);
        drop(case);
        assert_eq!(seen, [8, 8, 8]);
    }

    #[test]
    #[should_panic(expected = "no case is called")]
    fn a_wrong_name_is_a_mistake() {
        let _ = run(&mut [Case::new("one", work)], true).nanos("two");
    }
}
