//! Rust code from the criteria, for build scripts.
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use crate::{
    Clause, CriteriaError, Criterion, Exercise, Kind, Level, Scene, folder, lesson, read, renamed,
};

/// For the grader's build script: writes `catalog.rs`, an expression of type `&[&Level]`, and `renamed.rs`, one of
/// type `&[(&str, &str)]`, into Cargo's output folder. A bad file ends the build with its place.
pub fn catalog() {
    // The levels are found by their folders: a new one counts.
    println!("cargo::rerun-if-changed={}", folder().display());
    finish(read(&folder()).and_then(|levels| {
        let rows = renamed(&folder(), &levels)?;
        let pairs: Vec<(String, String)> = rows.into_iter().map(|row| (row.from, row.to)).collect();
        write("renamed.rs", &format!("&{pairs:?}"))?;
        let levels: String = levels.iter().map(level_code).collect();
        write("catalog.rs", &format!("&[{levels}]"))
    }));
}

/// For the build script of a check package, `check-LEVEL`: writes `checks.rs`, an expression of type
/// `&[Criterion]`, into Cargo's output folder. It holds the criteria of the exercises whose features
/// are on. Writes `built_from.rs` beside it, an expression of type `&[(&str, Option<&str>)]`: the
/// fingerprints of the level and of the checks, as the compiler was told them (`grader-fingerprint`).
///
/// The function that judges `level2/all-settled/contains-panics` is
/// `crate::all_settled::contains_panics`, the one that plays its scene `page` is
/// `crate::all_settled::scenes::page`. The table has both. A bad file ends the build with its place.
pub fn checks() {
    let package = env::var("CARGO_PKG_NAME").unwrap_or_default();
    let level = package.strip_prefix("check-").unwrap_or_default();
    println!("cargo::rerun-if-changed={}", folder().join(level).display());
    let upper = level.to_uppercase();
    let (own, level_s) =
        (format!("COURSE_SOURCES_GRADER_CHECKS_{upper}"), format!("COURSE_SOURCES_{upper}"));
    println!("cargo::rerun-if-env-changed={own}");
    finish(read(&folder()).and_then(|levels| {
        let Some(level) = levels.into_iter().find(|known| known.name == level) else {
            let what = format!("has no folder for `{level}`, the level of the package `{package}`");
            return Err(CriteriaError { path: folder(), line: None, what });
        };
        let on = |exercise: &&Exercise| {
            let feature = rust_name(&exercise.name).to_uppercase();
            env::var_os(format!("CARGO_FEATURE_{feature}")).is_some()
        };
        let exercises = level.exercises.iter().filter(on);
        let table: String = exercises.map(|exercise| check_lines(&level.name, exercise)).collect();
        write("checks.rs", &format!("&[\n{table}]\n"))?;
        let own = format!("({own:?}, option_env!({own:?}))");
        let level = format!("({level_s:?}, ::{}::BUILT_FROM)", level.name);
        write("built_from.rs", &format!("&[{own}, {level}]\n"))
    }));
}

fn finish(result: Result<(), CriteriaError>) {
    if let Some(file) = stale() {
        println!(
            "cargo::error={} has changed, and cargo did not notice: touch it, and build again",
            file.display()
        );
    }
    if let Err(error) = result {
        println!("cargo::error={error}");
    }
}

/// The source file of this package that is not the one it was compiled from, if there is one.
fn stale() -> Option<PathBuf> {
    let compiled = [
        ("src/lib.rs", include_str!("lib.rs")),
        ("src/generate.rs", include_str!("generate.rs")),
        ("src/read.rs", include_str!("read.rs")),
        ("src/renamed.rs", include_str!("renamed.rs")),
        ("src/lesson.rs", include_str!("lesson.rs")),
    ];
    let mut files = compiled.into_iter().map(|(name, text)| (folder().join(name), text));
    files
        .find(|(file, text)| fs::read_to_string(file).is_ok_and(|now| now != *text))
        .map(|(file, _)| file)
}

fn write(name: &str, text: &str) -> Result<(), CriteriaError> {
    let path = Path::new(&env::var_os("OUT_DIR").unwrap_or_default()).join(name);
    fs::write(&path, text).map_err(|error| CriteriaError {
        path: PathBuf::from(name),
        line: None,
        what: format!("cannot be written into Cargo's output folder: {error}"),
    })
}

/// The lesson of an exercise, if it has one. The levels lie beside the grader's folder.
fn lesson_of(level: &Level, exercise: &Exercise) -> String {
    let path = folder()
        .join("../..")
        .join(&level.name)
        .join("lessons")
        .join(format!("{}.md", rust_name(&exercise.name)));
    // Also where there is none: one that is written later counts.
    println!("cargo::rerun-if-changed={}", path.display());
    fs::read_to_string(path).unwrap_or_default()
}

fn level_code(level: &Level) -> String {
    let exercises: String = level.exercises.iter().map(|e| exercise_code(level, e)).collect();
    // Rust's Debug form of strings, numbers and options is Rust code.
    format!(
        "&Level {{ name: {:?}, title: {:?}, bench: {:?}, provided: &{:?}, exercises: &[{exercises}] }},\n",
        level.name, level.title, level.bench, level.provided
    )
}

fn exercise_code(level: &Level, exercise: &Exercise) -> String {
    let rows = lesson::rows(&lesson_of(level, exercise));
    let step = |criterion: &Criterion| {
        let named = |row: &lesson::Row| row.wins.contains(&criterion.name);
        rows.iter().position(named).unwrap_or(rows.len())
    };
    let criteria: String =
        exercise.criteria.iter().map(|c| criterion_code(level, exercise, c, step(c))).collect();
    let steps: Vec<_> = rows.iter().map(|row| &row.step).collect();
    let clauses: String = exercise.clauses.iter().map(|c| clause_code(level, c)).collect();
    let scenes: String = exercise.scenes.iter().map(|s| scene_code(level, exercise, s)).collect();
    format!(
        "Exercise {{ name: {:?}, title: {:?}, file: {:?}, trial: {:?}, \
         foundation: &{:?}, steps: &{steps:?}, clauses: &[{clauses}], \
         criteria: &[{criteria}], scenes: &[{scenes}] }},\n",
        exercise.name,
        exercise.title,
        in_workspace(level, &exercise.file),
        exercise.trial,
        exercise.foundation
    )
}

fn scene_code(level: &Level, exercise: &Exercise, scene: &Scene) -> String {
    let id = scene_id(&level.name, exercise, scene);
    format!("Scene {{ id: {id:?}, title: {:?} }},\n", scene.title)
}

fn clause_code(level: &Level, clause: &Clause) -> String {
    let ids: Vec<String> =
        clause.criteria.iter().map(|id| format!("{}/{id}", level.name)).collect();
    format!("Clause {{ text: {:?}, criteria: &{ids:?} }},\n", clause.text)
}

fn criterion_code(
    level: &Level,
    exercise: &Exercise,
    criterion: &Criterion,
    step: usize,
) -> String {
    let kind = match criterion.kind {
        Kind::Core => "Core",
        Kind::Bonus => "Bonus",
    };
    format!(
        "Criterion {{ id: {:?}, title: {:?}, points: {:?}, kind: Kind::{kind}, file: {:?}, \
         step: {step}, cpu_seconds: {:?}, too_slow: {:?}, races: {:?}, requirement: {:?}, hints: &{:?}, read: &{:?} }},\n",
        id(&level.name, exercise, criterion),
        criterion.title,
        criterion.points,
        in_workspace(level, &criterion.file),
        criterion.cpu_seconds,
        criterion.too_slow,
        criterion.races,
        criterion.requirement,
        criterion.hints,
        criterion.read
    )
}

fn check_lines(level: &str, exercise: &Exercise) -> String {
    let mut table = String::new();
    for criterion in &exercise.criteria {
        let id = id(level, exercise, criterion);
        let function = format!("{}::{}", rust_name(&exercise.name), rust_name(&criterion.name));
        // Writing into a string does not fail.
        let _ = writeln!(
            table,
            "::grader_kit::Criterion {{ id: {id:?}, body: |cx| Box::pin(crate::{function}(cx)), threads: {} }},",
            criterion.threads
        );
    }
    for scene in &exercise.scenes {
        let id = scene_id(level, exercise, scene);
        let function = format!("{}::scenes::{}", rust_name(&exercise.name), rust_name(&scene.name));
        let _ = writeln!(
            table,
            "::grader_kit::Criterion {{ id: {id:?}, body: |cx| Box::pin(crate::{function}(cx)), threads: false }},",
        );
    }
    table
}

fn scene_id(level: &str, exercise: &Exercise, scene: &Scene) -> String {
    format!("{level}/{}/scene/{}", exercise.name, scene.name)
}

fn id(level: &str, exercise: &Exercise, criterion: &Criterion) -> String {
    format!("{level}/{}/{}", exercise.name, criterion.name)
}

fn in_workspace(level: &Level, file: &str) -> String {
    format!("{}/{file}", level.name)
}

/// A part of an id as the name of a module or function.
fn rust_name(name: &str) -> String {
    name.replace('-', "_")
}
