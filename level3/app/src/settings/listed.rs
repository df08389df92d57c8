//! The options with their values and where each comes from.

use std::ffi::{OsStr, OsString};
use std::fmt;

use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, Command};
use serde_json::{Value, json};

use super::{Settings, settable};

/// The source of a value that is given nowhere.
const DEFAULT: &str = "default";

impl Settings {
    /// Lists the options of a command with their values and where each comes from.
    pub fn listed(&self, command: &Command, matches: &ArgMatches) -> Listed {
        let mut lines = Vec::new();
        for (name, argument) in settable(command) {
            let id = argument.get_id().as_str();
            let is_default = !matches!(matches.value_source(id), Some(ValueSource::CommandLine));
            let value = match argument.get_action() {
                ArgAction::SetTrue => Some(Value::Bool(matches.get_flag(id))),
                _ => matches.get_raw(id).and_then(Iterator::last).map(|raw| hidden(raw).into()),
            };
            let source = match self.inherited.get(name) {
                _ if is_default => DEFAULT.to_owned(),
                // The words of the command line come last, and so they are what `last` returns.
                Some(source) if self.is_last(name) => source.to_string(),
                _ => "command line".to_owned(),
            };
            lines.push((name.to_owned(), value, source));
        }
        Listed(lines)
    }

    /// Whether the only word with this option is the inherited one.
    fn is_last(&self, name: &str) -> bool {
        let (long, with_value) = (format!("--{name}"), format!("--{name}="));
        let is_it = |word: &&OsString| {
            word.to_str().is_some_and(|word| word == long || word.starts_with(&with_value))
        };
        self.words.iter().filter(is_it).count() == 1
    }
}

/// The options of a command with their values and sources. As text it is a file for `--config`.
pub struct Listed(Vec<(String, Option<Value>, String)>);

impl Listed {
    /// The same for programs.
    pub fn json(&self) -> Value {
        let entry = |(name, value, source): &(String, Option<Value>, String)| {
            (name.clone(), json!({ "value": value, "source": source }))
        };
        Value::Object(self.0.iter().map(entry).collect())
    }
}

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value, source) in &self.0 {
            // A text of JSON is one of TOML, too. A default is a comment: in a file it would stand in the
            // way of an option that excludes it.
            let line = match value {
                Some(value) if source == DEFAULT => format!("# {name} = {value}"),
                Some(value) => format!("{name} = {value}"),
                None => format!("# {name} is not set"),
            };
            writeln!(f, "{line:<44} # {source}")?;
        }
        Ok(())
    }
}

/// A URL without its password.
pub(super) fn hidden(raw: &OsStr) -> String {
    let text = raw.to_string_lossy();
    let Some((scheme, rest)) = text.split_once("://") else { return text.into_owned() };
    let Some((user, host)) = rest.rsplit_once('@') else { return text.into_owned() };
    match user.split_once(':') {
        Some((user, _)) => format!("{scheme}://{user}:***@{host}"),
        None => text.into_owned(),
    }
}
