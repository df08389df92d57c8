//! `dead_letters::DeadLetters` against its model.

use std::cell::RefCell;
use std::panic::resume_unwind;

use grader_kit::{Cx, Fail, Outcome, ms};
use level3::dead_letters::{DeadLetter, DeadLetters, LetterId};
use proptest::prelude::{Just, Strategy, any, prop, prop_oneof};
use tokio::time::{Instant, sleep, timeout};

use super::{Difference, Played, Script, compare};
use crate::parts::{nz, nzu};

/// How long a handler works on a letter.
const WORK: u64 = 10;

/// No redrive of a script takes as long: each letter takes [`WORK`].
const LONGEST: u64 = 200;

/// What a handler does with a letter.
#[derive(Debug, Clone, Copy)]
enum Act {
    Delivers,
    Fails,
    /// While it is called, before there is a future.
    PanicsAtOnce,
    Panics,
    /// Fails, and another letter arrives meanwhile.
    Pushes,
    /// Delivers, and removes a letter meanwhile.
    Removes(usize),
}

#[derive(Debug, Clone)]
enum Op {
    Push(u32),
    /// What the handler does with the first letter, with the second, and so on, in turn. The redrive is dropped
    /// while it works on the letter of this number, if there is one.
    Redrive(Vec<Act>, Option<usize>),
    Unpark(usize),
    Remove(usize),
}

#[derive(Debug, Clone)]
struct Play {
    capacity: usize,
    park_after: u32,
    ops: Vec<Op>,
}

fn plays() -> impl Strategy<Value = Play> {
    let act = prop_oneof![
        3 => Just(Act::Delivers),
        4 => Just(Act::Fails),
        1 => Just(Act::PanicsAtOnce),
        1 => Just(Act::Panics),
        1 => Just(Act::Pushes),
        1 => (0_usize..12).prop_map(Act::Removes),
    ];
    let acts = prop::collection::vec(act, 1..6);
    let op = prop_oneof![
        5 => (0_u32..4).prop_map(Op::Push),
        4 => (acts, prop::option::weighted(0.2, 0_usize..4)).prop_map(|(acts, at)| Op::Redrive(acts, at)),
        1 => (0_usize..12).prop_map(Op::Unpark),
        1 => (0_usize..12).prop_map(Op::Remove),
    ];
    (any::<bool>(), 1_u32..4, prop::collection::vec(op, 1..24)).prop_map(
        |(small, park_after, ops)| Play { capacity: if small { 3 } else { 8 }, park_after, ops },
    )
}

impl Script for Play {
    fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!(
            "a queue of {} letters, parked after {} failed redrives",
            self.capacity, self.park_after
        )];
        lines.extend(self.ops.iter().map(|op| match op {
            Op::Push(attempts) => format!("push the next item, after {attempts} attempts"),
            Op::Redrive(acts, None) => format!("redrive, the handler does in turn: {acts:?}"),
            Op::Redrive(acts, Some(at)) => format!(
                "redrive, dropped while it works on letter {} of it, the handler does in turn: {acts:?}",
                at + 1
            ),
            Op::Unpark(item) => format!("unpark item {item}"),
            Op::Remove(item) => format!("remove item {item}"),
        }));
        lines
    }
}

/// A letter, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Kept {
    item: usize,
    cause: String,
    attempts: u32,
    redrives: u32,
    first: Instant,
    last: Instant,
    parked: bool,
}

impl Kept {
    fn of(letter: &DeadLetter<usize>) -> Self {
        Self {
            item: *letter.item,
            cause: letter.cause.clone(),
            attempts: letter.attempts,
            redrives: letter.redrives,
            first: letter.first,
            last: letter.last,
            parked: letter.parked,
        }
    }
}

/// The documentation: a list of letters, looked through for every question.
struct Model {
    capacity: usize,
    park_after: u32,
    letters: Vec<Kept>,
    items: usize,
}

impl Model {
    fn push(&mut self, cause: &str, attempts: u32, now: Instant) -> bool {
        let item = self.items;
        self.items += 1;
        if self.letters.len() == self.capacity {
            return false;
        }
        let (cause, redrives, parked) = (cause.to_owned(), 0, false);
        self.letters.push(Kept { item, cause, attempts, redrives, first: now, last: now, parked });
        true
    }

    fn remove(&mut self, item: usize) -> bool {
        let before = self.letters.len();
        self.letters.retain(|letter| letter.item != item);
        self.letters.len() < before
    }

    fn unpark(&mut self, item: usize) -> bool {
        let parked = self.letters.iter_mut().find(|letter| letter.item == item && letter.parked);
        parked.is_some_and(|letter| {
            (letter.parked, letter.redrives) = (false, 0);
            true
        })
    }

    /// Which items the handler sees, and how many are delivered, fail and are parked.
    fn redrive(
        &mut self,
        acts: &[Act],
        dropped_at: Option<usize>,
        began: Instant,
    ) -> (Vec<usize>, Option<[usize; 3]>) {
        let here: Vec<usize> = self.letters.iter().map(|letter| letter.item).collect();
        let (mut seen, mut counts, mut now) = (Vec::new(), [0; 3], began);
        for item in here {
            if !self.letters.iter().any(|letter| letter.item == item && !letter.parked) {
                continue;
            }
            let (nth, act) = (seen.len(), acts[seen.len() % acts.len()]);
            seen.push(item);
            match act {
                Act::Pushes => {
                    self.push("came meanwhile", 1, now);
                }
                // A letter that is being delivered cannot be removed.
                Act::Removes(other) if other != item => {
                    self.remove(other);
                }
                _ => {}
            }
            if !matches!(act, Act::PanicsAtOnce) {
                if dropped_at == Some(nth) {
                    return (seen, None);
                }
                now += ms(WORK);
            }
            if matches!(act, Act::Delivers | Act::Removes(_)) {
                self.remove(item);
                counts[0] += 1;
                continue;
            }
            let park_after = self.park_after;
            let Some(letter) = self.letters.iter_mut().find(|letter| letter.item == item) else {
                continue;
            };
            letter.attempts += 1;
            letter.redrives += 1;
            letter.last = now;
            letter.parked = letter.redrives == park_after;
            letter.cause = match act {
                Act::Panics | Act::PanicsAtOnce => PANICKED.to_owned(),
                _ => format!("item {item} fails"),
            };
            counts[if letter.parked { 2 } else { 1 }] += 1;
        }
        (seen, Some(counts))
    }
}

/// Stands for whatever a queue calls a panic.
const PANICKED: &str = "(a panic)";

/// Agrees with the model of a dead letter queue.
pub async fn dead_letters(cx: Cx) -> Outcome {
    compare(&cx, plays(), async |play: &Play| played(&cx, play).await).await
}

async fn played(cx: &Cx, play: &Play) -> Played {
    let queue: DeadLetters<usize> = DeadLetters::new(nzu(play.capacity), nz(play.park_after));
    let Play { capacity, park_after, .. } = *play;
    let mut model = Model { capacity, park_after, letters: Vec::new(), items: 0 };
    // By item; none for one that was refused.
    let ids = RefCell::new(Vec::new());
    for (step, op) in play.ops.iter().enumerate() {
        sleep(ms(1)).await;
        let (wanted, found) = both(cx, op, &queue, &mut model, &ids).await?;
        let differs = |headline: &str, expected: String, observed: String| {
            Ok(Err(Difference {
                step: step + 1,
                headline: headline.to_owned(),
                expected,
                observed,
            }))
        };
        if wanted != found {
            return differs("a call does not return what it should", wanted, found);
        }
        let kept: Vec<Kept> = queue
            .letters()
            .iter()
            .map(Kept::of)
            .map(|mut kept| {
                let known = kept.cause == "down" || kept.cause == "came meanwhile";
                if !known && kept.cause != format!("item {} fails", kept.item) {
                    PANICKED.clone_into(&mut kept.cause);
                }
                kept
            })
            .collect();
        let is_empty = queue.is_empty();
        if is_empty != model.letters.is_empty() {
            let holds = format!("{is_empty} with {} letters", kept.len());
            return differs("is_empty() says something else", (!is_empty).to_string(), holds);
        }
        if kept.len() != model.letters.len() || queue.len() != kept.len() {
            let items = |letters: &[Kept]| {
                format!("{:?}", letters.iter().map(|letter| letter.item).collect::<Vec<_>>())
            };
            return differs("the queue holds other items", items(&model.letters), items(&kept));
        }
        if let Some(at) = (0..kept.len()).find(|&at| kept[at] != model.letters[at]) {
            let (wanted, found) = (&model.letters[at], &kept[at]);
            return differs(
                "a letter has other fields",
                format!("{wanted:?}"),
                format!("{found:?}"),
            );
        }
    }
    Ok(Ok(()))
}

/// One step, by the model and by the queue: what each of them says.
async fn both(
    cx: &Cx,
    op: &Op,
    queue: &DeadLetters<usize>,
    model: &mut Model,
    ids: &RefCell<Vec<Option<LetterId>>>,
) -> Result<(String, String), Fail> {
    let id_of = |item: usize| ids.borrow().get(item).copied().flatten();
    let push = |cause: &str, attempts: u32| {
        let item = ids.borrow().len();
        let id = queue.push(item, cause, attempts).ok();
        ids.borrow_mut().push(id);
        id.is_some()
    };
    let kept = |kept: bool| if kept { "kept" } else { "Full" }.to_owned();
    Ok(match *op {
        Op::Push(attempts) => {
            let wanted = model.push("down", attempts, Instant::now());
            let found = cx.call_fn("DeadLetters::push", || push("down", attempts)).await?;
            (kept(wanted), kept(found))
        }
        Op::Unpark(item) => {
            let found = id_of(item).is_some_and(|id| queue.unpark(id));
            (model.unpark(item).to_string(), found.to_string())
        }
        Op::Remove(item) => {
            let found = id_of(item).and_then(|id| queue.remove(id)).map(|letter| *letter.item);
            let wanted = model.remove(item).then_some(item);
            (format!("{wanted:?}"), format!("{found:?}"))
        }
        Op::Redrive(ref acts, dropped_at) => {
            let wanted = model.redrive(acts, dropped_at, Instant::now());
            let seen = RefCell::new(Vec::new());
            let handler = |letter: DeadLetter<usize>| {
                let item = *letter.item;
                let act = acts[seen.borrow().len() % acts.len()];
                let nth = seen.borrow().len();
                seen.borrow_mut().push(item);
                match act {
                    // Without the hook: a panic that is contained is not worth a note.
                    Act::PanicsAtOnce => resume_unwind(Box::new(format!("no handler for {item}"))),
                    Act::Pushes => {
                        push("came meanwhile", 1);
                    }
                    Act::Removes(other) => {
                        id_of(other).and_then(|id| queue.remove(id));
                    }
                    _ => {}
                }
                async move {
                    // Long enough to be dropped.
                    let hangs = if dropped_at == Some(nth) { 1_000_000 } else { 0 };
                    sleep(ms(WORK + hangs)).await;
                    match act {
                        Act::Delivers | Act::Removes(_) => Ok(()),
                        Act::Panics => resume_unwind(Box::new("a handler with a bug")),
                        _ => Err(format!("item {item} fails")),
                    }
                }
            };
            let redrive = timeout(ms(LONGEST), queue.redrive(handler));
            let redriven = cx.call("DeadLetters::redrive", redrive).await?.value.ok();
            let found = redriven.map(|it| [it.delivered, it.failed, it.parked]);
            let said = |(seen, counts): &(Vec<usize>, Option<[usize; 3]>)| {
                let counts = counts.map_or("dropped".to_owned(), |counts| format!("{counts:?}"));
                format!("tried the items {seen:?}; [delivered, failed, parked]: {counts}")
            };
            (said(&wanted), said(&(seen.into_inner(), found)))
        }
    })
}
