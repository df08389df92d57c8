//! Curves: how calls' latencies are distributed, and how many calls a window has admitted.

use grader_protocol::Figure;
use plotters::prelude::*;

use super::{
    BAD, DIM, Drawn, OTHER, OWN, Picture, RULE, Run, SIZE, TEXT, Table, WIDTH, YOURS, ms, svg,
};

const HEIGHT: u32 = 300;

/// The percentiles that the table names.
const PERCENTILES: [usize; 4] = [50, 90, 95, 99];

/// A line of a chart: its name, its colour and its points.
struct Curve {
    name: String,
    colour: RGBColor,
    /// Whether it is a bound and no measured value: its line is dashed.
    bound: bool,
    points: Vec<(f64, f64)>,
}

fn colour(whose: &str) -> RGBColor {
    if whose == YOURS { OWN } else { OTHER }
}

/// A number for an axis. Those of pictures are small enough to be exact.
#[allow(clippy::cast_precision_loss)]
fn real(number: u64) -> f64 {
    number as f64
}

/// The smallest of the ascending times that `percent` of all do not exceed.
fn percentile(took_us: &[u64], percent: usize) -> u64 {
    let rank = (took_us.len() * percent).div_ceil(100);
    took_us.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

/// Which share of the calls took at most how long.
pub(super) fn latencies(title: &str, runs: &[Run<'_>]) -> Option<Picture> {
    let (mut curves, mut rows) = (Vec::new(), Vec::new());
    for (whose, figure) in runs {
        let Figure::Latencies { took_us } = figure else { continue };
        let point = |percent| (real(percentile(took_us, percent)) / 1000.0, real(percent as u64));
        let first = took_us.first().map(|first| (real(*first) / 1000.0, 0.0));
        let points = first.into_iter().chain((1..=100).map(point)).collect();
        let (name, colour) = ((*whose).to_owned(), colour(whose));
        curves.push(Curve { name, colour, bound: false, points });
        let of_percent = PERCENTILES.map(|percent| ms(percentile(took_us, percent)));
        let longest = ms(took_us.last().copied().unwrap_or_default());
        let mut row = vec![(*whose).to_owned(), took_us.len().to_string()];
        row.extend(of_percent);
        row.push(longest);
        rows.push(row);
    }
    let head = ["whose", "payments", "p50", "p90", "p95", "p99", "longest"];
    let table = Table { head: head.map(str::to_owned).to_vec(), rows };
    let words = ("latency in ms", "% took at most so long");
    let svg = chart(title, words, &curves, (Some(100.0), SeriesLabelPosition::LowerRight))?;
    Some(Picture { heading: None, svg, table })
}

/// How many calls were admitted within the window that ends at each moment, and the limit.
pub(super) fn admissions(title: &str, runs: &[Run<'_>]) -> Option<Picture> {
    let (mut curves, mut rows, mut end_us) = (Vec::new(), Vec::new(), 0);
    for (_, figure) in runs {
        let Figure::Admissions { admitted_us, window_us, .. } = figure else { continue };
        end_us = end_us.max(admitted_us.last().copied().unwrap_or_default() + window_us);
    }
    for (whose, figure) in runs {
        let Figure::Admissions { admitted_us, limit, window_us } = figure else { continue };
        let steps = in_window(admitted_us, *window_us);
        let most = steps.iter().map(|(_, count)| *count).max().unwrap_or_default();
        let last = admitted_us.last().copied().unwrap_or_default();
        rows.push([
            (*whose).to_owned(),
            admitted_us.len().to_string(),
            ms(last),
            most.to_string(),
            limit.to_string(),
        ]);
        let (name, colour) = ((*whose).to_owned(), colour(whose));
        curves.push(Curve { name, colour, bound: false, points: stairs(&steps, end_us) });
        if curves.len() == 1 {
            let points = vec![(0.0, real(*limit)), (real(end_us) / 1000.0, real(*limit))];
            let name = "the limit".to_owned();
            curves.insert(0, Curve { name, colour: BAD, bound: true, points });
        }
    }
    let head = ["whose", "calls", "the last at", "most in a window", "limit"];
    let table = Table::new(head, rows);
    let words = ("ms", "calls in the window");
    let svg = chart(title, words, &curves, (None, SeriesLabelPosition::UpperRight))?;
    Some(Picture { heading: None, svg, table })
}

/// The number of calls that are younger than a window, at each moment at which it changes.
fn in_window(admitted_us: &[u64], window_us: u64) -> Vec<(u64, u64)> {
    // At one moment, a call that becomes a window old leaves before another one comes.
    let leaves = admitted_us.iter().map(|at| (at.saturating_add(window_us), false));
    let mut changes: Vec<(u64, bool)> = admitted_us.iter().map(|at| (*at, true)).collect();
    changes.extend(leaves);
    changes.sort_unstable();
    let mut count: u64 = 0;
    let mut steps: Vec<(u64, u64)> = Vec::new();
    for (at, comes) in changes {
        count = if comes { count + 1 } else { count.saturating_sub(1) };
        match steps.last_mut() {
            Some(last) if last.0 == at => last.1 = count,
            _ => steps.push((at, count)),
        }
    }
    steps
}

/// The steps as a line from 0 to the end, in milliseconds.
fn stairs(steps: &[(u64, u64)], end_us: u64) -> Vec<(f64, f64)> {
    let mut points = vec![(0.0, 0.0)];
    let mut before = 0;
    for (at, count) in steps {
        let x = real(*at) / 1000.0;
        points.extend([(x, real(before)), (x, real(*count))]);
        before = *count;
    }
    points.push((real(end_us) / 1000.0, real(before)));
    points
}

/// A chart of these curves with the words of its axes. `top` is the end of the vertical one; by default a little more
/// than the highest point. `legend` is where the names stand.
fn chart(
    label: &str,
    (across, up): (&str, &str),
    curves: &[Curve],
    (top, legend): (Option<f64>, SeriesLabelPosition),
) -> Option<String> {
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let highest = points().map(|point| point.1).fold(0.0, f64::max);
    let right = points().map(|point| point.0).fold(0.0, f64::max);
    if right <= 0.0 {
        return None;
    }
    let top = top.unwrap_or(highest * 1.4);
    svg(label, (WIDTH, HEIGHT), |area| -> Drawn {
        let mut chart = ChartBuilder::on(area)
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(56)
            .build_cartesian_2d(0.0..right * 1.02, 0.0..top)?;
        let text = |size: f64, colour: &RGBColor| ("sans-serif", size).into_font().color(colour);
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(RULE)
            .axis_style(DIM)
            .x_desc(across)
            .y_desc(up)
            .x_labels(8)
            .y_labels(6)
            .x_label_formatter(&|value| format!("{value:.0}"))
            .y_label_formatter(&|value| format!("{value:.0}"))
            .label_style(text(SIZE - 3.0, &DIM))
            .axis_desc_style(text(SIZE - 2.0, &TEXT))
            .draw()?;
        for curve in curves {
            let style = curve.colour.stroke_width(2);
            let points = curve.points.iter().copied();
            let drawn = if curve.bound {
                chart.draw_series(DashedLineSeries::new(points, 8, 6, style))?
            } else {
                chart.draw_series(LineSeries::new(points, style))?
            };
            drawn
                .label(curve.name.as_str())
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
        }
        chart
            .configure_series_labels()
            .position(legend)
            .background_style(super::GROUND)
            .border_style(RULE)
            .label_font(text(SIZE - 2.0, &TEXT))
            .draw()?;
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_time_that_was_observed() {
        let took: Vec<u64> = (1..=200).collect();
        assert_eq!([50, 99, 100].map(|percent| percentile(&took, percent)), [100, 198, 200]);
        assert_eq!(percentile(&[7], 50), 7);
        assert_eq!(percentile(&[], 50), 0);
        let figure = Figure::Latencies { took_us: vec![1_000_000, 2_000_000, 9_000_000] };
        let picture = latencies("latencies", &[("yours", &figure)]).expect("a picture");
        let row = picture.table.rows[0].join(", ");
        assert_eq!(row, "yours, 3, 2000 ms, 9000 ms, 9000 ms, 9000 ms, 9000 ms");
        assert!(latencies("none", &[("yours", &Figure::Latencies { took_us: vec![] })]).is_none());
    }

    #[test]
    fn a_call_counts_until_it_is_a_window_old() {
        assert_eq!(
            in_window(&[0, 0, 500, 1000], 1000),
            [(0, 2), (500, 3), (1000, 2), (1500, 1), (2000, 0)]
        );
        let figure =
            Figure::Admissions { admitted_us: vec![0, 0, 1000], limit: 2, window_us: 1000 };
        let picture = admissions("calls", &[("yours", &figure)]).expect("a picture");
        assert_eq!(picture.table.rows[0].join(", "), "yours, 3, 1 ms, 2, 2");
    }
}
