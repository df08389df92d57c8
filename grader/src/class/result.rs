//! What is known of a fork: the one typed result that every form of output is made from.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::conditions::Conditions;
use super::moment::Moment;
use super::take::{Changes, Commit};
use crate::catalog::{Kind, LEVELS, Level};
use crate::inspect::Finding;
use crate::report::explain::{self, Place};
use crate::report::{LevelReport, Report, Score, Status};
use crate::submission;
use crate::submission::Files;

/// Raised when a field changes its meaning or goes away; a new field does not raise it.
pub const SCHEMA_VERSION: u32 = 1;

/// Longer texts of the compiler, or of one criterion, are cut.
const LONGEST_WORDS: usize = 16 << 10;
const LONGEST_MESSAGE: usize = 6 << 10;

/// The result of one fork.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ForkResult {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// How the gradebook calls it.
    pub name: String,
    /// Whether it has marks.
    pub status: ForkStatus,
    /// Why there are no marks, and what to do; `None` if there are.
    pub reason: Option<String>,
    /// The commit that was graded, if it was one.
    pub commit: Option<Commit>,
    /// When it was handed in: as the list says, else the time of the commit.
    pub submitted: Option<Moment>,
    /// The levels that were asked for, in the order of the course.
    pub levels: Vec<LevelResult>,
    /// What the fork changed beside the learner's own files. It was left behind.
    pub changes: Changes,
    /// What the marks rest on.
    pub conditions: Conditions,
}

/// Whether a fork has marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForkStatus {
    /// It has marks.
    Graded,
    /// Nothing could be taken from it.
    Unreadable,
    /// The grader could not judge some criterion: it is graded again in the next run.
    NotJudged,
}

/// One level of a fork.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LevelResult {
    /// `level2`.
    pub name: String,
    /// Whether it was judged, and why not.
    pub state: LevelState,
    /// The compiler's words, or why it could not be graded.
    pub words: Option<String>,
    /// Whether its files are still the course's reference solution.
    pub is_reference: bool,
    /// The SHA-256 of the files that were graded; empty if there were none.
    pub files: String,
    /// The sum over its criteria.
    pub score: Score,
    /// What a teacher ought to look at.
    pub look_at: Vec<Finding>,
    /// Files of the course that the fork has otherwise: the course's were used.
    pub findings: Vec<submission::Finding>,
    /// Its criteria, in the order of the course.
    pub criteria: Vec<CriterionResult>,
}

/// Whether a level was judged, and why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LevelState {
    /// It was judged.
    Judged,
    /// It does not compile.
    DoesNotCompile,
    /// It takes code in from elsewhere, or holds the compiler, and was not compiled.
    Refused,
    /// The fork does not have it.
    Missing,
    /// Its files cannot be read.
    Unreadable,
    /// A bound of the run ended it: real time.
    Stopped,
    /// The grader could not judge it.
    NotJudged,
}

/// One criterion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CriterionResult {
    /// `level2/race/returns-at-the-third`.
    pub id: String,
    /// What is demanded.
    pub title: String,
    /// What it is worth.
    pub points: u32,
    /// `core` or `bonus`.
    pub kind: Kind,
    /// The file to write.
    pub file: String,
    /// How it stands.
    pub status: Status,
    /// The first line of the message; `None` if it passed.
    pub headline: Option<String>,
    /// The message as the learner reads it; empty if it passed.
    pub message: String,
    /// Real time, in microseconds.
    pub real_us: u64,
}

impl ForkResult {
    /// All criteria, in the order of the course.
    pub fn criteria(&self) -> impl Iterator<Item = &CriterionResult> {
        self.levels.iter().flat_map(|level| &level.criteria)
    }

    /// Whether the next run need not grade the fork again.
    #[must_use]
    pub fn is_final(&self) -> bool {
        self.status != ForkStatus::NotJudged
    }

    /// The files of its levels, by the level's name: forks for which this is equal are the same.
    #[must_use]
    pub fn files(&self) -> BTreeMap<&str, &str> {
        self.levels.iter().map(|level| (level.name.as_str(), level.files.as_str())).collect()
    }
}

impl LevelResult {
    /// A level of which nothing was judged.
    #[must_use]
    pub fn without_marks(level: &Level, state: LevelState, words: Option<String>) -> LevelResult {
        let status = match state {
            LevelState::DoesNotCompile | LevelState::Refused => Status::DoesNotCompile,
            LevelState::Missing => Status::NotStarted,
            LevelState::Unreadable | LevelState::Stopped => Status::Failed,
            LevelState::Judged | LevelState::NotJudged => Status::NotJudged,
        };
        let mut score = Score::default();
        let mut criteria = Vec::new();
        for criterion in level.exercises.iter().flat_map(|exercise| exercise.criteria) {
            score.add(criterion, status);
            criteria.push(CriterionResult {
                id: criterion.id.to_owned(),
                title: criterion.title.to_owned(),
                points: criterion.points,
                kind: criterion.kind,
                file: criterion.file.to_owned(),
                status,
                headline: words
                    .as_deref()
                    .and_then(|words| words.lines().next())
                    .map(str::to_owned),
                message: String::new(),
                real_us: 0,
            });
        }
        LevelResult {
            name: level.name.to_owned(),
            state,
            words: words.map(|words| cut(&words, LONGEST_WORDS)),
            is_reference: false,
            files: String::new(),
            score,
            look_at: Vec::new(),
            findings: Vec::new(),
            criteria,
        }
    }

    /// The levels of a report.
    #[must_use]
    pub fn of(report: &Report) -> Vec<LevelResult> {
        report.levels.iter().map(of_level).collect()
    }

    /// Whether every criterion was judged: the points of one that was not are unknown.
    #[must_use]
    pub fn is_judged(&self) -> bool {
        self.criteria.iter().all(|criterion| criterion.status != Status::NotJudged)
    }
}

fn of_level(level: &LevelReport) -> LevelResult {
    let state = match &level.broken {
        Some(broken) if broken.refused => LevelState::Refused,
        Some(_) => LevelState::DoesNotCompile,
        None => LevelState::Judged,
    };
    let criteria = level.exercises.iter().flat_map(|exercise| &exercise.criteria);
    let criteria = criteria.map(|criterion| {
        let fail = criterion.verdict.as_ref().and_then(|verdict| verdict.fail.as_ref());
        let mut message = String::new();
        if let Some(verdict) = &criterion.verdict {
            let place = Place { level: level.name, file: criterion.file };
            // Writing into a string does not fail.
            let _ = explain::failure(&mut message, verdict, place);
        }
        CriterionResult {
            id: criterion.id.to_owned(),
            title: criterion.title.to_owned(),
            points: criterion.points,
            kind: criterion.kind,
            file: criterion.file.to_owned(),
            status: criterion.status,
            headline: fail.map(|fail| plain(&fail.headline)),
            message: cut(&plain(&message), LONGEST_MESSAGE),
            real_us: criterion.verdict.as_ref().map_or(0, |verdict| verdict.real_us),
        }
    });
    let words = level.broken.as_ref().map(|broken| cut(&plain(&broken.errors), LONGEST_WORDS));
    LevelResult {
        name: level.name.to_owned(),
        state,
        words,
        is_reference: false,
        files: String::new(),
        score: level.score,
        look_at: level.look_at.clone(),
        findings: Vec::new(),
        criteria: criteria.collect(),
    }
}

/// Without colours.
fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

/// The beginning of a text, whole characters only.
fn cut(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    format!("{}\n[cut: {} bytes in all]", &text[..text.floor_char_boundary(most)], text.len())
}

/// The SHA-256 of files: of each its path and its bytes, with their lengths.
#[must_use]
pub fn digest(files: &Files) -> String {
    let mut hasher = Sha256::new();
    for (path, bytes) in files.iter() {
        for part in [path.as_bytes(), bytes] {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
    }
    hex(&hasher.finalize())
}

/// Hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The levels with these names, in the order of the course; all of them for no name.
pub fn levels_named<'a>(names: &'a [String]) -> impl Iterator<Item = &'static Level> + 'a {
    LEVELS
        .iter()
        .copied()
        .filter(move |level| names.is_empty() || names.iter().any(|name| name == level.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_cut_otherwise_are_other_files() {
        let files = |pairs: &[(&str, &str)]| {
            let mut files = Files::default();
            pairs.iter().for_each(|(path, text)| files.insert(*path, *text));
            digest(&files)
        };
        let one = files(&[("src/a.rs", "one"), ("src/b.rs", "two")]);
        assert_eq!(one.len(), 64);
        assert_eq!(one, files(&[("src/b.rs", "two"), ("src/a.rs", "one")]));
        assert_ne!(one, files(&[("src/a.rs", "on"), ("src/b.rs", "etwo")]));
        assert_ne!(one, files(&[("src/a.rs", "onesrc/b.rs"), ("src/b.rs", "two")]));
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let text = "é".repeat(LONGEST_MESSAGE);
        let short = cut(&text, LONGEST_MESSAGE + 1);
        assert!(short.len() < LONGEST_MESSAGE + 40 && short.contains("[cut: 12288 bytes in all]"));
        assert_eq!(cut("é", 2), "é");
    }

    #[test]
    fn a_level_without_marks_has_every_criterion_and_no_points() {
        for state in [LevelState::Missing, LevelState::DoesNotCompile, LevelState::Stopped] {
            let level = LevelResult::without_marks(LEVELS[0], state, Some("why\nmore".to_owned()));
            let all: usize =
                LEVELS[0].exercises.iter().map(|exercise| exercise.criteria.len()).sum();
            assert_eq!(level.criteria.len(), all);
            assert_eq!((level.score.core, level.score.bonus), (0, 0));
            assert!(level.score.core_of > 0 && level.is_judged());
            assert_eq!(level.criteria[0].headline.as_deref(), Some("why"));
        }
        assert!(!LevelResult::without_marks(LEVELS[0], LevelState::NotJudged, None).is_judged());
    }
}
