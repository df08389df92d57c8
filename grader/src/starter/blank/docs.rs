//! Links in the documentation of a blank: those that only an import of the reference resolved.
//!
//! An import that no signature needs goes with the bodies. A link such as `[`Section`]` that it resolved
//! would then lead nowhere, and `cargo doc` fails. It gets the path of the import instead:
//! `[`Section`](crate::model::Section)`.

use std::collections::BTreeMap;

use syn::{Item, UseTree};

use super::names::Names;

/// Completes the links of `text`, the blank of `reference`, whose syntax tree is `blank`.
pub(super) fn complete(text: String, reference: &syn::File, blank: &syn::File) -> String {
    let known = bound(blank);
    let mut gone = imports(reference);
    gone.retain(|name, _| !known.contains(name));
    if gone.is_empty() {
        return text;
    }
    let lines = text.split_inclusive('\n').map(|line| {
        let is_doc = ["///", "//!"].iter().any(|start| line.trim_start().starts_with(start));
        if is_doc { linked(line, &gone) } else { line.to_owned() }
    });
    lines.collect()
}

/// A line with the path of an import in every link that begins with its name.
fn linked(line: &str, gone: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some((before, inside)) = rest.split_once('[') {
        out.push_str(before);
        out.push('[');
        let Some((label, after)) = inside.split_once(']') else {
            rest = inside;
            break;
        };
        out.push_str(label);
        out.push(']');
        rest = after;
        if let Some(target) = after.strip_prefix('(') {
            if let Some((target, after)) = target.split_once(')')
                && let Some(path) = resolved(target, gone)
            {
                out.push_str(&format!("({path})"));
                rest = after;
            }
        } else if !after.starts_with('[')
            && let Some(path) = resolved(label.trim_matches('`'), gone)
        {
            out.push_str(&format!("({path})"));
        }
    }
    out + rest
}

/// The whole path of what `target` leads to, if an import that is gone is its beginning.
fn resolved(target: &str, gone: &BTreeMap<String, String>) -> Option<String> {
    let first = target.split("::").next().unwrap_or(target);
    let name = first.trim_end_matches("()").trim_end_matches('!');
    let path = gone.get(name)?;
    Some(format!("{path}{}", &target[name.len()..]))
}

/// The names that the imports and the items of a file bind, apart from those in its inline modules.
pub(in crate::starter) fn bound(file: &syn::File) -> Names {
    let mut names: Names = imports(file).into_keys().collect();
    names.extend(file.items.iter().filter_map(|item| match item {
        Item::Const(item) => Some(item.ident.to_string()),
        Item::Enum(item) => Some(item.ident.to_string()),
        Item::Fn(item) => Some(item.sig.ident.to_string()),
        Item::Mod(item) => Some(item.ident.to_string()),
        Item::Static(item) => Some(item.ident.to_string()),
        Item::Struct(item) => Some(item.ident.to_string()),
        Item::Trait(item) => Some(item.ident.to_string()),
        Item::Type(item) => Some(item.ident.to_string()),
        _ => None,
    }));
    names
}

/// The path of each import, by the name that it binds.
pub(super) fn imports(file: &syn::File) -> BTreeMap<String, String> {
    fn walk(tree: &UseTree, path: &str, into: &mut BTreeMap<String, String>) {
        match tree {
            UseTree::Path(tree) => walk(&tree.tree, &format!("{path}{}::", tree.ident), into),
            UseTree::Group(group) => group.items.iter().for_each(|tree| walk(tree, path, into)),
            UseTree::Name(name) if name.ident == "self" => {
                let path = path.trim_end_matches("::");
                let name = path.rsplit("::").next().unwrap_or(path);
                into.insert(name.to_owned(), path.to_owned());
            }
            UseTree::Rename(rename) if rename.ident == "self" => {
                into.insert(rename.rename.to_string(), path.trim_end_matches("::").to_owned());
            }
            UseTree::Name(name) => {
                into.insert(name.ident.to_string(), format!("{path}{}", name.ident));
            }
            UseTree::Rename(rename) => {
                into.insert(rename.rename.to_string(), format!("{path}{}", rename.ident));
            }
            UseTree::Glob(_) => {}
        }
    }
    let mut found = BTreeMap::new();
    for item in &file.items {
        if let Item::Use(import) = item {
            walk(&import.tree, "", &mut found);
        }
    }
    found
}
