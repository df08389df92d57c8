//! Imports that nothing needs any more.
//!
//! An unused import is a warning, and it gives the solution away: a blank that imports
//! `FuturesUnordered` has said how it is done.

use quote::ToTokens;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Item, ItemUse, UseTree, Visibility};

use super::items::Pass;
use super::names::Names;

/// Where rustfmt breaks a line.
const WIDTH: usize = 100;

/// Takes out of an import what is not named any more, or all of it.
pub(super) fn prune(pass: &mut Pass<'_>, item: &ItemUse) {
    let reexported = match &item.vis {
        Visibility::Public(_) if pass.public => return,
        Visibility::Inherited => false,
        _ => true,
    };
    let needed = |name: &str| {
        pass.uses.in_scope(&pass.module, name) || (reexported && pass.scope.named_outside(name))
    };
    let whole = item.tree.span().byte_range();
    match kept(pass, &item.tree, &needed) {
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

/// What is left of a tree of imports.
fn kept(pass: &Pass<'_>, tree: &UseTree, needed: &dyn Fn(&str) -> bool) -> Option<Tree> {
    let stays = match tree {
        UseTree::Path(path) => {
            let name = path.ident.to_string();
            // `use a::b::{self}` binds b.
            let inner = |bound: &str| needed(if bound == "self" { &name } else { bound });
            return kept(pass, &path.tree, &inner).map(|inner| match inner {
                Tree::Leaf(leaf) => Tree::Leaf(format!("{name}::{leaf}")),
                Tree::Group(prefix, trees) => Tree::Group(format!("{name}::{prefix}"), trees),
            });
        }
        UseTree::Group(group) => {
            let mut trees: Vec<_> =
                group.items.iter().filter_map(|tree| kept(pass, tree, needed)).collect();
            return match trees.len() {
                0 => None,
                1 if trees[0] != Tree::Leaf("self".to_owned()) => trees.pop(),
                _ => Some(Tree::Group(String::new(), trees)),
            };
        }
        UseTree::Name(name) => {
            let name = name.ident.to_string();
            needed(&name) || (pass.uses.calls_methods && is_extension(&name))
        }
        UseTree::Rename(rename) if rename.rename == "_" => pass.uses.calls_methods,
        UseTree::Rename(rename) => needed(&rename.rename.to_string()),
        UseTree::Glob(_) => needs_glob(pass),
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
/// import that names it: then some import by `*` has to be where it comes from.
fn needs_glob(pass: &Pass<'_>) -> bool {
    let mut names = pass.uses.heads(&pass.module);
    names.any(|name| {
        name.starts_with(char::is_uppercase)
            && !PRELUDE.contains(&name)
            && !pass.defined.contains(name)
    })
}

/// The types, traits and constants that a file defines or imports by name, and its type parameters.
pub(super) fn defined(file: &syn::File) -> Names {
    #[derive(Default)]
    struct Definitions(Names);
    impl<'ast> Visit<'ast> for Definitions {
        fn visit_item(&mut self, item: &'ast Item) {
            let name = match item {
                Item::Const(item) => Some(&item.ident),
                Item::Enum(item) => Some(&item.ident),
                Item::Static(item) => Some(&item.ident),
                Item::Struct(item) => Some(&item.ident),
                Item::Trait(item) => Some(&item.ident),
                Item::Type(item) => Some(&item.ident),
                _ => None,
            };
            self.0.extend(name.map(ToString::to_string));
            visit::visit_item(self, item);
        }
        fn visit_use_name(&mut self, name: &'ast syn::UseName) {
            self.0.insert(name.ident.to_string());
        }
        fn visit_use_rename(&mut self, rename: &'ast syn::UseRename) {
            self.0.insert(rename.rename.to_string());
        }
        fn visit_type_param(&mut self, param: &'ast syn::TypeParam) {
            self.0.insert(param.ident.to_string());
        }
        fn visit_const_param(&mut self, param: &'ast syn::ConstParam) {
            self.0.insert(param.ident.to_string());
        }
    }
    let mut definitions = Definitions::default();
    definitions.visit_file(file);
    definitions.0
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
            UseTree::Path(path) => match Self::of(&path.tree) {
                Self::Leaf(leaf) => Self::Leaf(format!("{}::{leaf}", path.ident)),
                Self::Group(prefix, trees) => {
                    Self::Group(format!("{}::{prefix}", path.ident), trees)
                }
            },
            UseTree::Name(name) => Self::Leaf(name.ident.to_string()),
            UseTree::Rename(rename) => Self::Leaf(format!("{} as {}", rename.ident, rename.rename)),
            UseTree::Glob(_) => Self::Leaf("*".to_owned()),
            UseTree::Group(group) => {
                Self::Group(String::new(), group.items.iter().map(Self::of).collect())
            }
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
