//! Merchants, and the API keys by which the service knows them.
//!
//! | module | what it has |
//! |---|---|
//! | `key` | a key, its hash, its scopes |
//! | `file` | the file with the hashes of all keys |
//! | `rate` | how many requests a merchant may send |
//! | `ring` | which merchant a request comes from |

mod file;
mod key;
mod rate;
mod ring;

pub use file::{FileError, KeyEntry, KeyFile};
pub use key::{
    ApiKey, InvalidKeyId, InvalidMerchant, KeyHash, KeyId, MerchantId, Scope, UnknownScope,
};
pub use rate::{LimitEntry, RateLimit};
pub use ring::{Caller, Keyring};
