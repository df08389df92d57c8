//! Which forks there are.
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::moment::{Moment, NoMoment};

/// One fork to grade.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fork {
    /// How the gradebook calls it.
    pub name: String,
    /// Where it lies: a folder, a git repository or a zip file. It may be missing.
    pub path: PathBuf,
    /// When it was handed in, where the list says so.
    pub submitted: Option<Moment>,
}

/// The forks of a class.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roster {
    /// In the order of the list, or by name.
    pub forks: Vec<Fork>,
    /// Names of files in the folder that are neither a folder nor a zip file.
    pub passed_over: Vec<String>,
}

/// There is no list of forks.
#[derive(Debug, Error)]
pub enum RosterError {
    /// The system said no.
    #[error("cannot read {}: {source}. Name a folder that holds the forks, or a CSV file", .path.display())]
    Io {
        /// What was to be read.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// One fork instead of many.
    #[error(
        "{} is one fork: name the folder that holds the forks, or grade this one with `cargo grade` and \
         --root",
        .0.display()
    )]
    OneFork(PathBuf),
    /// A file that is no list.
    #[error("{} is no list: write a CSV file whose first line is `name,path`", .0.display())]
    NotAList(PathBuf),
    /// Nothing to grade.
    #[error("{} has no forks: put a folder, a git repository or a zip file for each learner there", .0.display())]
    Empty(PathBuf),
    /// A line that cannot be read.
    #[error("{}, line {line}: {why}", .path.display())]
    Line {
        /// The list.
        path: PathBuf,
        /// Counted from 1.
        line: u64,
        /// What is wrong, and what to do.
        why: String,
    },
}

/// Reads a folder of forks, or a CSV list with the columns `name` and `path` and, if wanted, `submitted`.
/// Paths in a list count from the list's folder.
///
/// # Errors
///
/// [`RosterError`]. That a fork of a list is missing is none: it is a result of that fork.
pub fn read(path: &Path) -> Result<Roster, RosterError> {
    let io = |source| RosterError::Io { path: path.to_path_buf(), source };
    let kind = fs::metadata(path).map_err(io)?;
    let roster = if kind.is_dir() { of_folder(path)? } else { of_list(path)? };
    if roster.forks.is_empty() {
        return Err(RosterError::Empty(path.to_path_buf()));
    }
    Ok(roster)
}

fn of_folder(folder: &Path) -> Result<Roster, RosterError> {
    let io = |source| RosterError::Io { path: folder.to_path_buf(), source };
    if folder.join("Cargo.toml").is_file() && folder.join("grader").is_dir() {
        return Err(RosterError::OneFork(folder.to_path_buf()));
    }
    let mut roster = Roster::default();
    for entry in fs::read_dir(folder).map_err(io)? {
        let entry = entry.map_err(io)?;
        let file_name = entry.file_name().to_string_lossy().into_owned();
        if file_name.starts_with('.') {
            continue;
        }
        let kind = entry.file_type().map_err(io)?;
        let is_zip = kind.is_file() && file_name.to_lowercase().ends_with(".zip");
        let name = match file_name.get(..file_name.len().saturating_sub(4)) {
            Some(stem) if is_zip => stem.to_owned(),
            _ => file_name.strip_suffix(".git").unwrap_or(&file_name).to_owned(),
        };
        // A link is listed: that it is one is the fork's result.
        if kind.is_dir() || kind.is_symlink() || is_zip {
            roster.forks.push(Fork { name, path: entry.path(), submitted: None });
        } else {
            roster.passed_over.push(file_name);
        }
    }
    roster.forks.sort_by(|one, other| (&one.name, &one.path).cmp(&(&other.name, &other.path)));
    roster.passed_over.sort();
    // `anna` and `anna.zip`: the whole file name tells them apart.
    let mut names = BTreeMap::new();
    for fork in &roster.forks {
        *names.entry(fork.name.clone()).or_insert(0) += 1;
    }
    for fork in roster.forks.iter_mut().filter(|fork| names.get(&fork.name) != Some(&1)) {
        let file_name = fork.path.file_name().unwrap_or_default();
        fork.name = file_name.to_string_lossy().into_owned();
    }
    Ok(roster)
}

fn of_list(path: &Path) -> Result<Roster, RosterError> {
    let io = |source| RosterError::Io { path: path.to_path_buf(), source };
    let text = fs::read_to_string(path).map_err(io)?;
    // A spreadsheet writes this mark in front.
    let text = text.trim_start_matches('\u{feff}');
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    let heads = reader.headers().map_err(|_| RosterError::NotAList(path.to_path_buf()))?.clone();
    let column = |name: &str| heads.iter().position(|head| head.eq_ignore_ascii_case(name));
    let (Some(name_at), Some(path_at)) = (column("name"), column("path")) else {
        return Err(RosterError::NotAList(path.to_path_buf()));
    };
    let submitted_at = column("submitted");
    let mut roster = Roster::default();
    let mut lines: BTreeMap<String, u64> = BTreeMap::new();
    for record in reader.records() {
        let bad = |line, why| RosterError::Line { path: path.to_path_buf(), line, why };
        let record = record.map_err(|error| {
            let line = error.position().map_or(0, csv::Position::line);
            bad(line, format!("{error}; each line has as many fields as the first one"))
        })?;
        let line = record.position().map_or(0, csv::Position::line);
        let field = |at: usize| record.get(at).unwrap_or_default();
        let (name, place) = (field(name_at).to_owned(), field(path_at));
        if name.is_empty() || place.is_empty() {
            return Err(bad(line, "a name and a path are needed".to_owned()));
        }
        if let Some(first) = lines.insert(name.clone(), line) {
            let why =
                format!("`{name}` stands in line {first} already: give each fork its own name");
            return Err(bad(line, why));
        }
        let submitted = match submitted_at.map(field) {
            None | Some("") => None,
            Some(text) => Some(text.parse().map_err(|why: NoMoment| bad(line, why.to_string()))?),
        };
        roster.forks.push(Fork { name, path: folder.join(place), submitted });
    }
    Ok(roster)
}

impl Roster {
    /// The part of the forks that one of several machines grades: every `of`-th, beginning with the one
    /// of this number, counted from 1.
    #[must_use]
    pub fn shard(mut self, number: usize, of: usize) -> Roster {
        let of = of.max(1);
        let mut at = 0;
        self.forks.retain(|_| {
            at += 1;
            at % of == number % of
        });
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Result<Roster, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("class.csv");
        fs::write(&path, text).expect("a list");
        let roster = read(&path).map_err(|error| error.to_string())?;
        let strip = |fork: &Fork| fork.path.strip_prefix(folder.path()).map(Path::to_path_buf);
        let forks = roster.forks.iter().map(|fork| Fork {
            path: strip(fork).unwrap_or_else(|_| fork.path.clone()),
            ..fork.clone()
        });
        Ok(Roster { forks: forks.collect(), ..roster.clone() })
    }

    #[test]
    fn a_list_is_read_in_its_order_and_script() {
        let roster = list(
            "\u{feff}name,path,submitted\n\"Ξένη, A\",repos/a.git,\nб, /b ,2027-01-01T00:00:00Z\n",
        );
        let forks = roster.expect("a list").forks;
        assert_eq!(forks[0].name, "Ξένη, A");
        assert_eq!(forks[0].path, Path::new("repos/a.git"));
        assert_eq!(forks[1].path, Path::new("/b"));
        assert_eq!(forks[1].submitted, Some(Moment(1_798_761_600)));
    }

    #[test]
    fn a_bad_line_is_named() {
        for (text, words) in [
            ("name,path\na,b\na,c\n", "line 3: `a` stands in line 2 already"),
            ("name,path\na,\n", "line 2: a name and a path are needed"),
            ("name,path\na,b,c\n", "line 2"),
            ("name,path,submitted\na,b,soon\n", "line 2: `soon` is no point in time"),
            ("student,repo\na,b\n", "whose first line is `name,path`"),
            ("name,path\n", "has no forks"),
        ] {
            let said = list(text).expect_err(text);
            assert!(said.contains(words), "{said}");
        }
    }

    #[test]
    fn a_folder_holds_forks_of_three_kinds() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["бета", "anna", "carl.git", ".hidden"] {
            fs::create_dir(folder.path().join(name)).expect("a folder");
        }
        for name in ["anna.zip", "dora.ZIP", "notes.txt"] {
            fs::write(folder.path().join(name), "").expect("a file");
        }
        let roster = read(folder.path()).expect("a roster");
        let names: Vec<&str> = roster.forks.iter().map(|fork| fork.name.as_str()).collect();
        assert_eq!(names, ["anna", "anna.zip", "carl", "dora", "бета"]);
        assert_eq!(roster.passed_over, ["notes.txt"]);
        let shards: usize = (1..=3).map(|n| roster.clone().shard(n, 3).forks.len()).sum();
        assert_eq!(shards, 5);
    }

    #[test]
    fn one_fork_is_no_class() {
        let root = crate::workspace::of_this_run().expect("the workspace");
        assert!(read(&root).expect_err("one fork").to_string().contains("is one fork"));
        let said = read(Path::new("/no/such/class")).expect_err("missing").to_string();
        assert!(said.contains("/no/such/class"), "{said}");
    }
}
