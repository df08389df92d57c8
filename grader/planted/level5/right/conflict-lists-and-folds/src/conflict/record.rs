//! Records; the fingerprint is the hash of their JSON.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde_json::Value;
use sha2::{Digest as _, Sha512};

use super::latest::Versioned;
use super::stamp::Stamp;

/// The fields of a record.
pub type Fields = BTreeMap<String, Value>;

/// A record.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// When it was written.
    pub stamp: Stamp,
    /// The fields.
    pub content: Option<Fields>,
}

impl Versioned for Record {
    fn stamp(&self) -> &Stamp {
        &self.stamp
    }

    fn tie(&self, other: &Self) -> Ordering {
        Fingerprint::of(self.content.as_ref()).cmp(&Fingerprint::of(other.content.as_ref()))
    }
}

/// A fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 64]);

impl Fingerprint {
    /// Of a content.
    #[must_use]
    pub fn of(content: Option<&Fields>) -> Self {
        Self(Sha512::digest(canonical(content)).into())
    }
}

fn canonical(content: Option<&Fields>) -> String {
    let Some(fields) = content else { return String::new() };
    sorted(&fields.iter().map(|(name, value)| (name.clone(), value.clone())).collect()).to_string()
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut names: Vec<_> = members.keys().collect();
            names.sort();
            names.into_iter().map(|name| (name.clone(), sorted(&members[name]))).collect()
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        Value::Number(number) if number.is_f64() && number.as_f64() == Some(0.0) => 0.0.into(),
        leaf => leaf.clone(),
    }
}
