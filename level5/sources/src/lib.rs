//! What level 5's [sync engine](level5::sync_engine) runs on for real: three sources, and a store on disk.
//!
//! | type | what it reads or keeps |
//! |---|---|
//! | [`HttpSource`] | a JSON document behind a URL, with conditional requests |
//! | [`FileSource`] | a JSON document or JSON lines in a file, which is watched |
//! | [`PostgresSource`] | a table, whose changes triggers note with a logical time |
//! | [`DiskStore`] | the engine's records in a file: versions, deletions, decisions |
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use level4_http::{Limits, Reqwest};
//! use level5::conflict::{SourceId, Standing};
//! use level5::sync_engine::{Config, Engine, SourceMeta};
//! use level5::wall_clock::SystemWall;
//! use level5_sources::{DiskStore, FileConfig, FileSource, HttpSource, Layout, follow, known};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let (file, web) = (SourceId::new("file"), SourceId::new("web"));
//! let store = DiskStore::open("people.redb")?;
//! let (of_file, of_web) = (known(&store, &file).await?, known(&store, &web).await?);
//! let engine = Engine::start(Config::default(), store, SystemWall).await?;
//!
//! let every = Duration::from_secs(10);
//! let meta = SourceMeta { standing: Standing::default(), latency: Duration::ZERO, every };
//! let people = FileSource::open(file, "people.json", FileConfig::document(), of_file)?;
//! let changes = people.changes();
//! engine.add_source(people, meta)?;
//! let transport = Reqwest::new(Limits::default())?;
//! let page = HttpSource::new(web, "https://example.com/people", Layout::default(), transport)?;
//! engine.add_source(page.with_known(of_web), meta)?;
//! follow(&engine, changes).await; // a change of the file does not wait for the next poll
//! # Ok(())
//! # }
//! ```
//!
//! # Deletions
//!
//! The engine keeps a record until a source says that it was deleted. A list says that by silence. So a source compares
//! each list with the one before, and delivers what is missing as deleted, with a stamp that is newer than that of the
//! record. [`known`] reads from the store what a source has delivered in earlier runs: with it, the first list of a process
//! is compared too. What the engine has not saved before a crash is in neither, so both continue from the same state.
//!
//! No fault looks like a deletion: a status other than 200, a file that is missing or cut off, a list without its array, and
//! an outdated copy are failures of the source.
//!
//! # Why redb
//!
//! The store needs what level 4's copies need, and the reasons are those of `level4-kv`: one file, Rust alone, a checksum for
//! every page, a transaction that is durable when it returns. It adds one thing. A file that a crash has left in the middle of
//! its making is refused by redb, so a store is made under another name, and gets its own when it is complete.
//!
//! # Why not the write-ahead log of PostgreSQL
//!
//! Logical decoding has every change of every table without triggers, and suits an engine that follows many tables. It needs
//! `wal_level = logical`, a slot that keeps the log of a server until its reader returns, and the rights to make one. A source
//! of one table, which only needs the newest state of each row, asks for less: triggers and a `select`.

mod disk;
mod file;
mod http;
mod known;
mod layout;
mod postgres;

pub use disk::{DiskError, DiskStore};
pub use file::{Changes, FileConfig, FileError, FileSource, Format, Missing, follow};
pub use http::{HttpSource, UrlError};
pub use known::{Absent, known};
pub use layout::Layout;
pub use postgres::{PostgresError, PostgresSource, Table};
