//! The file of options: TOML, with the options of a command in a table of its name.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use clap::Command;

use super::{SettingsError, settable};

/// The options of a file, each with the name of its table; the table of the program's own options has
/// no name.
pub(super) struct File {
    path: PathBuf,
    options: BTreeMap<(String, String), String>,
}

impl File {
    pub(super) fn read(
        program: &Command,
        path: PathBuf,
        read: impl Fn(&Path) -> io::Result<String>,
    ) -> Result<Self, SettingsError> {
        let text = read(&path).map_err(|why| SettingsError::Io { path: path.clone(), why })?;
        let table: toml::Table = toml::from_str(&text)
            .map_err(|why| SettingsError::Syntax { path: path.clone(), why: why.to_string() })?;
        let mut options = BTreeMap::new();
        for (name, value) in table {
            match (value, program.find_subcommand(&name)) {
                (toml::Value::Table(own), Some(command)) => {
                    for (own_name, value) in own {
                        let full = format!("{name}.{own_name}");
                        let text = checked(&path, program, command, (&own_name, &full), &value)?;
                        options.insert((name.clone(), own_name), text);
                    }
                }
                (value, _) => {
                    let text = checked(&path, program, program, (&name, &name), &value)?;
                    options.insert((String::new(), name), text);
                }
            }
        }
        Ok(Self { path, options })
    }

    pub(super) fn get(&self, table: &str, name: &str) -> Option<(&Path, &str)> {
        let text = self.options.get(&(table.to_owned(), name.to_owned()))?;
        Some((&self.path, text))
    }
}

/// Checks that an option exists in its table and that its value has a form that a command line has.
fn checked(
    path: &Path,
    program: &Command,
    command: &Command,
    (name, full): (&str, &str),
    value: &toml::Value,
) -> Result<String, SettingsError> {
    if !settable(command).any(|(known, _)| known == name) {
        let elsewhere = std::iter::once(program)
            .chain(program.get_subcommands())
            .find(|command| settable(command).any(|(known, _)| known == name));
        let advice = match elsewhere {
            Some(home) if home.get_name() == program.get_name() => {
                format!("Write {name} above all tables")
            }
            Some(home) => format!("Write it in the table [{}]", home.get_name()),
            None => "`payment-gateway --help` and `payment-gateway serve --help` list the options"
                .to_owned(),
        };
        return Err(SettingsError::Unknown {
            path: path.to_owned(),
            name: full.to_owned(),
            advice,
        });
    }
    match value {
        toml::Value::String(text) => Ok(text.clone()),
        toml::Value::Integer(number) => Ok(number.to_string()),
        toml::Value::Float(number) => Ok(number.to_string()),
        toml::Value::Boolean(flag) => Ok(flag.to_string()),
        _ => Err(SettingsError::Shape { path: path.to_owned(), name: full.to_owned() }),
    }
}
