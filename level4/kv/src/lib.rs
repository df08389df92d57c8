//! Two stores behind level 4's [`KeyValue`](level4::dashboard::KeyValue): [`Memory`], the default, and [`Disk`], a file
//! that outlives the process.
//!
//! ```no_run
//! use level4::dashboard::{Dashboard, DashboardApi, Settings};
//! use level4_kv::{DEFAULT_BYTES, Disk, Memory, StoreError};
//!
//! fn in_memory(api: impl DashboardApi) {
//!     let _dashboard = Dashboard::new(api, Memory::default(), Settings::default());
//! }
//!
//! fn on_disk(api: impl DashboardApi) -> Result<(), StoreError> {
//!     let copies = Disk::open("copies.redb", DEFAULT_BYTES)?;
//!     let _dashboard = Dashboard::new(api, copies, Settings::default());
//!     Ok(())
//! }
//! ```
//!
//! # Why redb
//!
//! A store of copies needs little: one process, one table, writes that survive a crash, and an error instead of wrong
//! data. The candidates, by what matters for that:
//!
//! | store | for it | against it |
//! |---|---|---|
//! | redb | one file, Rust alone, one dependency; a checksum for every page; a transaction is durable when it returns; file format with a version | each durable write waits for the disk |
//! | rusqlite | level 3 has it already; the best-tested file format there is | a C compiler for a build of level 4; no checksum of pages, so damage is not always found |
//! | fjall | faster writes: a log, merged in the background | a folder of files, threads of its own, more dependencies; made for more data than copies are |
//! | heed (LMDB) | fastest reads | C; opening is `unsafe`, which this workspace forbids; the size of the map is fixed in advance |
//! | sled | has been the common choice | no stable release since 2021; its format changes |

mod disk;
mod error;
mod fault;
mod memory;

pub use disk::Disk;
pub use error::StoreError;
pub use fault::Fault;
pub use memory::Memory;

/// The bytes of keys and texts that a store keeps by default: 16 MiB.
pub const DEFAULT_BYTES: u64 = 16 << 20;

/// The bytes that a text and its key count as.
const fn cost(key: &str, text: &str) -> u64 {
    // A length of memory fits.
    (key.len() as u64).saturating_add(text.len() as u64)
}
