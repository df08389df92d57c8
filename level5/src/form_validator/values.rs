//! Names of fields, codes of errors, and the values of a form.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

// starter: keep
/// The name of a field.
///
/// ```
/// use level5::form_validator::{FieldId, FormBuilder, UnknownField};
///
/// const NAME: FieldId = FieldId::new("name");
///
/// let form = FormBuilder::new().field(NAME).build()?;
/// form.set(NAME, "anna")?;
/// assert_eq!(form.value(NAME)?, "anna");
/// let other = FieldId::new("email");
/// assert_eq!(form.set(other, "anna@example.com"), Err(UnknownField(other)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldId(&'static str);

impl FieldId {
    /// The field of this name.
    // starter: keep
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self(name)
    }

    /// The name.
    // starter: keep
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

// starter: keep
impl fmt::Display for FieldId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

// starter: keep
/// An error or a warning, as a program reads it. The page turns it into a text for a person.
///
/// ```
/// use level5::form_validator::Code;
///
/// const REQUIRED: Code = Code::new("required");
///
/// let message = |code: Code| match code {
///     REQUIRED => "Please fill in this field.",
///     _ => "Please check this field.",
/// };
/// assert_eq!(message(Code::new("required")), "Please fill in this field.");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(&'static str);

impl Code {
    /// The code of this name.
    // starter: keep
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self(name)
    }

    /// The name.
    // starter: keep
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

// starter: keep
impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

// starter: keep
/// Values of fields at one moment. A clone shares them.
///
/// A rule gets the value of its own field and of those that it reads. [`Form::submit`](super::Form::submit) sends the
/// values of all fields.
///
/// ```
/// use level5::form_validator::{FieldId, Snapshot};
///
/// const NAME: FieldId = FieldId::new("name");
///
/// let values: Snapshot = [(NAME, "anna".into())].into_iter().collect();
/// assert_eq!(values.get(NAME), Some("anna"));
/// assert_eq!(values.get(FieldId::new("email")), None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Snapshot(Arc<BTreeMap<FieldId, Arc<str>>>);

impl Snapshot {
    /// The value of a field, or `None` where the snapshot does not have it: a rule that did not say that it reads a
    /// field does not see it.
    // starter: keep
    #[must_use]
    pub fn get(&self, field: FieldId) -> Option<&str> {
        self.0.get(&field).map(|value| &**value)
    }

    /// The fields with their values, in the order of the fields' names.
    // starter: keep
    pub fn iter(&self) -> impl Iterator<Item = (FieldId, &str)> {
        self.0.iter().map(|(field, value)| (*field, &**value))
    }
}

// starter: keep
impl FromIterator<(FieldId, Arc<str>)> for Snapshot {
    fn from_iter<I: IntoIterator<Item = (FieldId, Arc<str>)>>(values: I) -> Self {
        Self(Arc::new(values.into_iter().collect()))
    }
}
