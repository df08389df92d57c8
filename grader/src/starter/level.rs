//! From a level's reference to its starter: all modules of a crate together.
//!
//! What one file needs of another cannot be seen in either alone: a `pub(crate)` item stays when a
//! file that stays names it, and a private module goes, file and declaration, when nothing is left
//! in it.

use std::collections::{BTreeMap, BTreeSet};

use syn::{Item, UseTree, Visibility};

use super::blank::{self, BlankError, Names, Scope, Uses};

/// A module's source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    /// Relative to the level's folder, with `/`: `src/race.rs`.
    pub(super) path: String,
    /// Its text.
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
    let blanks = krate.files.into_iter().filter(|file| !file.source.given);
    Ok(blanks.map(|file| (file.source.path.as_str(), (!file.gone).then_some(file.blank))).collect())
}

struct File<'a> {
    source: &'a Source,
    /// Where its modules' files are: `src` for `src/lib.rs`, `src/promise` for `src/promise/mod.rs`.
    folder: String,
    public: bool,
    /// Whether a private `mod` of another file leads to it.
    private_module_of: Option<usize>,
    blank: String,
    gone: bool,
    hollow: BTreeSet<String>,
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
                folder,
                public: true,
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
                let declared = matches!(module.vis, Visibility::Public(_));
                let is_public = declared || tree.items.iter().any(|it| opens(it, &module.ident));
                self.files[child].public = public && is_public;
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
            let name = |cause| file.source.unblankable(cause);
            let blank = if file.source.given {
                file.source.text.clone()
            } else {
                let scope = Scope {
                    public: file.public,
                    entry: is_root(&file.source.path) && file.source.path != "src/lib.rs",
                    named: &others(&self.named, at),
                    constants: &others(&self.constants, at),
                    hollow: file.hollow.clone(),
                };
                blank::blank_in(&file.source.text, &scope).map_err(name)?
            };
            let uses = Uses::of(&blank::parse(&blank).map_err(name)?);
            self.files[at].blank = blank;
            if self.files[at].gone {
                continue;
            }
            for (known, found) in [
                (&mut self.named[at], uses.for_other_files()),
                (&mut self.constants[at], uses.constants().clone()),
            ] {
                let before = known.len();
                known.extend(found);
                more |= known.len() > before;
            }
        }
        Ok(more)
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

/// Whether an item is `pub use MODULE::*`: then what is public in the module is public here.
fn opens(item: &Item, module: &syn::Ident) -> bool {
    let Item::Use(import) = item else { return false };
    let mut tree = &import.tree;
    if let UseTree::Path(path) = tree
        && path.ident == "self"
    {
        tree = &path.tree;
    }
    let UseTree::Path(path) = tree else { return false };
    matches!(import.vis, Visibility::Public(_))
        && path.ident == *module
        && matches!(&*path.tree, UseTree::Glob(_))
}

fn others(names: &[Names], at: usize) -> Names {
    let others = names.iter().enumerate().filter(|(other, _)| *other != at);
    others.flat_map(|(_, names)| names.iter().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::{Source, blank};

    /// The blanks of files that are given as path and text; a path that begins with `!` is given by
    /// the course.
    fn blanks(files: &[(&str, &str)]) -> Vec<Option<String>> {
        let sources: Vec<_> = files
            .iter()
            .map(|(path, text)| Source {
                path: path.trim_start_matches('!').to_owned(),
                text: (*text).to_owned(),
                given: path.starts_with('!'),
            })
            .collect();
        let blanks = blank(&sources).unwrap_or_else(|it| panic!("{}: {}", it.path, it.cause));
        blanks.into_iter().map(|(_, text)| text).collect()
    }

    fn assert_blanks(files: &[(&str, &str)], expected: &[Option<&str>]) {
        let found = blanks(files);
        let found: Vec<_> = found.iter().map(Option::as_deref).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn items_of_the_crate_stay_where_another_file_that_stays_names_them() {
        assert_blanks(
            &[
                ("src/lib.rs", "pub mod a;\npub mod b;\n"),
                (
                    "src/a.rs",
                    "pub(crate) struct Named;\npub(crate) struct Unnamed;\nimpl Named {\n    \
                     pub(crate) fn f() {}\n}\n",
                ),
                (
                    "src/b.rs",
                    "use crate::a::{Named, Unnamed};\npub(crate) fn f(_: Unnamed) {}\n\
                     pub trait T {\n    type X;\n}\nimpl T for u8 {\n    type X = Named;\n}\n",
                ),
            ],
            &[
                Some("pub mod a;\npub mod b;\n"),
                Some("pub(crate) struct Named;\n"),
                Some(
                    "use crate::a::Named;\npub trait T {\n    type X;\n}\nimpl T for u8 {\n    \
                     type X = Named;\n}\n",
                ),
            ],
        );
    }

    #[test]
    fn given_files_name_things_too() {
        assert_blanks(
            &[
                ("!src/lib.rs", "pub mod a;\nmod b;\nfn f() {\n    crate::a::needed();\n}\n"),
                ("src/a.rs", "pub(crate) fn needed() {}\npub(crate) fn other() {}\n"),
                ("src/b.rs", "pub fn nobody() {}\n"),
            ],
            // A given file keeps its declarations, so the module behind one has to stay.
            &[Some("pub(crate) fn needed() {\n    todo!()\n}\n"), Some("")],
        );
    }

    #[test]
    fn a_private_module_goes_with_its_declaration_when_nothing_is_left_of_it() {
        assert_blanks(
            &[
                (
                    "src/lib.rs",
                    "mod deep;\nmod kept;\nmod tools;\n\npub use kept::Kept;\n\n\
                     pub fn f() {\n    tools::help();\n}\n",
                ),
                ("src/deep/inner.rs", "pub fn more() {}\n"),
                ("src/deep/mod.rs", "//! Deep.\nmod inner;\n"),
                (
                    "src/kept.rs",
                    "pub struct Kept;\nimpl Kept {\n    pub fn f(&self) {}\n}\npub struct Other;\n",
                ),
                ("src/tools.rs", "//! Help.\nuse std::sync::Arc;\npub fn help(_: Arc<u8>) {}\n"),
            ],
            &[
                Some("mod kept;\n\npub use kept::Kept;\n\npub fn f() {\n    todo!()\n}\n"),
                None,
                None,
                Some(
                    "pub struct Kept;\nimpl Kept {\n    pub fn f(&self) {\n        todo!()\n    }\n}\n",
                ),
                None,
            ],
        );
    }

    #[test]
    fn what_is_re_exported_by_a_star_stays() {
        assert_blanks(
            &[
                (
                    "src/lib.rs",
                    "mod here;\nmod there;\npub use here::Kept;\npub use self::there::*;\n",
                ),
                ("src/here/deep.rs", "pub struct Kept;\npub struct Other;\n"),
                ("src/here/mod.rs", "mod deep;\npub use self::deep::*;\n"),
                ("src/there.rs", "pub fn unnamed() {}\n"),
            ],
            &[
                Some("mod here;\nmod there;\npub use here::Kept;\npub use self::there::*;\n"),
                Some("pub struct Kept;\n"),
                Some("mod deep;\npub use self::deep::*;\n"),
                Some("pub fn unnamed() {\n    todo!()\n}\n"),
            ],
        );
    }

    #[test]
    fn a_private_module_with_an_implementation_stays() {
        let text = "impl std::fmt::Debug for crate::A {}\n";
        let lib = "mod shown;\n\npub struct A;\n";
        assert_blanks(&[("src/lib.rs", lib), ("src/shown.rs", text)], &[Some(lib), Some(text)]);
    }

    #[test]
    fn a_constant_of_another_file_keeps_what_computes_it() {
        let limits = "pub const fn limit() -> u32 {\n    7\n}\n";
        let lib = "pub mod limits;\npub const LIMIT: u32 = limits::limit();\n";
        assert_blanks(
            &[("src/lib.rs", lib), ("src/limits.rs", limits)],
            &[Some(lib), Some(limits)],
        );
    }

    #[test]
    fn programs_keep_their_main() {
        assert_blanks(
            &[
                ("src/bin/tool.rs", "fn main() {\n    help();\n}\n\nfn help() {}\n"),
                ("src/lib.rs", "fn main() {}\n"),
                ("src/main.rs", "fn main() {}\n"),
            ],
            &[
                Some("fn main() {\n    todo!()\n}\n"),
                Some(""),
                Some("fn main() {\n    todo!()\n}\n"),
            ],
        );
    }

    #[test]
    fn the_file_that_cannot_be_blanked_is_named() {
        let source = |path: &str, text: &str| Source {
            path: path.to_owned(),
            text: text.to_owned(),
            given: false,
        };
        let sources = [source("src/lib.rs", "pub mod a;\n"), source("src/a.rs", "fn (\n")];
        let failure = blank(&sources).unwrap_err();
        assert_eq!(failure.path, "src/a.rs");
    }
}
