//! `gradebook.csv`: the first row has the points there are, then a row for each fork.
use std::collections::BTreeMap;

use super::text::field;
use crate::class::marks::{Marks, is_won, marks, points, remarks};
use crate::class::moment::Moment;
use crate::class::result::{ForkResult, ForkStatus};
use crate::class::settings::Settings;
use crate::class::store::Store;
use crate::select::all;
use crate::starter::FileError;

/// What the gradebook knows of a fork: little, since all of them are held in memory.
#[derive(Debug, Clone)]
pub struct Row {
    /// The fork's name.
    pub name: String,
    /// Whether it has marks.
    pub status: ForkStatus,
    /// Its points.
    pub marks: Marks,
    /// What a teacher should know before the points.
    pub remarks: Vec<String>,
    submitted: Option<Moment>,
    commit: String,
    /// The files of its levels: forks for which this is equal are the same.
    pub(in crate::class) files: Vec<String>,
    /// Points won and points there are, of each criterion that counts, in the order of the course.
    criteria: Vec<(u32, u32)>,
}

impl Row {
    /// The row of a fork.
    #[must_use]
    pub fn of(result: &ForkResult, settings: &Settings) -> Row {
        let marks = marks(result, settings);
        let mut criteria = Vec::new();
        for level in &result.levels {
            for criterion in
                level.criteria.iter().filter(|criterion| settings.counts(&criterion.id))
            {
                let won = is_won(level, &criterion.id, criterion.status, settings);
                criteria.push((if won { criterion.points } else { 0 }, criterion.points));
            }
        }
        Row {
            name: result.name.clone(),
            status: result.status,
            remarks: remarks(result, &marks),
            marks,
            submitted: result.submitted,
            commit: result.commit.as_ref().map(|commit| commit.id.clone()).unwrap_or_default(),
            files: result.levels.iter().map(|level| level.files.clone()).collect(),
            criteria,
        }
    }
}

/// How the gradebook calls a status.
#[must_use]
pub fn status(status: ForkStatus) -> &'static str {
    match status {
        ForkStatus::Graded => "graded",
        ForkStatus::Unreadable => "unreadable",
        ForkStatus::NotJudged => "not judged",
    }
}

/// For each fork with points, the first fork before it whose levels all have the same files.
pub fn same_as<'a>(rows: impl Iterator<Item = &'a Row>) -> Vec<Option<&'a str>> {
    let mut first: BTreeMap<&[String], &str> = BTreeMap::new();
    rows.map(|row| {
        let has_points = row.criteria.iter().any(|(won, _)| *won > 0);
        if !has_points {
            return None;
        }
        match first.get(row.files.as_slice()) {
            Some(name) => Some(*name),
            None => {
                first.insert(&row.files, &row.name);
                None
            }
        }
    })
    .collect()
}

/// The gradebook as a text.
///
/// # Errors
///
/// Those of the CSV writer, which a text in memory does not have.
pub fn render(rows: &BTreeMap<usize, Row>, settings: &Settings) -> Result<String, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let Some(first) = rows.values().next() else { return Ok(String::new()) };
    let mut head: Vec<String> =
        ["name", "status", "total", "late_days", "submitted", "commit", "same_as", "remarks"]
            .map(str::to_owned)
            .into();
    let mut possible: Vec<String> =
        vec!["points possible".to_owned(), String::new(), points(first.marks.of)];
    possible.resize(head.len(), String::new());
    for level in &first.marks.levels {
        head.push(format!("{} core", level.name));
        head.push(format!("{} bonus", level.name));
        possible.push(level.score.core_of.to_string());
        possible.push(level.score.bonus_of.to_string());
    }
    let graded = |name: &str| first.marks.levels.iter().any(|level| level.name == name);
    let entries =
        all().filter(|entry| graded(entry.level.name) && settings.counts(entry.criterion.id));
    head.extend(entries.map(|entry| entry.criterion.id.to_owned()));
    possible.extend(first.criteria.iter().map(|(_, of)| of.to_string()));
    writer.write_record(&head)?;
    writer.write_record(&possible)?;
    for (row, same_as) in rows.values().zip(same_as(rows.values())) {
        let late = if settings.late.is_none() { None } else { row.marks.late_days };
        let mut fields = vec![
            field(&row.name),
            status(row.status).to_owned(),
            // What was not judged is unknown, which is not nothing.
            if row.status == ForkStatus::NotJudged {
                String::new()
            } else {
                points(row.marks.total)
            },
            late.map(|days| days.to_string()).unwrap_or_default(),
            row.submitted.map(|moment| moment.to_string()).unwrap_or_default(),
            row.commit.clone(),
            field(same_as.unwrap_or_default()),
            field(&row.remarks.join("; ")),
        ];
        for level in &row.marks.levels {
            fields.push(level.score.core.to_string());
            fields.push(level.score.bonus.to_string());
        }
        fields.extend(row.criteria.iter().map(|(won, _)| won.to_string()));
        writer.write_record(&fields)?;
    }
    let bytes = writer.into_inner().map_err(|error| error.into_error())?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Writes the gradebook.
///
/// # Errors
///
/// [`FileError`].
pub fn write(
    store: &Store,
    rows: &BTreeMap<usize, Row>,
    settings: &Settings,
) -> Result<(), FileError> {
    let path = store.path("gradebook.csv");
    let text = render(rows, settings)
        .map_err(|error| FileError::new("write", &path, std::io::Error::other(error)))?;
    store.write(&path, &text)
}
