//! The grader's exit codes, which scripts may rely on.
use std::process::ExitCode;

/// How a run of the grader ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: full core marks, or the command did what was asked.
    Success,
    /// 1: some criteria failed: a core criterion, or one that was asked for by its id.
    CriteriaFailed,
    /// 2: could not grade: bad arguments, no cargo, a report that could not be written. Also what
    /// the argument parser uses.
    CouldNotGrade,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Success => ExitCode::SUCCESS,
            Exit::CriteriaFailed => ExitCode::from(1),
            Exit::CouldNotGrade => ExitCode::from(2),
        }
    }
}
