//! Notifications, and the channel that takes them.

use std::num::NonZeroUsize;

use level5::notifications::{
    Channel, ChannelError, ChannelKind, Channels, Config, Notification, Notifier, Preferences,
    Priority, Receipt, Rendered, UserId,
};
use level5::wall_clock::VirtualWall;

use crate::Failed;

/// A channel that delivers everything at once.
#[derive(Debug)]
pub struct Delivers;

impl Channel for Delivers {
    fn kind(&self) -> ChannelKind {
        ChannelKind::InApp
    }

    async fn deliver(&self, _: &UserId, _: &[Rendered]) -> Result<(), ChannelError> {
        Ok(())
    }
}

/// A notifier with room for so many notifications. Inside of a runtime.
pub fn start(room: u64) -> Result<Notifier, Failed> {
    let room = NonZeroUsize::new(usize::try_from(room)?).unwrap_or(NonZeroUsize::MIN);
    let config = Config {
        max_pending: room,
        remembered_ids: room,
        defaults: Preferences::new([ChannelKind::InApp]),
        ..Config::default()
    };
    let wall = VirtualWall::starting(jiff::Timestamp::UNIX_EPOCH);
    Ok(Notifier::start(config, wall, Channels::default().with(Delivers))?)
}

/// One notification for each of so many users, all accepted. Those of high priority go at once; the others wait for
/// their batch.
pub async fn notify(notifier: &Notifier, users: u64, priority: Priority) -> Vec<Receipt> {
    let mut receipts = Vec::new();
    for number in 0..users {
        let (id, user) = (format!("n{number}"), format!("u{number}"));
        let notification = Notification::new(&id, &user, priority, "Your order is on the road.");
        receipts.extend(notifier.notify(notification).await);
    }
    receipts
}

/// Waits until all of them have a fate.
pub async fn settled(receipts: Vec<Receipt>) {
    for receipt in receipts {
        receipt.fate().await;
    }
}
