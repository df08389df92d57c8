//! A record as text, and back, without any loss.
//!
//! The text is JSON. JSON has one flaw here: a number that `serde_json` prints is, for some numbers with a fraction, not the
//! one that it reads. A content would have changed by being saved, and the engine would announce it. So those numbers are
//! kept by their bits, in an object that has one member without a name: `{"": "3fb999999999999a"}`. An object of a content
//! that looks like that is put into another one: `{"": {"": ...}}`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use level5::conflict::{Fields, Record, Resolved, SourceId, Stamp};
use level5::sync_engine::{RecordId, Saved};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What a file has of one record. The members' names are its format, of which [`FORMAT`](super::FORMAT) is the number.
#[derive(Serialize, Deserialize)]
struct Kept {
    records: Vec<KeptRecord>,
    history: Vec<KeptVersion>,
    open: bool,
    held: Vec<KeptStamp>,
}

#[derive(Serialize, Deserialize)]
struct KeptStamp {
    at: String,
    version: u64,
    source: String,
}

#[derive(Serialize, Deserialize)]
struct KeptRecord {
    stamp: KeptStamp,
    content: Option<BTreeMap<String, Value>>,
}

#[derive(Serialize, Deserialize)]
struct KeptVersion {
    stamp: KeptStamp,
    content: Option<BTreeMap<String, Value>>,
    origins: BTreeMap<String, KeptStamp>,
}

/// The text of a record.
pub(super) fn to_text(saved: &Saved) -> Result<Vec<u8>, String> {
    let record = |record: &Record| KeptRecord {
        stamp: stamp_out(&record.stamp),
        content: record.content.as_ref().map(fields_out),
    };
    let version = |version: &Resolved| KeptVersion {
        stamp: stamp_out(&version.stamp),
        content: version.content.as_ref().map(fields_out),
        origins: version
            .origins
            .iter()
            .map(|(name, stamp)| (name.clone(), stamp_out(stamp)))
            .collect(),
    };
    let kept = Kept {
        records: saved.records.iter().map(record).collect(),
        history: saved.history.iter().map(version).collect(),
        open: saved.open,
        held: saved.held.iter().map(stamp_out).collect(),
    };
    serde_json::to_vec(&kept).map_err(|error| error.to_string())
}

/// The record of a text.
pub(super) fn of_text(id: &str, text: &[u8]) -> Result<Saved, String> {
    let kept: Kept = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let record = |record: KeptRecord| {
        let stamp = stamp_in(record.stamp)?;
        Ok::<_, String>(Record { stamp, content: record.content.map(fields_in).transpose()? })
    };
    let version = |version: KeptVersion| {
        let origin = |(name, stamp)| Ok::<_, String>((name, stamp_in(stamp)?));
        Ok::<_, String>(Resolved {
            stamp: stamp_in(version.stamp)?,
            content: version.content.map(fields_in).transpose()?,
            origins: version.origins.into_iter().map(origin).collect::<Result<_, _>>()?,
        })
    };
    Ok(Saved {
        id: RecordId::new(id),
        records: kept.records.into_iter().map(record).collect::<Result<_, _>>()?,
        history: kept.history.into_iter().map(version).collect::<Result<_, _>>()?,
        open: kept.open,
        held: kept.held.into_iter().map(stamp_in).collect::<Result<_, _>>()?,
    })
}

fn stamp_out(stamp: &Stamp) -> KeptStamp {
    let Stamp { at, version, source } = stamp;
    KeptStamp { at: at.to_string(), version: *version, source: source.as_str().to_owned() }
}

fn stamp_in(kept: KeptStamp) -> Result<Stamp, String> {
    let at: Timestamp = kept.at.parse().map_err(|error: jiff::Error| error.to_string())?;
    Ok(Stamp { at, version: kept.version, source: SourceId::new(&kept.source) })
}

fn fields_out(fields: &Fields) -> BTreeMap<String, Value> {
    fields.iter().map(|(name, value)| (name.clone(), out(value))).collect()
}

fn fields_in(kept: BTreeMap<String, Value>) -> Result<Fields, String> {
    kept.into_iter().map(|(name, value)| Ok((name, back(value)?))).collect()
}

/// An object with one member, which has no name.
fn nameless(value: Value) -> Value {
    Value::Object(Map::from_iter([(String::new(), value)]))
}

fn out(value: &Value) -> Value {
    match value {
        Value::Number(number) if number.is_f64() => {
            let bits = number.as_f64().map_or(0, f64::to_bits);
            nameless(Value::String(format!("{bits:016x}")))
        }
        Value::Array(items) => Value::Array(items.iter().map(out).collect()),
        Value::Object(members) => {
            let kept = members.iter().map(|(name, value)| (name.clone(), out(value))).collect();
            let kept = Value::Object(kept);
            let is_nameless = members.len() == 1 && members.contains_key("");
            if is_nameless { nameless(kept) } else { kept }
        }
        same => same.clone(),
    }
}

fn back(value: Value) -> Result<Value, String> {
    match value {
        Value::Array(items) => {
            Ok(Value::Array(items.into_iter().map(back).collect::<Result<_, _>>()?))
        }
        Value::Object(mut members) if members.len() == 1 && members.contains_key("") => {
            match members.remove("") {
                Some(Value::String(bits)) => {
                    let bits = u64::from_str_radix(&bits, 16).map_err(|error| error.to_string())?;
                    let number = serde_json::Number::from_f64(f64::from_bits(bits));
                    number.map(Value::Number).ok_or_else(|| "a number without a value".to_owned())
                }
                Some(Value::Object(members)) => members_in(members),
                _ => Err("an object of an unknown kind".to_owned()),
            }
        }
        Value::Object(members) => members_in(members),
        same => Ok(same),
    }
}

fn members_in(members: Map<String, Value>) -> Result<Value, String> {
    let member = |(name, value)| Ok::<_, String>((name, back(value)?));
    Ok(Value::Object(members.into_iter().map(member).collect::<Result<_, _>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn saved(value: Value) -> Saved {
        let stamp =
            Stamp { at: Timestamp::MAX, version: u64::MAX, source: SourceId::new("é\u{0}") };
        let old = Stamp { at: Timestamp::MIN, version: 0, ..stamp.clone() };
        let content = Some(Fields::from([(String::new(), value), ("b".to_owned(), json!(1.5))]));
        let record = Record { stamp: stamp.clone(), content };
        let deleted = Record { stamp: old.clone(), content: None };
        let history = vec![Resolved::whole(&deleted), Resolved::whole(&record)];
        let records = vec![deleted, record];
        Saved { id: RecordId::new("x"), records, history, open: true, held: vec![old, stamp] }
    }

    fn returns(value: Value) {
        let saved = saved(value);
        let text = to_text(&saved).expect("a text");
        let read = of_text("x", &text).expect("its record");
        assert_eq!(read, saved);
        // `==` of numbers does not tell `-0.0` from `0.0`.
        assert_eq!(format!("{read:?}"), format!("{saved:?}"));
    }

    #[test]
    fn contents_come_back_as_they_were() {
        for value in [
            json!(null),
            json!([-0.0, 0.1, 1e300, -1e-300, u64::MAX, i64::MIN, 5.0, 5]),
            json!({"": 1.5}),
            json!({"": "3fb999999999999a"}),
            json!({"": {"": {"": [{"": 0.1}]}}}),
            json!({"": 1, "a": {"b": 0.1, "": true}}),
            json!("\u{0}\u{1F600}\""),
        ] {
            returns(value);
        }
    }

    #[test]
    fn every_number_with_a_fraction_comes_back() {
        let mut bits: u64 = 88_172_645_463_325_252;
        let mut tried = 0;
        for _ in 0..20_000 {
            // Marsaglia's xorshift: the same numbers in every run.
            bits ^= bits << 13;
            bits ^= bits >> 7;
            bits ^= bits << 17;
            let Some(number) = serde_json::Number::from_f64(f64::from_bits(bits)) else { continue };
            let value = Value::Number(number);
            let text = serde_json::to_vec(&out(&value)).expect("a text");
            let read = back(serde_json::from_slice(&text).expect("JSON")).expect("a number");
            assert_eq!(read, value);
            tried += 1;
        }
        assert!(tried > 15_000);
    }
}
