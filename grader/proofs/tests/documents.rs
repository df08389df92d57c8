//! What the documents say about the criteria is what the catalog says, and their links lead somewhere.
use std::path::{Path, PathBuf};

use grader::catalog::LEVELS;
use grader_proofs::{lessons, tables};

fn root() -> PathBuf {
    grader::workspace::of_this_run().expect("the workspace")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn what_documents_take_from_the_criteria_is_up_to_date() {
    let documents = tables::generated(&root()).unwrap_or_else(|what| panic!("{what}"));
    for (path, wanted) in documents {
        let there = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            there == wanted,
            "{} is out of date: cargo run -q -p grader-proofs --example readme-tables -- --write",
            path.display()
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
            let Some(lesson) = lessons::of(&root(), level, exercise) else { continue };
            let text = read(&lesson);
            let section = lessons::steps(&text);
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

/// `text` without its code blocks, and with the word `code` for each code span.
fn prose(text: &str) -> String {
    let mut prose = String::new();
    let mut fence: Option<&str> = None;
    for line in text.lines() {
        let start = line.trim_start();
        let marks = &start[..start.len() - start.trim_start_matches(['`', '~']).len()];
        match fence {
            Some(open) if marks.starts_with(open) && start == marks => fence = None,
            Some(_) => {}
            None if marks.len() >= 3 => fence = Some(marks),
            None => {
                // Every second piece is code.
                let pieces = line.split('`').enumerate();
                prose.extend(pieces.map(|(at, piece)| if at % 2 == 0 { piece } else { "code" }));
                prose.push('\n');
            }
        }
    }
    prose
}

/// Targets of the Markdown links in `text` that lead to the repository, such as `README.md#license`: inline
/// ones and the definitions of reference links. Code is left out.
fn links(text: &str) -> Vec<String> {
    let prose = prose(text);
    let inline = prose.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let defined = prose.lines().filter(|line| line.starts_with('['));
    let defined = defined.filter_map(|line| line.split_once("]: ")).map(|(_, target)| target);
    inline.chain(defined).filter(|target| !target.contains("://")).map(str::to_owned).collect()
}

/// The anchors of a page: GitHub's name of each heading. A heading that occurs twice has one with `-1`.
fn anchors(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut in_code = false;
    for line in text.lines() {
        in_code ^= line.trim_start().starts_with("```");
        let heading = line.trim_start_matches('#');
        if in_code || heading.len() == line.len() || !heading.starts_with(' ') {
            continue;
        }
        // The text of a link counts, its target does not.
        let mut words = String::new();
        let mut rest = heading;
        while let Some((before, after)) = rest.split_once("](") {
            words.push_str(before);
            rest = after.split_once(')').map_or("", |(_, behind)| behind);
        }
        words.push_str(rest);
        let kept = words.trim().chars().filter_map(|c| match c {
            ' ' => Some('-'),
            '-' | '_' => Some(c),
            _ => c.is_alphanumeric().then(|| c.to_ascii_lowercase()),
        });
        let name: String = kept.collect();
        let twice = found.iter().filter(|other| **other == name).count();
        found.push(if twice == 0 { name } else { format!("{name}-{twice}") });
    }
    found
}

/// Every Markdown file of the repository.
fn markdown_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let hidden = name.starts_with('.') && name != ".github";
        if path.is_dir() && !hidden && name != "target" {
            found.extend(markdown_files(&path));
        } else if name.ends_with(".md") {
            found.push(path);
        }
    }
    found
}

#[test]
fn links_lead_to_files_and_headings() {
    let documents = markdown_files(&root());
    for name in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"] {
        assert!(documents.contains(&root().join(name)), "{name}");
    }
    let mut lost = Vec::new();
    for document in documents {
        let folder = document.parent().expect("a folder");
        let text = read(&document);
        for link in links(&text) {
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if file.is_empty() { document.clone() } else { folder.join(file) };
            // A paragraph of code, `file.rs#L1`, has no heading.
            let has_headings = target.extension().is_some_and(|extension| extension == "md");
            let is_lost = !target.exists()
                || (has_headings
                    && !anchor.is_empty()
                    && !anchors(&read(&target)).iter().any(|name| name == anchor));
            if is_lost {
                lost.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert!(lost.is_empty(), "these links lead nowhere:\n{}", lost.join("\n"));
}

#[test]
fn code_holds_no_links() {
    let text = "[a](one.md) `[b](two.md)`\n```rust\n[c](three.md)\n```\n[d](four.md#part) [e](#f)\n\n[g]: five.md\n";
    assert_eq!(links(text), ["one.md", "four.md#part", "#f", "five.md"]);
}

#[test]
fn a_heading_has_the_anchor_of_github() {
    let text = "# A `name` of [x](y.md)\n\n```sh\n# no heading\n```\n## Where, and why?\n## Where, and why?\n";
    assert_eq!(anchors(text), ["a-name-of-x", "where-and-why", "where-and-why-1"]);
}

/// The value of `key` in the first line of the workspace's manifest that sets it.
fn of_manifest(key: &str) -> String {
    let manifest = read(&root().join("Cargo.toml"));
    let line = manifest.lines().find_map(|line| line.strip_prefix(&format!("{key} = ")));
    line.expect("a line of the manifest").trim_matches('"').to_owned()
}

#[test]
fn the_oldest_rust_is_the_same_everywhere() {
    let oldest = of_manifest("rust-version");
    for (file, words) in [
        ("README.md", format!("Rust {oldest} or newer")),
        ("CONTRIBUTING.md", format!("Rust {oldest} or newer")),
        ("CONTRIBUTING.md", format!("requires rustc {oldest}")),
        (".github/workflows/ci.yml", format!("RUST: \"{oldest}.0\"")),
        (".devcontainer/devcontainer.json", format!("rustup default {oldest}.0")),
    ] {
        assert!(read(&root().join(file)).contains(&words), "{file} does not say `{words}`");
    }
}

#[test]
fn settings_are_json() {
    for file in
        [".vscode/settings.json", ".vscode/extensions.json", ".devcontainer/devcontainer.json"]
    {
        let parsed: Result<serde_json::Value, _> = serde_json::from_str(&read(&root().join(file)));
        parsed.unwrap_or_else(|error| panic!("{file}: {error}"));
    }
}

#[test]
fn the_changelog_is_about_these_criteria() {
    let text = read(&root().join("CHANGELOG.md"));
    let version = of_manifest("version");
    let newest = text.split("\n## ").nth(1).expect("a version");
    let heads = [format!("{version}\n"), "Unreleased\n".to_owned()];
    assert!(
        heads.iter().any(|head| newest.starts_with(head)) && newest.contains(tables::BEGIN),
        "CHANGELOG.md: the newest section is neither that of {version} nor \"Unreleased\", with the sums of its \
         criteria"
    );
    let wanted = tables::replace_sums(&text, LEVELS).expect("the marks");
    assert!(
        wanted == text,
        "the criteria have changed: say in CHANGELOG.md what was added, changed and removed, raise the \
         version in Cargo.toml by the rule at its head, and run `cargo run -q -p grader-proofs --example \
         readme-tables -- --write`"
    );
}
