//! The list of a provider's intents, page by page.

use super::{CallFuture, Intent};
use crate::ids::IntentId;

/// A page of a provider's intents.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IntentPage {
    /// The intents that were made for a payment of this system, the newest first.
    pub intents: Vec<Intent>,
    /// The number of other intents on the page: an account may have other uses.
    pub foreign: usize,
    /// The number of this system's intents that cannot be read: their currency or status is unknown
    /// here.
    pub unreadable: usize,
    /// The last intent of the page, if there are more: the start of the next page.
    pub next: Option<IntentId>,
}

/// A provider that can list its intents. Listing has no effect.
pub trait IntentList: Send + Sync {
    /// Returns a page of the account's intents, the newest first: the first page, or the one after
    /// the given intent.
    fn intents(&self, after: Option<IntentId>) -> CallFuture<IntentPage>;
    /// Returns the current state of one intent.
    fn intent(&self, id: IntentId) -> CallFuture<Option<Intent>>;
}
