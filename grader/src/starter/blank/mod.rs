//! From one reference module to the learner's blank.
//!
//! The text is edited by byte ranges and never printed from the syntax tree, so comments and layout of what stays
//! are the reference's own. What stays is the interface: public items with their docs, types,
//! derives, error enums and trait heads. Bodies become `todo!()`; what only bodies used goes.
//!
//! What goes and what stays depend on each other (a private type stays when a public signature names
//! it), so the file is blanked again and again, each time with the names in use that the last blank
//! left, until nothing changes. The first pass knows of no name in use: the result is the smallest
//! file that holds together.

mod bodies;
mod collect;
mod debug;
mod docs;
mod edits;
mod fields;
mod imports;
mod items;
mod markers;
mod names;
mod unit_tests;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::TokenStream;
use thiserror::Error;

use items::Pass;
pub(super) use items::is_for_tests;
use markers::Markers;
pub(super) use names::{Names, Uses, module_name};
pub(super) use unit_tests::{Own, add_imports, imports_to_add};

/// Why a reference cannot be blanked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BlankError {
    /// The file is not valid Rust.
    #[error("line {line}, column {column}: {message}")]
    Syntax {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// The message of the parser.
        message: String,
    },
    /// A comment begins like a marker and is none.
    #[error(
        "line {line}: no such marker: `{text}` (there are keep, drop, body EXPR, hint TEXT and doc TEXT)"
    )]
    UnknownMarker {
        /// The line, from 1.
        line: usize,
        /// The comment.
        text: String,
    },
    /// A marker stands where it marks nothing.
    #[error("line {line}: this marker stands above nothing that can be marked")]
    StrayMarker {
        /// The line, from 1.
        line: usize,
    },
    /// What a `body` marker gives is not Rust.
    #[error("line {line}: the body in the marker above does not parse: {message}")]
    MarkerBody {
        /// Where the marked item begins, counted from 1.
        line: usize,
        /// The message of the parser.
        message: String,
    },
    /// A function returns an opaque type for which no value is known.
    #[error(
        "line {line}: nothing is known to stand in for the `{returned}` that `{function}` returns: \
         put `// starter: body EXPR` above it"
    )]
    NoStandIn {
        /// The line, from 1.
        line: usize,
        /// The name of the function.
        function: String,
        /// The return type of the function.
        returned: String,
    },
}

/// What blanking a file has to know about the rest of its crate.
#[derive(Debug)]
pub(super) struct Scope<'a> {
    /// Whether a `pub` item of the file can be named outside the crate.
    pub(super) public: bool,
    /// Whether the file's module is private: its documentation is for readers of the reference.
    pub(super) private: bool,
    /// Whether the file is the root of a program, with a `main` that has to stay.
    pub(super) entry: bool,
    /// What paths call the file's module.
    pub(super) module: &'a str,
    /// What the rest of the crate names, as [`Uses::for_other_files`] has it.
    pub(super) named: &'a Names,
    /// The part of it that stands in the parent module and below: all that can name `pub(super)` items.
    pub(super) near: &'a Names,
    /// What the constants of the rest of the crate need while they are compiled.
    pub(super) constants: &'a Names,
    /// The file's modules in other files that have nothing left in them.
    pub(super) hollow: BTreeSet<String>,
    /// The file's modules of tests that stay, each with the imports that it needs besides its own.
    pub(super) tests: BTreeMap<String, Vec<String>>,
}

/// The blank of one module, taken on its own: `pub` items are the interface, and nothing else of the
/// crate names the others.
///
/// The result does not change when it is blanked again, provided that the markers `keep` and `body`
/// left no code in it (a `body` may, if it says `todo!()`).
///
/// # Errors
///
/// [`BlankError`] with the line in `source`.
pub fn blank(source: &str) -> Result<String, BlankError> {
    let none = Names::new();
    let mut scope = Scope {
        public: true,
        private: false,
        entry: false,
        module: "self",
        named: &none,
        near: &none,
        constants: &none,
        hollow: BTreeSet::new(),
        tests: BTreeMap::new(),
    };
    let text = blank_in(source, &scope)?;
    let (reference, blank) = (parse(source)?, parse(&text)?);
    let mut known = Own::default();
    known.add_file(&blank);
    for item in &reference.items {
        if let syn::Item::Mod(module) = item
            && is_for_tests(&module.attrs)
            && let Some((_, items)) = &module.content
            && let Some(imports) = imports_to_add(items, &reference, &blank, &known)
        {
            scope.tests.insert(module.ident.to_string(), imports);
        }
    }
    if scope.tests.is_empty() { Ok(text) } else { blank_in(source, &scope) }
}

/// The blank of one module inside its crate.
pub(super) fn blank_in(source: &str, scope: &Scope<'_>) -> Result<String, BlankError> {
    const BOM: &str = "\u{feff}";
    let (bom, source) = match source.strip_prefix(BOM) {
        Some(rest) => (BOM, rest),
        None => ("", source),
    };
    let tokens: TokenStream = source.parse().map_err(|cause: proc_macro2::LexError| {
        syntax(cause.span(), "this is not a token of Rust")
    })?;
    let markers = Markers::read(source, tokens.clone())?;
    let file: syn::File =
        syn::parse2(tokens).map_err(|cause| syntax(cause.span(), &cause.to_string()))?;
    let mut uses = Uses::default();
    loop {
        let mut edits = Pass::run(source, &file, &markers, &uses, scope)?;
        markers.stray(|at| edits.removes(at))?;
        for marker in markers.starts() {
            edits.remove_line(marker);
        }
        let text = edits.apply();
        let left = parse(&text)?;
        if !uses.absorb(Uses::of(&left)) {
            return Ok(format!("{bom}{}", docs::complete(text, &file, &left)));
        }
    }
}

/// The syntax tree of a file.
pub(super) fn parse(text: &str) -> Result<syn::File, BlankError> {
    syn::parse_file(text).map_err(|cause| syntax(cause.span(), &cause.to_string()))
}

fn syntax(span: proc_macro2::Span, message: &str) -> BlankError {
    let at = span.start();
    BlankError::Syntax { line: at.line, column: at.column + 1, message: message.to_owned() }
}
