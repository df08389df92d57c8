//! One attempt: a group of notifications, and the channels of its user.

use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt as _};

use super::channel::{ChannelFailure, ChannelKind, Rendered};
use super::notification::UserId;
use super::state::Shared;
use super::text::render;
use super::user::{Group, LaneName, Outcome};

/// A group with its way.
pub(super) struct Delivery {
    pub user: UserId,
    pub lane: LaneName,
    pub group: Group,
    /// The channels to try, the preferred one first. Not empty.
    pub route: Vec<ChannelKind>,
}

/// The end of an attempt.
pub(super) struct Ended {
    pub user: UserId,
    pub lane: LaneName,
    pub outcome: Outcome,
}

/// Tries to deliver. Urgent notifications go by all channels at once, so that one that hangs delays no other; the rest
/// goes by the first channel that delivers.
pub(super) async fn attempt(shared: Arc<Shared>, delivery: Delivery) -> Ended {
    let Delivery { user, lane, group, route } = delivery;
    let outcome = match lane {
        LaneName::Urgent => all(&shared, &user, &group, &route).await,
        LaneName::Rest => first(&shared, &user, &group, &route).await,
    };
    Ended { user, lane, outcome }
}

async fn all(shared: &Shared, user: &UserId, group: &Group, route: &[ChannelKind]) -> Outcome {
    let calls = route.iter().enumerate().map(|(place, &kind)| async move {
        (place, kind, by(shared, kind, user, group).await)
    });
    let mut ends: Vec<_> = calls.collect::<FuturesUnordered<_>>().collect().await;
    ends.sort_by_key(|(place, ..)| *place);
    let mut outcome = Outcome::default();
    for (_, kind, delivered) in ends {
        outcome.note(kind, delivered);
    }
    outcome
}

/// The first channel, and if it fails, those after it.
fn first<'a>(
    shared: &'a Shared,
    user: &'a UserId,
    group: &'a Group,
    route: &'a [ChannelKind],
) -> BoxFuture<'a, Outcome> {
    async move {
        let Some((&kind, others)) = route.split_first() else { return Outcome::default() };
        match by(shared, kind, user, group).await {
            Ok(()) => Outcome { via: vec![kind], failures: Vec::new() },
            Err(failure) => {
                let mut outcome = first(shared, user, group, others).await;
                outcome.failures.insert(0, (kind, failure));
                outcome
            }
        }
    }
    .boxed()
}

async fn by(
    shared: &Shared,
    kind: ChannelKind,
    user: &UserId,
    group: &Group,
) -> Result<(), ChannelFailure> {
    let messages: Vec<Rendered> = render(kind, group.iter().map(|item| &*item.notification));
    let limit = shared.config.channel_timeout;
    let delivered = shared.channels.deliver(kind, user, &messages, limit).await;
    shared.announce(kind, user, group, &delivered);
    delivered
}

impl Outcome {
    fn note(&mut self, kind: ChannelKind, delivered: Result<(), ChannelFailure>) {
        match delivered {
            Ok(()) => self.via.push(kind),
            Err(failure) => self.failures.push((kind, failure)),
        }
    }
}
