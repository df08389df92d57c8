//! The wording of what was measured.

use bench_kit::javascript::{self, Figures};
use bench_kit::report::{self, Table};
use bench_kit::stats::Bounded;
use bench_kit::work::{self, ratio};

use crate::caches::{HIT, QUICK};
use crate::curves::{self, Growth};
use crate::notions::Notion;
use crate::{CLOCK, Measured, memory};

type Failed = Box<dyn std::error::Error>;

/// What an operator may cost over a peer in Rust that promises less.
const OVER_PEER: f64 = 1.2;
/// What RxJS should cost over level 4, at least.
const OVER_RXJS: f64 = 5.0;
/// What a hit may cost over quick_cache's.
const OVER_QUICK: f64 = 1.5;
/// What an item may cost among the most items over one among the fewest.
const OVER_SMALL: f64 = 1.5;

/// Headings of what depends on the machine.
const GOALS: &str = "## Goals";
const PRICES: &str = "## The price of a promise";
const RXJS: &str = "## Beside RxJS";

/// What a report consists of.
pub struct Document {
    /// What stands between the marks of the report.
    pub text: String,
    /// What stands between the marks of the lesson.
    pub lesson: String,
    /// The pictures that it shows: file names and SVG.
    pub pictures: Vec<(&'static str, String)>,
}

/// The words for what was measured.
pub fn write(measured: &Measured) -> Result<Document, Failed> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut text = format!(
        "Measured on {}, with {cores} {} cores ({}).\n\n{GOALS}\n\n{}\n{PRICES}\n\n\
         Every comparison in which level 4 costs more than {OVER_PEER} times its peer: what an item or a call costs more, and what\n\
         that buys.\n\n{}\n",
        report::today(),
        std::env::consts::ARCH,
        std::env::consts::OS,
        goals(measured),
        work::prices(&measured.groups, &measured.outcome, OVER_PEER)
    );
    for group in &measured.groups {
        text.push_str(&format!(
            "## {}\n\n{}\n\n{}\n",
            group.title,
            group.unit,
            work::peers(group, &measured.outcome)
        ));
    }
    text.push_str(&format!("{RXJS}\n\n{}\n", rxjs(measured)));
    text.push_str(&format!("## Notion by notion\n\n{}\n", notions(measured)));
    text.push_str(&format!(
        "## What waits\n\n{}\n## A value in a cache\n\n{}\n",
        waits(measured),
        entries(measured)
    ));
    text.push_str(&format!(
        "## How costs grow\n\n{}\n![CPU time for an item](bench/cost-by-size.svg)\n",
        growth(measured)
    ));
    Ok(Document {
        text,
        lesson: notions(measured),
        pictures: vec![("cost-by-size.svg", curves::picture(&measured.growths)?)],
    })
}

/// What of the report is the same on every machine.
pub fn structure(text: &str) -> Vec<&str> {
    work::structure(text, &[GOALS, PRICES, RXJS])
}

fn nanos(measured: &Measured, case: &str) -> f64 {
    measured.outcome.nanos(case).median
}

/// Works that RxJS does too: level 4's nanoseconds, and RxJS's.
fn with_rxjs<'a>(
    measured: &'a Measured,
    figures: &'a Figures,
) -> impl Iterator<Item = (&'static str, f64, Bounded)> + 'a {
    let works = measured.groups.iter().flat_map(|group| &group.rows).map(|rows| rows.work);
    works.filter_map(|name| Some((name, nanos(measured, &work::own(name)), figures.get(name)?)))
}

fn goals(measured: &Measured) -> String {
    let mut table = Table::new(&["goal", "measured", "reached"]);
    let mut row = |goal: String, found: String, reached: &str| {
        table.row(&[goal, found, reached.to_owned()]);
    };
    let share = |reached: usize, all: usize| match reached {
        reached if reached == all => "yes",
        0 => "no",
        _ => "in part",
    };
    let over: Vec<_> = work::comparisons(&measured.groups, &measured.outcome).collect();
    let reached = over.iter().filter(|(.., over)| over.median <= OVER_PEER).count();
    row(
        format!("at most {OVER_PEER} times a peer in Rust that promises less"),
        format!("{reached} of {} comparisons", over.len()),
        share(reached, over.len()),
    );
    match &measured.rxjs {
        Ok(figures) => {
            let all: Vec<f64> =
                with_rxjs(measured, figures).map(|(_, own, rxjs)| rxjs.median / own).collect();
            let reached = all.iter().filter(|over| **over >= OVER_RXJS).count();
            let least = all.iter().copied().fold(f64::INFINITY, f64::min);
            row(
                format!("RxJS takes at least {OVER_RXJS} times as long"),
                format!(
                    "{reached} of {} works; the least: {}",
                    all.len(),
                    javascript::times(least)
                ),
                share(reached, all.len()),
            );
        }
        Err(_) => row(
            format!("RxJS takes at least {OVER_RXJS} times as long"),
            "not measured".to_owned(),
            "",
        ),
    }
    let hit = measured.outcome.ratio(&work::own(HIT), &work::case(HIT, QUICK));
    let clock = measured.outcome.ratio(CLOCK, &work::case(HIT, QUICK));
    row(
        format!("a hit of the cache: at most {OVER_QUICK} times quick_cache, which has no clock"),
        format!("{}; one look at the clock is {}", ratio(hit), ratio(clock)),
        if hit.median <= OVER_QUICK { "yes" } else { "no" },
    );
    let flat = measured.growths.iter().filter(|it| it.ratio.median <= OVER_SMALL).count();
    row(
        format!(
            "the cost of an item grows at most {OVER_SMALL} times, from the fewest to the most"
        ),
        format!("{flat} of {} curves", measured.growths.len()),
        share(flat, measured.growths.len()),
    );
    let own = || measured.waits.iter().filter(|it| it.own);
    let wakes = own().map(|it| it.wake_ups).sum::<u64>();
    row(
        "no wake-up in a week in which nothing happens".to_owned(),
        format!("{wakes}, of {} kinds of what waits", own().count()),
        if wakes == 0 { "yes" } else { "no" },
    );
    format!(
        "{}\nReading tokio's clock once takes {} here, {} times what tokio's `broadcast` takes for an event. It is the floor of\n\
         every promise about time.\n",
        table.text(),
        report::nanos(nanos(measured, CLOCK)),
        report::ratio(measured.outcome.ratio(CLOCK, "Subject")),
    )
}

/// Why there are no figures of RxJS.
fn not_measured(why: &str) -> String {
    format!("Not measured: {why}\n")
}

fn rxjs(measured: &Measured) -> String {
    let figures = match &measured.rxjs {
        Ok(figures) => figures,
        Err(why) => return not_measured(why),
    };
    let mut table =
        Table::new(&["work", "RxJS", "least to largest", "this course", "RxJS over this course"]);
    for (name, own, rxjs) in with_rxjs(measured, figures) {
        table.row(&[
            name.to_owned(),
            report::nanos(rxjs.median),
            format!("{} to {}", report::nanos(rxjs.low), report::nanos(rxjs.high)),
            report::nanos(own),
            javascript::times(rxjs.median / own),
        ]);
    }
    format!(
        "RxJS 7 on Node {}, CPU time of the process with its compiler and collector; the median of {} runs after the\n\
         measurement in Rust, and the least and the largest of them.\n\n{}\n\
         A `Subject` calls its readers: an event costs a function call. Here an event goes through the buffer of each reader,\n\
         which may be on another thread, slower than the emitter, or gone. So a state, a socket and a list that follows its\n\
         updates gain nothing; what composes, limits, stops and collects gains most.\n\n\
         What looks at time or belongs to several callers gains less than five times. A timer's tick is tokio's wheel here and\n\
         Node's there, and both keep it in order. An operation of a batch takes its place under a lock, since other threads may\n\
         call the same limiter, and a panic in it is caught. A hit of the cache looks at the clock and moves its key under a lock.\n\
         A caller of a shared run leaves a waker, and the last one to go stops the run: a promise that is shared cannot be\n\
         stopped. A window and a socket's message are mostly the items and the JSON themselves, which both sides pay.\n",
        figures.version,
        figures.runs,
        table.text()
    )
}

fn notions(measured: &Measured) -> String {
    let mut table = Table::new(&["notion", "in Rust", "CPU time", "in RxJS", "RxJS over Rust"]);
    let row = |notion: &Notion| {
        let own = nanos(measured, &notion.case);
        // RxJS's figures of works have the name of the work.
        let name = notion.case.split('/').next().unwrap_or(notion.name);
        let rxjs = measured.rxjs.as_ref().ok().and_then(|figures| figures.get(name));
        let [time, over] = match rxjs {
            Some(rxjs) => [report::nanos(rxjs.median), javascript::times(rxjs.median / own)],
            None => ["not measured".to_owned(), String::new()],
        };
        [format!("`{}`", notion.name), notion.rust.to_owned(), report::nanos(own), time, over]
    };
    measured.notions.iter().for_each(|notion| table.row(&row(notion)));
    table.text().to_owned()
}

/// Bytes, or that there are none.
fn bytes(found: &Result<f64, String>) -> String {
    found.as_ref().map_or_else(|_| "not measured".to_owned(), |bytes| format!("{bytes:.0}"))
}

fn waits(measured: &Measured) -> String {
    let mut table = Table::new(&["what waits", "wake-ups in a week", "bytes of each"]);
    for it in &measured.waits {
        table.row(&[it.name.to_owned(), it.wake_ups.to_string(), bytes(&it.bytes)]);
    }
    format!(
        "Wake-ups are counted: polls in a week of virtual time in which nothing happens. Bytes are the resident memory of a\n\
         process that holds {} of them, each in a box. An open socket has its heartbeat switched off: a ping every 30 s is a\n\
         wake-up that was asked for.\n\n{}{}",
        memory::HELD,
        table.text(),
        measured
            .waits
            .iter()
            .find_map(|it| it.bytes.as_ref().err())
            .map_or_else(String::new, |why| { format!("\n{}", not_measured(why)) })
    )
}

fn entries(measured: &Measured) -> String {
    let mut table = Table::new(&["cache", "bytes of a value"]);
    for (name, found) in memory::CACHES.iter().zip(&measured.entries) {
        table.row(&[(*name).to_owned(), bytes(found)]);
    }
    format!(
        "Resident bytes of a key of 8 bytes with a value of 8 bytes, in a cache that is full with {} of them.\n\n{}",
        memory::HELD,
        table.text()
    )
}

fn growth(measured: &Measured) -> String {
    let mut table = Table::new(&["what", "from", "to", "times"]);
    for Growth { curve, ratio: over } in &measured.growths {
        let (Some(first), Some(last)) = (curve.points.first(), curve.points.last()) else {
            continue;
        };
        let cell = |point: &(f64, f64)| format!("{} at {:.0}", report::nanos(point.1), point.0);
        table.row(&[curve.name.clone(), cell(first), cell(last), ratio(*over)]);
    }
    format!(
        "{}\nCalls at once go up to 100 000, for each of them is a future in memory. What grows a little does so by the caches of\n\
         the processor: a thing of which there are many is not in one.\n\n\
         A hit of a cache moves its key to the young end of an ordered map. That takes longer the more keys there are, and each\n\
         level of a large map is a place in memory that no cache has. A list through the values would be flat; it is twice the\n\
         code. An update makes another list, since its readers keep the one before, and a copy for the next start: both are\n\
         proportional to the items.\n",
        table.text()
    )
}
