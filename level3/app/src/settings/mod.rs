//! Options of a file and of the environment, below those of the command line.
//!
//! Each option has one name. `--tls-key FILE` is `tls-key = "FILE"` in the table `[serve]` of the file
//! that `--config` names, since it is an option of `serve`, and `PAYMENT_GATEWAY_TLS_KEY` in the
//! environment. The command line wins over the environment, the environment over the file, and the
//! file over the default. This module only decides which texts the command line gets; what the texts
//! mean is decided in one place, by clap.

mod file;
mod listed;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, Command};

use file::File;

/// What the name of a variable begins with.
const VARIABLE: &str = "PAYMENT_GATEWAY_";
/// Options that only make sense on a command line.
const COMMAND_LINE_ONLY: [&str; 4] = ["config", "check-config", "help", "version"];

/// The origin of an option's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The file that `--config` names.
    File(PathBuf),
    /// A variable of the environment.
    Variable(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Variable(name) => f.write_str(name),
        }
    }
}

/// Why the options cannot be gathered.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// `--config` without a file.
    #[error("--config needs a file")]
    NoFile,
    /// The file cannot be read.
    #[error("{}: {why}", path.display())]
    Io {
        /// The path of the file.
        path: PathBuf,
        /// The error of the operating system.
        why: io::Error,
    },
    /// The file is not TOML.
    #[error("{}: {why}", path.display())]
    Syntax {
        /// The path of the file.
        path: PathBuf,
        /// The parser's message, with line and column.
        why: String,
    },
    /// The file has an option that does not exist there.
    #[error("{}: there is no option {name}. {}", path.display(), advice)]
    Unknown {
        /// The path of the file.
        path: PathBuf,
        /// The name of the option, with its table.
        name: String,
        /// Where it belongs, or how to see what exists.
        advice: String,
    },
    /// An option of the file has a value that is no text, number or boolean.
    #[error("{}: {name} needs a text, a number, true or false", path.display())]
    Shape {
        /// The path of the file.
        path: PathBuf,
        /// The name of the option.
        name: String,
    },
    /// An option without a value is neither on nor off.
    #[error("{origin}: {name} is either true or false")]
    NoBoolean {
        /// The origin of the value.
        origin: Source,
        /// The name of the option.
        name: String,
    },
}

/// The command line with everything that it inherits.
#[derive(Debug)]
pub struct Settings {
    /// The words for clap.
    pub words: Vec<OsString>,
    /// Where the options come from that the command line inherits, by name.
    pub inherited: BTreeMap<String, Source>,
}

/// Adds the options of the file and of the environment to a command line.
///
/// # Errors
///
/// [`SettingsError`] says what is wrong, and where.
pub fn gather(
    program: &Command,
    given: Vec<OsString>,
    variable: impl Fn(&str) -> Option<OsString>,
    read: impl Fn(&Path) -> io::Result<String>,
) -> Result<Settings, SettingsError> {
    let place = subcommand(program, &given);
    let chosen = place.and_then(|at| program.find_subcommand(&given[at]));
    let file = match option(&given, "--config")? {
        Some(path) => Some(path),
        None => variable("PAYMENT_GATEWAY_CONFIG").filter(|path| !path.is_empty()),
    };
    let file = file.map(|path| File::read(program, PathBuf::from(path), read)).transpose()?;
    let mut inherited = BTreeMap::new();
    let mut layer = |command: &Command, table: &str| -> Result<Vec<OsString>, SettingsError> {
        let mut words = Vec::new();
        for (name, argument) in settable(command) {
            let variable_name = variable_of(name);
            let (value, source) = if let Some(value) = variable(&variable_name) {
                (value, Source::Variable(variable_name))
            } else if let Some((file, value)) = file.as_ref().and_then(|it| it.get(table, name)) {
                (value.into(), Source::File(file.to_owned()))
            } else {
                continue;
            };
            if let Some(word) = word(name, argument, &value, &source)? {
                words.push(word);
                inherited.insert(name.to_owned(), source);
            }
        }
        Ok(words)
    };
    let for_all = layer(program, "")?;
    let own = chosen.map(|chosen| layer(chosen, chosen.get_name())).transpose()?;
    // What is inherited comes first: of an option that is there twice, clap takes the last one.
    let mut words = given;
    if let (Some(at), Some(own)) = (place, own) {
        words.splice(at + 1..=at, own);
    }
    let after_name = words.len().min(1);
    words.splice(after_name..after_name, for_all);
    Ok(Settings { words, inherited })
}

impl Settings {
    /// Says where the inherited options come from that an error of the command line names, a line for
    /// each of them.
    pub fn explain(&self, error: &str) -> String {
        let is_named = |name: &str| {
            let long = format!("--{name}");
            error.match_indices(&long).any(|(at, _)| {
                let next = error[at + long.len()..].chars().next();
                !next.is_some_and(|next| next.is_ascii_alphanumeric() || next == '-')
            })
        };
        let named = self.inherited.iter().filter(|(name, _)| is_named(name));
        named.map(|(name, source)| format!("--{name} has the value of {source}\n")).collect()
    }
}

/// The name of an option's variable.
fn variable_of(name: &str) -> String {
    format!("{VARIABLE}{}", name.replace('-', "_").to_ascii_uppercase())
}

/// The options of a command that a file or a variable may set. Those that may be repeated are not
/// among them: the command line could only add to such an option, and not replace it.
fn settable(command: &Command) -> impl Iterator<Item = (&str, &Arg)> {
    command.get_arguments().filter_map(|argument| {
        let name = argument.get_long()?;
        let is_single = matches!(argument.get_action(), ArgAction::Set | ArgAction::SetTrue);
        (is_single && !COMMAND_LINE_ONLY.contains(&name)).then_some((name, argument))
    })
}

/// Writes an option as one word of the command line; `None` for one that is switched off.
fn word(
    name: &str,
    argument: &Arg,
    value: &OsStr,
    source: &Source,
) -> Result<Option<OsString>, SettingsError> {
    if matches!(argument.get_action(), ArgAction::SetTrue) {
        return match value.to_str() {
            Some("true") => Ok(Some(format!("--{name}").into())),
            Some("false") => Ok(None),
            _ => Err(SettingsError::NoBoolean { origin: source.clone(), name: name.to_owned() }),
        };
    }
    let mut word = OsString::from(format!("--{name}="));
    word.push(value);
    Ok(Some(word))
}

/// Finds the place of the command among the words: the first word that is neither an option nor the
/// value of one.
fn subcommand(program: &Command, words: &[OsString]) -> Option<usize> {
    let takes_a_value = |long: &str| {
        let mut all = program.get_arguments();
        all.any(|it| it.get_long() == Some(long) && matches!(it.get_action(), ArgAction::Set))
    };
    let mut at = 1;
    while let Some(word) = words.get(at) {
        match word.to_str()?.strip_prefix("--") {
            Some("") => return None,
            Some(long) if takes_a_value(long) => at += 2,
            Some(_) => at += 1,
            None => return program.find_subcommand(word).map(|_| at),
        }
    }
    None
}

/// Returns the last value of an option among the words.
fn option(words: &[OsString], long: &str) -> Result<Option<OsString>, SettingsError> {
    let mut found = None;
    let mut rest = words.iter().take_while(|word| *word != "--");
    while let Some(word) = rest.next() {
        if word == long {
            found = Some(rest.next().ok_or(SettingsError::NoFile)?.clone());
        } else if let Some(value) =
            word.to_str().and_then(|word| word.strip_prefix(long)?.strip_prefix('='))
        {
            found = Some(value.into());
        }
    }
    Ok(found)
}
