//! The file of the endpoints: TOML, with their secrets. Only its owner may read it.

use std::collections::HashSet;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use level3_adapters::webhooks::HookUrl;
use serde::{Deserialize, Deserializer};

use super::event::EventType;
use super::secret::Secret;
use crate::merchants::{KeyId, MerchantId};
use crate::watched::Watched;

/// The endpoints of all merchants, as the file has them.
///
/// ```toml
/// [[endpoint]]
/// id = "5d1c0e9b7a42"
/// merchant = "shop"
/// url = "https://shop.example/webhooks"
/// secrets = ["whsec_..."]
/// events = ["payment.paid", "refund.succeeded"]
/// ```
///
/// Without `events` the endpoint gets all of them. A rotation has two secrets: every notification has a
/// signature of each. The `id` connects an endpoint with its deliveries; another `url` under the same
/// `id` gets what is still to be delivered.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointFile {
    /// The endpoints.
    #[serde(default, rename = "endpoint")]
    pub endpoints: Vec<EndpointEntry>,
}

/// A merchant's endpoint for notifications.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointEntry {
    /// The name of the endpoint, unique in the file.
    pub id: KeyId,
    /// The merchant whose events it gets.
    pub merchant: MerchantId,
    /// The address that the notifications are sent to.
    #[serde(deserialize_with = "parsed")]
    pub url: HookUrl,
    /// Each signs every notification. At least one.
    #[serde(deserialize_with = "secrets")]
    pub secrets: Vec<Secret>,
    /// The types that it gets; `None` for all.
    #[serde(default)]
    pub events: Option<Vec<EventType>>,
}

fn parsed<'de, D: Deserializer<'de>>(from: D) -> Result<HookUrl, D::Error> {
    String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
}

fn secrets<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Secret>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    if texts.is_empty() {
        return Err(serde::de::Error::custom("an endpoint needs a secret"));
    }
    texts.iter().map(|text| text.parse().map_err(serde::de::Error::custom)).collect()
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EndpointFileError {
    /// The file cannot be read or written.
    #[error("{}: {why}", path.display())]
    Io {
        /// The path of the file.
        path: PathBuf,
        /// The error of the operating system.
        why: io::Error,
    },
    /// The file is not TOML, or has other entries.
    #[error("{}: {why}", path.display())]
    Syntax {
        /// The path of the file.
        path: PathBuf,
        /// The parser's message, without the line, which may hold a secret.
        why: String,
    },
    /// Two entries have one name.
    #[error("{}: the endpoint {id} is there twice", path.display())]
    Twice {
        /// The path of the file.
        path: PathBuf,
        /// The name that two entries have.
        id: KeyId,
    },
    /// The operating system has no random bytes for a secret.
    #[error("the operating system has no random bytes: {0}")]
    Random(getrandom::Error),
}

impl EndpointEntry {
    /// Makes an endpoint with a random name and a random secret.
    ///
    /// # Errors
    ///
    /// [`EndpointFileError::Random`].
    pub fn new(
        merchant: MerchantId,
        url: HookUrl,
        events: Option<Vec<EventType>>,
    ) -> Result<Self, EndpointFileError> {
        let random = EndpointFileError::Random;
        let id = KeyId::random().map_err(random)?;
        let secrets = vec![Secret::random().map_err(random)?];
        Ok(Self { id, merchant, url, secrets, events })
    }

    /// Writes the entry as TOML. No value has a character that TOML would escape: a URL has none.
    fn toml(&self) -> String {
        let quoted = |texts: Vec<String>| {
            texts.iter().map(|text| format!("\"{text}\"")).collect::<Vec<_>>().join(", ")
        };
        let (id, merchant, url) = (&self.id, &self.merchant, self.url.as_str());
        let secrets = quoted(self.secrets.iter().map(Secret::expose).collect());
        let mut text = format!(
            "[[endpoint]]\nid = \"{id}\"\nmerchant = \"{merchant}\"\nurl = \"{url}\"\nsecrets = [{secrets}]\n"
        );
        if let Some(events) = &self.events {
            let names = events.iter().map(|event| event.name().to_owned()).collect();
            text += &format!("events = [{}]\n", quoted(names));
        }
        text + "\n"
    }

    /// Adds the entry at the end of a file, and creates the file if there is none. Only its owner may
    /// read a file that is created. Blocks.
    ///
    /// # Errors
    ///
    /// [`EndpointFileError::Io`].
    pub fn append_to(&self, path: &Path) -> Result<(), EndpointFileError> {
        let mut options = std::fs::OpenOptions::new();
        options.append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let write = || {
            let mut file = options.open(path)?;
            // One write: a reader sees the whole entry or nothing of it.
            file.write_all(self.toml().as_bytes())?;
            file.sync_all()
        };
        write().map_err(|why| EndpointFileError::Io { path: path.to_owned(), why })
    }

    /// Whether the endpoint gets events of this type.
    pub(super) fn wants(&self, merchant: &str, event: EventType) -> bool {
        let wants = self.events.as_ref().is_none_or(|events| events.contains(&event));
        self.merchant.as_str() == merchant && wants
    }
}

impl EndpointFile {
    /// Reads a file; a missing one has no endpoints. Blocks.
    ///
    /// # Errors
    ///
    /// [`EndpointFileError`] says what is wrong.
    pub fn read(path: &Path) -> Result<Self, EndpointFileError> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(why) => return Err(EndpointFileError::Io { path: path.to_owned(), why }),
        };
        let file: Self = toml::from_str(&text).map_err(|why| EndpointFileError::Syntax {
            path: path.to_owned(),
            why: why.message().to_owned(),
        })?;
        let mut ids = HashSet::new();
        match file.endpoints.iter().find(|endpoint| !ids.insert(&endpoint.id)) {
            Some(twice) => {
                Err(EndpointFileError::Twice { path: path.to_owned(), id: twice.id.clone() })
            }
            None => Ok(file),
        }
    }
}

/// The endpoints that are valid now. Cheap to clone; clones share them.
#[derive(Debug, Clone)]
pub struct Endpoints(Arc<RwLock<Arc<Vec<EndpointEntry>>>>);

impl Endpoints {
    /// Takes the endpoints of a file.
    #[must_use]
    pub fn new(file: EndpointFile) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(file.endpoints))))
    }

    /// Replaces all endpoints.
    pub fn replace(&self, file: EndpointFile) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(file.endpoints);
    }

    pub(super) fn all(&self) -> Arc<Vec<EndpointEntry>> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn find(&self, id: &str) -> Option<EndpointEntry> {
        self.all().iter().find(|endpoint| endpoint.id.as_str() == id).cloned()
    }

    /// Reads the file again whenever it has changed, until the future is dropped. A file that cannot
    /// be used changes nothing, and the log has the error.
    pub async fn follow(&self, path: PathBuf, every: Duration) {
        let mut watched = Watched::new(vec![path.clone()], every);
        loop {
            watched.changed().await;
            let path = path.clone();
            let read = tokio::task::spawn_blocking(move || EndpointFile::read(&path)).await;
            match read {
                Ok(Ok(file)) => {
                    tracing::info!(endpoints = file.endpoints.len(), "the endpoints were read");
                    self.replace(file);
                }
                Ok(Err(error)) => tracing::error!(%error, "the endpoints stay as they are"),
                Err(error) => tracing::error!(%error, "the endpoints stay as they are"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(events: Option<Vec<EventType>>) -> EndpointEntry {
        let url = "https://shop.example/hook?token=a%22b".parse().unwrap();
        EndpointEntry::new("shop".parse().unwrap(), url, events).unwrap()
    }

    #[test]
    fn a_file_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("webhooks.toml");
        assert_eq!(EndpointFile::read(&path).unwrap(), EndpointFile::default());
        let (all, some) = (entry(None), entry(Some(vec![EventType::PaymentPaid])));
        all.append_to(&path).unwrap();
        some.append_to(&path).unwrap();
        let file = EndpointFile::read(&path).unwrap();
        assert_eq!(file.endpoints, [all.clone(), some.clone()]);
        assert!(
            all.wants("shop", EventType::RefundFailed)
                && !all.wants("rival", EventType::PaymentPaid)
        );
        assert!(some.wants("shop", EventType::PaymentPaid));
        assert!(!some.wants("shop", EventType::RefundFailed));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        all.append_to(&path).unwrap();
        assert!(matches!(EndpointFile::read(&path), Err(EndpointFileError::Twice { .. })));
    }

    #[test]
    fn a_wrong_file_is_refused_without_its_secrets() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("webhooks.toml");
        let good = entry(Some(vec![EventType::PaymentPaid])).toml();
        for (from, to) in [
            ("https:", "http:"),
            ("whsec_", "canary_"),
            ("payment.paid", "payment.made"),
            ("secrets = [\"", "secrets = [\"canary-\", \""),
            ("merchant", "shop"),
        ] {
            std::fs::write(&path, good.replacen(from, to, 1)).unwrap();
            let error = EndpointFile::read(&path).unwrap_err();
            assert!(matches!(error, EndpointFileError::Syntax { .. }), "{error}");
            assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
        }
        let none = good.split("secrets").next().unwrap().to_owned() + "secrets = []\n";
        std::fs::write(&path, none).unwrap();
        assert!(EndpointFile::read(&path).is_err());
    }
}
