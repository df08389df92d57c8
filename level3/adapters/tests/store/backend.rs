//! The stores that a case runs on.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use level3_adapters::postgres::{PostgresOptions, PostgresStore};
use level3_adapters::sqlite::{SqliteOptions, SqliteStore};
use level3_domain::journal::{Journal, MemoryJournal};
use level3_domain::provider::Ledger;
use level3_sim::{Latencies, NoFaults, World};
use tokio::runtime::{Builder, Runtime};

use crate::payments::Place;
use crate::server::{Flush, Server};

/// How long an owner may be silent where a test waits for that. Long enough for a machine that is busy
/// with other tests to get a write done.
pub const SHORT: Duration = Duration::from_millis(600);
/// The same for tests in which no owner may appear silent.
pub const LONG: Duration = Duration::from_secs(600);

/// A journal and a ledger that a case is tried on.
#[derive(Clone)]
pub struct Subject {
    pub journal: Arc<dyn Journal>,
    pub ledger: Arc<dyn Ledger>,
    /// How long an owner may be silent.
    pub lease: Duration,
}

impl Subject {
    fn of<S: Journal + Ledger + Clone + 'static>(store: S, lease: Duration) -> Self {
        Self { journal: Arc::new(store.clone()), ledger: Arc::new(store), lease }
    }
}

/// A runtime for what is real: two threads, and a clock that runs.
pub fn real() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// Everything in memory, in virtual time: the model of what the others have to do. It has a lease of its
/// own.
pub fn memory(_: Duration, case: impl AsyncFnOnce(Subject)) {
    let world = World::with(Latencies::NONE, Arc::new(NoFaults), None);
    let subject = Subject {
        journal: Arc::new(MemoryJournal::new()),
        ledger: world.providers().ledger,
        lease: Duration::from_secs(20),
    };
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.expect("a runtime").block_on(case(subject));
}

/// The default's options with another lease.
pub fn leased(lease: Duration) -> SqliteOptions {
    SqliteOptions { lease, ..SqliteOptions::default() }
}

/// A file in a folder of its own.
pub fn sqlite_file(lease: Duration, case: impl AsyncFnOnce(Subject)) {
    let folder = tempfile::tempdir().expect("a folder");
    real().block_on(async {
        let path = folder.path().join("store.db");
        let store = SqliteStore::open_with(path, leased(lease)).await.expect("a store");
        case(Subject::of(store.clone(), lease)).await;
        store.close().await;
    });
}

/// A database of its own on a server that all tests share; none where there is no PostgreSQL.
pub fn database() -> Option<String> {
    // Never dropped: the server ends with the process.
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    let server = SERVER.get_or_init(|| Server::start(Flush::Cache).expect("a server"));
    server.as_ref().map(|server| server.database().expect("a database"))
}

/// A database of its own; nothing where there is no PostgreSQL.
pub fn postgres_database(lease: Duration, case: impl AsyncFnOnce(Subject)) {
    let Some(url) = database() else { return };
    real().block_on(async {
        let options = PostgresOptions { lease, ..PostgresOptions::default() };
        let store = PostgresStore::connect_with(&url, options).await.expect("a store");
        case(Subject::of(store.clone(), lease)).await;
        store.close().await;
    });
}

/// A file that a case opens as often as it likes.
pub fn in_a_file(case: impl FnOnce(Place)) {
    let folder = tempfile::tempdir().expect("a folder");
    case(Place::File(folder.path().join("store.db")));
}

/// A database that a case connects to as often as it likes.
pub fn in_postgres(case: impl FnOnce(Place)) {
    if let Some(url) = database() {
        case(Place::Url(url));
    }
}
