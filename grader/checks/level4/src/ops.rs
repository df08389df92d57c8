//! Scripted operations: they note when they are called, when they run and how they end.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::num::NonZeroUsize;
use std::task::Poll;

use grader_kit::{Cx, Fail, Outcome, ensure, list, moved, ms};
use tokio::time::{sleep, timeout};

/// `count` as the interfaces take it. 0 becomes 1; no criterion asks for 0.
pub const fn nz(count: usize) -> NonZeroUsize {
    match NonZeroUsize::new(count) {
        Some(count) => count,
        None => NonZeroUsize::MIN,
    }
}

/// How an operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Finished,
    /// Its future was dropped before.
    Dropped,
}

/// What is known of one operation. Times are virtual milliseconds since the criterion began.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    pub number: usize,
    /// When it was called. A closure may be called early although its future is polled late.
    pub called: u64,
    /// When its future was first polled.
    pub began: Option<u64>,
    pub ended: Option<(u64, End)>,
}

/// Operations that share a record of what happened to them.
pub struct Ops<'a> {
    cx: &'a Cx,
    seen: RefCell<Vec<Seen>>,
    running: Cell<usize>,
    most: Cell<usize>,
}

impl<'a> Ops<'a> {
    pub fn new(cx: &'a Cx) -> Self {
        let (seen, running, most) = (RefCell::default(), Cell::new(0), Cell::new(0));
        Self { cx, seen, running, most }
    }

    /// An operation of `length` milliseconds that returns its number. Calling this method is the call of the
    /// operation; it runs from the first poll of the future on.
    pub fn run(&self, number: usize, length: u64) -> impl Future<Output = usize> {
        let call = self.seen.borrow().len();
        let (called, began, ended) = (self.cx.timeline().now_ms(), None, None);
        self.seen.borrow_mut().push(Seen { number, called, began, ended });
        let guard = Guard { ops: self, call };
        async move {
            guard.begins();
            if length > 0 {
                sleep(ms(length)).await;
            }
            guard.ends(End::Finished);
            number
        }
    }

    /// What is known of each operation, in the order of the calls.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.borrow().clone()
    }

    /// How many run now.
    pub fn running(&self) -> usize {
        self.running.get()
    }

    /// The most that ran at once.
    pub fn most(&self) -> usize {
        self.most.get()
    }

    /// When the operation with this number began.
    pub fn began(&self, number: usize) -> Option<u64> {
        self.seen.borrow().iter().find(|seen| seen.number == number)?.began
    }

    /// The operations began in this order, and no others. Those of one millisecond may have begun in any.
    pub fn began_in(&self, expected: &[usize], headline: &str, help: &str) -> Outcome {
        let times: Vec<_> = expected.iter().map(|number| self.began(*number)).collect();
        let mut observed = self.seen();
        let complete = times.iter().all(Option::is_some) && observed.len() == expected.len();
        observed.sort_by_key(|seen| seen.began);
        ensure!(complete && times.is_sorted(), "{headline}";
            expected = list(expected), observed = list(observed.iter().map(|seen| seen.number)), help = help);
        Ok(())
    }
}

/// Ends its operation when it is dropped, unless it has ended before.
struct Guard<'a> {
    ops: &'a Ops<'a>,
    /// The index of the operation in what was seen.
    call: usize,
}

impl Guard<'_> {
    fn with(&self, change: impl FnOnce(&mut Seen, u64) -> bool, what: &str) -> bool {
        let now = self.ops.cx.timeline().now_ms();
        let mut seen = self.ops.seen.borrow_mut();
        let Some(seen) = seen.get_mut(self.call) else { return false };
        let changed = change(seen, now);
        if changed {
            self.ops.cx.timeline().record(format!("operation {}", seen.number), what);
        }
        changed
    }

    fn begins(&self) {
        self.with(
            |seen, now| {
                seen.began = Some(now);
                true
            },
            "begins",
        );
        self.ops.running.set(self.ops.running.get() + 1);
        self.ops.most.set(self.ops.most.get().max(self.ops.running.get()));
    }

    fn ends(&self, end: End) {
        let what = if end == End::Finished { "ends" } else { "is dropped" };
        let ended = |seen: &mut Seen, now| {
            let ends = seen.began.is_some() && seen.ended.is_none();
            if ends {
                seen.ended = Some((now, end));
            }
            ends
        };
        if self.with(ended, what) {
            self.ops.running.set(self.ops.running.get() - 1);
        }
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.ends(End::Dropped);
    }
}

/// Notes when it is dropped.
pub struct OnDrop<'a>(pub &'a Cell<bool>);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

/// A future that is ready at its first poll, and keeps `guard` until it is dropped.
pub fn keeps<G, T>(guard: G, result: T) -> impl Future<Output = T> {
    let mut result = Some(result);
    poll_fn(move |_| {
        let _guard = &guard;
        result.take().map_or(Poll::Pending, Poll::Ready)
    })
}

/// The help for code that wakes a task which polls no more.
pub const NEWEST_WAKER: &str =
    "each poll may come from another task: keep the newest waker, not the first one";

/// How much later than it has to a call may end before it counts as one that is not woken.
const GRACE: u64 = 10_000;

/// A call that another task polls from `at` milliseconds on takes `expected` milliseconds, as one that stays with its
/// task does.
pub async fn moves<F: Future>(cx: &Cx, name: &str, at: u64, expected: u64, future: F) -> Outcome {
    let call = cx.call(name, timeout(ms(expected + GRACE), moved(at, future))).await?;
    let fail = |observed| {
        let headline = format!(
            "{name} moves to another task {at} ms after its first poll, and is not woken there"
        );
        Fail::new(headline)
            .expected(format!("it ends at {expected} ms, as one that stays with its task"))
            .observed(observed)
            .help("each poll may come from another task: wake the waker of the newest one")
    };
    match call.value {
        Ok(_) if call.took == ms(expected) => Ok(()),
        Ok(_) => Err(fail(format!("it ends at {} ms", call.took.as_millis()))),
        Err(_) => Err(fail("it does not end".to_owned())),
    }
}

/// When a call was dropped or is over, none of its tasks is left. `before` is the number of tasks before the call.
pub async fn leaves_no_task(cx: &Cx, before: usize, when: &str) -> Outcome {
    cx.settle().await;
    let left = cx.alive_tasks().saturating_sub(before);
    ensure!(left == 0, "{when}, and {left} of its tasks are left";
        expected = "none: a task that a call has spawned ends with the call",
        help = "do the work inside of the call's own future; a task has to be aborted by a destructor");
    Ok(())
}
