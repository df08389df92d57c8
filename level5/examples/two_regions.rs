//! Two regions with the same three sources, a partition between them, and a clock that is fast.
//!
//! Each region runs an engine. One virtual clock runs both, so that the timeline is the same in every run.
//!
//! `cargo run -p level5 --example two_regions`

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use level5::conflict::{Fields, SourceId, Standing, Strategy};
use level5::multi_source_cache::SourceError;
use level5::sync_engine::{
    Change, Config, Engine, Incoming, MemoryStore, Read, RecordId, Rule, Source, SourceMeta,
};
use level5::wall_clock::{VirtualWall, WallClock as _};
use serde_json::json;
use tokio::sync::broadcast;
use tokio::time::{Instant, sleep_until};

/// A database with a clock of its own.
#[derive(Clone)]
struct Database {
    name: &'static str,
    clock: VirtualWall,
    /// How far its clock is ahead.
    skew: SignedDuration,
    records: Arc<Mutex<BTreeMap<RecordId, Incoming>>>,
}

impl Database {
    fn new(name: &'static str, clock: VirtualWall, skew: i64) -> Self {
        let skew = SignedDuration::from_secs(skew);
        Self { name, clock, skew, records: Arc::default() }
    }

    fn records(&self) -> MutexGuard<'_, BTreeMap<RecordId, Incoming>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, id: &str, city: &str) {
        let at = self.clock.now().checked_add(self.skew).unwrap_or(Timestamp::MAX);
        let content = Fields::from([("city".to_owned(), json!(city))]);
        let record = Incoming { id: id.into(), at, version: 1, content: Some(content) };
        self.records().insert(record.id.clone(), record);
    }
}

/// The way from a region to a database.
#[derive(Clone)]
struct Link {
    database: Database,
    latency: Duration,
    is_cut: Arc<Mutex<bool>>,
}

impl Link {
    fn new(database: &Database, latency: u64) -> Self {
        let latency = Duration::from_millis(latency);
        Self { database: database.clone(), latency, is_cut: Arc::default() }
    }

    fn cut(&self, is_cut: bool) {
        *self.is_cut.lock().unwrap_or_else(PoisonError::into_inner) = is_cut;
    }

    async fn answer(
        &self,
        wanted: impl Fn(&RecordId) -> bool,
    ) -> Result<Vec<Incoming>, SourceError> {
        sleep_until(Instant::now() + self.latency).await;
        if *self.is_cut.lock().unwrap_or_else(PoisonError::into_inner) {
            return Err(SourceError("the network is cut".to_owned()));
        }
        let records = self.database.records();
        Ok(records.values().filter(|record| wanted(&record.id)).cloned().collect())
    }
}

impl Source for Link {
    fn id(&self) -> SourceId {
        self.database.name.into()
    }

    async fn fetch_all(&self) -> Result<Vec<Incoming>, SourceError> {
        self.answer(|_| true).await
    }

    async fn fetch(&self, ids: &[RecordId]) -> Result<Vec<Incoming>, SourceError> {
        self.answer(|id| ids.contains(id)).await
    }
}

struct Region {
    name: &'static str,
    engine: Engine,
    changes: broadcast::Receiver<Change>,
    links: Vec<Link>,
}

impl Region {
    async fn start(
        name: &'static str,
        clock: VirtualWall,
        databases: &[Database],
        latency: u64,
    ) -> Result<Self, Box<dyn Error>> {
        let config = Config {
            ttl: Duration::from_secs(15),
            max_skew: Duration::from_secs(5),
            rule: Rule::By(Strategy::Newest),
            ..Config::default()
        };
        let engine = Engine::start(config, MemoryStore::new(), clock).await?;
        let changes = engine.changes();
        let mut links = Vec::new();
        for (number, database) in (1..).zip(databases) {
            let link = Link::new(database, latency * number);
            let meta = SourceMeta {
                standing: Standing { priority: 5, trust: 0 },
                latency: link.latency,
                every: Duration::from_secs(8),
            };
            engine.add_source(link.clone(), meta)?;
            links.push(link);
        }
        Ok(Self { name, engine, changes, links })
    }
}

/// Prints with the virtual time.
fn tell(began: Instant, who: &str, what: &str) {
    let now = began.elapsed();
    println!("{:>6.1} s  {who:<10} {what}", now.as_secs_f64());
}

fn city(content: Option<&Fields>) -> String {
    content.and_then(|fields| fields.get("city")).map_or("deleted".to_owned(), ToString::to_string)
}

/// Shows the changes of both regions until `second`.
async fn until(second: u64, began: Instant, regions: &mut [Region; 2]) {
    let end = began + Duration::from_secs(second);
    let [east, west] = regions;
    loop {
        let (name, change) = tokio::select! {
            biased;
            Ok(change) = east.changes.recv() => (east.name, change),
            Ok(change) = west.changes.recv() => (west.name, change),
            () = sleep_until(end) => return,
        };
        let (city, source) = (city(change.record.content.as_ref()), change.record.stamp.source);
        tell(began, name, &format!("shows {} in {city}, from {source}", change.id));
    }
}

async fn show() -> Result<(), Box<dyn Error>> {
    let began = Instant::now();
    let clock = VirtualWall::starting("2026-03-02T08:00:00Z".parse()?);
    // The clock of the laboratory is ten minutes fast.
    let databases = [("admission", 0), ("accounting", -2), ("laboratory", 600)]
        .map(|(name, skew)| Database::new(name, clock, skew));
    let [admission, accounting, laboratory] = &databases;
    let mut regions = [
        Region::start("east", clock, &databases, 20).await?,
        Region::start("west", clock, &databases, 70).await?,
    ];
    let write = |database: &Database, place: &str| {
        database.write("ann", place);
        tell(began, database.name, &format!("writes: ann in {place:?}"));
    };

    until(1, began, &mut regions).await;
    write(admission, "Graz");
    until(10, began, &mut regions).await;
    write(laboratory, "Wels");
    until(20, began, &mut regions).await;
    // Written later, by a clock that is right: it counts, and the repeated polls of the laboratory do not undo it.
    write(accounting, "Linz");
    until(40, began, &mut regions).await;
    for link in &regions[1].links {
        link.cut(link.database.name != "laboratory");
    }
    tell(began, "network", "west is cut off from admission and accounting");
    until(45, began, &mut regions).await;
    write(admission, "Steyr");
    until(100, began, &mut regions).await;
    for region in &regions {
        let read = match region.engine.get(&"ann".into(), Some(Duration::from_secs(1))).await {
            Read::Fresh(record) => format!("{}, fresh", city(record.content.as_ref())),
            Read::Stale { record, why } => format!("{}: {why}", city(record.content.as_ref())),
            other => format!("{other:?}"),
        };
        tell(began, region.name, &format!("reads ann in {read}"));
        let metrics = region.engine.metrics().borrow().clone();
        for (source, figures) in &metrics.sources {
            if figures.failed_in_a_row > 0 {
                let failed = figures.failed_in_a_row;
                tell(began, region.name, &format!("{source}: {failed} polls have failed in a row"));
            }
        }
    }
    for link in &regions[1].links {
        link.cut(false);
    }
    tell(began, "network", "west is connected again");
    until(200, began, &mut regions).await;
    for region in &regions {
        let versions = region.engine.history(&"ann".into());
        let versions: Vec<_> = versions.iter().map(|one| city(one.content.as_ref())).collect();
        let metrics = region.engine.metrics().borrow().clone();
        tell(began, region.name, &format!("versions of ann: {}", versions.join(", ")));
        let figures = format!(
            "conflicts: {}, resolved: {}, stamps held: {}",
            metrics.conflicts, metrics.resolved, metrics.held
        );
        tell(began, region.name, &figures);
        region.engine.shutdown(Duration::from_secs(1)).await;
    }
    Ok(())
}

#[expect(clippy::disallowed_macros, reason = "the reference's run, committed beside this file")]
#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<(), Box<dyn Error>> {
    demo_kit::or_recorded(include_str!("recorded/two_regions.txt"), show()).await
}
