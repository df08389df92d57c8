//! The audit trail: its verification, and its last entry.

use std::path::Path;

use level3_adapters::sql::{Anchor, Audited, BrokenLink, StoreFault};
use serde_json::{Value, json};

use crate::args::ServiceArgs;
use crate::problem::{Outcome, ProgramError};
use crate::{print, print_json};

/// Verifies the trail. One that is broken has the exit code of something that is left undone.
pub async fn verify(args: &ServiceArgs, file: Option<&Path>) -> Result<Outcome, ProgramError> {
    let given = match file {
        Some(path) => {
            let refused = |why| ProgramError::Anchors { path: path.to_owned(), why };
            let text = std::fs::read_to_string(path).map_err(|why| refused(why.to_string()))?;
            anchors(&text).map_err(refused)?
        }
        None => Vec::new(),
    };
    let (place, audited) = args.store().audit(given).await?;
    if args.json {
        print_json(&to_json(&audited, &place))?;
    } else {
        print(&text(&audited, &place))?;
    }
    Ok(if audited.is_fine() { Outcome::Done } else { Outcome::Unsettled })
}

/// Prints the last entry, if the trail is whole: the anchor of a broken one would prove it.
pub async fn head(args: &ServiceArgs) -> Result<Outcome, ProgramError> {
    let (place, audited) = args.store().audit(Vec::new()).await?;
    if audited.broken.is_some() {
        // On standard error, since the output is appended to a file of anchors.
        crate::view::say(&text(&audited, &place));
        return Ok(Outcome::Unsettled);
    }
    if args.json {
        print_json(&audited.head)?;
    } else {
        print(&format!("{}\n", audited.head))?;
    }
    Ok(Outcome::Done)
}

/// Reads lines with anchors. Blank lines, and lines that begin with `#`, are left out.
fn anchors(text: &str) -> Result<Vec<Anchor>, String> {
    let is_anchor = |line: &str| !line.trim().is_empty() && !line.starts_with('#');
    let lines = (1..).zip(text.lines()).filter(|(_, line)| is_anchor(line));
    let read =
        lines.map(|(number, line)| line.parse().map_err(|why| format!("line {number}: {why}")));
    read.collect()
}

fn text(audited: &Audited, place: &str) -> String {
    let Audited { entries, head, broken, anchors, found, faults } = audited;
    let mut text = format!("{place}: {entries} entries of the audit trail were read");
    text += &match anchors {
        0 => ".\n".to_owned(),
        1 => ", and 1 anchor fits.\n".to_owned(),
        many => format!(", and {many} anchors fit.\n"),
    };
    if let Some(BrokenLink { entry, what }) = broken {
        text += &format!("  entry {entry}: {what}\n");
    }
    for StoreFault { at, what } in faults {
        text += &format!("  {at}: {what}\n");
    }
    let kept = faults.len() as u64;
    if *found > kept {
        text += &format!("  and {} more\n", found - kept);
    }
    text += &match (broken, found) {
        (None, 0) => format!(
            "The trail is whole, and the rows and refunds are as it says. Its end: {head}\n"
        ),
        (None, _) => "The trail is whole, and was not written with the rows above.\n".to_owned(),
        (Some(link), _) => format!("The trail is broken at entry {}.\n", link.entry),
    };
    text
}

fn to_json(audited: &Audited, place: &str) -> Value {
    let Audited { entries, head, broken, anchors, found, faults } = audited;
    json!({
        "store": place, "entries": entries, "head": head, "broken": broken, "anchors": anchors,
        "found": found, "faults": faults,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchors_are_lines() {
        let hash = "ab".repeat(32);
        let read = anchors(&format!("# kept on Monday\n\n3 {hash}\n17 {hash}\n")).unwrap();
        assert_eq!(read.iter().map(|anchor| anchor.entry).collect::<Vec<_>>(), [3, 17]);
        for line in ["3", "x ab", &format!("3 {}", "AB".repeat(32)), "-1 ab"] {
            let refused = anchors(&format!("3 {hash}\n{line}")).unwrap_err();
            assert!(refused.contains("line 2"), "{refused}");
        }
    }
}
