//! What the grader and a check process say to each other.
//!
//! The grader's only words are an [`Order`], the first line of the process's standard input: which
//! criterion, with which secret and which seed. Nothing of it stands in the arguments or the
//! environment, where the judged code could read it.
//!
//! A check process judges one criterion and sends one [`Message`] as a line of JSON over its verdict
//! channel. The grader believes it only if the [`nonce`](Message::nonce) is the one it gave to that
//! process: nothing that the judged code prints, and no exit code, counts as a verdict.

mod diagnosis;
mod fail;
pub mod figure;
pub mod limits;
mod text;

pub use diagnosis::Diagnosis;
pub use fail::{Event, Fail, PanicSite};
pub use figure::Figure;
pub use text::tidy;

use serde::{Deserialize, Serialize};

/// The version of the messages; a check binary of another build must not be misread.
pub const VERSION: u32 = 3;

/// Marks the line that carries the verdict where the channel is shared with the process's output.
pub const LINE_MARK: &str = "grader-verdict";

/// Marks a line of the error output of a process that is about to abort: a panic that led to it, as JSON.
pub const PANIC_MARK: &str = "grader-panic ";

/// What the grader asks of one check process: a line of JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// [`VERSION`] of the sender.
    pub version: u32,
    /// The secret that makes the answer credible.
    pub nonce: String,
    /// The criterion to judge.
    pub id: String,
    /// The seed of the run, from which the criterion draws its values.
    pub seed: u64,
    /// The channel of the answer.
    pub answer: Answer,
}

/// How the answer of a check process travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// Over the socket that the order came from.
    Socket,
    /// As a marked line of standard output: for platforms without such sockets.
    Output,
}

/// The answer of one check process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// [`VERSION`] of the sender.
    pub version: u32,
    /// The secret that the grader gave to this process, and to no other.
    pub nonce: String,
    /// The criterion that was judged.
    pub id: String,
    /// Why the criterion failed; `None` is a pass.
    pub fail: Option<Fail>,
    /// Remarks that decide nothing.
    pub notes: Vec<String>,
    /// What a scene has measured.
    pub figure: Option<Figure>,
    /// Virtual time that the judged calls took, in microseconds.
    pub virtual_us: u64,
    /// How the process was confined.
    pub jail: Jail,
}

/// How a check process was confined while the judged code ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Jail {
    /// Only computing, waiting and talking on open descriptors were allowed (Linux seccomp).
    Syscalls,
    /// The platform has no jail that we know how to use, or it was switched off.
    None,
}

/// Makes cargo compile this package again when the grader says that its sources are other ones, whatever
/// their modification times.
const _: Option<&str> = option_env!("COURSE_SOURCES_GRADER_PROTOCOL");
