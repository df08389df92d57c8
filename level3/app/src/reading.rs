//! The commands that only read the store.

pub mod audit;
mod check;
mod show;
pub mod trial;

use serde_json::Value;

use super::args::ServiceArgs;
use super::problem::{Outcome, ProgramError};
use super::{print, print_json};

/// Dead letters of each kind that are listed.
const LISTED: usize = 1000;

/// Shows the runs of a payment.
pub async fn show(args: &ServiceArgs, name: &str) -> Result<Outcome, ProgramError> {
    let store = args.store().open_to_read().await?;
    let found = show::find(store.as_ref(), name).await?;
    if args.json {
        print_json(&found.iter().map(show::json).collect::<Vec<_>>())?;
    } else {
        print(&found.iter().map(show::text).collect::<String>())?;
    }
    Ok(Outcome::Done)
}

/// Lists the dead letters. With one, the exit code is that of something that is left undone.
pub async fn dead_letters(args: &ServiceArgs) -> Result<Outcome, ProgramError> {
    let store = args.store().open_to_read().await?;
    let letters = store.dead_letters(LISTED).await?;
    if args.json {
        print_json(&letters.iter().map(show::letter_json).collect::<Vec<Value>>())?;
    } else if letters.is_empty() {
        print("No dead letters: everything was undone and sent, or is under way.\n")?;
    } else {
        let lines: Vec<_> = letters.iter().map(show::letter_text).collect();
        print(&format!("{}\n", lines.join("\n")))?;
        if letters.len() >= LISTED {
            print(&format!(
                "The first {LISTED} of each kind. payment-gateway redrive tries them again.\n"
            ))?;
        } else {
            print("payment-gateway redrive tries them again.\n")?;
        }
    }
    Ok(if letters.is_empty() { Outcome::Done } else { Outcome::Unsettled })
}

/// Checks the whole store. A store with faults has the exit code of something that is left undone.
pub async fn check(args: &ServiceArgs) -> Result<Outcome, ProgramError> {
    let (place, checked) = args.store().check().await?;
    if args.json {
        print_json(&check::json(&checked, &place))?;
    } else {
        print(&check::text(&checked, &place))?;
    }
    Ok(if checked.is_fine() { Outcome::Done } else { Outcome::Unsettled })
}
