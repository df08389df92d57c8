//! Implementations by hand that would answer a check's question about a value.
//!
//! A check compares values of the level's types: `ensure_eq!(breaker.state(), State::Open)`. That comparison is the
//! type's own `PartialEq`. Where the reference derives it, a solution has to derive it too, since one that is
//! written by hand can call everything equal. [`Ruled`] says for which types and traits this holds; it is read from
//! the reference once and kept in `derived.txt`, because a learner's clone has no reference.
//!
//! With a derived implementation the compiler refuses a second one (E0119). So it is enough to find every
//! implementation by hand, also in a macro, behind another name of the type or of the trait, and of a type that a
//! field or a variant of such a type has. What the tokens leave open counts as one.
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::Finding;
use super::tokens::{self, Token};
use crate::catalog::Level;
use crate::submission::Files;

/// A source file: its path below the level, and its tokens.
pub(super) type Source = (String, Vec<Token>);

/// The traits through which a check compares, orders, looks up and shows values.
const TRAITS: &[&str] = &["PartialEq", "Eq", "PartialOrd", "Ord", "Hash", "Debug"];

/// What `grader/proofs` writes: the rules of every level.
const DERIVED: &str = include_str!("derived.txt");

/// The trait that shows a value. What it shows of a private part decides about no comparison.
const SHOWS: &str = "Debug";

/// For which types and traits of a level an implementation by hand is refused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ruled {
    /// Traits that the reference derives or that the course implements, by the name of the public type.
    derived: BTreeMap<String, BTreeSet<String>>,
    /// Traits that the reference implements by hand, by the name of the type.
    by_hand: BTreeMap<String, BTreeSet<String>>,
}

impl Ruled {
    /// The rules that follow from the reference of a level.
    #[must_use]
    pub fn of_reference(level: &Level, reference: &Files) -> Self {
        let mut ruled = Self::default();
        let sources = of_learner(level, reference);
        let own: BTreeSet<&str> =
            sources.iter().flat_map(|(_, tokens)| published(tokens)).collect();
        for (_, tokens) in &sources {
            ruled.read(tokens, &own);
            for head in heads(tokens) {
                let Head { of, name: Some(name), .. } = head else { continue };
                if TRAITS.contains(&of.as_str()) {
                    ruled.by_hand.entry(name).or_default().insert(of);
                }
            }
        }
        // A name that two modules use follows the more generous rule.
        for (name, traits) in &mut ruled.derived {
            if let Some(by_hand) = ruled.by_hand.get(name) {
                traits.retain(|of| !by_hand.contains(of));
            }
        }
        // What is only shown is never compared.
        ruled.derived.retain(|_, traits| traits.iter().any(|of| of != SHOWS));
        ruled
    }

    /// Takes what is derived for public types, and the names of the course's types that the level hands on; `own`
    /// are the names that the level defines.
    fn read(&mut self, tokens: &[Token], own: &BTreeSet<&str>) {
        for at in 0..tokens.len() {
            let text = tokens[at].text.as_str();
            if matches!(text, "struct" | "enum" | "union") && is_public(tokens, at) {
                let derived = derives(tokens, at);
                if let Some(name) = tokens.get(at + 1).filter(|name| is_name(&name.text))
                    && !derived.is_empty()
                {
                    self.derived.entry(name.text.clone()).or_default().extend(derived);
                }
            } else if text == "use" && is_public(tokens, at) {
                let import = until_semicolon(&tokens[at..]);
                for name in imported(import).filter(|name| !own.contains(name)) {
                    let all = TRAITS.iter().map(ToString::to_string);
                    self.derived.entry(name.to_owned()).or_default().extend(all);
                }
            }
        }
    }

    /// The rules of a level as they were read from its reference.
    fn of(level: &str) -> Self {
        let mut ruled = Self::default();
        for line in DERIVED.lines().filter(|line| !line.starts_with('#')) {
            let mut words = line.split_whitespace();
            let (Some(of), Some(how), Some(name)) = (words.next(), words.next(), words.next())
            else {
                continue;
            };
            let kept = match how {
                "derives" => &mut ruled.derived,
                _ => &mut ruled.by_hand,
            };
            if of == level {
                kept.insert(name.to_owned(), words.map(str::to_owned).collect());
            }
        }
        ruled
    }

    /// The lines of `derived.txt` for a level.
    #[must_use]
    pub fn lines(&self, level: &str) -> String {
        let mut text = String::new();
        for (how, kept) in [("derives", &self.derived), ("writes", &self.by_hand)] {
            for (name, traits) in kept {
                let traits: Vec<&str> = traits.iter().map(String::as_str).collect();
                // Writing into a string does not fail.
                let _ = writeln!(text, "{level} {how} {name} {}", traits.join(" "));
            }
        }
        text
    }
}

/// The implementations by hand in the learner's files of a level that are refused.
pub(super) fn by_hand(level: &Level, sources: &[Source]) -> Vec<Finding> {
    judged(level, sources, &Ruled::of(level.name))
}

/// The implementations by hand in a solution of a level that are refused, in the files that it consists of.
#[must_use]
pub fn answers_by_hand(level: &Level, files: &Files) -> Vec<Finding> {
    by_hand(level, &of_learner(level, files))
}

/// The learner's sources.
fn of_learner(level: &Level, files: &Files) -> Vec<Source> {
    files
        .iter()
        .filter(|(path, _)| !level.provides(path) && path.ends_with(".rs"))
        .map(|(path, bytes)| (path.to_owned(), tokens::of(&String::from_utf8_lossy(bytes))))
        .collect()
}

/// The same by given rules.
fn judged(level: &Level, sources: &[Source], ruled: &Ruled) -> Vec<Finding> {
    let parts = parts(sources, ruled);
    let imports: Vec<(usize, String, String)> =
        sources.iter().flat_map(|(_, tokens)| uses(tokens)).collect();
    let mut traits: BTreeMap<&str, &str> = TRAITS.iter().map(|of| (*of, *of)).collect();
    // A renamed import can be renamed again.
    for _ in 0..imports.len() {
        let before = traits.len();
        for (_, from, to) in imports.iter().filter(|(_, _, to)| to != "_") {
            if let Some(of) = traits.get(from.as_str()).copied() {
                traits.entry(to).or_insert(of);
            }
        }
        if traits.len() == before {
            break;
        }
    }
    let mut findings = Vec::new();
    for (path, tokens) in sources {
        let mut find = |line, what: String, why: String| {
            findings.push(Finding { file: format!("{}/{path}", level.name), line, what, why });
        };
        for mut head in heads(tokens) {
            if let Some(of) = traits.get(head.of.as_str()) {
                head.of = (*of).to_owned();
            }
            // A type that compares with another one may stand behind `impl Trait`.
            let is_free =
                |name: &str| !head.with_another_type && is_private(name, path, sources, &parts);
            if let Some((what, why)) = refusal(&head, ruled, &parts)
                && !head.name.as_deref().is_some_and(is_free)
            {
                find(head.line, what, why);
            }
        }
        for (line, from, to) in uses(tokens) {
            if (TRAITS.contains(&to.as_str()) && from != to) || from.starts_with('$') {
                let why = "it may be mistaken for the trait that checks compare with: import it under its own name";
                find(line, format!("{from} as {to}"), why.to_owned());
            }
        }
    }
    findings
}

/// Why an implementation is refused.
fn refusal(head: &Head, ruled: &Ruled, parts: &Parts) -> Option<(String, String)> {
    let of = head.of.as_str();
    let shown = head.name.as_deref().unwrap_or("...");
    if of.starts_with('$') {
        return Some((
            format!("impl {of} for {shown}"),
            "the trait is not to be seen: write the implementation without the macro".to_owned(),
        ));
    }
    if !TRAITS.contains(&of) {
        return None;
    }
    let what = format!("impl {of} for {shown}");
    if head.with_another_type {
        return Some((
            format!("impl {of}<...> for {shown}"),
            format!(
                "a check would compare with it: return the type that the documentation names, and compare \
                 inside of the level by a method. An implementation of {of} compares a type with itself"
            ),
        ));
    }
    let Some(name) = head.name.as_deref().filter(|name| !name.starts_with('$')) else {
        return Some((
            what,
            format!(
                "the type is not to be seen: write `#[derive({of})]` at it, or the \
                     implementation without the macro"
            ),
        ));
    };
    let by_hand = ruled.by_hand.get(name).is_some_and(|traits| traits.contains(of));
    if by_hand {
        return None;
    }
    if ruled.derived.get(name).is_some_and(|traits| traits.contains(of)) {
        return Some((
            what,
            format!(
                "checks compare values of {name}, so nothing but its fields may decide: delete this and \
                 write `#[derive({of})]` at the type. A type of your own that has the same name needs another one"
            ),
        ));
    }
    let whole = (of != SHOWS).then(|| parts.get(name)).flatten()?;
    Some((
        what,
        format!(
            "{name} is a part of {whole}, whose values checks compare: delete this and write \
             `#[derive({of})]` at {name}"
        ),
    ))
}

/// Whether the type that an implementation in the file at `path` is for stays out of every check's sight: it is private
/// there, has no other name, and is in no type of its module or of those below that checks compare.
fn is_private(name: &str, path: &str, sources: &[Source], parts: &Parts) -> bool {
    let here = module(path);
    let mut is_defined = false;
    for (file, tokens) in sources {
        let sees_it = module(file) == here || module(file).starts_with(&format!("{here}/"));
        for Definition { name: of, made_of, is_alias, is_open } in definitions(tokens) {
            if of == name && file == path {
                is_defined = true;
                if is_open || is_alias {
                    return false;
                }
            }
            let is_made_of_it = of != name && made_of.iter().any(|part| part == name);
            if is_made_of_it && (is_alias || (sees_it && parts.contains_key(&of))) {
                return false;
            }
        }
    }
    is_defined
}

/// The path of the module in a file: `breaker/core` for `src/breaker/core.rs`.
fn module(path: &str) -> &str {
    let path = path.strip_prefix("src/").unwrap_or(path);
    let path = path.strip_suffix(".rs").unwrap_or(path);
    path.strip_suffix("/mod").unwrap_or(path)
}

/// Stands for the name of a type that a macro defines.
const ANY: &str = "$";

/// Names that stand in the definition of a public type that checks compare, each with the type's name.
type Parts = BTreeMap<String, String>;

/// The names that the definitions of ruled types are made of, and other names of ruled types.
fn parts(sources: &[Source], ruled: &Ruled) -> Parts {
    let mut parts: Parts = ruled.derived.keys().map(|name| (name.clone(), name.clone())).collect();
    parts.insert(ANY.to_owned(), "a type that a macro defines".to_owned());
    let definitions: Vec<Definition> =
        sources.iter().flat_map(|(_, tokens)| definitions(tokens)).collect();
    loop {
        let before = parts.len();
        for Definition { name, made_of, is_alias, .. } in &definitions {
            if let Some(whole) = parts.get(name).cloned() {
                for part in made_of {
                    parts.entry(part.clone()).or_insert_with(|| whole.clone());
                }
            }
            let target = made_of.last().and_then(|target| parts.get(target)).cloned();
            if let (true, Some(whole)) = (*is_alias, target) {
                parts.entry(name.clone()).or_insert(whole);
            }
        }
        if parts.len() == before {
            return parts;
        }
    }
}

/// The definition of a type, or another name of one.
struct Definition {
    name: String,
    /// The names in it; of another name's path those outside of angle brackets.
    made_of: Vec<String>,
    is_alias: bool,
    /// Whether a `pub` of any kind stands before it.
    is_open: bool,
}

fn definitions(tokens: &[Token]) -> Vec<Definition> {
    let mut found = Vec::new();
    for at in 0..tokens.len() {
        let Some(name) = tokens.get(at + 1).map(|token| token.text.clone()) else { break };
        let before = at.checked_sub(1).map_or("", |before| tokens[before].text.as_str());
        // `pub(crate)` ends with its bracket.
        let is_open = matches!(before, "pub" | ")");
        match tokens[at].text.as_str() {
            "struct" | "enum" | "union" if is_name(&name) => {
                let made_of = names(definition(&tokens[at + 2..]));
                found.push(Definition { name, made_of, is_alias: false, is_open });
            }
            // A macro's type may be any of them.
            "struct" | "enum" | "union" if name == "$" => {
                let made_of = names(tokens.get(at + 3..).map_or(&[], definition));
                found.push(Definition { name: ANY.to_owned(), made_of, is_alias: false, is_open });
            }
            "type" if is_name(&name) => {
                let value = until_semicolon(&tokens[at + 2..]);
                let (all, path) = (names(value), names_outside_of_generics(value));
                let name_too = name.clone();
                found.push(Definition { name, made_of: all, is_alias: false, is_open });
                found.push(Definition { name: name_too, made_of: path, is_alias: true, is_open });
            }
            _ => {}
        }
    }
    let imports = uses(tokens).into_iter().filter(|(_, _, to)| to != "_");
    found.extend(imports.map(|(_, from, name)| Definition {
        name,
        made_of: vec![from],
        is_alias: true,
        is_open: true,
    }));
    found
}

/// The tokens of a definition after its name: up to its semicolon or to the end of its braces.
fn definition(tokens: &[Token]) -> &[Token] {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        match token.text.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => {
                depth = depth.saturating_sub(1);
                if depth == 0 && token.text == "}" {
                    return &tokens[..at];
                }
            }
            ";" if depth == 0 => return &tokens[..at],
            _ => {}
        }
    }
    tokens
}

fn until_semicolon(tokens: &[Token]) -> &[Token] {
    let end = tokens.iter().position(|token| token.text == ";").unwrap_or(tokens.len());
    &tokens[..end]
}

fn is_name(text: &str) -> bool {
    text.chars().next().is_some_and(|first| first.is_alphabetic() || first == '_')
}

fn names(tokens: &[Token]) -> Vec<String> {
    tokens.iter().map(|token| token.text.clone()).filter(|text| is_name(text)).collect()
}

/// The names of `a::B<C>` that are not in angle brackets.
fn names_outside_of_generics(tokens: &[Token]) -> Vec<String> {
    let mut depth = 0_usize;
    let mut found = Vec::new();
    for token in tokens {
        match token.text.as_str() {
            "<" => depth += 1,
            ">" => depth = depth.saturating_sub(1),
            text if depth == 0 && is_name(text) => found.push(text.to_owned()),
            _ => {}
        }
    }
    found
}

/// `X as Y` of every import: the line, what is imported and the name that it gets.
fn uses(tokens: &[Token]) -> Vec<(usize, String, String)> {
    let mut found = Vec::new();
    for at in 0..tokens.len() {
        // `use` of `impl Trait + use<'a>` is no import.
        if tokens[at].text == "use" && tokens.get(at + 1).is_some_and(|next| next.text != "<") {
            let import = until_semicolon(&tokens[at..]);
            found.extend(renames(import).into_iter().map(|(from, to)| (tokens[at].line, from, to)));
        }
    }
    found
}

/// `X as Y` in the tokens of an import.
fn renames(import: &[Token]) -> Vec<(String, String)> {
    let text = |at: usize| import.get(at).map_or("", |token| token.text.as_str());
    let places = (1..import.len()).filter(|at| text(*at) == "as");
    let pair = |at: usize| {
        let dollar = if at >= 2 && text(at - 2) == "$" { "$" } else { "" };
        (format!("{dollar}{}", text(at - 1)), text(at + 1).to_owned())
    };
    places.map(pair).collect()
}

/// Whether the item whose keyword stands at `at` is public without a limit.
fn is_public(tokens: &[Token], at: usize) -> bool {
    at.checked_sub(1).and_then(|before| tokens.get(before)).is_some_and(|token| token.text == "pub")
}

/// The traits of [`TRAITS`] in the attributes above the item whose keyword stands at `at`.
fn derives(tokens: &[Token], at: usize) -> Vec<String> {
    let mut found = Vec::new();
    let mut end = at.saturating_sub(1); // `pub`
    while end > 0 && tokens[end - 1].text == "]" {
        let mut depth = 0_usize;
        let mut begin = end - 1;
        loop {
            match tokens[begin].text.as_str() {
                "]" | ")" | "}" => depth += 1,
                "[" | "(" | "{" => depth -= 1,
                _ => {}
            }
            if depth == 0 || begin == 0 {
                break;
            }
            begin -= 1;
        }
        let attribute = &tokens[begin..end];
        if attribute.get(1).is_some_and(|token| token.text == "derive") {
            let texts = attribute.iter().map(|token| token.text.clone());
            found.extend(texts.filter(|text| TRAITS.contains(&text.as_str())));
        }
        end = begin.saturating_sub(1); // `#`
    }
    found
}

/// The head of an implementation.
#[derive(Debug)]
struct Head {
    line: usize,
    /// The last name of the trait's path; with a `$` where a macro puts it there.
    of: String,
    /// The last name of the type's path; with a `$` likewise. None for what is no path.
    name: Option<String>,
    /// Whether the trait has an argument that is another type: `PartialEq<u32>`.
    with_another_type: bool,
}

/// The heads of all implementations of traits, those in macros included.
fn heads(tokens: &[Token]) -> Vec<Head> {
    (0..tokens.len())
        .filter(|at| tokens[*at].text == "impl")
        .filter_map(|at| head(tokens, at))
        .collect()
}

fn head(tokens: &[Token], at: usize) -> Option<Head> {
    let line = tokens[at].line;
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let mut begin = at + 1;
    if text(begin) == "<" {
        begin = after_generics(tokens, begin);
    }
    // `impl $($rest)*`: everything may stand there.
    if text(begin) == "$" && text(begin + 1) == "(" {
        return Some(Head { line, of: "$(...)".to_owned(), name: None, with_another_type: false });
    }
    let (of, arguments, mut end) = path(tokens, begin)?;
    if text(end) != "for" {
        return None;
    }
    end += 1;
    while matches!(text(end), "&" | "mut" | "'") {
        end += if text(end) == "'" { 2 } else { 1 };
    }
    let name = path(tokens, end).map(|(name, ..)| name);
    let whole = &tokens[end..];
    let whole = &whole[..whole
        .iter()
        .position(|token| matches!(token.text.as_str(), "{" | "where"))
        .unwrap_or(whole.len())];
    let own: Vec<&str> = whole.iter().map(|token| token.text.as_str()).collect();
    let with_another_type = !arguments.is_empty() && arguments != ["Self"] && arguments != own;
    Some(Head { line, of, name, with_another_type })
}

/// A path from `at` on: its last name, the tokens of its last arguments, and the place after it.
fn path(tokens: &[Token], at: usize) -> Option<(String, Vec<&str>, usize)> {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let mut name = None;
    let mut arguments = Vec::new();
    let mut at = at;
    loop {
        match text(at) {
            "$" if text(at + 1) == "crate" => at += 2,
            "$" if is_name(text(at + 1)) => {
                name = Some(format!("${}", text(at + 1)));
                at += 2;
            }
            ":" if text(at + 1) == ":" => at += 2,
            "!" | "~" | "const" | "dyn" => at += 1,
            "<" => {
                // `<X as Y>::Z` has no name before its brackets: its type is not to be seen.
                name.as_ref()?;
                let end = after_generics(tokens, at);
                arguments =
                    tokens[at + 1..end - 1].iter().map(|token| token.text.as_str()).collect();
                at = end;
            }
            "for" | "where" => break,
            text if is_name(text) => {
                name = Some(text.to_owned());
                arguments.clear();
                at += 1;
            }
            _ => break,
        }
    }
    Some((name?, arguments, at))
}

/// The place after the angle brackets that open at `at`.
fn after_generics(tokens: &[Token], at: usize) -> usize {
    let mut depth = 0_usize;
    for (place, token) in tokens.iter().enumerate().skip(at) {
        match token.text.as_str() {
            "<" => depth += 1,
            // `Fn() -> T` closes nothing.
            ">" if tokens[place - 1].text != "-" => {
                depth -= 1;
                if depth == 0 {
                    return place + 1;
                }
            }
            _ => {}
        }
    }
    tokens.len()
}

/// The names of the public types, traits and constants that the tokens define.
fn published(tokens: &[Token]) -> impl Iterator<Item = &str> {
    let names = tokens.windows(3).filter(|three| {
        three[0].text == "pub"
            && matches!(
                three[1].text.as_str(),
                "struct" | "enum" | "union" | "type" | "trait" | "const" | "static"
            )
    });
    names.map(|three| three[2].text.as_str())
}

/// The names under which an import hands on types and traits.
fn imported(import: &[Token]) -> impl Iterator<Item = &str> {
    let text = |at: usize| import.get(at).map_or(";", |token| token.text.as_str());
    let last = (1..import.len()).filter(move |at| matches!(text(*at + 1), "," | "}" | ";"));
    let names = last.map(text).filter(|text| text.starts_with(char::is_uppercase));
    names.filter(|text| text.len() == 1 || text.contains(char::is_lowercase))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::LEVELS;

    const REFERENCE: &str = "
        #[derive(Debug, Clone, PartialEq, Eq)] pub enum State { Open, Closed }
        /// A figure.
        #[derive(PartialEq)] #[must_use] pub struct Figures { pub calls: u64, own: Inner }
        #[derive(PartialEq)] struct Inner;
        #[derive(Debug)] pub struct Machine;
        #[derive(PartialEq, Eq)] pub struct Stamp(u64);
        impl Ord for Stamp { } impl PartialOrd for Stamp { }
        pub use course::{Kind as Sort, load, Given};
        pub use inner::State;";

    fn of(files: &[(&str, &str)]) -> Vec<String> {
        let level = LEVELS.iter().find(|level| level.name == "level4").expect("level 4");
        let mut reference = Files::default();
        reference.insert("src/one.rs", REFERENCE);
        let ruled = Ruled::of_reference(level, &reference);
        let sources: Vec<Source> =
            files.iter().map(|(path, text)| ((*path).to_owned(), tokens::of(text))).collect();
        judged(level, &sources, &ruled).iter().map(Finding::to_string).collect()
    }

    #[track_caller]
    fn is_refused(text: &str, said: &str) {
        let found = of(&[("src/one.rs", text)]);
        assert!(found.iter().any(|it| it.contains(said)), "{text}: {found:?}");
    }

    #[track_caller]
    fn is_fine(text: &str) {
        assert_eq!(of(&[("src/one.rs", text)]), Vec::<String>::new(), "{text}");
    }

    #[test]
    fn the_rules_are_those_of_the_reference() {
        let level = LEVELS.iter().find(|level| level.name == "level4").expect("level 4");
        let mut reference = Files::default();
        reference.insert("src/one.rs", REFERENCE);
        let lines = Ruled::of_reference(level, &reference).lines("level4");
        assert_eq!(
            lines,
            "level4 derives Figures PartialEq\n\
             level4 derives Given Debug Eq Hash Ord PartialEq PartialOrd\n\
             level4 derives Sort Debug Eq Hash Ord PartialEq PartialOrd\n\
             level4 derives Stamp Eq PartialEq\n\
             level4 derives State Debug Eq PartialEq\n\
             level4 writes Stamp Ord PartialOrd\n"
        );
    }

    #[test]
    fn an_implementation_by_hand_is_refused_with_its_line() {
        let by_hand = "pub enum State { Open }\nimpl PartialEq for State { }";
        is_refused(by_hand, "level4/src/one.rs:2: impl PartialEq for State: checks compare");
        is_refused(by_hand, "write `#[derive(PartialEq)]`");
        is_refused("impl<T> std::cmp::PartialEq<Self> for a::State<T> where T: X {}", "for State");
        is_refused("impl std::fmt::Debug for State { }", "impl Debug for State");
        is_refused("impl Eq for Given {}", "impl Eq for Given");
        is_refused("impl PartialEq for (State) {}", "the type is not to be seen");
        is_refused("impl PartialEq for <A as B>::C {}", "the type is not to be seen");
    }

    #[test]
    fn so_is_one_behind_another_name() {
        is_refused("type Own = State; impl PartialEq for Own {}", "impl PartialEq for Own");
        is_refused("enum Own {} pub type State = Own; impl PartialEq for Own {}", "for Own");
        is_refused("enum Own {} pub use Own as State; impl PartialEq for Own {}", "for Own");
        is_refused("use std::cmp::PartialEq as P; impl P for State {}", "impl PartialEq for State");
        is_refused("use a::PartialEq as P; use P as Q; impl Q for State {}", "impl PartialEq");
        is_refused("use serde::Serialize as PartialEq;", "Serialize as PartialEq");
    }

    #[test]
    fn so_is_one_of_a_part_of_such_a_type() {
        let part = "enum Own {} pub struct Figures { own: Vec<Own> } impl PartialEq for Own {}";
        is_refused(part, "Own is a part of Figures");
        let deep = "pub struct Figures(A); struct A(B); struct B; impl PartialEq for B {}";
        is_refused(deep, "B is a part of Figures");
        is_refused(
            "struct Count; impl PartialEq<u64> for Count {}",
            "impl PartialEq<...> for Count",
        );
    }

    #[test]
    fn so_is_one_that_a_macro_hides() {
        is_refused(
            "macro_rules! m { ($t:ident) => { impl PartialEq for $t {} } }",
            "not to be seen",
        );
        is_refused("macro_rules! m { ($t:path) => { impl $t for State {} } }", "not to be seen");
        is_refused("macro_rules! m { ($($t:tt)*) => { impl $($t)* {} } }", "not to be seen");
        is_refused("m! { impl PartialEq for State {} }", "impl PartialEq for State");
        is_refused("macro_rules! m { ($a:ident) => { use std::cmp::$a as P; } }", "as P");
        let of_a_macro = "macro_rules! m { ($t:ident) => { pub struct $t(Own); } }
            struct Own; impl PartialEq for Own {}";
        is_refused(of_a_macro, "Own is a part of a type that a macro defines");
    }

    #[test]
    fn honest_code_is_not() {
        is_fine("#[derive(PartialEq)] pub enum State {} impl fmt::Display for State {}");
        is_fine("impl Ord for Stamp {} impl PartialOrd for Stamp {} impl Debug for Machine {}");
        is_fine("struct Entry; impl Ord for Entry {} impl PartialEq for Entry {}");
        is_fine(
            "pub struct Entry; impl PartialOrd<Self> for Entry {} impl PartialEq<Entry> for Entry {}",
        );
        is_fine("macro_rules! m { ($t:ident) => { pub struct $t(u64); impl $t { fn new() {} } } }");
        is_fine("macro_rules! m { ($t:ident) => { impl fmt::Display for $t {} } }");
        is_fine(
            "use std::fmt::Debug as _; fn f(a: impl Fn(u8) -> u8) -> impl Debug + use<> { for b in c {} }",
        );
        is_fine("impl<T: PartialEq> Machine { fn f(_: impl for<'a> Fn(&'a u8)) {} }");
    }

    #[test]
    fn a_private_type_may_have_the_name_of_a_public_one() {
        let private = "struct State; impl Ord for State {} impl PartialEq for State {} impl Debug for State {}";
        assert_eq!(of(&[("src/two.rs", private), ("src/one.rs", "pub enum State {}")]), [""; 0]);
        let exported =
            [("src/two.rs", "enum State {} pub type Own = State; impl PartialEq for State {}")];
        assert_eq!(of(&exported).len(), 1);
        let used = [
            ("src/two.rs", "struct State; impl PartialEq for State {}"),
            ("src/two/three.rs", "pub struct Figures(super::State);"),
        ];
        assert_eq!(of(&used).len(), 1);
    }
}
