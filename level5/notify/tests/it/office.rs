//! Notifications, letters and offices for tests.

use std::sync::Arc;

use level5::notifications::{Channel, ChannelError, NotificationId, Rendered};
use notifier::channel::Office;
use notifier::entry::{Entry, Request, Urgency};
use notifier::profile::{Endpoint, Known, Profile, Way};
use notifier::service::open;
use notifier::store::{Change, Memory, Store};
use serde_json::{Map, Value};

use crate::endpoint::SECRET;

/// A notification whose text is its id.
pub fn request(id: &str, user: &str, priority: Urgency) -> Request {
    let data = Map::from_iter([("text".to_owned(), Value::String(id.to_owned()))]);
    let (id, user, topic) = (id.to_owned(), user.to_owned(), "it".to_owned());
    Request { id, user, topic, priority, data, expires_at: None }
}

pub fn entry(id: &str, user: &str) -> Entry {
    let accepted_at = "2026-11-29T12:00:00Z".parse().unwrap();
    Entry { request: request(id, user, Urgency::High), accepted_at }
}

/// A profile with every channel.
pub fn profile(url: &str) -> Profile {
    Profile {
        mail: Some("ann@mail.example".to_owned()),
        webhook: Some(Endpoint { url: url.to_owned(), secret: SECRET.to_owned() }),
        channels: vec![Way::Mail, Way::Webhook, Way::InApp],
        ..Profile::in_app()
    }
}

/// An office in which these notifications of `ann` wait.
pub async fn office(profile: Profile, ids: &[&str]) -> Office {
    let store = Memory::default();
    let since = "2026-01-01T00:00:00Z".parse().unwrap();
    let mut changes = vec![Change::Profile("ann".to_owned(), Known { profile, since })];
    changes.extend(ids.iter().map(|id| Change::Accept(entry(id, "ann"))));
    store.apply(changes).await.unwrap();
    open(Arc::new(store)).unwrap().0
}

/// Delivers notifications of `ann` as the notifier does.
pub async fn deliver(channel: &impl Channel, ids: &[&str]) -> Result<(), ChannelError> {
    let one = |id: &&str| Rendered { ids: vec![NotificationId::from(*id)], text: (*id).to_owned() };
    let messages: Vec<_> = ids.iter().map(one).collect();
    channel.deliver(&"ann".into(), &messages).await
}
