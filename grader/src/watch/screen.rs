//! The state as lines of a screen.
use textwrap::{Options, WordSplitter, wrap};

use super::state::{State, View};
use crate::catalog::Kind;
use crate::lesson;
use crate::report::Status;
use crate::report::after::After;
use crate::report::scoreboard::bar;
use crate::report::style::{BAD, BOLD, CODE, DIM, GOOD, Styled};

/// Columns and rows of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Characters in a line.
    pub columns: usize,
    /// Lines.
    pub rows: usize,
}

/// Columns of a text where there is no screen.
const PLAIN_COLUMNS: usize = 80;

/// The screen: as many lines as fit, none wider than the terminal. Lines hold ANSI styles.
#[must_use]
pub fn draw(state: &State, size: Size) -> Vec<String> {
    let mut lines = vec![header(state)];
    lines.extend(state.said.as_ref().map(|said| Styled(GOOD, said).to_string()));
    lines.push(String::new());
    let keys = keys(state);
    let mut lines: Vec<String> =
        lines.iter().flat_map(|line| wrapped(line, size.columns)).collect();
    let footer = wrapped(&keys, size.columns);
    // One line stays free above the keys.
    let room = size.rows.saturating_sub(lines.len() + footer.len() + 1);
    let body: Vec<String> =
        body(state, size.columns).iter().flat_map(|line| wrapped(line, size.columns)).collect();
    if body.len() <= room {
        lines.extend(body);
    } else {
        let room = room.saturating_sub(1);
        let first = state.scroll.min(body.len().saturating_sub(room));
        let below = body.len() - first - room.min(body.len() - first);
        lines.extend(body.into_iter().skip(first).take(room));
        let (up, down) = (count(first, "above"), count(below, "below"));
        let text = [up, down].into_iter().flatten().collect::<Vec<_>>().join(", ");
        lines.push(Styled(DIM, format!("-- {text} (up and down keys) --")).to_string());
    }
    lines.truncate(size.rows.saturating_sub(footer.len()));
    while lines.len() + footer.len() < size.rows {
        lines.push(String::new());
    }
    lines.extend(footer);
    lines.truncate(size.rows);
    lines
}

/// The state as text from top to bottom, for a screen reader or a terminal that cannot be drawn on.
#[must_use]
pub fn plain(state: &State) -> String {
    let mut text = header(state);
    for line in state.said.iter().cloned().chain(body(state, PLAIN_COLUMNS)).chain([keys(state)]) {
        text += "\n";
        text += &line;
    }
    text + "\n"
}

fn count(lines: usize, place: &str) -> Option<String> {
    let plural = if lines == 1 { "line" } else { "lines" };
    (lines > 0).then(|| format!("{lines} {plural} {place}"))
}

fn wrapped(line: &str, columns: usize) -> Vec<String> {
    if line.is_empty() {
        return vec![String::new()];
    }
    let indent = " ".repeat(indent(line).min(columns / 2));
    let options = Options::new(columns.max(20))
        .word_splitter(WordSplitter::NoHyphenation)
        .subsequent_indent(&indent);
    wrap(line, options).into_iter().map(std::borrow::Cow::into_owned).collect()
}

/// Where the further rows of a line begin: below its text, behind a label or the mark of an item.
fn indent(line: &str) -> usize {
    const LABEL: usize = 10;
    let plain = anstream::adapter::strip_str(line).to_string();
    let number = plain.trim_start_matches(|c: char| c.is_ascii_digit());
    let label = plain.char_indices().nth(LABEL).is_some_and(|(at, _)| {
        let (label, text) = plain.split_at(at);
        label.ends_with(' ')
            && !label.trim().is_empty()
            && label.trim().len() < LABEL
            && !text.starts_with(' ')
            && line.starts_with(&DIM.to_string())
    });
    if label {
        LABEL
    } else if plain.starts_with("- ") {
        2
    } else if number.len() < plain.len() && number.starts_with(". ") {
        plain.len() - number.len() + 2
    } else {
        0
    }
}

fn header(state: &State) -> String {
    let names: Vec<String> = state.names().into_iter().collect();
    let score = state.score();
    let (won, of) = match (score.core, score.core_of) {
        // Bonus criteria alone.
        (_, 0) => score.total(),
        core => core,
    };
    let run = state.running.as_deref().unwrap_or("waiting for a saved file");
    // Points that are not known yet would look like points that are not won.
    if state.marks.is_empty() {
        return format!("{}  {}", Styled(BOLD, names.join(", ")), Styled(DIM, run));
    }
    format!("{} {} {score}  {}", Styled(BOLD, names.join(", ")), bar(won, of), Styled(DIM, run))
}

fn body(state: &State, columns: usize) -> Vec<String> {
    match &state.view {
        View::Criterion => criterion(state),
        View::All => all(state),
        View::Page { title, text } => {
            let head = [Styled(BOLD, title).to_string(), String::new()];
            head.into_iter().chain(text.lines().map(str::to_owned)).collect()
        }
        View::Lesson(markdown) => {
            lesson::render(markdown, columns).lines().map(str::to_owned).collect()
        }
        View::MayShowSolution => {
            let file = state.solved_file().unwrap_or_default();
            vec![
                format!("Show the reference of {file}? Its exercise has full marks."),
                "`y` shows it, Esc goes back.".to_owned(),
            ]
        }
    }
}

fn criterion(state: &State) -> Vec<String> {
    if let Some((level, errors)) = &state.broken {
        let head = format!(
            "{level} does not compile; the marks above are those of the last version that did"
        );
        let head = [Styled(BAD, head).to_string(), String::new()];
        return head.into_iter().chain(errors.lines().map(str::to_owned)).collect();
    }
    let Some(entry) = state.current else {
        if state.marks.is_empty() {
            return vec![
                "The first run grades everything; your marks follow. What is still blank scores nothing."
                    .to_owned(),
            ];
        }
        return finished(state);
    };
    let (id, exercise) = (entry.criterion.id, entry.exercise);
    let number = exercise.criteria.iter().position(|it| it.id == id).map_or(0, |at| at + 1);
    let met = exercise.criteria.iter().filter(|it| state.passed(it.id)).count();
    let bonus = if entry.criterion.kind == Kind::Bonus { ", bonus" } else { "" };
    let mut lines = vec![
        format!(
            "{}  {}",
            Styled(BOLD, id),
            Styled(
                DIM,
                format!(
                    "criterion {number} of the {} of {}, {met} met{bonus}",
                    exercise.criteria.len(),
                    exercise.name
                )
            )
        ),
        format!("{}: {}", exercise.title, entry.criterion.title),
    ];
    lines.extend(
        state.place.as_ref().map(|place| Styled(DIM, format!("lesson {place}")).to_string()),
    );
    lines.push(String::new());
    for (at, hint) in entry.criterion.hints.iter().take(state.hints).enumerate() {
        let label = format!("hint {}/{}", at + 1, entry.criterion.hints.len());
        lines.push(format!("{} {hint}", Styled(DIM, format!("{label:<9}"))));
    }
    let Some(mark) = state.marks.get(id) else { return lines };
    if mark.status == Status::NotStarted {
        lines.push(Styled(DIM, "not written yet; it demands:").to_string());
        lines.push(entry.criterion.requirement.to_owned());
        lines.push(format!("{} {}", Styled(DIM, "file     "), entry.criterion.file));
    } else {
        // The keys below say how to get a hint.
        let next = |line: &&str| !line.starts_with("next ");
        lines.extend(mark.told.lines().filter(next).map(str::to_owned));
    }
    lines
}

/// What can be done where every criterion that is watched is met.
fn finished(state: &State) -> Vec<String> {
    let names: Vec<String> = state.names().into_iter().collect();
    let head = format!("Every criterion of {} is met.", names.join(", "));
    let mut lines = vec![Styled(GOOD, head).to_string(), String::new()];
    let mut add = |label: &str, text: String| {
        lines.push(format!("{} {text}", Styled(DIM, format!("{label:<9}"))));
    };
    for level in &state.levels {
        add("compare", format!("cargo bench -p {}", level.bench));
        add("read", format!("other right solutions: grader/planted/{}/right", level.name));
    }
    add("key s", "shows the reference".to_owned());
    for level in state.levels.iter().filter(|_| !state.named.is_empty()) {
        add("next", format!("cargo grade watch {} goes on with what is open there", level.name));
    }
    let last = state.levels.iter().rfind(|_| state.named.is_empty());
    if let Some(command) = last.and_then(|level| After::Level(level.name).command()) {
        add("next", command);
    }
    lines
}

fn all(state: &State) -> Vec<String> {
    let mut lines = Vec::new();
    let mut exercise = "";
    for entry in state.entries() {
        if entry.exercise.title != exercise {
            exercise = entry.exercise.title;
            let name = format!("{}/{}", entry.level.name, entry.exercise.name);
            lines.push(format!("{}  {exercise}", Styled(BOLD, name)));
        }
        let status = state.marks.get(entry.criterion.id).map(|mark| mark.status);
        let (style, word) = match status {
            Some(Status::Passed) => (GOOD, "met"),
            Some(Status::Failed | Status::NotJudged) => (BAD, "fails"),
            Some(Status::NotStarted | Status::DoesNotCompile) | None => (DIM, "open"),
        };
        let bonus = if entry.criterion.kind == Kind::Bonus { " (bonus)" } else { "" };
        lines.push(format!(
            "  {} {}{bonus}",
            Styled(style, format!("{word:<5}")),
            entry.criterion.title
        ));
    }
    lines
}

fn keys(state: &State) -> String {
    let keys: &[(&str, &str)] = match state.view {
        // There is nothing yet that another key could show.
        View::Criterion if state.marks.is_empty() => &[("q", "quit")],
        View::Criterion => &[
            ("h", "hint"),
            ("w", "what it demands"),
            ("l", "lesson"),
            ("n", "another"),
            ("a", "all"),
            ("o", "page"),
            ("s", "solution"),
            ("r", "run"),
            ("q", "quit"),
        ],
        View::MayShowSolution => &[("y", "show"), ("Esc", "back"), ("q", "quit")],
        View::All | View::Page { .. } | View::Lesson(_) => &[("Esc", "back"), ("q", "quit")],
    };
    let keys: Vec<String> =
        keys.iter().map(|(key, what)| format!("{} {what}", Styled(CODE, key))).collect();
    keys.join("  ")
}
