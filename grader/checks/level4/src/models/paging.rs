//! `paging::PagedList` against its model.

use std::ops::Range;

use futures::future::join_all;
use grader_kit::{Cx, Outcome, ensure_eq};
use level4::paging::{Dir, LoadError, Loaded};
use tokio::time::timeout;

use crate::books::{Act, Book, List, shown};

const SCRIPTS: u64 = 300;

/// The pages of the window, by number; none before the first load.
struct Model {
    sizes: Vec<usize>,
    start: usize,
    window: usize,
    pages: Option<Range<usize>>,
}

impl Model {
    fn total(&self, pages: &Range<usize>) -> usize {
        self.sizes[pages.clone()].iter().sum()
    }

    fn edge(&self, dir: Dir) -> Option<usize> {
        match (&self.pages, dir) {
            (None, Dir::Next) => Some(self.start),
            (None, Dir::Previous) => None,
            (Some(pages), Dir::Next) => (pages.end < self.sizes.len()).then_some(pages.end),
            (Some(pages), Dir::Previous) => pages.start.checked_sub(1),
        }
    }

    fn load(&mut self, dir: Dir) -> Result<Loaded, LoadError<&'static str>> {
        let Some(page) = self.edge(dir) else { return Ok(Loaded::AtEnd) };
        let (items, window) = (self.sizes[page], self.window);
        if items > window {
            return Err(LoadError::PageTooLarge { items, window });
        }
        let mut pages = self.pages.clone().unwrap_or(page..page);
        match dir {
            Dir::Next => pages.end = page + 1,
            Dir::Previous => pages.start = page,
        }
        while self.total(&pages) > window {
            match dir {
                Dir::Next => pages.start += 1,
                Dir::Previous => pages.end -= 1,
            }
        }
        self.pages = Some(pages);
        Ok(Loaded::Items(items))
    }

    fn shown(&self, book: &Book) -> String {
        let pages = self.pages.clone().unwrap_or(self.start..self.start);
        let first = book.first(pages.start);
        let items = i64::try_from(self.total(&pages)).unwrap_or_default();
        let ends = (self.edge(Dir::Previous).is_some(), self.edge(Dir::Next).is_some());
        format!("{} {ends:?}", shown(first..first + items))
    }
}

fn observed(list: &List) -> String {
    let window = list.watch().borrow().clone();
    // An index that is wrong shows as wrong items.
    let first = window.items.first().map_or(0, |item| window.first_index - item.0);
    let ends = (window.has_previous, window.has_next);
    format!("{} {ends:?}", shown(window.items.iter().map(|item| item.0 + first)))
}

async fn go(list: &List, dir: Dir) -> Result<Loaded, LoadError<&'static str>> {
    match dir {
        Dir::Next => list.next().await,
        Dir::Previous => list.previous().await,
    }
}

pub async fn paging(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let seed = draw.seed();
    for number in 0..SCRIPTS {
        let window = draw.index(9) + 1;
        // No page is empty here: which empty pages are visited again after they have left is not promised.
        let sizes: Vec<usize> = (0..=draw.index(9))
            .map(|_| if draw.chance(3) { window + 1 } else { draw.index(window) + 1 })
            .collect();
        let start = draw.index(sizes.len());
        let book = Book::new(&sizes, start);
        let list = book.list(window);
        let mut model = Model { sizes: sizes.clone(), start, window, pages: None };
        let mut said = Vec::new();
        for _ in 0..=number / 15 {
            let dir = *draw.pick(&[Dir::Next, Dir::Next, Dir::Previous]);
            let (callers, fails, dropped) = (draw.index(3) + 1, draw.chance(10), draw.chance(10));
            let (answers, expected) = if dropped {
                said.push(format!("{dir:?}, dropped"));
                let gone = timeout(grader_kit::ms(5), go(&list, dir));
                let answer = cx.call("PagedList", gone).await?.value;
                let expected = if model.edge(dir).is_none() { "AtEnd" } else { "dropped" };
                (
                    answer.map_or("dropped".to_owned(), |answer| format!("{answer:?}")),
                    match expected {
                        "AtEnd" => format!("{:?}", Ok::<_, LoadError<&str>>(Loaded::AtEnd)),
                        other => other.to_owned(),
                    },
                )
            } else {
                let fails = fails && model.edge(dir).is_some();
                said.push(format!("{callers} x {dir:?}{}", if fails { ", fails" } else { "" }));
                if fails {
                    book.script([Some(Act::Error("broken"))]);
                }
                let all = join_all((0..callers).map(|_| go(&list, dir)));
                let answers = cx.call("PagedList", all).await?.value;
                let one = if fails { Err(LoadError::Source("broken")) } else { model.load(dir) };
                let expected = vec![one; callers];
                (format!("{answers:?}"), format!("{expected:?}"))
            };
            let script = format!(
                "script {number} of seed {seed}: pages of {sizes:?} from number {start}, a window of {window}: {}",
                said.join("; ")
            );
            ensure_eq!(answers, expected, "{script}: the answers"; help = "play it by hand: which pages are kept after each step?");
            ensure_eq!(observed(&list), model.shown(&book), "{script}: the window, has_previous and has_next"; help = "play it by hand: which pages are kept after each step?");
        }
    }
    Ok(())
}
