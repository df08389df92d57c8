//! A paged window: a long list of which only some neighbouring pages are kept.
//!
//! ```text
//!                        the window: at most `window` items
//!                       ┌────────────────────────────────┐
//!   ┄┄┄┄┬───────┬───────┼───────┬───────┬───────┬────────┼───────┬───────┬┄┄┄┄
//!       │ page  │ page  │ page  │ page  │ page  │  page  │ page  │ page  │
//!   ┄┄┄┄┴───────┴───────┼───────┴───────┴───────┴────────┼───────┴───────┴┄┄┄┄
//!                       └────────────────────────────────┘
//!   previous() ◀── loads the page before it       loads the page after it ──▶ next()
//!              pages leave at the other end until the window is small enough
//! ```
//!
//! Lesson: `level4/lessons/paging.md`.

use std::collections::VecDeque;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// How many items a window has where nothing else is known.
pub const DEFAULT_WINDOW: NonZeroUsize = NonZeroUsize::new(100).expect("100 is not zero");

/// The direction of a load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dir {
    /// The page after the window.
    Next,
    /// The page before the window.
    Previous,
}

/// A page as a source returns it.
///
/// ```
/// use level4::paging::Page;
///
/// // The second of three pages, in a source whose cursors are page numbers.
/// let page = Page { items: vec!["c", "d"], previous: Some(1), next: Some(3) };
/// assert!(page.next.is_some());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T, C> {
    /// The items, in the order of the list. May be empty.
    pub items: Vec<T>,
    /// Where the page before this one is. `None`: this is the first page.
    pub previous: Option<C>,
    /// Where the page after this one is. `None`: this is the last page.
    pub next: Option<C>,
}

/// A source of pages.
///
/// ```
/// use std::convert::Infallible;
/// use level4::paging::{Dir, Page, Pages};
///
/// /// The numbers from 0 to 99, ten a page.
/// struct Numbers;
///
/// impl Pages for Numbers {
///     type Item = u32;
///     type Cursor = u32;
///     type Error = Infallible;
///
///     async fn load(&self, at: Option<u32>, _: Dir) -> Result<Page<u32, u32>, Infallible> {
///         let first = at.unwrap_or(0);
///         let items = (first..first + 10).collect();
///         let next = (first < 90).then_some(first + 10);
///         Ok(Page { items, previous: first.checked_sub(10), next })
///     }
/// }
/// ```
pub trait Pages {
    /// An item.
    type Item: Clone;
    /// The place of a page.
    type Cursor: Clone;
    /// Why a page could not be loaded. All callers that wait for the page receive it.
    type Error: Clone;

    /// Loads the page at `at`, the cursor of a neighbour of it. `None` is the page with which the list begins.
    /// `dir` is the direction in which it lies from that neighbour.
    fn load(
        &self,
        at: Option<Self::Cursor>,
        dir: Dir,
    ) -> impl Future<Output = Result<Page<Self::Item, Self::Cursor>, Self::Error>> + Send;
}

/// What is kept of a list, at one moment.
#[derive(Clone, PartialEq, Eq)]
pub struct Window<T> {
    /// The index of the first item. The page that was loaded first begins at index 0; what lies before it has
    /// negative ones. An item keeps its index, whatever is loaded and dropped.
    pub first_index: i64,
    /// The items, in the order of the list.
    pub items: Arc<[T]>,
    /// Whether there is a page after the window, as far as is known.
    pub has_next: bool,
    /// Whether there is a page before the window, as far as is known.
    pub has_previous: bool,
    /// The direction of the load that runs.
    pub loading: Option<Dir>,
}

impl<T> fmt::Debug for Window<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Window")
            .field("first_index", &self.first_index)
            .field("items", &self.items.len())
            .field("has_next", &self.has_next)
            .field("has_previous", &self.has_previous)
            .field("loading", &self.loading)
            .finish()
    }
}

/// What a call has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loaded {
    /// A page with so many items was loaded. An empty page may have pages behind it.
    Items(usize),
    /// There is no page in that direction. Nothing was called.
    AtEnd,
}

/// Why no page was added. The window is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError<E> {
    /// The source has failed.
    #[error("the page could not be loaded: {0}")]
    Source(E),
    /// The page has more items than the window may have.
    #[error("a page of {items} items does not fit into a window of {window}")]
    PageTooLarge {
        /// The items of the page.
        items: usize,
        /// The most items of the window.
        window: usize,
    },
}

/// A long list of which a window is kept.
///
/// The window holds whole pages. It begins empty; the first call of [`next`](Self::next) loads the page with which
/// the list begins. One load runs at a time. Callers that ask for the direction in which a load runs, or that waited
/// while one ran, share its result.
///
/// A load runs inside of the future of the caller that began it: while that future is not polled, the load does not
/// go on. There is no task.
///
/// ```
/// # use std::convert::Infallible;
/// # use level4::paging::{Dir, Page, Pages};
/// use std::num::NonZeroUsize;
/// use level4::paging::{Loaded, PagedList};
/// # struct Numbers;
/// # impl Pages for Numbers {
/// #     type Item = u32;
/// #     type Cursor = u32;
/// #     type Error = Infallible;
/// #     async fn load(&self, at: Option<u32>, _: Dir) -> Result<Page<u32, u32>, Infallible> {
/// #         let first = at.unwrap_or(0);
/// #         let items = (first..first + 10).collect();
/// #         Ok(Page { items, previous: first.checked_sub(10), next: (first < 90).then_some(first + 10) })
/// #     }
/// # }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // `Numbers` has the numbers from 0 to 99, ten a page.
/// let list = PagedList::new(Numbers, NonZeroUsize::try_from(20)?);
/// for _ in 0..3 {
///     assert_eq!(list.next().await?, Loaded::Items(10));
/// }
/// // The first page had to leave. The item with index 10 is still the number 10.
/// let window = list.watch().borrow().clone();
/// assert_eq!((window.first_index, window.items.len()), (10, 20));
/// assert_eq!(window.items[0], 10);
/// assert_eq!(list.previous().await?, Loaded::Items(10));
/// assert_eq!(list.watch().borrow().first_index, 0);
/// # Ok(())
/// # }
/// ```
pub struct PagedList<P: Pages> {
    pages: P,
    window: NonZeroUsize,
    // Held during a load: one runs at a time, for the page that it brings must lie beside the window. tokio's lock
    // may be held across an await, and serves its waiters in order.
    held: tokio::sync::Mutex<Held<P::Item, P::Cursor>>,
    // Held only between awaits, by callers that come and by loads that begin or end.
    calls: Mutex<Calls<P::Error>>,
    shown: watch::Sender<Window<P::Item>>,
}

impl<P: Pages> fmt::Debug for PagedList<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PagedList").field("window", &self.shown.borrow()).finish_non_exhaustive()
    }
}

impl<P: Pages> PagedList<P> {
    /// A list of which nothing is loaded. At most `window` items are kept.
    pub fn new(pages: P, window: NonZeroUsize) -> Self {
        let held = Held::new();
        let shown = watch::Sender::new(held.window());
        let held = tokio::sync::Mutex::new(held);
        Self { pages, window, held, calls: Mutex::new(Calls::new()), shown }
    }

    /// Loads the page after the window. Pages leave at the front until the window has at most its size.
    ///
    /// # Errors
    ///
    /// [`LoadError`]. The window is as it was, and the next call tries again.
    ///
    /// # Panics
    ///
    /// A panic of the source passes to the caller that began the load. Another caller that waits loads then.
    ///
    /// # Cancellation
    ///
    /// Before its first poll the future has done nothing. Dropping it drops the load that it runs, and leaves the
    /// window as it was; a caller that waits for the load begins another one.
    pub async fn next(&self) -> Result<Loaded, LoadError<P::Error>> {
        self.load(Dir::Next).await
    }

    /// Loads the page before the window. Pages leave at the back until the window has at most its size.
    ///
    /// Before the first page was loaded there is none before it.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next), which also says what a panic and a drop do.
    pub async fn previous(&self) -> Result<Loaded, LoadError<P::Error>> {
        self.load(Dir::Previous).await
    }

    /// The window as it is now, and each one after it. A receiver that is slow sees the latest window and none twice.
    pub fn watch(&self) -> watch::Receiver<Window<P::Item>> {
        self.shown.subscribe()
    }

    async fn load(&self, dir: Dir) -> Result<Loaded, LoadError<P::Error>> {
        // Taken before the wait: every load of this direction that ends from now on is also this caller's.
        let ticket = lock(&self.calls).ticket(dir);
        let mut held = self.held.lock().await;
        let shared = lock(&self.calls).result_since(dir, ticket);
        if let Some(result) = shared {
            return result;
        }
        let Some(at) = held.edge(dir) else {
            return Ok(Loaded::AtEnd);
        };
        let attempt = Attempt::begin(self, dir);
        let page = self.pages.load(at, dir).await;
        // No await from here on: the window and the result change together, before a waiting caller has the lock.
        let result = match page {
            Ok(page) => held.add(page, dir, self.window),
            Err(error) => Err(LoadError::Source(error)),
        };
        attempt.ends(result.is_ok().then(|| held.window()), result.clone());
        result
    }
}

/// A load that runs. Its end is noted on each of its ways: result, panic and drop.
struct Attempt<'a, P: Pages> {
    list: &'a PagedList<P>,
}

impl<'a, P: Pages> Attempt<'a, P> {
    fn begin(list: &'a PagedList<P>, dir: Dir) -> Self {
        lock(&list.calls).begin(dir);
        list.shown.send_modify(|window| window.loading = Some(dir));
        Self { list }
    }

    /// The load has a result. With a window, that is the new one.
    fn ends(self, window: Option<Window<P::Item>>, result: Result<Loaded, LoadError<P::Error>>) {
        lock(&self.list.calls).end(Some(result));
        if let Some(window) = window {
            // Items and flag in one change: no reader sees new items beside a load that is over.
            self.list.shown.send_replace(window);
        }
    }
}

impl<P: Pages> Drop for Attempt<'_, P> {
    fn drop(&mut self) {
        lock(&self.list.calls).end(None);
        self.list.shown.send_if_modified(|window| window.loading.take().is_some());
    }
}

/// The calls of a list: which load runs, and how the last one of each direction ended.
struct Calls<E> {
    loading: Option<Dir>,
    next: Loads<E>,
    previous: Loads<E>,
}

/// The loads of one direction.
struct Loads<E> {
    begun: u64,
    /// The last one that has a result, with its number.
    ended: Option<(u64, Result<Loaded, LoadError<E>>)>,
}

impl<E: Clone> Calls<E> {
    const fn new() -> Self {
        let (next, previous) = (Loads { begun: 0, ended: None }, Loads { begun: 0, ended: None });
        Self { loading: None, next, previous }
    }

    const fn of(&mut self, dir: Dir) -> &mut Loads<E> {
        match dir {
            Dir::Next => &mut self.next,
            Dir::Previous => &mut self.previous,
        }
    }

    /// The number of the first load whose result a caller that comes now may share: the one that runs, or the one
    /// that begins next.
    fn ticket(&mut self, dir: Dir) -> u64 {
        let runs = self.loading == Some(dir);
        self.of(dir).begun + u64::from(!runs)
    }

    fn result_since(&mut self, dir: Dir, ticket: u64) -> Option<Result<Loaded, LoadError<E>>> {
        let (_, result) = self.of(dir).ended.as_ref().filter(|(number, _)| *number >= ticket)?;
        Some(result.clone())
    }

    fn begin(&mut self, dir: Dir) {
        self.loading = Some(dir);
        self.of(dir).begun += 1;
    }

    /// The load that runs ends. Without a result it was dropped or has panicked, and no caller shares it.
    fn end(&mut self, result: Option<Result<Loaded, LoadError<E>>>) {
        let Some(dir) = self.loading.take() else { return };
        let loads = self.of(dir);
        if let Some(result) = result {
            loads.ended = Some((loads.begun, result));
        }
    }
}

/// The pages of the window, without waiting.
struct Held<T, C> {
    /// Neighbours, in the order of the list. None of them is empty, but for the only one.
    pages: VecDeque<Page<T, C>>,
    first_index: i64,
    count: usize,
}

impl<T: Clone, C: Clone> Held<T, C> {
    const fn new() -> Self {
        Self { pages: VecDeque::new(), first_index: 0, count: 0 }
    }

    /// Where the next page in this direction is. `None`: there is none. `Some(None)`: the page that begins the list.
    fn edge(&self, dir: Dir) -> Option<Option<C>> {
        match dir {
            Dir::Next => self.pages.back().map_or(Some(None), |page| page.next.clone().map(Some)),
            Dir::Previous => self.pages.front()?.previous.clone().map(Some),
        }
    }

    /// Adds a page. Pages leave at the other end.
    fn add<E>(
        &mut self,
        page: Page<T, C>,
        dir: Dir,
        window: NonZeroUsize,
    ) -> Result<Loaded, LoadError<E>> {
        let (items, window) = (page.items.len(), window.get());
        if items > window {
            return Err(LoadError::PageTooLarge { items, window });
        }
        if self.count == 0 {
            // Of what is kept only the cursor at the other side counts: an empty page has nothing else.
            let page = match (self.pages.pop_front(), dir) {
                (None, _) => page,
                (Some(empty), Dir::Next) => Page { previous: empty.previous, ..page },
                (Some(empty), Dir::Previous) => Page { next: empty.next, ..page },
            };
            self.pages.push_back(page);
        } else if items == 0 {
            // An empty page is not kept: a thousand of them are as good as the last one's cursor.
            match dir {
                Dir::Next => self.pages.back_mut().map(|last| last.next = page.next),
                Dir::Previous => self.pages.front_mut().map(|first| first.previous = page.previous),
            };
        } else {
            match dir {
                Dir::Next => self.pages.push_back(page),
                Dir::Previous => self.pages.push_front(page),
            }
        }
        if dir == Dir::Previous {
            self.first_index -= index(items);
        }
        self.count += items;
        // One page alone always fits, so the page that has just come stays.
        while self.count > window {
            self.trim(dir);
        }
        Ok(Loaded::Items(items))
    }

    /// A page leaves at the other end.
    fn trim(&mut self, dir: Dir) {
        let gone = match dir {
            Dir::Next => self.pages.pop_front(),
            Dir::Previous => self.pages.pop_back(),
        };
        let items = gone.map_or(0, |page| page.items.len());
        self.count -= items;
        if dir == Dir::Next {
            self.first_index += index(items);
        }
    }

    /// What is kept, while no load runs.
    fn window(&self) -> Window<T> {
        let pages: Vec<&[T]> = self.pages.iter().map(|page| page.items.as_slice()).collect();
        Window {
            first_index: self.first_index,
            items: pages.concat().into(),
            has_next: self.edge(Dir::Next).is_some(),
            has_previous: self.edge(Dir::Previous).is_some(),
            loading: None,
        }
    }
}

/// A number of items as a difference of indices. A `Vec` has never more items than an `i64` can count.
fn index(items: usize) -> i64 {
    i64::try_from(items).unwrap_or(i64::MAX)
}

/// A panic under the lock can only be one of an error's `clone`, before anything is changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    /// The numbers from 0 to 29, three a page. Each load takes 10 ms.
    struct Numbers(AtomicUsize);

    impl Pages for Numbers {
        type Item = u32;
        type Cursor = u32;
        type Error = Infallible;

        async fn load(&self, at: Option<u32>, _: Dir) -> Result<Page<u32, u32>, Infallible> {
            self.0.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(10)).await;
            let first = at.unwrap_or(0);
            let next = (first < 27).then_some(first + 3);
            Ok(Page { items: (first..first + 3).collect(), previous: first.checked_sub(3), next })
        }
    }

    fn list(window: usize) -> PagedList<Numbers> {
        PagedList::new(Numbers(AtomicUsize::new(0)), NonZeroUsize::new(window).expect("a size"))
    }

    fn shown(list: &PagedList<Numbers>) -> (i64, Vec<u32>) {
        let window = list.watch().borrow().clone();
        (window.first_index, window.items.to_vec())
    }

    #[tokio::test(start_paused = true)]
    async fn a_window_moves_there_and_back() {
        let list = list(7);
        assert_eq!(list.previous().await, Ok(Loaded::AtEnd));
        for _ in 0..4 {
            assert_eq!(list.next().await, Ok(Loaded::Items(3)));
        }
        assert_eq!(shown(&list), (6, (6..12).collect()));
        assert_eq!(list.previous().await, Ok(Loaded::Items(3)));
        assert_eq!(shown(&list), (3, (3..9).collect()));
    }

    #[tokio::test(start_paused = true)]
    async fn callers_share_a_load() {
        let list = list(7);
        let (one, other) = futures::join!(list.next(), list.next());
        assert_eq!((one, other), (Ok(Loaded::Items(3)), Ok(Loaded::Items(3))));
        assert_eq!(list.pages.0.load(Ordering::Relaxed), 1);
        assert_eq!(list.next().await, Ok(Loaded::Items(3)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_larger_than_the_window_is_refused() {
        let refused = Err(LoadError::PageTooLarge { items: 3, window: 2 });
        assert_eq!(list(2).next().await, refused);
    }
}
