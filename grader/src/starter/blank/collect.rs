//! The walk over a syntax tree that finds the names in use.

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Block, Expr, Item, UseTree};

use super::debug;
use super::items::is_for_tests;
use super::names::{ModulePath, Names, Uses, captured, function, idents, is_blank, self_type};

/// The names that `file` uses.
pub(super) fn uses(file: &syn::File) -> Uses {
    let mut collector = Collector::default();
    collector.visit_file(file);
    collector.uses
}

/// Attributes that say nothing about names in scope.
const SILENT: &[&str] = &[
    "allow",
    "cfg",
    "cold",
    "deny",
    "deprecated",
    "doc",
    "expect",
    "forbid",
    "inline",
    "macro_export",
    "must_use",
    "no_std",
    "non_exhaustive",
    "repr",
    "rustfmt",
    "track_caller",
    "warn",
];

/// Attributes that belong to a derive macro: no scope has their name.
const HELPERS: &[&str] = &[
    "arg",
    "backtrace",
    "clap",
    "command",
    "default",
    "error",
    "from",
    "group",
    "serde",
    "source",
    "value",
];

#[derive(Default)]
struct Collector {
    uses: Uses,
    module: ModulePath,
    /// Inside the initializer of a constant, or a function that one may call.
    constant: bool,
    /// Inside a function body that is no stand-in.
    body: bool,
    /// The type that an implementation is for.
    self_type: Option<String>,
}

impl Collector {
    fn head(&mut self, name: String) {
        self.uses.heads.entry(self.module.clone()).or_default().insert(name);
    }

    /// A name that may mean anything.
    fn loose(&mut self, names: Names) {
        for name in names {
            self.uses.tails.insert(name.clone());
            self.uses.methods.insert(name.clone());
            self.uses.members.insert(name.clone());
            if self.constant {
                self.uses.constants.insert(name.clone());
            }
            self.head(name);
        }
    }

    /// The segments of a path or of an import.
    fn segments(&mut self, segments: &[String]) {
        let Some((first, rest)) = segments.split_first() else { return };
        self.uses.tails.extend(rest.iter().cloned());
        let here = segments.iter().take_while(|it| matches!(it.as_str(), "self" | "super")).count();
        for pair in segments[here..].windows(2) {
            self.uses.qualified.insert(format!("{}::{}", pair[0], pair[1]));
        }
        if here == 0 {
            if first != "crate" {
                self.head(first.clone());
            }
            return;
        }
        let Some(name) = segments.get(here) else { return };
        let up = segments[..here].iter().filter(|segment| *segment == "super").count();
        if let Some(inner) = self.module.len().checked_sub(up) {
            let module = self.module[..inner].to_vec();
            self.uses.heads.entry(module).or_default().insert(name.clone());
        }
        let file = up.saturating_sub(self.module.len());
        self.uses.qualified.insert(format!("^{file}::{name}"));
    }

    fn import(&mut self, tree: &UseTree, prefix: &[String]) {
        let with = |name: &syn::Ident| {
            let mut path = prefix.to_vec();
            path.extend((name != "self" || prefix.is_empty()).then(|| name.to_string()));
            path
        };
        match tree {
            UseTree::Path(path) => self.import(&path.tree, &with(&path.ident)),
            UseTree::Name(name) => self.segments(&with(&name.ident)),
            UseTree::Rename(rename) => self.segments(&with(&rename.ident)),
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.import(tree, prefix);
                }
            }
            UseTree::Glob(_) => {
                self.segments(prefix);
                self.uses.globs |= prefix
                    .first()
                    .is_some_and(|p| matches!(p.as_str(), "crate" | "self" | "super"));
            }
        }
    }

    /// What a path names if it names a function.
    fn function(&self, segments: &[String]) -> Option<String> {
        let (name, path) = segments.split_last()?;
        let owner = match path.last().map(String::as_str) {
            Some("Self") => self.self_type.as_deref(),
            // A type; modules do not tell functions apart.
            Some(owner) if owner.starts_with(char::is_uppercase) => Some(owner),
            _ => None,
        };
        Some(function(owner, name))
    }

    fn within_constant(&mut self, constant: bool, visit: impl FnOnce(&mut Self)) {
        let outer = std::mem::replace(&mut self.constant, constant);
        visit(self);
        self.constant = outer;
    }

    fn within_body(&mut self, sig: &syn::Signature, block: &Block) {
        // A constant may call it, whatever it is called by today.
        let constant = sig.constness.is_some() && !is_blank(block);
        let outer = std::mem::replace(&mut self.body, !is_blank(block));
        self.within_constant(constant, |this| this.visit_block(block));
        self.body = outer;
    }
}

impl<'ast> Visit<'ast> for Collector {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        // What only tests name does not stay for their sake.
        if is_for_tests(&module.attrs) {
            return;
        }
        self.module.push(module.ident.to_string());
        visit::visit_item_mod(self, module);
        if let Some((_, items)) = &module.content {
            self.everything_from_above(items);
        }
        self.module.pop();
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        self.self_type = self_type(item);
        let debug = debug::is_debug(item);
        let before = debug.then(|| (self.uses.members.clone(), self.uses.calls_methods));
        visit::visit_item_impl(self, item);
        self.self_type = None;
        if let Some((members, calls_methods)) = before {
            // It shows fields that stay for another reason, by methods that need no import. Their names
            // alone would keep namesakes.
            self.uses.members = members;
            self.uses.calls_methods = calls_methods;
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.import(&item.tree, &[]);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<_> = path.segments.iter().map(|s| s.ident.to_string()).collect();
        self.segments(&segments);
        if self.constant {
            self.uses.constants.extend(self.function(&segments));
        }
        visit::visit_path(self, path);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        // Only const fns of the type itself can be called in a constant: a body does not count as
        // calling methods of an imported trait because of them.
        self.uses.calls_methods |= self.body && !self.constant;
        self.uses.methods.insert(call.method.to_string());
        visit::visit_expr_method_call(self, call);
    }

    fn visit_member(&mut self, member: &'ast syn::Member) {
        if let syn::Member::Named(name) = member {
            self.uses.members.insert(name.to_string());
        }
    }

    fn visit_macro(&mut self, invocation: &'ast syn::Macro) {
        self.visit_path(&invocation.path);
        if let Some(name) = invocation.path.get_ident() {
            // Macros are in scope below their definition, in other files too.
            self.uses.qualified.insert(format!("*::{name}"));
        }
        if !invocation.path.is_ident("todo") {
            self.uses.calls_methods |= self.body;
            self.macro_arguments(invocation.tokens.clone());
        }
    }

    fn visit_item_macro(&mut self, item: &'ast syn::ItemMacro) {
        // The pattern and the body of a `macro_rules!` are tokens like those of a call.
        visit::visit_item_macro(self, item);
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        let name = attribute.path().get_ident().map(ToString::to_string).unwrap_or_default();
        if SILENT.contains(&name.as_str()) {
            return;
        }
        if name == "derive" {
            let _ = attribute.parse_nested_meta(|meta| {
                self.visit_path(&meta.path);
                Ok(())
            });
            return;
        }
        if !HELPERS.contains(&name.as_str()) {
            self.visit_path(attribute.path());
        }
        if let syn::Meta::List(list) = &attribute.meta {
            self.attribute_arguments(list.tokens.clone(), name == "serde");
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        item.attrs.iter().for_each(|attribute| self.visit_attribute(attribute));
        self.visit_signature(&item.sig);
        self.within_body(&item.sig, &item.block);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        item.attrs.iter().for_each(|attribute| self.visit_attribute(attribute));
        self.visit_signature(&item.sig);
        self.within_body(&item.sig, &item.block);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        item.attrs.iter().for_each(|attribute| self.visit_attribute(attribute));
        self.visit_signature(&item.sig);
        if let Some(block) = &item.default {
            self.within_body(&item.sig, block);
        }
    }

    fn visit_item_const(&mut self, item: &'ast syn::ItemConst) {
        self.within_constant(true, |this| visit::visit_item_const(this, item));
    }

    fn visit_item_static(&mut self, item: &'ast syn::ItemStatic) {
        self.within_constant(true, |this| visit::visit_item_static(this, item));
    }

    fn visit_impl_item_const(&mut self, item: &'ast syn::ImplItemConst) {
        self.within_constant(true, |this| visit::visit_impl_item_const(this, item));
    }

    fn visit_trait_item_const(&mut self, item: &'ast syn::TraitItemConst) {
        self.within_constant(true, |this| visit::visit_trait_item_const(this, item));
    }

    fn visit_type_array(&mut self, array: &'ast syn::TypeArray) {
        self.visit_type(&array.elem);
        self.within_constant(true, |this| this.visit_expr(&array.len));
    }

    fn visit_variant(&mut self, variant: &'ast syn::Variant) {
        self.within_constant(true, |this| visit::visit_variant(this, variant));
    }

    fn visit_generic_argument(&mut self, argument: &'ast syn::GenericArgument) {
        let constant = matches!(argument, syn::GenericArgument::Const(_));
        let constant = constant || self.constant;
        self.within_constant(constant, |this| visit::visit_generic_argument(this, argument));
    }

    fn visit_expr(&mut self, expr: &'ast Expr) {
        let constant = self.constant || matches!(expr, Expr::Const(_));
        self.within_constant(constant, |this| visit::visit_expr(this, expr));
    }
}

impl Collector {
    /// `use super::*` puts what the outer module has in scope into the inner one.
    fn everything_from_above(&mut self, items: &[Item]) {
        fn is_super_glob(tree: &UseTree) -> bool {
            match tree {
                UseTree::Path(path) if path.ident == "super" => {
                    matches!(&*path.tree, UseTree::Glob(_))
                }
                UseTree::Group(group) => group.items.iter().any(is_super_glob),
                _ => false,
            }
        }
        let glob = items.iter().any(|item| matches!(item, Item::Use(u) if is_super_glob(&u.tree)));
        if glob && let Some(names) = self.uses.heads.get(&self.module).cloned() {
            let above = self.module[..self.module.len() - 1].to_vec();
            self.uses.heads.entry(above).or_default().extend(names);
        }
    }

    /// The tokens of a macro call: an identifier may mean anything, but behind a dot only what belongs to
    /// a value.
    fn macro_arguments(&mut self, tokens: TokenStream) {
        let mut after_dot = false;
        for tree in tokens {
            match &tree {
                TokenTree::Group(group) => self.macro_arguments(group.stream()),
                TokenTree::Ident(ident) if after_dot => {
                    let name = ident.to_string();
                    self.uses.tails.insert(name.clone());
                    self.uses.methods.insert(name.clone());
                    self.uses.members.insert(name);
                }
                TokenTree::Ident(_) | TokenTree::Literal(_) => {
                    self.loose(idents(tree.clone().into()));
                }
                TokenTree::Punct(_) => {}
            }
            // `..` is a range, and what follows it a value.
            after_dot = match tree {
                TokenTree::Punct(punct) => punct.as_char() == '.' && !after_dot,
                _ => false,
            };
        }
    }

    /// Attribute arguments: identifiers are values, except keys (`key = ...`) and fields (`.name`);
    /// serde gives paths as strings (`default = "some::function"`).
    fn attribute_arguments(&mut self, tokens: TokenStream, strings_are_paths: bool) {
        let trees: Vec<TokenTree> = tokens.into_iter().collect();
        let is = |tree: Option<&TokenTree>, wanted: char| matches!(tree, Some(TokenTree::Punct(punct)) if punct.as_char() == wanted);
        for (index, tree) in trees.iter().enumerate() {
            match tree {
                TokenTree::Ident(ident) => {
                    let key = is(trees.get(index + 1), '=') && !is(trees.get(index + 2), '=');
                    let field = index > 0 && is(trees.get(index - 1), '.');
                    if !key && !field {
                        self.loose(Names::from([ident.to_string()]));
                    }
                }
                TokenTree::Group(group) => {
                    self.attribute_arguments(group.stream(), strings_are_paths);
                }
                TokenTree::Literal(literal) if strings_are_paths => {
                    let text: Option<syn::LitStr> =
                        syn::parse2(TokenTree::from(literal.clone()).into()).ok();
                    if let Some(path) = text.and_then(|text| text.parse::<syn::Path>().ok()) {
                        self.visit_path(&path);
                    }
                }
                TokenTree::Literal(literal) => {
                    // A format string names fields, in lower case, and constants.
                    let names = captured(&literal.to_string()).into_iter();
                    self.loose(names.filter(|name| name.starts_with(char::is_uppercase)).collect());
                }
                TokenTree::Punct(_) => {}
            }
        }
    }
}
