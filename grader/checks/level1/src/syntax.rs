//! Criteria about how a style is written. They read the syntax tree, so neither a comment nor a
//! string can fail or pass them. They fail what is forbidden; what is demanded shows in behaviour.

use std::collections::BTreeSet;

use grader_kit::{Cx, Fail, Outcome, ensure};
use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};
use quote::ToTokens;

use crate::styles::Style;

/// Work that a style reaches without a path.
mod elsewhere;

/// What the course provides to every style.
const PROVIDED: [&str; 3] = ["model", "panics", "source"];

const STYLES: [&str; 3] = ["async_await", "callbacks", "combinators"];

/// Code that names one of these can make a request.
const SOURCES: [&str; 2] = ["ProfileSource", "CallbackSource"];

/// One token of a file, groups flattened, and the line that it is on.
struct Token {
    text: String,
    line: usize,
}

/// A file of a style, without what is compiled for tests only.
struct File {
    path: String,
    /// Whether it is the style's own file, where `super` is the crate's root.
    top: bool,
    tokens: Vec<Token>,
}

/// The style's file and the modules below it that the program is compiled from.
fn files(cx: &Cx, module: &str) -> Result<Vec<File>, Fail> {
    let places = [format!("src/{module}.rs"), format!("src/{module}/mod.rs")];
    let Some(main) = places.iter().find(|place| text(cx, place).is_some()) else {
        return Err(Fail::new(format!("{} is missing", places[0]))
            .expected(format!("the style in {} or {}", places[0], places[1]))
            .help("this criterion reads how the style is written"));
    };
    let mut found = Vec::new();
    let mut open = vec![(main.clone(), format!("src/{module}"))];
    while let Some((path, folder)) = open.pop() {
        let Some(text) = text(cx, &path) else { continue };
        let mut parsed = syn::parse_file(text)
            .map_err(|error| Fail::new(format!("{path} cannot be parsed: {error}")))?;
        if is_test(&parsed.attrs) {
            continue;
        }
        keep_program(&mut parsed.items);
        below(&parsed.items, &folder, &mut open);
        let mut tokens = Vec::new();
        flatten(parsed.into_token_stream(), &mut tokens);
        found.push(File { top: path == *main, path, tokens });
    }
    Ok(found)
}

fn text<'a>(cx: &'a Cx, path: &str) -> Option<&'a str> {
    cx.sources().iter().find(|source| source.path == path).map(|source| source.text.as_str())
}

/// Both places of each module that has a file of its own.
fn below(items: &[syn::Item], folder: &str, found: &mut Vec<(String, String)>) {
    for item in items {
        let syn::Item::Mod(module) = item else { continue };
        let folder = format!("{folder}/{}", module.ident);
        match &module.content {
            Some((_, items)) => below(items, &folder, found),
            None => {
                found.push((format!("{folder}.rs"), folder.clone()));
                found.push((format!("{folder}/mod.rs"), folder));
            }
        }
    }
}

/// Takes out what only the learner's own tests are compiled from: they may be written in any way.
fn keep_program(items: &mut Vec<syn::Item>) {
    items.retain(|item| !is_test(attributes(item)));
    for item in items {
        match item {
            syn::Item::Mod(syn::ItemMod { content: Some((_, items)), .. }) => keep_program(items),
            syn::Item::Impl(item) => item.items.retain(|item| match item {
                syn::ImplItem::Fn(item) => !is_test(&item.attrs),
                syn::ImplItem::Const(item) => !is_test(&item.attrs),
                _ => true,
            }),
            _ => {}
        }
    }
}

fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::ExternCrate(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Macro(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Trait(item) => &item.attrs,
        syn::Item::Type(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// Whether an attribute is `cfg(test)`, or `cfg(all(.., test, ..))`.
fn is_test(attributes: &[syn::Attribute]) -> bool {
    fn only_in_tests(condition: &syn::Meta) -> bool {
        match condition {
            syn::Meta::Path(path) => path.is_ident("test"),
            syn::Meta::List(list) if list.path.is_ident("all") => {
                let comma =
                    syn::punctuated::Punctuated::<syn::Meta, syn::Token![,]>::parse_terminated;
                list.parse_args_with(comma).is_ok_and(|parts| parts.iter().any(only_in_tests))
            }
            _ => false,
        }
    }
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Meta>().is_ok_and(|condition| only_in_tests(&condition))
    })
}

/// `::` becomes one token. Doc comments are literals here, and do not count as words.
fn flatten(stream: TokenStream, found: &mut Vec<Token>) {
    let mut trees = stream.into_iter().peekable();
    while let Some(tree) = trees.next() {
        let line = tree.span().start().line;
        match tree {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                found.push(Token { text: open.to_owned(), line });
                flatten(group.stream(), found);
                found.push(Token { text: close.to_owned(), line });
            }
            TokenTree::Punct(punct) => {
                let mut text = punct.as_char().to_string();
                if text == ":" && punct.spacing() == Spacing::Joint {
                    let second = trees.next_if(
                        |next| matches!(next, TokenTree::Punct(next) if next.as_char() == ':'),
                    );
                    text.extend(second.map(|_| ':'));
                }
                found.push(Token { text, line });
            }
            TokenTree::Ident(ident) => {
                // A raw identifier names the same module.
                let text = ident.to_string();
                let raw =
                    text.strip_prefix("r#").filter(|word| *word != "async" && *word != "await");
                found.push(Token { text: raw.unwrap_or(&text).to_owned(), line });
            }
            TokenTree::Literal(_) => {}
        }
    }
}

/// `combinators` is written without `async` and `await`, also inside macros.
pub async fn no_async(cx: Cx, style: Style) -> Outcome {
    style.works(&cx).await?;
    let own = files(&cx, style.module)?;
    elsewhere::no_async_in_macros(&cx, &own)?;
    for File { path, tokens, .. } in own {
        reads_its_own(&path, &tokens)?;
        let word = tokens.iter().find(|token| token.text == "async" || token.text == "await");
        if let Some(word) = word {
            ensure!(false, "{path}:{} uses `{}`", word.line, word.text;
                expected = "futures put together with combinators: and_then, map_ok, map_err",
                observed = format!("`{}` in line {}", word.text, word.line),
                help = "each step is a closure given to the future before it; a value that a later \
                        step needs is moved into that closure");
        }
    }
    Ok(())
}

/// The style does its own work: it uses none of the others, and no module that makes requests for it.
pub async fn stands_alone(cx: Cx, style: Style) -> Outcome {
    style.works(&cx).await?;
    let modules = modules(&cx);
    let mut open = Vec::new();
    let mut words = BTreeSet::new();
    let own = files(&cx, style.module)?;
    elsewhere::makes_no_request(&cx, style, &own)?;
    for File { path, top, tokens } in own {
        reads_its_own(&path, &tokens)?;
        words.extend(words_of(&tokens).map(str::to_owned));
        let named = used(&tokens, top, &modules).into_iter();
        open.extend(named.map(|(name, line)| (name, format!("{path}:{line}"))));
    }
    // Where the style's own files name it, and what that uses in turn.
    let mut seen = BTreeSet::from([style.module.to_owned()]);
    open.reverse();
    while let Some((name, place)) = open.pop() {
        if PROVIDED.contains(&name.as_str()) || !seen.insert(name.clone()) {
            continue;
        }
        let what = if modules.contains(&name) { "the module" } else { "the crate's" };
        let mut makes_requests = STYLES.contains(&name.as_str()) || !modules.contains(&name);
        if !makes_requests {
            for File { top, tokens, .. } in files(&cx, &name)? {
                makes_requests |= tokens.iter().any(|token| SOURCES.contains(&token.text.as_str()));
                let below = used(&tokens, top, &modules).into_iter();
                open.extend(below.map(|(name, _)| (name, place.clone())));
                // What another style does for a trait or a type of the module is used with the module.
                let mut names = defined(&tokens);
                names.retain(|name| {
                    words.contains(*name)
                        || words_of(&tokens).filter(|word| word == name).count() > 1
                });
                for other in STYLES.into_iter().filter(|other| *other != style.module) {
                    if modules.contains(other) && serves(&files(&cx, other)?, &names) {
                        open.push((other.to_owned(), place.clone()));
                    }
                }
            }
        }
        ensure!(!makes_requests, "{place} uses {what} {name}";
            expected = "each style does its own work: it makes its two requests itself",
            observed = format!("a path at {place} that leads to `{name}`"),
            help = "the exercise is to write the same load three times: make the requests here, or in \
                    modules below this one. A module that you use may neither be another style nor use a \
                    source");
    }
    Ok(())
}

fn words_of(tokens: &[Token]) -> impl Iterator<Item = &str> {
    tokens.iter().map(|token| token.text.as_str())
}

/// The traits and types that a file defines, without those of the exercise.
fn defined(tokens: &[Token]) -> BTreeSet<&str> {
    let pairs = tokens.iter().zip(tokens.iter().skip(1));
    let names = pairs.filter(|(word, _)| {
        matches!(word.text.as_str(), "trait" | "struct" | "enum" | "type" | "union")
    });
    names.map(|(_, name)| name.text.as_str()).filter(|name| *name != "FetchError").collect()
}

/// Whether an `impl` of these files is about one of the names, and not for a type of the files' own.
fn serves(files: &[File], names: &BTreeSet<&str>) -> bool {
    let own: BTreeSet<&str> = files.iter().flat_map(|file| defined(&file.tokens)).collect();
    files.iter().any(|File { tokens, .. }| {
        let starts = tokens.iter().enumerate().filter(|(_, token)| token.text == "impl");
        starts.map(|(start, _)| &tokens[start..]).any(|rest| {
            let head =
                || rest.iter().map(|token| token.text.as_str()).take_while(|word| *word != "{");
            head().any(|word| names.contains(word)) && !head().any(|word| own.contains(word))
        })
    })
}

/// The level's modules, by their files.
fn modules(cx: &Cx) -> BTreeSet<String> {
    let names = cx.sources().iter().filter_map(|source| {
        let first = source.path.strip_prefix("src/")?.split('/').next()?;
        Some(first.strip_suffix(".rs").unwrap_or(first).to_owned())
    });
    names.filter(|name| name != "lib" && name != "main").collect()
}

/// No file of another module, and no other name for the crate.
fn reads_its_own(path: &str, tokens: &[Token]) -> Outcome {
    let at = |index: usize| tokens.get(index).map_or("", |token| token.text.as_str());
    for (index, token) in tokens.iter().enumerate() {
        let what = match (token.text.as_str(), at(index + 1), at(index + 2)) {
            ("#", "[", "path") => "#[path]",
            ("include", "!", _) => "include!",
            ("extern", "crate", "self") => "extern crate self",
            ("use", "crate", "as") => "use crate as",
            _ => continue,
        };
        ensure!(false, "{path}:{} takes code from elsewhere", token.line;
            expected = "the style in its own file and in modules below it",
            observed = format!("`{what}` in line {}", token.line),
            help = "write the code here, or in a module below this one");
    }
    Ok(())
}

/// What paths name directly below the crate's root, and where.
fn used(tokens: &[Token], top: bool, modules: &BTreeSet<String>) -> Vec<(String, usize)> {
    let at = |index: usize| tokens.get(index).map_or("", |token| token.text.as_str());
    let mut found = Vec::new();
    let mut name = |index: usize| {
        if let Some(token) = tokens.get(index) {
            found.push((token.text.clone(), token.line));
        }
    };
    for index in 0..tokens.len() {
        let leads = index == 0 || at(index - 1) != "::";
        let goes_on = at(index + 1) == "::";
        if leads && goes_on && modules.contains(at(index)) {
            name(index);
        }
        let root = match at(index) {
            "crate" => true,
            "super" if top => leads,
            "super" => !leads && at(index.saturating_sub(2)) == "super",
            _ => false,
        };
        if !root || !goes_on || at(index + 2) == "*" || at(index + 2) == "super" {
            continue;
        }
        // `super` of an inline module is the style itself: there, only a module's name tells.
        let by_crate = at(index) == "crate";
        if at(index + 2) != "{" {
            if by_crate || modules.contains(at(index + 2)) {
                name(index + 2);
            }
            continue;
        }
        let mut depth = 0_usize;
        for inner in index + 2..tokens.len() {
            match at(inner) {
                "{" => depth += 1,
                "}" => depth -= 1,
                "*" | "self" => {}
                word if depth == 1
                    && matches!(at(inner - 1), "{" | ",")
                    && (by_crate || modules.contains(word)) =>
                {
                    name(inner);
                }
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
    }
    found
}
