//! The wording of what was measured.

use bench_kit::report::{self, Table};
use bench_kit::work::{self, ratio};

use crate::{Failed, Measured, growth, idle, stream};

/// What a part may cost over a plainer way to do the same; a part that costs more has a row with its price.
const OVER_PEER: f64 = 1.2;
/// What one may cost among the most over one among the fewest.
const OVER_SMALL: f64 = 3.0;
/// Events a second through everything, with the journal in memory.
const END_TO_END: f64 = 500_000.0;
/// The journal over the disk's own sequential write.
const OVER_DISK: f64 = 0.6;
/// The journal over a sync for each event.
const OVER_ROWS: f64 = 20.0;

/// The journal in a stream over the client that it uses.
const OVER_CLIENT: f64 = 0.7;

/// The heading of what depends on the machine.
const PRICES: &str = "## The price of a promise";

/// What the report consists of.
pub struct Document {
    /// What stands between its marks.
    pub text: String,
    /// The picture that it shows.
    pub picture: String,
}

/// The words for what was measured.
pub fn write(measured: &Measured) -> Result<Document, Failed> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut text = format!(
        "Measured on {}, with {cores} {} cores ({}).\n\n## Goals\n\n{}\n{PRICES}\n\n\
         Every comparison in which level 5 costs more than {OVER_PEER} times its peer, and what that buys.\n\n{}\n",
        report::today(),
        std::env::consts::ARCH,
        std::env::consts::OS,
        goals(measured),
        work::prices(&measured.groups, &measured.outcome, OVER_PEER),
    );
    for group in &measured.groups {
        let table = work::peers(group, &measured.outcome);
        text.push_str(&format!("## {}\n\n{}\n\n{table}\n", group.title, group.unit));
    }
    text.push_str(&format!("## Rates\n\n{}\n", rates(measured)));
    text.push_str(&format!("## What waits\n\n{}\n", waits(measured)));
    text.push_str(&format!(
        "## How costs grow\n\n{}\n![CPU time for one](bench/cost-by-size.svg)\n",
        grows(measured)
    ));
    Ok(Document { text, picture: growth::picture(&measured.growths)? })
}

/// What of the report is the same on every machine.
pub fn structure(text: &str) -> Vec<&str> {
    work::structure(text, &[PRICES])
}

const fn reached(is_reached: bool) -> &'static str {
    if is_reached { "yes" } else { "no" }
}

fn goals(measured: &Measured) -> String {
    let rates = &measured.rates;
    let mut table = Table::new(&["goal", "measured", "reached"]);
    let mut row = |goal: String, found: String, is_reached| {
        table.row(&[goal, found, reached(is_reached).to_owned()]);
    };
    let worst = measured.growths.iter().map(|it| it.ratio.median).fold(f64::NEG_INFINITY, f64::max);
    row(
        format!("the cost of an event, a request and a user grows at most {OVER_SMALL} times"),
        format!("at most {worst:.1} times"),
        worst <= OVER_SMALL,
    );
    row(
        format!(
            "{END_TO_END:.0} events a second through ingest, route, batch and deliver, journal in memory"
        ),
        format!("{:.0}", rates.end_to_end),
        rates.end_to_end >= END_TO_END,
    );
    row(
        format!("the journal writes at least {:.0} % of what the disk writes", OVER_DISK * 100.0),
        format!("{:.0} %", rates.over_disk * 100.0),
        rates.over_disk >= OVER_DISK,
    );
    row(
        format!("the journal takes at least {OVER_ROWS} times the events of a sync for each event"),
        format!("{:.0} times", rates.over_rows),
        rates.over_rows >= OVER_ROWS,
    );
    row(
        format!(
            "the journal in a stream takes at least {:.0} % of what the client of NATS publishes by itself",
            OVER_CLIENT * 100.0
        ),
        of_stream(measured, |it| format!("{:.0} %", it.over_client * 100.0)),
        measured.stream.is_some_and(|it| it.over_client >= OVER_CLIENT),
    );
    let awake: u64 = measured.wake_ups.iter().map(|(_, wake_ups)| wake_ups).sum();
    row(
        "an idle system costs nothing".to_owned(),
        format!("{awake} wake-ups in a week of {} systems", measured.wake_ups.len()),
        awake == 0,
    );
    table.text().to_owned()
}

/// A figure of the journal in a stream, if there is a server.
fn of_stream(measured: &Measured, figure: fn(&stream::Rates) -> String) -> String {
    measured.stream.as_ref().map_or_else(|| "not measured".to_owned(), figure)
}

fn rates(measured: &Measured) -> String {
    let rates = &measured.rates;
    let mut table = Table::new(&["what", "measured"]);
    let mut row = |what: &str, found: String| table.row(&[what, &found]);
    row("events a second from end to end, journal in memory", format!("{:.0}", rates.end_to_end));
    row("events a second from end to end, journal on the disk", format!("{:.0}", rates.on_disk));
    row(
        "events a second that the journal on the disk acknowledges",
        format!("{:.0}", rates.journal),
    );
    row("the journal over the disk", format!("{:.2}", rates.over_disk));
    row("the journal over redb", format!("{:.2}", rates.over_redb));
    row("the journal over a sync for each event", format!("{:.0}", rates.over_rows));
    row(
        "events a second that the journal in a stream acknowledges",
        of_stream(measured, |it| format!("{:.0}", it.journal)),
    );
    row(
        "the journal in a stream over the client of NATS",
        of_stream(measured, |it| format!("{:.2}", it.over_client)),
    );
    row(
        "ends a second that the journal in a stream records",
        of_stream(measured, |it| format!("{:.0}", it.done)),
    );
    row(
        "events a second that a process reads when it takes a lane over",
        of_stream(measured, |it| format!("{:.0}", it.taken_over)),
    );
    format!(
        "On the real clock, the median of three rounds. From end to end: four producers on two threads, each with 64 events\n\
         on the way, batches of 100, a sink that acknowledges at once. The journal: events of 200 bytes in calls of 64, of which\n\
         64 run at once; the disk writes zeros in groups of the same size ({} KiB) and syncs each; redb has the events of a group\n\
         in one transaction. The stream: one nats-server on the same cores, which writes to the same disk and does not wait for\n\
         it; the client publishes messages of the same size, with ids, and as many of them are under way.\n\n{}",
        rates.group / 1024,
        table.text()
    )
}

fn waits(measured: &Measured) -> String {
    let mut table = Table::new(&["what waits", "bytes of each"]);
    for (name, found) in idle::WAITING.iter().zip(&measured.bytes) {
        let bytes = found
            .as_ref()
            .map_or_else(|_| "not measured".to_owned(), |bytes| format!("{bytes:.0}"));
        table.row(&[(*name).to_owned(), bytes]);
    }
    let mut idle = Table::new(&["idle system", "wake-ups in a week"]);
    for (name, wake_ups) in &measured.wake_ups {
        idle.row(&[(*name).to_owned(), wake_ups.to_string()]);
    }
    format!(
        "Resident bytes of a process that holds {} of them. An event counts with its copy in the journal in memory.\n\n{}\n\
         Wake-ups of the thread are counted in a week of virtual time in which nothing happens.\n\n{}",
        idle::HELD,
        table.text(),
        idle.text()
    )
}

fn grows(measured: &Measured) -> String {
    let mut table = Table::new(&["what", "from", "to", "times"]);
    for growth::Growth { curve, ratio: over } in &measured.growths {
        let (Some(first), Some(last)) = (curve.points.first(), curve.points.last()) else {
            continue;
        };
        let cell = |point: &(f64, f64)| format!("{} at {:.0}", report::nanos(point.1), point.0);
        table.row(&[curve.name.clone(), cell(first), cell(last), ratio(*over)]);
    }
    format!(
        "CPU time for one, from its beginning to its end: an event is accepted while the sink takes none, and delivered when it\n\
         takes them all; a request is registered, waits and runs; a notification is accepted and delivered, or waits for its\n\
         batch.\n\n{}",
        table.text()
    )
}
