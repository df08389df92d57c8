//! At most one receipt for each payment, over a mail service that sends a mail for each request.
//!
//! A mail service has no idempotency keys: a repeated request sends a second mail. Three rules keep
//! [`ClaimedReceipts`] from repeating one:
//!
//! 1. **A claim in the store.** A process sends a receipt only after the store has recorded, durably,
//!    that it is sending it ([`ReceiptClaims`]). Of several processes, and of a recovery beside the
//!    gateway whose receipts it finds in the outbox, one sends; the others wait for its result.
//! 2. **A memory in the process.** A receipt that the service has accepted is not sent again when the
//!    outbox could not record that.
//! 3. **A look before a repeat.** When an attempt may have been executed (its answer was lost, or its
//!    process died) the receipt is *in doubt*. Before it is sent again, the service's activity feed
//!    ([`MailFeed`]) is asked whether it has the mail. A feed lags behind, so a mail that it does not
//!    show counts as not sent only when the feed has had its time.
//!
//! # What remains
//!
//! | the mail service has | a second mail is sent when |
//! |---|---|
//! | a feed | the service accepted the first request and its feed shows that later than the lag that it was given |
//! | no feed | a receipt in doubt had been accepted: the process died, or the answer was lost, between the claim and the moment at which the outbox recorded the success |
//!
//! Without a feed no receipt is sent twice that is not in doubt, and a kill leaves those in doubt
//! that were being sent. No receipt is worse than two, so they are sent again. [`Counts`] has their
//! number. `cargo test -p payment-gateway --test program -- receipts --nocapture` measures both
//! cases with `kill -9`; `level3/README.md` has figures.
//!
//! [`Counts`]: crate::sql::Counts

mod doubt;
mod sent;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use level3_domain::ids::TransactionId;
use level3_domain::provider::{CallFuture, Effect, MailFeed, ProviderError, Receipt, Receipts};
use tokio::time::{Instant, sleep};

use crate::sql::{ReceiptClaim, ReceiptClaims};
use doubt::{Doubts, Next, next};
use sent::{Place, Sending, Sent};

/// The number of sent receipts whose transaction a process remembers: about 20 MB.
const REMEMBERED: usize = 100_000;
/// How long a call waits for another sender of the same receipt. Less than the limit that a gateway
/// sets for a call, so that the gateway learns that nothing failed.
const PATIENCE: Duration = Duration::from_secs(4);
/// The pause between two looks at another sender.
const PAUSE: Duration = Duration::from_millis(50);

/// The activity feed of a mail service.
#[derive(Clone)]
pub struct Feed {
    /// The activity feed that shows which mails were sent.
    pub feed: Arc<dyn MailFeed>,
    /// The time after which the feed shows each mail that the service has accepted.
    pub lag: Duration,
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").field("lag", &self.lag).finish_non_exhaustive()
    }
}

/// Sends each receipt at most once, as far as the mail service allows it: see the [module](self).
/// Cheap to clone; clones share what they remember.
#[derive(Clone)]
pub struct ClaimedReceipts {
    shared: Arc<Shared>,
}

struct Shared {
    mail: Arc<dyn Receipts>,
    claims: Arc<dyn ReceiptClaims>,
    feed: Option<Feed>,
    sent: Sent,
    doubts: Doubts,
}

impl fmt::Debug for ClaimedReceipts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClaimedReceipts").field("feed", &self.shared.feed).finish_non_exhaustive()
    }
}

impl ClaimedReceipts {
    /// Sends through `mail`, under claims in `claims`. Without a feed, a receipt in doubt is sent
    /// again.
    #[must_use]
    pub fn new(
        mail: Arc<dyn Receipts>,
        claims: Arc<dyn ReceiptClaims>,
        feed: Option<Feed>,
    ) -> Self {
        let (sent, doubts) = (Sent::new(REMEMBERED), Doubts::default());
        Self { shared: Arc::new(Shared { mail, claims, feed, sent, doubts }) }
    }
}

impl Receipts for ClaimedReceipts {
    /// Sends the receipt, unless it was sent or is not due any more.
    ///
    /// # Errors
    ///
    /// Those of the mail service, and those of the store, without which nothing is sent.
    /// [`InFlight`](ProviderError::InFlight) if another sender has not ended within four seconds.
    /// [`RateLimited`](ProviderError::RateLimited) with the time to wait if the feed does not show
    /// yet whether the receipt was sent.
    ///
    /// # Cancellation
    ///
    /// Dropping the future while the mail service is called leaves the receipt in doubt. The claim
    /// stays with this process, whose next call looks first.
    fn send(&self, receipt: Receipt) -> CallFuture<()> {
        let shared = Arc::clone(&self.shared);
        async move { shared.deliver(receipt).await }.boxed()
    }
}

impl Shared {
    async fn deliver(&self, receipt: Receipt) -> Result<(), ProviderError> {
        let transaction = receipt.transaction.clone();
        let until = Instant::now() + PATIENCE;
        // The place first: the store grants the claims of one process to each of its calls.
        let Some(place) = self.place(&transaction, until).await? else { return Ok(()) };
        let Some(in_doubt) = self.claim(&transaction, until).await? else { return Ok(()) };
        match self.send_claimed(receipt, in_doubt).await {
            // The claim stays until the ledger removes the entry from the outbox: if it cannot, the
            // next process finds the receipt in doubt, and looks.
            Ok(()) => {
                place.done();
                self.doubts.end(&transaction);
                Ok(())
            }
            Err((error, in_doubt)) => {
                // If this fails, the claim stays with this process, whose next call looks first.
                let released = self.claims.release_receipt(transaction.clone(), in_doubt).await;
                if let Err(error) = released {
                    let transaction = transaction.as_str();
                    tracing::warn!(transaction, %error, "the claim of a receipt is not released");
                }
                Err(error)
            }
        }
    }

    /// Waits until no other call of this process sends the receipt. `None` if it was sent.
    async fn place(
        &self,
        transaction: &TransactionId,
        until: Instant,
    ) -> Result<Option<Sending<'_>>, ProviderError> {
        loop {
            match self.sent.begin(transaction) {
                Place::Yours(place) => return Ok(Some(place)),
                Place::Out => return Ok(None),
                Place::UnderWay => wait(PAUSE, until).await?,
            }
        }
    }

    /// Waits until no other process sends the receipt, and returns whether it is in doubt. `None` if
    /// nothing is to be sent.
    async fn claim(
        &self,
        transaction: &TransactionId,
        until: Instant,
    ) -> Result<Option<bool>, ProviderError> {
        loop {
            match self.claims.claim_receipt(transaction.clone()).await? {
                ReceiptClaim::Yours { in_doubt } => return Ok(Some(in_doubt)),
                ReceiptClaim::NotDue => {
                    self.doubts.end(transaction);
                    return Ok(None);
                }
                ReceiptClaim::Busy { remaining } => wait(remaining.min(PAUSE), until).await?,
            }
        }
    }

    /// Sends a receipt that this process has claimed. An error comes with whether the receipt is in
    /// doubt from now on.
    async fn send_claimed(
        &self,
        receipt: Receipt,
        in_doubt: bool,
    ) -> Result<(), (ProviderError, bool)> {
        let transaction = receipt.transaction.clone();
        let mut in_doubt = in_doubt;
        if in_doubt {
            // An error of the feed says nothing about the mail.
            match self.look(&transaction).await.map_err(|error| (error, true))? {
                Next::Sent => return Ok(()),
                Next::Send => in_doubt = false,
                Next::SendAgain => tracing::warn!(
                    transaction = transaction.as_str(),
                    "an attempt at this receipt may have been executed, and no feed can tell: it is \
                     sent again"
                ),
                // The error whose pause a caller obeys.
                Next::Wait(time) => {
                    return Err((ProviderError::RateLimited { retry_after: Some(time) }, true));
                }
            }
        }
        let attempt = Attempt { doubts: &self.doubts, transaction: &transaction, is_over: false };
        let sent = self.mail.send(receipt).await;
        attempt.ended(&sent);
        sent.map_err(|error| {
            let in_doubt = in_doubt || error.effect() == Effect::Unknown;
            (error, in_doubt)
        })
    }

    async fn look(&self, transaction: &TransactionId) -> Result<Next, ProviderError> {
        let Some(Feed { feed, lag }) = &self.feed else { return Ok(Next::SendAgain) };
        // Before the look: what the feed shows is as old as the question.
        let over_for = self.doubts.age(transaction);
        Ok(next(feed.look(transaction.clone()).await?, over_for, *lag))
    }
}

/// Sleeps, unless that takes longer than the caller has patience.
async fn wait(time: Duration, until: Instant) -> Result<(), ProviderError> {
    if Instant::now() + time > until {
        return Err(ProviderError::InFlight);
    }
    sleep(time).await;
    Ok(())
}

/// An attempt at a receipt: in doubt from its end on, unless the end is known.
struct Attempt<'a> {
    doubts: &'a Doubts,
    transaction: &'a TransactionId,
    is_over: bool,
}

impl Attempt<'_> {
    fn ended(mut self, outcome: &Result<(), ProviderError>) {
        let is_unknown = |error: &ProviderError| error.effect() == Effect::Unknown;
        self.is_over = !outcome.as_ref().is_err_and(is_unknown);
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        // Also when the call is dropped in the middle of its wait for the answer.
        if !self.is_over {
            self.doubts.begin(self.transaction);
        }
    }
}
