//! What every journal promises, as functions that are run on each of them: memory, files, and the stream of
//! `level5/jetstream`, whose tests include this file. Files and servers are real, and no clock is paused.

use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::join_all;
use level5::event_processor::{DeadLetter, End, Event, EventId, Journal, Loaded, MemoryJournal};
use process_kit::Dice;

use super::events::{event, letter, sized};

/// A journal that a test opens, closes, and opens again.
pub trait Place {
    type Journal: Journal + Clone;
    /// Opens it, when the last handle of the one before is dropped.
    async fn open(&self) -> Self::Journal;
}

/// Makes a module with a test for each promise. The expression makes a new place, or is `None` where the machine has no
/// such journal.
macro_rules! contract {
    ($module:ident, $place:expr) => {
        contract! { $module, $place =>
            what_was_appended_is_there_in_order
            what_has_ended_is_gone
            letters_are_kept_in_the_order_of_their_deaths
            an_id_that_is_there_takes_its_place_at_the_end
            calls_at_once_are_all_kept
            every_field_is_kept
            a_dropped_call_can_be_withdrawn
            random_calls_end_as_in_memory
        }
    };
    ($module:ident, $place:expr => $($promise:ident)*) => {
        mod $module {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                if let Some(place) = $place {
                    contract::$promise(place).await;
                }
            })*
        }
    };
}
pub(crate) use contract;

fn ids(events: &[Arc<Event>]) -> Vec<&str> {
    events.iter().map(|event| event.id.as_str()).collect()
}

fn dead(letters: &[DeadLetter]) -> Vec<&str> {
    letters.iter().map(|letter| letter.event.id.as_str()).collect()
}

fn end(id: &str, end: End) -> (EventId, End) {
    (EventId::new(id), end)
}

fn died(id: &str) -> (EventId, End) {
    end(id, End::Dead(letter(id)))
}

/// What a journal holds, and what it holds after it was opened again: the same.
async fn held<P: Place>(place: &P, journal: P::Journal) -> (Loaded, P::Journal) {
    let before = journal.load().await.expect("it can be read");
    drop(journal);
    let journal = place.open().await;
    assert_eq!(journal.load().await.expect("it can be read"), before);
    (before, journal)
}

pub async fn what_was_appended_is_there_in_order<P: Place>(place: P) {
    let journal = place.open().await;
    assert_eq!(journal.load().await, Ok(Loaded::default()));
    journal.append(&[event("b"), event("a")]).await.expect("kept");
    journal.append(&[event("c")]).await.expect("kept");
    journal.append(&[]).await.expect("nothing to keep");
    let (loaded, _) = held(&place, journal).await;
    assert_eq!(ids(&loaded.pending), ["b", "a", "c"]);
}

pub async fn what_has_ended_is_gone<P: Place>(place: P) {
    let journal = place.open().await;
    journal.append(&["a", "b", "c", "d"].map(event)).await.expect("kept");
    let ends = [end("b", End::Delivered), end("never there", End::Delivered)];
    journal.done(&ends).await.expect("recorded");
    journal.done(&[end("c", End::Withdrawn)]).await.expect("recorded");
    journal.done(&ends).await.expect("recorded again");
    journal.done(&[]).await.expect("nothing to record");
    let (loaded, journal) = held(&place, journal).await;
    assert_eq!(ids(&loaded.pending), ["a", "d"]);
    // It may come again.
    journal.append(&[event("b")]).await.expect("kept");
    let (loaded, _) = held(&place, journal).await;
    assert_eq!(ids(&loaded.pending), ["a", "d", "b"]);
}

pub async fn letters_are_kept_in_the_order_of_their_deaths<P: Place>(place: P) {
    let journal = place.open().await;
    journal.append(&["a", "b", "c", "d"].map(event)).await.expect("kept");
    journal.done(&[died("c"), died("never there"), died("a")]).await.expect("recorded");
    let (loaded, journal) = held(&place, journal).await;
    assert_eq!(loaded.dead, [letter("c"), letter("a")]);
    assert_eq!(ids(&loaded.pending), ["b", "d"]);
    // Redriven: pending again, at the end. Then it dies again, or is delivered.
    journal.append(&[event("c")]).await.expect("kept");
    let (loaded, journal) = held(&place, journal).await;
    assert_eq!((ids(&loaded.pending), dead(&loaded.dead)), (vec!["b", "d", "c"], vec!["a"]));
    journal.done(&[died("c"), end("a", End::Delivered)]).await.expect("recorded");
    let (loaded, _) = held(&place, journal).await;
    assert_eq!((ids(&loaded.pending), dead(&loaded.dead)), (vec!["b", "d"], vec!["c"]));
}

pub async fn an_id_that_is_there_takes_its_place_at_the_end<P: Place>(place: P) {
    let journal = place.open().await;
    journal.append(&["a", "b"].map(event)).await.expect("kept");
    let newer = sized("a", 100);
    journal.append(&[Arc::clone(&newer), event("c"), event("c")]).await.expect("kept");
    let (loaded, _) = held(&place, journal).await;
    assert_eq!(loaded.pending, [event("b"), newer, event("c")]);
}

pub async fn calls_at_once_are_all_kept<P: Place>(place: P) {
    let journal = place.open().await;
    let names: Vec<_> = (0..300).map(|number| format!("{number:03}")).collect();
    let calls = names.iter().map(|id| async {
        journal.append(&[event(id)]).await.expect("kept");
        // Only when the append is ready, so that the end comes after it.
        if id.ends_with('7') {
            journal.done(&[end(id, End::Delivered)]).await.expect("recorded");
        }
    });
    join_all(calls).await;
    let (loaded, _) = held(&place, journal).await;
    // Calls are kept in the order of their first polls.
    let expected: Vec<_> = names.iter().filter(|id| !id.ends_with('7')).collect();
    assert_eq!(ids(&loaded.pending), expected);
}

pub async fn every_field_is_kept<P: Place>(place: P) {
    let journal = place.open().await;
    let names = ["", "é", "a\nb\0", "name of a length", "2026"];
    let mut events: Vec<_> = names.map(event).into();
    let mut odd = (*event("odd")).clone();
    odd.key = Some(String::new());
    odd.kind = String::new();
    odd.at = jiff::Timestamp::MAX;
    odd.data = (0..=255).collect::<Vec<u8>>().into();
    events.push(Arc::new(odd));
    journal.append(&events).await.expect("kept");
    let (loaded, _) = held(&place, journal).await;
    assert_eq!(loaded.pending, events);
}

pub async fn a_dropped_call_can_be_withdrawn<P: Place>(place: P) {
    let journal = place.open().await;
    // Polled once, and dropped: it may be kept.
    let _ = journal.append(&[event("a")]).now_or_never();
    journal.append(&[event("b")]).await.expect("kept");
    journal.done(&[end("a", End::Withdrawn)]).await.expect("recorded");
    let (loaded, _) = held(&place, journal).await;
    assert_eq!(ids(&loaded.pending), ["b"]);
}

/// Every sequence of calls leaves what it leaves in memory, whenever the journal is opened again.
pub async fn random_calls_end_as_in_memory<P: Place>(place: P) {
    for seed in 0..4 {
        let mut chance = Dice::from(seed);
        let model = MemoryJournal::default();
        let mut journal = place.open().await;
        let left = journal.load().await.expect("it can be read");
        model.append(&left.pending).await.expect("memory");
        for letter in left.dead {
            model.append(&[Arc::clone(&letter.event)]).await.expect("memory");
            model.done(&[(letter.event.id.clone(), End::Dead(letter))]).await.expect("memory");
        }
        for _ in 0..150 {
            let id = format!("{}", chance.below(40));
            match chance.below(20) {
                0 => {
                    drop(journal);
                    journal = place.open().await;
                }
                1..=10 => {
                    let events = [sized(&id, chance.below(700) as usize), event("last")];
                    journal.append(&events).await.expect("kept");
                    model.append(&events).await.expect("memory");
                }
                11..=13 => {
                    let ends = [died(&id)];
                    journal.done(&ends).await.expect("recorded");
                    model.done(&ends).await.expect("memory");
                }
                _ => {
                    let ends = [end(&id, End::Delivered), end("last", End::Withdrawn)];
                    journal.done(&ends).await.expect("recorded");
                    model.done(&ends).await.expect("memory");
                }
            }
            let (found, expected) = (journal.load().await, model.load().await);
            let (found, expected) = (found.expect("files"), expected.expect("memory"));
            assert_eq!(ids(&found.pending), ids(&expected.pending), "seed {seed}");
            assert_eq!(dead(&found.dead), dead(&expected.dead), "seed {seed}");
            assert!(found == expected, "seed {seed}: other fields");
        }
    }
}
