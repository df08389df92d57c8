//! A form whose fields are checked while the user fills them in.

mod builder;
mod engine;
mod form;
mod rule;
mod status;
mod values;

pub use builder::{ConfigError, FormBuilder};
pub use form::{Form, SubmitError, UnknownField};
pub use rule::{Checking, Rule};
pub use status::{CheckFailed, FailedCheck, FieldStatus, FormStatus, ServerErrors, Verdict};
pub use values::{Code, FieldId, Snapshot};
