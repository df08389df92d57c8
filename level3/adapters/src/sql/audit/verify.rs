//! The verification of a trail.

use serde::Serialize;

use super::compare::Comparison;
use super::hash::{Anchor, Hash, Head, Link, link};
use crate::sql::StoreFault;
use crate::sql::row::Columns;
use crate::sql::view::unsigned;

/// The result of a verification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Audited {
    /// The number of entries that were read.
    pub entries: u64,
    /// The last entry as the store has it: the anchor to keep, if the trail is whole.
    pub head: Anchor,
    /// The first place at which the chain is broken. What follows it proves nothing.
    pub broken: Option<BrokenLink>,
    /// The number of anchors that fit.
    pub anchors: u64,
    /// The number of rows and refunds that are not as the trail says.
    pub found: u64,
    /// The first thousand of them.
    pub faults: Vec<StoreFault>,
}

impl Audited {
    /// Whether the chain is whole, every anchor fits, and the rows and refunds are as the trail says.
    #[must_use]
    pub const fn is_fine(&self) -> bool {
        self.broken.is_none() && self.found == 0
    }
}

/// The first place at which a chain is broken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BrokenLink {
    /// The number of the entry.
    pub entry: u64,
    /// What is wrong there.
    pub what: String,
}

/// Follows a trail from its beginning.
///
/// [`entry`](Self::entry) gets each entry in the order of the numbers. Then
/// [`end_of_chain`](Self::end_of_chain) is called, and the comparison gets the rows and refunds.
#[derive(Debug)]
pub(crate) struct Auditor {
    head: Head,
    seq: i64,
    hash: Hash,
    /// The last first.
    anchors: Vec<Anchor>,
    fitting: u64,
    entries: u64,
    broken: Option<BrokenLink>,
    pub(crate) comparison: Comparison,
}

impl Auditor {
    /// `identity` is that of the store, and `head` the end of the trail as the store has it.
    pub(crate) fn new(identity: &str, head: Head, mut anchors: Vec<Anchor>) -> Self {
        anchors.sort_by_key(|anchor| std::cmp::Reverse(anchor.entry));
        let beginning = Head::of_beginning(identity, head.before, head.now).hash;
        let mut auditor = Self {
            head,
            seq: 0,
            hash: beginning,
            anchors,
            fitting: 0,
            entries: 0,
            broken: None,
            comparison: Comparison::default(),
        };
        auditor.check_anchors();
        auditor
    }

    pub(crate) fn entry<R: Columns>(&mut self, row: &R) -> Result<(), R::Fault> {
        let link = link(row)?;
        self.entries += 1;
        self.follow(&link);
        Ok(())
    }

    fn follow(&mut self, link: &Link) {
        if self.broken.is_some() {
            return;
        }
        let expected = self.seq + 1;
        if link.seq != expected {
            return self.break_at(
                expected,
                format!("it is missing; after entry {} comes entry {}", self.seq, link.seq),
            );
        }
        if !link.follows(self.hash) {
            let what = format!(
                "its hash is not that of its content after entry {}: one of the two was changed, or \
                 another entry stood here",
                self.seq
            );
            return self.break_at(expected, what);
        }
        (self.seq, self.hash) = (link.seq, link.hash);
        self.check_anchors();
    }

    /// Compares the anchors of the entry that was read last.
    fn check_anchors(&mut self) {
        while let Some(anchor) = self.anchors.pop_if(|it| it.entry == unsigned(self.seq)) {
            if anchor.hash == self.hash {
                self.fitting += 1;
            } else {
                let what = "its hash is not that of the anchor: entries up to it were rewritten, \
                            or the anchor is of another store";
                self.break_at(self.seq, what.to_owned());
            }
        }
    }

    fn break_at(&mut self, seq: i64, what: String) {
        self.broken.get_or_insert(BrokenLink { entry: unsigned(seq), what });
    }

    /// Compares the end of the entries with the head and with the anchors that are left.
    pub(crate) fn end_of_chain(&mut self) {
        if self.broken.is_some() {
            return;
        }
        if let Some(anchor) = self.anchors.last().copied() {
            let what = format!(
                "it is missing: the trail ends with entry {}, and there is an anchor of entry {}",
                self.seq, anchor.entry
            );
            self.break_at(self.seq + 1, what);
        } else if self.head.seq > self.seq {
            let what = format!(
                "it is missing: the trail ends with entry {}, and its head says {}",
                self.seq, self.head.seq
            );
            self.break_at(self.seq + 1, what);
        } else if self.head.seq < self.seq {
            let what = format!("it comes after the end: the head says {}", self.head.seq);
            self.break_at(self.head.seq + 1, what);
        } else if self.head.hash != self.hash {
            self.break_at(self.seq, "its hash is not that of the head".to_owned());
        }
    }

    pub(crate) fn end(self) -> Audited {
        let Self { head, fitting: anchors, entries, broken, comparison, .. } = self;
        let (found, faults) = comparison.end();
        let head = Anchor { entry: unsigned(head.seq), hash: head.hash };
        Audited { entries, head, broken, anchors, found, faults }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trail(bodies: &[&str]) -> (Head, Vec<Link>) {
        let mut head = Head::of_beginning("store", [0, 0], 5);
        let links = bodies.iter().map(|body| head.add(1, "a".to_owned(), (*body).to_owned()));
        let links = links.collect();
        (head, links)
    }

    fn verify(head: Head, links: &[Link], anchors: &[Anchor]) -> Option<u64> {
        let mut auditor = Auditor::new("store", head, anchors.to_vec());
        links.iter().for_each(|link| auditor.follow(link));
        auditor.end_of_chain();
        auditor.broken.map(|broken| broken.entry)
    }

    fn anchor(link: &Link) -> Anchor {
        Anchor { entry: unsigned(link.seq), hash: link.hash }
    }

    #[test]
    fn every_change_of_the_entries_breaks_the_chain_there() {
        let (head, links) = trail(&["a", "b", "c", "d"]);
        assert_eq!(verify(head.clone(), &links, &[]), None);
        for place in 0..links.len() {
            let number = Some(place as u64 + 1);
            let mut changed = links.clone();
            changed[place].body = "x".to_owned();
            assert_eq!(verify(head.clone(), &changed, &[]), number, "changed");
            let mut removed = links.clone();
            removed.remove(place);
            assert_eq!(verify(head.clone(), &removed, &[]), number, "removed");
            assert_eq!(verify(head.clone(), &links[..place], &[]), number, "cut off");
            for other in place + 1..links.len() {
                let mut swapped = links.clone();
                swapped.swap(place, other);
                (swapped[place].seq, swapped[other].seq) = (links[place].seq, links[other].seq);
                assert_eq!(verify(head.clone(), &swapped, &[]), number, "swapped with {other}");
            }
        }
    }

    /// Each entry is bound to its number, its time, its process and its subject too.
    #[test]
    fn every_column_is_hashed() {
        let (head, links) = trail(&["a"]);
        for change in [
            (|link: &mut Link| link.at += 1) as fn(&mut Link),
            |link| link.instance += 1,
            |link| link.subject = "b".to_owned(),
            |link| link.body = "b".to_owned(),
            // The same bytes, split in another place.
            |link| (link.subject, link.body) = (String::new(), "aa".to_owned()),
        ] {
            let mut link = links[0].clone();
            change(&mut link);
            assert_eq!(verify(head.clone(), &[link], &[]), Some(1));
        }
    }

    /// A chain alone does not show that all of it was rewritten; an anchor does.
    #[test]
    fn a_new_chain_is_found_by_an_anchor_alone() {
        let (_, links) = trail(&["a", "b", "c"]);
        let (head, forged) = trail(&["a", "x", "c"]);
        assert_eq!(verify(head.clone(), &forged, &[]), None);
        for (place, broken) in [(0, None), (1, Some(2)), (2, Some(3))] {
            assert_eq!(verify(head.clone(), &forged, &[anchor(&links[place])]), broken);
        }
        let (head, cut) = trail(&["a"]);
        assert_eq!(verify(head.clone(), &cut, &[]), None);
        assert_eq!(verify(head, &cut, &[anchor(&links[0]), anchor(&links[2])]), Some(2));
    }

    #[test]
    fn the_trail_of_another_store_does_not_fit() {
        let mut head = Head::of_beginning("other", [0, 0], 5);
        let links = [head.add(1, "a".to_owned(), "a".to_owned())];
        assert_eq!(verify(head, &links, &[]), Some(1));
        let mut head = Head::of_beginning("store", [3, 0], 5);
        let links = [head.add(1, "a".to_owned(), "a".to_owned())];
        head.before = [4, 0];
        assert_eq!(verify(head, &links, &[]), Some(1));
    }
}
