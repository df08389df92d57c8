//! The builder of a form, and the settings that it refuses.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use level4::ttl_cache::{self, TtlCache};

use super::check::Check;
use super::fields::{Fields, RuleOf};
use super::graph::{Reads, reads_first};
use super::{Checking, FieldId, Form, Rule, Snapshot, Verdict};

/// Why a form was not built.
///
/// ```
/// use level5::form_validator::{ConfigError, FieldId, FormBuilder, Verdict};
///
/// const NAME: FieldId = FieldId::new("name");
/// const EMAIL: FieldId = FieldId::new("email");
///
/// assert_eq!(FormBuilder::new().build().err(), Some(ConfigError::NoFields));
/// // The rule reads a field that the form does not have.
/// let builder =
///     FormBuilder::new().field(NAME).sync_rule(NAME, "differs", &[EMAIL], |_, _| Verdict::ok());
/// let unknown = ConfigError::UnknownField { field: EMAIL, rule: "differs" };
/// assert_eq!(builder.build().err(), Some(unknown));
/// ```
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
    /// Each of these fields reads the next one, and the last one reads the first. A field that reads itself is a cycle
    /// of one: a rule has the value of its own field without reading it.
    #[error("the fields read one another: {}", path(.0))]
    Cycle(Vec<FieldId>),
    /// The time limit of the rule is zero.
    #[error("the time limit of the rule {0} is zero; a check needs a nanosecond at least")]
    ZeroTimeout(&'static str),
    /// The `ttl` of the rule is zero.
    #[error("the ttl of the rule {0} is zero; a verdict must be fresh for a nanosecond at least")]
    ZeroTtl(&'static str),
}

// starter: keep
fn path(cycle: &[FieldId]) -> String {
    let names: Vec<_> = cycle.iter().chain(cycle.first()).map(|field| field.as_str()).collect();
    names.join(" -> ")
}

/// Builds a [`Form`] from its fields, and their rules in the order in which their errors are shown.
///
/// A field may have any number of rules. Fields and rules may be added in any order.
///
/// ```
/// use level5::form_validator::{Code, FieldId, FieldStatus, FormBuilder, Verdict};
///
/// const PASSWORD: FieldId = FieldId::new("password");
/// const REPEAT: FieldId = FieldId::new("repeat");
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let form = FormBuilder::new()
///     .field(PASSWORD)
///     .field(REPEAT)
///     .sync_rule(REPEAT, "same", &[PASSWORD], |repeat, form| match form.get(PASSWORD) {
///         Some(password) if password == repeat => Verdict::ok(),
///         _ => Verdict::error(Code::new("differs")),
///     })
///     .build()?;
/// form.set(PASSWORD, "secret-7")?;
/// form.set(REPEAT, "secret-7")?;
/// assert_eq!(*form.field(REPEAT)?.borrow(), FieldStatus::Valid { warnings: vec![] });
/// # Ok(())
/// # }
/// ```
#[derive(Default)]
pub struct FormBuilder {
    /// As they were added. Whether they fit together is checked by `build`, so that they may be added in any order.
    fields: Vec<FieldId>,
    rules: Vec<Added>,
    /// The error of the first rule whose settings are refused. It waits for `build`: the methods of a builder return
    /// the builder, so that calls can be chained.
    refused: Option<ConfigError>,
}

/// A rule that was added, and what `build` checks of it.
struct Added {
    field: FieldId,
    name: &'static str,
    reads: BTreeSet<FieldId>,
    rule: RuleOf,
}

impl fmt::Debug for FormBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FormBuilder").finish_non_exhaustive()
    }
}

impl FormBuilder {
    /// Begins a form without fields.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a field. Its value is empty at first.
    #[must_use]
    pub fn field(mut self, field: FieldId) -> Self {
        self.fields.push(field);
        self
    }

    /// Adds a rule of `field` that answers at once. It sees the value, and those of the fields that it `reads`.
    ///
    /// The form calls the rule while it holds its lock, so the rule must not use the form.
    #[must_use]
    pub fn sync_rule(
        mut self,
        field: FieldId,
        name: &'static str,
        reads: &[FieldId],
        rule: impl Fn(&str, &Snapshot) -> Verdict + Send + Sync + 'static,
    ) -> Self {
        let reads: BTreeSet<_> = reads.iter().copied().collect();
        let rule = RuleOf::plain(name, sees(field, &reads), Box::new(rule));
        self.rules.push(Added { field, name, reads, rule });
        self
    }

    /// Adds a rule of `field` that asks a service.
    #[must_use]
    pub fn rule(mut self, field: FieldId, rule: impl Rule, checking: Checking) -> Self {
        let (name, reads) = (rule.name(), rule.reads().iter().copied().collect());
        let Checking { timeout, ttl, capacity, .. } = checking;
        if timeout.is_zero() {
            self.refused.get_or_insert(ConfigError::ZeroTimeout(name));
            return self;
        }
        // Each rule has a cache of its own: two rules may say different things about the same values. A verdict that
        // is past its ttl has no reader.
        let config = ttl_cache::Config { capacity, ttl, stale_for: Duration::ZERO };
        match TtlCache::new(config) {
            Err(ttl_cache::ConfigError::ZeroTtl) => {
                self.refused.get_or_insert(ConfigError::ZeroTtl(name));
            }
            Ok(verdicts) => {
                let check = Check::new(field, rule, checking, verdicts);
                let rule = RuleOf::asks(name, sees(field, &reads), check);
                self.rules.push(Added { field, name, reads, rule });
            }
        }
        self
    }

    /// Builds the form, with every field empty and pristine. No rule runs.
    ///
    /// # Errors
    ///
    /// [`ConfigError`]. Of several problems it names one.
    pub fn build(self) -> Result<Form, ConfigError> {
        if let Some(refused) = self.refused {
            return Err(refused);
        }
        if self.fields.is_empty() {
            return Err(ConfigError::NoFields);
        }
        // All fields first: a rule may have been added before the field that it belongs to or reads.
        let mut rules: BTreeMap<FieldId, Vec<RuleOf>> = BTreeMap::new();
        for field in self.fields {
            if rules.insert(field, Vec::new()).is_some() {
                return Err(ConfigError::DuplicateField(field));
            }
        }
        // Every field has an entry, also one that reads nothing: the order is made of all fields.
        let mut reads: Reads = rules.keys().map(|field| (*field, BTreeSet::new())).collect();
        for Added { field, name: rule, reads: of_rule, rule: added } in self.rules {
            let unknown = |field| ConfigError::UnknownField { field, rule };
            if let Some(read) = of_rule.iter().find(|read| !rules.contains_key(read)) {
                return Err(unknown(*read));
            }
            // Pushed in the order in which they were added, which is the order of their errors.
            rules.get_mut(&field).ok_or(unknown(field))?.push(added);
            reads.entry(field).or_default().extend(of_rule);
        }
        // Fields that read one another could not be validated in any order: each would wait for the other.
        let order = reads_first(&reads).map_err(ConfigError::Cycle)?;
        Ok(Form::new(Fields::new(rules, &reads), reads, order))
    }
}

/// The fields whose values a rule gets, and whose changes make it run again.
fn sees(field: FieldId, reads: &BTreeSet<FieldId>) -> BTreeSet<FieldId> {
    reads.iter().copied().chain([field]).collect()
}
