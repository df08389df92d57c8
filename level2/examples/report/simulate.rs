//! The part of the report that happens in virtual time: the same in every run.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use level2::all_settled::Timeouts;
use level2::model::Section;
use level2::picture;
use level2::source::{Behaviour, SimulatedSource};
use level2::strategy::{Strategy, Summary};
use level2::trace::{Observed, Trace};

/// Loads of each series.
pub const LOADS: u64 = 100;

/// What one strategy does in virtual time.
pub struct Simulated {
    /// The strategy.
    pub strategy: Strategy,
    /// One load, drawn.
    pub timeline: String,
    /// Milliseconds to the return with the assignment's latencies.
    pub steady: Statistics,
    /// The same with latencies that vary by a fifth.
    pub varying: Statistics,
    /// What is left when sources fail.
    pub failing: Failing,
}

/// The usual four figures, in milliseconds.
pub struct Statistics {
    pub average: f64,
    pub min: f64,
    pub max: f64,
    pub deviation: f64,
}

/// A series of loads in which every call fails with a chance of 30 %.
pub struct Failing {
    /// Loads that had all five sections when they returned.
    pub whole: u64,
    /// Loads that had at least one.
    pub partial: u64,
    /// Sections at the return, on average.
    pub sections: f64,
    /// Milliseconds to the return, on average.
    pub average: f64,
}

/// Simulates all strategies.
pub fn all() -> io::Result<Vec<Simulated>> {
    Strategy::ALL.into_iter().map(simulate).collect()
}

fn simulate(strategy: Strategy) -> io::Result<Simulated> {
    let steady = series(strategy, |_| SimulatedSource::default())?;
    let varying = series(strategy, varying_source)?;
    let failing = series(strategy, failing_source)?;
    let whole = |loads: &[Summary]| loads.iter().filter(|load| load.sections == 5).count() as u64;
    Ok(Simulated {
        strategy,
        timeline: timeline(strategy)?,
        steady: Statistics::of(&steady),
        varying: Statistics::of(&varying),
        failing: Failing {
            whole: whole(&failing),
            partial: failing.iter().filter(|load| load.sections > 0).count() as u64,
            sections: failing.iter().map(|load| load.sections as f64).sum::<f64>() / LOADS as f64,
            average: Statistics::of(&failing).average,
        },
    })
}

/// A runtime on which nothing takes real time.
pub fn paused_runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()
}

fn series(strategy: Strategy, source: impl Fn(u64) -> SimulatedSource) -> io::Result<Vec<Summary>> {
    let runtime = paused_runtime()?;
    let load = |index| runtime.block_on(strategy.run(Arc::new(source(index)), Timeouts::default()));
    Ok((0..LOADS).map(load).collect())
}

fn timeline(strategy: Strategy) -> io::Result<String> {
    paused_runtime()?.block_on(async {
        let trace = Arc::new(Trace::default());
        let source = Observed::new(Arc::new(SimulatedSource::default()), Arc::clone(&trace));
        let summary = strategy.run(Arc::new(source), Timeouts::default()).await;
        Ok(picture::timeline(&trace.spans(), Some(summary.returned), trace.elapsed()))
    })
}

/// Latencies from 80 % to 120 % of the assignment's, in whole milliseconds. Every strategy meets the
/// same series.
fn varying_source(load: u64) -> SimulatedSource {
    Section::ALL.into_iter().fold(SimulatedSource::default(), |source, section| {
        let percent = 80 + draw(load, section) % 41;
        let latency = section.latency().as_millis() as u64 * percent / 100;
        source.with_latency(section, Duration::from_millis(latency))
    })
}

/// Every call fails with a chance of 30 %, after its latency.
fn failing_source(load: u64) -> SimulatedSource {
    Section::ALL.into_iter().fold(SimulatedSource::default(), |source, section| {
        let fails = draw(load, section) % 100 < 30;
        source.with(section, if fails { Behaviour::Fails } else { Behaviour::Answers })
    })
}

/// A number for each load and section: SplitMix64, so that no run differs from another.
fn draw(load: u64, section: Section) -> u64 {
    let index = load * Section::ALL.len() as u64 + section as u64 + 1;
    let mut z = index.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (z ^ (z >> 31)) >> 8
}

impl Statistics {
    fn of(loads: &[Summary]) -> Self {
        let times: Vec<f64> =
            loads.iter().map(|load| load.returned.as_secs_f64() * 1000.0).collect();
        let count = times.len() as f64;
        let average = times.iter().sum::<f64>() / count;
        let variance = times.iter().map(|time| (time - average).powi(2)).sum::<f64>() / count;
        Self {
            average,
            min: times.iter().copied().fold(f64::INFINITY, f64::min),
            max: times.iter().copied().fold(0.0, f64::max),
            deviation: variance.sqrt(),
        }
    }
}
