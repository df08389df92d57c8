//! What the journal knows of its records: pure decisions, without the server.
//!
//! ```text
//!  begin ─▶ Writing ── commit ──▶ Kept ──── leave, or a newer record of the event ──▶ Leaving ── removed ─▶ gone
//!              └────── abort ─────────────────────────────────────────────────────────▶
//!  offer ─▶ Offered ── begin ──▶ Kept          (an event of a dead process)
//! ```

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use async_nats::Subject;
use level5::event_processor::{Event, EventId, Loaded};

use crate::error::WriteError;
use crate::record::{Content, Order};

/// Where the server has a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// The lane.
    pub(crate) lane: u32,
    /// Its number in the stream.
    pub(crate) sequence: u64,
    /// Where its acknowledgement goes. `None` until a consumer has delivered it.
    pub(crate) ack: Option<Subject>,
}

/// A record that was read from a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) order: Order,
    pub(crate) place: Place,
    pub(crate) content: Content,
}

/// How far a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Its call has not returned.
    Writing,
    /// It is what the journal has of its event.
    Kept,
    /// It belongs to an event of a dead process that this process has not accepted yet.
    Offered,
    /// It has to be removed from the stream.
    Leaving,
}

#[derive(Debug)]
struct Record {
    content: Content,
    state: State,
    /// A process that is dead has accepted it.
    is_taken_over: bool,
    /// `None` until the server has answered.
    place: Option<Place>,
}

/// The records of this process.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// The lane that new records are written to.
    lane: u32,
    /// The order of the last record.
    last: Order,
    /// The most records.
    most: usize,
    /// In their order, which is the order in which they are loaded.
    records: BTreeMap<Order, Record>,
    /// The records of each event: one that is kept or offered, and others that come or go.
    by_id: HashMap<EventId, Vec<Order>>,
    /// Those of both that leave and are not being removed at this moment.
    leaving: BTreeSet<Order>,
    /// Records that the server has and that belong to no event of this process: to be removed too.
    strays: BTreeMap<Order, Place>,
    /// Records of other owners that this process has removed. The server may deliver them again.
    removed: HashSet<Order>,
    /// Those of them, with their lanes, that are not noted in the entry of the lane.
    not_noted: Vec<(u32, Order)>,
}

impl Ledger {
    /// The ledger of a process that owns `lane` since this generation.
    pub(crate) fn new(lane: u32, generation: u64, most: usize) -> Self {
        Self {
            lane,
            last: Order { generation, number: 0 },
            most,
            records: BTreeMap::new(),
            by_id: HashMap::new(),
            leaving: BTreeSet::new(),
            strays: BTreeMap::new(),
            removed: HashSet::new(),
            not_noted: Vec::new(),
        }
    }

    /// Begins the records of a call: all, or none. Returns those that have to be written; an event that was taken over
    /// from a dead process is in the stream already.
    ///
    /// # Errors
    ///
    /// [`WriteError::Full`], for events only. A letter takes the place of its event.
    pub(crate) fn begin(&mut self, contents: Vec<Content>) -> Result<Vec<Order>, WriteError> {
        let is_of_events = contents.iter().any(|content| matches!(content, Content::Pending(_)));
        // Those that leave count: the server has them, and its consumer has the same limit.
        if is_of_events && self.records.len() + contents.len() > self.most {
            return Err(WriteError::Full { max_records: self.most });
        }
        let mut orders = Vec::with_capacity(contents.len());
        for content in contents {
            if self.accepts_offer(&content) {
                continue;
            }
            self.last.number += 1;
            self.insert(
                self.last,
                Record { content, state: State::Writing, is_taken_over: false, place: None },
            );
            orders.push(self.last);
        }
        Ok(orders)
    }

    fn accepts_offer(&mut self, content: &Content) -> bool {
        let orders = self.by_id.get(content.id()).map_or(&[][..], Vec::as_slice);
        let offered = orders.iter().find(|order| {
            let record = &self.records[order];
            // Another event with this id is written and replaces the offered one.
            record.state == State::Offered && record.content == *content
        });
        let Some(record) = offered.and_then(|order| self.records.get_mut(order)) else {
            return false;
        };
        record.state = State::Kept;
        true
    }

    fn insert(&mut self, order: Order, record: Record) {
        self.by_id.entry(record.content.id().clone()).or_default().push(order);
        self.records.insert(order, record);
    }

    /// What a record has to say.
    pub(crate) fn content(&self, order: Order) -> Option<&Content> {
        self.records.get(&order).map(|record| &record.content)
    }

    /// The server has the record.
    pub(crate) fn stored(&mut self, order: Order, sequence: u64) {
        let lane = self.lane;
        match self.records.get_mut(&order) {
            // A consumer may have delivered it before the answer came.
            Some(Record { place: Some(_), .. }) => {}
            Some(record) => record.place = Some(Place { lane, sequence, ack: None }),
            None => self.stray(order, Place { lane, sequence, ack: None }),
        }
    }

    fn stray(&mut self, order: Order, place: Place) {
        self.strays.insert(order, place);
        self.leaving.insert(order);
    }

    /// The records of a call are stored: each takes the place of the older ones of its event.
    pub(crate) fn commit(&mut self, orders: &[Order]) {
        for &order in orders {
            let Some(record) = self.records.get_mut(&order) else { continue };
            record.state = State::Kept;
            let id = record.content.id().clone();
            let others: Vec<_> =
                self.by_id[&id].iter().copied().filter(|it| *it != order).collect();
            // A newer one of this owner was committed before. What others have written is older, whatever its order.
            let own = self.last.generation;
            let is_newer = |it: &Order| {
                it.generation == own && *it > order && self.records[it].state == State::Kept
            };
            if others.iter().any(is_newer) {
                self.leave(order);
                continue;
            }
            for other in others {
                if matches!(self.records[&other].state, State::Kept | State::Offered) {
                    self.leave(other);
                }
            }
        }
    }

    /// The records of a call are not kept. Those that the server has are removed.
    pub(crate) fn abort(&mut self, orders: &[Order]) {
        for &order in orders {
            match self.records.get(&order) {
                Some(Record { place: Some(_), .. }) => self.leave(order),
                Some(_) => self.forget(order),
                None => {}
            }
        }
    }

    fn leave(&mut self, order: Order) {
        if let Some(record) = self.records.get_mut(&order)
            && record.state != State::Leaving
        {
            record.state = State::Leaving;
            self.leaving.insert(order);
        }
    }

    fn forget(&mut self, order: Order) {
        self.leaving.remove(&order);
        let Some(record) = self.records.remove(&order) else { return };
        let id = record.content.id();
        if let Some(orders) = self.by_id.get_mut(id) {
            orders.retain(|it| *it != order);
            if orders.is_empty() {
                self.by_id.remove(id);
            }
        }
    }

    fn of(&self, id: &EventId, state: State) -> impl Iterator<Item = Order> {
        let orders = self.by_id.get(id).map_or(&[][..], Vec::as_slice);
        orders.iter().copied().filter(move |order| self.records[order].state == state)
    }

    /// Whether a call about this event has not returned.
    pub(crate) fn is_writing(&self, id: &EventId) -> bool {
        self.of(id, State::Writing).next().is_some()
    }

    /// Whether the journal has this event.
    pub(crate) fn is_kept(&self, id: &EventId) -> bool {
        self.of(id, State::Kept).next().is_some()
    }

    /// Whether records of this event are still to be removed.
    pub(crate) fn is_leaving(&self, id: &EventId) -> bool {
        self.of(id, State::Leaving).next().is_some()
    }

    /// The event has ended.
    pub(crate) fn end(&mut self, id: &EventId) {
        let orders: Vec<_> = self.of(id, State::Kept).chain(self.of(id, State::Offered)).collect();
        orders.into_iter().for_each(|order| self.leave(order));
    }

    /// The call that has handed the event in was dropped. One that a dead process has accepted is offered as before: it
    /// stays in the stream, and the next process gets it.
    pub(crate) fn withdraw(&mut self, id: &EventId) {
        let orders: Vec<_> = self.of(id, State::Kept).collect();
        for order in orders {
            match self.records.get_mut(&order) {
                Some(record) if record.is_taken_over => record.state = State::Offered,
                _ => self.leave(order),
            }
        }
    }

    /// The offered event is not needed: it was accepted before.
    pub(crate) fn decline(&mut self, id: &EventId) {
        let orders: Vec<_> = self.of(id, State::Offered).collect();
        orders.into_iter().for_each(|order| self.leave(order));
    }

    /// Takes out at most so many records that have to be removed. Each comes back with [`removed`](Self::removed) or
    /// [`not_removed`](Self::not_removed).
    pub(crate) fn take_leaving(&mut self, most: usize) -> Vec<(Order, Place)> {
        let mut taken = Vec::new();
        while taken.len() < most
            && let Some(order) = self.leaving.pop_first()
        {
            let of_record = || self.records.get(&order).and_then(|record| record.place.clone());
            if let Some(place) = self.strays.get(&order).cloned().or_else(of_record) {
                taken.push((order, place));
            }
        }
        taken
    }

    /// Whether something has to be removed that is not taken out.
    pub(crate) fn has_leaving(&self) -> bool {
        !self.leaving.is_empty()
    }

    /// The server has removed it.
    pub(crate) fn removed(&mut self, order: Order) {
        let of_record = self.records.get(&order).and_then(|record| record.place.as_ref());
        let lane = self.strays.get(&order).or(of_record).map_or(self.lane, |place| place.lane);
        self.forget(order);
        self.strays.remove(&order);
        if order.generation != self.last.generation {
            self.removed.insert(order);
            self.not_noted.push((lane, order));
        }
    }

    /// Takes out the records of other owners that were removed since the last call, with their lanes.
    pub(crate) fn take_not_noted(&mut self) -> Vec<(u32, Order)> {
        std::mem::take(&mut self.not_noted)
    }

    /// It could not be removed, and is taken out again later. The acknowledgement that was tried is of no use.
    pub(crate) fn not_removed(&mut self, order: Order, tried: Place) {
        let of_record = self.records.get_mut(&order).and_then(|record| record.place.as_mut());
        if let Some(place) = self.strays.get_mut(&order).or(of_record) {
            // A new consumer may have delivered it meanwhile.
            if place.ack == tried.ack {
                place.ack = None;
            }
            self.leaving.insert(order);
        }
    }

    /// Where the acknowledgement of a record goes, as far as it is known.
    pub(crate) fn ack(&self, order: Order) -> Option<Subject> {
        let of_record = || self.records.get(&order)?.place.as_ref();
        self.strays.get(&order).or_else(of_record)?.ack.clone()
    }

    /// A consumer has delivered a record. Returns it if it is of another owner and unknown: a process that was treated as
    /// dead has written it.
    pub(crate) fn delivered(&mut self, stored: Stored) -> Option<Stored> {
        if let Some(record) = self.records.get_mut(&stored.order) {
            record.place = Some(stored.place);
            None
        } else if stored.order.generation == self.last.generation
            || self.removed.contains(&stored.order)
        {
            // Its call has failed, or it was removed before and the server has forgotten that.
            self.stray(stored.order, stored.place);
            None
        } else {
            Some(stored)
        }
    }

    /// A record that an earlier owner knows to have ended.
    pub(crate) fn has_ended(&mut self, stored: Stored) {
        self.stray(stored.order, stored.place);
    }

    /// The order of the next record, and the records of this owner that have not ended.
    pub(crate) fn live(&self) -> (Order, impl Iterator<Item = Order>) {
        let Order { generation, number } = self.last;
        let of_owner = Order { generation, number: 0 }..;
        let of_owner = self.records.range(of_owner).filter(move |(order, record)| {
            order.generation == generation && record.state != State::Leaving
        });
        (Order { generation, number: number + 1 }, of_owner.map(|(order, _)| *order))
    }

    /// What the lane had when it was opened. Of several records of an event the newest is kept.
    pub(crate) fn restore(&mut self, stored: Vec<Stored>) {
        for record in stored {
            self.add(record, State::Kept);
        }
    }

    /// Records of a dead process. Returns the events that are pending; dead letters stay in their lane.
    pub(crate) fn offer(&mut self, stored: Vec<Stored>) -> Vec<Arc<Event>> {
        let mut newest: HashMap<EventId, Order> = HashMap::new();
        for record in &stored {
            let order = newest.entry(record.content.id().clone()).or_insert(record.order);
            *order = record.order.max(*order);
        }
        let mut events = BTreeMap::new();
        for record in stored {
            let is_newest = newest.get(record.content.id()) == Some(&record.order);
            match &record.content {
                // Left where it is: the next process that opens this lane has it.
                Content::Dead(_) if is_newest => {}
                Content::Pending(event)
                    if is_newest && !self.records.contains_key(&record.order) =>
                {
                    events.insert(record.order, Arc::clone(event));
                    self.add(record, State::Offered);
                }
                // A newer record of the event is in the same lane.
                _ if !is_newest => self.stray(record.order, record.place),
                _ => {}
            }
        }
        events.into_values().collect()
    }

    fn add(&mut self, stored: Stored, state: State) {
        let Stored { order, place, content } = stored;
        let id = content.id().clone();
        let is_taken_over = state == State::Offered;
        self.insert(order, Record { content, state, is_taken_over, place: Some(place) });
        let rivals: Vec<_> = self.of(&id, state).collect();
        let newest = rivals.iter().copied().max();
        for rival in rivals {
            if Some(rival) != newest {
                self.leave(rival);
            }
        }
    }

    /// Whether a record of this lane is here.
    pub(crate) fn has_of_lane(&self, lane: u32) -> bool {
        let of_lane = |place: &Place| place.lane == lane;
        self.strays.values().any(of_lane)
            || self.records.values().any(|it| it.place.as_ref().is_some_and(of_lane))
    }

    /// The number of records that the journal keeps.
    pub(crate) fn kept(&self) -> usize {
        self.records.values().filter(|record| record.state == State::Kept).count()
    }

    /// What is kept.
    pub(crate) fn loaded(&self) -> Loaded {
        let mut loaded = Loaded::default();
        for record in self.records.values().filter(|record| record.state == State::Kept) {
            match &record.content {
                Content::Pending(event) => loaded.pending.push(Arc::clone(event)),
                Content::Dead(letter) => loaded.dead.push(letter.clone()),
            }
        }
        loaded
    }
}

#[cfg(test)]
mod tests;
