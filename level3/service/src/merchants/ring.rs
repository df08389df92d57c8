//! Finds the merchant of a request.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;

use super::file::KeyFile;
use super::key::{ApiKey, KeyHash, KeyId, MerchantId, Scope};
use super::rate::Rate;
use crate::problem::{Problem, ProblemKind};
use crate::watched::Watched;

/// The merchant of a request, and what its key may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The merchant that the key belongs to.
    pub merchant: MerchantId,
    /// The name of the key.
    pub key: KeyId,
    scopes: Vec<Scope>,
}

impl Caller {
    /// Checks that the key has a scope.
    ///
    /// # Errors
    ///
    /// [`ProblemKind::Forbidden`], which names the scope.
    pub fn may(&self, scope: Scope) -> Result<(), Problem> {
        if self.scopes.contains(&scope) {
            return Ok(());
        }
        Err(Problem::new(ProblemKind::Forbidden, format!("the key needs {}", scope.name())))
    }
}

/// A key as the ring holds it.
#[derive(Debug)]
struct Known {
    hash: KeyHash,
    caller: Caller,
    // All keys of a merchant share it: a second key does not double what the merchant may send.
    rate: Arc<Rate>,
}

type Keys = HashMap<KeyId, Known>;

/// The keys that are valid now. Cheap to clone; clones share one ring.
#[derive(Debug, Clone)]
pub struct Keyring {
    // A standard lock: it is held to copy one pointer, and never across an await.
    keys: Arc<RwLock<Arc<Keys>>>,
}

impl Keyring {
    /// Makes a ring with the keys of a file.
    #[must_use]
    pub fn new(file: &KeyFile) -> Self {
        Self { keys: Arc::new(RwLock::new(Arc::new(keys(file, &Keys::new())))) }
    }

    /// Replaces all keys and limits. A request that was authorized before goes on. A merchant whose
    /// limit is the same keeps what it has used of it.
    pub fn replace(&self, file: &KeyFile) {
        let mut now = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        *now = Arc::new(keys(file, &now));
    }

    /// Finds the caller of a request by its header `Authorization: Bearer KEY`, and counts the request
    /// against the limit of the merchant.
    ///
    /// # Errors
    ///
    /// [`ProblemKind::Unauthorized`]: the answer is the same for a missing, a malformed, an unknown
    /// and a wrong key. Such a request counts for no merchant: a stranger cannot use up the limit of
    /// one. [`ProblemKind::RateLimited`]: the merchant sends more requests than its limit allows.
    pub fn caller(&self, headers: &HeaderMap) -> Result<Caller, Problem> {
        let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let given = given.and_then(|value| value.split_once(' ')).and_then(|(scheme, key)| {
            scheme.eq_ignore_ascii_case("bearer").then(|| ApiKey::read(key.trim())).flatten()
        });
        let keys = Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner));
        let known = given.as_ref().and_then(|given| Some((given, keys.get(given.id())?)));
        match known {
            Some((given, known)) if known.hash.matches(&given.hash()) => {
                let early = |wait| Problem::from(ProblemKind::RateLimited).retry_after(wait);
                known.rate.admit().map_err(early)?;
                Ok(known.caller.clone())
            }
            _ => Err(ProblemKind::Unauthorized.into()),
        }
    }

    /// Reads the file again whenever it has changed, until the future is dropped. A file that
    /// cannot be used changes nothing: the keys of before stay valid, and the log has the error.
    pub async fn follow(&self, path: PathBuf, every: Duration) {
        let mut watched = Watched::new(vec![path.clone()], every);
        loop {
            watched.changed().await;
            let path = path.clone();
            // The file has a few kilobytes, and another thread waits for the disk.
            let read = tokio::task::spawn_blocking(move || KeyFile::read(&path)).await;
            match read {
                Ok(Ok(file)) => {
                    self.replace(&file);
                    tracing::info!(keys = file.keys.len(), "the keys were read again");
                }
                Ok(Err(error)) => tracing::error!(%error, "the keys stay as they are"),
                Err(error) => tracing::error!(%error, "the keys stay as they are"),
            }
        }
    }
}

fn keys(file: &KeyFile, before: &Keys) -> Keys {
    let mut rates: HashMap<&MerchantId, Arc<Rate>> = HashMap::new();
    for Known { caller, rate, .. } in before.values() {
        if rate.limit() == file.limit(&caller.merchant) {
            rates.insert(&caller.merchant, Arc::clone(rate));
        }
    }
    let mut keys = Keys::new();
    for key in &file.keys {
        let new = || Arc::new(Rate::new(file.limit(&key.merchant)));
        let rate = Arc::clone(rates.entry(&key.merchant).or_insert_with(new));
        let (merchant, scopes) = (key.merchant.clone(), key.scopes.clone());
        let caller = Caller { merchant, key: key.id.clone(), scopes };
        keys.insert(key.id.clone(), Known { hash: key.sha256, caller, rate });
    }
    keys
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::super::file::KeyEntry;
    use super::super::rate::LimitEntry;
    use super::*;

    fn ask(ring: &Keyring, header: &str) -> Result<Caller, Problem> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_str(header).unwrap());
        ring.caller(&headers)
    }

    #[test]
    fn a_rotation_has_two_valid_keys() {
        let shop: MerchantId = "shop".parse().unwrap();
        let (old, first) = KeyEntry::new(shop.clone(), vec![Scope::PaymentsRead]).unwrap();
        let mut file = KeyFile { keys: vec![first], ..KeyFile::default() };
        let ring = Keyring::new(&file);
        let (new, second) = KeyEntry::new(shop, vec![Scope::PaymentsWrite]).unwrap();
        file.keys.push(second);
        assert!(ask(&ring, &format!("Bearer {}", new.expose())).is_err());
        ring.replace(&file);
        let callers = [&old, &new].map(|key| ask(&ring, &format!("bearer {}", key.expose())));
        let [Ok(first), Ok(second)] = callers else { panic!("both are valid") };
        assert_eq!(first.merchant, second.merchant);
        assert!(first.may(Scope::PaymentsRead).is_ok());
        assert_eq!(first.may(Scope::PaymentsWrite).unwrap_err().kind(), ProblemKind::Forbidden);
        file.keys.remove(0);
        ring.replace(&file);
        assert!(ask(&ring, &format!("Bearer {}", old.expose())).is_err());
        assert!(ask(&ring, &format!("Bearer {}", new.expose())).is_ok());
    }

    #[test]
    fn every_wrong_key_gets_the_same_answer() {
        let (key, entry) = KeyEntry::new("shop".parse().unwrap(), Scope::ALL.to_vec()).unwrap();
        let ring = Keyring::new(&KeyFile { keys: vec![entry], ..KeyFile::default() });
        let (head, _) = key.expose().rsplit_once('_').unwrap();
        let wrong = format!("Bearer {head}_{}", "0".repeat(64));
        let basic = format!("Basic {}", key.expose());
        let answers = ["Bearer", "Bearer x", "", basic.as_str(), wrong.as_str()];
        for answer in answers.map(|header| ask(&ring, header)) {
            assert_eq!(answer, Err(ProblemKind::Unauthorized.into()));
        }
        assert_eq!(ring.caller(&HeaderMap::new()), Err(ProblemKind::Unauthorized.into()));
    }

    #[tokio::test(start_paused = true)]
    async fn the_keys_of_a_merchant_share_its_limit() {
        let entry = |merchant: &str| {
            KeyEntry::new(merchant.parse().unwrap(), vec![Scope::PaymentsRead]).unwrap()
        };
        let ((first, one), (second, two), (other, three)) =
            (entry("shop"), entry("shop"), entry("rival"));
        let per_second = std::num::NonZeroU32::MIN;
        let merchant = "shop".parse().unwrap();
        let limit = LimitEntry { merchant, per_second, burst: None };
        let mut file = KeyFile { keys: vec![one, two, three], limits: vec![limit] };
        let ring = Keyring::new(&file);
        let ask = |key: &ApiKey| {
            ask(&ring, &format!("Bearer {}", key.expose())).map_err(|problem| problem.kind())
        };
        let is_limited = |key| ask(key) == Err(ProblemKind::RateLimited);
        assert!(ask(&first).is_ok() && ask(&second).is_ok());
        assert!(is_limited(&first) && is_limited(&second));
        assert!(ask(&other).is_ok(), "another merchant has its own limit");
        // The file is read again: what was used stays used, unless the limit has changed.
        ring.replace(&file);
        assert!(is_limited(&first));
        file.limits[0].per_second = per_second.saturating_add(1);
        ring.replace(&file);
        assert!(ask(&first).is_ok());
    }
}
