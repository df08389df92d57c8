//! Which names a piece of source uses, apart from those that it defines.
//!
//! The answer decides what a blank keeps: a private item stays only when what stays names it, and
//! so does an import. It is an over-estimate where the syntax alone cannot tell (the tokens of a
//! macro call, the arguments of an attribute).

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::Block;

use super::collect;

/// Names of one kind.
pub(in crate::starter) type Names = BTreeSet<String>;

/// The path of an inline module inside its file; empty for the file itself.
pub(super) type ModulePath = Vec<String>;

/// The names that a file uses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::starter) struct Uses {
    /// First segments of paths, for each inline module: what must be in scope there.
    pub(super) heads: BTreeMap<ModulePath, Names>,
    /// Later segments of paths: associated items, members of modules.
    pub(super) tails: Names,
    /// Each segment of a path with the one before it: `race::load`. `self` and `super` are replaced by the
    /// number of levels that they lead up: `^0`, `^1`.
    pub(super) qualified: Names,
    /// Methods called.
    pub(super) methods: Names,
    /// Fields read, written or initialized.
    pub(super) members: Names,
    /// Functions that the initializer of a constant calls while it is compiled: `limit`, or
    /// `Queue::new` for an associated one.
    pub(super) constants: Names,
    /// Whether a function body that does something calls a method: only then can an import be
    /// needed that nothing names, a trait's.
    pub(super) calls_methods: bool,
    /// Whether something is imported by `*` from this crate.
    pub(super) globs: bool,
}

impl Uses {
    /// The names that `file` uses.
    pub(in crate::starter) fn of(file: &syn::File) -> Self {
        collect::uses(file)
    }

    /// Adds what `other` names; tells whether anything was new.
    pub(super) fn absorb(&mut self, other: Self) -> bool {
        let before = self.clone();
        for (module, names) in other.heads {
            self.heads.entry(module).or_default().extend(names);
        }
        self.tails.extend(other.tails);
        self.qualified.extend(other.qualified);
        self.methods.extend(other.methods);
        self.members.extend(other.members);
        self.constants.extend(other.constants);
        self.calls_methods |= other.calls_methods;
        self.globs |= other.globs;
        *self != before
    }

    /// What must be in scope in one inline module.
    pub(super) fn heads(&self, module: &[String]) -> impl Iterator<Item = &str> {
        self.heads.get(module).into_iter().flatten().map(String::as_str)
    }

    /// Whether `name` must be in scope in `module`.
    pub(super) fn in_scope(&self, module: &[String], name: &str) -> bool {
        self.heads.get(module).is_some_and(|names| names.contains(name))
    }

    /// Whether anything names an item `name` that is defined in `module`, which is called `called`.
    pub(super) fn item(&self, module: &[String], called: &str, name: &str) -> bool {
        self.in_scope(module, name) || self.qualified.contains(&format!("{called}::{name}"))
    }

    /// Whether anything names an associated function or constant, or calls a method, `name`.
    pub(super) fn associated(&self, name: &str) -> bool {
        self.methods.contains(name) || self.tails.contains(name)
    }

    /// What another file of the crate may mean when this one, the module at `path`, names something:
    /// `module::item`, `*::item` where only the module could say which, and the bare names of what
    /// belongs to a type.
    pub(in crate::starter) fn for_other_files(&self, path: &[String]) -> Names {
        let mut names = self.tails.clone();
        names.extend(self.methods.iter().chain(&self.members).cloned());
        for pair in &self.qualified {
            let up = pair.strip_prefix('^').and_then(|rest| rest.split_once("::"));
            let Some((up, name)) = up else {
                names.insert(pair.clone());
                continue;
            };
            let above = path.len().saturating_sub(up.parse().unwrap_or_default());
            names.insert(function(Some(module_name(&path[..above])), name));
        }
        if self.globs {
            names.extend(self.heads.values().flatten().map(|name| format!("*::{name}")));
        }
        names
    }

    /// What the constants of this file need while they are compiled.
    pub(in crate::starter) fn constants(&self) -> &Names {
        &self.constants
    }
}

/// What paths call the module at `path`.
pub(in crate::starter) fn module_name(path: &[String]) -> &str {
    path.last().map_or("crate", String::as_str)
}

/// The way in which [`Uses::constants`] names a function.
pub(super) fn function(owner: Option<&str>, name: &str) -> String {
    owner.map_or_else(|| name.to_owned(), |owner| format!("{owner}::{name}"))
}

/// The name of the type that an implementation is for.
pub(super) fn self_type(item: &syn::ItemImpl) -> Option<String> {
    match &*item.self_ty {
        syn::Type::Path(path) => path.path.segments.last().map(|last| last.ident.to_string()),
        _ => None,
    }
}

/// Whether a stand-in is already there: a body with a `todo!` anywhere.
pub(super) fn is_blank(block: &Block) -> bool {
    fn search(tokens: TokenStream) -> bool {
        tokens.into_iter().any(|tree| match tree {
            TokenTree::Ident(ident) => ident == "todo",
            TokenTree::Group(group) => search(group.stream()),
            _ => false,
        })
    }
    search(block.to_token_stream())
}

/// Every identifier of `tokens`.
pub(super) fn idents(tokens: TokenStream) -> Names {
    fn walk(tokens: TokenStream, into: &mut Names) {
        for tree in tokens {
            match tree {
                TokenTree::Ident(ident) => drop(into.insert(ident.to_string())),
                TokenTree::Group(group) => walk(group.stream(), into),
                TokenTree::Literal(literal) => into.extend(captured(&literal.to_string())),
                TokenTree::Punct(_) => {}
            }
        }
    }
    let mut names = Names::new();
    walk(tokens, &mut names);
    names
}

/// The names that a format string captures: `"{LIMIT} of {0}"` captures `LIMIT`.
pub(super) fn captured(literal: &str) -> Vec<String> {
    if !literal.ends_with(['"', '#']) {
        return Vec::new();
    }
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let pieces = literal.split('{').skip(1);
    let names = pieces.map(|piece| piece.chars().take_while(|c| is_part(*c)).collect::<String>());
    names.filter(|name| name.starts_with(|c: char| c.is_alphabetic() || c == '_')).collect()
}
