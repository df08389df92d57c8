//! A run: inputs one after the other, and what each of them brings about.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use serde_json::Value;
use tokio::time::sleep;

use super::list::{Board, fold};
use super::{Settings, Snapshot, SnapshotApi, SnapshotError, Status, Update};
use crate::dashboard::KeyValue;
use crate::socket::{Connector, Event, GaveUp, WireError, socket};
use crate::state_store::Store;

pub(super) struct Parts<A: SnapshotApi, C, K> {
    pub(super) api: A,
    pub(super) connector: SharedConnector<C>,
    pub(super) copies: K,
    pub(super) settings: Settings,
    pub(super) store: Store<Board<A::Item>>,
}

/// The connector of all runs.
pub(super) struct SharedConnector<C>(pub(super) Arc<C>);

impl<C> Clone for SharedConnector<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<C: Connector> Connector for SharedConnector<C> {
    type Connection = C::Connection;

    fn connect(&self) -> impl Future<Output = Result<C::Connection, WireError>> + Send {
        self.0.connect()
    }
}

type Answer<T> = Result<Snapshot<T>, SnapshotError>;

enum Input<T> {
    Answer(Answer<T>),
    Event(Option<Result<Event<Value>, GaveUp>>),
}

enum Effect {
    Nothing,
    AskAfter(Duration),
    AskNoMore,
    End,
}

pub(super) async fn follow<A: SnapshotApi, C: Connector, K: KeyValue>(parts: Arc<Parts<A, C, K>>) {
    let made = socket::<_, Value>(parts.connector.clone(), parts.settings.socket.clone());
    let Ok((_outbox, mut events)) = made else { return };
    let mut number = 0;
    parts.store.update(|board| {
        board.runs += 1;
        number = board.runs;
        board.leave(Status::Connecting);
    });
    let early = VecDeque::new();
    let mut run = Run { parts: &parts, number, early, gone: None, failures: 0, gave_up: false };
    let mut calls: FuturesUnordered<BoxFuture<'_, Answer<A::Item>>> = FuturesUnordered::new();
    loop {
        let input = poll_fn(|cx| {
            if let Poll::Ready(Some(answer)) = calls.poll_next_unpin(cx) {
                return Poll::Ready(Input::Answer(answer));
            }
            events.poll_next_unpin(cx).map(Input::Event)
        });
        let input = input.await;
        match run.take(input) {
            Effect::Nothing => {}
            Effect::AskNoMore => calls = FuturesUnordered::new(),
            Effect::AskAfter(wait) => {
                let api = &parts.api;
                calls = FuturesUnordered::new();
                calls.push(Box::pin(async move {
                    if wait > Duration::ZERO {
                        sleep(wait).await;
                    }
                    api.snapshot().await
                }));
            }
            Effect::End => return,
        }
    }
}

struct Run<'a, A: SnapshotApi, C, K> {
    parts: &'a Parts<A, C, K>,
    number: u64,
    early: VecDeque<(u64, Update<A::Item>)>,
    gone: Option<u64>,
    failures: u32,
    gave_up: bool,
}

impl<A: SnapshotApi, C, K> Drop for Run<'_, A, C, K> {
    fn drop(&mut self) {
        if !self.gave_up {
            self.parts.store.update(|board| {
                if board.runs == self.number {
                    board.leave(Status::Connecting);
                }
            });
        }
    }
}

impl<A: SnapshotApi, C, K: KeyValue> Run<'_, A, C, K> {
    fn take(&mut self, input: Input<A::Item>) -> Effect {
        match input {
            Input::Event(Some(Ok(Event::Connected { .. }))) => {
                self.early.clear();
                (self.gone, self.failures) = (None, 0);
                Effect::AskAfter(Duration::ZERO)
            }
            Input::Event(Some(Ok(Event::Reconnecting { .. }))) => {
                self.parts.store.update(|board| board.leave(Status::Connecting));
                Effect::AskNoMore
            }
            Input::Event(Some(Ok(Event::BadFrame(_)))) => self.unreadable(),
            Input::Event(Some(Ok(Event::Message(value)))) => self.message(value),
            Input::Event(Some(Err(_)) | None) => {
                self.gave_up = true;
                self.parts.store.update(|board| board.leave(Status::GaveUp));
                Effect::End
            }
            Input::Answer(Ok(list)) if self.gone.is_none_or(|gone| gone <= list.version) => {
                let list = fold(list, &self.early);
                self.early.clear();
                self.keep(&list);
                self.parts.store.update(|board| {
                    board.put(list);
                    board.live.status = Status::Live;
                    board.last = None;
                });
                Effect::AskNoMore
            }
            Input::Answer(_) => self.failed(),
        }
    }

    fn unreadable(&self) -> Effect {
        self.parts
            .store
            .update(|board| board.live.unreadable = board.live.unreadable.saturating_add(1));
        Effect::Nothing
    }

    fn message(&mut self, value: Value) -> Effect {
        let Value::Object(mut fields) = value else { return Effect::Nothing };
        if fields.get("topic") != Some(&Value::String(self.parts.settings.topic.clone())) {
            return Effect::Nothing;
        }
        let version = fields.get("version").and_then(Value::as_u64);
        let change = fields.remove("change").and_then(|change| serde_json::from_value(change).ok());
        let Some(update) = version.zip(change) else { return self.unreadable() };
        let view = self.parts.store.view();
        let (status, shown) = (view.state.live.status, view.state.list());
        if let (Status::Live | Status::Stale { .. }, Some(shown)) = (status, shown)
            && update.0 > shown.version
        {
            let list = fold(shown, [&update]);
            if status == Status::Live {
                self.keep(&list);
            }
            self.parts.store.update(|board| board.put(list));
        }
        if status != Status::Live {
            self.early.push_back(update);
            while self.early.len() > self.parts.settings.kept.get() {
                self.gone = self.gone.max(self.early.pop_front().map(|(version, _)| version));
            }
        }
        Effect::Nothing
    }

    fn failed(&mut self) -> Effect {
        self.failures = self.failures.saturating_add(1);
        let view = self.parts.store.view();
        let known = match view.state.age() {
            Some(age) => view.state.list().map(|list| (list, age)),
            None => self.copy(),
        };
        match known.filter(|(_, age)| *age < self.parts.settings.fresh_for) {
            None => self.parts.store.update(|board| board.live.status = Status::Failed),
            Some((list, age)) => {
                let list = fold(list, &self.early);
                self.parts.store.update(|board| {
                    board.put(list);
                    board.live.status = Status::Stale { age };
                    board.last.get_or_insert((tokio::time::Instant::now(), age));
                });
            }
        }
        let schedule = self.parts.settings.snapshots;
        if self.failures >= schedule.attempts().get() {
            return Effect::AskNoMore;
        }
        Effect::AskAfter(schedule.nominal(self.failures))
    }

    fn place(&self) -> String {
        ["realtime", &self.parts.settings.topic].join("/")
    }

    fn copy(&self) -> Option<(Snapshot<A::Item>, Duration)> {
        match self.parts.copies.get(&self.place()) {
            Ok(Some(stored)) => {
                serde_json::from_str(&stored.text).ok().map(|list| (list, stored.age))
            }
            Ok(None) | Err(_) => None,
        }
    }

    fn keep(&self, list: &Snapshot<A::Item>) {
        if let Ok(text) = serde_json::to_string(list) {
            self.parts.copies.put(&self.place(), text).unwrap_or_default();
        }
    }
}
