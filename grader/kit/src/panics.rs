//! Where panics began.
//!
//! The hook is the only place that sees a panic of a spawned task whose `JoinError` is not read, and
//! the only one that knows its file and line.
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::sync::{Mutex, OnceLock, PoisonError};

use grader_protocol::{PANIC_MARK, PanicSite};

use crate::Source;
use crate::helpers::short;

static SEEN: Mutex<Vec<PanicSite>> = Mutex::new(Vec::new());

/// The last panics that were taken out of [`SEEN`] and can have poisoned a lock that a later panic met.
static EARLIER: Mutex<Earlier> = Mutex::new(Earlier { own: None, any: None });

struct Earlier {
    /// The last one in the level's files.
    own: Option<PanicSite>,
    /// The last one, wherever it was.
    any: Option<PanicSite>,
}

/// More are not told; a loop that panics would fill the message.
pub(crate) const MOST: usize = 8;

/// Where the level's files have a `todo!()`.
static PLACEHOLDERS: OnceLock<Placeholders> = OnceLock::new();

struct Placeholders {
    /// Every file of the level, as the compiler names it.
    files: BTreeSet<String>,
    /// The functions in which they are, by file and line.
    functions: BTreeMap<(String, u32), String>,
}

/// Remembers where the placeholders of exercises are that have not been written yet. `level` is the
/// level's folder.
pub(crate) fn know_placeholders(level: &str, sources: &[Source]) {
    let _ = PLACEHOLDERS.set(placeholders(level, sources)); // once a process
}

fn placeholders(level: &str, sources: &[Source]) -> Placeholders {
    let (mut files, mut functions) = (BTreeSet::new(), BTreeMap::new());
    for source in sources {
        let file = format!("{level}/{}", source.path);
        files.insert(file.clone());
        if !source.text.contains("todo!") {
            continue;
        }
        let (mut of_type, mut function) = (None, String::new());
        for (number, line) in (1..).zip(source.text.lines()) {
            if line.starts_with("impl") {
                of_type = type_of(line);
            } else if line.starts_with('}') {
                of_type = None;
            }
            if let Some(name) = function_of(line) {
                function = match of_type {
                    Some(of_type) => format!("{of_type}::{name}"),
                    None => name.to_owned(),
                };
            }
            if line.contains("todo!") {
                functions.insert((file.clone(), number), function.clone());
            }
        }
    }
    Placeholders { files, functions }
}

/// The type whose `impl` begins in a line.
fn type_of(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("impl")?;
    // The parameters of the `impl` itself.
    let (mut depth, mut before) = (0_usize, ' ');
    let end = rest.find(|c: char| {
        let arrow = std::mem::replace(&mut before, c) == '-' && c == '>';
        match c {
            '<' => depth += 1,
            '>' if !arrow => depth = depth.saturating_sub(1),
            '>' => {}
            _ => return depth == 0 && c.is_alphabetic(),
        }
        false
    })?;
    let rest = &rest[end..];
    let name = rest.split_once(" for ").map_or(rest, |(_, name)| name);
    let name = name.split(['<', '{', ' ']).next()?;
    name.rsplit("::").next().filter(|name| !name.is_empty())
}

/// The name of the function that begins in a line.
fn function_of(line: &str) -> Option<&str> {
    let code = line.split("//").next()?;
    let at = code.find("fn ").filter(|&at| {
        let before = code[..at].chars().next_back();
        before.is_none_or(|c| !c.is_alphanumeric() && c != '_')
    })?;
    let name = code[at + "fn ".len()..].trim_start();
    let end = name.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(name.len());
    Some(&name[..end]).filter(|name| !name.is_empty())
}

/// Where the first placeholder among the panics is: its function, file and line.
pub(crate) fn placeholder(panics: &[PanicSite]) -> Option<String> {
    let panic = panics.iter().find(|panic| is_todo(panic))?;
    let PanicSite { file, line, .. } = panic;
    let known = PLACEHOLDERS.get().and_then(|known| known.functions.get(&(file.clone(), *line)));
    Some(match known.filter(|name| !name.is_empty()) {
        Some(name) => format!("the todo!() of `{name}`, {file}:{line}"),
        None => format!("the todo!() at {file}:{line}"),
    })
}

/// Whether the panic is the placeholder of an exercise that is not written yet: a `todo!()`, not a panic
/// with the same text.
pub(crate) fn is_todo(panic: &PanicSite) -> bool {
    let stands_there = PLACEHOLDERS.get().is_none_or(|known| {
        !known.files.contains(&panic.file)
            || known.functions.contains_key(&(panic.file.clone(), panic.line))
    });
    panic.is_todo() && stands_there
}

/// Replaces the default hook by one that remembers. Before the process aborts it writes what it remembers to
/// the error output, for the grader: no verdict comes any more.
pub(crate) fn install_hook() {
    std::panic::set_hook(Box::new(|info| {
        let (file, line) = info.location().map_or(("?", 0), |at| (at.file(), at.line()));
        let message = info.payload_as_str().unwrap_or("a panic without a text");
        // Backslashes: a path as Windows prints it would not match what the report looks for.
        let site = PanicSite { message: message.to_owned(), file: file.replace('\\', "/"), line };
        if site.aborts() {
            for panic in cause_first(take()) {
                // Nothing is left to be done about an error here.
                let line = serde_json::to_string(&panic).unwrap_or_default();
                let _ = writeln!(std::io::stderr().lock(), "{PANIC_MARK}{line}");
            }
            return;
        }
        let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() < MOST {
            seen.push(site);
        }
    }));
}

/// The panics since the last call of this function, the first one first.
pub(crate) fn take() -> Vec<PanicSite> {
    let taken = std::mem::take(&mut *SEEN.lock().unwrap_or_else(PoisonError::into_inner));
    let mut earlier = EARLIER.lock().unwrap_or_else(PoisonError::into_inner);
    for panic in taken.iter().filter(|panic| !panic.met_a_poisoned_lock()) {
        if PLACEHOLDERS.get().is_some_and(|known| known.files.contains(&panic.file)) {
            earlier.own = Some(panic.clone());
        }
        earlier.any = Some(panic.clone());
    }
    taken
}

/// The panics of a failure, with their cause as the first one. A panic that only met a poisoned lock follows
/// from one that another call has seen.
pub(crate) fn cause_first(mut panics: Vec<PanicSite>) -> Vec<PanicSite> {
    if panics.iter().all(PanicSite::met_a_poisoned_lock) && !panics.is_empty() {
        let earlier = EARLIER.lock().unwrap_or_else(PoisonError::into_inner);
        // A fake may have panicked since, on purpose.
        panics.splice(0..0, earlier.own.clone().or_else(|| earlier.any.clone()));
    } else {
        // Threads: one may have met the lock before the other's panic was recorded. The order is kept otherwise.
        panics.sort_by_key(PanicSite::met_a_poisoned_lock);
    }
    panics
}

/// Panics that did not reach the caller of the call in which they were.
#[derive(Debug)]
pub(crate) struct Contained {
    /// How messages call that call.
    pub(crate) call: String,
    /// The case of the script in which it was, see [`Timeline::restart`](crate::Timeline::restart).
    pub(crate) case: u64,
    pub(crate) panic: PanicSite,
}

impl Contained {
    /// Whether a fake of the grader raised it.
    pub(crate) fn is_of_a_fake(&self) -> bool {
        self.panic.file.starts_with("grader/")
    }

    fn said(&self) -> String {
        let Self { call, panic, .. } = self;
        let message = short(&panic.message);
        if self.is_of_a_fake() {
            return format!(
                "{call}: a fake of the grader panicked on purpose, '{message}'; the panic did not reach the caller"
            );
        }
        let PanicSite { file, line, .. } = panic;
        format!("{call}: a panic did not reach the caller: '{message}' at {file}:{line}")
    }
}

/// One remark for each kind of contained panic, and how often it was.
pub(crate) fn remarks<'a>(contained: impl IntoIterator<Item = &'a Contained>) -> Vec<String> {
    let mut counted: Vec<(String, usize)> = Vec::new();
    for said in contained.into_iter().map(Contained::said) {
        match counted.iter_mut().find(|(known, _)| *known == said) {
            Some((_, count)) => *count += 1,
            None => counted.push((said, 1)),
        }
    }
    let remark = |(said, count)| if count == 1 { said } else { format!("{said} ({count} times)") };
    counted.into_iter().map(remark).collect()
}

/// The panics seen since the last [`Cx::call`](crate::Cx::call) ended, without forgetting them.
///
/// For criteria that let the judged code panic on purpose.
#[must_use]
pub fn observed() -> Vec<PanicSite> {
    SEEN.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panic(message: &str, file: &str) -> PanicSite {
        PanicSite { message: message.to_owned(), file: file.to_owned(), line: 7 }
    }

    const POISON: &str = "called `Result::unwrap()` on an `Err` value: PoisonError { .. }";

    #[test]
    fn a_placeholder_is_named_by_its_function() {
        let text = "pub fn new() -> Self {\n    Self\n}\n\n// fn not_this\npub async fn call<T>(&self) {\n    todo!()\n}\n";
        let source = Source { path: "src/a.rs".to_owned(), text: text.to_owned() };
        let known = placeholders("level9", &[source]);
        assert_eq!(known.functions[&("level9/src/a.rs".to_owned(), 7)], "call");
        assert_eq!(known.functions.len(), 1);
        assert_eq!(function_of("    let often = 3;"), None);
        let text = "impl<S: Clone> Default for Saga<S> {\n    fn default() -> Self {\n        todo!()\n    }\n}\n";
        let source = Source { path: "src/b.rs".to_owned(), text: text.to_owned() };
        let known = placeholders("level9", &[source]);
        assert_eq!(known.functions[&("level9/src/b.rs".to_owned(), 3)], "Saga::default");
        assert_eq!(type_of("impl Timeouts {"), Some("Timeouts"));
        assert_eq!(
            type_of("impl From<SourceError> for error::SectionFailure {"),
            Some("SectionFailure")
        );
        assert_eq!(type_of("impl<F: Fn(u32) -> u32> Step<F> {"), Some("Step"));
    }

    #[test]
    fn the_panic_that_poisoned_a_lock_stands_first() {
        let own = panic("attempt to subtract with overflow", "level9/src/a.rs");
        let met = panic(POISON, "level9/src/b.rs");
        // In one call, in whichever order they were recorded.
        assert_eq!(cause_first(vec![met.clone(), own.clone()]), [own.clone(), met.clone()]);
        // The cause was taken with an earlier call.
        SEEN.lock().unwrap_or_else(PoisonError::into_inner).push(own.clone());
        assert_eq!(take(), std::slice::from_ref(&own));
        assert_eq!(cause_first(vec![met.clone()]), [own, met]);
        assert_eq!(cause_first(Vec::new()), []);
    }

    #[test]
    fn equal_remarks_are_counted() {
        let contained = |message: &str, file: &str| Contained {
            call: "Saga::execute".to_owned(),
            case: 0,
            panic: panic(message, file),
        };
        let fake = "grader/checks/level9/src/fake.rs";
        let all =
            [contained("a bug", fake), contained("a bug", fake), contained("x", "level9/src/a.rs")];
        assert_eq!(
            remarks(&all),
            [
                "Saga::execute: a fake of the grader panicked on purpose, 'a bug'; the panic did not reach the caller (2 times)",
                "Saga::execute: a panic did not reach the caller: 'x' at level9/src/a.rs:7",
            ]
        );
    }
}
