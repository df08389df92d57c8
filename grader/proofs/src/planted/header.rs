//! The description of a planted solution, as it stands in its TOML file.
use grader::catalog::Kind;
use serde::Deserialize;

use super::edit::Edit;

/// What [`Planted`](super::Planted) is read from.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    /// Ids of criteria, groups or levels.
    #[serde(default)]
    pub(super) fails: Vec<String>,
    pub(super) says: Option<String>,
    pub(super) why: String,
    /// Of a solution of a round: whether a core or a bonus criterion has to catch it.
    pub(super) breaks: Option<Kind>,
    /// Files to take away.
    #[serde(default)]
    pub(super) remove: Vec<String>,
    #[serde(default, rename = "edit")]
    pub(super) edits: Vec<Edit>,
}

impl Header {
    /// Reads and checks the text of a description.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in words.
    pub(super) fn read(text: &str, wrong: bool) -> Result<Header, String> {
        let header: Header = toml::from_str(text).map_err(|error| error.to_string())?;
        let complete = !header.fails.is_empty() && header.says.is_some();
        let bare = header.fails.is_empty() && header.says.is_none();
        if wrong && !complete {
            return Err("a wrong solution needs `fails` and `says`".to_owned());
        }
        if wrong && header.breaks.is_some() {
            return Err("`breaks` is for the solutions of a round: `fails` says it here".to_owned());
        }
        if !wrong && !bare {
            return Err("a right solution has neither `fails` nor `says`".to_owned());
        }
        Ok(header)
    }
}
