//! What is graded: pure data. How each criterion is judged stands in `grader/checks/levelN`.

mod level1;
mod level2;
mod level3;

/// One level of the course.
#[derive(Debug)]
pub struct Level {
    /// The package's name, which is also its folder: `level2`.
    pub name: &'static str,
    /// One line for the scoreboard.
    pub title: &'static str,
    /// What the course provides below `src/`: files, or folders with a slash at their end, relative to
    /// the level's folder. A starter leaves them as they are and a submission cannot replace them.
    /// Everything else below `src/` is the learner's.
    pub given: &'static [&'static str],
    /// The groups of criteria in the order in which they are best worked on.
    pub groups: &'static [Group],
}

impl Level {
    /// Whether the course provides this file, named relative to the level's folder: `src/lib.rs`.
    #[must_use]
    pub fn gives(&self, path: &str) -> bool {
        self.given.iter().any(|given| match given.strip_suffix('/') {
            Some(folder) => path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')),
            None => *given == path,
        })
    }
}

/// The criteria of one exercise, usually of one module: a strategy, a style, a pattern.
#[derive(Debug)]
pub struct Group {
    /// The middle part of the criteria's ids: `race`.
    pub name: &'static str,
    /// One line for the scoreboard.
    pub title: &'static str,
    /// The file to write, relative to the workspace: `level2/src/race.rs`.
    pub file: &'static str,
    /// Whether its criteria try everything at once: whole gateways under load, a fault at every call, a
    /// crash at every point, random scripts. A trial fails for a fault of any part, beside the
    /// criterion that is about it.
    pub trial: bool,
    /// In the order in which a learner should meet them.
    pub criteria: &'static [Criterion],
}

/// One thing that a solution must do, judged on its own.
#[derive(Debug)]
pub struct Criterion {
    /// `level2/race/returns-at-the-third`.
    pub id: &'static str,
    /// What is demanded, as a short clause: "returns at the third success".
    pub title: &'static str,
    /// What it is worth.
    pub points: u32,
    /// Whether the assignment asks for it or it goes beyond.
    pub kind: Kind,
    /// The demand in full, with its source in the assignment.
    pub requirement: &'static str,
    /// One to three hints, each saying more than the one before.
    pub hints: &'static [&'static str],
    /// Where to read: a heading of the level's README, a documentation page.
    pub read: &'static [&'static str],
}

/// Criteria that need more CPU time than the rest, in seconds: about four times what the reference
/// takes in a debug build.
const CPU_SECONDS: &[(&str, u64)] = &[
    // 50 000 payments: some 4.5 s.
    ("level3/assignment/succeeds-despite-failures", 18),
    // Up to 5600 payments with faults: some 1.5 s.
    ("level3/sweep/confirm", 10),
    ("level3/sweep/save", 10),
    ("level3/sweep/receipt", 10),
    ("level3/sweep/cancel", 10),
    ("level3/assignment/latencies", 10),
    ("level3/recovery/while-recovering", 10),
];

/// Criteria whose solution is in another file than that of the rest of their group.
const FILES: &[(&str, &str)] = &[
    ("level3/models/limiter", "level3/src/limiter/mod.rs"),
    ("level3/models/idempotency", "level3/src/idempotency/store.rs"),
];

/// The file to write for a criterion of a group whose file is `group`.
#[must_use]
pub fn file_of(id: &str, group: &'static str) -> &'static str {
    FILES.iter().find(|(of, _)| *of == id).map_or(group, |(_, file)| file)
}

impl Criterion {
    /// How much CPU time a right solution may need where the usual limit is too little.
    ///
    /// Below the 20 s after which the kernel ends a check process.
    #[must_use]
    pub fn cpu_seconds(&self) -> Option<u64> {
        CPU_SECONDS.iter().find(|(id, _)| *id == self.id).map(|(_, seconds)| *seconds)
    }
}

/// Whether a criterion counts for the assignment as given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The assignment asks for it.
    Core,
    /// It goes beyond the assignment and is scored apart.
    Bonus,
}

/// Every level, in the order of the course.
pub const LEVELS: &[&Level] = &[&level1::LEVEL, &level2::LEVEL, &level3::LEVEL];
