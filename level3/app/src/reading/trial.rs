//! The trial balance, as text and as JSON.

use level3_adapters::sql::{AccountBalance, StoreFault, TrialBalance};
use serde_json::{Value, json};

use crate::args::ServiceArgs;
use crate::problem::{Outcome, ProgramError};
use crate::{print, print_json};

/// Adds up all postings. A balance with faults has the exit code of something that is left undone.
pub async fn balance(args: &ServiceArgs) -> Result<Outcome, ProgramError> {
    let (place, balance) = args.store().trial_balance().await?;
    if args.json {
        print_json(&to_json(&balance, &place))?;
    } else {
        print(&text(&balance, &place))?;
    }
    Ok(if balance.is_fine() { Outcome::Done } else { Outcome::Unsettled })
}

fn text(balance: &TrialBalance, place: &str) -> String {
    let mut text = format!(
        "{place}, in minor units:\n  {:<20} {:<4} {:>15} {:>15} {:>15}\n",
        "account", "", "debits", "credits", "balance"
    );
    for account in &balance.accounts {
        let AccountBalance { account: name, currency, debits, credits } = account;
        let sum = account.balance();
        text += &format!("  {name:<20} {currency:<4} {debits:>15} {credits:>15} {sum:>15}\n");
    }
    for StoreFault { at, what } in &balance.faults {
        text += &format!("  {at}: {what}\n");
    }
    let kept = balance.faults.len() as u64;
    if balance.found > kept {
        text += &format!("  and {} more\n", balance.found - kept);
    }
    text += &match balance.found {
        0 => "Each currency adds up to zero, and the postings agree with the rows and refunds.\n"
            .to_owned(),
        found => format!(
            "{found} faults: the postings do not agree. payment-gateway audit verify says what was changed\n"
        ),
    };
    text
}

fn to_json(balance: &TrialBalance, place: &str) -> Value {
    let account = |account: &AccountBalance| {
        json!({
            "account": account.account, "currency": account.currency, "debits": account.debits,
            "credits": account.credits, "balance": account.balance(),
        })
    };
    let accounts: Vec<_> = balance.accounts.iter().map(account).collect();
    json!({ "store": place, "accounts": accounts, "found": balance.found, "faults": balance.faults })
}
