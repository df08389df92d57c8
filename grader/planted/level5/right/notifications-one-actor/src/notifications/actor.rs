//! The actor: users, wakes, deliveries.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use futures::future::{BoxFuture, join_all};
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use jiff::Timestamp;
use level3::dead_letters::DeadLetters;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{broadcast, oneshot, watch};
use tokio::time::{Instant, sleep_until};

use super::channel::{ChannelFailure, ChannelKind, Channels, DeliveryReport};
use super::config::Config;
use super::metrics::{MinuteMetrics, Minutes};
use super::notification::{
    DeadReason, Fate, Notification, NotificationId, Pending, Priority, Receipt, Refused, UserId,
};
use super::preferences::{Plan, Preferences};
use super::text::render;
use crate::wall_clock::WallClock;

pub(super) enum Order {
    Notify(Box<Notification>, Option<Timestamp>, oneshot::Sender<Result<Receipt, Refused>>),
    Prefer(UserId, Box<Preferences>),
}

/// A call of `shutdown`: when it ends what is on its way, and where what is left goes.
pub(super) type Stop = (Option<Instant>, oneshot::Sender<Vec<Pending>>);

/// What is read from outside.
pub(super) struct Seen {
    pub letters: DeadLetters<Notification>,
    pub reports: broadcast::Sender<DeliveryReport>,
    pub metrics: watch::Sender<MinuteMetrics>,
    pub notifications: AtomicUsize,
    pub users: AtomicUsize,
}

struct Job {
    number: u64,
    one: Arc<Notification>,
    fate: oneshot::Sender<Fate>,
    due: Instant,
}

impl Job {
    fn lane(&self) -> usize {
        usize::from(self.one.priority != Priority::Urgent)
    }
}

#[derive(Default)]
enum Lane {
    #[default]
    Idle,
    Out(Vec<Job>, u32),
    Later(Vec<Job>, u32, Instant),
}

#[derive(Default)]
struct User {
    waiting: Vec<Job>,
    window: Option<Instant>,
    lanes: [Lane; 2],
}

type Results = Vec<(ChannelKind, Result<(), ChannelFailure>)>;
type Delivery = BoxFuture<'static, (UserId, usize, Results)>;
type Called = (ChannelKind, UserId, Vec<NotificationId>, Result<(), ChannelFailure>);

pub(super) struct Actor {
    config: Config,
    channels: Channels,
    wall: Box<dyn WallClock>,
    seen: Arc<Seen>,
    users: HashMap<UserId, User>,
    preferences: BTreeMap<UserId, Arc<Preferences>>,
    known: HashSet<NotificationId>,
    ended: VecDeque<NotificationId>,
    wakes: BinaryHeap<Reverse<(Instant, UserId)>>,
    minutes: Minutes,
    number: u64,
    left: Vec<(u64, Pending)>,
}

impl Actor {
    pub fn new(
        config: Config,
        channels: Channels,
        wall: Box<dyn WallClock>,
        seen: Arc<Seen>,
    ) -> Self {
        Self {
            config,
            channels,
            wall,
            seen,
            users: HashMap::new(),
            preferences: BTreeMap::new(),
            known: HashSet::new(),
            ended: VecDeque::new(),
            wakes: BinaryHeap::new(),
            minutes: Minutes::new(Instant::now()),
            number: 0,
            left: Vec::new(),
        }
    }

    pub async fn run(
        mut self,
        mut orders: UnboundedReceiver<Order>,
        mut stops: UnboundedReceiver<Stop>,
    ) {
        let mut out: FuturesUnordered<Delivery> = FuturesUnordered::new();
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel::<Called>();
        loop {
            let next = self.wakes.peek().map(|Reverse((at, _))| *at);
            let next = next.into_iter().chain(self.minutes.next()).min();
            let timer = async {
                match next {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                // First: what is accepted after the call would be too late.
                Some(stop) = stops.recv() => {
                    orders.close();
                    while let Ok(order) = orders.try_recv() {
                        if let Order::Notify(_, _, answer) = order {
                            let _ = answer.send(Err(Refused::Closed));
                        }
                    }
                    self.finish(&mut out, &mut stops, stop).await;
                    return;
                }
                order = orders.recv() => match order {
                    None => break,
                    Some(Order::Notify(one, date, answer)) => {
                        let _ = answer.send(self.accept(*one, date));
                    }
                    Some(Order::Prefer(user, preferences)) => self.prefer(user, *preferences),
                },
                Some((kind, user, ids, result)) = told.recv() => {
                    self.roll();
                    self.minutes.count(kind, result.is_ok());
                    let report = DeliveryReport { user, channel: kind, ids, result };
                    let _ = self.seen.reports.send(report);
                }
                Some((user, lane, results)) = out.next() => self.ended(&user, lane, results),
                () = timer => {}
            }
            self.roll();
            let now = Instant::now();
            while let Some(Reverse((at, _))) = self.wakes.peek()
                && *at <= now
                && let Some(Reverse((_, user))) = self.wakes.pop()
            {
                self.attend(&user, &out, &tell);
            }
        }
    }

    fn roll(&mut self) {
        if let Some(figures) = self.minutes.roll(Instant::now()) {
            self.seen.metrics.send_replace(figures);
        }
    }

    fn instant(&self, date: Timestamp) -> Instant {
        let wait = self.wall.now().duration_until(date).try_into().unwrap_or_default();
        let century = Duration::from_secs(100 * 365 * 86_400);
        Instant::now().checked_add(wait).unwrap_or(Instant::now() + century)
    }

    fn of(&self, user: &UserId) -> Arc<Preferences> {
        let own = self.preferences.get(user).cloned();
        own.unwrap_or_else(|| Arc::new(self.config.defaults.clone()))
    }

    fn accept(&mut self, one: Notification, date: Option<Timestamp>) -> Result<Receipt, Refused> {
        if self.known.contains(&one.id) {
            return Err(Refused::Duplicate);
        }
        let capacity = self.config.max_pending.get();
        if self.seen.notifications.load(SeqCst) >= capacity {
            return Err(Refused::Full { capacity });
        }
        self.known.insert(one.id.clone());
        self.seen.notifications.fetch_add(1, SeqCst);
        self.number += 1;
        let (sender, fate) = oneshot::channel();
        let receipt = Receipt { id: one.id.clone(), fate };
        let name = one.user.clone();
        let due = match date {
            Some(date) => self.instant(date),
            None => self.plan(&one),
        };
        let number = self.number;
        let user = self.users.entry(name.clone()).or_default();
        user.waiting.push(Job { number, one: Arc::new(one), fate: sender, due });
        self.seen.users.store(self.users.len(), SeqCst);
        self.wakes.push(Reverse((Instant::now(), name)));
        Ok(receipt)
    }

    fn plan(&mut self, one: &Notification) -> Instant {
        let now = Instant::now();
        match self.of(&one.user).plan(one.priority, self.wall.now()) {
            Plan::Now => now,
            Plan::Digest(date) => self.instant(date),
            Plan::Window => {
                let length = self.config.window;
                let user = self.users.entry(one.user.clone()).or_default();
                let end = user.window.filter(|end| *end > now).unwrap_or(now + length);
                user.window = Some(end);
                end
            }
        }
    }

    fn prefer(&mut self, name: UserId, preferences: Preferences) {
        self.preferences.insert(name.clone(), Arc::new(preferences));
        let Some(user) = self.users.get_mut(&name) else { return };
        user.window = None;
        let mut waiting = std::mem::take(&mut user.waiting);
        for job in &mut waiting {
            job.due = self.plan(&job.one);
        }
        if let Some(user) = self.users.get_mut(&name) {
            user.waiting = waiting;
        }
        self.wakes.push(Reverse((Instant::now(), name)));
    }

    fn attend(
        &mut self,
        name: &UserId,
        out: &FuturesUnordered<Delivery>,
        tell: &tokio::sync::mpsc::UnboundedSender<Called>,
    ) {
        let Some(mut user) = self.users.remove(name) else { return };
        let (wall, now) = (self.wall.now(), Instant::now());
        let preferences = self.of(name);
        let mut over: Vec<Job> =
            user.waiting.extract_if(.., |job| job.one.is_expired(wall)).collect();
        for lane in &mut user.lanes {
            if let Lane::Later(group, ..) = lane {
                over.extend(group.extract_if(.., |job| job.one.is_expired(wall)));
                if group.is_empty() {
                    *lane = Lane::Idle;
                }
            }
        }
        over.into_iter().for_each(|job| self.settle(job, Fate::Expired));
        for index in 0..2 {
            let quiet = preferences.quiet_until(wall).filter(|_| index == 1);
            let quiet = quiet.map(|end| self.instant(end));
            let (group, failed) = match std::mem::take(&mut user.lanes[index]) {
                Lane::Out(group, failed) => {
                    user.lanes[index] = Lane::Out(group, failed);
                    continue;
                }
                Lane::Later(group, failed, at) if at > now => {
                    user.lanes[index] = Lane::Later(group, failed, at);
                    continue;
                }
                Lane::Later(group, failed, _) => (group, failed),
                Lane::Idle => {
                    let ripe = |job: &mut Job| job.lane() == index && job.due <= now;
                    (user.waiting.extract_if(.., ripe).collect(), 0)
                }
            };
            if group.is_empty() {
                continue;
            }
            if let Some(end) = quiet {
                if failed > 0 {
                    user.lanes[index] = Lane::Later(group, failed, end);
                } else {
                    user.waiting.extend(group.into_iter().map(|job| Job { due: end, ..job }));
                    user.waiting.sort_by_key(|job| job.number);
                }
                continue;
            }
            let route = preferences.route(&self.channels);
            if route.is_empty() {
                group.into_iter().for_each(|job| self.bury(job, &DeadReason::NoChannel, 0));
                continue;
            }
            out.push(self.deliver(name.clone(), index, &group, route, tell.clone()));
            user.lanes[index] = Lane::Out(group, failed);
        }
        self.put(name, user);
    }

    /// Keeps the user, with a wake for what is next, or forgets it.
    fn put(&mut self, name: &UserId, user: User) {
        let idle = |lane: &Lane| matches!(lane, Lane::Idle);
        let mut next: Vec<Instant> = Vec::new();
        let ends = |job: &Job| job.one.expires_at.map(|end| self.instant(end));
        for job in &user.waiting {
            next.extend(ends(job));
            next.extend(idle(&user.lanes[job.lane()]).then_some(job.due));
        }
        for lane in &user.lanes {
            if let Lane::Later(group, _, at) = lane {
                next.push(*at);
                next.extend(group.iter().filter_map(ends));
            }
        }
        let next = next.into_iter().min();
        if !user.waiting.is_empty() || !user.lanes.iter().all(idle) {
            self.users.insert(name.clone(), user);
        }
        self.wakes.extend(next.map(|at| Reverse((at, name.clone()))));
        self.seen.users.store(self.users.len(), SeqCst);
    }

    fn deliver(
        &self,
        user: UserId,
        lane: usize,
        group: &[Job],
        route: Vec<ChannelKind>,
        tell: tokio::sync::mpsc::UnboundedSender<Called>,
    ) -> Delivery {
        let (channels, limit) = (self.channels.clone(), self.config.channel_timeout);
        let group: Vec<_> = group.iter().map(|job| Arc::clone(&job.one)).collect();
        async move {
            let call = async |kind: ChannelKind| {
                let messages = render(kind, group.iter().map(|one| &**one));
                let result = channels.deliver(kind, &user, &messages, limit).await;
                let ids = group.iter().map(|one| one.id.clone()).collect();
                let _ = tell.send((kind, user.clone(), ids, result.clone()));
                (kind, result)
            };
            let mut results = Vec::new();
            if lane == 0 {
                results = join_all(route.into_iter().map(call)).await;
            } else {
                for kind in route {
                    results.push(call(kind).await);
                    if results.last().is_some_and(|(_, result)| result.is_ok()) {
                        break;
                    }
                }
            }
            (user, lane, results)
        }
        .boxed()
    }

    fn ended(&mut self, name: &UserId, lane: usize, results: Results) {
        let Some(mut user) = self.users.remove(name) else { return };
        if let Lane::Out(group, failed) = std::mem::take(&mut user.lanes[lane]) {
            let sent = results.iter().filter(|(_, result)| result.is_ok());
            let via: Vec<_> = sent.map(|(kind, _)| *kind).collect();
            let failed = failed + 1;
            if !via.is_empty() {
                for job in group {
                    self.settle(job, Fate::Sent { via: via.clone() });
                }
            } else if failed < self.config.retry.attempts().get() {
                let wait = self.config.retry.delay(failed, self.config.jitter.unit());
                user.lanes[lane] = Lane::Later(group, failed, Instant::now() + wait);
            } else {
                let failures = results.into_iter();
                let last = failures.filter_map(|(kind, result)| Some((kind, result.err()?)));
                let reason = DeadReason::Failed { attempts: failed, last: last.collect() };
                group.into_iter().for_each(|job| self.bury(job, &reason, failed));
            }
        }
        self.put(name, user);
    }

    fn bury(&mut self, job: Job, reason: &DeadReason, attempts: u32) {
        let _ = self.seen.letters.push((*job.one).clone(), reason, attempts);
        self.settle(job, Fate::Dead(reason.clone()));
    }

    fn settle(&mut self, job: Job, fate: Fate) {
        self.seen.notifications.fetch_sub(1, SeqCst);
        let id = job.one.id.clone();
        if matches!(fate, Fate::Sent { .. } | Fate::Expired) {
            self.ended.push_back(id);
            if self.ended.len() > self.config.remembered_ids.get()
                && let Some(oldest) = self.ended.pop_front()
            {
                self.known.remove(&oldest);
            }
        } else {
            self.known.remove(&id);
        }
        let _ = job.fate.send(fate);
    }

    /// Lets what is on its way end, and hands back the rest.
    async fn finish(
        &mut self,
        out: &mut FuturesUnordered<Delivery>,
        stops: &mut UnboundedReceiver<Stop>,
        first: Stop,
    ) {
        let mut calls = vec![first];
        while !out.is_empty() {
            let end = calls.iter().filter_map(|(end, _)| *end).min();
            let timer = async {
                match end {
                    Some(end) => sleep_until(end).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                Some((user, lane, results)) = out.next() => self.ended(&user, lane, results),
                Some(call) = stops.recv() => calls.push(call),
                () = timer => {
                    // A call that was dropped has taken its end along.
                    calls.retain(|(_, answer)| !answer.is_closed());
                    let now = Instant::now();
                    if calls.iter().any(|(end, _)| end.is_some_and(|end| end <= now)) {
                        break;
                    }
                }
            }
        }
        out.clear();
        self.hand_back();
        let mut left = std::mem::take(&mut self.left);
        left.sort_by_key(|(number, _)| *number);
        let mut left: Vec<_> = left.into_iter().map(|(_, left)| left).collect();
        let mut is_told = false;
        for (_, answer) in calls {
            match answer.send(std::mem::take(&mut left)) {
                Ok(()) => is_told = true,
                Err(back) => left = back,
            }
        }
        while !is_told && let Some((_, answer)) = stops.recv().await {
            match answer.send(std::mem::take(&mut left)) {
                Ok(()) => is_told = true,
                Err(back) => left = back,
            }
        }
    }

    fn hand_back(&mut self) {
        let (now, wall) = (Instant::now(), self.wall.now());
        for (_, user) in std::mem::take(&mut self.users) {
            let mut jobs = user.waiting;
            for lane in user.lanes {
                match lane {
                    Lane::Idle => {}
                    Lane::Out(group, _) => {
                        jobs.extend(group.into_iter().map(|job| Job { due: now, ..job }))
                    }
                    Lane::Later(group, _, at) => {
                        jobs.extend(group.into_iter().map(|job| Job { due: at, ..job }));
                    }
                }
            }
            for job in jobs {
                let wait = job.due.saturating_duration_since(now);
                let due = wall.checked_add(wait).unwrap_or(Timestamp::MAX);
                let pending = Pending { notification: (*job.one).clone(), due };
                self.left.push((job.number, pending));
                self.settle(job, Fate::Pending { due });
            }
        }
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        self.hand_back();
    }
}
