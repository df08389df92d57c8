//! Making a form.

use std::collections::BTreeSet;
use std::fmt;

use super::engine::{Asks, Entry, Kind, Plain};
use super::{Checking, FieldId, Form, Rule, Snapshot, Verdict};

/// Why there is no such form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The form has no field.
    #[error("the form has no field")]
    NoFields,
    /// The field was added twice.
    #[error("the field {0} was added twice")]
    DuplicateField(FieldId),
    /// A rule belongs to a field that the form does not have, or reads one.
    #[error("the rule {rule} needs the field {field}, which the form does not have")]
    UnknownField {
        /// The field.
        field: FieldId,
        /// The name of the rule.
        rule: &'static str,
    },
    /// Each of these fields reads the next one, and the last one reads the first.
    #[error("the fields read one another: {0:?}")]
    Cycle(Vec<FieldId>),
    /// The time limit of the rule is zero.
    #[error("the time limit of the rule {0} is zero")]
    ZeroTimeout(&'static str),
    /// The `ttl` of the rule is zero.
    #[error("the ttl of the rule {0} is zero")]
    ZeroTtl(&'static str),
}

/// Makes a [`Form`].
#[derive(Default)]
pub struct FormBuilder {
    fields: Vec<FieldId>,
    entries: Vec<Entry>,
}

impl fmt::Debug for FormBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FormBuilder")
    }
}

impl FormBuilder {
    /// A form without fields.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a field.
    #[must_use]
    pub fn field(mut self, field: FieldId) -> Self {
        self.fields.push(field);
        self
    }

    /// Adds a rule that answers at once.
    #[must_use]
    pub fn sync_rule(
        mut self,
        field: FieldId,
        name: &'static str,
        reads: &[FieldId],
        rule: impl Fn(&str, &Snapshot) -> Verdict + Send + Sync + 'static,
    ) -> Self {
        let kind = Kind::Plain(Plain { rule: Box::new(rule), answer: None });
        self.entries.push(Entry { field, name, reads: reads.iter().copied().collect(), kind });
        self
    }

    /// Adds a rule that asks a service.
    #[must_use]
    pub fn rule(mut self, field: FieldId, rule: impl Rule, checking: Checking) -> Self {
        let (name, reads) = (rule.name(), rule.reads().iter().copied().collect());
        let kind = Kind::Asks(Asks::new(field, rule, checking));
        self.entries.push(Entry { field, name, reads, kind });
        self
    }

    /// The form.
    ///
    /// # Errors
    ///
    /// [`ConfigError`].
    pub fn build(self) -> Result<Form, ConfigError> {
        let all: BTreeSet<FieldId> = self.fields.iter().copied().collect();
        if all.is_empty() {
            return Err(ConfigError::NoFields);
        }
        let mut met = BTreeSet::new();
        if let Some(twice) = self.fields.iter().find(|field| !met.insert(**field)) {
            return Err(ConfigError::DuplicateField(*twice));
        }
        for Entry { field, name, reads, kind } in &self.entries {
            if let Some(field) = reads.iter().chain([field]).find(|field| !all.contains(field)) {
                return Err(ConfigError::UnknownField { field: *field, rule: name });
            }
            if let Kind::Asks(Asks { checking, .. }) = kind {
                if checking.timeout.is_zero() {
                    return Err(ConfigError::ZeroTimeout(name));
                }
                if checking.ttl.is_zero() {
                    return Err(ConfigError::ZeroTtl(name));
                }
            }
        }
        if let Some(cycle) = cycle(&all, &self.entries) {
            return Err(ConfigError::Cycle(cycle));
        }
        Ok(Form::new(all, self.entries))
    }
}

/// Takes fields away that read none of the rest, as long as there are any. What is left reads something that is left:
/// walking along it must come back.
fn cycle(all: &BTreeSet<FieldId>, entries: &[Entry]) -> Option<Vec<FieldId>> {
    let mut reads: std::collections::BTreeMap<FieldId, BTreeSet<FieldId>> =
        all.iter().map(|field| (*field, BTreeSet::new())).collect();
    for entry in entries {
        reads.entry(entry.field).or_default().extend(&entry.reads);
    }
    let mut readers: std::collections::BTreeMap<FieldId, Vec<FieldId>> = Default::default();
    for (reader, read) in &reads {
        for field in read {
            readers.entry(*field).or_default().push(*reader);
        }
    }
    let mut free: Vec<FieldId> =
        reads.iter().filter(|(_, read)| read.is_empty()).map(|(field, _)| *field).collect();
    while let Some(field) = free.pop() {
        reads.remove(&field);
        for reader in readers.get(&field).into_iter().flatten() {
            if let Some(left) = reads.get_mut(reader)
                && left.remove(&field)
                && left.is_empty()
            {
                free.push(*reader);
            }
        }
    }
    let mut walk = vec![*reads.keys().next()?];
    loop {
        let next = *reads.get(walk.last()?)?.iter().find(|field| reads.contains_key(field))?;
        if let Some(from) = walk.iter().position(|field| *field == next) {
            return Some(walk.split_off(from));
        }
        walk.push(next);
    }
}
