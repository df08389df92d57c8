//! `similar.md`: pairs of solutions that have more in common than the course gave them.
//!
//! The method is winnowing (Schleimer, Wilkerson, Aiken: *Winnowing: Local Algorithms for Document
//! Fingerprinting*, SIGMOD 2003). A file becomes a row of tokens in which every name is the same token and
//! every literal of a kind is, so that renaming, comments and layout change nothing. Every run of [`RUN`]
//! tokens has a hash, and of each [`WINDOW`] neighbouring hashes the smallest one is kept: two files that
//! share [`RUN`] + [`WINDOW`] - 1 tokens in a row share a kept hash.
//!
//! Hashes of the starter do not count, nor those that more than half of the class has. The reference takes
//! part as if it were a fork. A pair is a hint to look, not a verdict: short exercises have few solutions.
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use super::formats::{Row, block, cell};
use super::result::{ForkStatus, digest};
use super::store::Store;
use crate::catalog::{self, Level};
use crate::inspect::tokens::{self, Token};
use crate::starter::{StarterError, plan};
use crate::submission::Files;

/// How the reference is called among the solutions.
const REFERENCE: &str = "the course's reference";

/// Tokens of a run.
const RUN: usize = 24;

/// Neighbouring runs of which one is kept.
const WINDOW: usize = 12;

/// A pair is listed if it shares so many hashes, and this part of those of the one that has fewer.
const LEAST_SHARED: usize = 15;
const LEAST_PART: f64 = 0.5;

/// Pairs that are listed, and places that are shown of each.
const MOST_PAIRS: usize = 40;
const MOST_PLACES: usize = 3;

/// Lines that are shown of a place.
const MOST_LINES: usize = 14;

/// From so many solutions on, a hash that more than half of them have does not count.
const CROWD: usize = 6;

/// One kept hash: where the run begins and ends.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Print {
    hash: u64,
    file: String,
    lines: RangeInclusive<usize>,
}

/// A solution of a level.
#[derive(Debug)]
struct Solution {
    name: String,
    prints: Vec<Print>,
}

/// Two solutions that are alike.
#[derive(Debug, Clone, PartialEq)]
struct Pair {
    one: usize,
    two: usize,
    shared: usize,
    /// The part of each that is shared, from 0 to 1.
    parts: (f64, f64),
}

/// The hashes of what the course gives a learner: the starter.
#[derive(Debug, Default)]
struct Given(HashSet<u64>);

impl Given {
    /// Those of all runs, not only of the kept ones: in other surroundings another one is kept.
    fn of(texts: impl Iterator<Item = String>) -> Given {
        Given(texts.flat_map(|text| runs(&text)).map(|(hash, _)| hash).collect())
    }
}

impl Solution {
    /// The learner's files of a level, without what the course gave.
    fn of(name: &str, level: &Level, files: &Files, given: &Given) -> Solution {
        let mut prints = Vec::new();
        for (path, bytes) in files.iter().filter(|(path, _)| !level.provides(path)) {
            let runs: Vec<_> = runs(&String::from_utf8_lossy(bytes))
                .into_iter()
                .filter(|(hash, _)| !given.0.contains(hash))
                .collect();
            let kept = winnow(&runs).into_iter().map(|at| &runs[at]);
            prints.extend(kept.map(|(hash, lines)| Print {
                hash: *hash,
                file: format!("{}/{path}", level.name),
                lines: lines.clone(),
            }));
        }
        Solution { name: name.to_owned(), prints }
    }
}

/// The hash of every run of tokens, and its lines.
fn runs(text: &str) -> Vec<(u64, RangeInclusive<usize>)> {
    let tokens = tokens::of(text);
    // The parser keeps every text that it has read, for its places.
    proc_macro2::extra::invalidate_current_thread_spans();
    let kinds: Vec<&str> = tokens.iter().map(kind).collect();
    let hash = |run: &[&str]| {
        let mut hasher = DefaultHasher::new();
        run.hash(&mut hasher);
        hasher.finish()
    };
    let lines = |at: usize| tokens[at].line..=tokens[at + RUN - 1].line;
    kinds.windows(RUN).enumerate().map(|(at, run)| (hash(run), lines(at))).collect()
}

/// A token without what its author may choose.
fn kind(token: &Token) -> &str {
    let text = token.text.as_str();
    match text.chars().next() {
        Some('"') => "\"",
        Some('0'..='9') => "0",
        Some(first) if first.is_alphabetic() || first == '_' => {
            if is_keyword(text) {
                text
            } else {
                "name"
            }
        }
        _ => text,
    }
}

fn is_keyword(text: &str) -> bool {
    matches!(
        text,
        "as" | "async"
            | "await"
            | "break"
            | "const"
            | "continue"
            | "dyn"
            | "else"
            | "enum"
            | "false"
            | "fn"
            | "for"
            | "if"
            | "impl"
            | "in"
            | "let"
            | "loop"
            | "match"
            | "mod"
            | "move"
            | "mut"
            | "pub"
            | "ref"
            | "return"
            | "self"
            | "Self"
            | "static"
            | "struct"
            | "trait"
            | "true"
            | "type"
            | "use"
            | "where"
            | "while"
    )
}

/// The places of the hashes that are kept: of each window the smallest, the last one of equal ones.
fn winnow(runs: &[(u64, RangeInclusive<usize>)]) -> BTreeSet<usize> {
    let smallest = |(at, window): (usize, &[(u64, RangeInclusive<usize>)])| {
        let least = window
            .iter()
            .enumerate()
            .min_by_key(|(within, (hash, _))| (*hash, usize::MAX - within));
        least.map(|(within, _)| at + within)
    };
    if runs.len() < WINDOW {
        return smallest((0, runs)).into_iter().collect();
    }
    runs.windows(WINDOW).enumerate().filter_map(smallest).collect()
}

/// The pairs that are alike, those with the largest part in common first.
fn pairs(solutions: &[Solution]) -> Vec<Pair> {
    let mut holders: HashMap<u64, Vec<usize>> = HashMap::new();
    for (at, solution) in solutions.iter().enumerate() {
        let hashes: HashSet<u64> = solution.prints.iter().map(|print| print.hash).collect();
        hashes.into_iter().for_each(|hash| holders.entry(hash).or_default().push(at));
    }
    let is_common =
        |holders: &Vec<usize>| solutions.len() >= CROWD && holders.len() * 2 > solutions.len();
    let mut counted = vec![0usize; solutions.len()];
    let mut shared: BTreeMap<(usize, usize), usize> = BTreeMap::new();
    for holders in holders.values().filter(|holders| !is_common(holders)) {
        for (nr, one) in holders.iter().enumerate() {
            counted[*one] += 1;
            for two in &holders[nr + 1..] {
                *shared.entry((*one, *two)).or_default() += 1;
            }
        }
    }
    let mut pairs: Vec<Pair> = shared
        .into_iter()
        .map(|((one, two), shared)| {
            let part = |of: usize| shared as f64 / counted[of].max(1) as f64;
            Pair { one, two, shared, parts: (part(one), part(two)) }
        })
        .filter(|pair| pair.shared >= LEAST_SHARED && pair.parts.0.max(pair.parts.1) >= LEAST_PART)
        .collect();
    pairs.sort_by(|a, b| {
        let least = |pair: &Pair| (pair.parts.0.max(pair.parts.1), pair.shared as f64);
        least(b).partial_cmp(&least(a)).unwrap_or(std::cmp::Ordering::Equal)
    });
    pairs
}

/// Lines of one solution that stand in the other one too, and where: neighbouring runs as one place.
type Place = (String, RangeInclusive<usize>, String, RangeInclusive<usize>);

fn places(one: &Solution, two: &Solution) -> Vec<Place> {
    let there: HashMap<u64, &Print> = two.prints.iter().map(|print| (print.hash, print)).collect();
    let mut places: Vec<Place> = Vec::new();
    for print in &one.prints {
        let Some(other) = there.get(&print.hash) else { continue };
        let near = |a: &RangeInclusive<usize>, b: &RangeInclusive<usize>| {
            b.start() + 1 >= *a.start() && *b.start() <= a.end() + 2
        };
        match places.last_mut() {
            Some((file, lines, of, with))
                if *file == print.file
                    && *of == other.file
                    && near(lines, &print.lines)
                    && near(with, &other.lines) =>
            {
                *lines = *lines.start()..=*lines.end().max(print.lines.end());
                *with = *with.start().min(other.lines.start())..=*with.end().max(other.lines.end());
            }
            _ => places.push((
                print.file.clone(),
                print.lines.clone(),
                other.file.clone(),
                other.lines.clone(),
            )),
        }
    }
    places.sort_by_key(|(_, lines, ..)| std::cmp::Reverse(lines.end() - lines.start()));
    places
}

/// The report about the forks whose results are in `store`; the starter and the reference are those of the
/// workspace at `root`.
///
/// # Errors
///
/// [`StarterError`] when the starter of a level cannot be made.
pub(super) fn report<'a>(
    root: &Path,
    store: &Store,
    rows: impl Iterator<Item = &'a Row> + Clone,
) -> Result<String, StarterError> {
    let mut out = String::from(
        "# Solutions that are alike\n\nA hint to look, not a verdict: short exercises have few solutions. Names, \
         comments, layout and what the course gave do not count; how it is found is in docs/teach.md. Forks with \
         the same files are in class.md.\n\n",
    );
    let levels = rows.clone().next().map(|row| row.marks.levels.clone()).unwrap_or_default();
    for (at, level) in
        levels.iter().enumerate().filter_map(|(at, of)| Some((at, catalog::level(&of.name)?)))
    {
        let given = plan(root, level)?;
        let given = Given::of(given.files().iter().filter_map(|file| file.blank.clone()));
        let mut solutions = Vec::new();
        let mut seen = BTreeSet::new();
        let mut add = |name: &str, folder: &Path| {
            // Files that cannot be read are in no pair.
            if let Ok((files, _)) = Files::read(folder, level)
                && seen.insert(digest(&files))
            {
                solutions.push(Solution::of(name, level, &files, &given));
            }
        };
        add(REFERENCE, root);
        for row in rows.clone().filter(|row| row.status == ForkStatus::Graded) {
            if row.files.get(at).is_some_and(|files| !files.is_empty()) {
                add(&row.name, &kept(store, &row.name));
            }
        }
        let text_of = |name: &str, file: &str| {
            let folder = if name == REFERENCE { root.to_path_buf() } else { kept(store, name) };
            std::fs::read_to_string(folder.join(file)).ok()
        };
        out += &section(level, &solutions, &text_of);
    }
    Ok(out)
}

/// Where the files of a fork are kept.
fn kept(store: &Store, name: &str) -> PathBuf {
    store.folder(name).join("files")
}

/// A section for a level; empty where no two solutions are alike. `text_of` has the text of a solution's file.
fn section(
    level: &Level,
    solutions: &[Solution],
    text_of: &dyn Fn(&str, &str) -> Option<String>,
) -> String {
    let mut out = String::new();
    // Writing into a string does not fail.
    let _ = write(&mut out, level, solutions, text_of);
    out
}

fn write(
    out: &mut String,
    level: &Level,
    solutions: &[Solution],
    text_of: &dyn Fn(&str, &str) -> Option<String>,
) -> std::fmt::Result {
    let pairs = pairs(solutions);
    if pairs.is_empty() {
        return Ok(());
    }
    writeln!(out, "## {}\n", level.name)?;
    for pair in pairs.iter().take(MOST_PAIRS) {
        let (one, two) = (&solutions[pair.one], &solutions[pair.two]);
        writeln!(
            out,
            "### {} and {}\n\n{:.0} % of the first and {:.0} % of the second.\n",
            cell(&one.name),
            cell(&two.name),
            pair.parts.0 * 100.0,
            pair.parts.1 * 100.0
        )?;
        for (file, lines, of, with) in places(one, two).into_iter().take(MOST_PLACES) {
            for (solution, file, lines) in [(one, file, lines), (two, of, with)] {
                writeln!(out, "{}, `{file}:{}`\n", cell(&solution.name), lines.start())?;
                if let Some(text) = text_of(&solution.name, &file) {
                    let shown = text.lines().skip(lines.start() - 1);
                    let most = (lines.end() - lines.start() + 1).min(MOST_LINES);
                    let shown: Vec<&str> = shown.take(most).collect();
                    writeln!(out, "{}", block(&shown.join("\n")))?;
                }
            }
        }
    }
    if pairs.len() > MOST_PAIRS {
        writeln!(out, "{} more pairs are alike.\n", pairs.len() - MOST_PAIRS)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::LEVELS;

    /// A long function whose statements the seed chooses; its variables are called after `name`.
    fn essay(seed: u64, name: &str) -> String {
        const STATEMENTS: &[&str] = &[
            "let N = source.get(1).await?;",
            "while N < limit.most() { N += 1; }",
            "if let Some(value) = &N { queue.push((value, 7)); } else { return None; }",
            "match N { Ok(value) if value > 3 => {} Err(why) => log(&why), _ => break }",
            "for one in N.iter().rev() { total = total * 31 ^ one; }",
            "let Point { x, y: N } = self.at[2];",
            "N = [1, 2, 3].map(|n| n + 1).to_vec();",
            "drop(N); let N: Vec<_> = list.into_iter().filter(move |one| one % 2 == 1).collect();",
        ];
        let mut drawn = seed;
        let mut next = || {
            drawn = drawn
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (drawn >> 60) as usize / 2
        };
        let lines: String =
            (0..60).map(|_| format!("    {}\n", STATEMENTS[next()].replace('N', name))).collect();
        format!("pub async fn load(source: &Source) -> Option<u64> {{\n{lines}    Some(0)\n}}\n")
    }

    fn own(name: &str) -> String {
        essay(1, name)
    }

    fn other() -> String {
        essay(2, "user")
    }

    fn solution(name: &str, text: &str) -> Solution {
        let mut files = Files::default();
        files.insert("src/race.rs", text);
        Solution::of(name, LEVELS[1], &files, &Given::default())
    }

    #[test]
    fn renaming_and_comments_hide_nothing() {
        let renamed =
            format!("// mine\n{}", own("other_name").replace("source", "api").replace("31", "37"));
        let solutions =
            [solution("a", &own("user")), solution("b", &renamed), solution("c", &other())];
        let found = pairs(&solutions);
        assert_eq!((found[0].one, found[0].two, found[0].parts), (0, 1, (1.0, 1.0)));
        // Texts of so few kinds of statements share some runs by chance.
        assert!(found[1..].iter().all(|pair| pair.parts.0.max(pair.parts.1) < 0.7), "{found:?}");
        let text = section(LEVELS[1], &solutions, &|name, _| Some(format!("{name} wrote\nthis")));
        assert!(text.contains("### a and b") && text.contains("`level2/src/race.rs:"), "{text}");
    }

    #[test]
    fn a_part_that_was_taken_over_is_found_in_other_work() {
        let both = format!("{}\n{}", other(), own("x"));
        let found = pairs(&[solution("a", &own("user")), solution("b", &both)]);
        assert_eq!(found.len(), 1);
        assert!(found[0].parts.0 > 0.9 && found[0].parts.1 < 0.9, "{found:?}");
    }

    #[test]
    fn what_the_course_gave_does_not_count() {
        let given = Given::of([own("user")].into_iter());
        let mut files = Files::default();
        files.insert("src/race.rs", own("renamed").as_str());
        assert!(Solution::of("a", LEVELS[1], &files, &given).prints.is_empty());
        let provided = LEVELS[1].provided[0];
        let mut files = Files::default();
        files.insert(provided, other().as_str());
        assert!(Solution::of("a", LEVELS[1], &files, &Given::default()).prints.is_empty());
    }

    #[test]
    fn what_most_of_the_class_writes_does_not_count() {
        let class: Vec<Solution> =
            (0..CROWD).map(|n| solution(&n.to_string(), &own("user"))).collect();
        assert_eq!(pairs(&class), []);
        assert_eq!(pairs(&class[..2]).len(), 1);
    }

    #[test]
    fn equal_tokens_far_apart_leave_a_common_hash() {
        let line: Vec<(u64, RangeInclusive<usize>)> =
            (0..200u64).map(|n| (n.wrapping_mul(0x9E37_79B9_7F4A_7C15), 1..=1)).collect();
        let whole = winnow(&line);
        for start in 0..180 {
            let part = winnow(&line[start..start + WINDOW]);
            assert!(part.iter().all(|at| whole.contains(&(at + start))), "{start}");
        }
    }
}
