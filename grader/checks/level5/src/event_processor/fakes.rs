//! Services whose answers are scripted, and a journal that notes each call.

mod book;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use grader_kit::{Cx, Timeline, lock, ms};
use level5::event_processor::{Ack, Batch, Event, SendError, Service, Sink};
use tokio::time::sleep;

use super::names;

pub use book::Book;

/// What a service does with a batch.
#[derive(Debug, Clone)]
pub enum Answer {
    /// Acknowledges every event.
    All,
    Acks(Vec<Ack>),
    Error(SendError),
    Hang,
    Panic,
}

impl Answer {
    /// The error that a transport has when it knows nothing better.
    pub fn unavailable() -> Self {
        Self::Error(SendError::Transport("temporarily unavailable".to_owned()))
    }
}

/// How a batch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    Answered,
    /// Its future was dropped before.
    Dropped,
}

/// One batch. Times are milliseconds since the criterion began.
#[derive(Debug, Clone)]
pub struct Sent {
    pub to: String,
    pub ids: Vec<String>,
    pub began: u64,
    pub ended: Option<(u64, Over)>,
}

impl Sent {
    pub fn shown(&self) -> String {
        format!("{} ms to {}: {}", self.began, self.to, self.ids.join(" "))
    }
}

type Script = Box<dyn FnMut(&str, &[Arc<Event>]) -> (u64, Answer) + Send>;

struct State {
    /// The next answers of each service, each with the milliseconds that it takes.
    next: HashMap<String, VecDeque<(u64, Answer)>>,
    /// What a service without a next answer does.
    usual: Script,
    sent: Vec<Sent>,
    running: HashMap<String, usize>,
    most: HashMap<String, usize>,
    batches: usize,
    quiet: bool,
    only_counts: bool,
    last: Option<Batch>,
}

/// All services. A clone is a handle to the same ones.
#[derive(Clone)]
pub struct Services {
    state: Arc<Mutex<State>>,
    timeline: Timeline,
}

impl Services {
    /// Services that acknowledge everything after so many milliseconds.
    pub fn new(cx: &Cx, length: u64) -> Self {
        Self::scripted(cx, move |_, _| (length, Answer::All))
    }

    /// Services that do what the function says, which gets the service and the events.
    pub fn scripted(
        cx: &Cx,
        usual: impl FnMut(&str, &[Arc<Event>]) -> (u64, Answer) + Send + 'static,
    ) -> Self {
        let state = State {
            next: HashMap::new(),
            usual: Box::new(usual),
            sent: Vec::new(),
            running: HashMap::new(),
            most: HashMap::new(),
            batches: 0,
            quiet: false,
            only_counts: false,
            last: None,
        };
        Self { state: Arc::new(Mutex::new(state)), timeline: cx.timeline().clone() }
    }

    /// The next answers of a service.
    pub fn next(&self, to: &str, answers: impl IntoIterator<Item = (u64, Answer)>) {
        lock(&self.state).next.entry(to.to_owned()).or_default().extend(answers);
    }

    /// From now on nothing is noted.
    pub fn forget(&self) {
        let mut state = lock(&self.state);
        state.quiet = true;
        state.sent = Vec::new();
    }

    /// From now on not even the numbers of batches on their way are kept.
    pub fn only_counts(&self) {
        let mut state = lock(&self.state);
        state.only_counts = true;
        (state.running, state.most) = (HashMap::new(), HashMap::new());
    }

    pub fn sent(&self) -> Vec<Sent> {
        lock(&self.state).sent.clone()
    }

    /// How many batches there were.
    pub fn count(&self) -> usize {
        lock(&self.state).batches
    }

    /// The batches of a service: the time at which each began, and its events.
    pub fn to(&self, to: &str) -> Vec<(u64, String)> {
        let sent = self.sent();
        let sent = sent.iter().filter(|sent| sent.to == to);
        sent.map(|sent| (sent.began, sent.ids.join(" "))).collect()
    }

    /// The events that a service got, in the order in which they were sent.
    pub fn order(&self, to: &str) -> Vec<String> {
        let sent = self.sent();
        sent.into_iter().filter(|sent| sent.to == to).flat_map(|sent| sent.ids).collect()
    }

    /// How often this event was sent.
    pub fn times(&self, id: &str) -> usize {
        let sent = self.sent();
        sent.iter().flat_map(|sent| &sent.ids).filter(|sent| *sent == id).count()
    }

    /// Every event that was sent.
    pub fn sent_ids(&self) -> BTreeSet<String> {
        lock(&self.state).sent.iter().flat_map(|sent| &sent.ids).cloned().collect()
    }

    /// How many batches are on their way.
    pub fn running(&self) -> usize {
        lock(&self.state).running.values().sum()
    }

    /// The most batches of this service that were on their way at once.
    pub fn most(&self, to: &str) -> usize {
        lock(&self.state).most.get(to).copied().unwrap_or_default()
    }

    /// The last batch.
    pub fn last(&self) -> Option<Batch> {
        lock(&self.state).last.clone()
    }

    /// What was sent, for a message.
    pub fn shown(&self) -> String {
        let sent = self.sent();
        grader_kit::short(&grader_kit::list(sent.iter().map(Sent::shown)))
    }

    /// A batch is on its way now.
    fn begin(&self, to: &str, batch: &Batch) -> (OnItsWay, u64, Answer) {
        let began = self.timeline.now_ms();
        let mut state = lock(&self.state);
        state.batches += 1;
        let scripted = state.next.get_mut(to).and_then(VecDeque::pop_front);
        let (length, answer) = scripted.unwrap_or_else(|| (state.usual)(to, batch.events()));
        let index = state.sent.len();
        if !state.quiet {
            let ids = names(batch.events());
            self.timeline.record(to, format!("gets {}", ids.join(" ")));
            state.sent.push(Sent { to: to.to_owned(), ids, began, ended: None });
            state.last = Some(batch.clone());
        }
        if !state.only_counts {
            let running = state.running.entry(to.to_owned()).or_default();
            *running += 1;
            let running = *running;
            let most = state.most.entry(to.to_owned()).or_default();
            *most = running.max(*most);
        }
        let to = to.to_owned();
        (OnItsWay { services: self.clone(), index, to, over: Over::Dropped }, length, answer)
    }
}

impl Sink for Services {
    async fn send(&self, to: &Service, batch: &Batch) -> Result<Vec<Ack>, SendError> {
        let (mut on_its_way, length, answer) = self.begin(to.as_str(), batch);
        if length > 0 {
            sleep(ms(length)).await;
        }
        if let Answer::Hang = answer {
            std::future::pending::<()>().await;
        }
        on_its_way.over = Over::Answered;
        match answer {
            Answer::All => Ok(batch.events().iter().map(|_| Ack::Ok).collect()),
            Answer::Acks(acks) => Ok(acks),
            Answer::Error(error) => Err(error),
            // Without a report: the grader shows no panic of its own.
            Answer::Panic | Answer::Hang => {
                std::panic::resume_unwind(Box::new("a bug of the sink"))
            }
        }
    }
}

struct OnItsWay {
    services: Services,
    index: usize,
    to: String,
    over: Over,
}

impl Drop for OnItsWay {
    fn drop(&mut self) {
        let now = self.services.timeline.now_ms();
        let mut state = lock(&self.services.state);
        if let Some(running) = state.running.get_mut(&self.to) {
            *running -= 1;
        }
        if let Some(sent) = state.sent.get_mut(self.index) {
            sent.ended = Some((now, self.over));
        }
    }
}

/// The error of a call that had no answer.
pub fn timeout() -> SendError {
    SendError::Transport("no answer".to_owned())
}
