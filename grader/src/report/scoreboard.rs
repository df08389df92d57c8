//! The scoreboard: what a learner sees after each run.
use std::fmt::{self, Write as _};

use grader_protocol::Jail;

use super::after::{After, Won, congratulation};
use super::style::{BAD, BOLD, CODE, DIM, GOOD, Styled};
use super::{CriterionReport, ExerciseReport, LevelReport, Report, Status, count, explain};
use crate::catalog::{self, Kind, LEVELS};

/// Failures shown in full in a run over more than one exercise: the first of an exercise, in so many
/// exercises.
/// The others are two lines each: who mends one fault after the other reads less and gets further.
const IN_FULL: usize = 3;

const BAR: u32 = 20;

/// How much the scoreboard shows. For one exercise it lists each criterion; for several, the open ones.
struct Detail {
    /// Exercises in which the first failure may still be shown in full; `None` shows every failure so.
    in_full: Option<usize>,
    /// Whether the criteria of an exercise that is complete are listed too.
    passed: bool,
    /// Whether only one criterion is asked for; then what its code printed is of interest.
    single: bool,
}

/// The scoreboard as text with ANSI styles.
#[must_use]
pub fn render(report: &Report) -> String {
    let exercises: usize = report.levels.iter().map(|level| level.exercises.len()).sum();
    let several = exercises > 1;
    rendered(report, several.then_some(IN_FULL), !several)
}

/// The same with every criterion, and every failure in full.
#[must_use]
pub fn render_all(report: &Report) -> String {
    rendered(report, None, true)
}

fn rendered(report: &Report, in_full: Option<usize>, passed: bool) -> String {
    let detail = Detail { in_full, passed, single: report.criteria().count() == 1 };
    let mut out = String::new();
    // Writing into a string does not fail.
    let _ = write_all(&mut out, report, detail);
    out
}

fn write_all(out: &mut String, report: &Report, mut detail: Detail) -> fmt::Result {
    for level in &report.levels {
        level_lines(out, level, &mut detail)?;
    }
    writeln!(out)?;
    summary(out, report)
}

fn level_lines(out: &mut String, level: &LevelReport, detail: &mut Detail) -> fmt::Result {
    writeln!(
        out,
        "\n{}  {}",
        Styled(BOLD, format!("{} — {}", level.name, level.title)),
        level.score
    )?;
    if let Some(text) = level.why_not_counted() {
        writeln!(out, "  {}", Styled(DIM, text))?;
    }
    if let Some(broken) = &level.broken {
        writeln!(out, "  {}", Styled(BAD, broken.meaning()))?;
        if let Some(text) = level.won_earlier() {
            writeln!(out, "  {}", Styled(DIM, text))?;
        }
        for line in broken.errors.trim_end().lines() {
            writeln!(out, "  {line}")?;
        }
        return Ok(());
    }
    let width = level.exercises.iter().map(|e| e.title.chars().count()).max().unwrap_or_default();
    // What failed comes first; otherwise the order to work in.
    let failed = |exercise: &&ExerciseReport| {
        let mut criteria = exercise.criteria.iter();
        criteria.any(|it| matches!(it.status, Status::Failed | Status::NotJudged))
    };
    let (first, others): (Vec<_>, Vec<_>) = level.exercises.iter().partition(failed);
    for exercise in first.into_iter().chain(others) {
        exercise_lines(out, level, exercise, width, detail)?;
    }
    if !level.warnings.is_empty() && level.score.core < level.score.core_of {
        writeln!(
            out,
            "  {}",
            Styled(
                DIM,
                format!(
                    "rustc warns {} about {}; a warning often names the fault: cargo check -p {}",
                    times(level.warnings.len()),
                    level.name,
                    level.name
                )
            )
        )?;
    }
    Ok(())
}

fn exercise_lines(
    out: &mut String,
    level: &LevelReport,
    exercise: &ExerciseReport,
    width: usize,
    detail: &mut Detail,
) -> fmt::Result {
    let (won, of) = exercise.score.total();
    let bonus = if exercise.score.core_of == 0 { "  bonus" } else { "" };
    writeln!(
        out,
        "  {} {:<width$}  {won:>2}/{of}{}",
        bar(won, of),
        exercise.title,
        Styled(DIM, bonus)
    )?;
    let not_started = |c: &&CriterionReport| c.status == Status::NotStarted;
    let waiting = exercise.criteria.iter().filter(not_started).count();
    let mut in_full = detail.in_full.is_none_or(|exercises| exercises > 0);
    for criterion in &exercise.criteria {
        match criterion.status {
            Status::NotStarted if waiting == exercise.criteria.len() => {}
            Status::Passed if won == of && !detail.passed => {}
            _ => criterion_lines(out, level, exercise, criterion, detail, &mut in_full)?,
        }
    }
    if waiting < exercise.criteria.len() {
        return Ok(());
    }
    if let Some(first) = exercise.criteria.iter().find(|it| it.waits_for_a_level_below()) {
        let listed = first.unfinished.join(" and ");
        let text = format!("· waits for {listed}, which this exercise uses; first:");
        let command = explain::grade(&first.unfinished);
        writeln!(out, "    {} {}", Styled(DIM, text), Styled(CODE, command))?;
    } else {
        let reached = exercise.criteria.iter().find_map(explain::placeholder);
        let (verb, place) = match reached {
            Some(reached) => ("begin with", reached),
            None => ("write", exercise.file.to_owned()),
        };
        writeln!(
            out,
            "    {} {}",
            Styled(
                DIM,
                format!("· not started: {}; {verb}", count(waiting, "criterion", "criteria"))
            ),
            Styled(CODE, place)
        )?;
    }
    Ok(())
}

fn criterion_lines(
    out: &mut String,
    level: &LevelReport,
    exercise: &ExerciseReport,
    criterion: &CriterionReport,
    detail: &mut Detail,
    in_full: &mut bool,
) -> fmt::Result {
    let (mark, style) = match criterion.status {
        Status::Passed => ("✔", GOOD),
        Status::NotStarted => ("·", DIM),
        Status::Failed | Status::DoesNotCompile | Status::NotJudged => ("✘", BAD),
    };
    let name = criterion.id.rsplit('/').next().unwrap_or(criterion.id);
    let bonus =
        if criterion.kind == Kind::Bonus && exercise.score.core_of > 0 { " bonus" } else { "" };
    writeln!(
        out,
        "    {} {:<34} {:>2}  {}{}",
        Styled(style, mark),
        name,
        criterion.points,
        criterion.title,
        Styled(DIM, bonus)
    )?;
    if criterion.status == Status::Passed && detail.single {
        return explain::passed(out, criterion, "        ");
    }
    if criterion.status == Status::NotStarted
        && let Some(reached) = explain::placeholder(criterion)
    {
        return writeln!(out, "        {}", Styled(DIM, format!("reached {reached}")));
    }
    if !matches!(criterion.status, Status::Failed | Status::NotJudged) {
        return Ok(());
    }
    if *in_full {
        if let Some(exercises) = &mut detail.in_full {
            *exercises -= 1;
            *in_full = false;
        }
        return explain::criterion(out, level.name, criterion, "        ");
    }
    if let Some(fail) = criterion.verdict.as_ref().and_then(|verdict| verdict.fail.as_ref()) {
        if let Some(first) = same_cause_before(exercise, criterion) {
            let text = format!("for the same cause as {first}");
            return writeln!(out, "        {}", Styled(DIM, text));
        }
        let is_first = |other: &CriterionReport| other.id == criterion.id;
        if exercise.criteria.iter().find(|it| it.status == Status::Failed).is_some_and(is_first)
            && let Some(first) = explain::unfinished(criterion)
        {
            writeln!(out, "        {} {}", Styled(DIM, "first    "), first.text)?;
        }
        writeln!(out, "        {}", Styled(BAD, &fail.headline))?;
        let command = format!("cargo grade {}", criterion.id);
        writeln!(out, "        {} {}", Styled(DIM, "in full  "), Styled(CODE, command))?;
    }
    Ok(())
}

/// The name of an earlier criterion of the exercise that failed for the same cause: the same call that
/// panicked, blocked or hung. Failures that compare values have a cause each.
fn same_cause_before<'a>(
    exercise: &'a ExerciseReport,
    criterion: &CriterionReport,
) -> Option<&'a str> {
    let cause = |criterion: &CriterionReport| {
        let fail = criterion.verdict.as_ref()?.fail.as_ref()?;
        let kind = std::mem::discriminant(fail.diagnosis.as_ref()?);
        // How long it took and where the clock stood differ from one criterion to the next.
        let words: String = fail.headline.chars().filter(|c| !c.is_ascii_digit()).collect();
        let panic = fail.panics.first().map(|panic| (panic.file.clone(), panic.line));
        Some((kind, words, panic))
    };
    let this = cause(criterion)?;
    let mut before = exercise.criteria.iter().take_while(|other| other.id != criterion.id);
    let first = before.find(|other| cause(other).as_ref() == Some(&this))?;
    Some(first.id.rsplit('/').next().unwrap_or(first.id))
}

fn summary(out: &mut String, report: &Report) -> fmt::Result {
    let score = &report.score;
    let style = if report.has_full_core_marks() { GOOD } else { BAD };
    let points = |won: u32, of: u32, kind: &str| match of {
        0 => None,
        1 => Some(format!("{won} of 1 {kind}point")),
        of => Some(format!("{won} of {of} {kind}points")),
    };
    // A kind of which there is nothing to win is not named.
    let kinds =
        [points(score.core, score.core_of, ""), points(score.bonus, score.bonus_of, "bonus ")];
    let points = kinds.into_iter().flatten().collect::<Vec<_>>().join(", ");
    let seconds = |ms: u64| format!("{}.{} s", ms / 1000, ms % 1000 / 100);
    writeln!(
        out,
        "{}  {}",
        Styled(style.bold(), points),
        Styled(
            DIM,
            format!(
                "(built in {}, judged in {})",
                seconds(report.build_ms),
                seconds(report.judge_ms)
            )
        )
    )?;
    if report.jail == Jail::None {
        writeln!(
            out,
            "{}",
            Styled(
                DIM,
                "without a jail: this platform does not confine the judged code, so a grade that \
                 counts should be taken on Linux"
            )
        )?;
    }
    if report.criteria().any(|criterion| criterion.status == Status::Failed) {
        let command = format!("cargo grade --seed {}", report.seed);
        writeln!(
            out,
            "{}{}{}",
            Styled(DIM, format!("seed {}: `", report.seed)),
            Styled(CODE, command),
            Styled(DIM, "` repeats the run with the same values")
        )?;
    }
    for (name, won) in finished(report) {
        writeln!(out, "{}", Styled(GOOD, congratulation(name, won)))?;
    }
    let after = || report.after.and_then(After::command);
    if let Some(command) = next_command(report).or_else(after) {
        writeln!(out, "next: {}", Styled(CODE, command))?;
    }
    Ok(())
}

/// The learner's levels of which all core points are won, or all points: by this run or, as the record says, by earlier
/// ones.
fn finished(report: &Report) -> Vec<(&'static str, Won)> {
    let mut finished = Vec::new();
    // A level that is not started is the reference, whose marks are not those of a learner.
    for level in report.levels.iter().filter(|level| level.started) {
        let graded: usize = level.exercises.iter().map(|it| it.criteria.len()).sum();
        let whole = graded == criteria(level.name);
        let (won, of) = level.score.total();
        if report.after == Some(After::Level(level.name)) || whole && won == of {
            finished.push((level.name, Won::All));
        } else if whole && level.score.core == level.score.core_of {
            finished.push((level.name, Won::Core));
        }
    }
    finished
}

/// How many criteria a level has.
fn criteria(name: &str) -> usize {
    let exercises = catalog::level(name).map_or(&[][..], |level| level.exercises);
    exercises.iter().map(|exercise| exercise.criteria.len()).sum()
}

/// What to type now: the first thing that is open, in the order to work in.
fn next_command(report: &Report) -> Option<String> {
    if let Some(broken) = report.levels.iter().find_map(|level| level.broken.as_ref()) {
        if broken.refused {
            return None; // what to do stands with each finding
        }
        return Some(format!("cargo check -p {}", broken.package));
    }
    let is_open =
        |wanted: Kind| move |c: &&CriterionReport| c.kind == wanted && c.status != Status::Passed;
    // Of the first exercise in which something is open, what the table in its lesson wins first.
    let open = |wanted: Kind| {
        let exercises = || report.levels.iter().flat_map(|level| &level.exercises);
        let exercise = exercises().find(|it| it.criteria.iter().any(|c| is_open(wanted)(&c)))?;
        exercise.criteria.iter().filter(is_open(wanted)).min_by_key(|c| step(c.id))
    };
    let criterion = open(Kind::Core).or_else(|| open(Kind::Bonus))?;
    Some(match criterion.status {
        Status::NotStarted if criterion.waits_for_a_level_below() => {
            explain::grade(&criterion.unfinished)
        }
        Status::NotStarted => format!("cargo grade show {}", criterion.id),
        // A hint about this exercise cannot help while what it is built on is wrong.
        Status::Failed if !criterion.unfinished.is_empty() => explain::grade(&criterion.unfinished),
        Status::Failed if explain::first_of(criterion).is_some() => {
            format!("cargo grade {}", explain::first_of(criterion).unwrap_or_default())
        }
        _ => format!("cargo grade hint {}", criterion.id),
    })
}

/// The row of the table in its lesson that wins a criterion.
fn step(id: &str) -> usize {
    let criteria = LEVELS.iter().flat_map(|level| level.exercises).flat_map(|it| it.criteria);
    criteria.into_iter().find(|known| known.id == id).map_or(usize::MAX, |known| known.step)
}

/// How much is won, as a bar.
pub(crate) fn bar(won: u32, of: u32) -> String {
    // Full only at full marks, so round down.
    let filled = (won * BAR).checked_div(of).unwrap_or_default();
    let mut bar = String::new();
    let _ = write!(
        bar,
        "{}{}",
        Styled(GOOD, "█".repeat(filled as usize)),
        Styled(DIM, "░".repeat((BAR - filled) as usize))
    );
    bar
}

fn times(count: usize) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}
