//! The decision: one content from the newest records of several sources.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::latest::{Latest, Versioned as _};
use super::record::{Fields, Record};
use super::stamp::{SourceId, Stamp};

/// The way in which differing records become one.
///
/// ```
/// # use level5::conflict::{Fields, Record, SourceId, Stamp};
/// # fn record(second: i64, source: &str, fields: &[(&str, &str)]) -> Record {
/// #     let at = jiff::Timestamp::from_second(second).unwrap();
/// #     let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).into()));
/// #     let stamp = Stamp { at, version: 0, source: SourceId::new(source) };
/// #     Record { stamp, content: Some(fields.collect::<Fields>()) }
/// # }
/// use level5::conflict::{Latest, Resolution, Standing, Standings, Strategy, resolve};
///
/// let mut latest = Latest::new();
/// latest.offer(record(1, "shop", &[("name", "Ann")]));
/// latest.offer(record(2, "crm", &[("name", "Anna")]));
/// let shop_first = Standings::from([("shop".into(), Standing { priority: 9, trust: 0 })]);
/// let name = |strategy| match resolve(&latest, strategy, &shop_first) {
///     Resolution::Decided(resolved) => resolved.content.unwrap()["name"].clone(),
///     other => panic!("{other:?}"),
/// };
/// assert_eq!(name(Strategy::Newest), "Anna");
/// assert_eq!(name(Strategy::Priority), "Ann");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// The newest record counts.
    Newest,
    /// The record of the source with the highest priority counts, of equal ones the newest.
    Priority,
    /// The record of the source with the highest trust counts, of equal ones the newest.
    Trust,
    /// Each field is from the source with the highest priority that has the field; of equal priorities from the newest
    /// record. A deletion removes the records that are older than it.
    Merge,
    /// A person decides.
    Manual,
}

/// The ranks of a source among the others. More is higher.
///
/// ```
/// use level5::conflict::{Standing, Standings};
///
/// let standings = Standings::from([
///     ("shop".into(), Standing { priority: 9, trust: 1 }),
///     ("crm".into(), Standing { priority: 1, trust: 9 }),
/// ]);
/// assert_eq!(standings["shop"].priority, 9);
/// assert_eq!(Standing::default(), Standing { priority: 0, trust: 0 });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// For [`Strategy::Priority`] and [`Strategy::Merge`].
    pub priority: u8,
    /// For [`Strategy::Trust`].
    pub trust: u8,
}

/// The standing of each source. A source that is not listed ranks below all that are.
pub type Standings = BTreeMap<SourceId, Standing>;

/// A content, and the records that it is from.
///
/// ```
/// # use level5::conflict::{Fields, Record, SourceId, Stamp};
/// # fn record(second: i64, source: &str, fields: &[(&str, &str)]) -> Record {
/// #     let at = jiff::Timestamp::from_second(second).unwrap();
/// #     let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).into()));
/// #     let stamp = Stamp { at, version: 0, source: SourceId::new(source) };
/// #     Record { stamp, content: Some(fields.collect::<Fields>()) }
/// # }
/// use level5::conflict::{Latest, Resolution, Standings, Strategy, resolve};
///
/// let mut latest = Latest::new();
/// latest.offer(record(1, "shop", &[("name", "Ann"), ("city", "Oslo")]));
/// latest.offer(record(2, "crm", &[("name", "Anna")]));
/// let resolution = resolve(&latest, Strategy::Merge, &Standings::new());
/// let Resolution::Decided(resolved) = resolution else { panic!("a merge decides") };
/// let origin = |field: &str| resolved.origins[field].source.as_str();
/// assert_eq!((origin("name"), origin("city")), ("crm", "shop"));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    /// The fields, or `None` if the record is deleted.
    pub content: Option<Fields>,
    /// The stamp of the record that won; of a merge, that of the newest record that was merged.
    pub stamp: Stamp,
    /// For each field of the content the stamp of the record that it is from.
    pub origins: BTreeMap<String, Stamp>,
}

impl Resolved {
    /// Makes the result of one record as a whole.
    #[must_use]
    pub fn whole(record: &Record) -> Self {
        let names = record.content.iter().flat_map(BTreeMap::keys);
        let origins = names.map(|name| (name.clone(), record.stamp.clone())).collect();
        Self { content: record.content.clone(), stamp: record.stamp.clone(), origins }
    }
}

/// The result of [`resolve`].
///
/// ```
/// # use level5::conflict::{Fields, Record, SourceId, Stamp};
/// # fn record(second: i64, source: &str, fields: &[(&str, &str)]) -> Record {
/// #     let at = jiff::Timestamp::from_second(second).unwrap();
/// #     let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).into()));
/// #     let stamp = Stamp { at, version: 0, source: SourceId::new(source) };
/// #     Record { stamp, content: Some(fields.collect::<Fields>()) }
/// # }
/// use level5::conflict::{Latest, Resolution, Standings, Strategy, resolve};
///
/// let mut latest = Latest::new();
/// latest.offer(record(1, "shop", &[("name", "Ann")]));
/// latest.offer(record(2, "crm", &[("name", "Anna")]));
/// let text = match resolve(&latest, Strategy::Manual, &Standings::new()) {
///     Resolution::Empty => "no record".to_owned(),
///     Resolution::Decided(resolved) => format!("decided at {}", resolved.stamp.at),
///     Resolution::Open(records) => format!("a person chooses from {}", records.len()),
/// };
/// assert_eq!(text, "a person chooses from 2");
/// ```
#[derive(Debug, Clone, PartialEq)]
pub enum Resolution {
    /// There is no record.
    Empty,
    /// This content counts.
    Decided(Resolved),
    /// The records differ, and the strategy is [`Strategy::Manual`]: the records, the oldest first. What counted
    /// before goes on counting until a decision.
    Open(Vec<Record>),
}

/// Decides which content counts.
///
/// The result depends on the arguments alone: not on the order in which the records were offered.
/// [`Strategy::Manual`] yields the newest record if the sources agree.
#[must_use]
pub fn resolve(latest: &Latest<Record>, strategy: Strategy, standings: &Standings) -> Resolution {
    let standing = |record: &Record| standings.get(&record.stamp.source);
    let winner = match strategy {
        Strategy::Merge => return merge(latest, standings),
        Strategy::Manual if latest.in_conflict() => {
            return Resolution::Open(latest.in_order().into_iter().cloned().collect());
        }
        // Here the sources agree on the content, so there is nothing to decide; the newest has the stamp.
        Strategy::Newest | Strategy::Manual => latest.newest(),
        // `None`, of a source that is not listed, is less than every `Some`, also than a priority of 0.
        Strategy::Priority => latest.highest(|record| standing(record).map(|s| s.priority)),
        Strategy::Trust => latest.highest(|record| standing(record).map(|s| s.trust)),
    };
    winner.map_or(Resolution::Empty, |record| Resolution::Decided(Resolved::whole(record)))
}

/// Merges field by field. A field that the source of the highest priority lacks may be from another one.
fn merge(latest: &Latest<Record>, standings: &Standings) -> Resolution {
    let Some(newest) = latest.newest() else { return Resolution::Empty };
    let mut records = latest.in_order();
    // What is older than the newest deletion is deleted with it, in whichever order the two arrived. Otherwise the
    // fields of a deleted record would come back from a source that has not heard of the deletion. What is newer was
    // written after it.
    if let Some(deletion) = records.iter().rposition(|record| record.content.is_none()) {
        records.drain(..=deletion);
    }
    // `None` stays if no record is left after the deletion.
    let mut resolved =
        Resolved { content: None, stamp: newest.stamp.clone(), origins: BTreeMap::new() };
    // The highest priority comes first, and of equal ones the newest: the first that has a field fills it. The
    // reversed list is sorted by a stable sort, so equal priorities stay in the order of their stamps.
    records.reverse();
    records.sort_by_key(|record| Reverse(standings.get(&record.stamp.source).map(|s| s.priority)));
    for record in records {
        let fields = resolved.content.get_or_insert_default();
        for (name, value) in record.content.iter().flatten() {
            if !fields.contains_key(name) {
                fields.insert(name.clone(), value.clone());
                resolved.origins.insert(name.clone(), record.stamp().clone());
            }
        }
    }
    Resolution::Decided(resolved)
}
