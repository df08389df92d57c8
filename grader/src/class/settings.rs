//! What a teacher decides about points: a small TOML file.
//!
//! ```toml
//! exclude = ["level1/promise"]     # levels, exercises, criteria that do not count
//! reference = "none"               # what a level is worth that is still the course's reference: "none" or "full"
//! bonus = 0.5                      # what a bonus point counts in the total; 0 if it is not named
//!
//! [weights]                        # what a core point of a level counts in the total; 1 if it is not named
//! level2 = 2
//!
//! [late]
//! due = 2027-03-31T23:59:00+02:00
//! free_days = 2                    # late days without a loss
//! percent_per_day = 10             # of the total, for each further day that has begun
//! most_days = 7                    # beyond them the total is 0
//! extensions = { "anna" = 3 }      # more free days, by the fork's name
//! ```
use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use thiserror::Error;
use toml::value::Datetime;

use super::moment::Moment;
use crate::catalog;
use crate::select::{Started, full_name};
use crate::starter::{FileError, files};

/// The decisions.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    /// Full names of levels, exercises and criteria that do not count.
    pub exclude: Vec<String>,
    /// Whether a level that is still the reference counts.
    pub reference_counts: bool,
    /// What a bonus point counts in the total.
    pub bonus: f64,
    /// What a core point counts, by level.
    pub weights: BTreeMap<String, f64>,
    /// What lateness costs.
    pub late: Option<Late>,
}

/// What lateness costs.
#[derive(Debug, Clone, PartialEq)]
pub struct Late {
    /// The end of the time.
    pub due: Moment,
    /// Days without a loss.
    pub free_days: u32,
    /// Of the total, for each further day.
    pub percent_per_day: f64,
    /// Beyond so many days, counted from the due time, nothing is left.
    pub most_days: Option<u32>,
    /// More free days, by the fork's name.
    pub extensions: BTreeMap<String, u32>,
}

/// The file cannot be used.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// It cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is not there.
    #[error("{0} is not there: name the file with --settings")]
    Missing(String),
    /// It is no TOML of this form.
    #[error("{path}: {why}")]
    Form {
        /// The file.
        path: String,
        /// What is wrong, with its line.
        why: String,
    },
    /// A value is out of its range.
    #[error("{path}: `{key}` {why}")]
    Value {
        /// The file.
        path: String,
        /// The value's name.
        key: String,
        /// What is wrong, and what to write.
        why: String,
    },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default)]
    exclude: Vec<String>,
    #[serde(default)]
    reference: Reference,
    #[serde(default)]
    bonus: f64,
    #[serde(default)]
    weights: BTreeMap<String, f64>,
    late: Option<RawLate>,
}

#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Reference {
    #[default]
    None,
    Full,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLate {
    due: Datetime,
    #[serde(default)]
    free_days: u32,
    #[serde(default)]
    percent_per_day: f64,
    most_days: Option<u32>,
    #[serde(default)]
    extensions: BTreeMap<String, u32>,
}

/// Reads the settings of a file.
///
/// # Errors
///
/// [`SettingsError`].
pub fn read(path: &Path) -> Result<Settings, SettingsError> {
    let name = path.display().to_string();
    match files::read(path)? {
        Some(text) => parse(&text, &name),
        None => Err(SettingsError::Missing(name)),
    }
}

fn parse(text: &str, path: &str) -> Result<Settings, SettingsError> {
    let raw: Raw = toml::from_str(text).map_err(|why| SettingsError::Form {
        path: path.to_owned(),
        why: why.to_string().trim_end().to_owned(),
    })?;
    let bad = |key: &str, why: String| SettingsError::Value {
        path: path.to_owned(),
        key: key.to_owned(),
        why,
    };
    let amount = |key: &str, value: f64| {
        let fits = value.is_finite() && (0.0..=1000.0).contains(&value);
        if fits {
            Ok(value)
        } else {
            Err(bad(key, format!("is {value}: write a number from 0 to 1000")))
        }
    };
    let mut settings = Settings {
        reference_counts: raw.reference == Reference::Full,
        bonus: amount("bonus", raw.bonus)?,
        ..Settings::default()
    };
    for name in &raw.exclude {
        let full =
            full_name(name, &Started::new()).map_err(|why| bad("exclude", format!(": {why}")))?;
        settings.exclude.push(full);
    }
    for (level, weight) in raw.weights {
        if catalog::level(&level).is_none() {
            let known: Vec<&str> = catalog::LEVELS.iter().map(|level| level.name).collect();
            return Err(bad(
                &format!("weights.{level}"),
                format!("is no level: write one of {}", known.join(", ")),
            ));
        }
        let weight = amount(&format!("weights.{level}"), weight)?;
        settings.weights.insert(level, weight);
    }
    if let Some(late) = raw.late {
        let Some(due) = Moment::of(&late.due) else {
            let why =
                "needs a date, a time and the offset from UTC, such as 2027-03-31T23:59:00+02:00";
            return Err(bad("late.due", why.to_owned()));
        };
        if !(0.0..=100.0).contains(&late.percent_per_day) {
            let why = format!("is {}: write a number from 0 to 100", late.percent_per_day);
            return Err(bad("late.percent_per_day", why));
        }
        settings.late = Some(Late {
            due,
            free_days: late.free_days,
            percent_per_day: late.percent_per_day,
            most_days: late.most_days,
            extensions: late.extensions,
        });
    }
    Ok(settings)
}

impl Settings {
    /// Whether a criterion counts.
    #[must_use]
    pub fn counts(&self, id: &str) -> bool {
        let is_in = |name: &String| {
            id.strip_prefix(name.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        !self.exclude.iter().any(is_in)
    }

    /// What a core point of a level counts in the total.
    #[must_use]
    pub fn weight(&self, level: &str) -> f64 {
        self.weights.get(level).copied().unwrap_or(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first block of TOML in a text, each line without `prefix`.
    fn example(text: &str, prefix: &str) -> Settings {
        let begin = format!("{prefix} ```toml");
        let lines = text.lines().map(|line| format!(" {line}"));
        let lines = lines.skip_while(|line| line.trim() != begin.trim()).skip(1);
        let lines = lines.map(|line| line.trim_start().trim_start_matches(prefix).to_owned());
        let block: Vec<String> = lines.take_while(|line| line.trim() != "```").collect();
        assert!(block.len() > 8, "no example in {text}");
        parse(&block.join("\n"), "class.toml").expect("the example")
    }

    #[test]
    fn the_examples_of_the_documents_are_read_and_say_the_same() {
        let root = crate::workspace::of_this_run().expect("the workspace");
        let settings = example(include_str!("settings.rs"), "//!");
        let teach = std::fs::read_to_string(root.join("docs/teach.md")).expect("the document");
        assert_eq!(settings, example(&teach, ""));
        assert_eq!(settings.exclude, ["level1/promise"]);
        assert!(
            !settings.counts("level1/promise/threads") && settings.counts("level1/promisify/any")
        );
        assert_eq!(
            (settings.weight("level2"), settings.weight("level1"), settings.bonus),
            (2.0, 1.0, 0.5)
        );
        let late = settings.late.expect("late days");
        assert_eq!((late.due, late.extensions["anna"]), (Moment(1_806_530_340), 3));
        assert_eq!(parse("", "class.toml").expect("no settings"), Settings::default());
    }

    #[test]
    fn a_bad_value_is_named_with_what_to_write() {
        for (text, words) in [
            ("weights = { levl2 = 1 }", "`weights.levl2` is no level: write one of level1"),
            ("weights = { level2 = -1 }", "`weights.level2` is -1: write a number from 0"),
            ("bonus = nan", "`bonus` is NaN"),
            ("exclude = [\"level2/rac\"]", "did you mean `level2/race`"),
            ("exlude = []", "unknown field `exlude`"),
            ("bonus = ", "line 1"),
            ("[late]\ndue = 2027-03-31", "`late.due` needs a date, a time and the offset"),
            ("[late]\ndue = 2027-03-31T00:00:00Z\npercent_per_day = 110", "from 0 to 100"),
            ("[late]\nfree_days = 2", "missing field `due`"),
            ("reference = \"half\"", "unknown variant `half`"),
        ] {
            let said = parse(text, "class.toml").expect_err(text).to_string();
            assert!(said.starts_with("class.toml: ") && said.contains(words), "{said}");
        }
        let missing = read(Path::new("/no/such/class.toml")).expect_err("missing").to_string();
        assert!(missing.contains("--settings"), "{missing}");
    }
}
