//! A source of pages that notes its calls and does what a script says.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use grader_kit::{list, lock, ms};
use level4::paging::{Dir, Page, PagedList, Pages};
use tokio::time::{Instant, sleep};

use crate::ops::{End, nz};
use crate::panics::Payload;

/// Milliseconds of a load.
pub const LOAD: u64 = 10;

/// An item: its number, counted from the first item of the page that begins the list. Counted while it is alive.
#[derive(Clone)]
pub struct Item(pub i64, #[expect(dead_code, reason = "it counts the items")] Arc<()>);

/// How a load ends, where not with its page.
#[derive(Debug, Clone)]
pub enum Act {
    Error(&'static str),
    Panic(Payload),
}

/// One load. Times are milliseconds since the book was made.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    pub at: Option<usize>,
    pub dir: Dir,
    pub ended: Option<(u64, End)>,
}

/// Pages of given sizes. A cursor is the number of a page. A clone is a handle to the same book.
#[derive(Clone)]
pub struct Book(Arc<Shared>);

struct Shared {
    sizes: Vec<usize>,
    start: usize,
    length: u64,
    since: Instant,
    alive: Arc<()>,
    acts: Mutex<VecDeque<Option<Act>>>,
    seen: Mutex<Vec<Seen>>,
}

pub type List = PagedList<Book>;

impl Book {
    /// The list begins with page number `start`.
    pub fn new(sizes: &[usize], start: usize) -> Self {
        Self::slow(sizes, start, LOAD)
    }

    /// The same, with loads of `length` milliseconds.
    pub fn slow(sizes: &[usize], start: usize, length: u64) -> Self {
        Self(Arc::new(Shared {
            sizes: sizes.to_vec(),
            start,
            length,
            since: Instant::now(),
            alive: Arc::default(),
            acts: Mutex::default(),
            seen: Mutex::default(),
        }))
    }

    pub fn list(&self, window: usize) -> List {
        PagedList::new(self.clone(), nz(window))
    }

    /// How the next loads end; `None` is with the page. Those after them end with their pages.
    pub fn script(&self, acts: impl IntoIterator<Item = Option<Act>>) {
        lock(&self.0.acts).extend(acts);
    }

    /// What is known of each load, in the order of the calls.
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.0.seen).clone()
    }

    pub fn calls(&self) -> usize {
        lock(&self.0.seen).len()
    }

    /// How many items and clones of items there are.
    pub fn alive(&self) -> usize {
        Arc::strong_count(&self.0.alive) - 1
    }

    fn now(&self) -> u64 {
        u64::try_from(self.0.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The number of the first item of a page.
    pub fn first(&self, page: usize) -> i64 {
        let count =
            |sizes: &[usize]| i64::try_from(sizes.iter().sum::<usize>()).unwrap_or(i64::MAX);
        count(self.0.sizes.get(..page).unwrap_or_default())
            - count(self.0.sizes.get(..self.0.start).unwrap_or_default())
    }
}

impl Pages for Book {
    type Item = Item;
    type Cursor = usize;
    type Error = &'static str;

    async fn load(&self, at: Option<usize>, dir: Dir) -> Result<Page<Item, usize>, &'static str> {
        let call = {
            let mut seen = lock(&self.0.seen);
            seen.push(Seen { at, dir, ended: None });
            seen.len() - 1
        };
        let run = Run { book: self, call };
        let act = lock(&self.0.acts).pop_front().flatten();
        if self.0.length > 0 {
            sleep(ms(self.0.length)).await;
        }
        run.ends(End::Finished);
        match act {
            Some(Act::Error(text)) => return Err(text),
            Some(Act::Panic(payload)) => payload.throw(),
            None => {}
        }
        let number = at.unwrap_or(self.0.start);
        let size = self.0.sizes.get(number).copied().unwrap_or_default();
        let items = (self.first(number)..).take(size);
        Ok(Page {
            items: items.map(|number| Item(number, Arc::clone(&self.0.alive))).collect(),
            previous: number.checked_sub(1),
            next: (number + 1 < self.0.sizes.len()).then_some(number + 1),
        })
    }
}

struct Run<'a> {
    book: &'a Book,
    call: usize,
}

impl Run<'_> {
    fn ends(&self, end: End) {
        let now = self.book.now();
        if let Some(seen) = lock(&self.book.0.seen).get_mut(self.call) {
            seen.ended.get_or_insert((now, end));
        }
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        self.ends(End::Dropped);
    }
}

/// The numbers of the items in the window.
pub fn numbers(book: &List) -> Vec<i64> {
    book.watch().borrow().items.iter().map(|item| item.0).collect()
}

/// The numbers as a message shows them.
pub fn shown(numbers: impl IntoIterator<Item = i64>) -> String {
    let text = list(numbers);
    if text.is_empty() { "nothing".to_owned() } else { text }
}
