//! Reads and checks the files.
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::Spanned;

use crate::{Clause, CriteriaError, Criterion, Exercise, Kind, Level, Scene};

/// The file that makes a folder a level.
const LEVEL_FILE: &str = "level.toml";

/// Hints of a criterion: each says more than the one before, and the last one nearly all.
const MOST_HINTS: usize = 3;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LevelFile {
    title: String,
    bench: String,
    exercises: Vec<Spanned<String>>,
    provided: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExerciseFile {
    title: String,
    file: String,
    #[serde(default)]
    trial: bool,
    #[serde(default)]
    foundation: Vec<String>,
    #[serde(default)]
    read: Vec<String>,
    #[serde(default)]
    clause: Vec<ClauseTable>,
    criterion: Vec<CriterionTable>,
    #[serde(default)]
    scene: Vec<SceneTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SceneTable {
    name: Spanned<String>,
    title: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClauseTable {
    text: String,
    criteria: Spanned<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CriterionTable {
    name: Spanned<String>,
    title: String,
    points: u32,
    kind: Kind,
    file: Option<String>,
    cpu_seconds: Option<u64>,
    too_slow: Option<String>,
    #[serde(default)]
    threads: bool,
    #[serde(default)]
    races: bool,
    requirement: String,
    hints: Vec<String>,
    #[serde(default)]
    read: Vec<String>,
}

/// All levels whose criteria lie below `folder`, sorted by name.
///
/// # Errors
///
/// [`CriteriaError`] for the first file that cannot be read or breaks a rule of the format.
pub fn read(folder: &Path) -> Result<Vec<Level>, CriteriaError> {
    let mut folders: Vec<PathBuf> = entries(folder)?;
    folders.retain(|path| path.join(LEVEL_FILE).is_file());
    let levels: Vec<Level> =
        folders.iter().map(|folder| level(folder)).collect::<Result<_, _>>()?;
    foundations_exist(folder, &levels)?;
    Ok(levels)
}

/// Every foundation is an exercise of a level below.
fn foundations_exist(folder: &Path, levels: &[Level]) -> Result<(), CriteriaError> {
    let mut below = BTreeSet::new();
    for level in levels {
        for exercise in &level.exercises {
            if let Some(unknown) = exercise.foundation.iter().find(|name| !below.contains(*name)) {
                let path = folder.join(&level.name).join(format!("{}.toml", exercise.name));
                let what = format!(
                    "`foundation` names `{unknown}`, which is no exercise of a level below"
                );
                return Err(CriteriaError { path, line: None, what });
            }
        }
        below.extend(level.exercises.iter().map(|it| format!("{}/{}", level.name, it.name)));
    }
    Ok(())
}

fn level(folder: &Path) -> Result<Level, CriteriaError> {
    let source = Source::load(folder.join(LEVEL_FILE))?;
    let file: LevelFile = source.parse()?;
    let mut listed = BTreeSet::new();
    let mut exercises = Vec::new();
    for name in &file.exercises {
        if !listed.insert(name.as_ref().as_str()) {
            return Err(source.error(name.span(), format!("`{}` stands twice", name.as_ref())));
        }
        source.check_name(name)?;
        let path = folder.join(format!("{}.toml", name.as_ref()));
        if !path.is_file() {
            let what = format!("there is no {}: write it, or take the name out", path.display());
            return Err(source.error(name.span(), what));
        }
        exercises.push(exercise(path, name.as_ref())?);
    }
    for path in entries(folder)? {
        let name = stem(&path);
        let is_exercise = path.extension().is_some_and(|extension| extension == "toml")
            && path.file_name().is_some_and(|file| file != LEVEL_FILE);
        if is_exercise && !listed.contains(name.as_str()) {
            let what = format!("is not listed: add \"{name}\" to `exercises` in {LEVEL_FILE}");
            return Err(CriteriaError { path, line: None, what });
        }
    }
    contract_is_complete(folder, &exercises)?;
    let (name, LevelFile { title, bench, provided, .. }) = (stem(folder), file);
    Ok(Level { name, title, bench, provided, exercises })
}

/// Every clause names criteria of its level, and every criterion stands in a clause.
fn contract_is_complete(folder: &Path, exercises: &[Exercise]) -> Result<(), CriteriaError> {
    let ids = |exercise: &Exercise| -> Vec<String> {
        exercise.criteria.iter().map(|it| format!("{}/{}", exercise.name, it.name)).collect()
    };
    let known: BTreeSet<String> = exercises.iter().flat_map(ids).collect();
    let clauses = exercises.iter().flat_map(|exercise| &exercise.clauses);
    let judged: BTreeSet<&String> = clauses.flat_map(|clause| &clause.criteria).collect();
    for exercise in exercises {
        let path = folder.join(format!("{}.toml", exercise.name));
        let wrong = |what: String| Err(CriteriaError { path: path.clone(), line: None, what });
        for (at, clause) in exercise.clauses.iter().enumerate() {
            if let Some(lost) = clause.criteria.iter().find(|id| !known.contains(*id)) {
                return wrong(format!("clause {} names `{lost}`, which is no criterion", at + 1));
            }
        }
        if let Some(lost) = ids(exercise).iter().find(|id| !judged.contains(id)) {
            return wrong(format!(
                "`{lost}` stands in no clause: add it to the clause that it judges, or write one"
            ));
        }
    }
    Ok(())
}

fn exercise(path: PathBuf, name: &str) -> Result<Exercise, CriteriaError> {
    let source = Source::load(path)?;
    let file: ExerciseFile = source.parse()?;
    let mut names = BTreeSet::new();
    let mut criteria = Vec::new();
    for table in file.criterion {
        source.check_name(&table.name)?;
        let refuse = |what: &str| {
            Err(source.error(table.name.span(), format!("`{}` {what}", table.name.as_ref())))
        };
        if table.points == 0 {
            return refuse("is worth no points");
        }
        if !(1..=MOST_HINTS).contains(&table.hints.len()) {
            return refuse("needs one to three hints");
        }
        if table.requirement.trim().is_empty() {
            return refuse("has an empty requirement");
        }
        if !names.insert(table.name.as_ref().clone()) {
            return refuse("stands twice in this file");
        }
        criteria.push(Criterion {
            name: table.name.into_inner(),
            title: table.title,
            points: table.points,
            kind: table.kind,
            file: table.file.unwrap_or_else(|| file.file.clone()),
            cpu_seconds: table.cpu_seconds,
            too_slow: table.too_slow.as_deref().map(one_line),
            threads: table.threads,
            races: table.races,
            requirement: one_line(&table.requirement),
            hints: table.hints.iter().map(|hint| one_line(hint)).collect(),
            read: file.read.iter().chain(&table.read).cloned().collect(),
        });
    }
    let mut clauses = Vec::new();
    for table in file.clause {
        let span = table.criteria.span();
        if table.text.trim().is_empty() || table.criteria.as_ref().is_empty() {
            let what = "a clause needs a text and the criteria that judge it";
            return Err(source.error(span, what.to_owned()));
        }
        let full = |id: String| if id.contains('/') { id } else { format!("{name}/{id}") };
        let criteria = table.criteria.into_inner().into_iter().map(full).collect();
        clauses.push(Clause { text: one_line(&table.text), criteria });
    }
    let mut scenes: Vec<Scene> = Vec::new();
    for table in file.scene {
        source.check_name(&table.name)?;
        if scenes.iter().any(|scene| scene.name == *table.name.as_ref()) {
            let what = format!("the scene `{}` stands twice", table.name.as_ref());
            return Err(source.error(table.name.span(), what));
        }
        scenes.push(Scene { name: table.name.into_inner(), title: one_line(&table.title) });
    }
    Ok(Exercise {
        name: name.to_owned(),
        title: file.title,
        file: file.file,
        trial: file.trial,
        foundation: file.foundation,
        clauses,
        criteria,
        scenes,
    })
}

/// A file and its text.
pub(crate) struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    pub(crate) fn load(path: PathBuf) -> Result<Source, CriteriaError> {
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Source { path, text }),
            Err(error) => Err(unreadable(&path, &error)),
        }
    }

    pub(crate) fn parse<T: DeserializeOwned>(&self) -> Result<T, CriteriaError> {
        toml::from_str(&self.text).map_err(|error| CriteriaError {
            path: self.path.clone(),
            line: error.span().map(|span| self.line(span.start)),
            what: error.message().to_owned(),
        })
    }

    pub(crate) fn error(&self, span: Range<usize>, what: String) -> CriteriaError {
        CriteriaError { path: self.path.clone(), line: Some(self.line(span.start)), what }
    }

    fn line(&self, offset: usize) -> usize {
        self.text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
    }

    /// A name is a part of an id and, with underscores, the name of a Rust module or function.
    fn check_name(&self, name: &Spanned<String>) -> Result<(), CriteriaError> {
        let text = name.as_ref();
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if text.starts_with(|c: char| c.is_ascii_lowercase()) && text.chars().all(allowed) {
            return Ok(());
        }
        let what = format!("`{text}` is no name: a letter, then a-z, 0-9 and `-`");
        Err(self.error(name.span(), what))
    }
}

/// What lies in a folder, sorted.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, CriteriaError> {
    let read = || -> io::Result<Vec<PathBuf>> {
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect()
    };
    let mut paths = read().map_err(|error| unreadable(folder, &error))?;
    paths.sort();
    Ok(paths)
}

fn unreadable(path: &Path, error: &io::Error) -> CriteriaError {
    CriteriaError { path: path.to_path_buf(), line: None, what: format!("cannot be read: {error}") }
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// The text with every run of white space as one space.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEVEL: &str =
        "title = \"A level\"\nbench = \"level9\"\nexercises = [\"race\"]\nprovided = []\n";
    const EXERCISE: &str = "title = \"An exercise\"\nfile = \"src/race.rs\"\nread = [\"a book\"]\n\
        [[clause]]\ntext = \"Is fast.\"\ncriteria = [\"is-fast\"]\n[[criterion]]\nname = \"is-fast\"\ntitle = \"is fast\"\npoints = 2\nkind = \"core\"\n\
        requirement = \"\"\"\nFast,\n  and right.\"\"\"\nhints = [\"Do less.\"]\n";

    /// What reading a folder with this level and this exercise yields.
    fn read_with(level: &str, exercise: &str) -> Result<Vec<Level>, String> {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("level9")).expect("a level's folder");
        fs::write(folder.path().join("level9/level.toml"), level).expect("a level");
        fs::write(folder.path().join("level9/race.toml"), exercise).expect("an exercise");
        read(folder.path()).map_err(|error| error.to_string())
    }

    #[track_caller]
    fn refuses(level: &str, exercise: &str, parts: &[&str]) {
        let said = read_with(level, exercise).expect_err("a bad file");
        for part in parts {
            assert!(said.contains(part), "no `{part}` in: {said}");
        }
    }

    #[test]
    fn a_folder_with_a_level_file_is_a_level() {
        let levels = read_with(LEVEL, EXERCISE).expect("good files");
        let [level] = levels.as_slice() else { panic!("one level: {levels:?}") };
        assert_eq!(level.name, "level9");
        let criterion = &level.exercises[0].criteria[0];
        assert_eq!(criterion.requirement, "Fast, and right.");
        assert_eq!((criterion.file.as_str(), criterion.cpu_seconds), ("src/race.rs", None));
        assert_eq!(criterion.read, ["a book"]);
    }

    #[test]
    fn a_bad_file_is_named_with_its_line() {
        let unknown = EXERCISE.replace("points = 2", "pionts = 2");
        refuses(LEVEL, &unknown, &["race.toml:10", "pionts"]);
        let syntax = EXERCISE.replace("points = 2", "points = ");
        refuses(LEVEL, &syntax, &["race.toml:10"]);
        refuses(LEVEL, &EXERCISE.replace("= 2", "= 0"), &["race.toml:8", "no points"]);
        refuses(LEVEL, &EXERCISE.replace("\"Do less.\"", ""), &["race.toml:8", "hints"]);
        refuses(LEVEL, &EXERCISE.replace("is-fast", "Is fast"), &["race.toml:8", "no name"]);
        let criterion = EXERCISE.find("[[criterion").expect("a table");
        let twice = format!("{EXERCISE}{}", &EXERCISE[criterion..]);
        refuses(LEVEL, &twice, &["race.toml:17", "twice"]);
    }

    #[test]
    fn clauses_and_criteria_name_each_other() {
        let clause = "criteria = [\"is-fast\"]";
        refuses(
            LEVEL,
            &EXERCISE.replace(clause, "criteria = []"),
            &["race.toml:6", "a clause needs"],
        );
        let unknown = EXERCISE.replace(clause, "criteria = [\"is-fast\", \"is-slow\"]");
        refuses(LEVEL, &unknown, &["clause 1", "race/is-slow"]);
        let second = "[[criterion]]\nname = \"is-right\"\ntitle = \"is right\"\npoints = 1\n\
            kind = \"core\"\nrequirement = \"Right.\"\nhints = [\"Think.\"]\n";
        let unjudged = format!("{EXERCISE}{second}");
        refuses(LEVEL, &unjudged, &["race/is-right", "no clause"]);
        let levels = read_with(LEVEL, EXERCISE).expect("good files");
        let clause = &levels[0].exercises[0].clauses[0];
        assert_eq!(
            (clause.text.as_str(), clause.criteria[0].as_str()),
            ("Is fast.", "race/is-fast")
        );
    }

    #[test]
    fn a_scene_has_a_name_of_its_own() {
        let scene = "[[scene]]\nname = \"page\"\ntitle = \"\"\"\nOne\n  load\"\"\"\n";
        let levels = read_with(LEVEL, &format!("{EXERCISE}{scene}")).expect("good files");
        let read = Scene { name: "page".to_owned(), title: "One load".to_owned() };
        assert_eq!(levels[0].exercises[0].scenes, [read]);
        let twice = format!("{EXERCISE}{scene}{scene}");
        refuses(LEVEL, &twice, &["race.toml:22", "`page` stands twice"]);
    }

    #[test]
    fn the_list_of_exercises_and_the_files_agree() {
        refuses(&LEVEL.replace("race", "rice"), EXERCISE, &["level.toml:3", "rice.toml"]);
        refuses(&LEVEL.replace("\"race\"", ""), EXERCISE, &["race.toml", "not listed"]);
    }

    #[test]
    fn a_foundation_is_an_exercise_of_a_level_below() {
        for name in ["level8/walk", "level9/race"] {
            let named =
                EXERCISE.replace("[[clause", &format!("foundation = [\"{name}\"]\n[[clause"));
            refuses(LEVEL, &named, &["race.toml", name, "level below"]);
        }
    }

    #[test]
    fn the_courses_own_criteria_are_read() {
        let levels = read(&crate::folder()).unwrap_or_else(|error| panic!("{error}"));
        assert!(levels.iter().any(|level| level.name == "level1"));
    }
}
