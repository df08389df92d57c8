//! A criterion that failed, told so that the learner can mend it.
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Diagnosis, Figure};

/// The failure of a criterion.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Fail {
    /// What happened, in one line.
    pub headline: String,
    /// What should have been seen.
    pub expected: Option<String>,
    /// The observed value or behaviour.
    pub observed: Option<String>,
    /// What usually causes this and what to change.
    pub help: Option<String>,
    /// The id of the criterion to meet first, of another exercise: this one is built on it.
    #[serde(default)]
    pub first: Option<String>,
    /// Set when the call itself went wrong: it hung, blocked, panicked.
    pub diagnosis: Option<Diagnosis>,
    /// Panics of the judged code, the first one first.
    pub panics: Vec<PanicSite>,
    /// What the fakes saw, in the order in which they saw it.
    pub timeline: Vec<Event>,
    /// What was expected and what was observed, where a picture shows it better than words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub figure: Option<Box<Figure>>,
}

impl Fail {
    /// A failure with nothing but its headline.
    #[must_use]
    pub fn new(headline: impl Into<String>) -> Self {
        Fail { headline: headline.into(), ..Fail::default() }
    }

    /// A failure of the call itself; headline and help are the diagnosis's own words.
    #[must_use]
    pub fn diagnosed(call: &str, diagnosis: Diagnosis) -> Self {
        Fail {
            headline: format!("{call} {diagnosis}"),
            help: Some(diagnosis.help().to_owned()),
            diagnosis: Some(diagnosis),
            ..Fail::default()
        }
    }

    /// Adds what should have been seen.
    #[must_use]
    pub fn expected(mut self, text: impl Into<String>) -> Self {
        self.expected = Some(text.into());
        self
    }

    /// Adds what was seen.
    #[must_use]
    pub fn observed(mut self, text: impl Into<String>) -> Self {
        self.observed = Some(text.into());
        self
    }

    /// Adds the id of the criterion to meet first.
    #[must_use]
    pub fn first(mut self, id: impl Into<String>) -> Self {
        self.first = Some(id.into());
        self
    }

    /// Adds what to change.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }
}

/// Something that a fake saw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Virtual time since the criterion began, in microseconds.
    pub at_us: u64,
    /// Who saw it: the name of a source or of a callback.
    pub who: String,
    /// What it saw: "called", "answers", "dropped".
    pub what: String,
}

/// The place at which a panic began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PanicSite {
    /// The panic's message.
    pub message: String,
    /// The source file as the compiler names it.
    pub file: String,
    /// The line in that file.
    pub line: u32,
}

impl PanicSite {
    /// Whether the panic is the `todo!()` of an exercise that is not written yet.
    #[must_use]
    pub fn is_todo(&self) -> bool {
        self.message.starts_with("not yet implemented")
    }

    /// Whether the panic only met a lock that an earlier panic has poisoned.
    #[must_use]
    pub fn met_a_poisoned_lock(&self) -> bool {
        self.message.contains("PoisonError")
    }

    /// Whether the panic is the standard library's, about a panic that may not leave a destructor or another
    /// function: the process aborts.
    #[must_use]
    pub fn aborts(&self) -> bool {
        const TEXTS: [&str; 2] =
            ["panic in a destructor during cleanup", "panic in a function that cannot unwind"];
        TEXTS.contains(&self.message.as_str())
    }

    /// Whether the panic is the standard library's or tokio's word on a thread that was refused.
    #[must_use]
    pub fn is_refused_thread(&self) -> bool {
        self.message.contains("can't spawn worker thread")
            || self.message.contains("failed to spawn thread")
    }
}

impl fmt::Display for PanicSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' at {}:{}", self.message, self.file, self.line)
    }
}
