//! What the documents say about the criteria is what the catalog says, and their links lead somewhere.
use std::path::{Path, PathBuf};

use grader::catalog::{Kind, LEVELS};

fn root() -> PathBuf {
    grader::workspace::of_this_run().expect("the workspace")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn a_levels_readme_lists_its_criteria_with_their_points() {
    for level in LEVELS {
        let text = read(&root().join(level.name).join("README.md"));
        for criterion in level.groups.iter().flat_map(|group| group.criteria) {
            let id = format!("`{}`", criterion.id);
            let row = text.lines().find(|line| line.starts_with('|') && line.contains(&id));
            let row = row.unwrap_or_else(|| panic!("{}/README.md has no row for {id}", level.name));
            let points = criterion.points.to_string();
            assert!(row.contains(criterion.title), "another title in: {row}");
            assert!(row.split('|').any(|cell| cell.trim() == points), "not {points} points: {row}");
        }
        let sum = |kind: Kind| -> u32 {
            let criteria = level.groups.iter().flat_map(|group| group.criteria);
            criteria.filter(|c| c.kind == kind).map(|c| c.points).sum()
        };
        for (points, what) in [(sum(Kind::Core), "core"), (sum(Kind::Bonus), "bonus")] {
            let said = text.lines().any(|line| {
                !line.starts_with('|')
                    && line.split(|c: char| !c.is_ascii_digit()).any(|n| n == points.to_string())
            });
            assert!(
                said,
                "{}/README.md does not say that there are {points} {what} points",
                level.name
            );
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
