//! The comments by which a reference steers its own blank.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use proc_macro2::{TokenStream, TokenTree};

use super::BlankError;
use super::edits::attached;

/// What every marker begins with.
const PREFIX: &str = "// starter:";

/// One marker.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Marker {
    Keep,
    Drop,
    Body(String),
    Hint(String),
    Doc(String),
}

/// The markers of one item, put together.
#[derive(Debug, Default)]
pub(super) struct Marked {
    /// It stays as it is.
    pub(super) keep: bool,
    /// Whether the item is removed.
    pub(super) drop: bool,
    /// The lines that become its body.
    pub(super) body: Option<String>,
    /// What the learner is told where the solution stood.
    pub(super) hints: Vec<String>,
    /// The lines that become its documentation.
    pub(super) docs: Vec<String>,
}

/// The markers of one file.
#[derive(Debug)]
pub(super) struct Markers<'a> {
    source: &'a str,
    /// By the byte at which the line begins.
    lines: BTreeMap<usize, Marker>,
    found: RefCell<BTreeSet<usize>>,
}

impl<'a> Markers<'a> {
    /// Reads the markers of `source`, whose tokens are `tokens`: a line of a string literal is none.
    ///
    /// # Errors
    ///
    /// [`BlankError::UnknownMarker`] for one that is misspelt, [`BlankError::MarkerBody`] for a body
    /// that is not Rust.
    pub(super) fn read(source: &'a str, tokens: TokenStream) -> Result<Self, BlankError> {
        let mut literals = Vec::new();
        collect_literals(tokens, &mut literals);
        let mut lines = BTreeMap::new();
        let mut start = 0;
        for (index, line) in source.split_inclusive('\n').enumerate() {
            if let Some(text) = line.trim().strip_prefix(PREFIX)
                && !literals.iter().any(|literal| literal.contains(&start))
            {
                let marker = parse(text.trim()).ok_or_else(|| BlankError::UnknownMarker {
                    line: index + 1,
                    text: line.trim().to_owned(),
                })?;
                lines.insert(start, marker);
            }
            start += line.len();
        }
        Ok(Self { source, lines, found: RefCell::default() })
    }

    /// The markers above an item that spans `item`, or between its attributes, which end at
    /// `attributes`.
    pub(super) fn of(&self, item: &Range<usize>, attributes: usize) -> Result<Marked, BlankError> {
        let first = self.source[..item.start].rfind('\n').map_or(0, |end| end + 1);
        let start = attached(self.source, first);
        // Comments may also stand between the last attribute and the item itself.
        let mut end = attributes.max(item.start);
        for line in self.source[end..].split_inclusive('\n') {
            if !line.trim().is_empty() && !line.trim().starts_with("//") {
                break;
            }
            end += line.len();
        }
        let mut marked = Marked::default();
        for (at, marker) in self.lines.range(start..end) {
            self.found.borrow_mut().insert(*at);
            match marker {
                Marker::Keep => marked.keep = true,
                Marker::Drop => marked.drop = true,
                Marker::Hint(text) => marked.hints.push(text.clone()),
                Marker::Doc(text) => marked.docs.push(text.clone()),
                Marker::Body(text) => match &mut marked.body {
                    Some(body) => *body = format!("{body}\n{text}"),
                    None => marked.body = Some(text.clone()),
                },
            }
        }
        if let Some(body) = &marked.body
            && let Err(cause) = syn::parse_str::<syn::Block>(&format!("{{ {body} }}"))
        {
            let line = self.line(start);
            return Err(BlankError::MarkerBody { line, message: cause.to_string() });
        }
        Ok(marked)
    }

    /// The lines that become the documentation of the file's module: those of the `doc` markers at its
    /// head. The `//!` lines of the reference end at `inner`.
    pub(super) fn of_file(&self, inner: usize) -> Vec<String> {
        let mut end = inner;
        // The rest of the last `//!` line, and the markers right below it.
        for line in self.source[inner..].split_inclusive('\n') {
            let is_rest = end == inner && inner > 0;
            if !is_rest && !line.trim_start().starts_with(PREFIX) {
                break;
            }
            end += line.len();
        }
        let docs = self.lines.range(..end).filter_map(|(at, marker)| match marker {
            Marker::Doc(text) => Some((*at, text.clone())),
            _ => None,
        });
        let docs: Vec<_> = docs.collect();
        self.found.borrow_mut().extend(docs.iter().map(|(at, _)| at));
        docs.into_iter().map(|(_, text)| text).collect()
    }

    /// Where the marker lines begin.
    pub(super) fn starts(&self) -> impl Iterator<Item = usize> {
        self.lines.keys().copied()
    }

    /// The first marker that stands above nothing that could be marked, leaving out those for which
    /// `gone` holds.
    pub(super) fn stray(&self, gone: impl Fn(usize) -> bool) -> Result<(), BlankError> {
        let found = self.found.borrow();
        match self.lines.keys().find(|at| !found.contains(at) && !gone(**at)) {
            Some(at) => Err(BlankError::StrayMarker { line: self.line(*at) }),
            None => Ok(()),
        }
    }

    /// The number of the line at a byte, from 1.
    pub(super) fn line(&self, at: usize) -> usize {
        self.source[..at].matches('\n').count() + 1
    }
}

fn parse(text: &str) -> Option<Marker> {
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    match (word, rest.trim()) {
        ("keep", "") => Some(Marker::Keep),
        ("drop", "") => Some(Marker::Drop),
        ("body", body) if !body.is_empty() => Some(Marker::Body(body.to_owned())),
        ("hint", hint) if !hint.is_empty() => Some(Marker::Hint(hint.to_owned())),
        // Without text: an empty line between paragraphs.
        ("doc", text) => Some(Marker::Doc(text.to_owned())),
        _ => None,
    }
}

fn collect_literals(tokens: TokenStream, into: &mut Vec<Range<usize>>) {
    for tree in tokens {
        match tree {
            TokenTree::Literal(literal) => into.push(literal.span().byte_range()),
            TokenTree::Group(group) => collect_literals(group.stream(), into),
            TokenTree::Ident(_) | TokenTree::Punct(_) => {}
        }
    }
}
