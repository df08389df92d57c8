//! The table of criteria whose id has changed: `renamed.toml`.
use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;
use toml::Spanned;

use crate::read::Source;
use crate::{CriteriaError, Level};

/// The file beside the levels' folders.
pub const FILE: &str = "renamed.toml";

/// A criterion whose id has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renamed {
    /// The id that it had: no criterion has it now.
    pub from: String,
    /// The id that it has.
    pub to: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    renamed: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    from: Spanned<String>,
    to: Spanned<String>,
}

/// The rows of `folder/renamed.toml`, in their order. `levels` are those of the same folder.
///
/// # Errors
///
/// [`CriteriaError`] for a file that cannot be read, and for the first row whose old id is a criterion of `levels`
/// or stands twice, or whose new id is none.
pub fn renamed(folder: &Path, levels: &[Level]) -> Result<Vec<Renamed>, CriteriaError> {
    let source = Source::load(folder.join(FILE))?;
    let file: File = source.parse()?;
    let mut known = BTreeSet::new();
    for level in levels {
        for exercise in &level.exercises {
            let id = |name: &str| format!("{}/{}/{name}", level.name, exercise.name);
            known.extend(exercise.criteria.iter().map(|criterion| id(&criterion.name)));
        }
    }
    let mut seen = BTreeSet::new();
    let mut rows = Vec::new();
    for Row { from, to } in file.renamed {
        let refuse = |id: &Spanned<String>, what: &str| {
            Err(source.error(id.span(), format!("`{}` {what}", id.as_ref())))
        };
        if known.contains(from.as_ref()) {
            return refuse(&from, "is a criterion, so it cannot be an old id");
        }
        if !seen.insert(from.as_ref().clone()) {
            return refuse(&from, "stands twice");
        }
        if !known.contains(to.as_ref()) {
            return refuse(&to, "is no criterion: name the one that the old id means now");
        }
        rows.push(Renamed { from: from.into_inner(), to: to.into_inner() });
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{folder, read};

    /// What reading this table beside the course's own levels yields.
    fn read_table(table: &str) -> Result<Vec<Renamed>, String> {
        let levels = read(&folder()).expect("the course's criteria");
        let place = tempfile::tempdir().expect("a folder");
        fs::write(place.path().join(FILE), table).expect("a table");
        renamed(place.path(), &levels).map_err(|error| error.to_string())
    }

    fn row(from: &str, to: &str) -> String {
        format!("[[renamed]]\nfrom = \"{from}\"\nto = \"{to}\"\n")
    }

    const IS: &str = "level2/race/returns-at-the-third";

    #[test]
    fn every_old_id_of_the_course_is_gone_and_every_new_one_exists() {
        let levels = read(&folder()).expect("the course's criteria");
        let rows = renamed(&folder(), &levels).unwrap_or_else(|error| panic!("{error}"));
        assert!(!rows.is_empty());
    }

    #[test]
    fn a_row_leads_from_what_is_gone_to_what_exists() {
        let was = "level2/race/was-called-so";
        let rows = read_table(&row(was, IS)).expect("a good table");
        assert_eq!(rows, [Renamed { from: was.to_owned(), to: IS.to_owned() }]);
        assert_eq!(read_table(""), Ok(Vec::new()));
        let bad = [
            (row(IS, IS), "renamed.toml:2", "cannot be an old id"),
            (row(was, "level2/race/never-was"), "renamed.toml:3", "is no criterion"),
            (row(was, IS) + &row(was, IS), "renamed.toml:5", "stands twice"),
        ];
        for (table, place, why) in bad {
            let said = read_table(&table).expect_err(why);
            assert!(said.contains(place) && said.contains(why), "{said}");
        }
    }
}
