//! A fork: what its files tell, and what is judged of it.
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::known::Key;
use super::{ClassError, How, Shared, lock};
use crate::catalog::Level;
use crate::class::lane::{Lane, LaneError};
use crate::class::result::{
    ForkResult, ForkStatus, LevelResult, LevelState, SCHEMA_VERSION, digest,
};
use crate::class::roster::Fork;
use crate::class::take::{Taken, take};
use crate::inspect::Finding;
use crate::interrupt;
use crate::starter::{Plan, plan};
use crate::submission::Files;

/// The result of a fork as far as its files tell, and the files to judge.
pub(super) fn read_fork(
    shared: &Shared<'_>,
    fork: &Fork,
) -> (ForkResult, BTreeMap<&'static str, Files>) {
    let class = shared.class;
    let mut result = ForkResult {
        schema_version: SCHEMA_VERSION,
        name: fork.name.clone(),
        status: ForkStatus::Graded,
        reason: None,
        commit: None,
        submitted: fork.submitted,
        levels: Vec::new(),
        changes: Default::default(),
        conditions: class.conditions.clone(),
    };
    let mut judged = BTreeMap::new();
    let Taken { mut levels, changes, commit } =
        match take(&fork.path, &class.state, &shared.pristine) {
            Ok(taken) => taken,
            Err(why) => {
                result.status = ForkStatus::Unreadable;
                result.reason = Some(why.to_string());
                let missing = |level: &&Level| {
                    LevelResult::without_marks(level, LevelState::Unreadable, None)
                };
                result.levels = class.levels.iter().map(missing).collect();
                return (result, judged);
            }
        };
    result.submitted = fork.submitted.or(commit.as_ref().map(|commit| commit.time));
    (result.changes, result.commit) = (changes, commit);
    for level in class.levels {
        let without = |state, words| LevelResult::without_marks(level, state, words);
        let (files, found) = match (levels.remove(level.name), shared.references.get(level.name)) {
            (Some(Ok(files)), Some(reference)) => {
                let (mut files, mut findings) = files.over(reference, level);
                if result.changes.version.is_some() {
                    let (completed, newer) = files.with_newer(&blanks_of(shared, level));
                    files = completed;
                    findings.extend(newer);
                }
                let mut found = without(LevelState::NotJudged, None);
                found.files = digest(&files);
                found.is_reference = files.same_text(reference);
                found.findings = findings;
                (Some(files), found)
            }
            (Some(Err(why)), _) => (None, without(LevelState::Unreadable, Some(why))),
            (Some(Ok(_)), None) | (None, _) => (None, without(LevelState::Missing, None)),
        };
        judged.extend(files.map(|files| (level.name, files)));
        result.levels.push(found);
    }
    (result, judged)
}

/// What a learner begins the level with; nothing where that cannot be made.
fn blanks_of(shared: &Shared<'_>, level: &'static Level) -> Arc<Files> {
    let mut blanks = lock(&shared.blanks);
    let made = blanks.entry(level.name).or_insert_with(|| {
        let mut files = Files::default();
        for file in plan(shared.class.root, level).iter().flat_map(Plan::files) {
            let path = file.path.strip_prefix(level.name).ok().and_then(|path| path.to_str());
            if let (Some(path), Some(blank)) = (path, &file.blank) {
                files.insert(path.replace('\\', "/"), blank.as_str());
            }
        }
        Arc::new(files)
    });
    Arc::clone(made)
}

/// Judges what is not known of a fork's levels.
pub(super) fn judge_fork(
    shared: &Shared<'_>,
    number: usize,
    lane: &mut Option<Lane>,
    result: &mut ForkResult,
    files: &BTreeMap<&'static str, Files>,
) -> Result<How, ClassError> {
    let mut how = How::Known;
    let mut open: Vec<Key> = Vec::new();
    for level in &result.levels {
        if let Some((name, _)) = files.get_key_value(level.name.as_str()) {
            open.push((*name, level.files.clone()));
        }
    }
    let mut found: BTreeMap<&'static str, LevelResult> = BTreeMap::new();
    while !open.is_empty() {
        // Everything that no lane has begun is judged first; only then does the lane wait for others.
        let mut mine: Vec<Key> = Vec::new();
        {
            let mut known = lock(&shared.known);
            open.retain(|key| match known.find(key) {
                Some(level) => {
                    found.insert(key.0, level);
                    false
                }
                None => true,
            });
            for key in &open {
                // A place that could not be read is judged again.
                if known.begin(key) {
                    mine.push(key.clone());
                }
            }
            if mine.is_empty() && !open.is_empty() {
                let (guard, _) = shared
                    .changed
                    .wait_timeout(known, Duration::from_millis(200))
                    .unwrap_or_else(PoisonError::into_inner);
                drop(guard);
                if interrupt::is_requested() || lock(&shared.failure).is_some() {
                    return Err(LaneError::Interrupted.into());
                }
                continue;
            }
        }
        if mine.is_empty() {
            break;
        }
        let judged = judge_levels(shared, number, lane, &mine, files);
        if let Ok((_, cpu)) = judged {
            let before = if let How::Graded { cpu } = how { cpu } else { Duration::ZERO };
            how = How::Graded { cpu: before + cpu };
        }
        let mut known = lock(&shared.known);
        for key in &mine {
            known.end(key);
        }
        if let Ok((levels, _)) = &judged {
            for (key, level) in mine.iter().zip(levels) {
                known.keep(key, level);
                found.insert(key.0, level.clone());
            }
            open.retain(|key| !mine.contains(key));
        }
        drop(known);
        shared.changed.notify_all();
        judged?;
    }
    for level in &mut result.levels {
        if let Some(judged) = found.remove(level.name.as_str()) {
            let is_reference = level.is_reference;
            let findings = std::mem::take(&mut level.findings);
            *level = LevelResult { is_reference, findings, ..judged };
        }
    }
    if result.levels.iter().any(|level| !level.is_judged()) {
        result.status = ForkStatus::NotJudged;
        let words = result
            .levels
            .iter()
            .filter(|level| !level.is_judged())
            .find_map(|level| level.words.clone());
        let why = words.unwrap_or_else(|| "the grader could not judge some criteria".to_owned());
        result.reason = Some(format!("{}. Run the same command again", why.trim_end_matches('.')));
    }
    Ok(how)
}

/// The results, and the CPU time that they took.
fn judge_levels(
    shared: &Shared<'_>,
    number: usize,
    lane: &mut Option<Lane>,
    keys: &[Key],
    files: &BTreeMap<&'static str, Files>,
) -> Result<(Vec<LevelResult>, Duration), ClassError> {
    let lane = match lane {
        Some(lane) => lane,
        None => {
            let mut profiles = lock(&shared.profiles);
            if interrupt::is_requested() {
                return Err(LaneError::Interrupted.into());
            }
            shared.events.preparing(number);
            let folder = shared.class.store.work().join(format!("lane-{number}"));
            let class = shared.class;
            let made = Lane::prepare(class.root, &folder, &profiles, class.levels, class.rules)?;
            profiles.insert(0, made.profile());
            lock(&shared.board).starts_now();
            lane.insert(made)
        }
    };
    let level = |name: &str| shared.class.levels.iter().copied().find(|level| level.name == name);
    let wanted: Vec<(&'static Level, &Files)> =
        keys.iter().filter_map(|(name, _)| Some((level(name)?, files.get(name)?))).collect();
    let before = lane.spent();
    let mut found = lane.grade(&wanted, shared.class.rules)?;
    let cpu = lane.spent() - before;
    for (level, (name, hash)) in found.iter_mut().zip(keys) {
        level.files.clone_from(hash);
        if let (Some(files), Some(reference)) = (files.get(name), shared.references.get(name)) {
            level.look_at.retain(|finding| !is_the_courses(finding, name, files, reference));
        }
    }
    Ok((found, cpu))
}

/// Whether the line of a finding stands in the course's own file of that name: in what a learner begins with.
fn is_the_courses(finding: &Finding, level: &str, files: &Files, reference: &Files) -> bool {
    let below = finding.file.strip_prefix(level).and_then(|rest| rest.strip_prefix('/'));
    let text = |files: &Files| {
        let bytes = below.and_then(|path| files.get(path)).unwrap_or_default();
        String::from_utf8_lossy(bytes).into_owned()
    };
    let (own, course) = (text(files), text(reference));
    let line = own.lines().nth(finding.line.wrapping_sub(1)).map(str::trim).unwrap_or_default();
    !line.is_empty() && course.lines().any(|known| known.trim() == line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_starter_is_nothing_to_look_at() {
        let files = |text: &str| {
            let mut files = Files::default();
            files.insert("src/race.rs", text);
            files
        };
        let reference = files("#![doc = include_str!(\"a.md\")]\nfn race() { std::env::vars() }\n");
        let own = files("\n#![doc = include_str!(\"a.md\")]\nfn race() { std::env::args() }\n");
        let finding = |line| Finding {
            file: "level2/src/race.rs".to_owned(),
            line,
            what: String::new(),
            why: String::new(),
        };
        let of_the_course =
            [0, 1, 2, 3, 4].map(|line| is_the_courses(&finding(line), "level2", &own, &reference));
        assert_eq!(of_the_course, [false, false, true, false, false]);
    }
}
