//! Grades a planted solution and compares.
use std::path::{Path, PathBuf};

use grader::build::Options;
use grader::catalog::Level;
use grader::grade::{Quiet, grade};
use grader::report::{Report, Status, explain};
use grader::select::{Entry, select};
use grader::submission::{Files, Scratch};
use grader::supervise::Limits;

use crate::planted::Planted;

/// What can stand in the way of a proof.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A workspace to grade solutions of one level in, one after the other.
#[derive(Debug)]
pub struct Bench {
    scratch: Scratch,
    options: Options,
    level: &'static Level,
    entries: Vec<Entry>,
    reference: Files,
}

impl Bench {
    /// Copies the workspace at `root` into `folder`.
    ///
    /// # Errors
    ///
    /// When the copy cannot be made.
    pub fn new(root: &Path, folder: &Path, level: &'static Level) -> Result<Bench, Failure> {
        let scratch = Scratch::create(root, folder)?;
        let (reference, _) = Files::read(root, level)?;
        Ok(Bench {
            options: scratch.options(),
            scratch,
            level,
            entries: select(&[level.name.to_owned()])?,
            reference,
        })
    }

    /// The reference's files.
    #[must_use]
    pub fn reference(&self) -> &Files {
        &self.reference
    }

    /// The copy's root.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.scratch.root().to_path_buf()
    }

    /// Grades the level with these files.
    ///
    /// # Errors
    ///
    /// When they cannot be laid out or cargo cannot run.
    pub fn grade(&self, files: &Files) -> Result<Report, Failure> {
        self.scratch.lay(self.level, files)?;
        let limits = Limits::default();
        Ok(grade(self.scratch.root(), &self.entries, &self.options, &limits, &Quiet)?)
    }

    /// Grades a planted solution and compares with what its header says.
    ///
    /// # Errors
    ///
    /// The difference, in words.
    pub fn prove(&self, planted: &Planted) -> Result<(), Failure> {
        let files = planted.files(&self.reference, self.level)?;
        compare(planted, &self.grade(&files)?).map_err(Into::into)
    }
}

/// What the report says otherwise than the header.
fn compare(planted: &Planted, report: &Report) -> Result<(), String> {
    let mut wrong = Vec::new();
    for criterion in report.criteria() {
        let passed = criterion.status == Status::Passed;
        let must_fail = planted.fails.contains(&criterion.id);
        if passed && must_fail {
            wrong.push(format!("{} passes and must fail", criterion.id));
        } else if !passed && !must_fail {
            wrong.push(format!(
                "{} fails and must pass\n{}",
                criterion.id,
                told(report, criterion.id)
            ));
        }
    }
    if let (Some(says), Some(first)) = (&planted.says, planted.fails.first()) {
        let told = told(report, first);
        if !told.contains(says.as_str()) {
            wrong.push(format!("the learner is not told `{says}` for {first}, but\n{told}"));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

/// What the learner is told about a criterion.
fn told(report: &Report, id: &str) -> String {
    if let Some(broken) = report.levels.iter().find_map(|level| level.broken.as_ref()) {
        return broken.errors.clone();
    }
    let groups = report.levels.iter().flat_map(|level| &level.groups);
    let told = groups.flat_map(|group| group.criteria.iter().map(move |c| (group, c))).find_map(
        |(group, criterion)| {
            let verdict = criterion.verdict.as_ref().filter(|_| criterion.id == id)?;
            let mut text = String::new();
            explain::failure(&mut text, verdict, group.file).ok()?;
            Some(anstream::adapter::strip_str(&text).to_string())
        },
    );
    told.unwrap_or_default()
}
