//! A database that is pulled, and a service that reports its changes until it is restarted.

use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use jiff::Timestamp;
use level5::conflict::SourceId;
use level5::multi_source_cache::{
    CacheConfig, CacheSource, MultiSourceCache, Pushes, Rule, SourceError, Stamped, SyncMode,
    Update,
};
use tokio::sync::mpsc;
use tokio::time::sleep;

fn city(second: i64, city: &str) -> Stamped<String> {
    let at = Timestamp::from_second(second).expect("a second of this century");
    Stamped { value: city.to_owned(), at, version: 1, ttl: None }
}

struct Database;

impl CacheSource<u32, String> for Database {
    fn id(&self) -> SourceId {
        "database".into()
    }

    fn priority(&self) -> u8 {
        9
    }

    async fn load(&self, user: &u32) -> Result<Option<Stamped<String>>, SourceError> {
        sleep(Duration::from_millis(20)).await;
        Ok((*user == 1).then(|| city(1, "Graz")))
    }

    fn updates(&self) -> Option<BoxStream<'static, Update<u32, String>>> {
        None
    }
}

struct Service(Mutex<Option<mpsc::Receiver<Update<u32, String>>>>);

impl CacheSource<u32, String> for Service {
    fn id(&self) -> SourceId {
        "service".into()
    }

    fn priority(&self) -> u8 {
        1
    }

    async fn load(&self, _: &u32) -> Result<Option<Stamped<String>>, SourceError> {
        Err(SourceError("being restarted".to_owned()))
    }

    fn updates(&self) -> Option<BoxStream<'static, Update<u32, String>>> {
        let updates = self.0.lock().expect("no panic").take()?;
        let next =
            |mut updates: mpsc::Receiver<_>| async move { Some((updates.recv().await?, updates)) };
        Some(stream::unfold(updates, next).boxed())
    }
}

#[tokio::test(start_paused = true)]
async fn the_newest_address_is_shown() {
    let capacity = NonZeroUsize::new(1000).expect("more than zero");
    let cache = MultiSourceCache::new(CacheConfig {
        capacity,
        ttl: Duration::from_secs(60),
        missing_ttl: Duration::from_secs(5),
        load_timeout: Duration::from_secs(1),
        pulls_at_once: capacity,
        rule: Rule::Newest,
    })
    .expect("no time is zero");
    let every = Duration::from_secs(30);
    let (changes, updates) = mpsc::channel(16);
    cache.add_source(Database, SyncMode::Pull { every }).expect("the first source");
    let service = Service(Mutex::new(Some(updates)));
    cache.add_source(service, SyncMode::Hybrid { every }).expect("it has updates");
    let shown = async |user| {
        let cached = cache.get(&user, None).await.expect("an answer");
        cached.map(|cached| cached.value)
    };
    assert_eq!(shown(1).await.as_deref(), Some("Graz"));
    changes.send(Update::Changed(1, city(2, "Linz"))).await.expect("it is followed");
    sleep(Duration::from_millis(1)).await;
    assert_eq!(shown(1).await.as_deref(), Some("Linz"));
    drop(changes);
    // Pulls of the older address, and failing ones of the service, change nothing.
    sleep(Duration::from_secs(50)).await;
    assert_eq!(shown(1).await.as_deref(), Some("Linz"));
    let status = cache.status(&"service".into()).expect("it was added");
    assert_eq!((status.pushes, status.failed_pulls), (Pushes::Ended, 1));
    // The database has no second user, and the service may have one.
    assert!(cache.get(&2, None).await.is_err());
}
