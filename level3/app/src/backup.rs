//! Copies the store.

use std::path::Path;

use serde_json::json;

use super::args::ServiceArgs;
use super::problem::{Outcome, ProgramError};
use super::{print, print_json};

/// Copies the store into a new file. A copy with faults, which the store then has too, has the exit
/// code of something that is left undone.
pub async fn back_up(args: &ServiceArgs, file: &Path) -> Result<Outcome, ProgramError> {
    let checked = args.store().back_up(file).await?;
    let (sagas, rows, found) = (checked.sagas, checked.rows, checked.found);
    if args.json {
        print_json(&json!({ "file": file, "sagas": sagas, "rows": rows, "faults": found }))?;
    } else {
        let file = file.display();
        print(&format!("{file} has {sagas} sagas and {rows} rows; {found} faults.\n"))?;
        if found > 0 {
            print("The store has them too: payment-gateway check lists them.\n")?;
        }
    }
    Ok(if checked.is_fine() { Outcome::Done } else { Outcome::Unsettled })
}
