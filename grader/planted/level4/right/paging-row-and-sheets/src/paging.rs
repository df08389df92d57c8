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

use tokio::sync::{Semaphore, watch};

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
    /// The index of the first item. The first item that was ever loaded has index 0; what lies before it has
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
    /// One permit: who has it may load. It serves in the order of the first polls.
    turn: Semaphore,
    /// Never held across an await.
    book: Mutex<Book<P::Item, P::Cursor, P::Error>>,
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
        let book = Book {
            items: VecDeque::new(),
            sheets: VecDeque::new(),
            first_index: 0,
            ended: [(0, None), (0, None)],
        };
        let shown = watch::Sender::new(book.window());
        Self { pages, window, turn: Semaphore::new(1), book: Mutex::new(book), shown }
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
        // How many loads of this direction have ended. One that ends from now on is also this caller's.
        let seen = lock(&self.book).ended[way(dir)].0;
        // Fails only on a closed semaphore, and this one is never closed.
        let _turn = self.turn.acquire().await;
        let at = {
            let book = lock(&self.book);
            match &book.ended[way(dir)] {
                (count, Some(result)) if *count > seen => return result.clone(),
                _ => {}
            }
            let Some(at) = book.edge(dir) else { return Ok(Loaded::AtEnd) };
            at
        };
        // Dropped before the turn: who loads next finds a window that does not load.
        let _shows = Shows::begin(&self.shown, dir);
        let page = self.pages.load(at, dir).await;
        let mut book = lock(&self.book);
        let result = match page {
            Ok(page) => book.add(page, dir, self.window.get()),
            Err(error) => Err(LoadError::Source(error)),
        };
        let (count, last) = &mut book.ended[way(dir)];
        *count += 1;
        let older = last.replace(result.clone());
        let window = result.is_ok().then(|| book.window());
        drop(book);
        drop(older);
        if let Some(window) = window {
            self.shown.send_replace(window);
        }
        result
    }
}

/// The flag of the window, for as long as a load runs.
struct Shows<'a, T> {
    shown: &'a watch::Sender<Window<T>>,
}

impl<'a, T> Shows<'a, T> {
    fn begin(shown: &'a watch::Sender<Window<T>>, dir: Dir) -> Self {
        shown.send_modify(|window| window.loading = Some(dir));
        Self { shown }
    }
}

impl<T> Drop for Shows<'_, T> {
    fn drop(&mut self) {
        self.shown.send_if_modified(|window| window.loading.take().is_some());
    }
}

const fn way(dir: Dir) -> usize {
    match dir {
        Dir::Next => 0,
        Dir::Previous => 1,
    }
}

/// What is kept: the items in one row, and how they lie on pages.
struct Book<T, C, E> {
    items: VecDeque<T>,
    sheets: VecDeque<Sheet<C>>,
    first_index: i64,
    /// For each direction the number of loads that have ended with a result, and the last result.
    ended: [(u64, Option<Result<Loaded, LoadError<E>>>); 2],
}

/// A page without its items.
struct Sheet<C> {
    len: usize,
    previous: Option<C>,
    next: Option<C>,
}

impl<T: Clone, C: Clone, E> Book<T, C, E> {
    fn edge(&self, dir: Dir) -> Option<Option<C>> {
        match (dir, self.sheets.front(), self.sheets.back()) {
            (Dir::Next, _, None) => Some(None),
            (Dir::Next, _, Some(last)) => last.next.clone().map(Some),
            (Dir::Previous, first, _) => first?.previous.clone().map(Some),
        }
    }

    fn add(&mut self, page: Page<T, C>, dir: Dir, window: usize) -> Result<Loaded, LoadError<E>> {
        let Page { items, previous, next } = page;
        let len = items.len();
        if len > window {
            return Err(LoadError::PageTooLarge { items: len, window });
        }
        let mut sheet = Sheet { len, previous, next };
        if self.items.is_empty() {
            // At most one sheet, an empty one: the new one takes its place, and its cursor at the other side.
            if let Some(empty) = self.sheets.pop_front() {
                match dir {
                    Dir::Next => sheet.previous = empty.previous,
                    Dir::Previous => sheet.next = empty.next,
                }
            }
        }
        match dir {
            Dir::Next => {
                match self.sheets.back_mut() {
                    Some(last) if len == 0 => last.next = sheet.next,
                    _ => self.sheets.push_back(sheet),
                }
                self.items.extend(items);
                while self.items.len() > window {
                    let gone = self.sheets.pop_front().map_or(0, |sheet| sheet.len);
                    self.items.drain(..gone);
                    self.first_index += index(gone);
                }
            }
            Dir::Previous => {
                match self.sheets.front_mut() {
                    Some(first) if len == 0 => first.previous = sheet.previous,
                    _ => self.sheets.push_front(sheet),
                }
                for item in items.into_iter().rev() {
                    self.items.push_front(item);
                }
                self.first_index -= index(len);
                while self.items.len() > window {
                    let gone = self.sheets.pop_back().map_or(0, |sheet| sheet.len);
                    self.items.truncate(self.items.len() - gone);
                }
            }
        }
        Ok(Loaded::Items(len))
    }

    fn window(&self) -> Window<T> {
        Window {
            first_index: self.first_index,
            items: self.items.iter().cloned().collect(),
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

