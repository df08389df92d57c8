//! What is known of one record, and what follows from it. There is no lock, no clock and no task here.
//!
//! ```text
//!            sources agree, or a strategy decides
//!   ┌────────────────────────────────────────────────────┐
//!   ▼              records differ, and                    │
//!  settled ──┬── the rule is manual ──────▶ parked ───────┤ a person decides
//!            │                                ▲           │
//!            │                                │ no answer │
//!            └── the rule asks a program ──▶ asking ──────┘ an answer; if the records have changed
//!                                                           meanwhile, the program is asked again
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroUsize;

use tokio::time::Instant;

use crate::conflict::{
    Fingerprint, Latest, Offer, Record, Resolution, Resolved, SourceId, Stamp, Standings, Strategy,
    resolve,
};

use super::config::{Conflict, Pick, Rule};
use super::record::RecordId;
use super::store::Saved;

/// Whether a conflict is open. What counts stays as it was while it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Doubt {
    /// The sources agree, or their conflict is decided.
    #[default]
    Settled,
    /// The conflict of this number waits for a person.
    Parked(u64),
    /// A program was asked about the conflict `question`. The conflict that is open now is `number`; it is a later one
    /// if records have changed since. Two numbers, because the answer comes with the first, and the second decides
    /// whether the program is asked again. `counts` is false for an answer to a conflict that was over in between: it
    /// only ends the wait.
    Asking { question: u64, number: u64, counts: bool },
}

/// What has followed from a change of an entry. The entry has no channels; [`State`](super::state::State) sends it.
#[derive(Debug, Default)]
pub(super) struct Decided {
    /// What counts, if its content is another one now.
    pub(super) change: Option<Resolved>,
    /// The conflict, if one was found.
    pub(super) found: Option<Conflict>,
    /// Whether a conflict was decided.
    pub(super) resolved: bool,
    /// The conflict that a program has to be asked about.
    pub(super) question: Option<Conflict>,
}

/// One record, with everything that its sources have delivered of it.
#[derive(Debug, Default)]
pub(super) struct Entry {
    /// The newest record of each source, deletions included: an older record that arrives late loses against them.
    latest: Latest<Record>,
    /// The versions, the oldest first; the last one counts.
    history: VecDeque<Resolved>,
    /// The contents of the conflict that was found last, by source. Empty while the sources agree. A conflict is
    /// another one when these differ; new stamps alone do not make one.
    differing: BTreeMap<SourceId, Fingerprint>,
    pub(super) doubt: Doubt,
    /// The number of the question that a program has and has not answered. Apart from the doubt, which may be another
    /// one meanwhile: the program is not asked a second time before its answer.
    under_way: Option<u64>,
    /// Whether the program of the present rule has left the parked conflict to a person. It is not asked again about
    /// the same contents.
    is_left: bool,
    /// The stamps that were held, as their sources wrote them: by these a record is known again when it comes once
    /// more.
    held: BTreeMap<SourceId, Stamp>,
    /// When each source delivered the record last. Not saved: an `Instant` means nothing to another process, and after
    /// a restart nothing is confirmed.
    confirmed: BTreeMap<SourceId, Instant>,
    /// When all sources answered a fetch of the record last.
    asked: Option<Instant>,
}

impl Entry {
    /// The entry that was saved. A conflict that was open is parked under `number`: the program that was asked is
    /// gone, and the first review asks again.
    pub(super) fn loaded(saved: Saved, number: u64) -> Self {
        let mut latest = Latest::new();
        for record in saved.records {
            latest.offer(record);
        }
        // Computed and not saved. With these, the first review finds the same conflict again and not a new one, and a
        // decision of the last run holds.
        let differing = if latest.in_conflict() { prints(&latest) } else { BTreeMap::new() };
        let open = saved.open && !differing.is_empty();
        let doubt = if open { Doubt::Parked(number) } else { Doubt::Settled };
        let held = saved.held.into_iter().map(|stamp| (stamp.source.clone(), stamp)).collect();
        Self { latest, history: saved.history.into(), differing, doubt, held, ..Self::default() }
    }

    pub(super) fn to_saved(&self, id: RecordId) -> Saved {
        let records = self.latest.in_order().into_iter().cloned().collect();
        let history = self.history.iter().cloned().collect();
        let held = self.held.values().cloned().collect();
        Saved { id, records, history, open: self.doubt != Doubt::Settled, held }
    }

    /// What counts. `None` only before the first review.
    pub(super) fn current(&self) -> Option<&Resolved> {
        self.history.back()
    }

    pub(super) fn history(&self) -> Vec<Resolved> {
        self.history.iter().cloned().collect()
    }

    /// The source delivers the record.
    pub(super) fn confirm(&mut self, source: &SourceId, now: Instant) {
        self.confirmed.insert(source.clone(), now);
    }

    /// All sources have answered a fetch of the record.
    pub(super) fn asked(&mut self, now: Instant) {
        self.asked = Some(now);
    }

    /// When what counts was confirmed last: by the source that it is from, or by the answers of all. That another
    /// source still has an older record says nothing about the one that counts.
    pub(super) fn confirmed(&self) -> Option<Instant> {
        let source = &self.current()?.stamp.source;
        // `None` is less than every moment, so `max` takes the one that there is.
        self.confirmed.get(source).copied().max(self.asked)
    }

    /// Keeps the record if it is news, and says whether it is. Its stamp may be held; `written` is the stamp as the
    /// source wrote it.
    ///
    /// A record whose stamp was held keeps the moment of its first arrival. If each poll moved it to the present, it
    /// would win against everything that was written elsewhere since.
    pub(super) fn offer(&mut self, record: Record, written: Stamp) -> bool {
        // Before the offer, whose comparison sees only the held stamp: it is that of the present, and newer each time.
        if self.held.get(&written.source) == Some(&written) {
            return false;
        }
        let is_held = record.stamp != written;
        let is_news = matches!(self.latest.offer(record), Offer::First | Offer::Replaces(_));
        // Only the stamp of the record that is kept: a record that was refused as older must not be recognised.
        if is_news && is_held {
            self.held.insert(written.source.clone(), written);
        } else if is_news {
            self.held.remove(&written.source);
        }
        is_news
    }

    /// Notes that the record has another rule: a program that has not seen the parked conflict is asked about it.
    pub(super) const fn has_new_rule(&mut self) {
        self.is_left = false;
    }

    /// Decides what counts, after records, the rule or the standings have changed.
    ///
    /// A decision of a person or a program holds as long as the contents are those that it was about, under a new
    /// rule too, unless that is a strategy.
    pub(super) fn review(
        &mut self,
        id: &RecordId,
        rule: &Rule,
        standings: &Standings,
        numbers: &mut u64,
        versions: NonZeroUsize,
    ) -> Decided {
        // By content and source, without stamps: a source that writes the same again makes no new conflict. By source,
        // because one that goes over to another's content changes who differs, though the set of contents is the same.
        let differs = self.latest.in_conflict();
        let differing = if differs { prints(&self.latest) } else { BTreeMap::new() };
        let news = differs && differing != self.differing;
        self.differing = differing;
        let mut decided = Decided::default();
        if news {
            *numbers += 1;
            decided.found = Some(self.conflict(id, *numbers));
            self.is_left = false;
        }
        let strategy = match rule {
            Rule::By(strategy) => *strategy,
            // Agreement needs no question.
            Rule::Ask(_) => Strategy::Manual,
        };
        match resolve(&self.latest, strategy, standings) {
            Resolution::Empty => {}
            Resolution::Decided(resolved) => {
                // Agreement ends a doubt too, but decides no conflict: `differs` keeps it out of the figures. An answer
                // that still comes finds no question, and changes nothing.
                let open = std::mem::take(&mut self.doubt) != Doubt::Settled;
                decided.resolved = differs && (news || open);
                decided.change = self.becomes(resolved, versions);
            }
            Resolution::Open(_) => {
                let asks = matches!(rule, Rule::Ask(_));
                self.doubt = match self.doubt {
                    // A decision was made about exactly these contents. It holds.
                    Doubt::Settled if !news => Doubt::Settled,
                    // One question at a time for a record: the answer to this one comes first.
                    Doubt::Asking { question, number, counts } if asks => {
                        let number = if news { *numbers } else { number };
                        Doubt::Asking { question, number, counts }
                    }
                    // Parked, or asked and no longer asked under this rule, or a new conflict. It keeps its number if
                    // the contents are the same, so that a person's decision about it stays valid.
                    open => {
                        let number = match open {
                            Doubt::Parked(number) | Doubt::Asking { number, .. } if !news => number,
                            _ => *numbers,
                        };
                        // What a program has left to a person stays with the person: a decision would otherwise be
                        // outdated by the next stamp.
                        if asks && !self.is_left {
                            self.ask(id, number, &mut decided)
                        } else {
                            Doubt::Parked(number)
                        }
                    }
                };
            }
        }
        decided
    }

    /// Applies the program's answer. `pick` is `None` if it left the conflict open.
    ///
    /// An answer about records that have changed since counts until the next one: a record that changes faster than
    /// the program answers must not wait without end.
    pub(super) fn answered(
        &mut self,
        question: &Conflict,
        pick: Option<Resolved>,
        versions: NonZeroUsize,
    ) -> Decided {
        let mut decided = Decided::default();
        if self.under_way != Some(question.number) {
            return decided;
        }
        // Also if the answer counts for nothing any more: the program is free for the next question.
        self.under_way = None;
        // The records have come to agree, or the rule is another one now: the answer is about nothing that is open.
        let Doubt::Asking { question: asked, number, counts } = self.doubt else { return decided };
        let pick = pick.filter(|_| counts);
        let has_picked = pick.is_some();
        decided.change = pick.and_then(|resolved| self.becomes(resolved, versions));
        self.doubt = if number != asked {
            // Not decided yet: the pick is about older records. It counts until the program has seen the new ones.
            self.ask(&question.id, number, &mut decided)
        } else if has_picked {
            decided.resolved = true;
            Doubt::Settled
        } else {
            self.is_left = true;
            Doubt::Parked(number)
        };
        decided
    }

    /// The doubt about a conflict that a program has to decide. If the program has no other question of this record, it
    /// is asked now.
    fn ask(&mut self, id: &RecordId, number: u64, decided: &mut Decided) -> Doubt {
        let question = self.under_way.unwrap_or_else(|| {
            decided.question = Some(self.conflict(id, number));
            number
        });
        self.under_way = Some(question);
        // An answer about exactly these contents counts, whatever the rule was in between.
        Doubt::Asking { question, number, counts: question == number }
    }

    /// Applies a person's decision of the conflict that is parked. The caller has checked its number.
    pub(super) fn decide(&mut self, resolved: Resolved, versions: NonZeroUsize) -> Decided {
        self.doubt = Doubt::Settled;
        Decided { change: self.becomes(resolved, versions), resolved: true, ..Decided::default() }
    }

    /// The conflict that waits for a person.
    pub(super) fn parked(&self, id: &RecordId) -> Option<Conflict> {
        match self.doubt {
            Doubt::Parked(number) => Some(self.conflict(id, number)),
            Doubt::Settled | Doubt::Asking { .. } => None,
        }
    }

    fn conflict(&self, id: &RecordId, number: u64) -> Conflict {
        let records = self.latest.in_order().into_iter().cloned().collect();
        Conflict { id: id.clone(), number, records }
    }

    /// Makes `resolved` what counts. Returns it if its content is another one than before.
    fn becomes(&mut self, resolved: Resolved, versions: NonZeroUsize) -> Option<Resolved> {
        if let Some(current) = self.history.back_mut()
            && current.content == resolved.content
        {
            // The same content with a newer stamp, or from another source: no version of its own.
            *current = resolved;
            return None;
        }
        // A record that is deleted before it was ever seen: for the readers nothing has changed.
        let unseen = self.history.is_empty() && resolved.content.is_none();
        self.history.push_back(resolved.clone());
        while self.history.len() > versions.get() {
            self.history.pop_front();
        }
        (!unseen).then_some(resolved)
    }
}

/// What a pick makes of a conflict. `None`: the conflict has no record of the source.
pub(super) fn picked(conflict: &Conflict, pick: Pick) -> Option<Resolved> {
    match pick {
        Pick::Record(source) => {
            let record = conflict.records.iter().find(|record| record.stamp.source == source);
            record.map(Resolved::whole)
        }
        Pick::Content(content) => {
            // A version needs a stamp, and a written content has none. With that of the newest record, the deliveries
            // of its source confirm the content.
            let newest = conflict.records.last()?;
            let stamp = newest.stamp.clone();
            Some(Resolved { content, stamp, origins: BTreeMap::new() })
        }
    }
}

/// Fingerprints and not the contents: they are compared at each review, and a conflict keeps them as long as it lasts.
fn prints(latest: &Latest<Record>) -> BTreeMap<SourceId, Fingerprint> {
    let print =
        |record: &&Record| (record.stamp.source.clone(), Fingerprint::of(record.content.as_ref()));
    latest.in_order().iter().map(print).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conflict::Fields;
    use jiff::Timestamp;
    use std::sync::Arc;

    const VERSIONS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(9);

    struct NotAsked;

    impl super::super::config::Resolve for NotAsked {
        fn resolve(
            &self,
            _: RecordId,
            _: Vec<Record>,
        ) -> futures::future::BoxFuture<'static, Option<Pick>> {
            unreachable!("an entry asks no program itself")
        }
    }

    fn record(second: i64, source: &str, value: &str) -> Record {
        let at = Timestamp::from_second(second).expect("a second of this century");
        let content = Fields::from([("v".to_owned(), value.into())]);
        let stamp = Stamp { at, version: 1, source: source.into() };
        Record { stamp, content: Some(content) }
    }

    /// An entry under `rule` to which records are offered one after the other.
    struct Script {
        entry: Entry,
        rule: Rule,
        numbers: u64,
    }

    impl Script {
        fn new(rule: Rule) -> Self {
            Self { entry: Entry::default(), rule, numbers: 0 }
        }

        fn offer(&mut self, record: Record) -> Decided {
            let written = record.stamp.clone();
            self.entry.offer(record, written);
            let standings = Standings::new();
            let (id, rule) = (RecordId::new("x"), &self.rule);
            self.entry.review(&id, rule, &standings, &mut self.numbers, VERSIONS)
        }

        fn counts(&self) -> String {
            let current = self.entry.current().and_then(|current| current.content.as_ref());
            current.map_or_else(String::new, |fields| fields["v"].to_string())
        }
    }

    #[test]
    fn an_answer_is_about_the_question_that_is_open() {
        let mut script = Script::new(Rule::Ask(Arc::new(NotAsked)));
        script.offer(record(1, "a", "one"));
        let first = script.offer(record(2, "b", "two")).question.expect("they differ");
        let late = script.offer(record(3, "b", "three"));
        assert!(late.question.is_none() && late.found.is_some(), "one question at a time");
        let two = picked(&first, Pick::Record("b".into()));
        let again = script.entry.answered(&first, two.clone(), VERSIONS);
        let second = again.question.expect("the records have changed");
        assert_eq!((script.counts().as_str(), again.resolved), ("\"two\"", false));
        // The first answer once more, which no task gives.
        assert!(script.entry.answered(&first, two, VERSIONS).change.is_none());
        let three = picked(&second, Pick::Record("b".into()));
        assert!(script.entry.answered(&second, three, VERSIONS).resolved);
        assert_eq!((script.counts().as_str(), script.entry.doubt), ("\"three\"", Doubt::Settled));
    }

    #[test]
    fn agreement_ends_a_question() {
        let mut script = Script::new(Rule::Ask(Arc::new(NotAsked)));
        script.offer(record(1, "a", "one"));
        let question = script.offer(record(2, "b", "two")).question.expect("they differ");
        script.offer(record(3, "b", "one"));
        let pick = picked(&question, Pick::Record("b".into()));
        assert!(script.entry.answered(&question, pick, VERSIONS).change.is_none());
        assert_eq!(script.counts(), "\"one\"");
    }

    #[test]
    fn a_program_has_one_question_at_a_time() {
        let mut script = Script::new(Rule::Ask(Arc::new(NotAsked)));
        script.offer(record(1, "a", "one"));
        let first = script.offer(record(2, "b", "two")).question.expect("they differ");
        script.rule = Rule::By(Strategy::Newest);
        script.offer(record(2, "b", "two"));
        script.rule = Rule::Ask(Arc::new(NotAsked));
        let late = script.offer(record(3, "b", "three"));
        assert!(late.found.is_some() && late.question.is_none(), "the first answer comes first");
        let one = picked(&first, Pick::Record("a".into()));
        let second = script.entry.answered(&first, one, VERSIONS);
        assert_eq!(script.counts(), "\"two\"", "the answer is about a conflict that is over");
        let second = second.question.expect("it is open");
        // Left to a person: no further question about the same contents.
        script.entry.answered(&second, None, VERSIONS);
        assert_eq!(script.entry.doubt, Doubt::Parked(second.number));
        assert!(script.offer(record(4, "b", "three")).question.is_none());
        script.entry.has_new_rule();
        assert!(script.offer(record(4, "b", "three")).question.is_some());
    }

    #[test]
    fn a_new_rule_moves_what_is_open() {
        let mut script = Script::new(Rule::By(Strategy::Manual));
        script.offer(record(1, "a", "one"));
        script.offer(record(2, "b", "two"));
        assert_eq!(script.entry.doubt, Doubt::Parked(1));
        script.rule = Rule::Ask(Arc::new(NotAsked));
        let asked = script.offer(record(2, "b", "two"));
        assert!(asked.question.is_some() && asked.found.is_none(), "the same conflict");
        script.rule = Rule::By(Strategy::Manual);
        script.offer(record(2, "b", "two"));
        assert_eq!(script.entry.doubt, Doubt::Parked(1));
        script.rule = Rule::By(Strategy::Newest);
        assert!(script.offer(record(2, "b", "two")).resolved);
        assert_eq!((script.counts().as_str(), script.entry.doubt), ("\"two\"", Doubt::Settled));
    }
}
