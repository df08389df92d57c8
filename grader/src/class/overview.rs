//! `class.md`: the class as a whole.
use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::conditions::Conditions;
use super::formats::gradebook::{same_as, status};
use super::formats::{Row, cell};
use super::marks::points;
use super::result::{ForkResult, ForkStatus};
use super::settings::Settings;
use super::store::{self, Store};
use crate::report::{Status, count};

/// Criteria that are listed, those that most forks fail first.
const MOST_CRITERIA: usize = 25;

/// How a criterion stands in the class.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    tried: usize,
    failed: usize,
    /// First lines of the messages, and how often each was shown.
    headlines: BTreeMap<String, usize>,
}

impl Tally {
    fn most_frequent(&self) -> Option<&str> {
        let most =
            self.headlines.iter().max_by_key(|(text, often)| (**often, std::cmp::Reverse(*text)));
        most.map(|(text, _)| text.as_str())
    }
}

/// The overview. The results of the forks are read one after the other.
pub(super) fn render<'a>(
    store: &Store,
    rows: impl Iterator<Item = &'a Row> + Clone,
    settings: &Settings,
    conditions: &Conditions,
) -> String {
    let mut tallies = BTreeMap::new();
    for row in rows.clone().filter(|row| row.status == ForkStatus::Graded) {
        // A result that has gone meanwhile is missing in the tally only.
        if let Ok(Some(result)) = store::read(&store.folder(&row.name).join("result.json")) {
            add(&mut tallies, &result, settings);
        }
    }
    let mut out = String::new();
    // Writing into a string does not fail.
    let _ = write(&mut out, rows, &tallies, conditions);
    out
}

fn add(tallies: &mut BTreeMap<String, Tally>, result: &ForkResult, settings: &Settings) {
    for level in result.levels.iter().filter(|level| !level.is_reference) {
        for criterion in level.criteria.iter().filter(|criterion| settings.counts(&criterion.id)) {
            let tally = tallies.entry(criterion.id.clone()).or_default();
            match criterion.status {
                Status::Passed => tally.tried += 1,
                Status::Failed => {
                    tally.tried += 1;
                    tally.failed += 1;
                    if let Some(headline) = &criterion.headline {
                        *tally.headlines.entry(headline.clone()).or_default() += 1;
                    }
                }
                // What was not started, or does not compile, says nothing about the criterion.
                Status::NotStarted | Status::DoesNotCompile | Status::NotJudged => {}
            }
        }
    }
}

fn write<'a>(
    out: &mut String,
    rows: impl Iterator<Item = &'a Row> + Clone,
    tallies: &BTreeMap<String, Tally>,
    conditions: &Conditions,
) -> std::fmt::Result {
    let all = rows.clone().count();
    writeln!(out, "# The class\n\n{}.\n", count(all, "fork", "forks"))?;
    let mut totals: Vec<f64> = rows
        .clone()
        .filter(|row| row.status == ForkStatus::Graded)
        .map(|row| row.marks.total)
        .collect();
    totals.sort_by(f64::total_cmp);
    if let (Some(least), Some(most), Some(of)) =
        (totals.first(), totals.last(), rows.clone().next())
    {
        let median = (totals[(totals.len() - 1) / 2] + totals[totals.len() / 2]) / 2.0;
        let [least, median, most, of] = [*least, median, *most, of.marks.of].map(points);
        writeln!(out, "Points: from {least} to {most}, median {median}, of {of}.\n")?;
    }
    let open: Vec<&Row> = rows.clone().filter(|row| row.status != ForkStatus::Graded).collect();
    if !open.is_empty() {
        writeln!(out, "## Without marks\n")?;
        for row in open {
            let why = row.remarks.first().map(String::as_str).unwrap_or_default();
            writeln!(out, "- {} ({}): {}", cell(&row.name), status(row.status), cell(why))?;
        }
        writeln!(out)?;
    }
    let same = same_as(rows.clone());
    if same.iter().any(Option::is_some) {
        writeln!(out, "## The same files\n")?;
        for (row, first) in rows.zip(same) {
            if let Some(first) = first {
                writeln!(out, "- {} has the files of {}", cell(&row.name), cell(first))?;
            }
        }
        writeln!(out)?;
    }
    let mut failing: Vec<(&String, &Tally)> =
        tallies.iter().filter(|(_, tally)| tally.failed > 0).collect();
    failing.sort_by_key(|(id, tally)| {
        (
            std::cmp::Reverse(tally.failed * 1000 / tally.tried.max(1)),
            std::cmp::Reverse(tally.failed),
            (*id).clone(),
        )
    });
    if !failing.is_empty() {
        writeln!(
            out,
            "## What the class gets wrong\n\nOf the forks that have started the exercise.\n"
        )?;
        writeln!(
            out,
            "| criterion | fail | of | most frequent message |\n| --- | ---: | ---: | --- |"
        )?;
        for (id, tally) in failing.into_iter().take(MOST_CRITERIA) {
            let headline = cell(tally.most_frequent().unwrap_or_default());
            writeln!(out, "| `{id}` | {} | {} | {headline} |", tally.failed, tally.tried)?;
        }
        writeln!(out)?;
    }
    writeln!(
        out,
        "---\n\ncourse {}, judge `{}`, lock file `{}`, {}, seed {}, sandbox {}",
        conditions.version,
        conditions.judge,
        conditions.lock,
        cell(&conditions.toolchain),
        conditions.seed,
        serde_json::to_string(&conditions.sandbox).unwrap_or_default().trim_matches('"'),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::class::formats::tests::example;

    #[test]
    fn criteria_are_counted_over_the_forks_that_tried_them() {
        let mut tallies = BTreeMap::new();
        let fork = example("anna");
        add(&mut tallies, &fork, &Settings::default());
        add(&mut tallies, &fork, &Settings::default());
        let failed = fork
            .criteria()
            .find(|criterion| criterion.status == Status::Failed)
            .expect("one failed");
        let tally = &tallies[&failed.id];
        assert_eq!((tally.tried, tally.failed), (2, 2));
        assert_eq!(tally.most_frequent(), failed.headline.as_deref());
        let open = fork
            .criteria()
            .find(|criterion| criterion.status == Status::NotStarted)
            .expect("one open");
        assert_eq!(tallies[&open.id], Tally::default());
        let mut reference = fork.clone();
        reference.levels.iter_mut().for_each(|level| level.is_reference = true);
        let mut none = BTreeMap::new();
        add(&mut none, &reference, &Settings::default());
        assert!(none.is_empty());
    }
}
