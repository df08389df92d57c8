//! A source whose subscriptions are scripted.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use futures::{Stream, stream};
use grader_kit::{Cx, ms};
use tokio::time::sleep;

use super::Status;
use crate::panics::Payload;

/// What one subscription does, step by step.
#[derive(Debug, Clone)]
pub enum Step {
    Item(u32),
    Error(u16),
    End,
    /// Nothing, for so many milliseconds.
    Wait(u64),
    Panic(Payload),
    /// `make` panics. Only as the first step.
    MakePanics(Payload),
}

/// Notes when it is subscribed to, and which of its streams are alive.
pub struct Source {
    cx: Cx,
    scripts: RefCell<VecDeque<Vec<Step>>>,
    /// For all subscriptions after the scripts.
    then: Vec<Step>,
    subscriptions: RefCell<Vec<u64>>,
    began: u64,
    alive: Cell<usize>,
}

impl Source {
    /// `scripts` are those of the first subscriptions, `then` that of all others. A script without an end is followed
    /// by silence.
    pub fn new(cx: &Cx, scripts: impl IntoIterator<Item = Vec<Step>>, then: Vec<Step>) -> Self {
        Self {
            cx: cx.clone(),
            scripts: RefCell::new(scripts.into_iter().collect()),
            then,
            subscriptions: RefCell::default(),
            began: cx.timeline().now_ms(),
            alive: Cell::new(0),
        }
    }

    /// One that fails at once with these errors, one after the other, and then for good with the last one.
    pub fn failing(cx: &Cx, errors: &[u16]) -> Self {
        let scripts = errors.iter().map(|error| vec![Step::Error(*error)]);
        let last = errors.last().map(|error| vec![Step::Error(*error)]);
        Self::new(cx, scripts, last.unwrap_or_default())
    }

    pub fn subscriptions(&self) -> Vec<u64> {
        self.subscriptions.borrow().clone()
    }

    pub fn alive(&self) -> usize {
        self.alive.get()
    }

    pub fn subscribe(&self) -> impl Stream<Item = Result<u32, Status>> {
        let at = self.cx.timeline().now_ms();
        if self.subscriptions.borrow().len() < 100 {
            self.cx.timeline().record("the source", "is subscribed to");
            self.subscriptions.borrow_mut().push(at - self.began);
        }
        let script = self.scripts.borrow_mut().pop_front().unwrap_or_else(|| self.then.clone());
        if let Some(Step::MakePanics(payload)) = script.first() {
            payload.clone().throw();
        }
        self.alive.set(self.alive.get() + 1);
        stream::unfold((script.into_iter(), Alive(self)), |(mut script, alive)| async {
            loop {
                let item = match script.next() {
                    Some(Step::Item(number)) => Ok(number),
                    Some(Step::Error(status)) => Err(Status(status)),
                    Some(Step::Wait(length)) => {
                        sleep(ms(length)).await;
                        continue;
                    }
                    Some(Step::End) => return None,
                    Some(Step::Panic(payload) | Step::MakePanics(payload)) => payload.throw(),
                    None => std::future::pending().await,
                };
                return Some((item, (script, alive)));
            }
        })
    }
}

struct Alive<'a>(&'a Source);

impl Drop for Alive<'_> {
    fn drop(&mut self) {
        self.0.alive.set(self.0.alive.get() - 1);
    }
}
