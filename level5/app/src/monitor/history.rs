//! The figures of the last minutes, and their charts.

use std::collections::VecDeque;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::snapshot::Snapshot;

/// Points of a chart. With one a second they are five minutes.
const POINTS: usize = 300;
/// The size of a chart, in its own units; the page scales it.
const SIZE: (u32, u32) = (400, 170);

/// The last snapshots.
#[derive(Debug, Clone, Default)]
pub struct History(VecDeque<Snapshot>);

/// Charts as SVG. Their colours are classes of the page's style, so that they fit both schemes.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Charts {
    /// Events per second: accepted, delivered.
    pub rates: String,
    /// Events that have not ended, by priority.
    pub backlog: String,
    /// Milliseconds from acceptance to acknowledgement: mean, p99.
    pub latency: String,
}

/// Why there is no chart.
#[derive(Debug, thiserror::Error)]
#[error("a chart cannot be drawn: {0}")]
pub struct ChartError(String);

impl History {
    /// Adds a snapshot, and forgets the oldest one if there are too many.
    pub fn add(&mut self, snapshot: &Snapshot) {
        if self.0.len() == POINTS {
            self.0.pop_front();
        }
        // The lists of a snapshot are not charted, and would be kept five minutes.
        let without = Snapshot { failing: Vec::new(), letters: Vec::new(), ..snapshot.clone() };
        self.0.push_back(without);
    }

    /// Draws the charts.
    ///
    /// # Errors
    ///
    /// [`ChartError`].
    pub fn charts(&self) -> Result<Charts, ChartError> {
        let line = |value: &dyn Fn(&Snapshot) -> f64| -> Vec<(f64, f64)> {
            self.0.iter().map(|snapshot| (snapshot.seconds, value(snapshot))).collect()
        };
        let priorities = self.0.back().map_or(0, |last| last.backlog.len());
        let waiting = |at: usize| {
            line(&|snapshot| snapshot.backlog.get(at).map_or(0.0, |waiting| waiting.events as f64))
        };
        Ok(Charts {
            rates: chart(&[
                line(&|snapshot| snapshot.accepted_per_second),
                line(&|snapshot| snapshot.delivered_per_second),
            ])?,
            backlog: chart(&(0..priorities).map(waiting).collect::<Vec<_>>())?,
            latency: chart(&[
                line(&|snapshot| snapshot.delivered_after_mean_ms),
                line(&|snapshot| snapshot.delivered_after_p99_ms),
            ])?,
        })
    }
}

/// The colours of the lines: the page gives each of them the colour of its scheme.
const COLOURS: [RGBColor; 4] =
    [RGBColor(1, 1, 1), RGBColor(2, 2, 2), RGBColor(3, 3, 3), RGBColor(4, 4, 4)];

/// Draws lines over the seconds of the run.
fn chart(lines: &[Vec<(f64, f64)>]) -> Result<String, ChartError> {
    let points = || lines.iter().flatten();
    let from = points().map(|(x, _)| *x).fold(f64::INFINITY, f64::min);
    let to = points().map(|(x, _)| *x).fold(0.0, f64::max);
    let from = if from.is_finite() { from.min(to - 1.0) } else { to - 1.0 };
    // Room above the highest point, and an axis where nothing has happened.
    let top = points().map(|(_, y)| *y).fold(1.0, f64::max) * 1.1;
    let mut text = String::new();
    draw(&mut text, lines, from..to, top).map_err(|why| ChartError(why.to_string()))?;
    for (at, colour) in COLOURS.iter().enumerate() {
        let hex = format!("#{:02X}{:02X}{:02X}", colour.0, colour.1, colour.2);
        text = text.replace(&format!("stroke=\"{hex}\""), &format!("class=\"line{at}\""));
    }
    Ok(text)
}

fn draw(
    text: &mut String,
    lines: &[Vec<(f64, f64)>],
    seconds: std::ops::Range<f64>,
    top: f64,
) -> Result<(), Box<dyn std::error::Error>> {
    let area = SVGBackend::with_string(text, SIZE).into_drawing_area();
    let mut chart = ChartBuilder::on(&area)
        .margin(8)
        .x_label_area_size(24)
        .y_label_area_size(48)
        .build_cartesian_2d(seconds, 0.0..top)?;
    let label = TextStyle::from(("sans-serif", 12)).pos(Pos::new(HPos::Right, VPos::Center));
    chart
        .configure_mesh()
        .x_labels(5)
        .y_labels(4)
        .y_label_style(label)
        .x_label_formatter(&|second| format!("{second:.0} s"))
        .y_label_formatter(&|value| short(*value))
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .draw()?;
    for (line, colour) in lines.iter().zip(&COLOURS) {
        chart.draw_series(LineSeries::new(line.iter().copied(), colour.stroke_width(2)))?;
    }
    area.present()?;
    Ok(())
}

/// Writes a number with at most four characters and a unit: 950, 1.2 k, 45 M.
fn short(value: f64) -> String {
    let (value, unit) = match value {
        value if value >= 1e6 => (value / 1e6, " M"),
        value if value >= 1e3 => (value / 1e3, " k"),
        value => (value, ""),
    };
    if value >= 10.0 || value.fract() == 0.0 {
        format!("{value:.0}{unit}")
    } else {
        format!("{value:.1}{unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::snapshot::Waiting;

    fn at(second: u32) -> Snapshot {
        let waiting = |priority: &str, events| Waiting { priority: priority.to_owned(), events };
        Snapshot {
            seconds: second.into(),
            accepted_per_second: 1000.0,
            backlog: vec![waiting("critical", 1), waiting("low", u64::from(second))],
            ..Snapshot::default()
        }
    }

    #[test]
    fn five_minutes_are_kept() {
        let mut history = History::default();
        for second in 0..400 {
            history.add(&at(second));
        }
        assert_eq!(history.0.len(), POINTS);
        assert_eq!(history.0.front().map(|it| it.seconds), Some(100.0));
    }

    #[test]
    fn each_line_has_a_class_and_no_colour_of_its_own() {
        let mut history = History::default();
        // Without a point and with one the chart has its axes.
        for _ in 0..3 {
            let Charts { rates, backlog, latency } = history.charts().unwrap();
            for svg in [&rates, &backlog, &latency] {
                assert!(svg.starts_with("<svg") && svg.contains("</svg>"), "{svg}");
                assert!(!svg.contains("#010101") && !svg.contains("NaN"), "{svg}");
            }
            history.add(&at(u32::try_from(history.0.len()).unwrap()));
        }
        let charts = history.charts().unwrap();
        assert!(
            charts.rates.contains("class=\"line0\"") && charts.rates.contains("class=\"line1\"")
        );
        assert!(!charts.backlog.contains("class=\"line2\""), "two priorities, two lines");
    }

    #[test]
    fn numbers_are_short() {
        let found = [0.0, 0.5, 12.0, 999.0, 1200.0, 45_000.0, 2e6].map(short);
        assert_eq!(found, ["0", "0.5", "12", "999", "1.2 k", "45 k", "2 M"]);
    }
}
