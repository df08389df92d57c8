//! Records and notes as the text of a journal's rows.

use level3_domain::journal::{Record, Standing};

use super::StoreError;
use super::view::{LedgerNote, Written};

/// Writes a batch as the text of one row.
pub(crate) fn encode(records: &[Record]) -> Result<String, StoreError> {
    serde_json::to_string(records).map_err(|why| StoreError::unreadable("record", why))
}

/// Reads the batch of one row.
pub(crate) fn decode(body: &str) -> Result<Vec<Record>, StoreError> {
    serde_json::from_str(body).map_err(|why| unreadable("record", &why))
}

/// Writes a note of the ledger as the text of one row.
pub(crate) fn note(note: &LedgerNote) -> Result<String, StoreError> {
    serde_json::to_string(note).map_err(|why| StoreError::unreadable("note", why))
}

/// Reads a row for display. Its source is `saga` or `ledger`.
pub(crate) fn entry(source: &str, body: &str) -> Result<Written, StoreError> {
    if source == "saga" {
        return decode(body).map(Written::Saga);
    }
    serde_json::from_str(body).map(Written::Ledger).map_err(|why| unreadable("note", &why))
}

/// Says where a text cannot be read, without the text: it may be an address or a card's token.
fn unreadable(what: &'static str, why: &serde_json::Error) -> StoreError {
    let kind = if why.is_data() { "no version of this program writes this" } else { "no JSON" };
    StoreError::unreadable(what, format!("{kind}, at byte {}", why.column()))
}

/// Returns the kind of a saga from its first record.
pub(crate) fn saga_kind(first: &Record) -> &str {
    match first {
        Record::Begun { kind, .. } => kind,
        _ => "",
    }
}

/// Returns the status of a saga after these records, if they change it.
pub(crate) fn standing_after(records: &[Record]) -> Option<Standing> {
    records.iter().rev().find_map(|record| match record {
        Record::Parked => Some(Standing::Parked),
        Record::Completed | Record::Compensated => Some(Standing::Ended),
        _ => None,
    })
}
