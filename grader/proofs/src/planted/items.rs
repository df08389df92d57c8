//! The items of a source file and their paths.
//!
//! A path is written as the heads of the items, from the outermost one on: `fn load`,
//! `impl Failures / fn count`, `impl Drop for Running / fn drop`, `mod tests / struct Probe`. Generic
//! parameters may be left out; where several items differ in nothing else, `impl From<Timeout> for Error`
//! names one.
use std::ops::Range;

use quote::ToTokens;
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};
use syn::{ImplItem, Item as Syntax, ItemImpl, TraitItem};

use super::tokens::{text, tokens};

/// What stands between two heads of a path.
const SEPARATOR: &str = " / ";

/// An item of a source file.
#[derive(Debug, Clone)]
pub struct Item {
    /// Its path, as short as it can be written.
    pub path: String,
    /// Its bytes in the source, with attributes and doc comments.
    pub at: Range<usize>,
    /// The line of the item, from 1.
    pub line: usize,
    heads: Vec<Vec<String>>,
}

impl Item {
    /// Whether `path` names this item.
    fn is(&self, path: &[String]) -> bool {
        path.len() == self.heads.len()
            && self.heads.iter().zip(path).all(|(ways, head)| ways.contains(head))
    }
}

/// All items of a file that have a name, and all `impl` blocks, each before those within it.
///
/// # Errors
///
/// [`syn::Error`] when the source is not a Rust file.
pub fn items(source: &str) -> syn::Result<Vec<Item>> {
    let mut walk = Walk::default();
    walk.visit_file(&syn::parse_file(source)?);
    Ok(walk.found)
}

/// Those of `items` that `path` names.
#[must_use]
pub fn named<'a>(items: &'a [Item], path: &str) -> Vec<&'a Item> {
    let path: Vec<String> = path.split(SEPARATOR).map(normal).collect();
    items.iter().filter(|item| item.is(&path)).collect()
}

/// The paths that look most like `path`, the best one first.
#[must_use]
pub fn nearest(items: &[Item], path: &str) -> Vec<String> {
    let mut paths: Vec<&str> = items.iter().map(|item| item.path.as_str()).collect();
    let likeness = |other: &str| strsim::jaro_winkler(path, other);
    paths.sort_by(|a, b| likeness(b).total_cmp(&likeness(a)));
    paths.dedup();
    paths.into_iter().take(3).map(str::to_owned).collect()
}

#[derive(Default)]
struct Walk {
    /// The ways to write each head, from the outermost item to the one that is visited.
    heads: Vec<Vec<String>>,
    short: Vec<String>,
    found: Vec<Item>,
}

impl Walk {
    fn enter(&mut self, item: &impl ToTokens, head: Option<Head>, within: impl FnOnce(&mut Self)) {
        let Some(Head { ways, short }) = head else { return within(self) };
        self.heads.push(ways);
        self.short.push(short);
        let span = item.span();
        self.found.push(Item {
            path: self.short.join(SEPARATOR),
            at: span.byte_range(),
            line: span.start().line,
            heads: self.heads.clone(),
        });
        within(self);
        self.heads.pop();
        self.short.pop();
    }
}

impl<'ast> Visit<'ast> for Walk {
    fn visit_item(&mut self, item: &'ast Syntax) {
        let head = match item {
            Syntax::Const(item) => Head::named("const", &item.ident),
            Syntax::Enum(item) => Head::named("enum", &item.ident),
            Syntax::Fn(item) => Head::named("fn", &item.sig.ident),
            Syntax::Macro(item) => {
                item.ident.as_ref().and_then(|name| Head::named("macro_rules!", name))
            }
            Syntax::Mod(item) => Head::named("mod", &item.ident),
            Syntax::Static(item) => Head::named("static", &item.ident),
            Syntax::Struct(item) => Head::named("struct", &item.ident),
            Syntax::Trait(item) => Head::named("trait", &item.ident),
            Syntax::Type(item) => Head::named("type", &item.ident),
            Syntax::Union(item) => Head::named("union", &item.ident),
            Syntax::Impl(item) => Some(Head::of_impl(item)),
            _ => None,
        };
        self.enter(item, head, |walk| visit::visit_item(walk, item));
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        let head = match item {
            ImplItem::Const(item) => Head::named("const", &item.ident),
            ImplItem::Fn(item) => Head::named("fn", &item.sig.ident),
            ImplItem::Type(item) => Head::named("type", &item.ident),
            _ => None,
        };
        self.enter(item, head, |walk| visit::visit_impl_item(walk, item));
    }

    fn visit_trait_item(&mut self, item: &'ast TraitItem) {
        let head = match item {
            TraitItem::Const(item) => Head::named("const", &item.ident),
            TraitItem::Fn(item) => Head::named("fn", &item.sig.ident),
            TraitItem::Type(item) => Head::named("type", &item.ident),
            _ => None,
        };
        self.enter(item, head, |walk| visit::visit_trait_item(walk, item));
    }
}

/// How an item is named among its siblings.
struct Head {
    /// Every accepted way, in the form of [`normal`].
    ways: Vec<String>,
    short: String,
}

impl Head {
    #[allow(clippy::unnecessary_wraps, reason = "the other heads may be missing")]
    fn named(kind: &str, name: &proc_macro2::Ident) -> Option<Head> {
        let short = format!("{kind} {name}");
        Some(Head { ways: vec![normal(&short)], short })
    }

    fn of_impl(item: &ItemImpl) -> Head {
        let types = match &*item.self_ty {
            syn::Type::Path(path) if path.qself.is_none() => path_ways(&path.path),
            other => vec![written(other)],
        };
        let Some((of_trait, _)) = &item.trait_ else {
            let ways = types.iter().map(|ty| normal(&format!("impl {ty}"))).collect();
            return Head { ways, short: format!("impl {}", types[0]) };
        };
        let traits = path_ways(of_trait);
        let ways = traits
            .iter()
            .flat_map(|name| types.iter().map(move |ty| normal(&format!("impl {name} for {ty}"))))
            .collect();
        Head { ways, short: format!("impl {} for {}", traits[0], types[0]) }
    }
}

/// `fmt::Display<T>` as `Display`, `Display<T>` and in full. Never empty.
fn path_ways(path: &syn::Path) -> Vec<String> {
    let Some(last) = path.segments.last() else { return vec![written(path)] };
    vec![last.ident.to_string(), written(last), written(path)]
}

fn written(syntax: &impl ToTokens) -> String {
    syntax.to_token_stream().to_string()
}

/// A head in a form that does not depend on spaces.
fn normal(head: &str) -> String {
    tokens(head).map_or_else(|_| head.trim().to_owned(), |row| text(&row))
}
