//! One state with many readers: parts of it as streams, and which operations run or have failed.
//!
//! ```text
//!   update ──┐                    ┌──────────────┐          ┌─▶ select(user)     a stream of one part:
//!   track  ──┼─▶ one step, in     │ View         │──────────┼─▶ select(loading)  now's value, then changes
//!   reset  ──┘   its turn         │ state + runs │          └─▶ view()           an `Arc`, no lock held
//!                                 └──────────────┘
//!
//!   an operation:   idle ──first poll──▶ running (counted: 1, 2, ...) ──the last one ends──▶ idle
//!                    ▲                      │ a run fails: its error is kept, in the step that ends the run
//!                    │                      │ the next run begins: the error goes
//!                    └──────── reset ───────┘ runs from before a reset change nothing any more
//! ```
//!
//! Lesson: `level4/lessons/state_store.md`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use futures::{Stream, stream};
use tokio::sync::watch;

/// The content of a store at one moment. It does not change: a change makes another view.
///
/// ```
/// use level4::state_store::Store;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let store = Store::new(vec!["milk"]);
/// let failed = store.track("load", async { Err::<(), _>("no connection") }).await;
/// assert_eq!(failed, Err("no connection"));
/// let view = store.view();
/// store.update(|list| list.push("bread"));
/// // The view is the one from before the update.
/// assert_eq!((view.state.len(), store.view().state.len()), (1, 2));
/// assert_eq!((view.loading("load"), view.error("load")), (false, Some("no connection")));
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct View<S> {
    /// The state.
    pub state: S,
    /// Only operations that run or have failed: a store of many short operations has a small map. It lies beside the
    /// state and not under a lock of its own, so that a view shows both at the same moment and `reset` is one step.
    operations: BTreeMap<&'static str, Operation>,
    /// How often the store was reset. A run belongs to the time between two resets, and compares this number with the
    /// one of its beginning.
    epoch: u64,
}

/// An operation that runs or has failed.
#[derive(Debug, Clone, Default)]
struct Operation {
    /// A count and not a flag: of two runs that overlap, the first to end leaves the operation running.
    running: usize,
    /// The error of the last run that failed, if no run has begun since.
    error: Option<String>,
}

impl<S> View<S> {
    /// Returns whether a run of this operation is under way.
    #[must_use]
    pub fn loading(&self, operation: &str) -> bool {
        self.operations.get(operation).is_some_and(|operation| operation.running > 0)
    }

    /// Returns the error of this operation's last failed run, as a text, if no run has begun since.
    #[must_use]
    pub fn error(&self, operation: &str) -> Option<&str> {
        self.operations.get(operation)?.error.as_deref()
    }

    /// Counts a run that begins. The error of an earlier run goes: a page would show it beside the new attempt.
    fn begins(&mut self, name: &'static str) {
        let operation = self.operations.entry(name).or_default();
        operation.running += 1;
        operation.error = None;
    }

    /// Notes the end of a run, with its error if it has one.
    fn ends(&mut self, name: &'static str, error: Option<String>) {
        // A running operation has an entry, so there is one.
        let Some(operation) = self.operations.get_mut(name) else { return };
        operation.running -= 1;
        // A success does not take the error of another run away: of two that overlap, the one that failed is news too.
        if error.is_some() {
            operation.error = error;
        }
        // An idle operation takes no memory.
        if operation.running == 0 && operation.error.is_none() {
            self.operations.remove(name);
        }
    }
}

/// A state that many parts of a program read and change.
///
/// A clone is a handle to the same state. A change is one step: a reader sees all of it or nothing of it.
///
/// ```
/// use futures::StreamExt as _;
/// use level4::state_store::Store;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let store = Store::new((0, "anna"));
/// let mut counts = store.select(|view| view.state.0);
/// assert_eq!(counts.next().await, Some(0));
/// store.update(|state| state.1 = "bert");
/// store.update(|state| state.0 = 1);
/// assert_eq!(counts.next().await, Some(1));
/// # }
/// ```
pub struct Store<S> {
    /// Readers take the `Arc` out and read it without a lock, so that the code of a reader holds up no writer.
    /// A `watch` has room for one value: a slow reader costs no memory, and sees the newest one next. The sender is
    /// `Clone`, and the streams end when the last one is dropped.
    cell: watch::Sender<Arc<View<S>>>,
    /// Held by the change that is under way. Apart from the lock of the `watch`: a change clones and compares states,
    /// which is the user's code, and that code may read the store.
    turn: Arc<Mutex<()>>,
    /// The state that `reset` returns to. In an `Arc`, so that a handle is cheap to clone.
    initial: Arc<S>,
}

impl<S> Clone for Store<S> {
    fn clone(&self) -> Self {
        let (turn, initial) = (Arc::clone(&self.turn), Arc::clone(&self.initial));
        Self { cell: self.cell.clone(), turn, initial }
    }
}

impl<S> fmt::Debug for Store<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

impl<S: Clone + PartialEq + Send + Sync + 'static> Store<S> {
    /// Makes a store with this state. No operation runs, none has failed.
    #[must_use]
    pub fn new(initial: S) -> Self {
        let view = View { state: initial.clone(), operations: BTreeMap::new(), epoch: 0 };
        let (turn, initial) = (Arc::default(), Arc::new(initial));
        Self { cell: watch::Sender::new(Arc::new(view)), turn, initial }
    }

    /// Returns what the store holds now. The caller may keep it: it delays no change and shows none.
    #[must_use]
    pub fn view(&self) -> Arc<View<S>> {
        // The guard of `borrow` is a read lock, and lives for this line. Returned to the caller, it would stop every
        // writer for as long as the caller keeps it.
        Arc::clone(&self.cell.borrow())
    }

    /// Changes the state in one step. Concurrent changes run one after the other; none is lost.
    ///
    /// `change` runs while other changes wait, and so do `clone` and `eq` of the state. They may read the store, and
    /// must not change it: that would wait for itself. The destructor of a state may do both.
    ///
    /// # Panics
    ///
    /// A panic of `change` passes to the caller, and the state stays as it was.
    pub fn update(&self, change: impl FnOnce(&mut S)) {
        // Outside of the step: a state that is not used is dropped after the turn, also in a panic. Its destructor may
        // change the store.
        let mut copy = None;
        self.step(|view| {
            // Changes a copy, so that a panic half-way leaves no half-changed state, and readers keep the view that
            // they hold.
            let state = copy.insert(view.state.clone());
            change(state);
            // An equal state makes no view: it would wake every reader for nothing.
            if *state == view.state {
                return None;
            }
            let (operations, epoch) = (view.operations.clone(), view.epoch);
            copy.take().map(|state| View { state, operations, epoch })
        });
    }

    /// Returns a part of what the store holds, as a stream: its value at the first poll, then each value that differs
    /// from the one before it. `part` is called without a lock; it may use the store.
    ///
    /// A reader that is slower than the changes misses those in between, never the newest. The stream ends when
    /// the last handle of the store is dropped and the newest value has been read.
    ///
    /// # Cancellation
    ///
    /// Dropping the stream leaves nothing behind: [`readers`](Self::readers) is one less.
    pub fn select<T, F>(&self, part: F) -> impl Stream<Item = T> + Send + Unpin + use<S, T, F>
    where
        T: Clone + PartialEq + Send + 'static,
        F: Fn(&View<S>) -> T + Send + 'static,
    {
        // A receiver and not a handle of the store: a reader that held a handle would keep its own stream from ending.
        let mut receiver = self.cell.subscribe();
        // The first value is read like a change: without this, the stream would wait for one before it yields.
        receiver.mark_changed();
        let reader = (receiver, None, part);
        Box::pin(stream::unfold(reader, async |(mut receiver, last, part)| {
            loop {
                // An error: the last handle is gone, and the newest view has been read.
                receiver.changed().await.ok()?;
                // A statement of its own: the guard is gone before `part`, which is foreign code and may change the
                // store. `borrow_and_update` and not `borrow`: a view that came after `changed` would stay marked as
                // new, and the next round would read it a second time.
                let view = Arc::clone(&receiver.borrow_and_update());
                let value = part(&view);
                // Most changes are about another part of the state. The reader compares with what it has yielded, so
                // a value that changes and changes back in between yields nothing.
                if last.as_ref() != Some(&value) {
                    return Some((value.clone(), (receiver, Some(value), part)));
                }
            }
        }))
    }

    /// Runs `work` as a run of `operation`, and returns its result.
    ///
    /// [`loading`](Self::loading) is true while a run of the operation is under way. A failure is kept as
    /// [`error`](Self::error) until the next run of the operation begins.
    ///
    /// # Errors
    ///
    /// The error of the work.
    ///
    /// # Panics
    ///
    /// A panic of the work ends the run and passes to the caller.
    ///
    /// # Cancellation
    ///
    /// Before its first poll the future has done nothing. Dropping it drops the work and ends the run.
    pub async fn track<T, E: fmt::Display>(
        &self,
        operation: &'static str,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let mut run = Run::begin(self, operation);
        let result = work.await;
        // The destructor ends the run in one step with its error: no reader sees it ended and not yet failed.
        run.error = result.as_ref().err().map(ToString::to_string);
        result
    }

    /// Returns whether a run of this operation is under way.
    #[must_use]
    pub fn loading(&self, operation: &str) -> bool {
        self.view().loading(operation)
    }

    /// Returns the error of this operation's last failed run, as a text, if no run has begun since.
    #[must_use]
    pub fn error(&self, operation: &str) -> Option<String> {
        self.view().error(operation).map(str::to_owned)
    }

    /// Returns to the state from the beginning, with no operation running and none failed, in one step.
    ///
    /// Runs that are under way go on for their callers. The store does not count them any more, and keeps none of
    /// their errors.
    pub fn reset(&self) {
        self.step(|view| {
            // The old runs cannot be stopped from here. With a new epoch, their ends change nothing: they would
            // otherwise count down the runs that begin after the reset.
            let (state, operations) = (S::clone(&self.initial), BTreeMap::new());
            Some(View { state, operations, epoch: view.epoch + 1 })
        });
    }

    /// Returns how many streams of [`select`](Self::select) there are.
    #[must_use]
    pub fn readers(&self) -> usize {
        self.cell.receiver_count()
    }

    /// Replaces the view by the one that `change` makes of it, if it makes one. Every change of the store is such a
    /// step.
    fn step(&self, change: impl FnOnce(&View<S>) -> Option<View<S>>) {
        // Reading and replacing are one turn: without it, a change between the two would be lost. After a panic of
        // `change` nothing is replaced, so the view is whole.
        let turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.view();
        // Without a new view no reader is woken.
        let old = change(&before).map(|view| self.cell.send_replace(Arc::new(view)));
        drop(turn);
        // After the turn: if no reader has the old view, this runs the destructor of the state, which may use the
        // store.
        drop(before);
        drop(old);
    }
}

/// A run that is under way. A guard, so that result, panic and drop end it alike.
struct Run<'a, S: Clone + PartialEq + Send + Sync + 'static> {
    store: &'a Store<S>,
    operation: &'static str,
    /// The epoch in which the run began.
    epoch: u64,
    /// The error to keep at the end. `None` for a success, and for a run that was dropped or has panicked.
    error: Option<String>,
}

impl<'a, S: Clone + PartialEq + Send + Sync + 'static> Run<'a, S> {
    fn begin(store: &'a Store<S>, operation: &'static str) -> Self {
        let mut epoch = 0;
        store.step(|view| {
            // Read in the step that counts the run: after a `reset` in between, the run would be counted in one epoch
            // and ended in another, and the operation would run without end.
            epoch = view.epoch;
            let mut view = view.clone();
            view.begins(operation);
            Some(view)
        });
        Self { store, operation, epoch, error: None }
    }
}

impl<S: Clone + PartialEq + Send + Sync + 'static> Drop for Run<'_, S> {
    fn drop(&mut self) {
        let error = self.error.take();
        self.store.step(|view| {
            // After a reset the counts are those of other runs, and this run's error belongs to a state that is gone.
            if view.epoch != self.epoch {
                return None;
            }
            let mut view = view.clone();
            view.ends(self.operation, error);
            Some(view)
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use futures::StreamExt as _;
    use futures::future::join;
    use tokio::time::sleep;

    async fn slow(millis: u64, result: Result<u32, &'static str>) -> Result<u32, &'static str> {
        sleep(Duration::from_millis(millis)).await;
        result
    }

    #[tokio::test(start_paused = true)]
    async fn an_operation_runs_until_its_last_run_ends() {
        let store = Store::new(0);
        let long = store.track("load", slow(100, Ok(1)));
        let short = async {
            let failed = store.track("load", slow(20, Err("too bad"))).await;
            assert_eq!((failed, store.loading("load")), (Err("too bad"), true));
            assert_eq!(store.error("load").as_deref(), Some("too bad"));
        };
        assert_eq!(join(long, short).await.0, Ok(1));
        assert!(!store.loading("load"));
    }

    #[tokio::test]
    async fn a_part_yields_only_its_changes() {
        let part = {
            let store = Store::new((0, 0));
            let mut part = Box::pin(store.select(|view| view.state.0));
            assert_eq!(part.next().await, Some(0));
            store.update(|state| state.1 = 7);
            store.update(|state| state.0 = 1);
            assert_eq!(part.next().await, Some(1));
            store.reset();
            part
        };
        // The store is gone: the stream yields its last change and ends.
        assert_eq!(part.collect::<Vec<_>>().await, [0]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_from_before_a_reset_changes_nothing() {
        let store = Store::new(0);
        let old = store.track("load", slow(20, Err("too bad")));
        let resets = async {
            sleep(Duration::from_millis(10)).await;
            store.reset();
            assert!(!store.loading("load"));
            store.track("load", slow(100, Ok(1))).await
        };
        let (old, new) = join(old, resets).await;
        assert_eq!((old, new), (Err("too bad"), Ok(1)));
        assert_eq!((store.loading("load"), store.error("load")), (false, None));
    }
}
