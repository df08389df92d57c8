//! What a mail service can say about the mails that it was asked to send.

use super::CallFuture;
use crate::ids::TransactionId;

/// What a mail service knows of the receipt of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailTrace {
    /// The service has accepted a mail with this receipt.
    Accepted,
    /// The service shows no such mail. A mail that it accepted a moment ago may not be shown yet.
    NotShown,
    /// The service does not say: the account has no activity feed.
    NoFeed,
}

/// The activity feed of a mail service. Looking has no effect.
pub trait MailFeed: Send + Sync {
    /// Returns what the service knows of the receipt of this transaction.
    fn look(&self, transaction: TransactionId) -> CallFuture<MailTrace>;
}
