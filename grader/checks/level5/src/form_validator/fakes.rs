//! A service whose answers are scripted, and which notes what it is asked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use grader_kit::{Timeline, lock, ms};
use level5::form_validator::{CheckFailed, FieldId, Rule, Snapshot, Verdict};
use tokio::time::{Instant, sleep};

/// What a check ends with.
#[derive(Debug, Clone)]
pub enum Ends {
    With(Verdict),
    Fails(CheckFailed),
    Panics(&'static str),
    /// It has no answer.
    Never,
}

/// One check. Times are milliseconds since the service was made.
#[derive(Debug, Clone)]
struct Asked {
    value: String,
    /// What the rule saw of each field that the script asked for.
    seen: Vec<Option<String>>,
    began: u64,
    /// Whether it was answered, and when it ended.
    ended: Option<(bool, u64)>,
}

struct State {
    name: &'static str,
    since: Instant,
    /// How long a check takes.
    takes: u64,
    takes_for: HashMap<String, u64>,
    ends: HashMap<String, Ends>,
    looks_at: Vec<FieldId>,
    asked: Vec<Asked>,
}

/// A rule and the service that it asks. A clone is a handle to the same service.
#[derive(Clone)]
pub struct Service {
    name: &'static str,
    reads: Vec<FieldId>,
    timeline: Timeline,
    state: Arc<Mutex<State>>,
}

impl Service {
    /// A service that accepts every value after so many milliseconds. Times count from here.
    pub fn new(timeline: &Timeline, name: &'static str, takes: u64) -> Self {
        let (takes_for, ends) = (HashMap::new(), HashMap::new());
        let (looks_at, asked) = (Vec::new(), Vec::new());
        let since = Instant::now();
        let state = State { name, since, takes, takes_for, ends, looks_at, asked };
        let state = Arc::new(Mutex::new(state));
        Self { name, reads: Vec::new(), timeline: timeline.clone(), state }
    }

    /// The rule reads these fields, and looks at them.
    pub fn reads(mut self, fields: &[FieldId]) -> Self {
        self.reads = fields.to_vec();
        lock(&self.state).looks_at = fields.to_vec();
        self
    }

    /// The rule looks at these fields, whether it reads them or not.
    pub fn looks_at(&self, fields: &[FieldId]) {
        lock(&self.state).looks_at = fields.to_vec();
    }

    /// From now on the checks of this value end so.
    pub fn ends(&self, value: &str, ends: Ends) {
        lock(&self.state).ends.insert(value.to_owned(), ends);
    }

    /// The checks of this value take so long.
    pub fn takes(&self, value: &str, millis: u64) {
        lock(&self.state).takes_for.insert(value.to_owned(), millis);
    }

    /// All checks: `ab@500-600` was answered, `a@500 dropped@600` was not, `a@500` still runs.
    pub fn asked(&self) -> Vec<String> {
        let shown = |asked: &Asked| {
            let Asked { value, began, .. } = asked;
            match asked.ended {
                Some((true, ended)) => format!("{value}@{began}-{ended}"),
                Some((false, ended)) => format!("{value}@{began} dropped@{ended}"),
                None => format!("{value}@{began}"),
            }
        };
        lock(&self.state).asked.iter().map(shown).collect()
    }

    /// When each check began, and of what value.
    pub fn began(&self) -> Vec<String> {
        let state = lock(&self.state);
        state.asked.iter().map(|asked| format!("{}@{}", asked.value, asked.began)).collect()
    }

    /// What each check saw: its value, then the fields that the rule looks at, `-` for one that it does not see.
    pub fn saw(&self) -> Vec<String> {
        let seen = |asked: &Asked| {
            let others = asked.seen.iter().map(|seen| seen.as_deref().unwrap_or("-"));
            std::iter::once(asked.value.as_str()).chain(others).collect::<Vec<_>>().join(" ")
        };
        lock(&self.state).asked.iter().map(seen).collect()
    }

    pub fn count(&self) -> usize {
        lock(&self.state).asked.len()
    }

    /// How many checks run.
    pub fn running(&self) -> usize {
        lock(&self.state).asked.iter().filter(|asked| asked.ended.is_none()).count()
    }

    fn now(&self) -> u64 {
        u64::try_from(lock(&self.state).since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Rule for Service {
    fn name(&self) -> &'static str {
        self.name
    }

    fn reads(&self) -> &[FieldId] {
        &self.reads
    }

    async fn check(&self, value: &str, form: &Snapshot) -> Result<Verdict, CheckFailed> {
        let began = self.now();
        let (call, takes, ends) = {
            let mut state = lock(&self.state);
            let seen = state.looks_at.iter().map(|field| form.get(*field).map(str::to_owned));
            let seen = seen.collect();
            let index = state.asked.len();
            let takes = state.takes_for.get(value).copied().unwrap_or(state.takes);
            let ends = state.ends.get(value).cloned();
            state.asked.push(Asked { value: value.to_owned(), seen, began, ended: None });
            (Call { service: self.clone(), index }, takes, ends)
        };
        self.timeline.record(self.name, format!("is asked about `{value}`"));
        if takes > 0 {
            sleep(ms(takes)).await;
        }
        if matches!(ends, Some(Ends::Never)) {
            std::future::pending::<()>().await;
        }
        call.ends(true);
        match ends {
            None => Ok(Verdict::ok()),
            Some(Ends::With(verdict)) => Ok(verdict),
            Some(Ends::Fails(why)) => Err(why),
            Some(Ends::Panics(text)) => std::panic::resume_unwind(Box::new(text)),
            Some(Ends::Never) => Err(CheckFailed::Unavailable("no answer".to_owned())),
        }
    }
}

struct Call {
    service: Service,
    index: usize,
}

impl Call {
    fn ends(&self, answered: bool) {
        let now = self.service.now();
        let mut state = lock(&self.service.state);
        let name = state.name;
        if let Some(asked) = state.asked.get_mut(self.index)
            && asked.ended.is_none()
        {
            asked.ended = Some((answered, now));
            let what = if answered { "answers about" } else { "is dropped with" };
            self.service.timeline.record(name, format!("{what} `{}`", asked.value));
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.ends(false);
    }
}
