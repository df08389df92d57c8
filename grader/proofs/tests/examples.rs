//! Each public type of levels 1 to 4 has an example: a Rust program in its own documentation, which
//! `cargo test --doc` runs.
//!
//! Found by syntax, without building the level. A type of a private module counts when a `pub use` makes it
//! reachable from outside of the level.
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use syn::{Attribute, Expr, Item, Lit, Meta, UseTree, Visibility};

/// The levels whose public types all have an example.
const LEVELS: [&str; 4] = ["level1", "level2", "level3", "level4"];

/// The name of an export by `*`.
const GLOB: &str = "*";

/// The path of a module from the root of its package.
type ModulePath = Vec<String>;

/// A struct, an enum, a union, a trait or an alias of a type.
struct Type {
    is_public: bool,
    file: PathBuf,
    line: usize,
    has_example: bool,
}

/// The part of a module that decides which types are reachable.
#[derive(Default)]
struct Module {
    is_public: bool,
    types: BTreeMap<String, Type>,
    modules: BTreeMap<String, Module>,
    exports: Vec<Export>,
}

/// One name of a `pub use`.
struct Export {
    /// The path as it is written, its last segment included.
    path: Vec<String>,
    /// The name for users of the module.
    name: String,
}

/// Whether `attributes` have this attribute, such as `cfg(test)`.
fn has(attributes: &[Attribute], name: &str, argument: &str) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) => list.path.is_ident(name) && list.tokens.to_string() == argument,
        _ => false,
    })
}

/// The documentation that stands at an item itself.
fn documentation(attributes: &[Attribute]) -> String {
    let mut text = String::new();
    for attribute in attributes {
        if let Meta::NameValue(pair) = &attribute.meta
            && pair.path.is_ident("doc")
            && let Expr::Lit(literal) = &pair.value
            && let Lit::Str(line) = &literal.lit
        {
            text.push_str(&line.value());
            text.push('\n');
        }
    }
    text
}

/// Whether `documentation` has a code block that rustdoc runs.
fn has_example(documentation: &str) -> bool {
    let mut fences = documentation.lines().filter_map(|line| line.trim().strip_prefix("```"));
    // Every second fence ends a block.
    while let Some(info) = fences.next() {
        let mut tags = info.split([',', ' ']).filter(|tag| !tag.is_empty());
        if tags.all(|tag| matches!(tag, "rust" | "should_panic")) && fences.next().is_some() {
            return true;
        }
        fences.next();
    }
    false
}

/// Adds each name of a `pub use` to `exports`.
fn exports_of(tree: &UseTree, path: &[String], exports: &mut Vec<Export>) {
    let joined = |name: &syn::Ident| [path, &[name.to_string()]].concat();
    match tree {
        UseTree::Path(tree) => exports_of(&tree.tree, &joined(&tree.ident), exports),
        UseTree::Name(tree) => {
            exports.push(Export { path: joined(&tree.ident), name: tree.ident.to_string() });
        }
        UseTree::Rename(tree) => {
            exports.push(Export { path: joined(&tree.ident), name: tree.rename.to_string() });
        }
        UseTree::Glob(_) => {
            let path = [path, &[GLOB.to_owned()]].concat();
            exports.push(Export { path, name: GLOB.to_owned() });
        }
        UseTree::Group(tree) => {
            tree.items.iter().for_each(|tree| exports_of(tree, path, exports));
        }
    }
}

impl Module {
    /// Reads a module and its children. `folder` is where the files of its children are.
    fn read(file: &Path, folder: &Path) -> Self {
        let text = std::fs::read_to_string(file)
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let parsed =
            syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        Self::of(&parsed.items, file, folder)
    }

    fn of(items: &[Item], file: &Path, folder: &Path) -> Self {
        let mut module = Self::default();
        for item in items {
            let (visibility, name, attributes) = match item {
                Item::Struct(item) => (&item.vis, &item.ident, &item.attrs),
                Item::Enum(item) => (&item.vis, &item.ident, &item.attrs),
                Item::Union(item) => (&item.vis, &item.ident, &item.attrs),
                Item::Trait(item) => (&item.vis, &item.ident, &item.attrs),
                Item::Type(item) => (&item.vis, &item.ident, &item.attrs),
                Item::Mod(item) => {
                    module.add_child(item, file, folder);
                    continue;
                }
                Item::Use(item) => {
                    if matches!(item.vis, Visibility::Public(_)) {
                        exports_of(&item.tree, &[], &mut module.exports);
                    }
                    continue;
                }
                _ => continue,
            };
            let found = Type {
                is_public: matches!(visibility, Visibility::Public(_))
                    && !has(attributes, "doc", "hidden"),
                file: file.to_owned(),
                line: name.span().start().line,
                has_example: has_example(&documentation(attributes)),
            };
            module.types.insert(name.to_string(), found);
        }
        module
    }

    fn add_child(&mut self, item: &syn::ItemMod, file: &Path, folder: &Path) {
        if has(&item.attrs, "cfg", "test") || has(&item.attrs, "doc", "hidden") {
            return;
        }
        let name = item.ident.to_string();
        let inner = folder.join(&name);
        let mut child = match &item.content {
            Some((_, items)) => Self::of(items, file, &inner),
            None => {
                let beside = folder.join(format!("{name}.rs"));
                let file = if beside.is_file() { beside } else { inner.join("mod.rs") };
                Self::read(&file, &inner)
            }
        };
        child.is_public = matches!(item.vis, Visibility::Public(_));
        self.modules.insert(name, child);
    }

    fn at(&self, path: &[String]) -> Option<&Self> {
        path.iter().try_fold(self, |module, name| module.modules.get(name))
    }
}

/// Collects the types that a user of a package can name.
struct Reachable<'a> {
    root: &'a Module,
    /// Modules and names that were followed already: exports may form a circle.
    followed: BTreeSet<(ModulePath, String)>,
    types: BTreeMap<(ModulePath, String), &'a Type>,
}

impl<'a> Reachable<'a> {
    fn in_package(root: &'a Module) -> BTreeMap<(ModulePath, String), &'a Type> {
        let mut reachable = Self { root, followed: BTreeSet::new(), types: BTreeMap::new() };
        reachable.everything(&[]);
        reachable.types
    }

    /// Follows all that a module makes public.
    fn everything(&mut self, at: &[String]) {
        let Some(module) = self.root.at(at) else { return };
        if !self.followed.insert((at.to_vec(), GLOB.to_owned())) {
            return;
        }
        for (name, found) in module.types.iter().filter(|(_, found)| found.is_public) {
            self.types.insert((at.to_vec(), name.clone()), found);
        }
        for (name, _) in module.modules.iter().filter(|(_, child)| child.is_public) {
            self.everything(&[at, std::slice::from_ref(name)].concat());
        }
        for export in &module.exports {
            self.export(at, &export.path);
        }
    }

    /// Follows one `pub use` of the module at `at`.
    fn export(&mut self, at: &[String], path: &[String]) {
        let Some((parent, name)) = self.absolute(at, path) else { return };
        let target = [parent.as_slice(), std::slice::from_ref(&name)].concat();
        if name == GLOB {
            self.everything(&parent);
        } else if self.root.at(&target).is_some() {
            self.everything(&target);
        } else {
            self.item(&parent, &name);
        }
    }

    /// Follows a type by its name: it is in this module, or one of the module's exports has this name.
    fn item(&mut self, at: &[String], name: &str) {
        let Some(module) = self.root.at(at) else { return };
        if !self.followed.insert((at.to_vec(), name.to_owned())) {
            return;
        }
        if let Some(found) = module.types.get(name).filter(|found| found.is_public) {
            self.types.insert((at.to_vec(), name.to_owned()), found);
        }
        for export in &module.exports {
            if export.name == name {
                self.export(at, &export.path);
            } else if export.name == GLOB
                && let Some((parent, _)) = self.absolute(at, &export.path)
            {
                self.item(&parent, name);
            }
        }
    }

    /// The module that `path` leads to from the module at `at`, and the last name; none if the path leads
    /// to another package.
    fn absolute(&self, at: &[String], path: &[String]) -> Option<(ModulePath, String)> {
        let (name, parents) = path.split_last()?;
        let mut found = at.to_vec();
        for (nth, segment) in parents.iter().enumerate() {
            match segment.as_str() {
                "crate" if nth == 0 => found.clear(),
                "self" if nth == 0 => {}
                "super" => {
                    found.pop()?;
                }
                _ => found.push(segment.clone()),
            }
        }
        self.root.at(&found)?;
        Some((found, name.clone()))
    }
}

/// The types without an example, as `file:line: Name`.
fn without_example(package: &Path) -> Vec<String> {
    let source = package.join("src");
    let root = Module::read(&source.join("lib.rs"), &source);
    let types = Reachable::in_package(&root);
    assert!(!types.is_empty(), "{} has no public types", package.display());
    let missing = types.iter().filter(|(_, found)| !found.has_example);
    let lines = missing.map(|((_, name), found)| {
        let file = found.file.strip_prefix(package.parent().unwrap_or(package));
        format!("{}:{}: {name}", file.unwrap_or(&found.file).display(), found.line)
    });
    lines.collect()
}

#[test]
fn each_public_type_has_an_example() {
    let root = grader::workspace::of_this_run().expect("the workspace");
    let missing: Vec<_> =
        LEVELS.iter().flat_map(|level| without_example(&root.join(level))).collect();
    assert!(
        missing.is_empty(),
        "these public types have no example that `cargo test --doc` runs; write one of 3 to 12 lines that \
         shows what a caller does with the type:\n{}",
        missing.join("\n")
    );
}

#[test]
fn types_are_found_where_a_user_can_name_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let package = folder.path().join("package");
    let files = [
        (
            "lib.rs",
            "pub mod open; mod hidden; pub(crate) mod inner { pub struct NotSeen; }\n\
             pub use hidden::{chained::*, Shown, deep as renamed};\n\
             pub use tokio::time::Instant;\n\
             pub mod inline { pub trait Seen {} }\n\
             #[doc(hidden)]\npub struct Hidden;",
        ),
        (
            "open/mod.rs",
            "mod part;\npub use self::part::Exported;\npub use super::hidden::Twice as Again;\n\
             /// Text.\n///\n/// ```\n/// let one = 1;\n/// ```\npub struct WithExample;\nstruct Private;",
        ),
        (
            "open/part.rs",
            "/// ```text\n/// a picture\n/// ```\npub struct Exported;\npub struct NotExported;\n\
             #[cfg(test)]\nmod tests { pub struct InTest; }",
        ),
        (
            "hidden.rs",
            "pub mod chained; pub mod deep;\npub enum Shown {}\npub struct Unshown;\n\
             pub use chained::First as Twice;",
        ),
        ("hidden/chained.rs", "pub struct First;\npub use crate::hidden::chained::*;"),
        ("hidden/deep.rs", "pub struct Deep;\npub(crate) struct Crate;"),
    ];
    for (file, text) in files {
        let file = package.join("src").join(file);
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        std::fs::write(file, text).expect("a file");
    }
    let found = without_example(&package);
    let mut names: Vec<_> = found.iter().filter_map(|line| line.rsplit(' ').next()).collect();
    names.sort_unstable();
    assert_eq!(names, ["Deep", "Exported", "First", "Seen", "Shown"]);
    assert!(found.contains(&"package/src/open/part.rs:4: Exported".to_owned()), "{found:?}");
}

#[test]
fn only_a_program_that_runs_is_an_example() {
    for (text, expected) in [
        ("Text.\n\n```\nlet one = 1;\n```\n", true),
        ("```rust\nlet one = 1;\n```\n", true),
        ("```text\n+---+\n```\n\n```\nlet one = 1;\n```\n", true),
        ("```text\n+---+\n```\n", false),
        ("```console\n$ cargo test\n```\n", false),
        ("```ignore\nlet one = 1;\n```\n", false),
        ("```rust,no_run\nlet one = 1;\n```\n", false),
        ("Not fenced: ``` is three marks.\n", false),
        ("", false),
    ] {
        assert_eq!(has_example(text), expected, "{text}");
    }
}
