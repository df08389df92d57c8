//! `metrics` beside its model.

use std::time::Duration;

use grader_kit::{Cx, Draw, Outcome, ms};
use level2::metrics::{Alerts, LoadMetrics};
use level2::model::Section;
use level2::settled::{SectionReport, Settled};

use crate::fake::Fake;
use crate::metrics::Level::{self, Critical, Normal, Warning};
use crate::metrics::{KINDS, figures, level, of_success, of_timeouts, outcome};
use crate::plain;
use crate::scripts::{Difference, compare};

/// One load of a script: what its sections came to, and how long it took.
#[derive(Debug, Clone)]
struct Load {
    kinds: Vec<u64>,
    took: Duration,
}

fn script(draw: &mut Draw) -> Vec<Load> {
    // Mostly good, mostly bad or anything: sums that come near every threshold from both sides.
    let bad = *draw.pick(&[5, 15, 25, 50, 90]);
    let kind = |draw: &mut Draw| if draw.chance(bad) { draw.between(1..=4) } else { 0 };
    let loads = draw.between(0..=12);
    let load = |draw: &mut Draw| Load {
        kinds: (0..draw.between(1..=5)).map(|_| kind(draw)).collect(),
        took: ms(*draw.pick(&[200, 600, 999, 1000, 1001, 1999, 2000, 2001, 5000])),
    };
    (0..loads).map(|_| load(draw)).collect()
}

/// Loads, their sum and its alerts, beside the model's.
pub async fn metrics(cx: Cx) -> Outcome {
    let fake = Fake::new(&cx);
    let line = |load: &Load| {
        let kinds: Vec<_> =
            load.kinds.iter().map(|kind| KINDS[usize::try_from(*kind).unwrap_or(0)]).collect();
        format!("a load of {} with {}", plain::time(load.took), kinds.join(", "))
    };
    let play = async |loads: &[Load]| {
        let settled: Vec<_> = loads
            .iter()
            .map(|load| {
                let reports = Section::ALL.into_iter().zip(&load.kinds);
                let reports = reports.map(|(section, kind)| SectionReport {
                    section,
                    result: outcome(&fake, section, *kind),
                    took: ms(1),
                });
                Settled::new(reports, load.took)
            })
            .collect();
        let played = async {
            let sum = settled.iter().map(LoadMetrics::of).sum::<LoadMetrics>();
            let alerts = sum.alerts();
            (sum, alerts, alerts.worst())
        };
        let (sum, alerts, worst) = cx.call("the alerts of these loads", played).await?.value;
        let count = |wanted: fn(u64) -> bool| {
            loads.iter().flat_map(|load| &load.kinds).filter(|kind| wanted(**kind)).count()
        };
        let model = LoadMetrics {
            load_time: loads.iter().map(|load| load.took).max().unwrap_or_default(),
            calls: count(|_| true),
            failures: count(|kind| kind != 0),
            timeouts: count(|kind| kind == 3),
        };
        let time = match () {
            () if model.load_time > ms(2000) => Critical,
            () if model.load_time > ms(1000) => Warning,
            () => Normal,
        };
        let failures = match model.failures {
            0 | 1 => Normal,
            2 => Warning,
            _ => Critical,
        };
        let wanted = [
            time,
            of_success(model.calls, model.failures),
            failures,
            of_timeouts(model.calls, model.timeouts),
        ];
        let Alerts { load_time, success_rate, failures, timeout_rate } = alerts;
        let there = [load_time, success_rate, failures, timeout_rate].map(level);
        let said = |figures: String, four: [Level; 4], worst: Level| {
            let [time, rate, failures, timeouts] = four;
            format!(
                "{figures}; load time {time:?}, success rate {rate:?}, failures {failures:?}, \
                 timeout rate {timeouts:?}, worst {worst:?}"
            )
        };
        let expected = said(figures(&model), wanted, wanted.into_iter().max().unwrap_or(Normal));
        let observed = said(figures(&sum), there, level(worst));
        let headline = "the sum of these loads, or its alerts, are wrong".to_owned();
        Ok(if expected == observed {
            Ok(())
        } else {
            Err(Difference { headline, expected, observed })
        })
    };
    compare(&cx, 200, script, play, line).await
}
