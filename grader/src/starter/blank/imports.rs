//! Imports that nothing needs any more.
//!
//! An unused import is a warning, and it gives the solution away: a blank that imports
//! `FuturesUnordered` has said how it is done.

use std::collections::BTreeMap;

use quote::ToTokens;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Item, ItemUse, UseTree, Visibility};

use super::items::Pass;
use super::names::{ModulePath, Names};

/// Where rustfmt breaks a line.
const WIDTH: usize = 100;

/// Takes out of an import what is not named any more, or all of it.
pub(super) fn prune(pass: &mut Pass<'_>, item: &ItemUse) {
    if pass.module.is_empty() && begins_in(&item.tree, &pass.scope.hollow) {
        pass.edits.remove(item.span().byte_range());
        return;
    }
    let reexported = match &item.vis {
        Visibility::Public(_) if pass.public => return,
        Visibility::Inherited => false,
        _ => true,
    };
    let needed = |name: &str| {
        pass.uses.in_scope(&pass.module, name) || (reexported && pass.named_outside(name))
    };
    let globs = reexported || needs_glob(pass);
    let whole = item.tree.span().byte_range();
    match kept(pass, &item.tree, &needed, globs) {
        None => pass.edits.remove(item.span().byte_range()),
        Some(tree) if tree == Tree::of(&item.tree) => {}
        Some(tree) => {
            let indent = pass.edits.indent(&item.span().byte_range());
            let before =
                item.vis.to_token_stream().to_string().len() + "use ;".len() + indent.len();
            let text = tree.render(indent.len(), before).replace('\n', pass.newline);
            pass.edits.replace(whole, text);
        }
    }
}

/// Whether an import takes something out of one of the modules that are gone.
fn begins_in(tree: &UseTree, gone: &Names) -> bool {
    let UseTree::Path(path) = tree else { return false };
    if path.ident == "self" {
        return match &*path.tree {
            UseTree::Name(name) => gone.contains(&name.ident.to_string()),
            tree => begins_in(tree, gone),
        };
    }
    gone.contains(&path.ident.to_string())
}

/// What is left of a tree of imports.
fn kept(
    pass: &Pass<'_>,
    tree: &UseTree,
    needed: &dyn Fn(&str) -> bool,
    globs: bool,
) -> Option<Tree> {
    let stays = match tree {
        UseTree::Path(path) => {
            let name = path.ident.to_string();
            // `use a::b::{self}` binds b.
            let inner = |bound: &str| needed(if bound == "self" { &name } else { bound });
            return kept(pass, &path.tree, &inner, globs).map(|inner| inner.below(&name));
        }
        UseTree::Group(group) => {
            let mut trees: Vec<_> =
                group.items.iter().filter_map(|tree| kept(pass, tree, needed, globs)).collect();
            return match trees.len() {
                0 => None,
                1 => trees.pop(),
                _ => Some(Tree::Group(String::new(), trees)),
            };
        }
        UseTree::Name(name) => {
            let name = name.ident.to_string();
            needed(&name) || (pass.uses.calls_methods && is_extension(&name))
        }
        UseTree::Rename(rename) if rename.rename == "_" => pass.uses.calls_methods,
        UseTree::Rename(rename) => needed(&rename.rename.to_string()),
        UseTree::Glob(_) => globs,
    };
    stays.then(|| Tree::of(tree))
}

/// Traits that are imported for their methods. Nothing names them where they are needed, so they stay
/// as long as some body that stays calls a method.
fn is_extension(name: &str) -> bool {
    name.ends_with("Ext")
        || matches!(name, "BufRead" | "FromStr" | "Hash" | "Hasher" | "Read" | "Write")
}

/// Whether a type or a constant is in use that neither the file nor the prelude defines, nor an
/// import that names it: then some import by `*` has to be where it comes from. Which one, the file
/// does not say; where there are several, markers have to.
fn needs_glob(pass: &Pass<'_>) -> bool {
    let mut names = pass.uses.heads(&pass.module);
    names.any(|name| {
        name.starts_with(char::is_uppercase)
            && !PRELUDE.contains(&name)
            && !pass.defined.has(&pass.module, name)
    })
}

/// What a file defines or imports by name.
#[derive(Debug, Default)]
pub(super) struct Definitions {
    /// Types, traits, constants and imports, for each inline module.
    items: BTreeMap<ModulePath, Names>,
    /// Generic parameters, wherever they are.
    parameters: Names,
}

impl Definitions {
    pub(super) fn of(file: &syn::File) -> Self {
        let mut walk = Walk::default();
        walk.visit_file(file);
        walk.found
    }

    fn has(&self, module: &[String], name: &str) -> bool {
        self.parameters.contains(name)
            || self.items.get(module).is_some_and(|names| names.contains(name))
    }
}

#[derive(Default)]
struct Walk {
    found: Definitions,
    module: ModulePath,
}

impl Walk {
    fn define(&mut self, name: &syn::Ident) {
        self.found.items.entry(self.module.clone()).or_default().insert(name.to_string());
    }
}

impl<'ast> Visit<'ast> for Walk {
    fn visit_item(&mut self, item: &'ast Item) {
        match item {
            Item::Const(item) => self.define(&item.ident),
            Item::Enum(item) => self.define(&item.ident),
            Item::Static(item) => self.define(&item.ident),
            Item::Struct(item) => self.define(&item.ident),
            Item::Trait(item) => self.define(&item.ident),
            Item::Type(item) => self.define(&item.ident),
            _ => {}
        }
        visit::visit_item(self, item);
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        self.module.push(module.ident.to_string());
        visit::visit_item_mod(self, module);
        self.module.pop();
    }

    fn visit_use_name(&mut self, name: &'ast syn::UseName) {
        self.define(&name.ident);
    }

    fn visit_use_rename(&mut self, rename: &'ast syn::UseRename) {
        self.define(&rename.rename);
    }

    fn visit_type_param(&mut self, param: &'ast syn::TypeParam) {
        self.found.parameters.insert(param.ident.to_string());
        visit::visit_type_param(self, param);
    }

    fn visit_const_param(&mut self, param: &'ast syn::ConstParam) {
        self.found.parameters.insert(param.ident.to_string());
        visit::visit_const_param(self, param);
    }
}

/// What the prelude of edition 2024 defines, and what the compiler does.
const PRELUDE: &[&str] = &[
    "AsMut",
    "AsRef",
    "AsyncFn",
    "AsyncFnMut",
    "AsyncFnOnce",
    "Box",
    "Clone",
    "Copy",
    "Debug",
    "Default",
    "DoubleEndedIterator",
    "Drop",
    "Eq",
    "Err",
    "ExactSizeIterator",
    "Extend",
    "Fn",
    "FnMut",
    "FnOnce",
    "From",
    "FromIterator",
    "Future",
    "Hash",
    "Into",
    "IntoFuture",
    "IntoIterator",
    "Iterator",
    "None",
    "Ok",
    "Option",
    "Ord",
    "PartialEq",
    "PartialOrd",
    "Result",
    "Self",
    "Send",
    "Sized",
    "Some",
    "String",
    "Sync",
    "ToOwned",
    "ToString",
    "TryFrom",
    "TryInto",
    "Unpin",
    "Vec",
];

/// A tree of imports as text, laid out as rustfmt does.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Tree {
    /// `a::b`, `a::b as c` or `a::*`.
    Leaf(String),
    /// `a::{b, c}`: the path with its `::`, and what it leads to.
    Group(String, Vec<Tree>),
}

impl Tree {
    fn of(tree: &UseTree) -> Self {
        match tree {
            UseTree::Path(path) => Self::of(&path.tree).below(&path.ident.to_string()),
            UseTree::Name(name) => Self::Leaf(name.ident.to_string()),
            UseTree::Rename(rename) => Self::Leaf(format!("{} as {}", rename.ident, rename.rename)),
            UseTree::Glob(_) => Self::Leaf("*".to_owned()),
            UseTree::Group(group) => {
                Self::Group(String::new(), group.items.iter().map(Self::of).collect())
            }
        }
    }

    /// The tree behind one more segment of path.
    fn below(self, segment: &str) -> Self {
        match self {
            // `a::{self}` and `a::{self as b}` name a itself.
            Self::Leaf(leaf) => match leaf.strip_prefix("self") {
                Some(renamed) if renamed.is_empty() || renamed.starts_with(' ') => {
                    Self::Leaf(format!("{segment}{renamed}"))
                }
                _ => Self::Leaf(format!("{segment}::{leaf}")),
            },
            Self::Group(prefix, trees) => Self::Group(format!("{segment}::{prefix}"), trees),
        }
    }

    fn flat(&self) -> String {
        match self {
            Self::Leaf(leaf) => leaf.clone(),
            Self::Group(prefix, trees) => {
                format!(
                    "{prefix}{{{}}}",
                    trees.iter().map(Self::flat).collect::<Vec<_>>().join(", ")
                )
            }
        }
    }

    /// The tree at an indentation; `around` columns of its lines are taken by other text.
    fn render(&self, indent: usize, around: usize) -> String {
        let flat = self.flat();
        let Self::Group(prefix, trees) = self else { return flat };
        if around + flat.len() <= WIDTH {
            return flat;
        }
        let inner = indent + 4;
        let nested = trees.iter().any(|tree| matches!(tree, Self::Group(..)));
        let mut lines = vec![String::new()];
        for tree in trees {
            let text = format!("{},", tree.render(inner, inner + 1));
            let last = lines.last().map_or(0, String::len);
            let fits = inner + last + 1 + text.len() <= WIDTH;
            match lines.last_mut() {
                Some(line) if line.is_empty() => *line = text,
                Some(line) if fits && !nested => *line += &format!(" {text}"),
                _ => lines.push(text),
            }
        }
        let pad = " ".repeat(inner);
        let body: Vec<_> = lines.iter().map(|line| format!("{pad}{line}")).collect();
        format!("{prefix}{{\n{}\n{}}}", body.join("\n"), " ".repeat(indent))
    }
}
