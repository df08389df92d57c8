//! Calls by time: a lane for each fake, a bar for each call.

use grader_protocol::{Event, Figure};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};
use serde::Serialize;

use super::{
    Area, BAD, CALL, Drawn, Ending, FAILED, OTHER, OWN, Open, Picture, RULE, Run, SIZE, STOPPED,
    TEXT, Table, TimeAxis, WIDTH, YOURS, begins, cut, line, ms, svg, write,
};

/// Events on a page. More of them help no reader, and make the page large.
const MOST_EVENTS: usize = 240;
/// Lanes of a picture.
const MOST_LANES: usize = 16;

/// Where the lanes begin, and how high a row of a lane is.
const LEFT: i32 = 170;
const ROW: i32 = 24;
/// Room between two lanes.
const GAP: i32 = 8;
/// Rows of a lane: calls at the same time stand below one another. What does not fit lies in the last row.
const MOST_ROWS: usize = 5;
/// Room above the lanes, for the mark of the end, and below them, for the ticks.
const TOP: i32 = 26;
const BOTTOM: i32 = 30;
/// The width of a character of a bar's text, about.
const CHARACTER: i32 = 8;

/// An event as a row of a table.
#[derive(Debug, Serialize)]
pub(crate) struct Row<'a> {
    at_ms: u64,
    who: &'a str,
    what: &'a str,
}

/// The first events as rows, and how many more there are.
pub(crate) fn rows(events: &[Event]) -> (Vec<Row<'_>>, usize) {
    let shown = events.iter().take(MOST_EVENTS);
    let rows =
        shown.map(|it| Row { at_ms: it.at_us / 1000, who: &it.who, what: &it.what }).collect();
    (rows, events.len().saturating_sub(MOST_EVENTS))
}

/// One fake.
#[derive(Debug, PartialEq, Eq)]
struct Lane<'a> {
    who: &'a str,
    bars: Vec<Bar<'a>>,
    /// What is no end of a call: the beginnings, without a text, and all else.
    marks: Vec<(u64, &'a str)>,
    rows: usize,
}

/// A call: from its beginning to its end, in microseconds.
#[derive(Debug, PartialEq, Eq)]
struct Bar<'a> {
    from: u64,
    to: u64,
    /// How it ended; `None` while it has not.
    ending: Option<&'a str>,
    row: usize,
}

impl Lane<'_> {
    /// Gives each call a row in which no other one runs at the same time.
    fn spread(&mut self) {
        self.bars.sort_by_key(|bar| (bar.from, bar.to));
        let mut free: Vec<u64> = Vec::new();
        for bar in &mut self.bars {
            let row = free.iter().position(|until| *until <= bar.from);
            bar.row = row.unwrap_or(free.len()).min(MOST_ROWS - 1);
            if bar.row == free.len() {
                free.push(bar.to);
            } else {
                free[bar.row] = free[bar.row].max(bar.to);
            }
        }
        self.rows = free.len().max(1);
    }

    fn height(&self) -> i32 {
        ROW * i32::try_from(self.rows).unwrap_or(1)
    }
}

/// The events as lanes, in the order in which the fakes were first seen.
fn lanes(events: &[Event], end_us: u64) -> Vec<Lane<'_>> {
    let mut lanes: Vec<(Lane<'_>, Open<'_>)> = Vec::new();
    for event in events {
        let at = lanes.iter().position(|(lane, _)| lane.who == event.who).unwrap_or_else(|| {
            let lane = Lane { who: &event.who, bars: Vec::new(), marks: Vec::new(), rows: 1 };
            lanes.push((lane, Open::default()));
            lanes.len() - 1
        });
        let (lane, open) = &mut lanes[at];
        if begins(event) {
            open.begins(event);
            lane.marks.push((event.at_us, ""));
        } else if let Some(began) = open.ends(event) {
            let (from, to) = (began.at_us, event.at_us);
            lane.bars.push(Bar { from, to, ending: Some(&event.what), row: 0 });
        } else {
            lane.marks.push((event.at_us, &event.what));
        }
    }
    let mut finished = Vec::new();
    for (mut lane, open) in lanes {
        // A call without an end is on its way at the end of the picture.
        let bars = open.0.into_iter().map(|began| (began.at_us, end_us));
        lane.bars.extend(bars.map(|(from, to)| Bar { from, to, ending: None, row: 0 }));
        lane.spread();
        finished.push(lane);
    }
    finished
}

/// The picture of a timeline; `None` where it would show nothing: no time passes, or there are too many fakes.
pub(crate) fn timeline(events: &[Event]) -> Option<String> {
    let events = &events[..events.len().min(MOST_EVENTS)];
    let end_us = end(events)?;
    drawn("The calls by time. The table below lists them.", events, end_us, None)
}

fn end(events: &[Event]) -> Option<u64> {
    events.iter().map(|event| event.at_us).max().filter(|end| *end > 0)
}

/// A picture for each run, on one scale.
pub(super) fn of_runs(title: &str, runs: &[Run<'_>]) -> Vec<Picture> {
    let end_us = runs.iter().filter_map(|(_, figure)| match figure {
        Figure::Calls { events, ended_us, .. } => Some(end(events).unwrap_or(1).max(*ended_us)),
        _ => None,
    });
    let Some(end_us) = end_us.max() else { return Vec::new() };
    let picture = |(whose, figure): &Run<'_>| {
        let Figure::Calls { events, ended_us, ended } = figure else { return None };
        let label = format!("{title}: {whose}, returns {ended} at {}", ms(*ended_us));
        let colour = if *whose == YOURS { OWN } else { OTHER };
        let svg = drawn(&label, events, end_us, Some((*ended_us, ended, colour)))?;
        let row = |event: &Event| [ms(event.at_us), event.who.clone(), event.what.clone()];
        let result = [ms(*ended_us), "the load".to_owned(), format!("returns {ended}")];
        let mut rows: Vec<[String; 3]> = events.iter().map(row).collect();
        let after = events.iter().position(|event| event.at_us > *ended_us).unwrap_or(rows.len());
        rows.insert(after, result);
        let table = Table::new(["at", "who", "what"], rows);
        Some(Picture { heading: Some(whose), svg, table })
    };
    runs.iter().filter_map(picture).collect()
}

/// When the judged call returned, with what, and the colour of that line.
type Returned<'a> = (u64, &'a str, RGBColor);

fn drawn(
    label: &str,
    events: &[Event],
    end_us: u64,
    returned: Option<Returned<'_>>,
) -> Option<String> {
    let lanes = lanes(events, end_us);
    if lanes.is_empty() || lanes.len() > MOST_LANES {
        return None;
    }
    let top = if returned.is_some() { TOP } else { 4 };
    let bottom = top + lanes.iter().map(|lane| lane.height() + GAP).sum::<i32>();
    let height = u32::try_from(bottom + BOTTOM).ok()?;
    let right = i32::try_from(WIDTH).ok()? - 30;
    let axis = TimeAxis { left: LEFT, right, end_us };
    svg(label, (WIDTH, height), |area| {
        axis.draw(area, top, bottom)?;
        let mut y = top + GAP / 2;
        for lane in &lanes {
            draw_lane(area, &axis, lane, y)?;
            y += lane.height() + GAP;
        }
        if let Some((at_us, with, colour)) = returned {
            let x = axis.x(at_us);
            line(area, [(x, 18), (x, bottom)], colour, 2)?;
            let text = format!("returns {} at {}", cut(with, 40), ms(at_us));
            // Beside the line where there is room.
            let (x, side) =
                if x > (LEFT + right) / 2 { (x - 5, HPos::Right) } else { (x + 5, HPos::Left) };
            write(area, text, (x, 2), (SIZE - 1.0, colour), (side, VPos::Top))?;
        }
        Ok(())
    })
}

/// Draws a lane whose upper end is at `top`.
fn draw_lane(area: &Area<'_>, axis: &TimeAxis, lane: &Lane<'_>, top: i32) -> Drawn {
    let middle = top + lane.height() / 2;
    let name = cut(lane.who, 19);
    write(area, name, (LEFT - 10, middle), (SIZE, TEXT), (HPos::Right, VPos::Center))?;
    line(area, [(axis.left, top - GAP / 2), (axis.right, top - GAP / 2)], RULE, 1)?;
    for bar in &lane.bars {
        draw_bar(area, axis, lane, bar, top)?;
    }
    for (at, (at_us, text)) in lane.marks.iter().enumerate() {
        let begun = lane.bars.iter().find(|bar| bar.from == *at_us && text.is_empty());
        let row = begun.map_or(0, |bar| i32::try_from(bar.row).unwrap_or_default());
        let (x, y) = (axis.x(*at_us), top + ROW * row + ROW / 2);
        area.draw(&Circle::new((x, y), 4, OWN.filled()))?;
        let next = lane.marks.get(at + 1).map_or(axis.right, |(next, _)| axis.x(*next));
        if lane.bars.is_empty() && needs(text) + 16 <= next - x {
            write(area, *text, (x + 8, y), (SIZE - 3.0, TEXT), (HPos::Left, VPos::Center))?;
        }
    }
    Ok(())
}

/// Draws a call, and how it ended where there is room for the text.
fn draw_bar(area: &Area<'_>, axis: &TimeAxis, lane: &Lane<'_>, bar: &Bar<'_>, top: i32) -> Drawn {
    let (from, to) = (axis.x(bar.from), axis.x(bar.to));
    let y = top + ROW * i32::try_from(bar.row)? + ROW / 2;
    let fill = match bar.ending.map(Ending::of) {
        Some(Ending::Failed) => FAILED,
        Some(Ending::Stopped) => STOPPED,
        Some(Ending::Answered) | None => CALL,
    };
    area.draw(&Rectangle::new([(from, y - 10), (to.max(from + 2), y + 10)], fill.filled()))?;
    let colour = if fill == FAILED { BAD } else { TEXT };
    line(area, [(to, y - 10), (to, y + 10)], colour, 1)?;
    let text = bar.ending.unwrap_or("has not ended");
    let behind = lane.bars.iter().filter(|other| other.row == bar.row && other.from >= bar.to);
    let free = behind.map(|other| axis.x(other.from)).filter(|it| *it > to).min();
    let style = (SIZE - 3.0, colour);
    if needs(text) + 16 <= to - from {
        write(area, text, (to - 6, y), style, (HPos::Right, VPos::Center))?;
    } else if needs(text) + 12 <= free.unwrap_or(axis.right) - to {
        write(area, text, (to + 6, y), style, (HPos::Left, VPos::Center))?;
    }
    Ok(())
}

/// The width of a text, about.
fn needs(text: &str) -> i32 {
    CHARACTER * i32::try_from(text.chars().count()).unwrap_or(i32::MAX / 2 / CHARACTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(at_ms: u64, who: &str, what: &str) -> Event {
        Event { at_us: at_ms * 1000, who: who.to_owned(), what: what.to_owned() }
    }

    #[test]
    fn a_call_is_a_bar_from_its_beginning_to_its_end() {
        let events = [
            event(0, "user", "called"),
            event(100, "sales", "called"),
            event(200, "user", "answers"),
            event(400, "user", "called"),
        ];
        let bars: Vec<Vec<(u64, u64, Option<&str>)>> = lanes(&events, 400_000)
            .iter()
            .map(|lane| lane.bars.iter().map(|bar| (bar.from, bar.to, bar.ending)).collect())
            .collect();
        // The second call of `user` begins at the end of the picture.
        let user = vec![(0, 200_000, Some("answers")), (400_000, 400_000, None)];
        assert_eq!(bars, [user, vec![(100_000, 400_000, None)]]);
    }

    #[test]
    fn numbered_calls_end_in_any_order() {
        let events = [
            event(0, "save", "called, #1, meets Hang"),
            event(1, "save", "called, #2"),
            event(2, "save", "#2 Answered"),
            event(3, "save", "#1 GivenUp"),
        ];
        let lanes = lanes(&events, 3000);
        let ends: Vec<_> = lanes[0].bars.iter().map(|bar| (bar.from, bar.to, bar.row)).collect();
        assert_eq!(ends, [(0, 3000, 0), (1000, 2000, 1)], "at the same time: in two rows");
        let endings = [0, 1].map(|at| lanes[0].bars[at].ending.map(Ending::of));
        assert_eq!(endings, [Some(Ending::Stopped), Some(Ending::Answered)]);
    }

    #[test]
    fn without_time_there_is_no_picture() {
        assert!(timeline(&[event(0, "user", "called"), event(0, "user", "answers")]).is_none());
        assert!(timeline(&[]).is_none());
    }

    #[test]
    fn a_long_timeline_is_cut_and_says_so() {
        let events: Vec<Event> = (0..250).map(|at| event(at, "user", "called")).collect();
        let (rows, more) = rows(&events);
        assert_eq!((rows.len(), more), (240, 10));
        let far = [event(0, "a", "called"), event(u64::MAX / 1000, "a", "answers")];
        assert!(timeline(&far).is_some());
    }

    #[test]
    fn what_a_fake_is_called_is_no_markup() {
        let svg = timeline(&[event(0, "<b>&\"", "called"), event(7, "<b>&\"", "<i>")]);
        let svg = svg.expect("a picture");
        assert!(!svg.contains("<b>") && !svg.contains("<i>"), "{svg}");
        roxmltree::Document::parse(&svg).expect("well-formed");
    }
}
