//! The file of the API keys: TOML, with the hashes of the keys and not the keys.

use std::collections::HashSet;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::key::{ApiKey, KeyHash, KeyId, MerchantId, Scope};
use super::rate::{LimitEntry, RateLimit};

/// The API keys of all merchants, as the file has them.
///
/// ```toml
/// [[key]]
/// id = "5d1c0e9b7a42"
/// merchant = "shop"
/// scopes = ["payments:read", "payments:write"]
/// sha256 = "..."
/// ```
///
/// A key is valid while its entry is there. A rotation has two: the new key is added, the clients
/// change, the entry of the old one is deleted.
///
/// A merchant whose requests have another limit than [`RateLimit::default`] has an entry for it:
///
/// ```toml
/// [[limit]]
/// merchant = "shop"
/// per_second = 20
/// burst = 40
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyFile {
    /// The keys that are valid.
    #[serde(default, rename = "key")]
    pub keys: Vec<KeyEntry>,
    /// The limits that differ from the default. A limit of a merchant that has no key is allowed:
    /// otherwise an operator who deletes the last key of a merchant would get a file that is refused,
    /// and the key would stay valid.
    #[serde(default, rename = "limit")]
    pub limits: Vec<LimitEntry>,
}

/// An API key of a merchant.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyEntry {
    /// The public name of the key.
    pub id: KeyId,
    /// The merchant whose key it is.
    pub merchant: MerchantId,
    /// What the key may do.
    pub scopes: Vec<Scope>,
    /// The SHA-256 of the key.
    pub sha256: KeyHash,
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
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
        /// The parser's message, with line and column.
        why: String,
    },
    /// Two entries have one name.
    #[error("{}: the key {id} is there twice", path.display())]
    Twice {
        /// The path of the file.
        path: PathBuf,
        /// The name that two entries have.
        id: KeyId,
    },
    /// A merchant has two limits.
    #[error("{}: the merchant {merchant} has two limits", path.display())]
    TwoLimits {
        /// The path of the file.
        path: PathBuf,
        /// The merchant that two entries name.
        merchant: MerchantId,
    },
    /// The operating system has no random bytes for a key.
    #[error("the operating system has no random bytes: {0}")]
    Random(getrandom::Error),
}

impl KeyEntry {
    /// Makes a key with a random secret, and its entry. The key itself is kept nowhere.
    ///
    /// # Errors
    ///
    /// [`FileError::Random`].
    pub fn new(merchant: MerchantId, scopes: Vec<Scope>) -> Result<(ApiKey, Self), FileError> {
        let key = ApiKey::random().map_err(FileError::Random)?;
        let entry = Self { id: key.id().clone(), merchant, scopes, sha256: key.hash() };
        Ok((key, entry))
    }

    /// Writes the entry as TOML. No value has a character that TOML would escape.
    fn toml(&self) -> String {
        let scopes: Vec<_> =
            self.scopes.iter().map(|scope| format!("\"{}\"", scope.name())).collect();
        let (id, merchant, scopes) = (&self.id, &self.merchant, scopes.join(", "));
        let sha256 = String::from(self.sha256);
        format!(
            "[[key]]\nid = \"{id}\"\nmerchant = \"{merchant}\"\nscopes = [{scopes}]\nsha256 = \"{sha256}\"\n\n"
        )
    }

    /// Adds the entry at the end of a file, and creates the file if there is none. Only its owner may
    /// read a file that is created. Blocks.
    ///
    /// # Errors
    ///
    /// [`FileError::Io`].
    pub fn append_to(&self, path: &Path) -> Result<(), FileError> {
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
        write().map_err(|why| FileError::Io { path: path.to_owned(), why })
    }
}

impl KeyFile {
    /// Reads a file. Blocks.
    ///
    /// # Errors
    ///
    /// [`FileError`] says what is wrong.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        let io = |why| FileError::Io { path: path.to_owned(), why };
        let text = std::fs::read_to_string(path).map_err(io)?;
        let file: Self = toml::from_str(&text).map_err(|why| FileError::Syntax {
            path: path.to_owned(),
            // The message shows the line, which has a hash at most.
            why: why.to_string(),
        })?;
        let mut ids = HashSet::new();
        if let Some(key) = file.keys.iter().find(|key| !ids.insert(&key.id)) {
            return Err(FileError::Twice { path: path.to_owned(), id: key.id.clone() });
        }
        let mut limited = HashSet::new();
        match file.limits.iter().find(|limit| !limited.insert(&limit.merchant)) {
            Some(LimitEntry { merchant, .. }) => {
                Err(FileError::TwoLimits { path: path.to_owned(), merchant: merchant.clone() })
            }
            None => Ok(file),
        }
    }

    /// Returns the limit of a merchant's requests.
    #[must_use]
    pub fn limit(&self, merchant: &MerchantId) -> RateLimit {
        let own = self.limits.iter().find(|limit| limit.merchant == *merchant);
        own.map(LimitEntry::limit).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        let shop: MerchantId = "shop".parse().unwrap();
        let (key, first) = KeyEntry::new(shop.clone(), vec![Scope::PaymentsRead]).unwrap();
        let (_, second) = KeyEntry::new(shop, Scope::ALL.to_vec()).unwrap();
        for entry in [&first, &second] {
            entry.append_to(&path).unwrap();
        }
        assert_eq!(KeyFile::read(&path).unwrap().keys, [first.clone(), second]);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains(key.expose().rsplit('_').next().unwrap()), "{text}");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        first.append_to(&path).unwrap();
        assert!(matches!(KeyFile::read(&path), Err(FileError::Twice { .. })));
    }

    #[test]
    fn a_merchant_has_one_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        let limit = "[[limit]]\nmerchant = \"shop\"\nper_second = 5\n";
        std::fs::write(&path, limit).unwrap();
        // An entry that is added later goes below the limit.
        let (_, entry) = KeyEntry::new("rival".parse().unwrap(), vec![Scope::Operator]).unwrap();
        entry.append_to(&path).unwrap();
        let file = KeyFile::read(&path).unwrap();
        let of = |merchant: &str| file.limit(&merchant.parse().unwrap());
        assert_eq!((of("shop").per_second.get(), of("shop").burst.get()), (5, 10));
        assert_eq!(of("rival"), RateLimit::default());
        std::fs::write(&path, format!("{limit}\n{limit}")).unwrap();
        assert!(matches!(KeyFile::read(&path), Err(FileError::TwoLimits { .. })));
        std::fs::write(&path, limit.replace('5', "0")).unwrap();
        let refused = KeyFile::read(&path).unwrap_err().to_string();
        assert!(refused.contains("nonzero"), "{refused}");
    }

    #[test]
    fn a_file_that_says_something_else_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        let (_, entry) = KeyEntry::new("shop".parse().unwrap(), vec![Scope::Operator]).unwrap();
        let good = entry.toml();
        for (from, to) in [
            ("[[key]]", "[[keys]]"),
            ("shop", "Shop"),
            ("operator", "root"),
            ("sha256 = \"", "sha256 = \"0"),
            ("id =", "name ="),
            ("id = \"", "id = \"a b"),
        ] {
            std::fs::write(&path, good.replacen(from, to, 1)).unwrap();
            assert!(matches!(KeyFile::read(&path), Err(FileError::Syntax { .. })), "{from} {to}");
        }
        std::fs::write(&path, good).unwrap();
        assert!(KeyFile::read(&path).is_ok());
        assert!(matches!(KeyFile::read(&folder.path().join("none")), Err(FileError::Io { .. })));
    }
}
