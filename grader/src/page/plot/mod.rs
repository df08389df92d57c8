//! Pictures as SVG, drawn by plotters.
//!
//! A picture says in a table, too, what it shows: that is what a screen reader reads. Each colour below stands for one
//! of the style sheet's: rules such as `.plot [fill="#1B1F24"]` give it the value of the scheme that the reader's
//! system has, so that a picture is as light or dark as its page.

mod calls;
mod curves;
mod sequence;
mod states;
mod streams;

use grader_protocol::{Event, Figure};
use minijinja::HtmlEscape;
use plotters::coord::Shift;
use plotters::coord::ranged1d::Ranged;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use serde::Serialize;

use crate::scene::Played;

pub(crate) use calls::{Row, rows, timeline};
pub(crate) use sequence::sequence;

const TEXT: RGBColor = RGBColor(0x1b, 0x1f, 0x24);
const DIM: RGBColor = RGBColor(0x57, 0x60, 0x6a);
const GROUND: RGBColor = RGBColor(0xff, 0xff, 0xff);
const RULE: RGBColor = RGBColor(0xd0, 0xd7, 0xde);
const OWN: RGBColor = RGBColor(0x0b, 0x57, 0xd0);
const OTHER: RGBColor = RGBColor(0xbc, 0x4c, 0x00);
const CALL: RGBColor = RGBColor(0x9e, 0xc1, 0xf7);
const FAILED: RGBColor = RGBColor(0xf4, 0xb6, 0xae);
const STOPPED: RGBColor = RGBColor(0xdd, 0xe1, 0xe6);
const BAD: RGBColor = RGBColor(0xb4, 0x23, 0x18);

/// The width of a picture, in its own units: pixels where it is not scaled.
const WIDTH: u32 = 900;
/// Ticks of a time axis: few enough for their texts to have room.
const TICKS: usize = 7;
/// The size of most texts.
const SIZE: f64 = 17.0;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
/// What drawing yields. Writing into a string does not fail; a picture that cannot be drawn is left out.
type Drawn = Result<(), Box<dyn std::error::Error>>;

/// A picture, and what it shows as a table.
#[derive(Debug, Serialize)]
pub(crate) struct Picture {
    /// Whose run it is, where there are two.
    pub(crate) heading: Option<&'static str>,
    pub(crate) svg: String,
    pub(crate) table: Table,
}

/// The values of a picture.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Table {
    pub(crate) head: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
}

impl Table {
    fn new<const N: usize>(head: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> Self {
        Table {
            head: head.map(str::to_owned).to_vec(),
            rows: rows.into_iter().map(|row| row.to_vec()).collect(),
        }
    }
}

/// A scene as the page shows it.
#[derive(Debug, Serialize)]
pub(crate) struct SceneView<'a> {
    pub(crate) id: &'a str,
    pub(crate) title: &'a str,
    /// Why the learner's run is not in the pictures.
    pub(crate) why: Option<&'a str>,
    /// Whether the learner's run and the reference's are the same.
    pub(crate) same: bool,
    pub(crate) pictures: Vec<Picture>,
}

/// The learner's run, as captions call it.
const YOURS: &str = "yours";
/// The reference's.
const REFERENCE: &str = "the reference";

/// The pictures of a scene.
pub(crate) fn scene(played: &Played) -> SceneView<'_> {
    let same = played.own.is_some() && played.own == played.reference;
    // Of two equal runs one is shown.
    let own = played.own.as_ref().map(|figure| (YOURS, figure));
    let reference = played.reference.as_ref().filter(|_| !same).map(|figure| (REFERENCE, figure));
    let runs: Vec<Run<'_>> = own.into_iter().chain(reference).collect();
    let (id, title, why) = (played.id, played.title, played.why.as_deref());
    SceneView { id, title, why, same, pictures: figures(title, &runs) }
}

/// The lines of a failure: what was expected and what was observed.
pub(crate) fn of_failure(figure: &Figure) -> Vec<Picture> {
    let mut pictures = figures("expected and observed", &[("", figure)]);
    pictures.iter_mut().for_each(|picture| picture.heading = None);
    pictures
}

/// A run and whose it is.
type Run<'a> = (&'static str, &'a Figure);

/// One picture for all runs where they fit into one, or one for each of them, on one scale.
fn figures(title: &str, runs: &[Run<'_>]) -> Vec<Picture> {
    let Some((_, first)) = runs.first() else { return Vec::new() };
    match first {
        Figure::Calls { .. } => calls::of_runs(title, runs),
        Figure::Streams { .. } => streams::of_runs(title, runs),
        Figure::States { .. } => states::of_runs(title, runs).into_iter().collect(),
        Figure::Latencies { .. } => curves::latencies(title, runs).into_iter().collect(),
        Figure::Admissions { .. } => curves::admissions(title, runs).into_iter().collect(),
    }
}

/// A picture of this size. `label` is its name for a screen reader.
fn svg(
    label: &str,
    (width, height): (u32, u32),
    draw: impl FnOnce(&Area<'_>) -> Drawn,
) -> Option<String> {
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, (width, height)).into_drawing_area();
        draw(&area).and_then(|()| Ok(area.present()?)).ok()?;
    }
    // The name space is for files of their own, and the size is the page's to choose.
    let (_, body) = text.split_once('>')?;
    let label = HtmlEscape(label);
    Some(format!(
        "<svg class=\"plot\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{label}\">{body}"
    ))
}

/// A text at a point: `across` and `down` say which part of the text lies there.
fn write(
    area: &Area<'_>,
    text: impl Into<String>,
    at: (i32, i32),
    (size, colour): (f64, RGBColor),
    (across, down): (HPos, VPos),
) -> Drawn {
    let style = ("sans-serif", size).into_font().color(&colour).pos(Pos::new(across, down));
    area.draw(&Text::new(text.into(), at, style))?;
    Ok(())
}

fn line(area: &Area<'_>, points: [(i32, i32); 2], colour: RGBColor, width: u32) -> Drawn {
    area.draw(&PathElement::new(points, colour.stroke_width(width)))?;
    Ok(())
}

/// A text of at most so many characters.
fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// Time from left to right: microseconds as pixels.
struct TimeAxis {
    left: i32,
    right: i32,
    end_us: u64,
}

impl TimeAxis {
    fn x(&self, at_us: u64) -> i32 {
        let width = u128::try_from(self.right - self.left).unwrap_or_default();
        let x = u128::from(at_us) * width / u128::from(self.end_us.max(1));
        self.left + i32::try_from(x).unwrap_or(i32::MAX - self.left).min(self.right - self.left)
    }

    /// Ticks with their times at the height `y`, and rules up to `top`.
    fn draw(&self, area: &Area<'_>, top: i32, y: i32) -> Drawn {
        // Longer than any clock of a script: a floating-point number is exact enough for a tick.
        #[allow(clippy::cast_precision_loss)]
        let end_ms = self.end_us as f64 / 1000.0;
        let axis: RangedCoordf64 = (0.0..end_ms).into();
        for at_ms in axis.key_points(TICKS) {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let x = self.x((at_ms * 1000.0) as u64);
            line(area, [(x, top), (x, y)], RULE, 1)?;
            let text = time(at_ms, end_ms);
            write(area, text, (x, y + 4), (SIZE - 2.0, DIM), (HPos::Center, VPos::Top))?;
        }
        Ok(())
    }
}

/// `400 ms`, or `40 s` on an axis of more than 20 s.
fn time(at_ms: f64, end_ms: f64) -> String {
    if end_ms > 20_000.0 { format!("{} s", at_ms / 1000.0) } else { format!("{at_ms} ms") }
}

/// A time of a table, in milliseconds.
fn ms(at_us: u64) -> String {
    format!("{} ms", at_us / 1000)
}

/// Whether an event is the beginning of a call, or of work on an item.
fn begins(event: &Event) -> bool {
    let starts = |words: &[&str]| words.iter().any(|word| event.what.starts_with(word));
    starts(&["called", "is called", "is asked"]) || event.what.ends_with(" begins")
}

/// `#3` of `called, #3` and `#3 Answered`, `3` of `item 3 begins`: which call of several an event belongs to.
fn number(event: &Event) -> Option<&str> {
    let item = event.what.strip_prefix("item ").and_then(|rest| rest.split(' ').next());
    let mut words = event.what.split([' ', ',']);
    let is_number = |word: &&str| word.starts_with('#') && word[1..].parse::<u64>().is_ok();
    item.or_else(|| words.find(is_number))
}

/// How a call ended, as far as its last event tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Answered,
    Failed,
    Stopped,
}

impl Ending {
    fn of(what: &str) -> Self {
        let says = |words: &[&str]| words.iter().any(|word| what.contains(word));
        if says(&["stopped", "dropped", "GivenUp", "given up", "cancelled"]) {
            Ending::Stopped
        } else if says(&["fail", "Fail", "panic", "error", "refuse", "declin"]) {
            Ending::Failed
        } else {
            Ending::Answered
        }
    }
}

/// The calls that have not ended, of one fake.
#[derive(Debug, Default)]
struct Open<'a>(Vec<&'a Event>);

impl<'a> Open<'a> {
    fn begins(&mut self, event: &'a Event) {
        self.0.push(event);
    }

    /// The call that this event ends: the one of the same number or, without numbers, the oldest one.
    fn ends(&mut self, event: &Event) -> Option<&'a Event> {
        let at = match number(event) {
            Some(nr) => self.0.iter().position(|open| number(open) == Some(nr))?,
            None => 0,
        };
        (at < self.0.len()).then(|| self.0.remove(at))
    }
}
