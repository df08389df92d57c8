//! Streams as marble diagrams: a line for each, a marble for each item.

use grader_protocol::Figure;
use grader_protocol::figure::{Line, MarkKind};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::{
    Area, BAD, CALL, DIM, Drawn, OWN, Picture, Run, SIZE, TEXT, Table, TimeAxis, WIDTH, cut, line,
    ms, svg, write,
};

const LEFT: i32 = 170;
const ROW: i32 = 54;
const RADIUS: i32 = 13;
/// How much higher a marble lies that would hide another one, and how many may lie above one another.
const STEP: i32 = 20;
const MOST_STACKED: i32 = 4;

/// A picture for each run, on one scale.
pub(super) fn of_runs(title: &str, runs: &[Run<'_>]) -> Vec<Picture> {
    let lines = |figure: &Figure| match figure {
        Figure::Streams { lines } => lines.clone(),
        _ => Vec::new(),
    };
    let last = |line: &Line| line.marks.last().map_or(0, |mark| mark.at_us);
    let all: Vec<(&'static str, Vec<Line>)> =
        runs.iter().map(|(whose, figure)| (*whose, lines(figure))).collect();
    let end_us = all.iter().flat_map(|(_, lines)| lines).map(last).max().unwrap_or(0);
    let picture = |(whose, lines): &(&'static str, Vec<Line>)| {
        let label = format!("{title} {whose}: {}", spoken(lines));
        let svg = drawn(&label, lines, end_us.max(1))?;
        Some(Picture { heading: Some(*whose), svg, table: table(lines) })
    };
    all.iter().filter_map(picture).collect()
}

/// The names of the streams.
fn spoken(lines: &[Line]) -> String {
    let names: Vec<&str> = lines.iter().map(|line| line.name.as_str()).collect();
    format!("the streams {}", names.join(", "))
}

fn table(lines: &[Line]) -> Table {
    let mut rows: Vec<(u64, [String; 3])> = Vec::new();
    for line in lines {
        rows.extend(line.marks.iter().map(|mark| {
            let what = match mark.kind {
                MarkKind::Item => mark.text.clone(),
                MarkKind::Error => "an error".to_owned(),
                MarkKind::End => "the end".to_owned(),
            };
            (mark.at_us, [ms(mark.at_us), line.name.clone(), what])
        }));
    }
    // Stable: of one moment, the upper stream comes first.
    rows.sort_by_key(|(at_us, _)| *at_us);
    Table::new(["at", "stream", "what comes"], rows.into_iter().map(|(_, row)| row))
}

/// How high each mark of a stream lies: marbles of one moment, or of nearly one, lie above one another.
fn stacked(stream: &Line, axis: &TimeAxis) -> Vec<i32> {
    let (mut before, mut height) = (i32::MIN / 2, 0);
    let heights = stream.marks.iter().map(|mark| {
        let x = axis.x(mark.at_us);
        let hides = x - before < RADIUS && mark.kind == MarkKind::Item;
        height = if hides { (height + 1).min(MOST_STACKED) } else { 0 };
        before = x;
        height
    });
    heights.collect()
}

fn drawn(label: &str, lines: &[Line], end_us: u64) -> Option<String> {
    let right = i32::try_from(WIDTH).ok()? - 40;
    let axis = TimeAxis { left: LEFT + RADIUS + 4, right, end_us };
    // The line of each stream: below the highest of its marbles.
    let mut bottom = 6;
    let mut placed = Vec::new();
    for stream in lines {
        let heights = stacked(stream, &axis);
        bottom += ROW + STEP * heights.iter().max().copied().unwrap_or_default();
        placed.push((stream, heights, bottom - ROW / 2));
    }
    svg(label, (WIDTH, u32::try_from(bottom + 28).ok()?), |area| {
        axis.draw(area, 6, bottom)?;
        for (stream, heights, y) in &placed {
            draw(area, &axis, stream, heights, *y)?;
        }
        Ok(())
    })
}

fn draw(area: &Area<'_>, axis: &TimeAxis, stream: &Line, heights: &[i32], y: i32) -> Drawn {
    let name = cut(&stream.name, 20);
    write(area, name, (LEFT - 10, y), (SIZE, TEXT), (HPos::Right, VPos::Center))?;
    let is_end = |kind: MarkKind| kind == MarkKind::End;
    let end = stream.marks.iter().position(|mark| is_end(mark.kind));
    // The end stands behind an item of the same moment.
    let end = end.map(|at| {
        let x = axis.x(stream.marks[at].at_us);
        let last = at.checked_sub(1).map(|before| axis.x(stream.marks[before].at_us));
        if last.is_some_and(|last| x - last < RADIUS + 4) { x + RADIUS + 4 } else { x }
    });
    line(area, [(axis.left - RADIUS, y), (end.unwrap_or(axis.right + 20), y)], DIM, 1)?;
    for (mark, height) in stream.marks.iter().zip(heights) {
        let (x, up) = (axis.x(mark.at_us), y - STEP * height);
        match mark.kind {
            MarkKind::Item => {
                area.draw(&Circle::new((x, up), RADIUS, CALL.filled()))?;
                area.draw(&Circle::new((x, up), RADIUS, OWN.stroke_width(1)))?;
                let long = mark.text.chars().count() > 3;
                // A long text stands below its marble.
                let (at, text) = if long {
                    ((x, y + RADIUS + 8), cut(&mark.text, 12))
                } else {
                    ((x, up), mark.text.clone())
                };
                write(area, text, at, (SIZE - 3.0, TEXT), (HPos::Center, VPos::Center))?;
            }
            MarkKind::Error => {
                for side in [-1, 1] {
                    let ends = [(x - RADIUS, y - side * RADIUS), (x + RADIUS, y + side * RADIUS)];
                    line(area, ends, BAD, 3)?;
                }
            }
            MarkKind::End => {
                let x = end.unwrap_or(x);
                line(area, [(x, y - RADIUS - 3), (x, y + RADIUS + 3)], TEXT, 3)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use grader_protocol::figure::Mark;

    use super::*;

    #[test]
    fn every_mark_is_in_the_picture_and_in_the_table() {
        let mark = |at_us, kind, text: &str| Mark { at_us, kind, text: text.to_owned() };
        let marks = vec![
            mark(0, MarkKind::Item, "a"),
            mark(20_000, MarkKind::Error, ""),
            mark(30_000, MarkKind::End, ""),
        ];
        let lines = vec![Line { name: "observed".to_owned(), marks }];
        let pictures = of_runs("one", &[("yours", &Figure::Streams { lines })]);
        let picture = pictures.first().expect("a picture");
        let rows: Vec<String> = picture.table.rows.iter().map(|row| row.join(" ")).collect();
        assert_eq!(rows, ["0 ms observed a", "20 ms observed an error", "30 ms observed the end"]);
        assert_eq!(picture.svg.matches("<circle").count(), 2);
        assert!(picture.svg.contains("observed"));
    }

    #[test]
    fn marbles_of_one_moment_do_not_hide_one_another() {
        let mark = |at_us| Mark { at_us, kind: MarkKind::Item, text: "a".to_owned() };
        let marks = [0, 0, 1, 900, 1000].map(mark).to_vec();
        let axis = TimeAxis { left: 0, right: 800, end_us: 1000 };
        let heights = stacked(&Line { name: "in".to_owned(), marks }, &axis);
        assert_eq!(heights, [0, 1, 2, 0, 0]);
    }

    #[test]
    fn streams_in_which_nothing_comes_are_lines() {
        let lines = vec![Line { name: "out".to_owned(), marks: Vec::new() }];
        assert_eq!(of_runs("none", &[("yours", &Figure::Streams { lines })]).len(), 1);
    }
}
