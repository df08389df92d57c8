//! The list within the application. A message and the mark that it was delivered are one transaction of the store, so
//! that none is missing and none is there twice.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use level5::notifications::{Channel, ChannelError, ChannelKind, Rendered, UserId};
use tokio::sync::watch;

use super::Office;
use crate::profile::Way;
use crate::store::{Change, InboxItem, Parcel, ParcelState};
use crate::templates::Templates;

/// Puts messages into the lists of users, and wakes their readers.
#[derive(Debug)]
pub struct InApp {
    office: Office,
    templates: Templates,
    bells: Bells,
}

impl InApp {
    /// A channel whose readers wait for `bells`.
    #[must_use]
    pub const fn new(office: Office, templates: Templates, bells: Bells) -> Self {
        Self { office, templates, bells }
    }
}

impl Channel for InApp {
    fn kind(&self) -> ChannelKind {
        ChannelKind::InApp
    }

    async fn deliver(&self, to: &UserId, messages: &[Rendered]) -> Result<(), ChannelError> {
        let mut changes = Vec::new();
        let mut parcels = Vec::new();
        for part in self.office.desk.divide(Way::InApp, &to.0, &Office::ids(messages)) {
            if part.parcel.state == ParcelState::Delivered {
                continue;
            }
            let Some(letter) = self.office.letter(to, &part) else { continue };
            for entry in &letter.entries {
                let text = self.templates.line(entry, &letter.profile);
                let item = InboxItem {
                    // The store gives it its number.
                    number: 0,
                    id: entry.request.id.clone(),
                    topic: entry.request.topic.clone(),
                    text: text.map_err(|why| ChannelError(why.to_string()))?,
                    at: entry.accepted_at,
                };
                changes.push(Change::Inbox(letter.user.clone(), item));
            }
            let parcel = Parcel { state: ParcelState::Delivered, ..part.parcel };
            changes.push(Change::Parcel(parcel.clone()));
            parcels.push(parcel);
        }
        if changes.is_empty() {
            return Ok(());
        }
        let (bells, user) = (self.bells.clone(), to.clone());
        self.office.keep(changes, parcels, move || bells.ring(&user.0)).await
    }
}

/// Wakes the readers of a list. A clone is a handle to the same bells.
#[derive(Debug, Clone, Default)]
pub struct Bells {
    // By user, while a reader is there. Held to find one, never across an await.
    rooms: Arc<Mutex<HashMap<String, watch::Sender<()>>>>,
}

/// A reader of a list. Dropping it ends the wait.
#[derive(Debug)]
pub struct Listener {
    user: String,
    // `None` in the destructor only.
    rings: Option<watch::Receiver<()>>,
    bells: Bells,
}

impl Bells {
    fn rooms(&self) -> MutexGuard<'_, HashMap<String, watch::Sender<()>>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to listen. A message that comes from now on wakes the listener.
    #[must_use]
    pub fn listen(&self, user: &str) -> Listener {
        let mut rooms = self.rooms();
        let room = rooms.entry(user.to_owned()).or_insert_with(|| watch::Sender::new(()));
        let rings = Some(room.subscribe());
        drop(rooms);
        Listener { user: user.to_owned(), rings, bells: self.clone() }
    }

    fn ring(&self, user: &str) {
        if let Some(room) = self.rooms().get(user) {
            room.send_replace(());
        }
    }
}

impl Listener {
    /// Waits for messages that came since the call before, or since the listener began.
    pub async fn rings(&mut self) {
        if let Some(rings) = &mut self.rings
            && rings.changed().await.is_ok()
        {
            return;
        }
        // The room is kept while a listener is there, so this is not reached.
        std::future::pending().await
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.rings = None;
        let mut rooms = self.bells.rooms();
        if rooms.get(&self.user).is_some_and(|room| room.receiver_count() == 0) {
            rooms.remove(&self.user);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_ring_reaches_the_readers_of_a_user() {
        let bells = Bells::default();
        let (mut first, mut second) = (bells.listen("ann"), bells.listen("ann"));
        let mut other = bells.listen("ben");
        bells.ring("ann");
        first.rings().await;
        second.rings().await;
        let long = Duration::from_secs(3600);
        assert!(timeout(long, other.rings()).await.is_err());
        assert!(timeout(long, first.rings()).await.is_err());
        drop((first, other));
        assert_eq!(bells.rooms().len(), 1);
        bells.ring("ann");
        second.rings().await;
        drop(second);
        assert!(bells.rooms().is_empty());
        bells.ring("ann");
    }
}
