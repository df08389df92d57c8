//! What the documents say about the criteria is what the catalog says, and their links lead somewhere.
use std::path::{Path, PathBuf};

use grader::catalog::LEVELS;
use grader_proofs::tables;

fn root() -> PathBuf {
    grader::workspace::of_this_run().expect("the workspace")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn a_levels_readme_has_the_tables_of_its_criteria() {
    for level in LEVELS {
        let text = read(&root().join(level.name).join("README.md"));
        let wanted = tables::replace(&text, level);
        let wanted = wanted.unwrap_or_else(|what| panic!("{}/README.md {what}", level.name));
        assert!(
            wanted == text,
            "{}/README.md is out of date: {}",
            level.name,
            "cargo run -q -p grader-proofs --example readme-tables -- --write"
        );
    }
}

#[test]
fn what_the_criteria_name_is_there() {
    let criteria = LEVELS.iter().flat_map(|level| level.exercises).flat_map(|e| e.criteria);
    for criterion in criteria {
        let file = root().join(criterion.file);
        assert!(file.is_file(), "{} names {}", criterion.id, criterion.file);
    }
    for level in LEVELS {
        for provided in level.provided {
            let path = root().join(level.name).join(provided);
            assert!(path.exists(), "{} provides {provided}", level.name);
        }
    }
}

/// Targets of the Markdown links in `text` that name a file of the repository.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| rest.split(')').next()).filter_map(|target| {
        let file = target.split('#').next().unwrap_or_default();
        (!file.is_empty() && !file.contains("://")).then_some(file)
    })
}

#[test]
fn links_lead_to_files() {
    let mut documents = vec![root().join("README.md"), root().join("grader/README.md")];
    for level in LEVELS {
        let folder = root().join(level.name);
        let entries = std::fs::read_dir(&folder).expect("the level").flatten().map(|e| e.path());
        documents.extend(entries.filter(|path| path.extension().is_some_and(|ext| ext == "md")));
    }
    for document in documents {
        let folder = document.parent().expect("a folder");
        let text = read(&document);
        let lost: Vec<&str> = links(&text).filter(|link| !folder.join(link).exists()).collect();
        assert!(lost.is_empty(), "{}: {lost:?}", document.display());
    }
}
