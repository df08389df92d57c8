//! Systems at work: an item of a pipeline, a read of a cache, a request, an event, a notification.

use std::convert::Infallible;
use std::hint::black_box;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use bench_kit::work::Work;
use futures::stream::BoxStream;
use futures::{StreamExt as _, stream};
use level4::http_client::{Caching, HttpClient, Request, Transport as _};
use level4::ttl_cache::{self, TtlCache};
use level5::conflict::SourceId;
use level5::event_processor::{Batch, Encoding, Event, Service, Sink as _};
use level5::multi_source_cache::{
    CacheConfig, CacheSource, MultiSourceCache, Rule, SourceError, Stamped, SyncMode, Update,
};
use level5::notifications::{Channel as _, NotificationId, Priority, Rendered, UserId};
use level5::pipeline::{Pipeline, Stage};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use crate::events::{self, Accepts};
use crate::requests::{self, Answers};
use crate::{Failed, users};

/// Of a cache, a buffer, a batch.
const SIZE: NonZeroUsize = NonZeroUsize::new(100).unwrap();

/// Items of a run that has a beginning and an end.
const RUN: u64 = 1000;

/// Longer than any measurement.
const HOUR: Duration = Duration::from_secs(3600);

/// All of them, for `cargo bench`.
pub fn all(runtime: &Runtime) -> Result<Vec<Work<'_>>, Failed> {
    Ok(vec![
        pipeline(runtime),
        cache(runtime)?,
        copies(runtime)?,
        network(runtime)?,
        event(runtime)?,
        notification(runtime),
    ])
}

async fn step(item: u64) -> Result<u64, Infallible> {
    tokio::task::yield_now().await;
    Ok(item + 1)
}

/// An item through three stages of four slots.
fn pipeline(runtime: &Runtime) -> Work<'_> {
    let four = NonZeroUsize::MIN.saturating_add(3);
    let stage = |name| Stage::new(name, four, step);
    let stages = Pipeline::new(four).stage(stage("one")).stage(stage("two")).stage(stage("three"));
    Work::new("pipeline, an item through three stages", move |times| {
        runtime.block_on(stages.run(stream::iter(0..times)).for_each(|item| {
            black_box(item.is_ok());
            std::future::ready(())
        }));
    })
    .beside(
        "futures buffer_unordered, three times",
        "one task for everything: no stage works while the caller is busy, and a panic ends the run",
        move |times| {
            let stage = |item: Result<u64, Infallible>| async move { step(item?).await };
            let items = stream::iter((0..times).map(Ok)).map(stage).buffer_unordered(4);
            let items = items.map(stage).buffer_unordered(4).map(stage).buffer_unordered(4);
            runtime.block_on(items.for_each(|item| {
                black_box(item.is_ok());
                std::future::ready(())
            }));
        },
    )
    .in_batches_of(RUN)
}

/// A source with a value for each key.
struct Numbers;

impl CacheSource<u64, u64> for Numbers {
    fn id(&self) -> SourceId {
        SourceId::new("numbers")
    }

    fn priority(&self) -> u8 {
        1
    }

    async fn load(&self, key: &u64) -> Result<Option<Stamped<u64>>, SourceError> {
        let at = jiff::Timestamp::UNIX_EPOCH;
        Ok(Some(Stamped { value: *key, at, version: 1, ttl: None }))
    }

    fn updates(&self) -> Option<BoxStream<'static, Update<u64, u64>>> {
        Some(stream::pending().boxed())
    }
}

/// A read of a fresh value.
fn cache(runtime: &Runtime) -> Result<Work<'_>, Failed> {
    let config = CacheConfig {
        capacity: SIZE,
        ttl: HOUR,
        missing_ttl: HOUR,
        load_timeout: HOUR,
        pulls_at_once: SIZE,
        rule: Rule::Newest,
    };
    let several = MultiSourceCache::new(config)?;
    let one = TtlCache::<u64, u64, Infallible>::new(ttl_cache::Config {
        capacity: SIZE,
        ttl: HOUR,
        stale_for: Duration::ZERO,
    })?;
    runtime.block_on(async {
        several.add_source(Numbers, SyncMode::Push)?;
        for key in 0..50 {
            let _ = several.get(&key, None).await;
            one.put(key, key);
        }
        Ok::<_, Failed>(())
    })?;
    Ok(Work::new("multi-source cache, a hit", move |times| {
        runtime.block_on(async {
            for key in 0..times {
                black_box(several.get(&(key % 50), None).await.is_ok());
            }
        });
    })
    .beside(
        "level 4's TTL cache",
        "one source; no stamps, no order of updates",
        move |times| {
            runtime.block_on(async {
                for key in 0..times {
                    black_box(one.get(&(key % 50)));
                }
            });
        },
    ))
}

/// A request that a fresh copy answers.
fn copies(runtime: &Runtime) -> Result<Work<'_>, Failed> {
    let _in_runtime = runtime.enter();
    let orchestrator = requests::start(1, true)?;
    let client = HttpClient::new(Answers, level4::http_client::Settings::default())?;
    Ok(Work::new("orchestrator, a request with a copy", move |times| {
        runtime.block_on(async {
            for _ in 0..times {
                black_box(orchestrator.run("0").await.is_ok());
            }
        });
    })
    .beside("level 4's HTTP client", "no graph, no figures of a request", move |times| {
        runtime.block_on(async {
            for _ in 0..times {
                black_box(client.get("http://api.example/0", Caching::Use).await.is_ok());
            }
        });
    }))
}

/// A request that the server answers.
fn network(runtime: &Runtime) -> Result<Work<'_>, Failed> {
    let _in_runtime = runtime.enter();
    let orchestrator = requests::start(1, false)?;
    Ok(Work::new("orchestrator, a request of the server", move |times| {
        runtime.block_on(async {
            for _ in 0..times {
                black_box(orchestrator.run("0").await.is_ok());
            }
        });
    })
    .beside(
        "the transport alone",
        "no limit, no priorities, no time limit, no retries, no copies, no shared runs",
        move |times| {
            runtime.block_on(async {
                for _ in 0..times {
                    let request = Request::get("http://api.example/0");
                    black_box(Answers.send(request).await.is_ok());
                }
            });
        },
    ))
}

/// An event from its ingest to its acknowledgement, in batches of 100.
fn event(runtime: &Runtime) -> Result<Work<'_>, Failed> {
    let processor = runtime.block_on(events::start(Accepts::open()))?;
    let mut all = 0;
    Ok(Work::new("event processor, an event", move |times| {
        all += times;
        runtime.block_on(async {
            events::ingest(&processor, times).await;
            events::delivered(&processor, all).await;
        });
    })
    .beside(
        "tokio mpsc and a task",
        "no journal, no priorities, no breaker, no retries, no dead letters, no figures",
        move |times| {
            runtime.block_on(async {
                let (sender, mut receiver) = mpsc::channel::<Event>(1000);
                let consumer = tokio::spawn(async move {
                    let (sink, service) = (Accepts::open(), Service::new("analytics"));
                    let mut events = Vec::new();
                    while receiver.recv_many(&mut events, SIZE.get()).await > 0 {
                        let batch = events.drain(..).map(Arc::new).collect();
                        let batch = Batch::new(batch, Encoding::Plain);
                        black_box(sink.send(&service, &batch).await.is_ok());
                    }
                });
                for _ in 0..times {
                    let _ = sender.send(events::event()).await;
                }
                drop(sender);
                let _ = consumer.await;
            });
        },
    )
    // Whole batches: the last one does not wait for its flush.
    .in_batches_of(100 * RUN))
}

/// A notification of high priority to a user of its own, until its fate is known.
fn notification(runtime: &Runtime) -> Work<'_> {
    let channel = users::Delivers;
    Work::new("notifications, one to each user", move |times| {
        runtime.block_on(async {
            let Ok(notifier) = users::start(times) else { return };
            let receipts = users::notify(&notifier, times, Priority::High).await;
            users::settled(receipts).await;
        });
    })
    .beside(
        "the channel alone",
        "no preferences, no quiet hours, no digests, no retries, no fates",
        move |times| {
            runtime.block_on(async {
                for number in 0..times {
                    let user = UserId::from(format!("u{number}").as_str());
                    let id = NotificationId::from(format!("n{number}").as_str());
                    let text = "Your order is on the road.".to_owned();
                    let message = Rendered { ids: vec![id], text };
                    black_box(channel.deliver(&user, &[message]).await.is_ok());
                }
            });
        },
    )
    .in_batches_of(RUN)
}
