//! Records and their fingerprints.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::latest::Versioned;
use super::stamp::Stamp;

/// The fields of a record, by name.
pub type Fields = BTreeMap<String, Value>;

/// A record as one source has it.
///
/// ```
/// use level5::conflict::{Fields, Record, SourceId, Stamp};
///
/// let at = "2026-11-28T12:00:00Z".parse()?;
/// let stamp = Stamp { at, version: 1, source: SourceId::new("shop") };
/// let fields = Fields::from([("name".to_owned(), "Ann".into())]);
/// let record = Record { stamp, content: Some(fields) };
/// let deleted = Record { content: None, ..record.clone() };
/// assert_ne!(record, deleted);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// When the source wrote it.
    pub stamp: Stamp,
    /// The fields, or `None` if the source has deleted the record.
    pub content: Option<Fields>,
}

impl Versioned for Record {
    fn stamp(&self) -> &Stamp {
        &self.stamp
    }

    /// Compares the fingerprints. A source that gives two contents the same stamp has a fault. The choice between them
    /// has no meaning, but it must be the same one everywhere.
    fn tie(&self, other: &Self) -> Ordering {
        Fingerprint::of(self.content.as_ref()).cmp(&Fingerprint::of(other.content.as_ref()))
    }
}

/// A hash of a whole content: equal contents have equal fingerprints, different contents have different ones.
///
/// ```
/// use level5::conflict::{Fields, Fingerprint};
/// use serde_json::json;
///
/// let fields = |address| Fields::from([("address".to_owned(), address)]);
/// let one = fields(json!({ "city": "Oslo", "zip": "0150" }));
/// let same = fields(json!({ "zip": "0150", "city": "Oslo" }));
/// assert_eq!(Fingerprint::of(Some(&one)), Fingerprint::of(Some(&same)));
/// assert_ne!(Fingerprint::of(Some(&one)), Fingerprint::of(None)); // deleted
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Calculates the fingerprint of a content, from all its fields and every character of them.
    ///
    /// The order in which the members of a JSON object were written does not matter. The order of an array does. A
    /// deleted record and one without fields differ.
    #[must_use]
    pub fn of(content: Option<&Fields>) -> Self {
        let mut hash = Sha256::new();
        match content {
            // An object begins with a brace, so no content is hashed like this.
            None => hash.update(b"deleted"),
            Some(fields) => object(&mut hash, fields),
        }
        Self(hash.finalize().into())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(8).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Hashes a JSON value. Every object is hashed with its members sorted, in whichever order the map type of `serde_json`
/// keeps them.
fn value(hash: &mut Sha256, json: &Value) {
    match json {
        Value::Object(members) => object(hash, members),
        Value::Array(items) => {
            // Brackets and commas keep the structure: without them `["a", ["b"]]` and `[["a"], "b"]` would be hashed
            // alike.
            hash.update(b"[");
            for item in items {
                value(hash, item);
                hash.update(b",");
            }
            hash.update(b"]");
        }
        // `-0.0` equals `0.0`, and its JSON is another one: two sources that agree would be in conflict.
        Value::Number(number) if number.is_f64() && number.as_f64() == Some(0.0) => {
            hash.update(b"0.0");
        }
        // A number, a text with its quotation marks and escapes, `true`, `false`, `null`: no two of them have the
        // same JSON, and none contains a comma or a bracket outside of its quotation marks.
        leaf => hash.update(leaf.to_string().as_bytes()),
    }
}

/// Hashes an object: its members by their names.
fn object<'a>(hash: &mut Sha256, members: impl IntoIterator<Item = (&'a String, &'a Value)>) {
    let sorted: BTreeMap<_, _> = members.into_iter().collect();
    hash.update(b"{");
    for (name, member) in sorted {
        // As JSON, with quotation marks and escapes: a name may contain a colon or a comma.
        hash.update(Value::String(name.clone()).to_string().as_bytes());
        hash.update(b":");
        value(hash, member);
        hash.update(b",");
    }
    hash.update(b"}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn print(json: &Value) -> Fingerprint {
        let fields: Fields = serde_json::from_value(json.clone()).expect("an object");
        Fingerprint::of(Some(&fields))
    }

    #[test]
    fn a_fingerprint_covers_the_whole_content() {
        assert_ne!(print(&json!({"name": "A"})), print(&json!({"name": "B", "z": 9})));
        assert_ne!(print(&json!({"a": ["b", "c"]})), print(&json!({"a": ["b,c"]})));
        assert_ne!(print(&json!({"a": {"b": 1}})), print(&json!({"a": {"b": "1"}})));
        assert_ne!(Fingerprint::of(None), print(&json!({})));
        assert_eq!(json!({"a": [-0.0]}), json!({"a": [0.0]}));
        assert_eq!(print(&json!({"a": [-0.0]})), print(&json!({"a": [0.0]})));
        assert_ne!(print(&json!({"a": -1.5})), print(&json!({"a": 1.5})));
        assert_eq!(print(&json!({"é": {"x": 1, "y": 2}})), print(&json!({"é": {"y": 2, "x": 1}})));
    }
}
