//! Several threads push into one queue.

use std::collections::BTreeSet;
use std::fmt::{self, Display};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use grader_kit::{Cx, Outcome, ensure, ms};
use level3::dead_letters::{DeadLetters, LetterId};
use tokio::time::Instant;

use super::PUSH;
use crate::parts::{nz, nzu};

const THREADS: usize = 4;

/// How often the threads meet.
const ROUNDS: usize = 40;

/// Real time that a thread waits for the others. A queue that makes the text under its lock keeps them away.
const LONGEST: Duration = ms(200);

/// Where the threads meet in the middle of `push`: while the text of the cause is made.
#[derive(Default)]
struct Meeting {
    arrived: AtomicUsize,
    /// They cannot meet: one waits for another that cannot come.
    is_off: AtomicBool,
}

/// A cause whose text is made when all threads have got so far.
struct Meets(Arc<Meeting>);

impl Display for Meets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Meeting { arrived, is_off } = &*self.0;
        // The round is over when each thread has come once more.
        let round = arrived.fetch_add(1, Ordering::SeqCst) / THREADS;
        let all_here = || arrived.load(Ordering::SeqCst) >= (round + 1) * THREADS;
        // These threads have no runtime: the clock is the machine's.
        let begun = Instant::now();
        while !all_here() && !is_off.load(Ordering::SeqCst) {
            if begun.elapsed() > LONGEST {
                is_off.store(true, Ordering::SeqCst);
            }
            std::thread::yield_now();
        }
        f.write_str("mail server down")
    }
}

/// The queue never holds more than its capacity, and refuses no letter that it has room for.
pub fn are_bounded(cx: &Cx) -> Outcome {
    let meeting = Arc::new(Meeting::default());
    for round in 0..ROUNDS {
        let capacity = 1 + round % (THREADS - 1);
        let queue = Arc::new(DeadLetters::<usize>::new(nzu(capacity), nz(5)));
        let (pushes, meeting) = (Arc::clone(&queue), Arc::clone(&meeting));
        let kept = cx.on_threads(PUSH, THREADS, move |thread| {
            pushes.push(thread, Meets(Arc::clone(&meeting)), 1).is_ok()
        })?;
        let kept = kept.into_iter().filter(|kept| *kept).count();
        ensure!(
            (kept, queue.len()) == (capacity, capacity),
            "{THREADS} threads push a letter each, at the same time, into a queue of {capacity}: {kept} pushes return Ok, and the queue holds {}",
            queue.len();
            expected = format!("{capacity} and {capacity}, and Full for the others"),
            help = "make the text of the cause first; then look for room and insert the letter in one step, under one lock"
        );
    }
    let queue: DeadLetters<usize> = DeadLetters::new(nzu(2), nz(5));
    let most = cx.on_threads(PUSH, THREADS, move |thread| {
        let mut most = 0;
        for _ in 0..300 {
            let Ok(id) = queue.push(thread, "mail server down", 1) else { continue };
            most = most.max(queue.len());
            queue.remove(id);
        }
        most
    })?;
    let most = most.into_iter().max().unwrap_or_default();
    ensure!(
        most <= 2, "{THREADS} threads push and remove letters at the same time, and a queue of 2 holds {most}";
        expected = "2 at most",
        help = "look for room and insert the letter in one step, under one lock"
    );
    Ok(())
}

/// No two letters get one id.
pub fn ids_differ(cx: &Cx) -> Outcome {
    const EACH: usize = 100;
    let queue = Arc::new(DeadLetters::<usize>::new(nzu(THREADS * EACH), nz(5)));
    let (pushes, meeting) = (Arc::clone(&queue), Arc::<Meeting>::default());
    let ids = cx.on_threads(PUSH, THREADS, move |thread| {
        let push = |_| pushes.push(thread, Meets(Arc::clone(&meeting)), 1).ok();
        (0..EACH).filter_map(push).collect::<Vec<LetterId>>()
    })?;
    let pushed = ids.iter().map(Vec::len).sum::<usize>();
    let different = ids.concat().into_iter().collect::<BTreeSet<_>>().len();
    ensure!(
        different == pushed && queue.len() == pushed,
        "{THREADS} threads push {pushed} letters at the same time: they get {different} different ids, and the queue holds {} letters",
        queue.len();
        expected = format!("{pushed} ids, and {pushed} letters"),
        help = "take the next number and insert the letter in one step, under one lock"
    );
    Ok(())
}
