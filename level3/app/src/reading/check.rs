//! The full check of a store, as text and as JSON.

use level3_adapters::sql::{Checked, StoreFault};
use serde_json::{Value, json};

/// Returns the result as text.
pub fn text(checked: &Checked, place: &str) -> String {
    let Checked { sagas, entries, rows, found, faults, unchecked } = checked;
    let mut text = format!(
        "{place}: {sagas} sagas with {entries} entries in the journal, and {rows} rows were read.\n"
    );
    for StoreFault { at, what } in faults {
        text += &format!("  {at}: {what}\n");
    }
    let kept = faults.len() as u64;
    if *found > kept {
        text += &format!("  and {} more\n", found - kept);
    }
    for what in unchecked {
        text += &format!("  not checked: {what}\n");
    }
    text += &match found {
        0 => "No faults.\n".to_owned(),
        1 => format!("1 fault. {ADVICE}\n"),
        found => format!("{found} faults. {ADVICE}\n"),
    };
    text
}

/// What to do about a fault.
const ADVICE: &str = "Stop the program and restore a backup; payment-gateway reconcile then finds \
                      what the provider has charged since";

/// Returns the result as JSON.
pub fn json(checked: &Checked, place: &str) -> Value {
    json!({
        "store": place, "sagas": checked.sagas, "entries": checked.entries, "rows": checked.rows,
        "found": checked.found, "faults": checked.faults, "unchecked": checked.unchecked,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_that_are_not_listed_are_counted() {
        let fault = StoreFault { at: "pay_1".to_owned(), what: "it is gone".to_owned() };
        let checked = Checked { found: 3, faults: vec![fault], ..Checked::default() };
        let text = text(&checked, "here");
        for words in ["pay_1: it is gone\n", "and 2 more\n", "3 faults. Stop"] {
            assert!(text.contains(words), "{text}");
        }
        assert!(super::text(&Checked::default(), "here").ends_with("No faults.\n"));
    }
}
