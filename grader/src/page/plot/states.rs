//! A state by time: a row of labelled stretches for each run.

use grader_protocol::Figure;
use grader_protocol::figure::Change;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::{
    Area, CALL, Drawn, FAILED, GROUND, Picture, Run, SIZE, STOPPED, TEXT, Table, TimeAxis, WIDTH,
    cut, line, ms, svg, write,
};

const LEFT: i32 = 130;
const ROW: i32 = 44;
const CHARACTER: i32 = 9;

/// Whose run it is, its states and its end.
type States<'a> = (&'static str, &'a [Change], u64);

/// The states of each run, and the end of the longest.
fn read<'a>(runs: &[Run<'a>]) -> (Vec<States<'a>>, u64) {
    let of_run = |(whose, figure): &Run<'a>| match figure {
        Figure::States { changes, end_us } => Some((*whose, changes.as_slice(), *end_us)),
        _ => None,
    };
    let runs: Vec<_> = runs.iter().filter_map(of_run).collect();
    let end = runs.iter().map(|(_, _, end)| *end).max().unwrap_or(1);
    (runs, end)
}

/// The colour of a state: that of the breaker's three where it is one of them.
fn colour(state: &str) -> RGBColor {
    match state {
        "open" => FAILED,
        "half-open" => STOPPED,
        _ => CALL,
    }
}

/// Each change with the moment at which the state ends.
fn stretches(changes: &[Change], end_us: u64) -> impl Iterator<Item = (&Change, u64)> {
    let ends = changes.iter().skip(1).map(|next| next.at_us).chain([end_us]);
    changes.iter().zip(ends)
}

pub(super) fn of_runs(title: &str, runs: &[Run<'_>]) -> Option<Picture> {
    let (read, end_us) = read(runs);
    let height = 8 + ROW * i32::try_from(read.len()).ok()?;
    let right = i32::try_from(WIDTH).ok()? - 30;
    let axis = TimeAxis { left: LEFT, right, end_us };
    let svg = svg(title, (WIDTH, u32::try_from(height + 30).ok()?), |area| {
        axis.draw(area, 4, height)?;
        for ((whose, changes, end_us), number) in read.iter().zip(0..) {
            let y = 8 + ROW * number;
            let at = (LEFT - 10, y + ROW / 2 - 4);
            write(area, *whose, at, (SIZE, TEXT), (HPos::Right, VPos::Center))?;
            for (change, to) in stretches(changes, *end_us) {
                draw(area, &axis, change, to, y)?;
            }
        }
        Ok(())
    })?;
    let row = |whose: &str, change: &Change, to: u64| {
        [whose.to_owned(), change.state.clone(), ms(change.at_us), ms(to)]
    };
    let rows = read.iter().flat_map(|(whose, changes, end_us)| {
        stretches(changes, *end_us).map(move |(change, to)| row(whose, change, to))
    });
    let table = Table::new(["whose", "state", "from", "to"], rows);
    Some(Picture { heading: None, svg, table })
}

fn draw(area: &Area<'_>, axis: &TimeAxis, change: &Change, to: u64, y: i32) -> Drawn {
    let (from, to) = (axis.x(change.at_us), axis.x(to));
    let (top, bottom) = (y, y + ROW - 10);
    let fill = colour(&change.state).filled();
    area.draw(&Rectangle::new([(from, top), (to.max(from + 2), bottom)], fill))?;
    line(area, [(from, top), (from, bottom)], GROUND, 2)?;
    let text = cut(&change.state, 20);
    let needs = CHARACTER * i32::try_from(text.chars().count())? + 8;
    if needs <= to - from {
        let at = ((from + to) / 2, (top + bottom) / 2);
        write(area, text, at, (SIZE - 1.0, TEXT), (HPos::Center, VPos::Center))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_ends_where_the_next_one_begins() {
        let change = |at_us, state: &str| Change { at_us, state: state.to_owned() };
        let changes = vec![change(0, "closed"), change(5000, "open"), change(9000, "half-open")];
        let figure = Figure::States { changes, end_us: 12_000 };
        let picture = of_runs("states", &[("yours", &figure)]).expect("a picture");
        let rows: Vec<String> = picture.table.rows.iter().map(|row| row.join(" ")).collect();
        assert_eq!(
            rows,
            ["yours closed 0 ms 5 ms", "yours open 5 ms 9 ms", "yours half-open 9 ms 12 ms"]
        );
        assert!(picture.svg.contains("closed"), "{}", picture.svg);
    }
}
