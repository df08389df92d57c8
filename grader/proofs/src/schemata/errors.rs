//! The source lines that a refused build speaks of: rustc's errors, and what the grader finds before it builds.
use std::collections::BTreeSet;

/// The lines that rendered errors show, by file.
pub(super) fn lines(rendered: &str) -> BTreeSet<(String, usize)> {
    let mut lines = BTreeSet::new();
    let mut file = None;
    for line in rendered.lines() {
        let line = line.trim_start();
        let place = ["--> ", "::: "].iter().find_map(|arrow| line.strip_prefix(arrow));
        if let Some(place) = place {
            let mut parts = place.rsplitn(3, ':');
            let (_, number, path) = (parts.next(), parts.next(), parts.next());
            file = path.map(str::to_owned);
            if let (Some(path), Some(Ok(number))) = (path, number.map(str::parse)) {
                lines.insert((path.to_owned(), number));
            }
            continue;
        }
        if let Some(found) = finding(line) {
            lines.insert(found);
            continue;
        }
        let Some((number, _)) = line.split_once('|') else { continue };
        if let (Some(path), Ok(number)) = (&file, number.trim().parse()) {
            lines.insert((path.clone(), number));
        }
    }
    lines
}

/// The place of a finding: `level3/src/a.rs:12: include_bytes!: ...`.
fn finding(line: &str) -> Option<(String, usize)> {
    let (path, rest) = line.split_once(".rs:")?;
    let number = rest.split_once(": ")?.0.parse().ok()?;
    Some((format!("{path}.rs"), number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_their_lines() {
        let rendered = "error[E0308]: mismatched types\n  --> level3/src/a.rs:12:5\n   |\n11 | fn f() -> u8 {\n\
                        12 |     \"x\"\n   |     ^^^ expected `u8`\n   |\n  ::: level3/src/b.rs:7:1\n   |\n7  | x\n";
        let lines = lines(rendered);
        let a = |line| ("level3/src/a.rs".to_owned(), line);
        assert_eq!(lines, [a(11), a(12), ("level3/src/b.rs".to_owned(), 7)].into());
    }

    #[test]
    fn findings_name_their_lines() {
        let rendered = "level2/src/a.rs:139: include_bytes!: write the code here\n\
                        grader/checks/level2/src/fake.rs: the compiler read it for level2\n";
        assert_eq!(lines(rendered), [("level2/src/a.rs".to_owned(), 139)].into());
    }
}
