//! The store that the command line names.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use level3_adapters::postgres::{PostgresAddress, PostgresOptions, PostgresReader, PostgresStore};
use level3_adapters::sql::{Anchor, Audited, Checked, Records, Store, StoreError, TrialBalance};
use level3_adapters::sqlite::{SqliteOptions, SqliteReader, SqliteStore};

use super::password;
use super::problem::ProgramError;
use super::view::say;

/// The place in which payments are kept.
#[derive(Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// `sqlite:FILE`, or `sqlite:FILE?max_pages=N` for a file that may have N pages of 4096 bytes.
    Sqlite { file: PathBuf, max_pages: Option<u32> },
    /// `postgres://...`, which may hold a password.
    Postgres(String),
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite { file, .. } => write!(f, "sqlite:{}", file.display()),
            Self::Postgres(_) => f.write_str("postgres://***"),
        }
    }
}

/// Why a text is not the place of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoStore {
    /// Neither of the two.
    #[error("write sqlite:FILE or postgres://USER@HOST:PORT/DATABASE")]
    Scheme,
    /// `sqlite:` alone.
    #[error("a file is missing: write sqlite:FILE")]
    NoFile,
    /// `sqlite::memory:` and the like.
    #[error("a store in memory is gone with the program: write sqlite:FILE")]
    Memory,
    /// `?max_pages=` with something that is no number.
    #[error("max_pages is a whole number of pages of 4096 bytes")]
    Pages,
}

impl FromStr for StoreUrl {
    type Err = NoStore;

    fn from_str(text: &str) -> Result<Self, NoStore> {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Ok(Self::Postgres(text.to_owned()));
        }
        let rest = text.strip_prefix("sqlite:").ok_or(NoStore::Scheme)?;
        // As a URL it has an empty host: sqlite:///home/me/payments.sqlite.
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        let (file, max_pages) = match rest.rsplit_once("?max_pages=") {
            Some((file, pages)) => (file, Some(pages.parse().map_err(|_| NoStore::Pages)?)),
            None => (rest, None),
        };
        if file.is_empty() {
            return Err(NoStore::NoFile);
        }
        // Texts that SQLite does not read as the name of a file.
        if file.starts_with(':') || file.starts_with("file:") {
            return Err(NoStore::Memory);
        }
        Ok(Self::Sqlite { file: file.into(), max_pages })
    }
}

/// An open store, of either kind.
pub struct OpenStore {
    pub store: Arc<dyn Store>,
    kind: Kind,
}

enum Kind {
    Sqlite(SqliteStore),
    Postgres(PostgresStore),
}

impl StoreUrl {
    /// Opens or creates the store. Asks for the password of a database if it is missing.
    pub async fn open(&self) -> Result<OpenStore, ProgramError> {
        Ok(match self {
            Self::Sqlite { file, max_pages } => {
                let options = SqliteOptions { max_pages: *max_pages, ..SqliteOptions::default() };
                let store = SqliteStore::open_with(file, options).await?;
                OpenStore { store: Arc::new(store.clone()), kind: Kind::Sqlite(store) }
            }
            Self::Postgres(url) => {
                let connect =
                    |address| PostgresStore::connect_to(address, PostgresOptions::default());
                let store = with_password(url, connect).await?;
                if store.is_exposed() {
                    say(&format!(
                        "payment-gateway: the connection to {} is not encrypted, since the server \
                         has no TLS. sslmode=verify-full demands it; sslmode=disable says that this \
                         network is trusted.",
                        Store::place(&store)
                    ));
                }
                OpenStore { store: Arc::new(store.clone()), kind: Kind::Postgres(store) }
            }
        })
    }

    /// Opens the store to read it, if it exists. This does not change a file, and the file need not
    /// be writable.
    pub async fn open_to_read(&self) -> Result<Box<dyn Records>, ProgramError> {
        self.exists()?;
        Ok(match self {
            Self::Sqlite { file, .. } => Box::new(SqliteReader::open(file).await?),
            Self::Postgres(url) => Box::new(reader(url).await?),
        })
    }

    /// Checks the whole store, if it exists, without changing it. Returns its place too.
    pub async fn check(&self) -> Result<(String, Checked), ProgramError> {
        self.exists()?;
        Ok(match self {
            Self::Sqlite { file, .. } => {
                let reader = SqliteReader::open(file).await?;
                (reader.place().to_owned(), reader.check().await?)
            }
            Self::Postgres(url) => {
                let reader = reader(url).await?;
                (reader.place().to_owned(), reader.check().await?)
            }
        })
    }

    /// Verifies the audit trail of the store, if it exists, without changing it. Returns its place too.
    pub async fn audit(&self, anchors: Vec<Anchor>) -> Result<(String, Audited), ProgramError> {
        self.exists()?;
        let (place, audited) = match self {
            Self::Sqlite { file, .. } => {
                let reader = SqliteReader::open(file).await?;
                (reader.place().to_owned(), reader.audit(anchors).await?)
            }
            Self::Postgres(url) => {
                let reader = reader(url).await?;
                (reader.place().to_owned(), reader.audit(anchors).await?)
            }
        };
        match audited {
            Some(audited) => Ok((place, audited)),
            None => Err(ProgramError::Earlier { place, what: "an audit trail" }),
        }
    }

    /// Adds up the postings of the store, if it exists, without changing it. Returns its place too.
    pub async fn trial_balance(&self) -> Result<(String, TrialBalance), ProgramError> {
        self.exists()?;
        let (place, balance) = match self {
            Self::Sqlite { file, .. } => {
                let reader = SqliteReader::open(file).await?;
                (reader.place().to_owned(), reader.trial_balance().await?)
            }
            Self::Postgres(url) => {
                let reader = reader(url).await?;
                (reader.place().to_owned(), reader.trial_balance().await?)
            }
        };
        match balance {
            Some(balance) => Ok((place, balance)),
            None => Err(ProgramError::Earlier { place, what: "postings" }),
        }
    }

    /// Copies the store into a new file, and checks the copy. Returns what the check has found.
    pub async fn back_up(&self, file: &Path) -> Result<Checked, ProgramError> {
        self.exists()?;
        match self {
            Self::Sqlite { file: store, .. } => {
                SqliteReader::open(store).await?.back_up(file.to_owned()).await?;
                Ok(SqliteReader::open(file).await?.check().await?)
            }
            Self::Postgres(url) => {
                let place = PostgresAddress::new(url)?.place().to_owned();
                Err(ProgramError::NotAFile { place, file: file.to_owned() })
            }
        }
    }

    /// Whether there is a store to open. For a database server, only the connection shows that.
    pub fn exists(&self) -> Result<(), ProgramError> {
        match self {
            Self::Sqlite { file, .. } if !file.exists() => {
                Err(ProgramError::NoStore { file: file.clone() })
            }
            _ => Ok(()),
        }
    }

    /// Returns the place of the files of simulated services, beside this store.
    pub fn simulated(&self) -> PathBuf {
        match self {
            Self::Sqlite { file, .. } => file.clone(),
            Self::Postgres(url) => {
                // Each database has simulated services of its own. The name must be that of a file,
                // whatever the URL contains.
                let path = url.split(['?', '#']).next().unwrap_or_default();
                let name = path.rsplit('/').next().unwrap_or_default();
                let is_fine = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
                let name: String = name.chars().filter(|c| is_fine(*c)).collect();
                Path::new(if name.is_empty() { "postgres" } else { &name }).to_owned()
            }
        }
    }
}

/// Connects to a database to read it.
async fn reader(url: &str) -> Result<PostgresReader, ProgramError> {
    let patience = PostgresOptions::default().patience;
    with_password(url, |address| PostgresReader::connect(address, patience)).await
}

/// Connects, and once more with a password if the database asks for one.
async fn with_password<T, F>(
    url: &str,
    connect: impl Fn(PostgresAddress) -> F,
) -> Result<T, ProgramError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let address = PostgresAddress::new(url)?;
    match connect(address.clone()).await {
        Err(missing @ StoreError::NoPassword { .. }) => {
            let password = password::ask(address.place(), missing)?;
            Ok(connect(address.with_password(&password)).await?)
        }
        connected => Ok(connected?),
    }
}

impl OpenStore {
    /// Finishes the operations that were begun, and closes the store.
    pub async fn close(self) {
        match self.kind {
            Kind::Sqlite(store) => store.close().await,
            Kind::Postgres(store) => store.close().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sqlite(file: &str, max_pages: Option<u32>) -> StoreUrl {
        StoreUrl::Sqlite { file: file.into(), max_pages }
    }

    #[test]
    fn stores_are_named_by_urls() {
        assert_eq!("sqlite:a.db".parse(), Ok(sqlite("a.db", None)));
        assert_eq!("sqlite:/a/b.db".parse(), Ok(sqlite("/a/b.db", None)));
        assert_eq!("sqlite:///a/b.db".parse(), Ok(sqlite("/a/b.db", None)));
        assert_eq!("sqlite:a.db?max_pages=20".parse(), Ok(sqlite("a.db", Some(20))));
        assert_eq!("sqlite:".parse::<StoreUrl>(), Err(NoStore::NoFile));
        assert_eq!("sqlite:a.db?max_pages=x".parse::<StoreUrl>(), Err(NoStore::Pages));
        for text in ["sqlite::memory:", "sqlite:file::memory:", "sqlite:file:a?mode=memory"] {
            assert_eq!(text.parse::<StoreUrl>(), Err(NoStore::Memory), "{text}");
        }
        for text in ["", "a.db", "mysql://localhost/a", "http://localhost"] {
            assert_eq!(text.parse::<StoreUrl>(), Err(NoStore::Scheme), "{text}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let place: StoreUrl = "postgres://me:secret@localhost/shop".parse().unwrap();
        assert!(!format!("{place:?}").contains("secret"));
        assert_eq!(place.simulated(), Path::new("shop"));
    }

    #[test]
    fn the_simulated_services_of_any_database_have_a_file() {
        for (url, name) in [
            ("postgres://localhost", "localhost"),
            ("postgres://localhost/", "postgres"),
            ("postgres://me:a/../b@h/shop?sslmode=disable", "shop"),
        ] {
            let place: StoreUrl = url.parse().unwrap();
            assert_eq!(place.simulated(), Path::new(name), "{url}");
        }
    }
}
