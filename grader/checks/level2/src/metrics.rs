//! `metrics`: pure functions.

use std::time::Duration;

use grader_kit::{Cx, Fail, Outcome, ensure_eq, ms};
use level2::error::SectionFailure;
use level2::metrics::{Alerts, LoadMetrics, Severity};
use level2::model::Section;
use level2::settled::{SectionReport, Settled};

use crate::fake::{Fake, down, refused};

use Severity::{Critical, Normal, Warning};

/// A load without anything to report.
const CALM: LoadMetrics =
    LoadMetrics { load_time: Duration::ZERO, calls: 1000, failures: 0, timeouts: 0 };

async fn alerts(cx: &Cx, metrics: LoadMetrics) -> Result<Alerts, Fail> {
    Ok(cx.call("LoadMetrics::alerts", async { metrics.alerts() }).await?.value)
}

pub async fn counts_a_load(cx: Cx) -> Outcome {
    let fake = Fake::new(&cx);
    let report = |section, result| SectionReport { section, result, took: ms(1) };
    let failing = |section, failure: SectionFailure| report(section, Err(failure));
    let settled = Settled::new(
        [
            report(Section::Sales, Ok(fake.data(Section::Sales))),
            failing(Section::Users, down(Section::Users).into()),
            failing(Section::Orders, SectionFailure::TimedOut { limit: ms(3000) }),
            failing(Section::LowStock, refused(Section::LowStock).into()),
            report(Section::Reviews, Ok(fake.data(Section::Reviews))),
        ],
        ms(3000),
    );
    let observed = cx.call("LoadMetrics::of", async { LoadMetrics::of(&settled) }).await?.value;
    let expected = LoadMetrics { load_time: ms(3000), calls: 5, failures: 3, timeouts: 1 };
    ensure_eq!(observed, expected, "the figures of a load with two errors and a timeout are wrong";
        help = "a timeout is a failure too");
    Ok(())
}

pub async fn load_time(cx: Cx) -> Outcome {
    for (time, expected) in [
        (ms(600), Normal),
        (ms(1000), Normal),
        (ms(1001), Warning),
        (Duration::from_micros(1_000_500), Warning),
        (ms(2000), Warning),
        (ms(2001), Critical),
        (ms(60_000), Critical),
    ] {
        let observed = alerts(&cx, LoadMetrics { load_time: time, ..CALM }).await?.load_time;
        ensure_eq!(observed, expected, "wrong severity of a load time of {time:?}";
            help = "more than 1000 ms is a warning, more than 2000 ms is critical");
    }
    Ok(())
}

pub async fn success_rate(cx: Cx) -> Outcome {
    for (calls, failures, expected) in [
        (5, 0, Normal),
        (5, 1, Normal),
        (1000, 201, Warning),
        (5, 2, Warning),
        (10, 5, Warning),
        (1000, 501, Critical),
        (5, 3, Critical),
        (5, 5, Critical),
        (0, 0, Normal),
    ] {
        let observed = alerts(&cx, LoadMetrics { calls, failures, ..CALM }).await?.success_rate;
        ensure_eq!(observed, expected, "wrong severity of {failures} failures in {calls} calls";
            help = "below 80 % success is a warning, below 50 % is critical; 80 % and 50 % \
                    themselves are not below");
    }
    Ok(())
}

pub async fn failure_count(cx: Cx) -> Outcome {
    for (failures, expected) in
        [(0, Normal), (1, Normal), (2, Warning), (3, Critical), (4, Critical)]
    {
        let observed = alerts(&cx, LoadMetrics { failures, ..CALM }).await?.failures;
        ensure_eq!(observed, expected, "wrong severity of {failures} failures";
            help = "2 or more are a warning, 3 or more are critical");
    }
    Ok(())
}

pub async fn timeout_rate(cx: Cx) -> Outcome {
    for (calls, timeouts, expected) in [
        (5, 0, Normal),
        (10, 1, Normal),
        (1000, 101, Warning),
        (5, 1, Warning),
        (4, 1, Warning),
        (1000, 251, Critical),
        (5, 2, Critical),
        (0, 0, Normal),
    ] {
        let metrics = LoadMetrics { calls, timeouts, failures: timeouts, ..CALM };
        let observed = alerts(&cx, metrics).await?.timeout_rate;
        ensure_eq!(observed, expected, "wrong severity of {timeouts} timeouts in {calls} calls";
            help = "more than 10 % is a warning, more than 25 % is critical. A percentage that was \
                    rounded to a whole number has lost what the comparison needs");
    }
    Ok(())
}

pub async fn adds_up(cx: Cx) -> Outcome {
    let first = LoadMetrics { load_time: ms(3000), calls: 5, failures: 2, timeouts: 1 };
    let second = LoadMetrics { load_time: ms(600), calls: 6, failures: 4, timeouts: 2 };
    let expected = LoadMetrics { load_time: ms(3000), calls: 11, failures: 6, timeouts: 3 };
    let observed = cx.call("LoadMetrics::add", async { [first + second, second + first] }).await?;
    ensure_eq!(observed.value, [expected, expected], "two loads do not add up";
        help = "add the counts, keep the longer load time");
    let sum = async { [first, second, first].into_iter().sum::<LoadMetrics>() };
    let expected = LoadMetrics { load_time: ms(3000), calls: 16, failures: 8, timeouts: 4 };
    ensure_eq!(
        cx.call("LoadMetrics::sum", sum).await?.value,
        expected,
        "three loads do not add up"
    );
    let nothing = async { std::iter::empty().sum::<LoadMetrics>() };
    ensure_eq!(
        cx.call("LoadMetrics::sum", nothing).await?.value,
        LoadMetrics::default(),
        "no loads do not add up to zero"
    );
    Ok(())
}

pub async fn worst(cx: Cx) -> Outcome {
    let calm = Alerts::default();
    for (alerts, expected) in [
        (calm, Normal),
        (Alerts { load_time: Warning, ..calm }, Warning),
        (Alerts { success_rate: Critical, load_time: Warning, ..calm }, Critical),
        (Alerts { failures: Critical, timeout_rate: Warning, ..calm }, Critical),
        (Alerts { timeout_rate: Critical, failures: Warning, ..calm }, Critical),
        (Alerts { load_time: Critical, success_rate: Warning, ..calm }, Critical),
        (Alerts { failures: Warning, ..calm }, Warning),
    ] {
        let observed = cx.call("Alerts::worst", async { alerts.worst() }).await?.value;
        ensure_eq!(observed, expected, "wrong worst severity of {alerts:?}");
    }
    Ok(())
}
