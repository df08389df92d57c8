//! From a level's reference to its starter: all modules of a crate together.
//!
//! What one file needs of another cannot be seen in either alone: a `pub(crate)` item stays when a
//! file that stays names it, and a private module goes, file and declaration, when nothing is left
//! in it.

use std::collections::{BTreeMap, BTreeSet};

use syn::{Item, UseTree, Visibility};

use super::blank::{self, BlankError, Names, Own, Scope, Uses};

/// A module's source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    /// Relative to the level's folder, with `/`: `src/race.rs`.
    pub(super) path: String,
    /// The text of the file.
    pub(super) text: String,
    /// Whether the course provides it: then it stays as it is.
    pub(super) given: bool,
}

impl Source {
    fn unblankable(&self, cause: BlankError) -> Unblankable {
        Unblankable { path: self.path.clone(), cause }
    }
}

/// A module that cannot be blanked.
#[derive(Debug)]
pub(super) struct Unblankable {
    /// As in [`Source`].
    pub(super) path: String,
    pub(super) cause: BlankError,
}

/// The path of a module as in [`Source`], and its blank: `None` where nothing is left of a private
/// module.
pub(super) type Blanked<'a> = (&'a str, Option<String>);

/// The blanks of a level's own files, in the order of `sources`.
///
/// # Errors
///
/// [`Unblankable`] for the first file for which there is no blank.
pub(super) fn blank(sources: &[Source]) -> Result<Vec<Blanked<'_>>, Unblankable> {
    let mut krate = Crate::of(sources)?;
    while krate.pass()? {}
    while krate.find_hollow()? {
        krate.pass()?;
    }
    krate.keep_tests()?;
    let blanks = krate.files.into_iter().filter(|file| !file.source.given);
    Ok(blanks.map(|file| (file.source.path.as_str(), (!file.gone).then_some(file.blank))).collect())
}

struct File<'a> {
    source: &'a Source,
    /// Where its modules' files are: `src` for `src/lib.rs`, `src/promise` for `src/promise/mod.rs`.
    folder: String,
    /// The path of its module.
    module: Vec<String>,
    /// What else paths call it, because the modules above re-export all of it.
    also: Vec<String>,
    public: bool,
    /// The file that its crate begins with. A program is another crate than the library, and can name
    /// only what is `pub` there, which stays anyway.
    root: Option<usize>,
    /// Whether a private `mod` of another file leads to it.
    private_module_of: Option<usize>,
    blank: String,
    gone: bool,
    hollow: BTreeSet<String>,
}

impl File<'_> {
    fn parsed(&self, text: &str) -> Result<syn::File, Unblankable> {
        blank::parse(text).map_err(|cause| self.source.unblankable(cause))
    }
}

struct Crate<'a> {
    files: Vec<File<'a>>,
    /// What each file names, so far.
    named: Vec<Names>,
    constants: Vec<Names>,
}

fn is_root(path: &str) -> bool {
    matches!(path, "src/lib.rs" | "src/main.rs") || path.starts_with("src/bin/")
}

/// The path of the module in a file: `[promise, chain]` for `src/promise/chain.rs`.
fn module(path: &str) -> Vec<String> {
    if is_root(path) {
        return Vec::new();
    }
    let path = path.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
    path.split('/').map(str::to_owned).collect()
}

impl<'a> Crate<'a> {
    fn of(sources: &'a [Source]) -> Result<Self, Unblankable> {
        let files = sources.iter().map(|source| {
            let (folder, name) = source.path.rsplit_once('/').unwrap_or(("", &source.path));
            let own = matches!(name, "lib.rs" | "main.rs" | "mod.rs") || is_root(&source.path);
            let folder = match own {
                true => folder.to_owned(),
                false => source.path.trim_end_matches(".rs").to_owned(),
            };
            File {
                source,
                module: module(&source.path),
                also: Vec::new(),
                folder,
                public: true,
                root: None,
                private_module_of: None,
                blank: if source.given { source.text.clone() } else { String::new() },
                gone: false,
                hollow: BTreeSet::new(),
            }
        });
        let files: Vec<_> = files.collect();
        let named = vec![Names::new(); files.len()];
        let mut krate = Self { constants: named.clone(), named, files };
        krate.find_private_modules()?;
        Ok(krate)
    }

    /// Follows the `mod` declarations from the crate roots.
    fn find_private_modules(&mut self) -> Result<(), Unblankable> {
        let by_path: BTreeMap<_, _> = self
            .files
            .iter()
            .enumerate()
            .map(|(at, file)| (file.source.path.as_str(), at))
            .collect();
        let roots = self.files.iter().enumerate().filter(|(_, file)| is_root(&file.source.path));
        let mut open: Vec<usize> = roots.map(|(at, _)| at).collect();
        for &root in &open {
            self.files[root].root = Some(root);
        }
        let mut seen = BTreeSet::new();
        while let Some(at) = open.pop() {
            if !seen.insert(at) {
                continue;
            }
            let (folder, public) = (self.files[at].folder.clone(), self.files[at].public);
            let source = self.files[at].source;
            let tree = blank::parse(&source.text).map_err(|cause| source.unblankable(cause))?;
            for item in &tree.items {
                let Item::Mod(module) = item else { continue };
                let paths = [
                    format!("{folder}/{}.rs", module.ident),
                    format!("{folder}/{}/mod.rs", module.ident),
                ];
                let Some(&child) = paths.iter().find_map(|path| by_path.get(path.as_str())) else {
                    continue;
                };
                let is_public = |vis: &Visibility| matches!(vis, Visibility::Public(_));
                let declared = is_public(&module.vis);
                let mut opened = tree.items.iter().filter_map(|item| opens(item, &module.ident));
                let is_public = declared || opened.clone().any(is_public);
                if opened.any(|vis| !matches!(vis, Visibility::Inherited)) {
                    let mut also = self.files[at].also.clone();
                    also.push(blank::module_name(&self.files[at].module).to_owned());
                    self.files[child].also = also;
                }
                // With its declaration goes the whole file, and what is below it.
                self.files[child].gone = self.files[at].gone || blank::is_for_tests(&module.attrs);
                self.files[child].public = public && is_public;
                self.files[child].root = self.files[at].root;
                self.files[child].private_module_of = (!is_public).then_some(at);
                open.push(child);
            }
        }
        Ok(())
    }

    /// Blanks every file once, given what the others named so far; tells whether they name more now.
    fn pass(&mut self) -> Result<bool, Unblankable> {
        let mut more = false;
        for at in 0..self.files.len() {
            let file = &self.files[at];
            if file.gone {
                continue;
            }
            let name = |cause| file.source.unblankable(cause);
            let blank = if file.source.given {
                file.source.text.clone()
            } else {
                self.blank_of(at, BTreeMap::new())?
            };
            let uses = Uses::of(&blank::parse(&blank).map_err(name)?);
            self.files[at].blank = blank;
            for (known, found) in [
                (&mut self.named[at], uses.for_other_files(&self.files[at].module)),
                (&mut self.constants[at], uses.constants().clone()),
            ] {
                let before = known.len();
                known.extend(found);
                more |= known.len() > before;
            }
        }
        Ok(more)
    }

    /// The blank of a file, given what the others name so far. `tests` are its modules of tests that stay.
    fn blank_of(
        &self,
        at: usize,
        tests: BTreeMap<String, Vec<String>>,
    ) -> Result<String, Unblankable> {
        let file = &self.files[at];
        let scope = Scope {
            public: file.public,
            private: file.private_module_of.is_some(),
            module: blank::module_name(&file.module),
            entry: is_root(&file.source.path) && file.source.path != "src/lib.rs",
            named: &self.in_its_terms(at, self.others(&self.named, at)),
            near: &self.in_its_terms(at, self.neighbours(at)),
            constants: &self.others(&self.constants, at),
            hollow: file.hollow.clone(),
            tests,
        };
        blank::blank_in(&file.source.text, &scope).map_err(|cause| file.source.unblankable(cause))
    }

    /// Brings the tests back that use only what stays.
    fn keep_tests(&mut self) -> Result<(), Unblankable> {
        let mut known = Own::default();
        for file in self.files.iter().filter(|file| !file.gone) {
            known.add_file(&file.parsed(&file.blank)?);
        }
        for at in 0..self.files.len() {
            let file = &self.files[at];
            if file.gone || file.source.given {
                continue;
            }
            let (reference, bare) = (file.parsed(&file.source.text)?, file.parsed(&file.blank)?);
            let judge = |items: &[Item]| blank::imports_to_add(items, &reference, &bare, &known);
            let mut tests = BTreeMap::new();
            let mut texts = Vec::new();
            for item in &reference.items {
                let Item::Mod(module) = item else { continue };
                if !blank::is_for_tests(&module.attrs) {
                    continue;
                }
                let name = module.ident.to_string();
                if let Some((_, items)) = &module.content {
                    tests.extend(judge(items).map(|imports| (name, imports)));
                    continue;
                }
                let mut path = file.module.clone();
                path.push(name.clone());
                let of_tests = |it: &usize| self.files[*it].module.starts_with(&path);
                let mut kept = Some(Vec::new());
                for it in (0..self.files.len()).filter(of_tests) {
                    let file = &self.files[it];
                    let tree = file.parsed(&file.source.text)?;
                    let text = judge(&tree.items).map(|imports| {
                        (it, blank::add_imports(&file.source.text, &tree.items, &imports))
                    });
                    kept = kept.zip(text).map(|(mut kept, text)| {
                        kept.push(text);
                        kept
                    });
                }
                if let Some(kept) = kept {
                    tests.insert(name, Vec::new());
                    texts.extend(kept);
                }
            }
            if !tests.is_empty() {
                self.files[at].blank = self.blank_of(at, tests)?;
            }
            for (it, text) in texts {
                self.files[it].blank = text;
                self.files[it].gone = false;
            }
        }
        Ok(())
    }

    /// `names` in the terms of this file.
    fn in_its_terms(&self, at: usize, mut names: Names) -> Names {
        let file = &self.files[at];
        let called = blank::module_name(&file.module);
        for also in &file.also {
            let prefix = format!("{also}::");
            let meant = names.iter().filter_map(|name| name.strip_prefix(&prefix));
            let meant: Vec<_> = meant.map(|name| format!("{called}::{name}")).collect();
            names.extend(meant);
        }
        names
    }

    /// What the other files of its crate have of `names`.
    fn others(&self, names: &[Names], at: usize) -> Names {
        self.below(names, at, &[])
    }

    /// What is named in the parent module and below.
    fn neighbours(&self, at: usize) -> Names {
        let module = &self.files[at].module;
        self.below(&self.named, at, &module[..module.len().saturating_sub(1)])
    }

    /// What the other files of its crate, in `module` and below, have of `names`.
    fn below(&self, names: &[Names], at: usize, module: &[String]) -> Names {
        let root = self.files[at].root;
        let files = self.files.iter().zip(names).enumerate();
        let below = files.filter(|(other, (file, _))| {
            *other != at && file.root == root && file.module.starts_with(module)
        });
        below.flat_map(|(_, (_, names))| names.iter().cloned()).collect()
    }

    /// Finds private modules that have no item left; tells whether there are new ones.
    fn find_hollow(&mut self) -> Result<bool, Unblankable> {
        let mut found = false;
        for at in 0..self.files.len() {
            let file = &self.files[at];
            let Some(parent) = file.private_module_of else { continue };
            if file.gone || file.source.given || self.files[parent].source.given {
                continue;
            }
            let tree = blank::parse(&file.blank).map_err(|cause| file.source.unblankable(cause))?;
            let is_import = |item: &Item| matches!(item, Item::Use(import) if matches!(import.vis, Visibility::Inherited));
            if tree.items.iter().all(is_import) {
                let path = file.source.path.trim_end_matches("/mod.rs").trim_end_matches(".rs");
                let name = path.rsplit('/').next().unwrap_or(path).to_owned();
                self.files[parent].hollow.insert(name);
                self.files[at].gone = true;
                found = true;
            }
        }
        Ok(found)
    }
}

/// How visible what an item re-exports is, if the item is `use MODULE::*`.
fn opens<'i>(item: &'i Item, module: &syn::Ident) -> Option<&'i Visibility> {
    let Item::Use(import) = item else { return None };
    let mut tree = &import.tree;
    if let UseTree::Path(path) = tree
        && path.ident == "self"
    {
        tree = &path.tree;
    }
    let UseTree::Path(path) = tree else { return None };
    (path.ident == *module && matches!(&*path.tree, UseTree::Glob(_))).then_some(&import.vis)
}

#[cfg(test)]
mod tests;
