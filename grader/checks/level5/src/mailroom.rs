//! Scripted providers of notifications, and the book in which they note what they were asked to deliver.

use std::collections::VecDeque;
use std::fmt;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex};

use grader_kit::{Cx, Fail, Outcome, Timeline, difference, lock, ms};
use level5::notifications::{
    Channel, ChannelError, ChannelKind, Channels, Config, Fate, Notification, Notifier,
    Preferences, Receipt, Rendered, UserId,
};
use level5::wall_clock::{VirtualWall, WallClock as _};
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// How a provider answers, after so many milliseconds.
#[derive(Debug, Clone, Copy)]
pub enum Answer {
    Delivers(u64),
    /// With [`refused`].
    Fails(u64),
    Hangs,
    /// Before there is a future.
    PanicsAtOnce,
    Panics(u64),
}

/// What a provider says that fails.
pub fn refused() -> ChannelError {
    ChannelError("503".to_owned())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Delivered,
    Failed,
    Dropped,
}

/// One call of a provider.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Milliseconds since the book was opened.
    pub at: u64,
    pub kind: ChannelKind,
    pub user: String,
    pub messages: Vec<Rendered>,
    pub end: Option<(u64, End)>,
}

impl Seen {
    pub fn ids(&self) -> Vec<String> {
        self.messages.iter().flat_map(|one| &one.ids).map(ToString::to_string).collect()
    }

    /// `Email to ann: a b`.
    fn what(&self) -> String {
        format!("{:?} to {}: {}", self.kind, self.user, self.ids().join(" "))
    }
}

/// What the providers have seen. A clone is a handle to the same book.
#[derive(Clone)]
pub struct Book {
    seen: Arc<Mutex<Vec<Seen>>>,
    timeline: Timeline,
    pub began: Instant,
    pub wall: VirtualWall,
}

impl fmt::Debug for Book {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Book").finish_non_exhaustive()
    }
}

impl Book {
    /// A book that is opened when the wall shows this date, as in `2026-06-10T00:00:00Z`.
    pub fn opened(cx: &Cx, date: &str) -> Self {
        let wall = VirtualWall::starting(date.parse().expect("a date of this file"));
        let (seen, timeline) = (Arc::default(), cx.timeline().clone());
        timeline.record("a script", format!("begins, on {date}"));
        Self { seen, timeline, began: Instant::now(), wall }
    }

    pub fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Waits until so many milliseconds since the book was opened.
    pub async fn until(&self, at: u64) {
        sleep_until(self.began + ms(at)).await;
    }

    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.seen).clone()
    }

    /// The calls in milliseconds, sorted: `5000 ms Email to ann: a b`.
    pub fn lines(&self) -> Vec<String> {
        let mut seen = self.seen();
        seen.sort_by_key(|one| (one.at, one.what()));
        seen.iter().map(|one| format!("{} ms {}", one.at, one.what())).collect()
    }

    /// The calls with their dates, sorted: `2026-06-10T09:00:00Z Email to ann: a b`.
    pub fn dates(&self) -> Vec<String> {
        let base = self.wall.now().checked_sub(self.began.elapsed()).unwrap_or_default();
        let mut seen = self.seen();
        seen.sort_by_key(|one| (one.at, one.what()));
        let date = |at| base.checked_add(ms(at)).unwrap_or_default();
        seen.iter().map(|one| format!("{} {}", date(one.at), one.what())).collect()
    }

    /// The providers were called like this, and not otherwise.
    pub fn was(&self, expected: &[String], when: &str, help: &str) -> Outcome {
        same(&self.lines(), expected, when, help)
    }

    /// The same with dates.
    pub fn was_dated(&self, expected: &[String], when: &str, help: &str) -> Outcome {
        same(&self.dates(), expected, when, help)
    }

    fn ends(&self, call: usize, end: End) {
        let now = self.now();
        let line = {
            let mut seen = lock(&self.seen);
            let Some(one) = seen.get_mut(call).filter(|one| one.end.is_none()) else { return };
            one.end = Some((now, end));
            one.what()
        };
        let what = match end {
            End::Delivered => "delivers",
            End::Failed => "fails",
            End::Dropped => "is dropped",
        };
        self.timeline.record(line, what);
    }
}

/// Two lists of calls are equal; each expected one in its place.
pub fn same(observed: &[String], expected: &[String], when: &str, help: &str) -> Outcome {
    if observed == expected {
        return Ok(());
    }
    let text = |lines: &[String]| match lines {
        [] => "no call".to_owned(),
        lines => lines.join("; "),
    };
    let (expected, observed) = difference(&text(expected), &text(observed));
    let headline = format!("{when}: the channels are called otherwise");
    Err(Fail::new(headline).expected(expected).observed(observed).help(help))
}

/// Lines of a script.
pub fn lines<const N: usize>(lines: [&str; N]) -> Vec<String> {
    lines.map(str::to_owned).to_vec()
}

/// A provider. A clone shares its script.
#[derive(Clone)]
pub struct Way {
    kind: ChannelKind,
    book: Book,
    /// For the first calls.
    script: Arc<Mutex<VecDeque<Answer>>>,
    then: Answer,
    /// For the users whose names begin like this, in place of all other answers.
    special: Option<(&'static str, Answer)>,
}

impl Way {
    /// Delivers within 20 ms.
    pub fn new(kind: ChannelKind, book: &Book) -> Self {
        let (script, then) = (Arc::default(), Answer::Delivers(20));
        Self { kind, book: book.clone(), script, then, special: None }
    }

    /// Answers like this first.
    pub fn first(self, answers: impl IntoIterator<Item = Answer>) -> Self {
        lock(&self.script).extend(answers);
        self
    }

    /// Answers like this after the first ones.
    pub fn always(self, then: Answer) -> Self {
        Self { then, ..self }
    }

    /// Answers the users whose names begin like this.
    pub fn to(self, user: &'static str, answer: Answer) -> Self {
        Self { special: Some((user, answer)), ..self }
    }
}

/// Notes a call that is dropped before its answer.
struct Call {
    book: Book,
    number: usize,
}

impl Drop for Call {
    fn drop(&mut self) {
        self.book.ends(self.number, End::Dropped);
    }
}

impl Channel for Way {
    fn kind(&self) -> ChannelKind {
        self.kind
    }

    fn deliver(
        &self,
        to: &UserId,
        messages: &[Rendered],
    ) -> impl Future<Output = Result<(), ChannelError>> + Send {
        let special = self.special.filter(|(user, _)| to.0.starts_with(user));
        let answer = match special {
            Some((_, answer)) => answer,
            None => lock(&self.script).pop_front().unwrap_or(self.then),
        };
        let (at, user, messages) = (self.book.now(), to.0.to_string(), messages.to_vec());
        let seen = Seen { at, kind: self.kind, user, messages, end: None };
        self.book
            .timeline
            .record(seen.what(), format!("is called, {at} ms after its script began"));
        let number = {
            let mut all = lock(&self.book.seen);
            all.push(seen);
            all.len() - 1
        };
        let call = Call { book: self.book.clone(), number };
        if let Answer::PanicsAtOnce = answer {
            call.book.ends(number, End::Failed);
            resume_unwind(Box::new("no luck"));
        }
        async move {
            match answer {
                Answer::Delivers(length) => {
                    pause(length).await;
                    call.book.ends(number, End::Delivered);
                    Ok(())
                }
                Answer::Fails(length) => {
                    pause(length).await;
                    call.book.ends(number, End::Failed);
                    Err(refused())
                }
                Answer::Hangs => std::future::pending().await,
                Answer::PanicsAtOnce => Err(refused()),
                Answer::Panics(length) => {
                    pause(length).await;
                    call.book.ends(number, End::Failed);
                    resume_unwind(Box::new(7_u32))
                }
            }
        }
    }
}

async fn pause(length: u64) {
    if length > 0 {
        sleep(ms(length)).await;
    }
}

/// Users without preferences have mail.
pub fn config() -> Config {
    Config { defaults: Preferences::new([ChannelKind::Email]), ..Config::default() }
}

/// A notifier with these providers, which runs by the wall of the book.
pub async fn started(
    cx: &Cx,
    book: &Book,
    config: Config,
    ways: impl IntoIterator<Item = Way>,
) -> Result<Notifier, Fail> {
    let channels = ways.into_iter().fold(Channels::default(), Channels::with);
    let wall = book.wall;
    cx.call_fn("Notifier::start", move || Notifier::start(config, wall, channels)).await?.map_err(
        |error| {
            Fail::new(format!("a good configuration is refused: {error:?}"))
                .expected("it is accepted")
        },
    )
}

/// One with mail that always delivers.
pub async fn with_mail(cx: &Cx, book: &Book) -> Result<Notifier, Fail> {
    started(cx, book, config(), [Way::new(ChannelKind::Email, book)]).await
}

pub fn prefer(notifier: &Notifier, user: &str, preferences: Preferences) -> Outcome {
    notifier.set_preferences(user.into(), preferences.clone()).map_err(|error| {
        Fail::new(format!("good preferences are refused: {error:?}"))
            .expected(format!("they are accepted: {preferences:?}"))
    })
}

pub async fn send(notifier: &Notifier, notification: Notification) -> Result<Receipt, Fail> {
    let id = notification.id.clone();
    notifier.notify(notification).await.map_err(|error| {
        Fail::new(format!("the notification `{id}` is refused: {error:?}"))
            .expected("it is accepted")
    })
}

/// The fate within a second; `None` if it is not known by then.
pub async fn fate(receipt: Receipt) -> Option<Fate> {
    timeout(ms(1000), receipt.fate()).await.ok()
}

/// Runs a script of so many milliseconds.
pub async fn play<T>(
    cx: &Cx,
    length: u64,
    script: impl Future<Output = Result<T, Fail>>,
) -> Result<T, Fail> {
    // A script that sleeps reaches its own end; a call that hangs reaches this limit.
    cx.call_within(ms(length) + grader_kit::VIRTUAL_LIMIT, "Notifier", script).await?.value
}

pub const SECOND: u64 = 1000;
pub const MINUTE: u64 = 60 * SECOND;
pub const HOUR: u64 = 60 * MINUTE;
pub const DAY: u64 = 24 * HOUR;
