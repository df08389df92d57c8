//! The five sources under the grader's control: scripted, and watched.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use grader_kit::{Cx, Timeline, ms};
use level2::error::SourceError;
use level2::model::{
    Cents, Dashboard, LowStock, Orders, Rating, Reviews, Sales, Section, SectionData, StockItem,
    Users,
};
use level2::source::{DashboardSource, SourceResult};
use tokio::time::sleep;

/// What a source does when it is called. Times in virtual milliseconds after the call.
#[derive(Debug, Clone)]
pub enum Step {
    /// Answers with data.
    Answers(u64),
    /// Fails; 0 means at the first poll, before any wait.
    Fails(u64, SourceError),
    /// Never answers.
    Hangs,
    /// Panics in its future.
    Panics(u64),
    /// Panics in the method, before there is a future.
    PanicsAtOnce,
    /// Panics in its future, after so long, with this payload.
    PanicsWith(u64, Payload),
    /// Panics in the method, before there is a future, with this payload.
    PanicsAtOnceWith(Payload),
}

/// The numbers of the answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Figures {
    /// Every number differs, between sections, calls and fakes: nothing can be mistaken for another.
    Distinct,
    /// Zeros, and a list without items.
    Zeros,
    /// The largest that the types hold, and a list of many items.
    Largest,
}

impl Figures {
    fn of(self, distinct: u32) -> u32 {
        match self {
            Self::Distinct => distinct,
            Self::Zeros => 0,
            Self::Largest => u32::MAX,
        }
    }

    fn cents(self, distinct: u64) -> Cents {
        match self {
            Self::Distinct => Cents(distinct),
            Self::Zeros => Cents(0),
            Self::Largest => Cents(u64::MAX),
        }
    }
}

/// What a panic carries: `panic!("a bug")` carries a literal, `panic!("row {n}")` a `String`.
#[derive(Debug, Clone)]
pub enum Payload {
    Literal(&'static str),
    Text(String),
    /// Something that is not a text.
    Number(u32),
}

impl Payload {
    /// The text that a report on the panic has.
    pub fn text(&self) -> String {
        match self {
            Self::Literal(text) => (*text).to_owned(),
            Self::Text(text) => text.clone(),
            Self::Number(_) => "no message".to_owned(),
        }
    }

    pub fn throw(self) -> ! {
        match self {
            Self::Literal(text) => std::panic::panic_any(text),
            Self::Text(text) => std::panic::panic_any(text),
            Self::Number(number) => std::panic::panic_any(number),
        }
    }
}

/// A call that has begun.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    pub section: Section,
    /// When it began, in virtual milliseconds since the criterion began.
    pub at: u64,
    /// When it was over: answered, failed, panicked or dropped.
    pub over: Option<u64>,
}

/// Five scripted sources. Cheap to clone; clones share what they saw.
///
/// Unless a script says otherwise, every section answers after the assignment's latency. A call
/// counts from the first poll of its future: a future that is only held has not begun to work.
#[derive(Clone)]
pub struct Fake {
    timeline: Timeline,
    name: Arc<str>,
    /// Where its numbers begin.
    base: u32,
    salt: u32,
    figures: Figures,
    /// The number of the load that is played, where a check says so; 0 where each section counts its own calls.
    load: Arc<AtomicU32>,
    /// Bytes that its page takes in memory beyond the usual ones.
    weight: usize,
    /// Whether it keeps no record of its calls: for crowds.
    quiet: bool,
    scripts: BTreeMap<Section, Vec<Step>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Fake {
    /// Five sources that answer.
    pub fn new(cx: &Cx) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        // Far apart for each fake, and drawn, so that no solution knows them.
        let number = NEXT.fetch_add(1, Ordering::Relaxed) % 400;
        let drawn = u32::try_from(cx.draw().below(9_000_000)).unwrap_or_default();
        Self {
            timeline: cx.timeline().clone(),
            name: Arc::from(""),
            base: number * 10_000_000 + drawn,
            salt: 0,
            figures: Figures::Distinct,
            load: Arc::default(),
            weight: 0,
            quiet: false,
            scripts: BTreeMap::new(),
            seen: Arc::default(),
        }
    }

    /// `name` stands before the section in the timeline.
    pub fn named(mut self, name: &str) -> Self {
        self.name = Arc::from(name);
        self
    }

    /// From now on every call is of the load with this number, counted from 1: each section does the step of
    /// that number and answers with the data of that number. For loads that do not call every section.
    pub fn in_load(&self, number: u32) {
        self.load.store(number, Ordering::Relaxed);
    }

    /// Its page takes so many bytes more.
    pub fn weighing(mut self, bytes: usize) -> Self {
        self.weight = bytes;
        self
    }

    /// It keeps no record of its calls.
    pub fn quiet(mut self) -> Self {
        self.quiet = true;
        self
    }

    /// `salt` is added to every number of its data.
    pub fn salted(mut self, salt: u32) -> Self {
        self.salt = salt;
        self
    }

    /// Its answers have these numbers.
    pub fn answering(mut self, figures: Figures) -> Self {
        self.figures = figures;
        self
    }

    /// The same sources, with nothing seen yet.
    pub fn twin(&self) -> Self {
        Self { seen: Arc::default(), load: Arc::default(), ..self.clone() }
    }

    /// Every call of `section` does `step`.
    pub fn with(self, section: Section, step: Step) -> Self {
        self.script(section, vec![step])
    }

    /// `section` fails after `at` milliseconds, as a service that is down.
    pub fn fails(self, section: Section, at: u64) -> Self {
        self.with(section, Step::Fails(at, down(section)))
    }

    /// The first call of `section` does the first step, and so on; the last step repeats.
    pub fn script(mut self, section: Section, steps: Vec<Step>) -> Self {
        self.scripts.insert(section, steps);
        self
    }

    /// As the strategies take it.
    pub fn source(&self) -> Arc<dyn DashboardSource> {
        Arc::new(self.clone())
    }

    /// The calls that began, in the order in which they began.
    pub fn seen(&self) -> Vec<Seen> {
        self.lock().clone()
    }

    /// The sections that were called, in the order of the calls.
    pub fn called(&self) -> Vec<Section> {
        self.seen().iter().map(|seen| seen.section).collect()
    }

    /// The sections whose calls are still running, in the order of the page.
    pub fn running(&self) -> Vec<Section> {
        let mut running: Vec<_> = self
            .seen()
            .iter()
            .filter(|seen| seen.over.is_none())
            .map(|seen| seen.section)
            .collect();
        running.sort_unstable();
        running
    }

    /// When the last call of `section` was over.
    pub fn over(&self, section: Section) -> Option<u64> {
        self.seen().iter().rfind(|seen| seen.section == section)?.over
    }

    /// The page that the first calls make up.
    pub fn page(&self) -> Dashboard {
        self.page_of_call(1)
    }

    /// The page that the `nth` calls make up, counted from 1.
    pub fn page_of_call(&self, nth: u32) -> Dashboard {
        Dashboard {
            sales: self.sales_of(nth),
            users: self.users_of(nth),
            orders: self.orders_of(nth),
            low_stock: self.low_stock_of(nth),
            reviews: self.reviews_of(nth),
        }
    }

    /// What the first call of `section` answers with.
    pub fn data(&self, section: Section) -> SectionData {
        self.data_of_call(section, 1)
    }

    /// What the `nth` call of `section` answers with, counted from 1.
    pub fn data_of_call(&self, section: Section, nth: u32) -> SectionData {
        match section {
            Section::Sales => SectionData::Sales(self.sales_of(nth)),
            Section::Users => SectionData::Users(self.users_of(nth)),
            Section::Orders => SectionData::Orders(self.orders_of(nth)),
            Section::LowStock => SectionData::LowStock(self.low_stock_of(nth)),
            Section::Reviews => SectionData::Reviews(self.reviews_of(nth)),
        }
    }

    fn base(&self, nth: u32) -> u32 {
        self.base + nth % 1000 * 100 + self.salt
    }

    fn sales_of(&self, nth: u32) -> Sales {
        let base = self.base(nth);
        Sales {
            total: self.figures.cents(u64::from(base) * 342),
            orders: self.figures.of(base + 1),
            average_order: self.figures.cents(u64::from(base) + 2),
        }
    }

    fn users_of(&self, nth: u32) -> Users {
        let base = self.base(nth);
        let [total, online, new_today] = [10, 11, 12].map(|more| self.figures.of(base + more));
        Users { total, online, new_today }
    }

    fn orders_of(&self, nth: u32) -> Orders {
        let base = self.base(nth);
        let [total, urgent, processing] = [20, 21, 22].map(|more| self.figures.of(base + more));
        Orders { total, urgent, processing }
    }

    fn low_stock_of(&self, nth: u32) -> LowStock {
        let base = self.base(nth);
        let name = format!(" Gr\u{f6}\u{df}e {base}{} ", "!".repeat(self.weight));
        // One name twice, and no name at all.
        let items = match self.figures {
            Figures::Distinct => vec![
                StockItem { id: base + 30, name: name.clone(), stock: 3 },
                StockItem { id: base + 33, name, stock: 0 },
                StockItem { id: base + 34, name: String::new(), stock: u32::MAX },
            ],
            Figures::Zeros => Vec::new(),
            Figures::Largest => {
                let item = |id| StockItem { id, name: name.clone(), stock: u32::MAX };
                (0..300).map(item).collect()
            }
        };
        let [total, critical] = [31, 32].map(|more| self.figures.of(base + more));
        LowStock { total, critical, items }
    }

    fn reviews_of(&self, nth: u32) -> Reviews {
        let base = self.base(nth);
        let [total, pending] = [40, 41].map(|more| self.figures.of(base + more));
        let tenths = match self.figures {
            Figures::Distinct => 10 + u8::try_from(base % 41).unwrap_or_default(),
            Figures::Zeros => 0,
            Figures::Largest => 50,
        };
        Reviews { total, average: Rating { tenths }, pending }
    }

    fn who(&self, section: Section) -> String {
        match &*self.name {
            "" => section.name().to_owned(),
            name => format!("{name}: {section}"),
        }
    }

    /// Calls of `section` so far, this one included.
    fn begin(&self, section: Section) -> (usize, u32) {
        if self.quiet {
            return (usize::MAX, 1);
        }
        self.timeline.record(self.who(section), "called");
        let at = self.timeline.now_ms();
        let mut seen = self.lock();
        seen.push(Seen { section, at, over: None });
        let nth = seen.iter().filter(|seen| seen.section == section).count();
        let nth = match self.load.load(Ordering::Relaxed) {
            0 => u32::try_from(nth).unwrap_or(u32::MAX),
            load => load,
        };
        (seen.len() - 1, nth)
    }

    fn call<T: Send + 'static>(
        &self,
        section: Section,
        data: impl FnOnce(u32) -> T + Send + 'static,
    ) -> BoxFuture<'_, SourceResult<T>> {
        let steps = self.scripts.get(&section).cloned().unwrap_or_default();
        match steps.first() {
            Some(Step::PanicsAtOnce) => {
                self.timeline.record(self.who(section), "panics in the method itself");
                panic!("{}: a bug before the future", section);
            }
            Some(Step::PanicsAtOnceWith(payload)) => {
                self.timeline.record(self.who(section), "panics in the method itself");
                payload.clone().throw();
            }
            _ => {}
        }
        async move {
            let (index, nth) = self.begin(section);
            let case = self.timeline.case();
            let mut guard = Guard { fake: self, index, section, case, ending: "stopped" };
            let step = steps
                .get(nth as usize - 1)
                .or(steps.last())
                .cloned()
                .unwrap_or(Step::Answers(latency(section)));
            match step {
                Step::Answers(after) => {
                    wait(after).await;
                    guard.ending = "answers";
                    Ok(data(nth))
                }
                Step::Fails(after, error) => {
                    wait(after).await;
                    guard.ending = "fails";
                    Err(error)
                }
                Step::Hangs => std::future::pending().await,
                Step::Panics(after) => {
                    wait(after).await;
                    guard.ending = "panics";
                    panic!("{section}: a bug");
                }
                Step::PanicsWith(after, payload) => {
                    wait(after).await;
                    guard.ending = "panics";
                    payload.throw();
                }
                Step::PanicsAtOnce | Step::PanicsAtOnceWith(_) => {
                    unreachable!("panicked in the method")
                }
            }
        }
        .boxed()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The failure of a section whose service is down.
pub fn down(section: Section) -> SourceError {
    SourceError::Unavailable(format!("no connection to the {section} service"))
}

/// The failure of a section whose service refuses.
pub fn refused(section: Section) -> SourceError {
    SourceError::Rejected(format!("the {section} service wants a login"))
}

/// No wait at all for 0: `sleep(0)` would give up the first poll.
async fn wait(after: u64) {
    if after > 0 {
        sleep(ms(after)).await;
    }
}

/// Notes the end of a call, also when it is dropped or panics.
struct Guard<'a> {
    fake: &'a Fake,
    index: usize,
    section: Section,
    /// The case in which the call began.
    case: u64,
    ending: &'static str,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if self.fake.quiet {
            return;
        }
        // A load may leave a call behind, whose end would stand among the calls of a later load.
        if self.fake.timeline.case() == self.case {
            self.fake.timeline.record(self.fake.who(self.section), self.ending);
        }
        let now = self.fake.timeline.now_ms();
        if let Some(seen) = self.fake.lock().get_mut(self.index) {
            seen.over = Some(now);
        }
    }
}

impl DashboardSource for Fake {
    fn sales(&self) -> BoxFuture<'_, SourceResult<Sales>> {
        let fake = self.clone();
        self.call(Section::Sales, move |nth| fake.sales_of(nth))
    }

    fn users(&self) -> BoxFuture<'_, SourceResult<Users>> {
        let fake = self.clone();
        self.call(Section::Users, move |nth| fake.users_of(nth))
    }

    fn orders(&self) -> BoxFuture<'_, SourceResult<Orders>> {
        let fake = self.clone();
        self.call(Section::Orders, move |nth| fake.orders_of(nth))
    }

    fn low_stock(&self) -> BoxFuture<'_, SourceResult<LowStock>> {
        let fake = self.clone();
        self.call(Section::LowStock, move |nth| fake.low_stock_of(nth))
    }

    fn reviews(&self) -> BoxFuture<'_, SourceResult<Reviews>> {
        let fake = self.clone();
        self.call(Section::Reviews, move |nth| fake.reviews_of(nth))
    }
}

/// The latency of a section in the assignment, in milliseconds.
pub const fn latency(section: Section) -> u64 {
    match section {
        Section::Sales => 500,
        Section::Users => 300,
        Section::Orders => 400,
        Section::LowStock => 600,
        Section::Reviews => 200,
    }
}
