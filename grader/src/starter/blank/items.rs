//! Which items of a file stay, which go, and what happens inside those that stay.

use std::collections::BTreeMap;
use std::ops::Range;

use quote::ToTokens;
use syn::spanned::Spanned;
use syn::{AttrStyle, Attribute, Block, ImplItem, Item, Signature, TraitItem, Visibility};

use super::edits::Edits;
use super::markers::{Marked, Markers};
use super::names::{self, ModulePath, Names, Uses, idents, is_blank};
use super::unit_tests::insertion;
use super::{BlankError, Scope, bodies, debug, fields, imports};

/// One pass over a file, given the names that the last pass left in use.
pub(super) struct Pass<'a> {
    pub(super) source: &'a str,
    pub(super) markers: &'a Markers<'a>,
    pub(super) uses: &'a Uses,
    pub(super) scope: &'a Scope<'a>,
    pub(super) edits: Edits<'a>,
    /// What ends a line of this file.
    pub(super) newline: &'static str,
    /// The inline module that is looked at.
    pub(super) module: ModulePath,
    /// Whether a `pub` item of that module can be named outside the crate.
    pub(super) public: bool,
    /// What the file defines or imports by name.
    pub(super) defined: imports::Definitions,
    /// Types and traits that go.
    dropped: Names,
    /// Types that stay without being `pub`. One that is, and stays, may be reached from outside
    /// although its module is not.
    private: Names,
    /// The fields that stay, by the module and the name of their struct.
    fields: BTreeMap<(ModulePath, String), Names>,
}

/// What an implementation is for.
struct Owner {
    name: Option<String>,
    public: bool,
    of_trait: bool,
}

impl<'a> Pass<'a> {
    /// The edits that make a blank of `file`.
    pub(super) fn run(
        source: &'a str,
        file: &syn::File,
        markers: &'a Markers<'a>,
        uses: &'a Uses,
        scope: &'a Scope<'a>,
    ) -> Result<Edits<'a>, BlankError> {
        let mut pass = Self {
            source,
            markers,
            uses,
            scope,
            edits: Edits::new(source),
            newline: if source.contains("\r\n") { "\r\n" } else { "\n" },
            module: ModulePath::new(),
            public: scope.public,
            defined: imports::Definitions::of(file),
            dropped: Names::new(),
            private: Names::new(),
            fields: BTreeMap::new(),
        };
        let inner = file.attrs.iter().map(|attribute| attribute.span().byte_range().end).max();
        let docs = markers.of_file(inner.unwrap_or(0));
        if docs.is_empty() && scope.private {
            let docs = file.attrs.iter().filter(|attribute| attribute.path().is_ident("doc"));
            docs.for_each(|attribute| pass.edits.remove(attribute.span().byte_range()));
        }
        pass.document(&file.attrs, &docs, "//!", 0);
        pass.sort_types(&file.items)?;
        pass.items(&file.items)?;
        Ok(pass.edits)
    }

    /// Finds out which types and traits go: an implementation for one of them goes too, wherever it
    /// stands in the file.
    fn sort_types(&mut self, items: &[Item]) -> Result<(), BlankError> {
        for item in items {
            let (vis, ident) = match item {
                Item::Struct(item) => (&item.vis, &item.ident),
                Item::Enum(item) => (&item.vis, &item.ident),
                Item::Union(item) => (&item.vis, &item.ident),
                Item::Type(item) => (&item.vis, &item.ident),
                Item::Trait(item) => (&item.vis, &item.ident),
                Item::Mod(item) if !is_for_tests(&item.attrs) => {
                    self.inside(item, Self::sort_types)?;
                    continue;
                }
                _ => continue,
            };
            let name = ident.to_string();
            let marked = self.marked(item, attributes(item))?;
            if let Item::Struct(item) = item {
                let staying = fields::staying(self, item, marked.keep)?;
                self.fields.insert((self.module.clone(), name.clone()), staying);
            }
            if marked.drop
                || is_for_tests(attributes(item))
                || !(marked.keep || self.keeps(vis, &name))
            {
                self.dropped.insert(name);
            } else if !is_public(vis) {
                self.private.insert(name);
            }
        }
        Ok(())
    }

    fn items(&mut self, items: &[Item]) -> Result<(), BlankError> {
        items.iter().try_for_each(|item| self.item(item))
    }

    fn item(&mut self, item: &Item) -> Result<(), BlankError> {
        let marked = self.marked(item, attributes(item))?;
        let range = item.span().byte_range();
        if marked.keep {
            return Ok(());
        }
        if let Item::Mod(module) = item
            && !marked.drop
            && self.module.is_empty()
            && is_for_tests(&module.attrs)
            && let Some(imports) = self.scope.tests.get(&module.ident.to_string())
        {
            let items = module.content.as_ref().map(|(_, items)| &items[..]).unwrap_or_default();
            let indent = items.first().map(|first| self.edits.indent(&first.span().byte_range()));
            let indent = indent.unwrap_or_default();
            if let Some((at, text)) = insertion(items, imports, self.newline, indent) {
                self.edits.replace(at..at, text);
            }
            return Ok(());
        }
        if marked.drop || is_for_tests(attributes(item)) {
            self.edits.remove(range);
            return Ok(());
        }
        let stays = match item {
            Item::Fn(item) => {
                let name = item.sig.ident.to_string();
                let entry = self.scope.entry && self.module.is_empty() && name == "main";
                let stays = entry || self.keeps(&item.vis, &name);
                if stays {
                    self.body(None, &item.sig, &item.block, &range, &marked)?;
                }
                stays
            }
            Item::Const(item) => self.keeps(&item.vis, &item.ident.to_string()),
            Item::Static(item) => self.keeps(&item.vis, &item.ident.to_string()),
            Item::Struct(item) => {
                let stays = !self.dropped.contains(&item.ident.to_string());
                if stays {
                    fields::blank(self, item, &marked.hints)?;
                }
                stays
            }
            Item::Enum(item) => !self.dropped.contains(&item.ident.to_string()),
            Item::Union(item) => !self.dropped.contains(&item.ident.to_string()),
            Item::Type(item) => !self.dropped.contains(&item.ident.to_string()),
            Item::Trait(item) => {
                let stays = !self.dropped.contains(&item.ident.to_string());
                if stays {
                    self.trait_items(&item.items)?;
                }
                stays
            }
            Item::Macro(item) => self.keeps_macro(item),
            Item::Mod(item) => self.keeps_module(item)?,
            Item::Impl(item) => self.implementation(item)?,
            Item::Use(item) => {
                imports::prune(self, item);
                true
            }
            _ => true,
        };
        if stays {
            self.document(attributes(item), &marked.docs, "///", range.start);
        } else {
            self.edits.remove(range);
        }
        Ok(())
    }

    /// Whether an item of this visibility stays: it is part of the crate's interface, or something
    /// that stays names it.
    pub(super) fn keeps(&self, vis: &Visibility, name: &str) -> bool {
        match vis {
            Visibility::Public(_) if self.public => true,
            Visibility::Inherited => self.named_here(name),
            _ => self.named_here(name) || self.named_in(self.seen_by(vis), name),
        }
    }

    /// What is named where an item of this visibility can be seen.
    pub(super) fn seen_by(&self, vis: &Visibility) -> &'a Names {
        match vis {
            // In an inline module `super` is this file's own.
            Visibility::Restricted(to) if to.path.is_ident("super") && self.module.is_empty() => {
                self.scope.near
            }
            _ => self.scope.named,
        }
    }

    /// Whether this file names an item of the inline module that is looked at.
    fn named_here(&self, name: &str) -> bool {
        self.uses.item(&self.module, self.called(), name)
    }

    /// Whether another file names an item of the inline module that is looked at.
    pub(super) fn named_outside(&self, name: &str) -> bool {
        self.named_in(self.scope.named, name)
    }

    fn named_in(&self, names: &Names, name: &str) -> bool {
        let named = |module: &str| names.contains(&format!("{module}::{name}"));
        named(self.called()) || named("*")
    }

    /// What paths call the inline module that is looked at.
    fn called(&self) -> &str {
        self.module.last().map_or(self.scope.module, String::as_str)
    }

    fn keeps_macro(&self, item: &syn::ItemMacro) -> bool {
        match &item.ident {
            Some(ident) => {
                item.attrs.iter().any(|attribute| attribute.path().is_ident("macro_export"))
                    || self.named_here(&ident.to_string())
                    || self.named_outside(&ident.to_string())
            }
            // They define statics, private ones unless they say `pub`.
            None => {
                let name = item.mac.path.segments.last().map(|last| last.ident.to_string());
                !matches!(name.as_deref(), Some("thread_local" | "task_local"))
                    || idents(item.mac.tokens.clone()).contains("pub")
            }
        }
    }

    fn keeps_module(&mut self, item: &syn::ItemMod) -> Result<bool, BlankError> {
        let name = item.ident.to_string();
        if item.content.is_none() {
            return Ok(!self.scope.hollow.contains(&name));
        }
        self.inside(item, Self::items)?;
        let named = self.named_here(&name) || self.named_outside(&name);
        Ok(is_public(&item.vis) || named)
    }

    /// Looks at the items of an inline module.
    fn inside(
        &mut self,
        module: &syn::ItemMod,
        look: impl FnOnce(&mut Self, &[Item]) -> Result<(), BlankError>,
    ) -> Result<(), BlankError> {
        let Some((_, items)) = &module.content else { return Ok(()) };
        let public = self.public;
        self.public &= is_public(&module.vis);
        self.module.push(module.ident.to_string());
        let looked = look(self, items);
        self.module.pop();
        self.public = public;
        looked
    }

    /// Looks at an implementation; tells whether it stays.
    fn implementation(&mut self, item: &syn::ItemImpl) -> Result<bool, BlankError> {
        let self_type = idents(item.self_ty.to_token_stream());
        let mut head = self_type.clone();
        if let Some((path, _)) = &item.trait_ {
            head.extend(idents(path.to_token_stream()));
            // A destructor that panics turns the learner's first panic into an abort.
            if path.segments.last().is_some_and(|last| last.ident == "Drop") {
                return Ok(false);
            }
        }
        if head.iter().any(|name| self.dropped.contains(name)) {
            return Ok(false);
        }
        if debug::is_debug(item) {
            self.debug(item)?;
            return Ok(true);
        }
        if debug::is_clone_of_copy(item) {
            return Ok(true);
        }
        let owner = Owner {
            name: names::self_type(item),
            public: !self_type.iter().any(|name| self.private.contains(name)),
            of_trait: item.trait_.is_some(),
        };
        let mut left = item.items.is_empty() || owner.of_trait;
        for inner in &item.items {
            left |= self.impl_item(inner, &owner)?;
        }
        Ok(left)
    }

    /// Looks at one item of an implementation; tells whether it stays.
    fn impl_item(&mut self, item: &ImplItem, owner: &Owner) -> Result<bool, BlankError> {
        let range = item.span().byte_range();
        let (attributes, vis, name) = match item {
            ImplItem::Fn(item) => (&item.attrs, &item.vis, item.sig.ident.to_string()),
            ImplItem::Const(item) => (&item.attrs, &item.vis, item.ident.to_string()),
            _ => return Ok(true),
        };
        let marked = self.marked(item, attributes)?;
        if marked.keep {
            return Ok(true);
        }
        let stays = owner.of_trait
            || match vis {
                Visibility::Public(_) if owner.public => true,
                Visibility::Inherited => self.uses.associated(&name),
                _ => self.uses.associated(&name) || self.seen_by(vis).contains(&name),
            };
        if marked.drop || is_for_tests(attributes) || !stays {
            self.edits.remove(range);
            return Ok(false);
        }
        self.document(attributes, &marked.docs, "///", range.start);
        if let ImplItem::Fn(item) = item {
            self.body(owner.name.as_deref(), &item.sig, &item.block, &range, &marked)?;
        }
        Ok(true)
    }

    /// Looks at a `Debug` written by hand. It stays, or shows the name of the type: one that panics would
    /// turn the learner's first `dbg!` into a riddle.
    fn debug(&mut self, item: &syn::ItemImpl) -> Result<(), BlankError> {
        let name = names::self_type(item);
        let owner = (self.module.clone(), name.clone().unwrap_or_default());
        let staying = self.fields.get(&owner).cloned().unwrap_or_default();
        for inner in &item.items {
            let ImplItem::Fn(function) = inner else { continue };
            let marked = self.marked(inner, &function.attrs)?;
            let range = inner.span().byte_range();
            if marked.keep {
                continue;
            }
            let explicit = marked.body.is_some() || !marked.hints.is_empty();
            if explicit {
                self.body(name.as_deref(), &function.sig, &function.block, &range, &marked)?;
            } else if !debug::needs_only(function, &staying) {
                let shown =
                    name.clone().unwrap_or_else(|| item.self_ty.to_token_stream().to_string());
                let body = debug::stand_in(&function.sig, &shown);
                let (newline, indent) = (self.newline, self.edits.indent(&range));
                let text = format!("{{{newline}{indent}    {body}{newline}{indent}}}");
                self.edits.replace(function.block.span().byte_range(), text);
            }
        }
        Ok(())
    }

    fn trait_items(&mut self, items: &[TraitItem]) -> Result<(), BlankError> {
        for item in items {
            let TraitItem::Fn(function) = item else { continue };
            let marked = self.marked(item, &function.attrs)?;
            let range = item.span().byte_range();
            if marked.drop {
                self.edits.remove(range);
            } else if let (Some(block), false) = (&function.default, marked.keep) {
                self.body(None, &function.sig, block, &range, &marked)?;
            }
        }
        Ok(())
    }

    fn body(
        &mut self,
        owner: Option<&str>,
        sig: &Signature,
        block: &Block,
        item: &Range<usize>,
        marked: &Marked,
    ) -> Result<(), BlankError> {
        let name = sig.ident.to_string();
        // The value of a constant belongs to the interface, and so does what computes it (E0080).
        let function = names::function(owner, &name);
        let evaluated =
            self.uses.constants.contains(&function) || self.scope.constants.contains(&function);
        if is_blank(block) || (sig.constness.is_some() && evaluated) {
            return Ok(());
        }
        let lines =
            bodies::lines(sig, marked.body.as_deref(), &marked.hints).map_err(|returned| {
                let line = self.markers.line(sig.ident.span().byte_range().start);
                BlankError::NoStandIn { line, function: name, returned }
            })?;
        let (newline, indent) = (self.newline, self.edits.indent(item));
        let mut text = String::from("{");
        for line in lines {
            text += &format!("{newline}{indent}    {line}");
        }
        text += &format!("{newline}{indent}}}");
        self.edits.replace(block.span().byte_range(), text);
        // That the reference's body can run at compile time says nothing about the learner's, which may
        // need a `HashMap` or a clock.
        if let Some(constness) = &sig.constness {
            let range = constness.span().byte_range();
            let after = &self.source[range.end..];
            let space = after.len() - after.trim_start().len();
            self.edits.replace(range.start..range.end + space, String::new());
        }
        Ok(())
    }

    /// Replaces the documentation in `attributes` with `docs`; if there is none, inserts them at `start`.
    fn document(&mut self, attributes: &[Attribute], docs: &[String], sign: &str, start: usize) {
        if docs.is_empty() {
            return;
        }
        let old = attributes.iter().filter(|attribute| attribute.path().is_ident("doc"));
        let old = old.map(|attribute| attribute.span().byte_range());
        let old = old.reduce(|all, one| all.start..one.end);
        let indent = self.edits.indent(old.as_ref().unwrap_or(&(start..start)));
        let lines = docs.iter().map(|line| format!("{sign} {line}").trim_end().to_owned());
        let text = lines.collect::<Vec<_>>().join(&format!("{}{indent}", self.newline));
        match old {
            Some(old) => self.edits.replace(old, text),
            None => self.edits.replace(start..start, format!("{text}{}{indent}", self.newline)),
        }
    }

    pub(super) fn marked(
        &self,
        item: &impl Spanned,
        attributes: &[Attribute],
    ) -> Result<Marked, BlankError> {
        let outer =
            attributes.iter().filter(|attribute| matches!(attribute.style, AttrStyle::Outer));
        let end = outer.map(|attribute| attribute.span().byte_range().end).max().unwrap_or(0);
        self.markers.of(&item.span().byte_range(), end)
    }
}

pub(super) const fn is_public(vis: &Visibility) -> bool {
    matches!(vis, Visibility::Public(_))
}

/// Whether it is compiled for tests only.
pub(in crate::starter) fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().filter(|attribute| attribute.path().is_ident("cfg")).any(|attribute| {
        let names = idents(attribute.meta.to_token_stream());
        names.contains("test") && !names.contains("not")
    })
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::TraitAlias(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
