//! A store in memory.

use std::collections::{BTreeMap, HashMap};
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::{
    Applied, Change, End, InboxItem, Letter, Limits, Loaded, Parcel, Status, Store, StoreError,
};
use crate::entry::Entry;
use crate::profile::Known;

/// Keeps everything in memory: it outlives the service that uses it, and not the process. A clone is a handle to the
/// same store.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    limits: Limits,
    // Held for one call, never across an await.
    tables: Arc<Mutex<Tables>>,
}

/// What the tables of the file hold, with the same keys.
#[derive(Debug, Default)]
struct Tables {
    last: u64,
    pending: BTreeMap<u64, Entry>,
    numbers: HashMap<String, u64>,
    ended: BTreeMap<u64, (String, End)>,
    ended_numbers: HashMap<String, u64>,
    dead: BTreeMap<u64, Letter>,
    dead_numbers: HashMap<String, u64>,
    profiles: BTreeMap<String, Known>,
    parcels: BTreeMap<String, Parcel>,
    inboxes: HashMap<String, BTreeMap<u64, InboxItem>>,
}

impl Memory {
    /// A store with other limits than the default ones.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, tables: Arc::default() }
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tables {
    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    fn apply(&mut self, change: Change, limits: &Limits) -> Applied {
        match change {
            Change::Accept(entry) => {
                let id = entry.request.id.clone();
                if self.numbers.contains_key(&id) || self.ended_numbers.contains_key(&id) {
                    return Applied::Nothing;
                }
                if let Some(letter) = self.dead_numbers.remove(&id) {
                    self.dead.remove(&letter);
                }
                let number = self.next();
                self.numbers.insert(id, number);
                self.pending.insert(number, entry);
            }
            Change::Forget(id) => {
                let Some(number) = self.numbers.remove(&id) else { return Applied::Nothing };
                self.pending.remove(&number);
            }
            Change::Profile(user, known) => {
                self.profiles.insert(user, known);
            }
            Change::Parcel(parcel) => {
                self.parcels.insert(parcel.key.clone(), parcel);
            }
            Change::DropParcel(key) => {
                if self.parcels.remove(&key).is_none() {
                    return Applied::Nothing;
                }
            }
            Change::Inbox(user, item) => return self.file(user, item, limits),
            Change::End(id, end) => return self.end(id, end, limits),
        }
        Applied::Done
    }

    fn file(&mut self, user: String, item: InboxItem, limits: &Limits) -> Applied {
        let number = self.next();
        let inbox = self.inboxes.entry(user).or_default();
        if inbox.values().any(|other| other.id == item.id) {
            return Applied::Nothing;
        }
        inbox.insert(number, InboxItem { number, ..item });
        if inbox.len() > limits.inbox.get() {
            inbox.pop_first();
        }
        Applied::Done
    }

    fn end(&mut self, id: String, end: End, limits: &Limits) -> Applied {
        let entry = self.numbers.remove(&id).and_then(|number| self.pending.remove(&number));
        let Some(entry) = entry else { return Applied::Nothing };
        let number = self.next();
        if let End::Dead { why } = end {
            self.dead_numbers.insert(id, number);
            self.dead.insert(number, Letter { entry, why });
            if self.dead.len() > limits.dead.get()
                && let Some((_, oldest)) = self.dead.pop_first()
            {
                self.dead_numbers.remove(&oldest.entry.request.id);
            }
        } else {
            self.ended_numbers.insert(id.clone(), number);
            self.ended.insert(number, (id, end));
            if self.ended.len() > limits.ended.get()
                && let Some((_, (oldest, _))) = self.ended.pop_first()
            {
                self.ended_numbers.remove(&oldest);
            }
        }
        Applied::Done
    }
}

impl Store for Memory {
    fn apply(&self, changes: Vec<Change>) -> BoxFuture<'_, Result<Vec<Applied>, StoreError>> {
        async move {
            let mut tables = self.tables();
            Ok(changes.into_iter().map(|change| tables.apply(change, &self.limits)).collect())
        }
        .boxed()
    }

    fn load(&self) -> Result<Loaded, StoreError> {
        let tables = self.tables();
        let profiles = tables.profiles.iter().map(|(user, known)| (user.clone(), known.clone()));
        Ok(Loaded {
            pending: tables.pending.values().cloned().collect(),
            profiles: profiles.collect(),
            parcels: tables.parcels.values().cloned().collect(),
        })
    }

    fn inbox(&self, user: &str, after: u64, most: usize) -> Result<Vec<InboxItem>, StoreError> {
        let tables = self.tables();
        let newer = tables.inboxes.get(user).into_iter().flat_map(|inbox| inbox.range(after + 1..));
        Ok(newer.map(|(_, item)| item.clone()).take(most).collect())
    }

    fn status(&self, id: &str) -> Result<Option<Status>, StoreError> {
        let tables = self.tables();
        if tables.numbers.contains_key(id) {
            return Ok(Some(Status::Pending));
        }
        if let Some((_, end)) = tables.ended_numbers.get(id).and_then(|at| tables.ended.get(at)) {
            return Ok(Some(Status::Ended(end.clone())));
        }
        let letter = tables.dead_numbers.get(id).and_then(|at| tables.dead.get(at));
        Ok(letter.cloned().map(Status::Dead))
    }

    fn letters(&self) -> Result<Vec<Letter>, StoreError> {
        Ok(self.tables().dead.values().cloned().collect())
    }

    fn broken(&self) -> BoxFuture<'_, StoreError> {
        pending().boxed()
    }
}
