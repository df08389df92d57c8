//! The channels, and what they have in common: a message that was delivered is not sent again, and one whose outcome is
//! unknown is sent again under the same id.
//!
//! ```text
//!  deliver ──▶ divide into parcels ──▶ store: begun ──▶ provider ──▶ store: delivered, failed or refused
//!                                                  └── the process dies here: the outcome is unknown, and the next
//!                                                      process sends the same parcel under the same id
//! ```
//!
//! What a receiver can do about a repeat:
//!
//! | channel | window in which a repeat is possible | closed by |
//! |---|---|---|
//! | list within the application | none: the message and its mark are one transaction | numbers of messages, which a reader names after a break |
//! | webhook | from the endpoint's answer to the mark | `webhook-id`: the same for every attempt |
//! | mail | from the server's `250` to the mark | `Message-ID`: the same for every attempt. SMTP itself has no such rule |
//!
//! An unknown outcome of one channel does not stop the next one of the user's list: then both may deliver.

pub mod in_app;
pub mod mail;
pub mod webhook;

use std::sync::Arc;

use level5::notifications::{Channel, ChannelError, ChannelKind, Rendered, UserId};

use crate::desk::{Desk, Letter, Part};
use crate::profile::{Known, Way};
use crate::store::{Change, Parcel, ParcelState, Store};

/// Why a provider did not take a letter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It will not take this letter: it is not sent there again.
    #[error("{0}")]
    Refused(String),
    /// The address is not in use any more. As [`Refused`](Self::Refused), and the address is removed from the profile.
    #[error("{0}")]
    Gone(String),
    /// It has not taken it, and may later.
    #[error("{0}")]
    NotTaken(String),
    /// It gave no answer that says so: it may have taken it.
    #[error("{0}")]
    Unknown(String),
}

/// Takes a letter to a provider.
pub trait Carrier: Send + Sync + 'static {
    /// The channel. It never changes.
    fn way(&self) -> Way;

    /// Sends a letter, with its key as the id of the message.
    ///
    /// # Errors
    ///
    /// [`Failure`].
    ///
    /// # Cancellation
    ///
    /// Whether a call that is dropped has delivered is unknown.
    fn carry(&self, letter: &Letter) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// What the channels share.
#[derive(Clone)]
pub struct Office {
    /// What waits.
    pub desk: Arc<Desk>,
    /// What outlives the process.
    pub store: Arc<dyn Store>,
}

impl std::fmt::Debug for Office {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Office").field("desk", &self.desk).finish_non_exhaustive()
    }
}

impl Office {
    /// The notifications of a delivery, as the store names them.
    fn ids(messages: &[Rendered]) -> Vec<String> {
        let ids = messages.iter().flat_map(|message| &message.ids);
        ids.map(|id| id.0.to_string()).collect()
    }

    /// The letter of a part. `None` if all its notifications have ended.
    fn letter(&self, user: &UserId, part: &Part) -> Option<Letter> {
        let entries: Vec<_> = part.ids.iter().filter_map(|id| self.desk.entry(id)).collect();
        let (key, user) = (part.parcel.key.clone(), user.0.to_string());
        let profile = self.desk.profile(&user);
        (!entries.is_empty()).then_some(Letter { key, user, profile, entries })
    }

    /// Makes changes, notes these parcels on the desk, and calls `then`.
    ///
    /// In a task of its own: a caller that is dropped meanwhile, because the disk is slow and the notifier gives the call
    /// up, leaves no half of it.
    async fn keep(
        &self,
        changes: Vec<Change>,
        parcels: Vec<Parcel>,
        then: impl FnOnce() + Send + 'static,
    ) -> Result<(), ChannelError> {
        let office = self.clone();
        let keeps = tokio::spawn(async move {
            let kept = office.store.apply(changes).await;
            if kept.is_ok() {
                parcels.into_iter().for_each(|parcel| office.desk.note(parcel));
                then();
            }
            kept.map(drop)
        });
        let failed = match keeps.await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error.to_string(),
            // The runtime ends, or the task has panicked.
            Err(error) => error.to_string(),
        };
        tracing::error!(error = failed, "a step of a delivery was not recorded");
        Err(ChannelError(failed))
    }

    /// Removes an endpoint that is not in use any more, unless the user has another one by now.
    async fn forget_endpoint(&self, user: &str, url: &str) {
        let _changes = self.desk.profiles.lock().await;
        let Some(known) = self.desk.known(user) else { return };
        if known.profile.webhook.as_ref().is_some_and(|endpoint| endpoint.url == url) {
            let mut known = Known::clone(&known);
            known.profile.webhook = None;
            let change = Change::Profile(user.to_owned(), known.clone());
            let (desk, user) = (Arc::clone(&self.desk), user.to_owned());
            // An error changes nothing: the endpoint is refused again.
            let _ = self.keep(vec![change], Vec::new(), move || desk.know(&user, known)).await;
        }
    }
}

/// A channel over a carrier, which records what it begins and how it ends.
#[derive(Debug)]
pub struct Tracked<C> {
    carrier: C,
    office: Office,
}

impl<C: Carrier> Tracked<C> {
    /// A channel over this carrier.
    #[must_use]
    pub const fn new(carrier: C, office: Office) -> Self {
        Self { carrier, office }
    }

    async fn part(&self, to: &UserId, part: Part) -> Result<(), ChannelError> {
        match &part.parcel.state {
            // By an earlier attempt, which failed at another parcel, or by a process that died.
            ParcelState::Delivered => return Ok(()),
            ParcelState::Refused(why) => return Err(ChannelError(why.clone())),
            ParcelState::Begun | ParcelState::Failed => {}
        }
        let Some(letter) = self.office.letter(to, &part) else { return Ok(()) };
        let with = |state| Parcel { state, ..part.parcel.clone() };
        if !part.is_known || part.parcel.state == ParcelState::Failed {
            // Before the provider is asked: if the process dies, the next one must know which parcels may have arrived,
            // and which notifications were together in them.
            let begun = with(ParcelState::Begun);
            let change = Change::Parcel(begun.clone());
            self.office.keep(vec![change], vec![begun], || ()).await?;
        }
        let carried = self.carrier.carry(&letter).await;
        let state = match &carried {
            Ok(()) => ParcelState::Delivered,
            Err(Failure::Refused(why) | Failure::Gone(why)) => ParcelState::Refused(why.clone()),
            Err(Failure::NotTaken(_)) => ParcelState::Failed,
            Err(Failure::Unknown(_)) => ParcelState::Begun,
        };
        if state != ParcelState::Begun {
            let ended = with(state);
            // On the desk before the wait for the disk: a caller that drops this call tries again, and must find it.
            self.office.desk.note(ended.clone());
            // An error changes nothing for this process. The next one may send the parcel again.
            let _ = self.office.keep(vec![Change::Parcel(ended)], Vec::new(), || ()).await;
        }
        if let (Err(Failure::Gone(_)), Some(endpoint)) = (&carried, &letter.profile.webhook) {
            self.office.forget_endpoint(&letter.user, &endpoint.url).await;
        }
        carried.map_err(|failure| ChannelError(failure.to_string()))
    }
}

impl<C: Carrier> Channel for Tracked<C> {
    fn kind(&self) -> ChannelKind {
        self.carrier.way().kind()
    }

    async fn deliver(&self, to: &UserId, messages: &[Rendered]) -> Result<(), ChannelError> {
        let ids = Office::ids(messages);
        for part in self.office.desk.divide(self.carrier.way(), &to.0, &ids) {
            self.part(to, part).await?;
        }
        Ok(())
    }
}
