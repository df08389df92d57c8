//! A paged window: a list loads pages on demand and keeps only some neighbouring ones.
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

/// A window size for lists whose items have no special size: 100 items.
pub const DEFAULT_WINDOW: NonZeroUsize = NonZeroUsize::new(100).expect("100 is not zero");

/// The direction of a load.
///
/// ```
/// use std::num::NonZeroUsize;
/// use std::time::Duration;
/// use level4::paging::{Dir, Page, PagedList, Pages};
/// use tokio::time::sleep;
///
/// # /// One page, which takes a second.
/// # struct Slow;
/// # impl Pages for Slow {
/// #     type Item = u32;
/// #     type Cursor = u32;
/// #     type Error = String;
/// #     async fn load(&self, _: Option<u32>, _: Dir) -> Result<Page<u32, u32>, String> {
/// #         sleep(Duration::from_secs(1)).await;
/// #         Ok(Page { items: vec![1, 2], previous: None, next: None })
/// #     }
/// # }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// // `Slow` has one page, which takes a second.
/// let list = PagedList::new(Slow, NonZeroUsize::MAX);
/// let window = list.watch();
/// let spinner = async {
///     sleep(Duration::from_millis(500)).await;
///     window.borrow().loading
/// };
/// let (loaded, spinner) = tokio::join!(list.next(), spinner);
/// assert_eq!(spinner, Some(Dir::Next));
/// # assert!(loaded.is_ok());
/// # }
/// ```
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
    /// The items, in the order of the list. There may be none.
    pub items: Vec<T>,
    /// The cursor of the page before this one. `None`: this is the first page.
    pub previous: Option<C>,
    /// The cursor of the page after this one. `None`: this is the last page.
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
    /// The type of an item.
    type Item: Clone;
    /// The place of a page, such as its number or a token of the server.
    type Cursor: Clone;
    /// The reason why a page could not be loaded. All callers that wait for the page get it.
    type Error: Clone;

    /// Loads the page at `at`, a cursor that a neighbour of the page has given. `None` is the page with which the list
    /// begins. `dir` is the direction from that neighbour to the page.
    ///
    /// Dropping the future gives the load up.
    fn load(
        &self,
        at: Option<Self::Cursor>,
        dir: Dir,
    ) -> impl Future<Output = Result<Page<Self::Item, Self::Cursor>, Self::Error>> + Send;
}

/// The part of a list that is kept, at one moment.
///
/// ```
/// # use std::convert::Infallible;
/// # use level4::paging::{Dir, Page, Pages};
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
/// use std::num::NonZeroUsize;
/// use level4::paging::PagedList;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // `Numbers` has the numbers from 0 to 99, ten a page.
/// let list = PagedList::new(Numbers, NonZeroUsize::try_from(20)?);
/// for _ in 0..3 {
///     list.next().await?;
/// }
/// let window = list.watch().borrow().clone();
/// assert_eq!((window.first_index, window.items.len()), (10, 20));
/// assert!(window.has_previous && window.has_next);
/// assert_eq!(window.loading, None);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Window<T> {
    /// The index of the first item. The page that was loaded first begins at index 0; items before it have negative
    /// indices. An item keeps its index while pages are loaded and dropped.
    pub first_index: i64,
    /// The items, in the order of the list.
    pub items: Arc<[T]>,
    /// Whether there is a page after the window, by the cursor of the last page.
    pub has_next: bool,
    /// Whether there is a page before the window, by the cursor of the first page.
    pub has_previous: bool,
    /// The direction of the load that runs. `None`: no load runs.
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

/// The result of a call that did not fail.
///
/// ```
/// # use std::convert::Infallible;
/// # use level4::paging::{Dir, Page, Pages};
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
/// use std::num::NonZeroUsize;
/// use level4::paging::{Loaded, PagedList};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // `Numbers` has the numbers from 0 to 99, ten a page.
/// let list = PagedList::new(Numbers, NonZeroUsize::try_from(20)?);
/// assert_eq!(list.next().await?, Loaded::Items(10));
/// assert_eq!(list.previous().await?, Loaded::AtEnd); // the list begins here
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loaded {
    /// A page was loaded. The number is that of its items. An empty page may have pages behind it.
    Items(usize),
    /// There is no page in that direction. The source was not called.
    AtEnd,
}

/// The reason why no page was added. The window is as it was.
///
/// ```
/// # use std::convert::Infallible;
/// # use level4::paging::{Dir, Page, Pages};
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
/// use std::num::NonZeroUsize;
/// use level4::paging::{LoadError, PagedList};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// // `Numbers` has ten items a page, and the window has room for one.
/// let list = PagedList::new(Numbers, NonZeroUsize::MIN);
/// let failed = list.next().await;
/// assert_eq!(failed, Err(LoadError::PageTooLarge { items: 10, window: 1 }));
/// assert!(list.watch().borrow().items.is_empty());
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError<E> {
    /// The source has failed.
    #[error("the page could not be loaded: {0}")]
    Source(E),
    /// The page has more items than the window may have.
    #[error("a page of {items} items does not fit into a window of {window}")]
    PageTooLarge {
        /// The number of the page's items.
        items: usize,
        /// The most items that the window may have.
        window: usize,
    },
}

/// Loads a long list page by page and keeps a window of it.
///
/// The window holds whole pages. It begins empty; the first call of [`next`](Self::next) loads the page with which
/// the list begins. One load runs at a time. A caller shares the result of a load of its direction that ends after the
/// caller's first poll.
///
/// There is no background task: a load runs inside the future of the caller that began it. While that future is not
/// polled, the load does not go on.
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
    /// The most items of the window.
    window: NonZeroUsize,
    /// The pages. The lock is held during a load, so one runs at a time: of two loads, the page of the second might not
    /// lie beside the window that the first has left. tokio's lock may be held across an await point, and serves its
    /// waiters in order.
    held: tokio::sync::Mutex<Held<P::Item, P::Cursor>>,
    /// Apart from `held`, because a caller has to look at it while a load holds that lock. A std lock: it is held only
    /// between await points, and destructors take it.
    calls: Mutex<Calls<P::Error>>,
    /// What readers see. They read it while a load runs, so it is a copy of the items in `held`.
    shown: watch::Sender<Window<P::Item>>,
}

impl<P: Pages> fmt::Debug for PagedList<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PagedList").field("window", &self.shown.borrow()).finish_non_exhaustive()
    }
}

impl<P: Pages> PagedList<P> {
    /// Makes a list of which nothing is loaded. At most `window` items are kept.
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
    /// A panic of the source passes to the caller that began the load. A caller that waits for the load begins another
    /// one.
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
    /// Before the first page is loaded, this returns [`Loaded::AtEnd`].
    ///
    /// # Errors
    ///
    /// As for [`next`](Self::next), which also says what a panic and a drop do.
    pub async fn previous(&self) -> Result<Loaded, LoadError<P::Error>> {
        self.load(Dir::Previous).await
    }

    /// Returns a receiver of the window as it is now and of each one after it. A slow receiver sees the latest window,
    /// and none twice.
    pub fn watch(&self) -> watch::Receiver<Window<P::Item>> {
        self.shown.subscribe()
    }

    /// Loads a page in one direction, or shares the result of a load that ends while this caller waits.
    async fn load(&self, dir: Dir) -> Result<Loaded, LoadError<P::Error>> {
        // Taken before the wait: every load of this direction that ends from now on is also this caller's. Without it,
        // ten clicks on "more" would load ten pages, one after the other.
        let ticket = lock(&self.calls).ticket(dir);
        let mut held = self.held.lock().await;
        // A statement of its own, so that the guard is dropped before the branches.
        let shared = lock(&self.calls).result_since(dir, ticket);
        if let Some(result) = shared {
            return result;
        }
        // Only now, with the lock: a load in the other direction may have moved the window while this caller waited.
        let Some(at) = held.edge(dir) else {
            return Ok(Loaded::AtEnd);
        };
        // After the early returns: a call that loads nothing shows no change to readers.
        let attempt = Attempt::begin(self, dir);
        // A drop or a panic here leaves `held` as it was, since nothing in it has changed yet, and drops both guards:
        // the attempt's, which ends the load without a result, and the lock's, which lets a waiting caller begin one.
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

/// A load that runs. A guard, so that result, panic and drop end it alike: a load that was dropped would otherwise be
/// shown as running. It is declared after the lock of the pages and so dropped before it: the end is noted before a
/// waiting caller goes on.
struct Attempt<'a, P: Pages> {
    list: &'a PagedList<P>,
}

impl<'a, P: Pages> Attempt<'a, P> {
    fn begin(list: &'a PagedList<P>, dir: Dir) -> Self {
        lock(&list.calls).begin(dir);
        list.shown.send_modify(|window| window.loading = Some(dir));
        Self { list }
    }

    /// Ends the load with a result, and with the new window if there is one.
    fn ends(self, window: Option<Window<P::Item>>, result: Result<Loaded, LoadError<P::Error>>) {
        // Before the destructor, which then finds that no load runs and changes nothing here.
        lock(&self.list.calls).end(Some(result));
        if let Some(window) = window {
            // Items and flag in one change: no reader sees new items beside a load that is over. `send_replace` works
            // without a receiver too, where `send` would fail and keep the old window.
            self.list.shown.send_replace(window);
        }
    }
}

impl<P: Pages> Drop for Attempt<'_, P> {
    fn drop(&mut self) {
        lock(&self.list.calls).end(None);
        // After a result with a window the flag is down already: readers are not woken a second time.
        self.list.shown.send_if_modified(|window| window.loading.take().is_some());
    }
}

/// The calls of a list: which load runs, and how the last one of each direction ended.
struct Calls<E> {
    /// The direction of the load that runs.
    loading: Option<Dir>,
    /// Each direction has numbers of its own: a caller shares only loads of its direction.
    next: Loads<E>,
    previous: Loads<E>,
}

/// The loads of one direction.
struct Loads<E> {
    /// How many have begun: the number of the last one.
    begun: u64,
    /// The last one that has a result, with its number. One is enough: a caller that has waited through several takes
    /// the last, and any of them is its.
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

    /// Returns the number of the first load whose result a caller that comes now may share: the one that runs, or the
    /// one that begins next.
    fn ticket(&mut self, dir: Dir) -> u64 {
        let runs = self.loading == Some(dir);
        self.of(dir).begun + u64::from(!runs)
    }

    /// Returns the last result in a direction, if its load has the number of the ticket or a later one.
    fn result_since(&mut self, dir: Dir, ticket: u64) -> Option<Result<Loaded, LoadError<E>>> {
        // Not "equal": the load of the ticket may have been dropped, and a later one has replaced it.
        let (_, result) = self.of(dir).ended.as_ref().filter(|(number, _)| *number >= ticket)?;
        Some(result.clone())
    }

    fn begin(&mut self, dir: Dir) {
        self.loading = Some(dir);
        self.of(dir).begun += 1;
    }

    /// Ends the load that runs. Without a result it was dropped or has panicked, and no caller shares it: each one that
    /// waits would otherwise get an error of a load that another caller gave up.
    fn end(&mut self, result: Option<Result<Loaded, LoadError<E>>>) {
        let Some(dir) = self.loading.take() else { return };
        let loads = self.of(dir);
        if let Some(result) = result {
            loads.ended = Some((loads.begun, result));
        }
    }
}

/// The pages of the window. All its methods are synchronous: nothing can interrupt a change.
struct Held<T, C> {
    /// Neighbours, in the order of the list. No page is empty unless it is the only one. A deque, since pages come and
    /// leave at both ends.
    pages: VecDeque<Page<T, C>>,
    /// The index of the first item. It moves when pages come or leave at the front, so that the others keep theirs.
    first_index: i64,
    /// The number of items in all pages.
    count: usize,
}

impl<T: Clone, C: Clone> Held<T, C> {
    const fn new() -> Self {
        Self { pages: VecDeque::new(), first_index: 0, count: 0 }
    }

    /// Returns the cursor of the next page in this direction. `None`: there is no page. `Some(None)`: it is the page
    /// that begins the list.
    fn edge(&self, dir: Dir) -> Option<Option<C>> {
        match dir {
            // The cursor is the one that the page at the edge has brought, never one that is computed: only the source
            // knows what lies beside a page. An empty deque has no edge, and the list then begins with `next`.
            Dir::Next => self.pages.back().map_or(Some(None), |page| page.next.clone().map(Some)),
            Dir::Previous => self.pages.front()?.previous.clone().map(Some),
        }
    }

    /// Adds a page at one end. Pages leave at the other end.
    fn add<E>(
        &mut self,
        page: Page<T, C>,
        dir: Dir,
        window: NonZeroUsize,
    ) -> Result<Loaded, LoadError<E>> {
        let (items, window) = (page.items.len(), window.get());
        // Before anything changes. Trimmed to fit, its other items could not be reached by any cursor.
        if items > window {
            return Err(LoadError::PageTooLarge { items, window });
        }
        if self.count == 0 {
            // No item is kept, so at most one empty page is. Of that page only the cursor at the other side counts: the
            // new page has a cursor of its own at the side of `dir`.
            let page = match (self.pages.pop_front(), dir) {
                (None, _) => page,
                (Some(empty), Dir::Next) => Page { previous: empty.previous, ..page },
                (Some(empty), Dir::Previous) => Page { next: empty.next, ..page },
            };
            self.pages.push_back(page);
        } else if items == 0 {
            // An empty page is not kept: of a thousand in a row, only the last one's cursor matters, and the size of
            // the window bounds items, not pages.
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
        // Whole pages: the cursor of a page leads to its whole neighbour, so a part could not be loaded again. One page
        // alone always fits, so the page that has just come stays.
        while self.count > window {
            self.trim(dir);
        }
        Ok(Loaded::Items(items))
    }

    /// Drops the page at the end that lies away from `dir`, where the user is not looking.
    fn trim(&mut self, dir: Dir) {
        let gone = match dir {
            Dir::Next => self.pages.pop_front(),
            Dir::Previous => self.pages.pop_back(),
        };
        let items = gone.map_or(0, |page| page.items.len());
        self.count -= items;
        // The page left at the front: what stays keeps its indices.
        if dir == Dir::Next {
            self.first_index += index(items);
        }
    }

    /// Returns what readers see while no load runs. The items are copied once, and all readers share the copy.
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

/// Returns a number of items as a difference of indices. A `Vec` never has more items than an `i64` can count, unless
/// they take no memory.
fn index(items: usize) -> i64 {
    i64::try_from(items).unwrap_or(i64::MAX)
}

/// Locks, also after a panic: only an error's `clone` and destructor can panic under the lock, and neither leaves a
/// change half done.
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
