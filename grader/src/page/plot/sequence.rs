//! Calls as a sequence diagram: who calls whom, from top to bottom.

use grader_protocol::Event;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::{
    Area, BAD, CALL, DIM, Drawn, Ending, OWN, Open, RULE, SIZE, TEXT, WIDTH, begins, cut, line, ms,
    number, svg, write,
};

/// Fakes and events of a diagram.
const MOST_FAKES: usize = 7;
const MOST_ROWS: usize = 48;
/// Rows that are kept of the beginning of a longer one: the failure is at its end.
const FIRST_ROWS: usize = 12;

const TOP: i32 = 40;
const ROW: i32 = 26;
/// Where the line of the learner's code is.
const LEFT: i32 = 150;
/// The width of a character of a row's text, about.
const CHARACTER: i32 = 8;
/// Characters of what is written beside a line and not on an arrow.
const BESIDE: usize = 40;

/// One row of the diagram.
#[derive(Debug, PartialEq)]
enum Row<'a> {
    /// An arrow from the learner's code to a fake.
    Call(&'a Event),
    /// An arrow back.
    Back(&'a Event),
    /// Something that a fake saw beside a call.
    Seen(&'a Event),
    /// So many events that are left out.
    Gap(usize),
}

fn read(events: &[Event]) -> Vec<Row<'_>> {
    let mut open: Vec<(&str, Open<'_>)> = Vec::new();
    let mut rows = Vec::new();
    for event in events {
        let at = open.iter().position(|(who, _)| *who == event.who).unwrap_or_else(|| {
            open.push((&event.who, Open::default()));
            open.len() - 1
        });
        let calls = &mut open[at].1;
        rows.push(if begins(event) {
            calls.begins(event);
            Row::Call(event)
        } else if calls.ends(event).is_some() {
            Row::Back(event)
        } else {
            Row::Seen(event)
        });
    }
    if rows.len() > MOST_ROWS {
        let gap = rows.len() - MOST_ROWS;
        rows.splice(FIRST_ROWS..FIRST_ROWS + gap, [Row::Gap(gap)]);
    }
    rows
}

/// The diagram of a timeline; `None` where no call is in it, or too many fakes are.
pub(crate) fn sequence(events: &[Event]) -> Option<String> {
    let rows = read(events);
    if !rows.iter().any(|row| matches!(row, Row::Call(_))) {
        return None;
    }
    let mut fakes: Vec<&str> = Vec::new();
    for row in &rows {
        if let Row::Call(event) | Row::Back(event) | Row::Seen(event) = row
            && !fakes.contains(&event.who.as_str())
        {
            fakes.push(&event.who);
        }
    }
    if fakes.len() > MOST_FAKES {
        return None;
    }
    let bottom = TOP + ROW * i32::try_from(rows.len()).ok()? + 8;
    let right = i32::try_from(WIDTH).ok()? - 90;
    let gap = (right - LEFT) / i32::try_from(fakes.len()).ok()?;
    let lanes: Vec<(&str, i32)> =
        fakes.iter().zip(1..).map(|(who, nr)| (*who, LEFT + gap * nr)).collect();
    svg(
        "Who calls whom, from top to bottom. The table below lists the same events.",
        (WIDTH, u32::try_from(bottom).ok()?),
        |area| {
            for (who, x) in [("your code", LEFT)].into_iter().chain(lanes.iter().copied()) {
                let at = (x, 14);
                write(area, cut(who, 18), at, (SIZE - 1.0, TEXT), (HPos::Center, VPos::Center))?;
                line(area, [(x, 26), (x, bottom)], RULE, 2)?;
            }
            let mut before = None;
            for (row, nr) in rows.iter().zip(0..) {
                draw(area, &lanes, row, TOP + ROW * nr + ROW / 2, &mut before)?;
            }
            Ok(())
        },
    )
}

/// Draws a row at this height. `before` is the time that was written last: equal times are written once.
fn draw(
    area: &Area<'_>,
    lanes: &[(&str, i32)],
    row: &Row<'_>,
    y: i32,
    before: &mut Option<u64>,
) -> Drawn {
    let (event, back) = match row {
        Row::Call(event) => (event, false),
        Row::Back(event) | Row::Seen(event) => (event, true),
        Row::Gap(count) => {
            let text = format!("{count} more events");
            return write(area, text, (LEFT + 8, y), (SIZE - 3.0, DIM), (HPos::Left, VPos::Center));
        }
    };
    let at_ms = event.at_us / 1000;
    if before.replace(at_ms) != Some(at_ms) {
        let at = (LEFT - 62, y);
        write(area, ms(event.at_us), at, (SIZE - 3.0, DIM), (HPos::Right, VPos::Center))?;
    }
    let x = lanes.iter().find(|(who, _)| *who == event.who).map_or(LEFT, |(_, x)| *x);
    let failed = back && Ending::of(&event.what) == Ending::Failed;
    let colour = if failed { BAD } else { OWN };
    if matches!(row, Row::Seen(_)) {
        area.draw(&Circle::new((x, y), 4, CALL.filled()))?;
        // To the side on which there is room.
        let (x, side) = if x > LEFT + 400 { (x - 10, HPos::Right) } else { (x + 10, HPos::Left) };
        let text = cut(said(event), BESIDE);
        return write(area, text, (x, y), (SIZE - 3.0, TEXT), (side, VPos::Center));
    }
    let (from, to, point) = if back { (x, LEFT, 9) } else { (LEFT, x, -9) };
    line(area, [(from, y + 8), (to, y + 8)], colour, if back { 1 } else { 2 })?;
    let head = [(to, y + 8), (to + point, y + 4), (to + point, y + 12)];
    area.draw(&Polygon::new(head, colour.filled()))?;
    let colour = if failed { BAD } else { TEXT };
    let text = cut(said(event), usize::try_from((x - LEFT - 24) / CHARACTER)?);
    // Beside the fake that it is about: the arrow crosses those between.
    write(area, text, (x - 12, y), (SIZE - 3.0, colour), (HPos::Right, VPos::Center))
}

/// What an event says, without the word that the arrow says.
fn said(event: &Event) -> &str {
    let text = event.what.strip_prefix("called, ").unwrap_or(&event.what);
    // `#3 Answered`: the number stays, it says which call.
    if number(event).is_some() { text } else { event.what.as_str() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(at_ms: u64, who: &str, what: &str) -> Event {
        Event { at_us: at_ms * 1000, who: who.to_owned(), what: what.to_owned() }
    }

    #[test]
    fn a_call_goes_there_and_its_end_comes_back() {
        let events = [
            event(0, "create", "called, #1"),
            event(200, "create", "#1 Answered"),
            event(200, "ledger", "is slow"),
        ];
        let rows = read(&events);
        assert_eq!(rows, [Row::Call(&events[0]), Row::Back(&events[1]), Row::Seen(&events[2])]);
        let svg = sequence(&events).expect("a diagram");
        for word in ["your code", "create", "ledger", "#1 Answered", "200 ms"] {
            assert!(svg.contains(word), "no {word} in {svg}");
        }
        assert!(sequence(&events[2..]).is_none(), "no call, no diagram");
    }

    #[test]
    fn the_end_of_a_long_sequence_is_kept() {
        let events: Vec<Event> =
            (0..100).map(|nr| event(nr, "create", &format!("called, #{nr}"))).collect();
        let rows = read(&events);
        assert_eq!(rows.len(), MOST_ROWS + 1);
        assert_eq!(rows[FIRST_ROWS], Row::Gap(52));
        assert_eq!(rows.last(), Some(&Row::Call(&events[99])));
    }
}
