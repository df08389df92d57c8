//! A service and a store whose answers are scripted, and which note what they are asked.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use grader_kit::{lock, ms};
use level4::dashboard::{
    Activity, ApiError, DashboardApi, KeyValue, KeyValueError, Notification, Stored, User,
};
use tokio::time::{Instant, sleep};

use crate::panics::Payload;

/// What a call of the service ends with.
#[derive(Debug, Clone)]
pub enum Ends {
    /// The answer of this call: the user, or texts with the number of the call.
    Well,
    /// An answer without a text. Of the user: as `Well`.
    Empty,
    /// An answer with this text instead of the number. Of the user: as `Well`.
    Text(&'static str),
    /// An answer with this status, or none.
    Status(Option<u16>),
    Panic(Payload),
}

pub const INTERNAL: &str = "db-7.internal: relation users";

/// One call. Times are milliseconds since the service was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub what: &'static str,
    pub began: u64,
    /// `None`: it runs. The flag says whether it was dropped.
    pub ended: Option<(u64, bool)>,
}

struct Script {
    length: u64,
    /// The next answers; then all are well.
    answers: VecDeque<Ends>,
    calls: usize,
}

struct State {
    since: Instant,
    user: User,
    scripts: BTreeMap<&'static str, Script>,
    seen: Vec<Seen>,
    /// What the next call does while it is being dropped.
    dropped: Option<Box<dyn FnOnce() + Send>>,
}

/// A clone is a handle to the same service.
#[derive(Clone)]
pub struct Api(Arc<Mutex<State>>);

pub const USER: &str = "user";
pub const ACTIVITIES: &str = "activities";
pub const NOTIFICATIONS: &str = "notifications";

impl Api {
    /// A service whose calls of the user, the activities and the notifications take so many milliseconds.
    pub fn new(lengths: [u64; 3]) -> Self {
        let scripts = [USER, ACTIVITIES, NOTIFICATIONS].into_iter().zip(lengths);
        let scripts = scripts
            .map(|(what, length)| (what, Script { length, answers: VecDeque::new(), calls: 0 }));
        let user = User { id: 1, name: "anna".to_owned() };
        let (since, scripts) = (Instant::now(), scripts.collect());
        Self(Arc::new(Mutex::new(State { since, user, scripts, seen: Vec::new(), dropped: None })))
    }

    /// The next calls end like this.
    pub fn next(&self, what: &'static str, answers: impl IntoIterator<Item = Ends>) {
        if let Some(script) = lock(&self.0).scripts.get_mut(what) {
            script.answers.extend(answers);
        }
    }

    /// The next call that is dropped does this in its destructor.
    pub fn when_dropped(&self, does: impl FnOnce() + Send + 'static) {
        lock(&self.0).dropped = Some(Box::new(does));
    }

    /// Another user is logged in.
    pub fn log_in(&self, id: u64, name: &str) {
        lock(&self.0).user = User { id, name: name.to_owned() };
    }

    pub fn now(&self) -> u64 {
        u64::try_from(lock(&self.0).since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.0).seen.clone()
    }

    pub fn calls(&self, what: &str) -> usize {
        self.seen().iter().filter(|seen| seen.what == what).count()
    }

    /// When the calls of one kind began.
    pub fn times(&self, what: &str) -> Vec<u64> {
        self.seen().iter().filter(|seen| seen.what == what).map(|seen| seen.began).collect()
    }

    /// How many calls run.
    pub fn running(&self) -> usize {
        self.seen().iter().filter(|seen| seen.ended.is_none()).count()
    }

    /// The number of the call or the text of its script, when it ends well. `None`: its answer is empty.
    async fn call(&self, what: &'static str) -> Result<Option<String>, ApiError> {
        let began = self.now();
        let (mut guard, length, number, ends) = {
            let mut state = lock(&self.0);
            state.seen.push(Seen { what, began, ended: None });
            let index = state.seen.len() - 1;
            let (mut length, mut number, mut ends) = (0, 0, Ends::Well);
            if let Some(script) = state.scripts.get_mut(what) {
                script.calls += 1;
                length = script.length;
                number = script.calls;
                ends = script.answers.pop_front().unwrap_or(Ends::Well);
            }
            (Guard { api: self.clone(), index, dropped: true }, length, number, ends)
        };
        if length > 0 {
            sleep(ms(length)).await;
        }
        guard.dropped = false;
        match ends {
            Ends::Well => Ok(Some(number.to_string())),
            Ends::Empty => Ok(None),
            Ends::Text(text) => Ok(Some(text.to_owned())),
            Ends::Status(status) => Err(ApiError { status, text: INTERNAL.to_owned() }),
            Ends::Panic(payload) => payload.throw(),
        }
    }
}

struct Guard {
    api: Api,
    index: usize,
    dropped: bool,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let now = self.api.now();
        let does = {
            let mut state = lock(&self.api.0);
            if let Some(seen) = state.seen.get_mut(self.index) {
                seen.ended = Some((now, self.dropped));
            }
            if self.dropped { state.dropped.take() } else { None }
        };
        // Without the lock: it may call the service.
        does.into_iter().for_each(|does| does());
    }
}

impl DashboardApi for Api {
    async fn user(&self) -> Result<User, ApiError> {
        self.call(USER).await?;
        Ok(lock(&self.0).user.clone())
    }

    async fn activities(&self, user: &User) -> Result<Vec<Activity>, ApiError> {
        let answer = self.call(ACTIVITIES).await?;
        let text = |answer| Activity(format!("{}-did-{answer}", user.name));
        Ok(answer.map(text).into_iter().collect())
    }

    async fn notifications(&self, user: &User) -> Result<Vec<Notification>, ApiError> {
        let answer = self.call(NOTIFICATIONS).await?;
        let text = |answer| Notification(format!("{}-has-{answer}", user.name));
        Ok(answer.map(text).into_iter().collect())
    }
}

/// How a store behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    Works,
    /// `put` fails, and what is there stays.
    Full,
    /// `get` fails, and `put` too.
    Broken,
}

struct Kept {
    mood: Mood,
    texts: BTreeMap<String, (String, Instant)>,
}

/// A store in memory. A clone is a handle to the same one.
#[derive(Clone)]
pub struct Copies(Arc<Mutex<Kept>>);

impl Copies {
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Kept { mood: Mood::Works, texts: BTreeMap::new() })))
    }

    pub fn mood(&self, mood: Mood) {
        lock(&self.0).mood = mood;
    }

    /// Changes every text that is kept. Their ages stay.
    pub fn change(&self, change: impl Fn(&str) -> String) {
        for (text, _) in lock(&self.0).texts.values_mut() {
            *text = change(text);
        }
    }

    pub fn len(&self) -> usize {
        lock(&self.0).texts.len()
    }
}

impl KeyValue for Copies {
    fn get(&self, key: &str) -> Result<Option<Stored>, KeyValueError> {
        let kept = lock(&self.0);
        if kept.mood == Mood::Broken {
            return Err(KeyValueError);
        }
        let stored = |(text, since): &(String, Instant)| {
            let age: Duration = since.elapsed();
            Stored { text: text.clone(), age }
        };
        Ok(kept.texts.get(key).map(stored))
    }

    fn put(&self, key: &str, text: String) -> Result<(), KeyValueError> {
        let mut kept = lock(&self.0);
        if kept.mood != Mood::Works {
            return Err(KeyValueError);
        }
        kept.texts.insert(key.to_owned(), (text, Instant::now()));
        Ok(())
    }
}
