//! Two regions with the same sources, partitions between them, and a person who decides.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use level5::conflict::{Fields, SourceId, Standing, Strategy};
use level5::multi_source_cache::SourceError;
use level5::sync_engine::{
    Config, Engine, Incoming, MemoryStore, Pick, Read, RecordId, Rule, Source, SourceMeta,
};
use level5::wall_clock::VirtualWall;
use proptest::prelude::{ProptestConfig, any, prop_assert_eq, prop_oneof, proptest};
use proptest::strategy::Strategy as _;
use serde_json::json;
use tokio::time::sleep;

/// A database that engines reach over links of their own.
#[derive(Clone)]
struct Database {
    name: &'static str,
    records: Arc<Mutex<BTreeMap<RecordId, Incoming>>>,
}

impl Database {
    fn new(name: &'static str) -> Self {
        Self { name, records: Arc::default() }
    }

    fn records(&self) -> MutexGuard<'_, BTreeMap<RecordId, Incoming>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, record: Incoming) {
        self.records().insert(record.id.clone(), record);
    }
}

/// The way from an engine to a database, which may be cut.
#[derive(Clone)]
struct Link {
    database: Database,
    is_cut: Arc<Mutex<bool>>,
}

impl Link {
    fn to(database: &Database) -> Self {
        Self { database: database.clone(), is_cut: Arc::default() }
    }

    fn cut(&self, is_cut: bool) {
        *self.is_cut.lock().unwrap_or_else(PoisonError::into_inner) = is_cut;
    }

    fn answer(&self, wanted: impl Fn(&RecordId) -> bool) -> Result<Vec<Incoming>, SourceError> {
        if *self.is_cut.lock().unwrap_or_else(PoisonError::into_inner) {
            return Err(SourceError("the link is cut".to_owned()));
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
        sleep(Duration::from_millis(20)).await;
        self.answer(|_| true)
    }

    async fn fetch(&self, ids: &[RecordId]) -> Result<Vec<Incoming>, SourceError> {
        sleep(Duration::from_millis(20)).await;
        self.answer(|id| ids.contains(id))
    }
}

fn record(id: &str, second: i64, fields: &serde_json::Value) -> Incoming {
    let at = Timestamp::from_second(second).expect("a second of this century");
    let content: Fields = serde_json::from_value(fields.clone()).expect("an object");
    Incoming { id: id.into(), at, version: 1, content: Some(content) }
}

fn meta(priority: u8, trust: u8) -> SourceMeta {
    SourceMeta {
        standing: Standing { priority, trust },
        latency: Duration::from_millis(20),
        every: Duration::from_secs(2),
    }
}

async fn engine(rule: Rule, store: MemoryStore) -> Engine {
    let start = Timestamp::from_second(1_750_000_000).expect("a second of this century");
    let config = Config { rule, ..Config::default() };
    Engine::start(config, store, VirtualWall::starting(start)).await.expect("no time is zero")
}

fn fresh(read: Read) -> serde_json::Value {
    match read {
        Read::Fresh(record) => json!(record.content),
        other => panic!("not fresh: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_person_decides_and_a_restart_remembers() {
    let (till, web) = (Database::new("till"), Database::new("web"));
    till.write(record("ann", 5, &json!({"city": "Graz"})));
    web.write(record("ann", 6, &json!({"city": "Linz"})));
    let store = MemoryStore::new();
    let manual = || Rule::By(Strategy::Manual);
    let first = engine(manual(), store.clone()).await;
    let mut changes = first.changes();
    first.add_source(Link::to(&till), meta(5, 0)).expect("the first source");
    sleep(Duration::from_millis(30)).await;
    first.add_source(Link::to(&web), meta(5, 0)).expect("another source");
    sleep(Duration::from_millis(30)).await;
    let conflict = first.parked().pop().expect("they differ");
    first.decide(&conflict, Pick::Record("web".into())).expect("it is open");
    let mut cities = Vec::new();
    while let Ok(change) = changes.try_recv() {
        cities.push(json!(change.record.content));
    }
    assert_eq!(cities, [json!({"city": "Graz"}), json!({"city": "Linz"})]);
    let report = first.shutdown(Duration::from_secs(1)).await;
    assert_eq!(report, level5::sync_engine::Report::default());

    let second = engine(manual(), store).await;
    for database in [&till, &web] {
        second.add_source(Link::to(database), meta(5, 0)).expect("a source");
    }
    let ann = RecordId::new("ann");
    assert_eq!(fresh(second.get(&ann, None).await), json!({"city": "Linz"}));
    assert_eq!(second.parked(), []);
    assert_eq!(second.history(&ann).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_region_that_is_cut_off_says_so_and_catches_up() {
    let (till, web) = (Database::new("till"), Database::new("web"));
    let newest = || Rule::By(Strategy::Newest);
    let (east, west) =
        (engine(newest(), MemoryStore::new()).await, engine(newest(), MemoryStore::new()).await);
    let link = Link::to(&web);
    for (region, web) in [(&east, Link::to(&web)), (&west, link.clone())] {
        region.add_source(Link::to(&till), meta(5, 0)).expect("a source");
        region.add_source(web, meta(5, 0)).expect("a source");
    }
    let ann = RecordId::new("ann");
    web.write(record("ann", 5, &json!({"city": "Graz"})));
    sleep(Duration::from_secs(5)).await;
    link.cut(true);
    web.write(record("ann", 6, &json!({"city": "Linz"})));
    sleep(Duration::from_secs(120)).await;
    assert_eq!(fresh(east.get(&ann, None).await), json!({"city": "Linz"}));
    let Read::Stale { record, .. } = west.get(&ann, None).await else {
        panic!("the only source of the record is cut off");
    };
    assert_eq!(json!(record.content), json!({"city": "Graz"}));
    assert!(west.metrics().borrow().sources["web"].failed_in_a_row > 3);
    link.cut(false);
    sleep(Duration::from_secs(20)).await;
    assert_eq!(fresh(west.get(&ann, None).await), json!({"city": "Linz"}));
}

/// What happens to two regions: a write of a source, a link that is cut or restored, and time.
#[derive(Debug, Clone)]
enum Event {
    Write { source: usize, id: usize, second: i64 },
    Link { region: usize, source: usize, is_cut: bool },
    Wait { millis: u64 },
}

const NAMES: [&str; 3] = ["a", "b", "c"];
const IDS: [&str; 2] = ["x", "y"];

fn event() -> impl proptest::strategy::Strategy<Value = Event> {
    prop_oneof![
        (0..3usize, 0..2usize, 1..4i64).prop_map(|(source, id, second)| Event::Write {
            source,
            id,
            second
        }),
        (0..2usize, 0..3usize, any::<bool>()).prop_map(|(region, source, is_cut)| Event::Link {
            region,
            source,
            is_cut
        }),
        (0..3000u64).prop_map(|millis| Event::Wait { millis }),
    ]
}

/// Plays the events, restores all links, and returns what each region shows.
async fn shown(strategy: Strategy, events: &[Event]) -> [Vec<serde_json::Value>; 2] {
    let databases = NAMES.map(Database::new);
    let mut links = Vec::new();
    let mut regions = Vec::new();
    for region in 0..2usize {
        let engine = engine(Rule::By(strategy), MemoryStore::new()).await;
        let own: Vec<_> = databases.iter().map(Link::to).collect();
        // The regions add the sources in another order.
        let order = if region == 0 { [0, 1, 2] } else { [2, 0, 1] };
        for (number, (priority, trust)) in
            order.into_iter().map(|n| (n, [(2, 0), (1, 1), (1, 1)][n]))
        {
            let source = own[number].clone();
            engine.add_source(source, meta(priority, trust)).expect("three different sources");
        }
        links.push(own);
        regions.push(engine);
    }
    for event in events {
        match *event {
            Event::Write { source, id, second } => {
                // A source that is asked twice about one moment says the same twice.
                let fields = json!({"v": second, NAMES[source]: second});
                databases[source].write(record(IDS[id], second, &fields));
            }
            Event::Link { region, source, is_cut } => links[region][source].cut(is_cut),
            Event::Wait { millis } => sleep(Duration::from_millis(millis)).await,
        }
    }
    for link in links.iter().flatten() {
        link.cut(false);
    }
    // The longest wait after failures is ten times the base of 2 s.
    sleep(Duration::from_secs(60)).await;
    let mut all = [Vec::new(), Vec::new()];
    for (region, shown) in regions.iter().zip(&mut all) {
        for id in IDS {
            let last = region.history(&id.into()).pop();
            shown.push(json!(last.map(|record| (record.content, record.stamp.to_text()))));
        }
    }
    all
}

trait ToText {
    fn to_text(&self) -> String;
}

impl ToText for level5::conflict::Stamp {
    fn to_text(&self) -> String {
        format!("{} v{} of {}", self.at, self.version, self.source)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever was cut and for how long: when all links work again, both regions show the same.
    ///
    /// The sources write forwards only, as a database does; else a region may have seen a record that its source has
    /// no more.
    #[test]
    fn two_regions_converge(mut events in proptest::collection::vec(event(), 1..40)) {
        let mut newest: BTreeMap<(usize, usize), i64> = BTreeMap::new();
        events.retain(|event| match *event {
            Event::Write { source, id, second } => {
                let newest = newest.entry((source, id)).or_insert(0);
                let is_news = second > *newest;
                *newest = second.max(*newest);
                is_news
            }
            _ => true,
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        for strategy in [Strategy::Newest, Strategy::Priority, Strategy::Trust, Strategy::Merge] {
            let [east, west] = runtime.block_on(shown(strategy, &events));
            prop_assert_eq!(east, west, "{:?}", strategy);
        }
    }
}
