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

/// Whether `text` is a name as criteria have them: `user-first`.
fn is_criterion_like(text: &str) -> bool {
    text.contains('-')
        && text.split('-').all(|word| {
            !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
        })
}

#[test]
fn a_lesson_names_the_criteria_of_its_exercise() {
    for level in LEVELS {
        for exercise in level.exercises {
            let lessons = root().join(level.name).join("lessons");
            let names = [exercise.name.to_owned(), exercise.name.replace('-', "_")];
            let files = names.iter().map(|name| lessons.join(format!("{name}.md")));
            let Some(lesson) = files.into_iter().find(|file| file.is_file()) else { continue };
            let text = read(&lesson);
            let section = text.split("\n## ").find(|section| section.starts_with("What to write"));
            let section = section.unwrap_or_else(|| panic!("{}: no steps", lesson.display()));
            let named: Vec<&str> = section.split('`').skip(1).step_by(2).collect();
            let criteria = exercise.criteria.iter().filter_map(|c| c.id.rsplit('/').next());
            let criteria: Vec<&str> = criteria.collect();
            let unnamed: Vec<_> = criteria.iter().filter(|name| !named.contains(name)).collect();
            let unknown: Vec<_> = named
                .iter()
                .filter(|name| is_criterion_like(name) && !criteria.contains(name))
                .collect();
            assert!(
                unnamed.is_empty() && unknown.is_empty(),
                "{}: \"What to write\" does not name {unnamed:?}; no criteria are {unknown:?}",
                lesson.display()
            );
        }
    }
}

/// Targets of the Markdown links in `text` that name a file of the repository: inline ones and the
/// definitions of reference links.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let inline = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let defined = text.lines().filter(|line| line.starts_with('['));
    let defined = defined.filter_map(|line| line.split_once("]: ")).map(|(_, target)| target);
    inline.chain(defined).filter_map(|target| {
        let file = target.split('#').next().unwrap_or_default();
        (!file.is_empty() && !file.contains("://")).then_some(file)
    })
}

/// The Markdown files in a folder; none if there is no such folder.
fn markdown(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let files = entries.map(|entry| entry.path());
    files.filter(|path| path.extension().is_some_and(|ext| ext == "md")).collect()
}

#[test]
fn links_lead_to_files() {
    let mut documents = vec![root().join("README.md"), root().join("grader/README.md")];
    for level in LEVELS {
        let folder = root().join(level.name);
        documents.extend(markdown(&folder));
        documents.extend(markdown(&folder.join("lessons")));
    }
    for document in documents {
        let folder = document.parent().expect("a folder");
        let text = read(&document);
        let lost: Vec<&str> = links(&text).filter(|link| !folder.join(link).exists()).collect();
        assert!(lost.is_empty(), "{}: {lost:?}", document.display());
    }
}
