//! The page.

use std::fmt::Write as _;

use bench_kit::report;
use bench_kit::stats::Bounded;

use crate::Row;

const STYLE: &str = "\
body { font: 16px/1.5 sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .45em .8em .45em 0; border-bottom: 1px solid #ddd; vertical-align: top }
.same { color: #00704f } .other { color: #a33f00 } .none { color: #777 }
svg { display: block }";

/// The width of the bar for a ratio, in pixels, and the largest ratio that it shows.
const WIDTH: f64 = 220.0;
const MOST: f64 = 4.0;

pub(super) fn html(level: &str, rows: &[Row], turns: usize) -> String {
    let mut table = String::new();
    for row in rows {
        let own = match &row.own {
            Ok(figures) => escape(&figures.behaviour),
            Err(cause) => format!("<span class=\"none\">{}</span>", escape(&cause.to_string())),
        };
        let (reference, class) = match (&row.own, &row.reference) {
            (Ok(own), Some(Ok(figures))) => {
                let same = own.behaviour == figures.behaviour;
                (escape(&figures.behaviour), if same { "same" } else { "other" })
            }
            (_, Some(Ok(figures))) => (escape(&figures.behaviour), ""),
            (_, Some(Err(cause))) => (escape(&cause.to_string()), "none"),
            (_, None) => ("–".to_owned(), "none"),
        };
        let cost = match (&row.ratio, &row.own) {
            (Some(ratio), _) => format!("{}{}", words(*ratio), bar(*ratio)),
            (None, Ok(own)) => format!("{}, with nothing to compare", report::nanos(own.nanos)),
            (None, Err(_)) => "–".to_owned(),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(
            table,
            "<tr><td>{}</td><td class=\"{class}\">{own}</td><td>{reference}</td><td>{cost}</td></tr>",
            escape(row.name)
        );
    }
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{level}: your figures</title>\n\
         <style>\n{STYLE}\n</style></head><body>\n<h1>{level}: your figures beside the reference's</h1>\n\
         <p>Written by <code>cargo bench -p {level}</code>. Times are virtual and exact. CPU time is a ratio \
         to the reference, measured in turns, {turns} times each: the median, and the bounds within which it \
         lies in 95 of 100 such runs. Where the bounds hold 1.00 the two cannot be told apart. None of this \
         is worth points; <code>cargo grade {level}</code> judges.</p>\n\
         <table>\n<tr><th>what</th><th>yours returns</th><th>the reference returns</th>\
         <th>your CPU time over the reference's</th></tr>\n{table}</table>\n</body></html>\n"
    )
}

fn words(ratio: Bounded) -> String {
    let verdict = match ratio {
        _ if ratio.is_undecided() => "no difference seen",
        Bounded { median, .. } if median < 1.0 => "cheaper",
        _ => "dearer",
    };
    format!("{}: {verdict}", report::ratio(ratio))
}

/// A line from 0 to [`MOST`] with a mark at 1, the bounds as a bar and the median as a dot.
fn bar(ratio: Bounded) -> String {
    let at = |value: f64| (value.min(MOST) / MOST * (WIDTH - 8.0)) + 4.0;
    let (low, high, median, one) = (at(ratio.low), at(ratio.high), at(ratio.median), at(1.0));
    format!(
        "<svg width=\"{WIDTH}\" height=\"18\" role=\"img\" aria-label=\"{median:.2}\">\
         <line x1=\"4\" y1=\"9\" x2=\"{end}\" y2=\"9\" stroke=\"#ccc\"/>\
         <line x1=\"{one:.1}\" y1=\"2\" x2=\"{one:.1}\" y2=\"16\" stroke=\"#777\"/>\
         <line x1=\"{low:.1}\" y1=\"9\" x2=\"{high:.1}\" y2=\"9\" stroke=\"#0072b2\" stroke-width=\"5\"/>\
         <circle cx=\"{median:.1}\" cy=\"9\" r=\"4\" fill=\"#0072b2\"/></svg>",
        end = WIDTH - 4.0,
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Figures, NoFigures};

    fn row(own: Result<Figures, NoFigures>, ratio: Option<Bounded>) -> Row {
        let figures = Figures { behaviour: "after 400 ms".to_owned(), nanos: 7000.0 };
        Row { name: "race", own, reference: Some(Ok(figures)), ratio }
    }

    #[test]
    fn shows_both_and_says_when_they_cannot_be_told_apart() {
        let own = Figures { behaviour: "after 600 ms".to_owned(), nanos: 7100.0 };
        let ratio = Bounded { median: 1.02, low: 0.98, high: 1.05 };
        let page = html("level2", &[row(Ok(own), Some(ratio))], 15);
        assert!(page.contains("after 400 ms") && page.contains("after 600 ms"));
        assert!(page.contains("1.02 (0.98 to 1.05): no difference seen"));
    }

    #[test]
    fn a_blank_has_a_row() {
        let page = html("level2", &[row(Err(NoFigures::NotWritten), None)], 15);
        assert!(page.contains("not written yet"));
    }

    #[test]
    fn what_was_printed_is_text() {
        let page = html("level2", &[row(Err(NoFigures::Failed("<b>&".to_owned())), None)], 15);
        assert!(page.contains("&lt;b&gt;&amp;"));
    }
}
