//! A started level, and a newer reference.

use std::path::{Path, PathBuf};

use super::files;
use super::level::{self, Source};
use super::plan::{StarterError, plan};
use super::reference::{self, FOLDER, Origin};
use crate::catalog::Level;

/// What a newer blank does to one of the learner's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewed {
    /// The course has a new file to write: its blank is put there.
    New,
    /// The file was still the old blank: it is the newer one now.
    Blank,
    /// The blank has changed and the learner has written the file: it stays, and the newer blank is put into
    /// `.course/update`.
    Beside,
}

/// A file of a started level for which the newer reference has another blank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenewedFile {
    /// Relative to the workspace.
    pub path: PathBuf,
    /// The outcome.
    pub renewed: Renewed,
    blank: String,
}

/// What a newer reference changes in a started level. Nothing has been done yet.
#[derive(Debug)]
pub struct Renewal {
    level: &'static str,
    /// The files that the learner has to know of, sorted by path.
    pub files: Vec<RenewedFile>,
    reference: Vec<Source>,
}

/// Where the newer version of a file is put that the learner has changed, relative to the workspace.
#[must_use]
pub fn beside(path: &Path) -> PathBuf {
    Path::new(FOLDER).join("update").join(path)
}

/// Compares the blanks of a started level with those of the newer course at `course`.
///
/// Where the reference of the start is lost, every file that differs from the newer blank is the learner's.
///
/// # Errors
///
/// [`StarterError`] when the newer reference cannot be read or blanked.
pub fn renewal(root: &Path, course: &Path, level: &'static Level) -> Result<Renewal, StarterError> {
    let old = plan(root, level).ok();
    let reference = reference::read(course, level, None)?;
    let inside = |path: &str| Path::new(level.name).join(path);
    let blanks = level::blank(&reference)
        .map_err(|it| StarterError::Blank { path: inside(&it.path), cause: it.cause })?;
    let mut renewed = Vec::new();
    for (path, blank) in blanks {
        let (path, Some(blank)) = (inside(path), blank) else { continue };
        let now = files::read(&root.join(&path))?;
        let planned = old.as_ref().and_then(|old| old.files.iter().find(|file| file.path == path));
        let was = planned.and_then(|file| file.blank.as_deref());
        let is = |one: Option<&str>, other: &str| one.is_some_and(|it| files::same_text(it, other));
        let kind = match now.as_deref() {
            now if is(now, &blank) || is(was, &blank) => continue,
            None if was.is_none() => Renewed::New,
            Some(now) if is(was, now) => Renewed::Blank,
            _ => Renewed::Beside,
        };
        renewed.push(RenewedFile { path, renewed: kind, blank });
    }
    Ok(Renewal { level: level.name, files: renewed, reference })
}

impl Renewal {
    /// Writes the blanks, and keeps a copy of the newer reference: no commit of the learner's history has it.
    ///
    /// # Errors
    ///
    /// [`StarterError`] when the disk refuses.
    pub fn apply(&self, root: &Path) -> Result<(), StarterError> {
        // First the reference: a blank whose reference is lost cannot be compared any more.
        reference::save(root, self.level, &self.reference)?;
        reference::remember(root, self.level, &Origin::Copy)?;
        for file in &self.files {
            let path = match file.renewed {
                Renewed::New | Renewed::Blank => file.path.clone(),
                Renewed::Beside => beside(&file.path),
            };
            files::write(&root.join(path), &file.blank)?;
        }
        Ok(())
    }
}
