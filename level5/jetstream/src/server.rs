//! What the journal asks of the server.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull};
use async_nats::jetstream::context::{ContextBuilder, GetStreamErrorKind, PublishErrorKind};
use async_nats::jetstream::context::{PublishAckFuture, PublishError};
use async_nats::jetstream::kv::{self, Operation, UpdateErrorKind};
use async_nats::jetstream::stream::{self, DiscardPolicy, RetentionPolicy, StorageType};
use async_nats::jetstream::{self, Context, ErrorCode, Message};
use async_nats::{Client, ConnectOptions, Event, HeaderMap, Request, Subject, header};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::address::Address;
use crate::claims::Claims;
use crate::config::JetStreamConfig;
use crate::error::{BadRecord, OpenError};
use crate::ledger::{Place, Stored};
use crate::record::{self, Content, Order};

/// So many messages are asked for at once.
pub(crate) const FETCHED: usize = 1000;
/// So many publishes may wait for their answers.
pub(crate) const IN_FLIGHT: usize = 8192;
/// A message that was delivered and not acknowledged comes again after this time. The owner of a lane holds what is
/// pending as long as it takes, and a process that takes a lane over makes another consumer, so that nothing waits for
/// this: it is for deliveries that a broken connection has swallowed.
const ACK_WAIT: Duration = Duration::from_secs(3600);
/// The window in which the server knows a message id again: longer than a call tries.
const DUPLICATES: Duration = Duration::from_secs(120);

/// A connection to the server, with the stream and the bucket of owners.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    client: Client,
    context: Context,
    stream: stream::Stream<()>,
    owners: kv::Store,
    name: String,
    wait: Duration,
    /// Gets a notice when the connection was lost and is there again.
    reconnected: Arc<Notify>,
}

/// Who owns a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner {
    /// The revision of the entry. A change succeeds only with the newest one.
    pub(crate) revision: u64,
    /// What the owner has written.
    pub(crate) entry: Entry,
}

/// The entry of a lane.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// The session of the owner. Empty: the lane is free.
    pub(crate) session: String,
    /// Which records have ended.
    pub(crate) ended: Claims,
}

impl Owner {
    /// A lane that had no owner ever.
    pub(crate) fn none(revision: u64) -> Self {
        Self { revision, entry: Entry::default() }
    }

    pub(crate) fn is_free(&self) -> bool {
        self.entry.session.is_empty()
    }
}

/// Why an entry was not changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Another process has changed it.
    Changed,
    /// It is unknown whether it was changed.
    Unknown(String),
}

/// What a lane has.
#[derive(Debug)]
pub(crate) struct Lane {
    /// Its consumer.
    pub(crate) consumer: PullConsumer,
    pub(crate) stored: Vec<Stored>,
    pub(crate) bad: Vec<BadRecord>,
}

/// What a publish that has failed means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PublishFailed {
    /// The same message may be sent again: the server knows its id.
    Again(String),
    Full(String),
    TooLarge(String),
    Refused(String),
}

impl Server {
    /// Connects, and makes the stream and the bucket if they are not there.
    pub(crate) async fn connect(
        address: &Address,
        config: &JetStreamConfig,
    ) -> Result<Self, OpenError> {
        let shown = address.to_string();
        let reconnected = Arc::new(Notify::new());
        let (notice, lost) = (Arc::clone(&reconnected), Arc::new(AtomicBool::new(false)));
        let connect = ConnectOptions::new()
            .name("event-processor")
            .request_timeout(Some(config.answer_within))
            // A server that restarts is back within a second; a cluster has another one.
            .reconnect_delay_callback(|attempts| {
                Duration::from_millis((attempts as u64).saturating_mul(50).min(1000))
            })
            .event_callback(move |event| {
                tracing::info!(%event, "the connection to NATS");
                // The callbacks of a connection run one after another.
                match event {
                    Event::Disconnected => lost.store(true, Ordering::Relaxed),
                    Event::Connected if lost.swap(false, Ordering::Relaxed) => notice.notify_one(),
                    _ => {}
                }
                std::future::ready(())
            })
            .connect(address.servers());
        let client = connect.await.map_err(|why| {
            let why =
                why.source().map_or_else(|| why.to_string(), |source| format!("{why}: {source}"));
            OpenError::Connect { address: shown.clone(), why }
        })?;
        let context = ContextBuilder::new()
            .timeout(config.answer_within)
            .ack_timeout(config.answer_within)
            .max_ack_inflight(2 * IN_FLIGHT)
            .build(client.clone());
        check_stream(&context, address, config).await?;
        let refused = |why: String| OpenError::Server { address: shown.clone(), why };
        let stream = context.get_stream_no_info(address.stream()).await;
        let stream = stream.map_err(|why| refused(why.to_string()))?;
        let owners = owners(&context, address, config).await.map_err(refused)?;
        let name = address.stream().to_owned();
        Ok(Self { client, context, stream, owners, name, wait: config.answer_within, reconnected })
    }

    /// A name that no other process has.
    pub(crate) fn session(&self) -> String {
        self.client.new_inbox()
    }

    /// Waits until the connection was lost and is there again.
    pub(crate) async fn reconnected(&self) {
        self.reconnected.notified().await;
    }

    pub(crate) fn stream_name(&self) -> &str {
        &self.name
    }

    /// Begins to publish a record. The future returns when the message is on its way, and what it returns when the
    /// server has answered.
    pub(crate) async fn publish(
        &self,
        order: Order,
        subject: String,
        payload: Bytes,
    ) -> Result<PublishAckFuture, PublishError> {
        let mut headers = HeaderMap::new();
        headers.insert(header::NATS_MESSAGE_ID, order.to_string());
        self.context.publish_with_headers(subject, headers, payload).await
    }

    /// The lanes with records of this kind, and how many they have. `kind` is `pending` or `*`.
    pub(crate) async fn lanes(&self, kind: &str) -> Result<BTreeMap<u32, usize>, String> {
        let read = async {
            let info = self.stream.info_with_subjects(format!("{}.*.{kind}", self.name)).await?;
            info.try_collect::<Vec<_>>().await
        };
        let subjects = timeout(self.wait * 2, read).await.map_err(|_| "no answer".to_owned())?;
        let subjects = subjects.map_err(|why: stream::InfoError| why.to_string())?;
        let mut lanes = BTreeMap::new();
        for (subject, count) in subjects {
            if let Some(lane) = self.lane_of(&subject) {
                *lanes.entry(lane).or_default() += count;
            }
        }
        Ok(lanes)
    }

    fn lane_of(&self, subject: &str) -> Option<u32> {
        let rest = subject.strip_prefix(&self.name)?.strip_prefix('.')?;
        rest.split('.').next()?.parse().ok()
    }

    /// Who owns a lane.
    pub(crate) async fn owner(&self, lane: u32) -> Result<Owner, String> {
        let entry = timeout(self.wait, self.owners.entry(lane.to_string())).await;
        let entry = entry.map_err(|_| "no answer".to_owned())?.map_err(|why| why.to_string())?;
        Ok(match entry {
            None => Owner::none(0),
            Some(entry) if entry.operation == Operation::Put => {
                let read = serde_json::from_slice(&entry.value);
                // Of a newer program: an owner with an unknown name, which may be alive.
                let unknown = || Entry { session: "unknown".to_owned(), ended: Claims::default() };
                Owner { revision: entry.revision, entry: read.unwrap_or_else(|_| unknown()) }
            }
            // Deleted by hand.
            Some(entry) => Owner::none(entry.revision),
        })
    }

    /// Makes the session of `entry` the owner of a lane, or renews that, or with an empty one releases it: if the entry has
    /// this revision. Returns the new one.
    pub(crate) async fn own(
        &self,
        lane: u32,
        entry: &Entry,
        revision: u64,
    ) -> Result<u64, Refused> {
        // Texts and numbers can be written.
        let value = serde_json::to_vec(entry).unwrap_or_default().into();
        let changed = timeout(self.wait, self.owners.update(lane.to_string(), value, revision));
        match changed.await {
            Ok(Ok(revision)) => Ok(revision),
            Ok(Err(why)) if why.kind() == UpdateErrorKind::WrongLastRevision => {
                Err(Refused::Changed)
            }
            Ok(Err(why)) => Err(Refused::Unknown(why.to_string())),
            Err(_) => Err(Refused::Unknown("no answer".to_owned())),
        }
    }

    /// Takes over a lane that this process owns since `generation`: earlier owners can acknowledge nothing any more.
    /// Reads its records.
    pub(crate) async fn open_lane(
        &self,
        lane: u32,
        generation: u64,
        most: usize,
    ) -> Result<Lane, String> {
        let found = self.lanes("*").await?.get(&lane).copied().unwrap_or(0);
        let config = pull::Config {
            durable_name: Some(format!("lane-{lane}-{generation}")),
            deliver_policy: DeliverPolicy::All,
            ack_policy: AckPolicy::Explicit,
            ack_wait: ACK_WAIT,
            max_deliver: -1,
            filter_subject: format!("{}.{lane}.>", self.name),
            // What an owner that is treated as dead still writes is beyond the limit.
            max_ack_pending: i64::try_from(most.max(found) + FETCHED).unwrap_or(i64::MAX),
            ..Default::default()
        };
        self.remove_consumers(lane, generation).await?;
        let mut made = self.stream.create_consumer(config.clone()).await;
        for _ in 0..3 {
            if made.is_ok() {
                break;
            }
            // The last owner may have made its own in this moment; there is one for a lane at a time.
            self.remove_consumers(lane, generation).await?;
            made = self.stream.create_consumer(config.clone()).await;
        }
        let mut consumer = made.map_err(|why| why.to_string())?;
        let (mut stored, mut bad) = (Vec::with_capacity(found), Vec::new());
        loop {
            for read in self.fetch(&consumer, FETCHED).await? {
                match read {
                    Ok(record) => stored.push(record),
                    Err(why) => bad.push(why),
                }
            }
            let left =
                timeout(self.wait, consumer.info()).await.map_err(|_| "no answer".to_owned())?;
            if left.map_err(|why| why.to_string())?.num_pending == 0 {
                return Ok(Lane { consumer, stored, bad });
            }
        }
    }

    /// Removes the consumers of earlier owners of a lane.
    async fn remove_consumers(&self, lane: u32, generation: u64) -> Result<(), String> {
        let names: Vec<String> =
            self.stream.consumer_names().try_collect().await.map_err(|why| why.to_string())?;
        let prefix = format!("lane-{lane}-");
        for name in names {
            let of_lane = name.strip_prefix(&prefix).and_then(|it| it.parse::<u64>().ok());
            // Never that of a later owner: this process may be the one that is treated as dead.
            if of_lane.is_some_and(|it| it < generation) {
                // It may be gone by now.
                let _ = self.stream.delete_consumer(&name).await;
            }
        }
        Ok(())
    }

    /// Removes the consumer of a lane that is released.
    pub(crate) async fn close_lane(&self, consumer: &PullConsumer) {
        // The next owner removes it otherwise.
        let name = &consumer.cached_info().name;
        let _ = timeout(self.wait, self.stream.delete_consumer(name)).await;
    }

    /// Asks for messages that were not delivered yet. Returns what there is: less than it was asked for, or what has come
    /// when an answer is late.
    pub(crate) async fn fetch(
        &self,
        consumer: &PullConsumer,
        most: usize,
    ) -> Result<Vec<Result<Stored, BadRecord>>, String> {
        let asked = timeout(self.wait, consumer.fetch().max_messages(most).messages()).await;
        let asked = asked.map_err(|_| "no answer".to_owned())?;
        let mut messages = asked.map_err(|why| why.to_string())?;
        let mut read = Vec::new();
        loop {
            match timeout(self.wait, messages.next()).await {
                Ok(Some(Ok(message))) => read.push(self.read(&message)),
                Ok(None) => return Ok(read),
                // What has come is used; the rest comes with the next call, or after `ACK_WAIT`.
                Ok(Some(Err(_))) | Err(_) if !read.is_empty() => return Ok(read),
                Ok(Some(Err(why))) => return Err(why.to_string()),
                Err(_) => return Err("no answer".to_owned()),
            }
        }
    }

    fn read(&self, message: &Message) -> Result<Stored, BadRecord> {
        let sequence = message.info().map_or(0, |info| info.stream_sequence);
        let subject = message.subject.to_string();
        let bad = |event, what| BadRecord { sequence, subject: subject.clone(), event, what };
        let headers = message.headers.as_ref();
        let order = headers.and_then(|it| it.get(header::NATS_MESSAGE_ID)?.as_str().parse().ok());
        let lane = self.lane_of(&subject).ok_or_else(|| bad(None, "no lane".to_owned()))?;
        let content = record::read(&message.payload).map_err(|(event, what)| bad(event, what))?;
        let order =
            order.ok_or_else(|| bad(Some(content.id().clone()), "no message id".to_owned()))?;
        let place = Place { lane, sequence, ack: message.reply.clone() };
        Ok(Stored { order, place, content })
    }

    /// Reads the records of a kind in all lanes, without a consumer.
    pub(crate) async fn peek(&self, kind: &str) -> Result<(Vec<Content>, Vec<BadRecord>), String> {
        let (subject, mut next) = (format!("{}.*.{kind}", self.name), 1);
        let (mut contents, mut bad) = (Vec::new(), Vec::new());
        loop {
            let find = self.stream.raw_message_builder().sequence(next);
            let found = find.next_by_subject(&subject).send().await;
            let message = match found {
                Ok(message) => message,
                Err(why) if is_missing(&why) => return Ok((contents, bad)),
                Err(why) => return Err(why.to_string()),
            };
            next = message.sequence + 1;
            match record::read(&message.payload) {
                Ok(content) => contents.push(content),
                Err((event, what)) => bad.push(BadRecord {
                    sequence: message.sequence,
                    subject: message.subject.to_string(),
                    event,
                    what,
                }),
            }
        }
    }

    /// Acknowledges a record, which removes it. Returns when the server has confirmed it; an error if the consumer is gone,
    /// since another process owns the lane.
    pub(crate) async fn acknowledge(&self, ack: Subject) -> Result<(), String> {
        let request = Request::new().payload(Bytes::from_static(b"+ACK"));
        let answer = self.client.send_request(ack, request).await;
        answer.map(drop).map_err(|why| why.to_string())
    }

    /// Removes a record without a consumer. Only the owner of its lane may do this.
    pub(crate) async fn delete(&self, sequence: u64) -> Result<(), String> {
        let Err(why) = self.stream.delete_message(sequence).await else { return Ok(()) };
        // An earlier call has removed it, and its answer was lost.
        match self.stream.get_raw_message(sequence).await {
            Err(error) if is_missing(&error) => Ok(()),
            _ => Err(why.to_string()),
        }
    }
}

fn is_missing(error: &stream::RawMessageError) -> bool {
    matches!(error.kind(), stream::RawMessageErrorKind::NoMessageFound)
        || jetstream_error(error).is_some_and(|it| it.error_code() == ErrorCode::NO_MESSAGE_FOUND)
}

fn jetstream_error<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> Option<&'a jetstream::Error> {
    error.source()?.downcast_ref()
}

/// What an error of a publish means.
pub(crate) fn publish_failed(error: &PublishError) -> PublishFailed {
    if error.kind() == PublishErrorKind::MaxPayloadExceeded {
        return PublishFailed::TooLarge(whole(error));
    }
    let Some(answer) = jetstream_error(error) else {
        // The connection, or no answer: the server may have the message.
        return PublishFailed::Again(whole(error));
    };
    match answer.error_code() {
        ErrorCode::STREAM_STORE_FAILED
        | ErrorCode::INSUFFICIENT_RESOURCES
        | ErrorCode::STORAGE_RESOURCES_EXCEEDED
        | ErrorCode::MEMORY_RESOURCES_EXCEEDED
        | ErrorCode::ACCOUNT_RESOURCES_EXCEEDED => PublishFailed::Full(answer.to_string()),
        ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM | ErrorCode::STREAM_HEADER_EXCEEDS_MAXIMUM => {
            PublishFailed::TooLarge(answer.to_string())
        }
        // A cluster without a leader, which elects one.
        _ if answer.code() == 503 => PublishFailed::Again(answer.to_string()),
        _ => PublishFailed::Refused(answer.to_string()),
    }
}

fn whole(error: &PublishError) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

/// Makes the stream, or checks that an existing one keeps every accepted event.
async fn check_stream(
    context: &Context,
    address: &Address,
    config: &JetStreamConfig,
) -> Result<(), OpenError> {
    let wanted = stream::Config {
        name: address.stream().to_owned(),
        description: Some("Events and dead letters of the event processor".to_owned()),
        subjects: vec![address.subjects()],
        // An acknowledged record is removed, and no other one is.
        retention: RetentionPolicy::WorkQueue,
        // A full stream refuses what is new. `Old` would drop events that were accepted.
        discard: DiscardPolicy::New,
        max_bytes: i64::try_from(config.max_bytes).unwrap_or(i64::MAX),
        max_messages: -1,
        max_messages_per_subject: -1,
        max_consumers: -1,
        storage: StorageType::File,
        num_replicas: config.replicas,
        duplicate_window: DUPLICATES,
        ..Default::default()
    };
    let refused = |why: String| OpenError::Server { address: address.to_string(), why };
    let found = match context.get_stream(address.stream()).await {
        Ok(stream) => stream.cached_info().config.clone(),
        Err(error) => match error.kind() {
            GetStreamErrorKind::JetStream(why)
                if why.error_code() == ErrorCode::STREAM_NOT_FOUND =>
            {
                match context.create_stream(wanted.clone()).await {
                    Ok(stream) => stream.cached_info().config.clone(),
                    // Another process has made it in this moment, with other limits.
                    Err(why) => match context.get_stream(address.stream()).await {
                        Ok(stream) => stream.cached_info().config.clone(),
                        Err(_) => return Err(refused(why.to_string())),
                    },
                }
            }
            _ => return Err(refused(error.to_string())),
        },
    };
    match loses(&found, &wanted) {
        None => Ok(()),
        Some(what) => Err(OpenError::Stream { stream: wanted.name, what }),
    }
}

/// Why a stream would not keep every accepted event.
fn loses(found: &stream::Config, wanted: &stream::Config) -> Option<String> {
    if found.retention != RetentionPolicy::WorkQueue {
        Some(format!("retention {:?}, not WorkQueue", found.retention))
    } else if found.discard != DiscardPolicy::New {
        Some("the policy to discard old messages when it is full".to_owned())
    } else if found.max_age != Duration::ZERO {
        Some(format!("a maximal age of {:?}, after which messages are dropped", found.max_age))
    } else if found.max_messages_per_subject > 0 && !found.discard_new_per_subject {
        Some("a limit of messages for a subject, beyond which old ones are dropped".to_owned())
    } else if found.no_ack {
        Some("no acknowledgements".to_owned())
    } else if found.subjects != wanted.subjects {
        Some(format!("the subjects {:?}, not {:?}", found.subjects, wanted.subjects))
    } else {
        None
    }
}

async fn owners(
    context: &Context,
    address: &Address,
    config: &JetStreamConfig,
) -> Result<kv::Store, String> {
    let bucket = address.bucket();
    if let Ok(owners) = context.get_key_value(&bucket).await {
        return Ok(owners);
    }
    // By hand: the client's own function asks for the account first, and cannot read the answer of a server of version 2.9.
    let made = context.create_stream(stream::Config {
        name: format!("KV_{bucket}"),
        description: Some("The owners of the lanes".to_owned()),
        subjects: vec![format!("$KV.{bucket}.>")],
        max_messages_per_subject: 1,
        max_messages: -1,
        max_bytes: -1,
        max_consumers: -1,
        discard: DiscardPolicy::New,
        storage: StorageType::File,
        num_replicas: config.replicas,
        allow_rollup: true,
        deny_delete: true,
        // Reads may go to any server of a cluster then, and an old revision makes a process look dead.
        allow_direct: false,
        ..Default::default()
    });
    let made = made.await.map(drop);
    // Another process may have made it in this moment.
    context.get_key_value(&bucket).await.map_err(|found| match made {
        Ok(()) => found.to_string(),
        Err(why) => why.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_that_drops_events_is_refused() {
        let right = stream::Config {
            retention: RetentionPolicy::WorkQueue,
            discard: DiscardPolicy::New,
            subjects: vec!["s.>".to_owned()],
            ..Default::default()
        };
        assert_eq!(loses(&right, &right), None);
        let changes: [fn(&mut stream::Config); 6] = [
            |it| it.retention = RetentionPolicy::Limits,
            |it| it.discard = DiscardPolicy::Old,
            |it| it.max_age = Duration::from_secs(1),
            |it| it.max_messages_per_subject = 1,
            |it| it.no_ack = true,
            |it| it.subjects.push("other".to_owned()),
        ];
        for (index, change) in changes.into_iter().enumerate() {
            let mut found = right.clone();
            change(&mut found);
            assert!(loses(&found, &right).is_some(), "change {index}");
        }
    }
}
