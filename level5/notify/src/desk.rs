//! What the channels need while notifications wait: facts, users, and the parcels that are under way.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use data_encoding::HEXLOWER;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::entry::Entry;
use crate::profile::{Known, Profile, Way};
use crate::store::{Loaded, Parcel, ParcelState};

/// The bytes of a key: two parcels get the same one by chance once in 2^64.
const KEY: usize = 16;

/// What the store holds, for the channels: they look things up at each attempt. Bounded by the notifications that wait
/// and by the users.
#[derive(Debug, Default)]
pub struct Desk {
    // Held to look something up or to note it, never across an await.
    open: Mutex<Open>,
    /// Held across the change of a profile in the store, so that two changes do not overtake each other.
    pub(crate) profiles: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Open {
    entries: HashMap<String, Arc<Entry>>,
    users: HashMap<String, Arc<Known>>,
    parcels: HashMap<String, Parcel>,
    /// The parcel in which a channel has a notification.
    by_id: HashMap<(Way, String), String>,
}

/// A parcel as the channel should treat it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The parcel. A new one is not in the store yet.
    pub parcel: Parcel,
    /// Whether it was begun by an earlier attempt.
    pub is_known: bool,
    /// Its notifications that have not ended.
    pub ids: Vec<String>,
}

impl Desk {
    /// A desk with what a store holds. Parcels of which nothing waits are left out.
    #[must_use]
    pub fn new(loaded: &Loaded) -> Self {
        let desk = Self::default();
        for entry in &loaded.pending {
            desk.accept(entry.clone());
        }
        for (user, known) in &loaded.profiles {
            desk.know(user, known.clone());
        }
        for parcel in &loaded.parcels {
            desk.note(parcel.clone());
        }
        desk
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a notification that waits.
    pub fn accept(&self, entry: Entry) {
        self.open().entries.insert(entry.request.id.clone(), Arc::new(entry));
    }

    /// Removes a notification. Returns the keys of the parcels that have no other one.
    pub fn end(&self, id: &str) -> Vec<String> {
        let mut open = self.open();
        let open = &mut *open;
        open.entries.remove(id);
        let mut gone = Vec::new();
        for way in [Way::InApp, Way::Mail, Way::Webhook] {
            let Some(key) = open.by_id.remove(&(way, id.to_owned())) else { continue };
            let entries = &open.entries;
            let is_over = |parcel: &Parcel| !parcel.ids.iter().any(|id| entries.contains_key(id));
            if open.parcels.get(&key).is_some_and(is_over) {
                open.parcels.remove(&key);
                gone.push(key);
            }
        }
        gone
    }

    /// Keeps what is known of a user.
    pub fn know(&self, user: &str, known: Known) {
        self.open().users.insert(user.to_owned(), Arc::new(known));
    }

    /// What is known of a user.
    #[must_use]
    pub fn known(&self, user: &str) -> Option<Arc<Known>> {
        self.open().users.get(user).cloned()
    }

    /// The profile of a user. Without one, it is [`Profile::in_app`].
    #[must_use]
    pub fn profile(&self, user: &str) -> Profile {
        self.known(user).map_or_else(Profile::in_app, |known| known.profile.clone())
    }

    /// The notification with this id, while it waits.
    #[must_use]
    pub fn entry(&self, id: &str) -> Option<Arc<Entry>> {
        self.open().entries.get(id).cloned()
    }

    /// Whether a channel has delivered a notification.
    #[must_use]
    pub fn is_delivered(&self, way: Way, id: &str) -> bool {
        let open = self.open();
        let key = open.by_id.get(&(way, id.to_owned()));
        let parcel = key.and_then(|key| open.parcels.get(key));
        parcel.is_some_and(|parcel| parcel.state == ParcelState::Delivered)
    }

    /// Whether a parcel is noted.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.open().parcels.contains_key(key)
    }

    /// The parcels whose outcome is unknown.
    #[must_use]
    pub fn unknown(&self) -> usize {
        self.open().parcels.values().filter(|it| it.state == ParcelState::Begun).count()
    }

    /// Notes a parcel, or its new state, unless all its notifications have ended meanwhile.
    pub fn note(&self, parcel: Parcel) {
        let mut open = self.open();
        if !parcel.ids.iter().any(|id| open.entries.contains_key(id)) {
            return;
        }
        for id in &parcel.ids {
            open.by_id.insert((parcel.way, id.clone()), parcel.key.clone());
        }
        open.parcels.insert(parcel.key.clone(), parcel);
    }

    /// Divides notifications that a channel is to deliver into parcels. Those that an earlier attempt has put together
    /// stay together under their key, so that the receiver recognises a repeat. The others are one new parcel.
    ///
    /// A known parcel is sent as a whole, also when only some of its notifications are due by now: the receiver that has
    /// not got it would miss the others, which are not sent again once it is delivered.
    #[must_use]
    pub fn divide(&self, way: Way, user: &str, ids: &[String]) -> Vec<Part> {
        let open = self.open();
        let mut parts: Vec<Part> = Vec::new();
        let mut new = Vec::new();
        for id in ids {
            let key = open.by_id.get(&(way, id.clone()));
            let Some(parcel) = key.and_then(|key| open.parcels.get(key)) else {
                new.push(id.clone());
                continue;
            };
            if parts.iter().all(|part| part.parcel.key != parcel.key) {
                let waits = parcel.ids.iter().filter(|id| open.entries.contains_key(*id));
                let ids = waits.cloned().collect();
                parts.push(Part { parcel: parcel.clone(), is_known: true, ids });
            }
        }
        if !new.is_empty() {
            let (key, state) = (key(way, user, &new), ParcelState::Begun);
            let parcel = Parcel { key, way, ids: new.clone(), state };
            parts.push(Part { parcel, is_known: false, ids: new });
        }
        parts
    }

    /// The notifications that channels have delivered while their fate was not recorded: the process died between the
    /// two. With the channels that have delivered.
    #[must_use]
    pub fn delivered(&self) -> Vec<(String, Vec<Way>)> {
        let open = self.open();
        let has = open.parcels.values().filter(|it| it.state == ParcelState::Delivered);
        let ids: HashSet<&String> = has.flat_map(|parcel| &parcel.ids).collect();
        let waits = ids.into_iter().filter(|id| open.entries.contains_key(*id));
        let ids: Vec<String> = waits.cloned().collect();
        drop(open);
        let ways = |id: &String| {
            let all = [Way::InApp, Way::Mail, Way::Webhook];
            all.into_iter().filter(|&way| self.is_delivered(way, id)).collect()
        };
        let mut delivered: Vec<_> = ids.into_iter().map(|id| (id.clone(), ways(&id))).collect();
        delivered.sort();
        delivered
    }
}

/// The key of a parcel: the same for the same notifications, also when they are sent again as dead letters.
fn key(way: Way, user: &str, ids: &[String]) -> String {
    let mut hash = Sha256::new();
    for part in [way.name(), user].into_iter().chain(ids.iter().map(String::as_str)) {
        // With its length: two lists never look like the same bytes.
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    HEXLOWER.encode(&hash.finalize()[..KEY])
}

/// What a channel makes a message of.
#[derive(Debug, Clone)]
pub struct Letter {
    /// The id of the message: the same for every attempt.
    pub key: String,
    /// The user.
    pub user: String,
    /// What is known of the user.
    pub profile: Profile,
    /// The notifications, in the order of acceptance. Not empty.
    pub entries: Vec<Arc<Entry>>,
}

impl Letter {
    /// When the last one was accepted: the date of the message, so that a repeat is the same.
    #[must_use]
    pub fn date(&self) -> Timestamp {
        self.entries.iter().map(|entry| entry.accepted_at).max().unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;
    use crate::entry::{Request, Urgency};

    fn ids(ids: &[&str]) -> Vec<String> {
        ids.iter().map(ToString::to_string).collect()
    }

    fn desk(waiting: &[&str]) -> Desk {
        let entry = |id: &&str| Entry {
            request: Request {
                id: (*id).to_owned(),
                user: "ann".to_owned(),
                topic: "it".to_owned(),
                priority: Urgency::Low,
                data: Map::new(),
                expires_at: None,
            },
            accepted_at: Timestamp::UNIX_EPOCH,
        };
        let pending = waiting.iter().map(entry).collect();
        Desk::new(&Loaded { pending, ..Loaded::default() })
    }

    #[test]
    fn what_was_together_stays_together() {
        let desk = desk(&["1", "2", "3", "4"]);
        let first = desk.divide(Way::Mail, "ann", &ids(&["1", "2", "3"]));
        assert!(matches!(&first[..], [part] if !part.is_known && part.ids.len() == 3));
        desk.note(first[0].parcel.clone());
        // After a restart: "2" has expired, and "4" has come.
        assert!(desk.end("2").is_empty());
        let next = desk.divide(Way::Mail, "ann", &ids(&["1", "3", "4"]));
        assert_eq!(next[0].parcel, first[0].parcel);
        assert_eq!(next[0].ids, ["1", "3"]);
        assert_eq!((next[1].is_known, &next[1].ids), (false, &ids(&["4"])));
        assert_ne!(next[1].parcel.key, next[0].parcel.key);
        // Not all of them are due at the same time now.
        let some = desk.divide(Way::Mail, "ann", &ids(&["3"]));
        assert!(matches!(&some[..], [part] if part.ids == ["1", "3"]), "{some:?}");
        // Another channel has parcels of its own.
        let other = desk.divide(Way::Webhook, "ann", &ids(&["1", "2", "3"]));
        assert!(!other[0].is_known && other[0].parcel.key != first[0].parcel.key);
    }

    #[test]
    fn a_parcel_goes_with_its_last_notification() {
        let desk = desk(&["1", "2"]);
        let part = desk.divide(Way::Mail, "ann", &ids(&["1", "2"])).remove(0);
        let key = part.parcel.key.clone();
        desk.note(Parcel { state: ParcelState::Delivered, ..part.parcel });
        let both = [("1".to_owned(), vec![Way::Mail]), ("2".to_owned(), vec![Way::Mail])];
        assert_eq!(desk.delivered(), both);
        assert!(desk.end("1").is_empty());
        assert_eq!(desk.delivered(), both[1..]);
        assert_eq!(desk.end("2"), [key]);
        assert!(desk.delivered().is_empty());
    }

    #[test]
    fn keys_depend_on_everything() {
        let one = key(Way::Mail, "ann", &ids(&["1", "2"]));
        assert_eq!(one, key(Way::Mail, "ann", &ids(&["1", "2"])));
        assert_eq!(one.len(), 2 * KEY);
        for other in [
            key(Way::Webhook, "ann", &ids(&["1", "2"])),
            key(Way::Mail, "ben", &ids(&["1", "2"])),
            key(Way::Mail, "ann", &ids(&["12"])),
            key(Way::Mail, "ann", &ids(&["2", "1"])),
        ] {
            assert_ne!(one, other);
        }
    }
}
