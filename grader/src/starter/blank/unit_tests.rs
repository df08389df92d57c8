//! Which unit tests stay in a blank as the learner's own: those that use only what stays.
//!
//! A test of a private decision goes with the code that decides. A module of tests is one thing: it stays
//! or goes as a whole. The judgement is by name, so it can be wrong where a local variable is called like
//! a private field; the markers `keep` and `drop` above the module overrule it.

use proc_macro2::{TokenStream, TokenTree};
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Expr, Fields, ImplItem, Item, Member, Token, UseTree};

use super::docs::{bound, imports};
use super::items::{is_for_tests, is_public};
use super::names::{Names, Uses, self_type};

/// Methods that the standard library and tokio have as well: a call says nothing about a private one.
const COMMON: &[&str] = &[
    "clone", "drop", "fmt", "get", "insert", "len", "lock", "new", "next", "now", "poll", "push",
    "remove", "send", "take", "wait",
];

/// What a file has of its own.
#[derive(Debug, Default)]
pub(in crate::starter) struct Own {
    /// Functions, types, traits, constants, macros and modules.
    items: Names,
    /// Fields of structs and of variants.
    fields: Names,
    /// Structs whose fields have no names and can be given.
    tuples: Names,
    /// Methods and associated functions.
    methods: Names,
}

impl Own {
    /// What `file` defines, apart from its tests.
    pub(in crate::starter) fn of(file: &syn::File) -> Self {
        let mut own = Self::default();
        own.add(&file.items);
        own
    }

    /// Adds what `file` defines and what it imports.
    pub(in crate::starter) fn add_file(&mut self, file: &syn::File) {
        self.add(&file.items);
        self.items.extend(bound(file));
    }

    fn add(&mut self, items: &[Item]) {
        for item in items {
            let name = match item {
                Item::Const(item) => &item.ident,
                Item::Enum(item) => {
                    let fields = item.variants.iter().flat_map(|variant| &variant.fields);
                    let names = fields.filter_map(|field| field.ident.as_ref());
                    self.fields.extend(names.map(ToString::to_string));
                    &item.ident
                }
                Item::Fn(item) => &item.sig.ident,
                Item::Static(item) => &item.ident,
                Item::Trait(item) => &item.ident,
                Item::Type(item) => &item.ident,
                Item::Macro(syn::ItemMacro { ident: Some(ident), .. }) => ident,
                Item::Struct(item) => {
                    let fields = item.fields.iter().filter_map(|field| field.ident.as_ref());
                    self.fields.extend(fields.map(ToString::to_string));
                    if matches!(&item.fields, Fields::Unnamed(fields) if !fields.unnamed.is_empty())
                    {
                        self.tuples.insert(item.ident.to_string());
                    }
                    &item.ident
                }
                Item::Mod(item) if !is_for_tests(&item.attrs) => {
                    let inside = item.content.iter().flat_map(|(_, items)| items);
                    self.add(&inside.cloned().collect::<Vec<_>>());
                    &item.ident
                }
                Item::Impl(item) => {
                    self.methods.extend(item.items.iter().filter_map(|item| match item {
                        ImplItem::Fn(item) => Some(item.sig.ident.to_string()),
                        ImplItem::Const(item) => Some(item.ident.to_string()),
                        _ => None,
                    }));
                    continue;
                }
                _ => continue,
            };
            self.items.insert(name.to_string());
        }
    }

    /// What goes when `reference` becomes `blank`. The methods of a type that goes are left out: without
    /// the type there is nothing to call them on.
    fn gone(reference: &syn::File, blank: &syn::File) -> Self {
        let (old, new) = (Self::of(reference), Self::of(blank));
        let minus = |old: Names, new: &Names| old.difference(new).cloned().collect();
        let mut methods = Names::new();
        for item in &reference.items {
            if let Item::Impl(item) = item
                && self_type(item).is_none_or(|name| new.items.contains(&name))
            {
                methods.extend(item.items.iter().filter_map(|item| match item {
                    ImplItem::Fn(item) if !is_public(&item.vis) => Some(item.sig.ident.to_string()),
                    _ => None,
                }));
            }
        }
        Self {
            items: minus(old.items, &new.items),
            fields: minus(old.fields, &new.fields),
            tuples: minus(old.tuples, &new.tuples),
            methods: minus(methods, &new.methods),
        }
    }
}

/// The imports that `items`, the tests of the file `reference`, need besides their own once the file is
/// `blank`; `None` if they use something that goes. `known` has what the blanks of the whole crate define
/// or re-export.
pub(in crate::starter) fn imports_to_add(
    items: &[Item],
    reference: &syn::File,
    blank: &syn::File,
    known: &Own,
) -> Option<Vec<String>> {
    let tests = syn::File { attrs: Vec::new(), items: items.to_vec(), ..reference.clone() };
    let mut gone = Own::gone(reference, blank);
    // A name that something else in the crate has too is not that of a private field.
    gone.fields.retain(|name| !known.fields.contains(name));
    gone.methods.retain(|name| !COMMON.contains(&name.as_str()));
    let types = Own::of(reference).items;
    let mut search = Search { gone, own: Own::of(&tests), types, uses: false };
    search.visit_file(&tests);
    let own_imports = imports(&tests);
    let leads_nowhere = |path: &String| {
        let mut segments = path.split("::");
        let here = matches!(segments.next(), Some("crate" | "self" | "super"));
        here && segments.last().is_some_and(|last| !known.items.contains(last))
    };
    if search.uses || own_imports.values().any(leads_nowhere) {
        return None;
    }
    let mut missing = imports(reference);
    let left = imports(blank);
    missing.retain(|name, _| {
        name != "_" && !left.contains_key(name) && !own_imports.contains_key(name)
    });
    let uses = Uses::of(&tests);
    let named = missing.into_iter().filter(|(name, _)| uses.in_scope(&[], name));
    let named: Vec<_> = named.filter(|(name, _)| !search.own.items.contains(name)).collect();
    if named.iter().any(|(_, path)| leads_nowhere(path)) {
        return None;
    }
    let import = |(name, path): (String, String)| {
        let path = match path.strip_prefix("self::").or_else(|| path.strip_prefix("super::")) {
            Some(rest) if path.starts_with("self::") => format!("super::{rest}"),
            Some(_) => format!("super::{path}"),
            None => path,
        };
        let renamed = path.rsplit("::").next() != Some(&name);
        if renamed { format!("use {path} as {name};") } else { format!("use {path};") }
    };
    let mut added: Vec<_> = named.into_iter().map(import).collect();
    added.sort();
    Some(added)
}

/// Where `imports` belong in tests that begin with `items`, and their text: before the first import of
/// the tests themselves.
pub(super) fn insertion(
    items: &[Item],
    imports: &[String],
    newline: &str,
    indent: &str,
) -> Option<(usize, String)> {
    if imports.is_empty() {
        return None;
    }
    let first = items.iter().find(|item| matches!(item, Item::Use(_))).or(items.first())?;
    let separator = format!("{newline}{indent}");
    let text = format!("{}{newline}{separator}", imports.join(&separator));
    Some((first.span().byte_range().start, text))
}

/// The text of a file of tests with `imports` before its own.
pub(in crate::starter) fn add_imports(text: &str, items: &[Item], imports: &[String]) -> String {
    let newline = if text.contains("\r\n") { "\r\n" } else { "\n" };
    match insertion(items, imports, newline, "") {
        Some((at, added)) => format!("{}{added}{}", &text[..at], &text[at..]),
        None => text.to_owned(),
    }
}

/// Looks for a use of what goes.
struct Search {
    gone: Own,
    /// What the tests define themselves.
    own: Own,
    /// What the tested file defines: its types are those whose methods may go.
    types: Names,
    uses: bool,
}

impl Search {
    fn item(&mut self, name: &str) {
        self.uses |= self.gone.items.contains(name) && !self.own.items.contains(name);
    }

    fn field(&mut self, name: &str) {
        self.uses |= self.gone.fields.contains(name) && !self.own.fields.contains(name);
    }

    fn method(&mut self, name: &str) {
        self.uses |= self.gone.methods.contains(name)
            && !(self.own.methods.contains(name) || self.own.items.contains(name));
    }

    /// The arguments of a macro that are no list of expressions, such as the tests inside `proptest!`.
    fn tokens(&mut self, tokens: TokenStream) {
        let trees: Vec<_> = tokens.into_iter().collect();
        let is = |at: usize, sign: char| matches!(trees.get(at), Some(TokenTree::Punct(punct)) if punct.as_char() == sign);
        for (at, tree) in trees.iter().enumerate() {
            match tree {
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Ident(ident) => {
                    let name = ident.to_string();
                    let after_dot = at > 0 && is(at - 1, '.') && !(at > 1 && is(at - 2, '.'));
                    let called = matches!(trees.get(at + 1), Some(TokenTree::Group(group)) if group.delimiter() == proc_macro2::Delimiter::Parenthesis);
                    let path = is(at + 1, ':') && is(at + 2, ':');
                    if after_dot && (called || path) {
                        self.method(&name);
                    } else if after_dot {
                        self.field(&name);
                    } else {
                        let in_path = path || (at > 0 && is(at - 1, ':'));
                        if called || in_path || name.starts_with(char::is_uppercase) {
                            self.item(&name);
                            self.uses |= called && self.gone.tuples.contains(&name);
                        }
                        if let Some(TokenTree::Ident(owner)) =
                            at.checked_sub(3).map(|at| &trees[at])
                            && is(at - 1, ':')
                            && self.types.contains(&owner.to_string())
                        {
                            self.method(&name);
                        }
                    }
                }
                TokenTree::Literal(_) | TokenTree::Punct(_) => {}
            }
        }
    }
}

impl<'ast> Visit<'ast> for Search {
    fn visit_path(&mut self, path: &'ast syn::Path) {
        for (at, segment) in path.segments.iter().enumerate() {
            let name = segment.ident.to_string();
            // A single lower case name may be a variable; a call of a function is looked at below.
            if at > 0 || path.segments.len() > 1 || name.starts_with(char::is_uppercase) {
                self.item(&name);
            }
            if at > 0 && self.types.contains(&path.segments[at - 1].ident.to_string()) {
                self.method(&name);
            }
        }
        visit::visit_path(self, path);
    }

    fn visit_expr_call(&mut self, call: &'ast syn::ExprCall) {
        if let Expr::Path(path) = &*call.func
            && let Some(last) = path.path.segments.last()
        {
            let name = last.ident.to_string();
            self.item(&name);
            self.uses |= self.gone.tuples.contains(&name);
        }
        visit::visit_expr_call(self, call);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        self.method(&call.method.to_string());
        visit::visit_expr_method_call(self, call);
    }

    fn visit_member(&mut self, member: &'ast Member) {
        if let Member::Named(name) = member {
            self.field(&name.to_string());
        }
    }

    fn visit_use_tree(&mut self, tree: &'ast UseTree) {
        match tree {
            UseTree::Name(name) => self.item(&name.ident.to_string()),
            UseTree::Rename(rename) => self.item(&rename.ident.to_string()),
            _ => {}
        }
        visit::visit_use_tree(self, tree);
    }

    fn visit_macro(&mut self, invocation: &'ast syn::Macro) {
        self.visit_path(&invocation.path);
        let arguments = Punctuated::<Expr, Token![,]>::parse_terminated;
        match arguments.parse2(invocation.tokens.clone()) {
            Ok(arguments) => arguments.iter().for_each(|argument| self.visit_expr(argument)),
            Err(_) => self.tokens(invocation.tokens.clone()),
        }
    }
}
