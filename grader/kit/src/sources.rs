//! The text of the level under judgement, for the criteria that ask how something is written.
use std::fs;
use std::io::Read as _;
use std::path::Path;

/// Files larger than this, and more files than [`MOST_FILES`], are not source code to be judged.
const MOST_BYTES: u64 = 1 << 20;
const MOST_FILES: usize = 200;

/// One source file of the level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Relative to the level's folder, with forward slashes: `src/combinators.rs`.
    pub path: String,
    /// The text of the file.
    pub text: String,
}

/// Reads all `.rs` files below `LEVEL/src`, sorted by path. Links are not followed, and what cannot
/// be read is left out: the compiler has already said what it thinks of it.
pub(crate) fn read(level: &Path) -> Vec<Source> {
    let mut found = Vec::new();
    walk(&level.join("src"), "src", &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn walk(folder: &Path, name: &str, found: &mut Vec<Source>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let (Ok(kind), Ok(file)) = (entry.file_type(), entry.file_name().into_string()) else {
            continue;
        };
        let path = format!("{name}/{file}");
        if kind.is_dir() {
            walk(&entry.path(), &path, found);
        } else if kind.is_file() && file.ends_with(".rs") && found.len() < MOST_FILES {
            let mut text = String::new();
            let read = fs::File::open(entry.path())
                .and_then(|file| file.take(MOST_BYTES).read_to_string(&mut text));
            if read.is_ok() {
                found.push(Source { path, text });
            }
        }
    }
}
