//! `metrics`: pure functions.
//!
//! Nothing here rests on an `impl` of the learner's types but those that are asked for: figures are read
//! from fields, severities from variants.

use std::time::Duration;

use grader_kit::{Cx, Draw, Fail, Outcome, ensure, ms};
use level2::error::{SectionFailure, SourceError};
use level2::metrics::{Alerts, LoadMetrics, Severity};
use level2::model::Section;
use level2::settled::{SectionReport, Settled};

use crate::fake::Fake;
use crate::plain::{self, same};

/// A severity as the grader knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Normal,
    Warning,
    Critical,
}

use Level::{Critical, Normal, Warning};

pub fn level(severity: Severity) -> Level {
    match severity {
        Severity::Normal => Normal,
        Severity::Warning => Warning,
        Severity::Critical => Critical,
    }
}

fn severity(level: Level) -> Severity {
    match level {
        Normal => Severity::Normal,
        Warning => Severity::Warning,
        Critical => Severity::Critical,
    }
}

/// A load without anything to report.
const CALM: LoadMetrics =
    LoadMetrics { load_time: Duration::ZERO, calls: 1000, failures: 0, timeouts: 0 };

async fn alerts(cx: &Cx, metrics: LoadMetrics) -> Result<Alerts, Fail> {
    Ok(cx.call("LoadMetrics::alerts", async { metrics.alerts() }).await?.value)
}

pub fn figures(metrics: &LoadMetrics) -> String {
    let LoadMetrics { load_time, calls, failures, timeouts } = *metrics;
    format!("{calls} calls, {failures} failures, {timeouts} timeouts, {}", plain::time(load_time))
}

/// The outcome of one section, by its kind.
pub fn outcome(
    fake: &Fake,
    section: Section,
    kind: u64,
) -> Result<level2::model::SectionData, SectionFailure> {
    match kind {
        0 => Ok(fake.data(section)),
        // The texts say nothing: what counts is the variant.
        1 => Err(SourceError::Unavailable("timed out after 3000 ms".to_owned()).into()),
        2 => Err(SourceError::Rejected("the login timed out".to_owned()).into()),
        3 => Err(SectionFailure::TimedOut { limit: ms(3000) }),
        _ => Err(SectionFailure::Panicked { message: "Timeout: the lock timed out".to_owned() }),
    }
}

pub const KINDS: [&str; 5] = ["data", "an outage", "a refusal", "a timeout", "a panic"];

async fn counts(cx: &Cx, fake: &Fake, kinds: &[u64], took: Duration) -> Outcome {
    let reports = Section::ALL.into_iter().zip(kinds).map(|(section, kind)| SectionReport {
        section,
        result: outcome(fake, section, *kind),
        took: took * 3,
    });
    let settled = Settled::new(reports, took);
    let observed = cx.call("LoadMetrics::of", async { LoadMetrics::of(&settled) }).await?.value;
    let expected = LoadMetrics {
        load_time: took,
        calls: kinds.len(),
        failures: kinds.iter().filter(|kind| **kind != 0).count(),
        timeouts: kinds.iter().filter(|kind| **kind == 3).count(),
    };
    let load: Vec<_> =
        kinds.iter().map(|kind| KINDS[usize::try_from(*kind).unwrap_or(0)]).collect();
    let load = if load.is_empty() { "no reports".to_owned() } else { load.join(", ") };
    for (name, there, wanted, help) in [
        ("calls", observed.calls, expected.calls, "one call for each report"),
        (
            "failures",
            observed.failures,
            expected.failures,
            "every report without data is a failure: an outage, a refusal, a timeout, a panic",
        ),
        (
            "timeouts",
            observed.timeouts,
            expected.timeouts,
            "SectionFailure::is_timeout says which failures are timeouts, and only those",
        ),
    ] {
        ensure!(there == wanted, "the figures of a load with {load} are wrong: `{name}` is {there}";
            expected = wanted.to_string(), help = help);
    }
    same(
        plain::time(observed.load_time),
        plain::time(took),
        || "the load time is not that of the load".to_owned(),
        "the load states its time itself: `Settled::took`. The calls ran at the same time",
    )
}

pub async fn counts_a_load(cx: Cx) -> Outcome {
    let (fake, mut draw) = (Fake::new(&cx), cx.draw());
    for kinds in [
        &[0, 1, 3, 2, 0][..],
        &[0; 5],
        &[1; 5],
        &[2; 5],
        &[3; 5],
        &[4; 5],
        &[],
        &[2],
        &[4, 3],
        &[0, 0, 2],
    ] {
        counts(&cx, &fake, kinds, ms(draw.below(9000))).await?;
    }
    for _ in 0..20 {
        let kinds: Vec<_> = (0..draw.below(6)).map(|_| draw.below(5)).collect();
        counts(&cx, &fake, &kinds, Duration::from_nanos(draw.below(9_000_000_000))).await?;
    }
    Ok(())
}

pub async fn load_time(cx: Cx) -> Outcome {
    let nano = Duration::from_nanos(1);
    for (time, expected) in [
        (Duration::ZERO, Normal),
        (ms(600), Normal),
        (ms(1000), Normal),
        (ms(1000) + nano, Warning),
        (ms(1001), Warning),
        (Duration::from_micros(1_000_500), Warning),
        (ms(2000), Warning),
        (ms(2000) + nano, Critical),
        (ms(2001), Critical),
        (ms(60_000), Critical),
        (Duration::MAX, Critical),
    ] {
        let observed = level(alerts(&cx, LoadMetrics { load_time: time, ..CALM }).await?.load_time);
        ensure!(observed == expected, "wrong severity of a load time of {}", plain::time(time);
            expected = format!("{expected:?}"), observed = format!("{observed:?}"),
            help = "more than 1000 ms is a warning, more than 2000 ms is critical");
    }
    Ok(())
}

/// The severity of a success rate, in whole numbers.
pub fn of_success(calls: usize, failures: usize) -> Level {
    let (calls, good) = (calls as u128, (calls - failures) as u128);
    match () {
        () if good * 100 < 50 * calls => Critical,
        () if good * 100 < 80 * calls => Warning,
        () => Normal,
    }
}

/// The severity of a timeout rate, in whole numbers.
pub fn of_timeouts(calls: usize, timeouts: usize) -> Level {
    let (calls, timeouts) = (calls as u128, timeouts as u128);
    match () {
        () if timeouts * 100 > 25 * calls => Critical,
        () if timeouts * 100 > 10 * calls => Warning,
        () => Normal,
    }
}

/// Numbers of calls of every size, but none for which a fraction of two `f64` would be inexact, and a few
/// that are far too large for any product.
fn sizes(draw: &mut Draw) -> Vec<usize> {
    let mut sizes = vec![0, 1, 2, 3, 4, 5, 7, 10, 20, 99, 100, 101, 255, 256, 300, 1000, 65_536];
    sizes.extend([1 << 32, 10_usize.pow(9), 10_usize.pow(11)]);
    sizes.extend((0..20).map(|_| {
        let most = 10_u64.pow(u32::try_from(draw.between(2..=11)).unwrap_or(2));
        usize::try_from(draw.between(1..=most)).unwrap_or(100)
    }));
    sizes
}

async fn success(cx: &Cx, calls: usize, failures: usize) -> Outcome {
    let metrics = LoadMetrics { calls, failures, timeouts: 0, ..CALM };
    let observed = level(alerts(cx, metrics).await?.success_rate);
    let expected = of_success(calls, failures);
    ensure!(observed == expected, "wrong severity of {failures} failures in {calls} calls";
        expected = format!("{expected:?}"), observed = format!("{observed:?}"),
        help = "below 80 % success is a warning, below 50 % is critical; 80 % and 50 % themselves are \
                not below. Compare products of whole numbers wide enough for any count: rounding and \
                overflow change the comparison");
    Ok(())
}

pub async fn success_rate(cx: Cx) -> Outcome {
    for (calls, failures) in [(5, 1), (1000, 201)] {
        success(&cx, calls, failures).await?;
    }
    for calls in sizes(&mut cx.draw()) {
        // At, just above and just below 20 % and 50 % failures, and both ends.
        let near = [calls / 5, calls / 5 + 1, calls / 2, calls / 2 + 1, 0, calls];
        for failures in near.into_iter().filter(|failures| *failures <= calls) {
            success(&cx, calls, failures).await?;
        }
    }
    for failures in [0, usize::MAX / 3, usize::MAX / 4 * 3, usize::MAX] {
        success(&cx, usize::MAX, failures).await?;
    }
    Ok(())
}

pub async fn failure_count(cx: Cx) -> Outcome {
    for (failures, expected) in [
        (0, Normal),
        (1, Normal),
        (2, Warning),
        (3, Critical),
        (4, Critical),
        (256, Critical),
        (257, Critical),
        (1 << 32, Critical),
        (usize::MAX, Critical),
    ] {
        // Whatever the rate is.
        for calls in [failures, usize::MAX] {
            let metrics = LoadMetrics { failures, calls, ..CALM };
            let observed = level(alerts(&cx, metrics).await?.failures);
            ensure!(observed == expected, "wrong severity of {failures} failures";
                expected = format!("{expected:?}"), observed = format!("{observed:?}"),
                help = "2 or more are a warning, 3 or more are critical");
        }
    }
    Ok(())
}

async fn timeouts(cx: &Cx, calls: usize, timeouts: usize) -> Outcome {
    let metrics = LoadMetrics { calls, timeouts, failures: timeouts, ..CALM };
    let observed = level(alerts(cx, metrics).await?.timeout_rate);
    let expected = of_timeouts(calls, timeouts);
    ensure!(observed == expected, "wrong severity of {timeouts} timeouts in {calls} calls";
        expected = format!("{expected:?}"), observed = format!("{observed:?}"),
        help = "more than 10 % is a warning, more than 25 % is critical. A percentage that was \
                rounded to a whole number has lost what the comparison needs");
    Ok(())
}

pub async fn timeout_rate(cx: Cx) -> Outcome {
    for (calls, some) in [(10, 1), (1000, 101)] {
        timeouts(&cx, calls, some).await?;
    }
    for calls in sizes(&mut cx.draw()) {
        let near = [calls / 10, calls / 10 + 1, calls / 4, calls / 4 + 1, 0, calls];
        for some in near.into_iter().filter(|some| *some <= calls) {
            timeouts(&cx, calls, some).await?;
        }
    }
    for some in [0, usize::MAX / 5, usize::MAX / 2, usize::MAX] {
        timeouts(&cx, usize::MAX, some).await?;
    }
    Ok(())
}

/// What several loads add up to.
fn total(loads: &[LoadMetrics]) -> LoadMetrics {
    let mut sum = LoadMetrics { load_time: Duration::ZERO, calls: 0, failures: 0, timeouts: 0 };
    for load in loads {
        sum.load_time = sum.load_time.max(load.load_time);
        sum.calls += load.calls;
        sum.failures += load.failures;
        sum.timeouts += load.timeouts;
    }
    sum
}

/// Some figures.
fn drawn(draw: &mut Draw) -> LoadMetrics {
    let mut below = |end: u64| usize::try_from(draw.below(end)).unwrap_or_default();
    let (calls, failures, timeouts) = (below(1000), below(1000), below(1000));
    let (failures, timeouts) = (failures.min(calls), timeouts.min(failures).min(calls));
    let load_time = Duration::from_nanos(draw.below(5_000_000_000));
    LoadMetrics { load_time, calls, failures, timeouts }
}

const ADDS: &str = "add the counts, keep the longest load time";

pub async fn adds_up(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let long = LoadMetrics { load_time: ms(3000), calls: 5, failures: 2, timeouts: 1 };
    let short = LoadMetrics { load_time: ms(600), calls: 6, failures: 4, timeouts: 2 };
    for (first, second) in [(long, short), (short, long), (drawn(&mut draw), drawn(&mut draw))] {
        let expected = figures(&total(&[first, second]));
        let call = cx.call("LoadMetrics::add", async { first + second }).await?;
        same(figures(&call.value), expected, || "two loads do not add up".to_owned(), ADDS)?;
    }
    for count in [0, 1, 2, 3, 101, 300, 10_000] {
        let loads: Vec<_> = (0..count).map(|_| drawn(&mut draw)).collect();
        let sum = async { loads.iter().copied().sum::<LoadMetrics>() };
        let observed = cx.call("LoadMetrics::sum", sum).await?.value;
        let headline = match count {
            0 => "no loads do not add up to zeros".to_owned(),
            count => format!("{count} loads do not add up"),
        };
        same(figures(&observed), figures(&total(&loads)), || headline, ADDS)?;
    }
    zeros_among_others(&cx, &mut draw).await
}

/// A load counts whatever its figures are: one without calls that took longest, and one that took no time.
async fn zeros_among_others(cx: &Cx, draw: &mut Draw) -> Outcome {
    let slow = LoadMetrics { load_time: ms(100_000), calls: 0, ..CALM };
    let at_once = LoadMetrics { load_time: ms(0), calls: 5, failures: 3, timeouts: 2 };
    for (odd, what) in [(slow, "has no calls and took longest"), (at_once, "took no time")] {
        for count in 1..=4 {
            for place in 0..count {
                let mut loads: Vec<_> = (0..count).map(|_| drawn(draw)).collect();
                loads[place] = odd;
                let headline =
                    || format!("{count} loads do not add up, of which number {} {what}", place + 1);
                let expected = || figures(&total(&loads));
                let sum = async { loads.iter().copied().sum::<LoadMetrics>() };
                let observed = cx.call("LoadMetrics::sum", sum).await?.value;
                same(figures(&observed), expected(), headline, ADDS)?;
                let added = async { loads.iter().copied().reduce(|sum, load| sum + load) };
                let observed = cx.call("LoadMetrics::add", added).await?.value.unwrap_or(CALM);
                same(figures(&observed), expected(), headline, ADDS)?;
            }
        }
    }
    Ok(())
}

pub async fn worst(cx: Cx) -> Outcome {
    let all = [Normal, Warning, Critical];
    for number in 0..81_usize {
        let of = |place: u32| all[number / 3_usize.pow(place) % 3];
        let levels = [of(0), of(1), of(2), of(3)];
        let [load_time, success_rate, failures, timeout_rate] = levels.map(severity);
        let alerts = Alerts { load_time, success_rate, failures, timeout_rate };
        let observed = level(cx.call("Alerts::worst", async { alerts.worst() }).await?.value);
        let expected = levels.into_iter().max().unwrap_or(Normal);
        ensure!(observed == expected,
            "wrong worst severity of load time {:?}, success rate {:?}, failures {:?}, timeout rate {:?}",
            levels[0], levels[1], levels[2], levels[3];
            expected = format!("{expected:?}"), observed = format!("{observed:?}"),
            help = "the highest of the four");
    }
    Ok(())
}
