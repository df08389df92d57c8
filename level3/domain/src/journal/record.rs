//! The records of a saga.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::ser::Error as _;
use serde::{Deserialize, Serialize};

/// The name of a step, which stays the same for as long as journals are kept.
pub type StepName = Cow<'static, str>;

/// A saga's state as JSON. It may hold secrets, so `Debug` shows only its length. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload(Arc<str>);

/// The most bytes of a buffer that a thread keeps.
const KEPT: usize = 64 * 1024;

thread_local! {
    // Each thread writes into one buffer, so that a payload allocates once, in its own size.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

impl Payload {
    /// Converts a value to JSON.
    ///
    /// # Errors
    ///
    /// When the value cannot be written as JSON: a map whose keys are not texts, for instance.
    pub fn of(value: &impl Serialize) -> Result<Self, serde_json::Error> {
        // Taken and not borrowed: the value is foreign code, which may write a payload of its own.
        let mut json = BUFFER.take();
        json.clear();
        serde_json::to_writer(&mut json, value)?;
        // serde_json writes UTF-8.
        let text = str::from_utf8(&json).map_err(serde_json::Error::custom)?;
        let payload = Self(text.into());
        if json.capacity() <= KEPT {
            BUFFER.set(json);
        }
        Ok(payload)
    }

    /// Converts the JSON back to a value.
    ///
    /// # Errors
    ///
    /// When the JSON does not have the form of the value.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(&self.0)
    }

    /// The JSON text. Not for logs.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.0.len())
    }
}

/// Whether a call or a step that failed may have had its effect.
///
/// There is no third case "it did": a call that is known to have succeeded has not failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The call had no effect and will have none later.
    None,
    /// The effect is unknown: the call may even still be under way.
    Unknown,
}

/// What kind of failure ended a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// A business answer: the saga has ended, and no service is broken.
    Declined,
    /// A refusal that a repeat would get again: bad input, or an answer that does not fit the
    /// question.
    Rejected,
    /// A transient failure: another attempt may succeed.
    Transient,
    /// The step was not tried, because the service is known to be down or overloaded.
    Unavailable,
    /// The deadline had passed.
    Deadline,
    /// The step panicked.
    Panicked,
    /// The process died before the step had an outcome.
    Interrupted,
}

impl FailureKind {
    /// Whether a new attempt at the saga may succeed.
    #[must_use]
    pub const fn is_transient(self) -> bool {
        !matches!(self, Self::Declined | Self::Rejected)
    }
}

/// The failure because of which a saga is undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SagaFailure {
    /// The step that failed. With [`FailureKind::Interrupted`] it is the last step that had begun, or the
    /// saga's kind if none had.
    pub step: StepName,
    /// The kind of the failure.
    pub kind: FailureKind,
    /// The message of the failure, for people. Without secrets.
    pub message: String,
}

impl fmt::Display for SagaFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.step, self.message)
    }
}

/// A step that could not be undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stuck {
    /// The name of the step.
    pub step: String,
    /// Why the last attempt failed.
    pub cause: String,
    /// The number of attempts, those of earlier owners included.
    pub attempts: u32,
}

/// One record of a journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Record {
    /// The saga exists.
    Begun {
        /// Which kind of saga: the code that recovers it has to know its steps.
        kind: StepName,
        /// The state that it begins with.
        state: Payload,
    },
    /// The step is about to be tried. From here on it may have had its effect.
    StepStarted {
        /// The name of the step.
        step: StepName,
    },
    /// The step has had its effect.
    StepDone {
        /// The name of the step.
        step: StepName,
        /// The state that the step or its undo returned.
        state: Payload,
    },
    /// The step has failed. The saga continues or is undone.
    StepFailed {
        /// The cause, in words. Without secrets.
        failure: SagaFailure,
        /// Whether it may still have had its effect.
        may_have_acted: bool,
    },
    /// From here on the saga is undone.
    Compensating {
        /// The cause, in words. Without secrets.
        failure: SagaFailure,
    },
    /// A step is about to be undone.
    UndoStarted {
        /// The name of the step.
        step: StepName,
        /// The number of the attempt; the first is 1. It counts on when another owner takes the saga over.
        attempt: u32,
    },
    /// The step is undone.
    UndoDone {
        /// The name of the step.
        step: StepName,
        /// The state that the step or its undo returned.
        state: Payload,
    },
    /// The step could not be undone, and is not tried again until a redrive asks for it.
    UndoParked {
        /// The name of the step.
        step: StepName,
        /// Why the last attempt failed.
        cause: String,
        /// The number of attempts.
        attempts: u32,
    },
    /// The saga has ended with parked undos. Every other step is undone.
    Parked,
    /// All steps are done.
    Completed,
    /// Every step that may have had an effect is undone.
    Compensated,
}
