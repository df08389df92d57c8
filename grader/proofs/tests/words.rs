//! The texts of the project use the words of the field: none of those that `words.toml` lists.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use grader::catalog::LEVELS;
use grader_proofs::prose::{self, Kind, Word};
use serde::Deserialize;

/// The list.
const LIST: &str = "grader/proofs/words.toml";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    word: Vec<Entry>,
    /// What an id of a criterion does not use either.
    id: Vec<Entry>,
    #[serde(default)]
    exempt: Vec<Exempt>,
}

/// An entry of the list: words to avoid, and the replacement.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    forms: Vec<String>,
    instead: String,
}

/// A line that keeps its word.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Exempt {
    file: String,
    /// Part of the line.
    line: String,
    why: String,
}

/// One use of a listed word.
struct Hit {
    file: String,
    line: usize,
    form: String,
    instead: String,
}

fn root() -> PathBuf {
    grader::workspace::of_this_run().expect("the workspace")
}

/// The texts below `folder`: the path from the root, and what it is written in.
fn texts(root: &Path, folder: &Path, found: &mut Vec<(String, Kind)>) {
    let mut entries: Vec<_> = std::fs::read_dir(folder).expect("a folder").flatten().collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        let ours = !name.starts_with('.') || matches!(name.as_str(), ".ci" | ".github");
        if path.is_dir() {
            if ours && name != "target" {
                texts(root, &path, found);
            }
        } else if let Some(kind) = Kind::of_file(&name).filter(|_| ours) {
            let path = path.strip_prefix(root).expect("below the root");
            found.push((path.display().to_string(), kind));
        }
    }
}

/// The uses of listed words in one text.
fn hits(file: &str, kind: Kind, text: &str, list: &[Entry]) -> Vec<Hit> {
    let words = prose::words(&prose::of(kind, text));
    let mut found = Vec::new();
    for entry in list {
        for form in &entry.forms {
            let wanted: Vec<&str> = form.split(' ').collect();
            let uses = words.windows(wanted.len()).filter(|window| is_phrase(window, &wanted));
            found.extend(uses.map(|window| Hit {
                file: file.to_owned(),
                line: window[0].line,
                form: form.clone(),
                instead: entry.instead.clone(),
            }));
        }
    }
    found
}

fn is_phrase(window: &[Word], wanted: &[&str]) -> bool {
    window
        .iter()
        .zip(wanted)
        .all(|(word, wanted)| word.text == *wanted || word.text.strip_suffix("'s") == Some(*wanted))
        && window.iter().skip(1).all(|word| word.joined)
}

#[test]
fn the_texts_use_plain_words() {
    let root = root();
    let read = |file: &str| std::fs::read_to_string(root.join(file)).expect("a text");
    let list: List = toml::from_str(&read(LIST)).unwrap_or_else(|error| panic!("{LIST}: {error}"));
    let mut files = Vec::new();
    texts(&root, &root, &mut files);
    let mut used = vec![false; list.exempt.len()];
    let mut found = Vec::new();
    for (file, kind) in files.iter().filter(|(file, _)| file != LIST) {
        // Recorded outputs may be other than text.
        let Ok(text) = std::fs::read_to_string(root.join(file)) else { continue };
        let lines: Vec<&str> = text.lines().collect();
        found.extend(hits(file, *kind, &text, &list.word).into_iter().filter(|hit| {
            let line = lines[hit.line - 1];
            let exempt = |exempt: &Exempt| exempt.file == *file && line.contains(&exempt.line);
            let exempt = list.exempt.iter().position(exempt);
            exempt.inspect(|at| used[*at] = true).is_none()
        }));
    }
    let mut sums: BTreeMap<&str, usize> = BTreeMap::new();
    for hit in &found {
        *sums.entry(&hit.form).or_default() += 1;
    }
    let lines = found.iter().map(|hit| {
        format!("{}:{}: \"{}\"; write instead: {}", hit.file, hit.line, hit.form, hit.instead)
    });
    let lines: Vec<String> = lines.collect();
    assert!(lines.is_empty(), "{}\n{} uses: {sums:?}", lines.join("\n"), lines.len());
    for (exempt, used) in list.exempt.iter().zip(used) {
        assert!(used, "{LIST}: no line needs the exemption of {}: {}", exempt.file, exempt.line);
        assert!(!exempt.why.is_empty(), "{LIST}: {} is exempt without a reason", exempt.file);
    }
}

/// The ids of criteria, each with its hyphens as spaces: a learner reads and types them.
#[test]
fn the_ids_of_criteria_use_plain_words() {
    let list = std::fs::read_to_string(root().join(LIST)).expect("the list");
    let list: List = toml::from_str(&list).unwrap_or_else(|error| panic!("{LIST}: {error}"));
    let list: Vec<Entry> = list.word.into_iter().chain(list.id).collect();
    let found: Vec<String> = LEVELS
        .iter()
        .flat_map(|level| level.exercises)
        .flat_map(|exercise| exercise.criteria)
        .flat_map(|criterion| in_id(criterion.id, &list))
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// The listed words in an id.
fn in_id(id: &str, list: &[Entry]) -> Vec<String> {
    let name = id.rsplit('/').next().unwrap_or(id).replace('-', " ");
    let found = hits(id, Kind::Plain, &name, list).into_iter();
    found.map(|hit| format!("{id}: \"{}\"; write instead: {}", hit.form, hit.instead)).collect()
}

#[test]
fn a_phrase_is_found_in_the_last_part_of_an_id() {
    let list = [Entry { forms: vec!["for ever".to_owned()], instead: "forever".to_owned() }];
    assert_eq!(in_id("level3/limiter/waits-for-ever", &list).len(), 1);
    assert!(in_id("level3/for-ever/waits", &list).is_empty());
}

#[test]
fn a_phrase_is_found_across_lines_and_not_in_code() {
    let list = [Entry { forms: vec!["for ever".to_owned()], instead: "forever".to_owned() }];
    let code =
        "/// It waits for\n/// ever.\nfn for_ever() { f(\"for\", \"ever\") } // `for ever`\n";
    let found = hits("a.rs", Kind::Rust, code, &list);
    assert_eq!(found.iter().map(|hit| hit.line).collect::<Vec<_>>(), [1]);
}
