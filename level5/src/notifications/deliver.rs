//! One attempt: a group of notifications, and the channels of its user.

use std::sync::Arc;

use futures::future::join_all;

use super::channel::{ChannelFailure, ChannelKind, Rendered};
use super::notification::UserId;
use super::state::Shared;
use super::text::render;
use super::user::{Group, LaneName, Outcome};

/// A group that is to be delivered. It owns all that it needs, so that its task takes the lock of the state only to
/// count a call.
pub(super) struct Delivery {
    pub user: UserId,
    pub lane: LaneName,
    pub group: Group,
    /// The channels to try, the preferred one first. Not empty. Chosen when the attempt began: other preferences hold
    /// from the next attempt on.
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
    let mut outcome = Outcome::default();
    match lane {
        LaneName::Urgent => {
            // `join_all` keeps the order of the route, whichever channel ends first: the fate lists the channels in the
            // order of the user's preferences.
            let calls = route.iter().map(|&kind| by(&shared, kind, &user, &group));
            for (kind, delivered) in route.iter().zip(join_all(calls).await) {
                outcome.note(*kind, delivered);
            }
        }
        LaneName::Rest => {
            // One after the other: two channels at once would deliver the same text twice.
            for kind in route {
                outcome.note(kind, by(&shared, kind, &user, &group).await);
                if !outcome.via.is_empty() {
                    break;
                }
            }
        }
    }
    Ended { user, lane, outcome }
}

/// Calls one channel, and reports the call when it has ended.
async fn by(
    shared: &Shared,
    kind: ChannelKind,
    user: &UserId,
    group: &Group,
) -> Result<(), ChannelFailure> {
    // For each call, because each kind has texts of its own; a channel that is never tried costs none.
    let messages: Vec<Rendered> = render(kind, group.iter().map(|item| &*item.notification));
    let limit = shared.config.channel_timeout;
    let delivered = shared.channels.deliver(kind, user, &messages, limit).await;
    // Here and not at the end of the attempt: a failed call before the one that delivers counts in its own minute.
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
