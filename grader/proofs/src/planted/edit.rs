//! Edits that are anchored in the syntax of the reference.
//!
//! An edit names a file, an item of it (see [`items`](mod@super::items)) and a few tokens, which must stand in that item
//! exactly once. Comments, doc comments and layout do not count. All edits of a planted solution speak of
//! the reference as it is, not of what another edit made of it.
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use grader::submission::Files;
use serde::Deserialize;
use thiserror::Error;

use super::items::{self, items};
use super::tokens::{self, Token, shown, tokens};

/// One change of one file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    /// Relative to the level's folder: `src/race.rs`.
    pub file: String,
    /// The path of the item to change; the whole file if it is missing.
    pub item: Option<String>,
    /// Tokens that stand in the item once.
    pub find: Option<String>,
    /// What takes the place of the tokens, or of the whole item where there is no `find`.
    pub replace: Option<String>,
    /// What is inserted before the tokens.
    pub before: Option<String>,
    /// What is inserted after the tokens.
    pub after: Option<String>,
    /// What is inserted after the opening brace of the item.
    pub prepend: Option<String>,
    /// What is inserted at the end: before the closing brace of the item, or at the end of the file.
    pub append: Option<String>,
}

/// An edit that does not fit the reference.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum EditError {
    /// The keys of the edit do not go together.
    #[error("an edit of {file} needs {needs}")]
    Form {
        /// The file to edit.
        file: String,
        /// The keys that the edit needs.
        needs: &'static str,
    },
    /// There is no such file.
    #[error("there is no {file}; {}", suggestion("the files with the most similar names are", .near))]
    NoFile {
        /// The file to edit.
        file: String,
        /// Files that exist.
        near: Vec<String>,
    },
    /// The file, or the tokens to find, cannot be read as Rust.
    #[error("{what} cannot be read as Rust: {why}")]
    NotRust {
        /// The text that cannot be parsed.
        what: String,
        /// The parser's words.
        why: String,
    },
    /// The file has no such item.
    #[error("{file} has no item `{item}`; {}", suggestion("the items with the most similar paths are", .near))]
    NoItem {
        /// The file to edit.
        file: String,
        /// The path that names nothing.
        item: String,
        /// Paths of items that exist.
        near: Vec<String>,
    },
    /// The path names several items.
    #[error("{file} has {} items `{item}`, on lines {}; write their generic parameters or name an item within one of them", .lines.len(), listed(.lines))]
    ManyItems {
        /// The file to edit.
        file: String,
        /// The path.
        item: String,
        /// The lines on which the items begin.
        lines: Vec<usize>,
    },
    /// The item does not have the tokens.
    #[error("{place} does not have the tokens `{find}`; {found}")]
    NoTokens {
        /// The item and its file.
        place: String,
        /// The tokens to find.
        find: String,
        /// The closest tokens of the item.
        found: String,
    },
    /// The item has the tokens more than once.
    #[error("{place} has the tokens `{find}` {} times, on lines {}; find more of what surrounds them", .lines.len(), listed(.lines))]
    ManyTokens {
        /// The item and its file.
        place: String,
        /// The tokens to find.
        find: String,
        /// The lines of the matches.
        lines: Vec<usize>,
    },
    /// `prepend` or `append` to an item that does not end in a brace.
    #[error("{place} has no braces to insert text between")]
    NoBraces {
        /// The item and its file.
        place: String,
    },
    /// Two edits change the same tokens.
    #[error("two edits of {file} change the same tokens, on line {line}")]
    Overlap {
        /// The file to edit.
        file: String,
        /// Where the second one begins.
        line: usize,
    },
}

/// What an edit is in terms of bytes.
#[derive(Debug)]
struct Change {
    at: Range<usize>,
    line: usize,
    text: String,
}

impl Change {
    fn insert(at: usize, line: usize, text: &str) -> Change {
        Change { at: at..at, line, text: format!("\n{text}\n") }
    }
}

/// The reference of a level. Each file is read as Rust once, however many edits it has.
#[derive(Debug)]
pub struct Reference {
    files: Files,
    sources: RefCell<BTreeMap<String, Rc<Source>>>,
}

impl Reference {
    /// The reference with these files.
    #[must_use]
    pub fn new(files: Files) -> Reference {
        Reference { files, sources: RefCell::default() }
    }

    /// Returns the changed files.
    #[must_use]
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// Its files with all edits made.
    ///
    /// # Errors
    ///
    /// [`EditError`] for the first edit that does not fit.
    pub fn edited(&self, edits: &[Edit]) -> Result<Files, EditError> {
        let mut by_file: BTreeMap<&str, Vec<&Edit>> = BTreeMap::new();
        for edit in edits {
            by_file.entry(&edit.file).or_default().push(edit);
        }
        let mut files = self.files.clone();
        for (file, edits) in by_file {
            files.insert(file, self.source(file)?.edited(&edits)?);
        }
        Ok(files)
    }

    fn source(&self, file: &str) -> Result<Rc<Source>, EditError> {
        if let Some(source) = self.sources.borrow().get(file) {
            return Ok(Rc::clone(source));
        }
        let Some(bytes) = self.files.get(file) else { return Err(self.no_file(file)) };
        let source = Rc::new(Source::read(file, &String::from_utf8_lossy(bytes))?);
        self.sources.borrow_mut().insert(file.to_owned(), Rc::clone(&source));
        Ok(source)
    }

    fn no_file(&self, file: &str) -> EditError {
        let mut near: Vec<&str> = self.files.iter().map(|(path, _)| path).collect();
        let likeness = |other: &str| strsim::jaro_winkler(file, other);
        near.sort_by(|a, b| likeness(b).total_cmp(&likeness(a)));
        let near = near.into_iter().take(3).map(str::to_owned).collect();
        EditError::NoFile { file: file.to_owned(), near }
    }
}

/// A file of the reference, read as Rust.
#[derive(Debug)]
struct Source {
    file: String,
    text: String,
    tokens: Vec<Token>,
    items: Vec<items::Item>,
}

impl Source {
    fn read(file: &str, text: &str) -> Result<Source, EditError> {
        let not_rust = |why: String| EditError::NotRust { what: file.to_owned(), why };
        Ok(Source {
            file: file.to_owned(),
            text: text.to_owned(),
            tokens: tokens(text).map_err(|error| not_rust(error.to_string()))?,
            items: items(text).map_err(|error| not_rust(error.to_string()))?,
        })
    }

    fn edited(&self, edits: &[&Edit]) -> Result<String, EditError> {
        let mut changes =
            edits.iter().map(|edit| self.change(edit)).collect::<Result<Vec<_>, _>>()?;
        // Insertions at the same place keep their order and stand before what is replaced there.
        changes.sort_by_key(|change| (change.at.start, change.at.end));
        let mut edited = String::with_capacity(self.text.len());
        let mut done = 0;
        for Change { at, line, text } in changes {
            if at.start < done {
                return Err(EditError::Overlap { file: self.file.clone(), line });
            }
            edited.push_str(&self.text[done..at.start]);
            edited.push_str(&text);
            done = at.end;
        }
        edited.push_str(&self.text[done..]);
        Ok(edited)
    }

    fn change(&self, edit: &Edit) -> Result<Change, EditError> {
        let form = |needs| EditError::Form { file: edit.file.clone(), needs };
        let item = edit.item.as_deref().map(|path| self.item(path)).transpose()?;
        if let Some(find) = &edit.find {
            let (at, line) = self.find(find, edit, item)?;
            return match (&edit.replace, &edit.before, &edit.after, &edit.prepend, &edit.append) {
                (Some(new), None, None, None, None) => Ok(Change { at, line, text: new.clone() }),
                (None, Some(new), None, None, None) => {
                    Ok(Change { at: at.start..at.start, line, text: format!("{new}\n") })
                }
                (None, None, Some(new), None, None) => Ok(Change::insert(at.end, line, new)),
                _ => Err(form("one of `replace`, `before` and `after` beside `find`")),
            };
        }
        match (item, &edit.replace, &edit.before, &edit.after, &edit.prepend, &edit.append) {
            (Some(item), Some(new), None, None, None, None) => {
                Ok(Change { at: item.at.clone(), line: item.line, text: new.clone() })
            }
            (Some(item), None, None, None, Some(new), None) => {
                let (open, _) = self.braces(item, edit)?;
                Ok(Change::insert(open.at.end, open.line, new))
            }
            (Some(item), None, None, None, None, Some(new)) => {
                let (_, close) = self.braces(item, edit)?;
                Ok(Change::insert(close.at.start, close.line, new))
            }
            (None, None, None, None, None, Some(new)) => {
                let line = self.tokens.last().map_or(1, |token| token.line);
                Ok(Change::insert(self.text.len(), line, new))
            }
            _ => Err(form(
                "`find`, or an `item` with one of `replace`, `prepend` and `append`, or `append` alone",
            )),
        }
    }

    /// The braces that an item ends in.
    fn braces(&self, item: &items::Item, edit: &Edit) -> Result<(&Token, &Token), EditError> {
        let mut depth = 0_usize;
        let row = self.within(Some(item));
        let close = row.last().filter(|token| token.text == "}");
        let open = row.iter().rev().find(|token| {
            match token.text.as_str() {
                "}" => depth += 1,
                "{" => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth == 0
        });
        open.zip(close).ok_or_else(|| EditError::NoBraces { place: self.place(edit) })
    }

    fn item(&self, path: &str) -> Result<&items::Item, EditError> {
        let (file, item) = (self.file.clone(), path.to_owned());
        match items::named(&self.items, path).as_slice() {
            [] => Err(EditError::NoItem { file, item, near: items::nearest(&self.items, path) }),
            [one] => Ok(one),
            many => {
                let lines = many.iter().map(|item| item.line).collect();
                Err(EditError::ManyItems { file, item, lines })
            }
        }
    }

    /// The tokens of an item, or of the file.
    fn within(&self, item: Option<&items::Item>) -> &[Token] {
        let Some(item) = item else { return &self.tokens };
        let start = self.tokens.partition_point(|token| token.at.start < item.at.start);
        let end = self.tokens.partition_point(|token| token.at.end <= item.at.end);
        &self.tokens[start..end]
    }

    fn find(
        &self,
        find: &str,
        edit: &Edit,
        item: Option<&items::Item>,
    ) -> Result<(Range<usize>, usize), EditError> {
        let wanted = tokens(find).map_err(|error| EditError::NotRust {
            what: format!("`find = {find:?}`"),
            why: format!("{error}; each bracket needs its partner"),
        })?;
        let (Some(_), row) = (wanted.first(), self.within(item)) else {
            return Err(EditError::Form { file: edit.file.clone(), needs: "tokens in `find`" });
        };
        match tokens::places(row, &wanted).as_slice() {
            [] => Err(EditError::NoTokens {
                place: self.place(edit),
                find: shown(&wanted),
                found: nearest(row, &wanted),
            }),
            &[start] => {
                let found = &row[start..start + wanted.len()];
                let end = found.last().map_or(0, |token| token.at.end);
                Ok((found[0].at.start..end, found[0].line))
            }
            many => Err(EditError::ManyTokens {
                place: self.place(edit),
                find: shown(&wanted),
                lines: many.iter().map(|&start| row[start].line).collect(),
            }),
        }
    }

    fn place(&self, edit: &Edit) -> String {
        match &edit.item {
            Some(item) => format!("`{item}` of {}", self.file),
            None => self.file.clone(),
        }
    }
}

/// What comes closest to `wanted`, in words.
fn nearest(row: &[Token], wanted: &[Token]) -> String {
    let Some((start, length)) = tokens::nearest(row, wanted) else {
        return "not even the first of them".to_owned();
    };
    let common = shown(&row[start..start + length]);
    let line = row[start].line;
    let found = row.get(start + length).map_or("the end", |token| &token.text);
    format!(
        "line {line} comes closest: it has `{common}` and then `{found}` instead of `{}`",
        wanted[length].text
    )
}

fn suggestion(intro: &str, near: &[String]) -> String {
    if near.is_empty() {
        return "there is none".to_owned();
    }
    format!("{intro} `{}`", near.join("`, `"))
}

fn listed(lines: &[usize]) -> String {
    lines.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
}
