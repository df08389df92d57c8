//! The task of a user, and the deliveries in it.

use std::sync::Arc;
use std::time::Duration;

use futures::future::{Fuse, FusedFuture as _, join_all};
use futures::{FutureExt as _, future::BoxFuture};
use jiff::Timestamp;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use super::channel::ChannelKind;
use super::notification::{DeadReason, Fate, Notification, Priority, UserId};
use super::notifier::Hub;
use super::preferences::Plan;
use super::text::render;

pub(super) struct Job {
    pub number: u64,
    pub notification: Notification,
    pub fate: oneshot::Sender<Fate>,
}

pub(super) enum Say {
    Accept(Job, Option<Timestamp>),
    Prefer,
}

#[derive(Clone, Copy)]
enum When {
    Instant(Instant),
    Date(Timestamp),
}

impl When {
    /// How long until then, as the wall shows it now.
    fn wait(self, hub: &Hub) -> Duration {
        match self {
            Self::Instant(at) => at.saturating_duration_since(Instant::now()),
            Self::Date(date) => hub.wall.now().duration_until(date).try_into().unwrap_or_default(),
        }
    }

    fn date(self, hub: &Hub) -> Timestamp {
        hub.wall.now().checked_add(self.wait(hub)).unwrap_or(Timestamp::MAX)
    }
}

fn is_urgent(job: &Job) -> bool {
    job.notification.priority == Priority::Urgent
}

/// Sleeps so long; a duration beyond tokio's calendar does not end.
async fn pause(length: Duration) {
    match Instant::now().checked_add(length) {
        Some(end) => sleep_until(end).await,
        None => std::future::pending().await,
    }
}

struct Waiting(Job, When);

pub(super) async fn serve(hub: Arc<Hub>, user: UserId, mut says: UnboundedReceiver<Say>) {
    let mut waiting: Vec<Waiting> = Vec::new();
    let mut window: Option<Instant> = None;
    let mut lanes: [Fuse<BoxFuture<'static, ()>>; 2] = [Fuse::terminated(), Fuse::terminated()];
    let mut drains = false;
    loop {
        while let Ok(say) = says.try_recv() {
            match say {
                Say::Accept(job, Some(date)) => waiting.push(Waiting(job, When::Date(date))),
                Say::Accept(job, None) => {
                    let due = plan(&hub, &job, &mut window);
                    waiting.push(Waiting(job, due));
                }
                Say::Prefer => {
                    window = None;
                    for Waiting(job, due) in &mut waiting {
                        *due = plan(&hub, job, &mut window);
                    }
                }
            }
        }
        if drains {
            for Waiting(job, due) in waiting.drain(..) {
                let due = due.date(&hub);
                hub.hand_back(job, due);
            }
        }
        let now = hub.wall.now();
        for Waiting(job, _) in waiting.extract_if(.., |it| it.0.notification.is_expired(now)) {
            hub.settle(job, Fate::Expired);
        }
        for (lane, urgent) in lanes.iter_mut().zip([true, false]) {
            let ripe = |it: &Waiting| is_urgent(&it.0) == urgent && it.1.wait(&hub).is_zero();
            if !lane.is_terminated() || !waiting.iter().any(ripe) {
                continue;
            }
            match hub.preferences(&user).quiet_until(now).filter(|_| !urgent) {
                Some(end) => waiting
                    .iter_mut()
                    .filter(|it| is_urgent(&it.0) == urgent && it.1.wait(&hub).is_zero())
                    .for_each(|it| it.1 = When::Date(end)),
                None => {
                    let group = waiting.extract_if(.., |it| ripe(it)).map(|it| it.0).collect();
                    *lane = deliver(Arc::clone(&hub), user.clone(), urgent, group).boxed().fuse();
                }
            }
        }
        let idle = lanes.iter().all(|lane| lane.is_terminated());
        if idle && waiting.is_empty() && hub.leaves(&user, &says) {
            return;
        }
        let free = [lanes[0].is_terminated(), lanes[1].is_terminated()];
        let dues = waiting.iter().filter(|it| free[usize::from(!is_urgent(&it.0))]);
        let dues = dues.map(|it| it.1);
        let ends = waiting.iter().filter_map(|it| it.0.notification.expires_at).map(When::Date);
        let next = dues.chain(ends).map(|when| when.wait(&hub)).min();
        let [urgent, rest] = &mut lanes;
        let timer = async {
            match next {
                Some(wait) => pause(wait).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = hub.drain.cancelled(), if !drains => drains = true,
            () = hub.word(&user) => {}
            () = urgent, if !urgent.is_terminated() => {}
            () = rest, if !rest.is_terminated() => {}
            () = timer => {}
        }
    }
}

fn plan(hub: &Hub, job: &Job, window: &mut Option<Instant>) -> When {
    let now = Instant::now();
    let one = &job.notification;
    match hub.preferences(&one.user).plan(one.priority, hub.wall.now()) {
        Plan::Now => When::Instant(now),
        Plan::Digest(date) => When::Date(date),
        Plan::Window => {
            let end = window.filter(|end| *end > now).unwrap_or(now + hub.config.window);
            *window = Some(end);
            When::Instant(end)
        }
    }
}

/// Delivers a group, with all its attempts.
async fn deliver(hub: Arc<Hub>, user: UserId, urgent: bool, mut group: Vec<Job>) {
    let mut failed = 0;
    let mut due = When::Instant(Instant::now());
    loop {
        // Until the attempt: the wait, then quiet hours.
        loop {
            let now = hub.wall.now();
            for job in group.extract_if(.., |job| job.notification.is_expired(now)) {
                hub.settle(job, Fate::Expired);
            }
            if group.is_empty() {
                return;
            }
            if due.wait(&hub).is_zero() {
                match hub.preferences(&user).quiet_until(now).filter(|_| !urgent) {
                    Some(end) => due = When::Date(end),
                    None => break,
                }
            }
            let ends = group.iter().filter_map(|job| job.notification.expires_at).map(When::Date);
            let wait = ends.chain([due]).map(|when| when.wait(&hub)).min().unwrap_or_default();
            tokio::select! {
                () = hub.drain.cancelled() => {
                    let due = due.date(&hub);
                    return group.into_iter().for_each(|job| hub.hand_back(job, due));
                }
                () = pause(wait) => {}
            }
        }
        let route = hub.preferences(&user).route(&hub.channels);
        if route.is_empty() {
            return group.into_iter().for_each(|job| hub.buries(job, &DeadReason::NoChannel, 0));
        }
        let calls = attempt(&hub, &user, urgent, &route, &group);
        let (via, last) = tokio::select! {
            biased;
            outcome = calls => outcome,
            () = hub.stop.cancelled() => {
                let due = hub.wall.now();
                return group.into_iter().for_each(|job| hub.hand_back(job, due));
            }
        };
        if !via.is_empty() {
            for job in group {
                hub.settle(job, Fate::Sent { via: via.clone() });
            }
            return;
        }
        failed += 1;
        if failed >= hub.config.retry.attempts().get() {
            let reason = DeadReason::Failed { attempts: failed, last };
            return group.into_iter().for_each(|job| hub.buries(job, &reason, failed));
        }
        let wait = hub.config.retry.delay(failed, hub.config.jitter.unit());
        due = When::Instant(Instant::now() + wait);
    }
}

type Outcome = (Vec<ChannelKind>, Vec<(ChannelKind, super::ChannelFailure)>);

async fn attempt(
    hub: &Hub,
    user: &UserId,
    urgent: bool,
    route: &[ChannelKind],
    group: &[Job],
) -> Outcome {
    let call = async |kind: ChannelKind| {
        let messages = render(kind, group.iter().map(|job| &job.notification));
        let limit = hub.config.channel_timeout;
        let result = hub.channels.deliver(kind, user, &messages, limit).await;
        let ids = group.iter().map(|job| job.notification.id.clone()).collect();
        hub.reports(kind, user.clone(), ids, result.clone());
        (kind, result)
    };
    let mut results = Vec::new();
    if urgent {
        results = join_all(route.iter().map(|kind| call(*kind))).await;
    } else {
        for kind in route {
            results.push(call(*kind).await);
            if results.last().is_some_and(|(_, result)| result.is_ok()) {
                break;
            }
        }
    }
    let (mut via, mut failures) = (Vec::new(), Vec::new());
    for (kind, result) in results {
        match result {
            Ok(()) => via.push(kind),
            Err(failure) => failures.push((kind, failure)),
        }
    }
    (via, failures)
}
