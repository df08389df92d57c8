//! A form whose fields are checked while the user fills them in.
//!
//! ```text
//!             set                plain rules accept            every check has a verdict
//!  Pristine ───────▶ plain rules ──────────────────▶ Pending ──────────────────────────▶ Valid
//!     ▲                   │                            │  │                          └─▶ Invalid
//!     │ reset             │ a rule has errors          │  │ a check has no verdict
//!     │                   └─▶ Invalid                  │  └─▶ Unknown
//!  from everywhere                                     │ set: the old check is dropped, a new one waits
//!                                                      └─▶ Pending, or Invalid
//! ```
//!
//! Lesson: `level5/lessons/form_validator.md`.

mod builder;
mod check;
mod fields;
mod form;
mod graph;
mod rule;
mod status;
mod values;

pub use builder::{ConfigError, FormBuilder};
pub use form::{Form, SubmitError, UnknownField};
pub use rule::{Checking, Rule};
pub use status::{CheckFailed, FailedCheck, FieldStatus, FormStatus, ServerErrors, Verdict};
pub use values::{Code, FieldId, Snapshot};
