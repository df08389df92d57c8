//! Where the parts of a record are in JSON.

use jiff::Timestamp;
use level5::conflict::Fields;
use level5::sync_engine::RecordId;
use serde_json::{Map, Value};

/// The names of the members that make a record of a JSON object. Every other member is a field.
///
/// ```
/// use level5_sources::Layout;
///
/// // {"data": [{"sku": 7, "changed": "2026-11-29T12:00:00Z", "price": 3}]}
/// let layout = Layout {
///     records: "/data".to_owned(),
///     id: "sku".to_owned(),
///     at: "changed".to_owned(),
///     ..Layout::default()
/// };
/// assert_eq!(layout.version, "version");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// The JSON pointer (RFC 6901) to the array of records in a document. The empty one is the whole document.
    pub records: String,
    /// The name of the record: a text or an integer. The default is `id`.
    pub id: String,
    /// When the source wrote the record, as text with an offset (`2026-11-29T12:00:00Z`). It may be absent or `null`.
    /// The default is `updated_at`.
    pub at: String,
    /// The number of the write, an integer of 64 bits without a sign. It may be absent or `null`. The default is
    /// `version`.
    pub version: String,
    /// `true` for a record that was deleted. It may be absent or `null`. The default is `deleted`.
    pub deleted: String,
}

impl Default for Layout {
    fn default() -> Self {
        Self {
            records: String::new(),
            id: "id".to_owned(),
            at: "updated_at".to_owned(),
            version: "version".to_owned(),
            deleted: "deleted".to_owned(),
        }
    }
}

/// A record as a source lists it. What it does not say of its stamp follows from the document that lists it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Listed {
    pub(crate) id: RecordId,
    pub(crate) at: Option<Timestamp>,
    pub(crate) version: Option<u64>,
    /// `None`: deleted.
    pub(crate) content: Option<Fields>,
}

/// Why a text is no list of records.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LayoutError {
    #[error("not JSON: {0}")]
    NotJson(String),
    #[error("there is no array of records at `{0}`")]
    NoRecords(String),
    #[error("record {number}: {why}")]
    Record { number: usize, why: String },
    #[error("line {number}: {why}")]
    Line { number: usize, why: String },
}

impl Layout {
    /// Reads a document that holds all records in one array.
    pub(crate) fn document(&self, text: &[u8]) -> Result<Vec<Listed>, LayoutError> {
        let mut document: Value = serde_json::from_slice(text)
            .map_err(|error| LayoutError::NotJson(error.to_string()))?;
        let records = document.pointer_mut(&self.records).map(Value::take);
        let Some(Value::Array(records)) = records else {
            return Err(LayoutError::NoRecords(self.records.clone()));
        };
        let number = |(index, record)| {
            self.record(record).map_err(|why| LayoutError::Record { number: index + 1, why })
        };
        records.into_iter().enumerate().map(number).collect()
    }

    /// Reads lines with a record each. Empty lines are left out. So is a last line that is no JSON and does not end: its
    /// writer is about to complete it.
    pub(crate) fn lines(&self, text: &[u8]) -> Result<Vec<Listed>, LayoutError> {
        let mut listed = Vec::new();
        for (index, line) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
            if line.trim_ascii().is_empty() {
                continue;
            }
            let problem = |why| LayoutError::Line { number: index + 1, why };
            match serde_json::from_slice(line) {
                Ok(record) => listed.push(self.record(record).map_err(problem)?),
                Err(_) if !line.ends_with(b"\n") => {}
                Err(error) => return Err(problem(error.to_string())),
            }
        }
        Ok(listed)
    }

    /// Reads one record.
    pub(crate) fn record(&self, value: Value) -> Result<Listed, String> {
        let Value::Object(mut members) = value else {
            return Err("it is no object".to_owned());
        };
        let mut take = |name: &str| members.remove(name).filter(|value| !value.is_null());
        let id = match take(&self.id) {
            Some(Value::String(id)) => RecordId::new(&id),
            Some(Value::Number(id)) if id.is_u64() || id.is_i64() => RecordId::new(&id.to_string()),
            _ => return Err(format!("`{}` is neither a text nor an integer", self.id)),
        };
        let at = match take(&self.at) {
            None => None,
            Some(at) => {
                let parsed = at.as_str().and_then(|at| at.parse().ok());
                Some(parsed.ok_or_else(|| format!("`{}` is no time with an offset", self.at))?)
            }
        };
        let version = match take(&self.version) {
            None => None,
            Some(version) => Some(
                version
                    .as_u64()
                    .ok_or_else(|| format!("`{}` is no integer from 0 on", self.version))?,
            ),
        };
        let deleted = match take(&self.deleted) {
            None => false,
            Some(Value::Bool(deleted)) => deleted,
            Some(_) => return Err(format!("`{}` is neither true nor false", self.deleted)),
        };
        let content = (!deleted).then(|| fields(members));
        Ok(Listed { id, at, version, content })
    }
}

fn fields(members: Map<String, Value>) -> Fields {
    members.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn members_with_a_meaning_are_no_fields() {
        let text = json!({"data": [
            {"id": 7, "updated_at": "2026-11-29T12:00:00+01:00", "version": 3, "name": "Ann"},
            {"id": "x", "deleted": true, "updated_at": null},
        ]});
        let layout = Layout { records: "/data".to_owned(), ..Layout::default() };
        let listed = layout.document(text.to_string().as_bytes()).expect("records");
        let content = Fields::from([("name".to_owned(), "Ann".into())]);
        let ann = Listed {
            id: "7".into(),
            at: Some("2026-11-29T11:00:00Z".parse().expect("a time")),
            version: Some(3),
            content: Some(content),
        };
        assert_eq!(
            listed,
            [ann, Listed { id: "x".into(), at: None, version: None, content: None }]
        );
    }

    #[test]
    fn a_problem_names_its_place() {
        let layout = Layout::default();
        let document = |text: &str| layout.document(text.as_bytes()).expect_err(text).to_string();
        assert_eq!(
            document("[{\"id\": \"a\"}, {}]"),
            "record 2: `id` is neither a text nor an integer"
        );
        assert_eq!(document("[{\"id\": 1.5}]"), "record 1: `id` is neither a text nor an integer");
        assert_eq!(document("{}"), "there is no array of records at ``");
        assert_eq!(
            document("[{\"id\": 1, \"updated_at\": 5}]"),
            "record 1: `updated_at` is no time with an offset"
        );
        assert_eq!(
            document("[{\"id\": 1, \"version\": -5}]"),
            "record 1: `version` is no integer from 0 on"
        );
        assert!(document("[").starts_with("not JSON"));
        let lines =
            layout.lines(b"{\"id\":1}\n\n{\"id\"\n{\"id\":2}\n").expect_err("a broken line");
        assert!(lines.to_string().starts_with("line 3: "), "{lines}");
    }

    #[test]
    fn a_last_line_that_is_still_written_is_left_out() {
        let layout = Layout::default();
        let ids = |text: &str| -> Vec<String> {
            let listed = layout.lines(text.as_bytes()).expect("lines");
            listed.iter().map(|listed| listed.id.to_string()).collect()
        };
        assert_eq!(ids("{\"id\":1}\n{\"id\":2,\"na"), ["1"]);
        assert_eq!(ids("{\"id\":1}\n{\"id\":2}"), ["1", "2"]);
        assert!(ids("").is_empty());
    }
}
