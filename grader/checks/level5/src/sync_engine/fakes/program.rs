//! A program that decides.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use grader_kit::{Cx, Timeline, list, lock, ms};
use level5::conflict::Record;
use level5::sync_engine::{Pick, RecordId, Resolve};
use tokio::time::sleep;

/// What a program does with a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Picks {
    Newest,
    Nothing,
    Panics,
    /// Before there is a future.
    PanicsAtOnce,
}

/// A program that decides after a while. A clone is the same program.
#[derive(Clone)]
pub struct Program {
    timeline: Timeline,
    state: Arc<Mutex<Asked>>,
}

struct Asked {
    picks: Picks,
    length: u64,
    questions: Vec<String>,
    running: BTreeMap<RecordId, usize>,
    most: usize,
}

impl Program {
    /// One that picks the newest record, `length` ms after the question.
    pub fn new(cx: &Cx, length: u64) -> Self {
        let asked = Asked {
            picks: Picks::Newest,
            length,
            questions: Vec::new(),
            running: BTreeMap::new(),
            most: 0,
        };
        Self { timeline: cx.timeline().clone(), state: Arc::new(Mutex::new(asked)) }
    }

    pub fn picks(&self, picks: Picks) {
        lock(&self.state).picks = picks;
    }

    /// The questions since the last look: `100 x of a b`.
    pub fn take_questions(&self) -> String {
        list(std::mem::take(&mut lock(&self.state).questions))
    }

    /// How many questions are open, and the most of one record that were open at once.
    pub fn running(&self) -> (usize, usize) {
        let state = lock(&self.state);
        (state.running.values().sum(), state.most)
    }
}

struct Deciding {
    program: Program,
    id: RecordId,
}

impl Drop for Deciding {
    fn drop(&mut self) {
        if let Some(running) = lock(&self.program.state).running.get_mut(&self.id) {
            *running -= 1;
        }
    }
}

impl Resolve for Program {
    fn resolve(&self, id: RecordId, records: Vec<Record>) -> BoxFuture<'static, Option<Pick>> {
        let program = self.clone();
        let now = self.timeline.now_ms();
        let sources: Vec<_> = records.iter().map(|record| record.stamp.source.as_str()).collect();
        let question = format!("{now} {id} of {}", sources.join(" "));
        self.timeline.record("the program", format!("is asked about {id}"));
        let (picks, length) = {
            let mut state = lock(&self.state);
            state.questions.push(question);
            let running = state.running.entry(id.clone()).or_default();
            *running += 1;
            let running = *running;
            state.most = state.most.max(running);
            (state.picks, state.length)
        };
        let deciding = Deciding { program, id };
        if picks == Picks::PanicsAtOnce {
            std::panic::resume_unwind(Box::new("a bug of the program"));
        }
        async move {
            let deciding = deciding;
            if length > 0 {
                sleep(ms(length)).await;
            }
            deciding.program.timeline.record("the program", format!("answers {}", deciding.id));
            match picks {
                Picks::Newest => {
                    records.last().map(|newest| Pick::Record(newest.stamp.source.clone()))
                }
                Picks::Nothing => None,
                Picks::Panics | Picks::PanicsAtOnce => {
                    std::panic::resume_unwind(Box::new("a bug of the program"))
                }
            }
        }
        .boxed()
    }
}
