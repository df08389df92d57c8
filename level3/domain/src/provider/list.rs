//! What a provider has, page by page.

use super::{CallFuture, Intent};
use crate::ids::IntentId;

/// A page of a provider's intents.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IntentPage {
    /// Those that were made for a payment of ours, the newest first.
    pub intents: Vec<Intent>,
    /// How many others were on the page: an account may have other uses.
    pub foreign: usize,
    /// How many of ours cannot be understood: a currency or a status that is unknown here.
    pub unreadable: usize,
    /// The last one of the page if there are more: what to ask the next page after.
    pub next: Option<IntentId>,
}

/// A provider that can list what it has. Without an effect.
pub trait IntentList: Send + Sync {
    /// A page of the account's intents, the newest first: the first page, or the one after an intent.
    fn intents(&self, after: Option<IntentId>) -> CallFuture<IntentPage>;
    /// One intent as it is now.
    fn intent(&self, id: IntentId) -> CallFuture<Option<Intent>>;
}
