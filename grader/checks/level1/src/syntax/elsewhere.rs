//! Work that a style reaches without a path to the module that does it: by a method of a type that all styles
//! name, by an operator, or by a macro.

use std::collections::BTreeSet;

use grader_kit::{Cx, Fail, Outcome, ensure};
use quote::ToTokens;

use super::{File, PROVIDED, STYLES, Token, flatten, is_test, keep_program};
use crate::styles::Style;

/// The methods that a source has: every style calls them.
const REQUESTS: [&str; 3] = ["user", "posts", "page"];

/// How a piece of code is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    /// `.name(..)` or `Type::name(..)`.
    Method,
    /// `name!(..)`.
    Macro,
    /// An operator or a conversion: a trait of another crate, which needs no name of the method.
    Trait,
    /// Only by functions of its own file, or by a path, which is looked at elsewhere.
    Within,
}

/// A function, a method or a macro.
struct Piece {
    by: By,
    name: String,
    place: String,
    words: Vec<String>,
}

/// Another file of the level, as far as it is compiled into the library.
struct Other {
    pieces: Vec<Piece>,
    /// Names that the file has from another style.
    from_styles: BTreeSet<String>,
}

/// Ends the script when code outside of the style's files makes requests for it.
pub(super) fn makes_no_request(cx: &Cx, style: Style, own: &[File]) -> Outcome {
    let used = |piece: &Piece| {
        let named = |[before, word, next]: [&str; 3]| {
            word == piece.name
                && match piece.by {
                    By::Method => matches!(before, "." | "::"),
                    By::Macro => next == "!",
                    By::Trait | By::Within => false,
                }
        };
        let file = own.iter().find_map(|file| {
            let line = threes(&file.tokens).find(|(three, _)| named(*three)).map(|(_, line)| line);
            line.map(|line| format!("{}:{line}", file.path))
        });
        // What stands for an operator has no name where it is used.
        file.or_else(|| {
            (piece.by == By::Trait).then(|| own.first().map(|file| file.path.clone()))?
        })
    };
    let level = level(cx, own)?;
    for other in others(&level, style) {
        for piece in requesting(&other) {
            let Some(place) = used(piece) else { continue };
            let what = match piece.by {
                By::Method => "the method",
                By::Macro => "the macro",
                By::Trait => "the operator",
                By::Within => "the function",
            };
            ensure!(false, "{place} uses {what} {} of {}", piece.name, piece.place;
                expected = "each style does its own work: it makes its two requests itself",
                observed = format!("{what} `{}` at {}, which makes requests", piece.name, piece.place),
                help = "the exercise is to write the same load three times: make the requests here, or in \
                        modules below this one, and not behind a method, a macro or an operator that is \
                        written elsewhere");
        }
    }
    Ok(())
}

/// Ends the script when a macro that is written elsewhere brings `async` into these files.
pub(super) fn no_async_in_macros(cx: &Cx, own: &[File]) -> Outcome {
    for (path, file) in level(cx, own)? {
        let mut pieces = Vec::new();
        collect(&file.items, &path, &BTreeSet::new(), &mut pieces);
        for piece in pieces.iter().filter(|piece| piece.by == By::Macro) {
            if !piece.words.iter().any(|word| word == "async" || word == "await") {
                continue;
            }
            for file in own {
                let used = threes(&file.tokens)
                    .find(|([_, word, next], _)| *word == piece.name && *next == "!");
                if let Some((_, line)) = used {
                    ensure!(false, "{}:{line} uses the macro {}, which is written with async", file.path, piece.name;
                        expected = "futures put together with combinators: and_then, map_ok, map_err",
                        observed = format!("the macro at {}", piece.place),
                        help = "each step is a closure given to the future before it; a value that a later \
                                step needs is moved into that closure");
                }
            }
        }
    }
    Ok(())
}

/// The level's other files: neither the style's nor the course's, and without what only tests are compiled from.
fn level(cx: &Cx, own: &[File]) -> Result<Vec<(String, syn::File)>, Fail> {
    let of_course = |path: &str| {
        let name = path.strip_prefix("src/").and_then(|name| name.strip_suffix(".rs"));
        name.is_none_or(|name| {
            matches!(name, "lib" | "main" | "lessons") || PROVIDED.contains(&name)
        })
    };
    let sources = cx.sources().iter().filter(|source| {
        !of_course(&source.path) && own.iter().all(|file| file.path != source.path)
    });
    let parsed = sources.map(|source| {
        let mut file = syn::parse_file(&source.text)
            .map_err(|error| Fail::new(format!("{} cannot be parsed: {error}", source.path)))?;
        if is_test(&file.attrs) {
            file.items.clear();
        }
        keep_program(&mut file.items);
        Ok((source.path.clone(), file))
    });
    parsed.collect()
}

fn others(level: &[(String, syn::File)], style: Style) -> Vec<Other> {
    // What has to be named by a path. `FetchError` is a word of every style.
    let mut types = BTreeSet::new();
    for (_, file) in level {
        defined(&file.items, &mut types);
    }
    types.remove("FetchError");
    let other = |(path, file): &(String, syn::File)| {
        let mut pieces = Vec::new();
        collect(&file.items, path, &types, &mut pieces);
        let mut from_styles = BTreeSet::new();
        uses(&file.items, &mut |words| {
            if words.iter().any(|word| is_other(word, style)) {
                from_styles.extend(words.iter().filter(|word| is_name(word)).cloned());
            }
        });
        Other { pieces, from_styles }
    };
    level.iter().map(other).collect()
}

/// Whether a word of a `use` can be what it brings in.
fn is_name(word: &str) -> bool {
    word != "crate"
        && word != "self"
        && word != "super"
        && word.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

fn is_other(word: &str, style: Style) -> bool {
    word != style.module && STYLES.contains(&word)
}

/// The pieces of a file that make requests: by themselves, by another style, or by one another.
fn requesting(file: &Other) -> Vec<&Piece> {
    let mut names: BTreeSet<&str> = file.from_styles.iter().map(String::as_str).collect();
    names.extend(STYLES);
    loop {
        let makes = |piece: &&Piece| {
            let words = || piece.words.iter().map(String::as_str);
            let asks = words()
                .zip(words().skip(1))
                .any(|(dot, word)| matches!(dot, "." | "::") && REQUESTS[..2].contains(&word));
            asks || words().any(|word| names.contains(word))
        };
        let found: Vec<&Piece> = file.pieces.iter().filter(makes).collect();
        let before = names.len();
        names.extend(found.iter().map(|piece| piece.name.as_str()));
        // The requests themselves are what every style calls.
        for request in REQUESTS {
            names.remove(request);
        }
        if names.len() == before {
            return found
                .into_iter()
                .filter(|piece| !REQUESTS.contains(&piece.name.as_str()))
                .collect();
        }
    }
}

/// The types and traits that these items define.
fn defined(items: &[syn::Item], found: &mut BTreeSet<String>) {
    for item in items {
        let name = match item {
            syn::Item::Struct(item) => &item.ident,
            syn::Item::Enum(item) => &item.ident,
            syn::Item::Union(item) => &item.ident,
            syn::Item::Trait(item) => &item.ident,
            syn::Item::Mod(syn::ItemMod { content: Some((_, items)), .. }) => {
                defined(items, found);
                continue;
            }
            _ => continue,
        };
        found.insert(name.to_string());
    }
}

/// All functions, methods and macros of a file. Those of the `own` types and traits are reached by a path.
fn collect(items: &[syn::Item], path: &str, own: &BTreeSet<String>, found: &mut Vec<Piece>) {
    for item in items {
        match item {
            syn::Item::Fn(item) => {
                found.push(piece(By::Within, &item.sig.ident, path, &item.block));
            }
            syn::Item::Impl(item) => {
                let is_own = |tokens: proc_macro2::TokenStream| {
                    words(tokens).iter().any(|word| own.contains(word.as_str()))
                };
                let of_trait = item.trait_.as_ref().map(|of_trait| &of_trait.0);
                let by = if is_own(item.self_ty.to_token_stream())
                    || of_trait.is_some_and(|name| is_own(name.to_token_stream()))
                {
                    By::Within
                } else if of_trait.is_some_and(|name| !of_crate(name)) {
                    By::Trait
                } else {
                    By::Method
                };
                for method in &item.items {
                    let syn::ImplItem::Fn(method) = method else { continue };
                    found.push(piece(by, &method.sig.ident, path, &method.block));
                }
            }
            syn::Item::Macro(item) => {
                if let Some(name) = &item.ident {
                    found.push(piece(By::Macro, name, path, &item.mac.tokens));
                }
            }
            syn::Item::Mod(syn::ItemMod { content: Some((_, items)), .. }) => {
                collect(items, path, own, found);
            }
            _ => {}
        }
    }
}

/// Whether a trait is one that the level's provided modules define: the others need a path, or none at all.
fn of_crate(name: &syn::Path) -> bool {
    const PROVIDED_TRAITS: [&str; 3] = ["ProfileSource", "CallbackSource", "PageSource"];
    name.segments
        .last()
        .is_some_and(|last| PROVIDED_TRAITS.contains(&last.ident.to_string().as_str()))
}

fn piece(by: By, name: &syn::Ident, path: &str, body: &impl ToTokens) -> Piece {
    Piece {
        by,
        name: name.to_string(),
        place: format!("{path}:{}", name.span().start().line),
        words: words(body.to_token_stream()),
    }
}

fn words(tokens: proc_macro2::TokenStream) -> Vec<String> {
    let mut found = Vec::new();
    flatten(tokens, &mut found);
    found.into_iter().map(|token| token.text).collect()
}

/// Calls `look` with the words of each `use`.
fn uses(items: &[syn::Item], look: &mut impl FnMut(&[String])) {
    for item in items {
        match item {
            syn::Item::Use(item) => look(&words(item.tree.to_token_stream())),
            syn::Item::Mod(syn::ItemMod { content: Some((_, items)), .. }) => uses(items, look),
            _ => {}
        }
    }
}

/// Each token with its neighbours, and its line.
fn threes(tokens: &[Token]) -> impl Iterator<Item = ([&str; 3], usize)> {
    let at = move |index: usize| tokens.get(index).map_or("", |token| token.text.as_str());
    tokens.iter().enumerate().map(move |(index, token)| {
        let before = if index == 0 { "" } else { at(index - 1) };
        ([before, token.text.as_str(), at(index + 1)], token.line)
    })
}
