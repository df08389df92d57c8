//! What the fakes of a criterion saw, as a picture: a lane for each of them, and time from left to right.

use grader_protocol::Event;
use serde::Serialize;

/// Events on a page. More of them help no reader, and make the page large.
const MOST_EVENTS: usize = 240;
/// Lanes of a picture.
const MOST_LANES: usize = 16;
/// The width of the time axis, in the picture's own units.
const WIDTH: u64 = 1000;

/// A picture of a timeline.
#[derive(Debug, Serialize)]
pub(crate) struct Chart {
    lanes: Vec<Lane>,
    /// The last instant, in milliseconds.
    end_ms: u64,
}

/// One fake.
#[derive(Debug, Serialize)]
struct Lane {
    who: String,
    bars: Vec<Bar>,
    marks: Vec<Mark>,
}

/// A call: from `called` to the next event of the same fake.
#[derive(Debug, Serialize)]
struct Bar {
    x: u64,
    width: u64,
}

/// One event.
#[derive(Debug, Serialize)]
struct Mark {
    x: u64,
    at_ms: u64,
    what: String,
}

/// The event as a row of a table.
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

/// The picture of these events; `None` where it would show nothing: no time passes, or there are too many
/// fakes.
pub(crate) fn chart(events: &[Event]) -> Option<Chart> {
    let events = &events[..events.len().min(MOST_EVENTS)];
    let end_us = events.iter().map(|event| event.at_us).max().filter(|end| *end > 0)?;
    let x = |at_us: u64| {
        let x = u128::from(at_us) * u128::from(WIDTH) / u128::from(end_us);
        u64::try_from(x).unwrap_or(WIDTH)
    };
    let mut lanes: Vec<Lane> = Vec::new();
    // By lane: where a call began that has not ended.
    let mut open: Vec<Vec<u64>> = Vec::new();
    for event in events {
        let lane = lanes.iter().position(|lane| lane.who == event.who).unwrap_or_else(|| {
            lanes.push(Lane { who: event.who.clone(), bars: Vec::new(), marks: Vec::new() });
            open.push(Vec::new());
            lanes.len() - 1
        });
        let at = x(event.at_us);
        if event.what.starts_with("called") {
            open[lane].push(at);
        } else if !open[lane].is_empty() {
            let began = open[lane].remove(0);
            lanes[lane].bars.push(Bar { x: began, width: at - began });
        }
        let (at_ms, what) = (event.at_us / 1000, event.what.clone());
        lanes[lane].marks.push(Mark { x: at, at_ms, what });
    }
    // A call without an end is on its way at the end of the picture.
    for (lane, open) in lanes.iter_mut().zip(open) {
        lane.bars.extend(open.into_iter().map(|began| Bar { x: began, width: WIDTH - began }));
    }
    (lanes.len() <= MOST_LANES).then_some(Chart { lanes, end_ms: end_us / 1000 })
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
        let chart = chart(&events).expect("a picture");
        let bars: Vec<Vec<(u64, u64)>> = chart
            .lanes
            .iter()
            .map(|lane| lane.bars.iter().map(|bar| (bar.x, bar.width)).collect())
            .collect();
        // The second call of `user` begins at the end of the picture.
        assert_eq!(bars, [vec![(0, 500), (1000, 0)], vec![(250, 750)]]);
        assert_eq!(chart.end_ms, 400);
    }

    #[test]
    fn without_time_there_is_no_picture() {
        assert!(chart(&[event(0, "user", "called"), event(0, "user", "answers")]).is_none());
        assert!(chart(&[]).is_none());
    }

    #[test]
    fn a_long_timeline_is_cut_and_says_so() {
        let events: Vec<Event> = (0..250).map(|at| event(at, "user", "called")).collect();
        let (rows, more) = rows(&events);
        assert_eq!((rows.len(), more), (240, 10));
        let far = [event(0, "a", "called"), event(u64::MAX / 1000, "a", "answers")];
        assert!(chart(&far).is_some());
    }
}
