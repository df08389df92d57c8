//! What level 5's sync engine needs for real: three sources, and a store on disk.

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
