//! How a cost grows with a size, drawn on two logarithmic axes: a power law is a straight line there, and
//! what does not grow is flat.

use bench_kit::fit;
use plotters::prelude::*;

/// One line of a plot.
#[derive(Debug, Clone)]
pub struct Curve {
    /// The name in the legend.
    pub name: String,
    /// Size and cost of each, both positive.
    pub points: Vec<(f64, f64)>,
}

impl Curve {
    /// The exponent of the power law that fits best; see [`fit::exponent`].
    #[must_use]
    pub fn exponent(&self) -> Option<f64> {
        fit::exponent(&self.points)
    }

    fn label(&self) -> String {
        match self.exponent() {
            Some(exponent) => format!("{}, size^{}", self.name, fit::text(exponent)),
            None => self.name.clone(),
        }
    }
}

/// Told apart by people who do not see every colour (Okabe and Ito's palette, its darker ones).
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(0, 0, 0),
];

/// The plot as SVG.
///
/// # Errors
///
/// What the drawing library says, and when there is nothing to draw.
pub fn svg(
    title: &str,
    size: &str,
    cost: &str,
    curves: &[Curve],
) -> Result<String, Box<dyn std::error::Error>> {
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let (x, y) = (range(points().map(|point| point.0)), range(points().map(|point| point.1)));
    let ((x_low, x_high), (y_low, y_high)) = x.zip(y).ok_or("there is nothing to draw")?;
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, (860, 520)).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(title, ("sans-serif", 20))
            .margin(14)
            .x_label_area_size(46)
            .y_label_area_size(74)
            .build_cartesian_2d(
                (x_low * 0.8..x_high * 1.25).log_scale(),
                // Room above for the legend.
                (y_low / 2.0..y_high * 8.0).log_scale(),
            )?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(RGBColor(225, 225, 225))
            .x_desc(size)
            .y_desc(cost)
            .x_label_formatter(&|value| plain(*value))
            .y_label_formatter(&|value| plain(*value))
            .label_style(("sans-serif", 14))
            .draw()?;
        for (curve, colour) in curves.iter().zip(COLOURS.iter().cycle()) {
            let line = LineSeries::new(curve.points.iter().copied(), colour.stroke_width(2));
            chart.draw_series(line)?.label(curve.label()).legend(move |(x, y)| {
                PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2))
            });
            let dots = curve.points.iter().map(|&point| Circle::new(point, 4, colour.filled()));
            chart.draw_series(dots)?;
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.85))
            .border_style(RGBColor(200, 200, 200))
            .label_font(("sans-serif", 14))
            .draw()?;
        area.present()?;
    }
    Ok(text)
}

fn range(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.fold(None, |range, value| {
        let (low, high) = range.unwrap_or((value, value));
        Some((f64::min(low, value), f64::max(high, value)))
    })
}

/// `10`, `1000`, `100 000`.
fn plain(value: f64) -> String {
    if value < 1.0 {
        return value.to_string();
    }
    let digits = format!("{value:.0}");
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|group| std::str::from_utf8(group).unwrap_or_default())
        .collect();
    if digits.len() < 5 { digits } else { groups.join(" ") }
}
