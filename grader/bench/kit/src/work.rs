//! A piece of work that a level does, and that others do beside it, as ratios in tables.

use crate::contest::{Case, Outcome};
use crate::report::{self, Table};
use crate::stats::Bounded;

/// The name of this course among the peers.
const OWN: &str = "this course";

/// The report mentions a spread of this part of the median.
const WIDE: f64 = 0.2;

/// A peer at a work.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// The library and its function.
    pub name: &'static str,
    /// What the level promises and this peer does not.
    pub lacks: &'static str,
}

/// The names of a piece of work and of its peers.
#[derive(Debug, Clone)]
pub struct Rows {
    /// The name of the work.
    pub work: &'static str,
    /// The peers that do it too.
    pub peers: Vec<Peer>,
}

/// A piece of work: how the level does it, and how its peers do.
#[derive(Debug)]
pub struct Work<'a> {
    rows: Rows,
    cases: Vec<Case<'a>>,
}

impl<'a> Work<'a> {
    /// The work of this name: `run(n)` does it `n` times with the level.
    pub fn new(work: &'static str, run: impl FnMut(u64) + 'a) -> Self {
        let cases = vec![Case::new(case(work, OWN), run)];
        Self { rows: Rows { work, peers: Vec::new() }, cases }
    }

    /// The same work with a peer.
    #[must_use]
    pub fn beside(
        mut self,
        name: &'static str,
        lacks: &'static str,
        run: impl FnMut(u64) + 'a,
    ) -> Self {
        self.cases.push(Case::new(case(self.rows.work, name), run));
        self.rows.peers.push(Peer { name, lacks });
        self
    }

    /// The same, measured in batches of exactly `times`: for work that needs a new setup for each batch.
    #[must_use]
    pub fn in_batches_of(mut self, times: u64) -> Self {
        self.cases = self.cases.into_iter().map(|case| case.in_batches_of(times)).collect();
        self
    }

    /// The names, and what is to be measured.
    #[must_use]
    pub fn split(self) -> (Rows, Vec<Case<'a>>) {
        (self.rows, self.cases)
    }
}

/// The name of the case of `peer` at `work`.
#[must_use]
pub fn case(work: &str, peer: &str) -> String {
    format!("{work}/{peer}")
}

/// The name of the case of the level at `work`.
#[must_use]
pub fn own(work: &str) -> String {
    case(work, OWN)
}

/// Works of one kind.
#[derive(Debug)]
pub struct Group {
    /// The heading of its table.
    pub title: &'static str,
    /// What a figure is about.
    pub unit: &'static str,
    /// Its works.
    pub rows: Vec<Rows>,
}

/// All comparisons with a peer: the work, the peer, and the level's cost over the peer's.
pub fn comparisons<'a>(
    groups: &'a [Group],
    outcome: &'a Outcome,
) -> impl Iterator<Item = (&'static str, Peer, Bounded)> + 'a {
    let rows = groups.iter().flat_map(|group| &group.rows);
    rows.flat_map(|rows| rows.peers.iter().map(|peer| (rows.work, *peer)))
        .map(|(work, peer)| (work, peer, outcome.ratio(&own(work), &case(work, peer.name))))
}

/// A table of one group: for each peer its CPU time, the level's, and the ratio.
#[must_use]
pub fn peers(group: &Group, outcome: &Outcome) -> String {
    let head = ["work, and the peer", "its CPU time", "this course", "this course over the peer"];
    let mut table = Table::new(&head);
    for rows in &group.rows {
        let own = own(rows.work);
        for peer in &rows.peers {
            let case = case(rows.work, peer.name);
            table.row(&[
                format!("{}: {}", rows.work, peer.name),
                report::nanos(outcome.nanos(&case).median),
                report::nanos(outcome.nanos(&own).median),
                ratio(outcome.ratio(&own, &case)),
            ]);
        }
    }
    table.text().to_owned()
}

/// A table of the comparisons in which the level costs more than `limit` times its peer: what one costs more, and what
/// that buys.
#[must_use]
pub fn prices(groups: &[Group], outcome: &Outcome, limit: f64) -> String {
    let head = ["work", "beside", "more for each", "what the peer does not promise"];
    let mut table = Table::new(&head);
    for (work, peer, over) in comparisons(groups, outcome).filter(|(.., over)| over.median > limit)
    {
        let nanos = |case: &str| outcome.nanos(case).median;
        let more = nanos(&own(work)) - nanos(&case(work, peer.name));
        let what = format!("{} ({:.1} times)", report::nanos(more), over.median);
        table.row(&[work, peer.name, &what, peer.lacks]);
    }
    table.text().to_owned()
}

/// A ratio with its bounds, and whether it is spread widely.
#[must_use]
pub fn ratio(found: Bounded) -> String {
    let wide = if (found.high - found.low) > WIDE * found.median { ", wide" } else { "" };
    format!("{}{wide}", report::ratio(found))
}

/// What of a report is the same on every machine: its headings, and the first cells of its tables, but for the sections
/// with the headings in `of_a_machine`, whose rows depend on what was measured.
#[must_use]
pub fn structure<'a>(text: &'a str, of_a_machine: &[&str]) -> Vec<&'a str> {
    let mut heading = "";
    let mut found = Vec::new();
    for line in text.lines() {
        if line.starts_with("## ") {
            heading = line;
            found.push(line);
        } else if let Some(cells) = line.strip_prefix("| ")
            && !of_a_machine.contains(&heading)
        {
            found.extend(cells.split(" | ").next());
        }
    }
    found
}
