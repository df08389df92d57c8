//! Criteria about how a style is written. They read the syntax tree, so neither a comment nor a
//! string can fail or pass them.

use grader_kit::{Cx, Fail, Outcome, ensure};
use proc_macro2::{Spacing, TokenStream, TokenTree};
use quote::ToTokens;

use crate::fake::{Fake, answer};
use crate::styles::{CALLBACKS, COMBINATORS, SEQUENTIAL, Style};

/// One token of a file, groups flattened, and the line that it is on.
struct Token {
    text: String,
    line: usize,
}

/// The tokens of the style's file and of the modules below it, with each file's path.
fn tokens(cx: &Cx, module: &str) -> Result<Vec<(String, Vec<Token>)>, Fail> {
    let main = format!("src/{module}.rs");
    let below = format!("src/{module}/");
    cx.source(&main)?;
    let files =
        cx.sources().iter().filter(|file| file.path == main || file.path.starts_with(&below));
    files
        .map(|file| {
            let mut parsed = syn::parse_file(&file.text)
                .map_err(|error| Fail::new(format!("{} cannot be parsed: {error}", file.path)))?;
            // The learner's own tests may be written in any way.
            parsed.items.retain(|item| !is_test(item));
            let stream = parsed.into_token_stream();
            let mut found = Vec::new();
            flatten(stream, &mut found);
            Ok((file.path.clone(), found))
        })
        .collect()
}

/// Whether the item is under `#[cfg(test)]`.
fn is_test(item: &syn::Item) -> bool {
    let (syn::Item::Mod(syn::ItemMod { attrs, .. }) | syn::Item::Fn(syn::ItemFn { attrs, .. })) =
        item
    else {
        return false;
    };
    attrs.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Ident>().is_ok_and(|word| word == "test")
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
                    proc_macro2::Delimiter::Parenthesis => ("(", ")"),
                    proc_macro2::Delimiter::Brace => ("{", "}"),
                    proc_macro2::Delimiter::Bracket => ("[", "]"),
                    proc_macro2::Delimiter::None => ("", ""),
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
            TokenTree::Ident(ident) => found.push(Token { text: ident.to_string(), line }),
            TokenTree::Literal(_) => {}
        }
    }
}

/// `combinators` is written without `async` and `await`, also inside macros.
pub async fn no_async(cx: Cx) -> Outcome {
    works(&cx, COMBINATORS).await?;
    for (path, tokens) in tokens(&cx, "combinators")? {
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

/// The style makes both requests itself.
fn makes_its_requests(cx: &Cx, module: &str) -> Outcome {
    let files = tokens(cx, module)?;
    for request in ["user", "posts"] {
        let made = files.iter().any(|(_, tokens)| {
            tokens.windows(2).any(|pair| pair[0].text == request && pair[1].text == "(")
        });
        ensure!(made, "src/{module}.rs makes no request for the {request}";
            expected = format!("a call of the source's method `{request}` in this file"),
            observed = "none",
            help = "a style is judged where it is written: do the work here, not in another module");
    }
    Ok(())
}

/// How a load is written is asked of one that ends.
async fn works(cx: &Cx, style: Style) -> Outcome {
    let fake = Fake::new(cx.timeline(), answer(100), answer(200));
    cx.call(style.name, (style.load)(&fake, 7)).await.map(drop)
}

/// The style names none of the others.
fn stands_alone(cx: &Cx, module: &str) -> Outcome {
    let others = ["callbacks", "combinators", "async_await"];
    for (path, tokens) in tokens(cx, module)? {
        let mut in_use = false;
        for (index, token) in tokens.iter().enumerate() {
            match token.text.as_str() {
                "use" => in_use = true,
                ";" => in_use = false,
                _ => {}
            }
            let beside = |index: Option<usize>| {
                index.and_then(|index| tokens.get(index)).is_some_and(|token| token.text == "::")
            };
            let in_path = in_use || beside(index.checked_sub(1)) || beside(Some(index + 1));
            let other = others.iter().find(|other| **other == token.text && **other != module);
            if let (true, Some(other)) = (in_path, other) {
                ensure!(false, "{path}:{} leans on the module {other}", token.line;
                    expected = "each style does its own work",
                    observed = format!("a path with `{other}` in line {}", token.line),
                    help = "the exercise is to write the same load three times: what the styles \
                            share is in errors, model and source");
            }
        }
    }
    makes_its_requests(cx, module)
}

pub async fn callbacks_alone(cx: Cx) -> Outcome {
    works(&cx, CALLBACKS).await?;
    stands_alone(&cx, "callbacks")
}

pub async fn combinators_alone(cx: Cx) -> Outcome {
    works(&cx, COMBINATORS).await?;
    stands_alone(&cx, "combinators")
}

pub async fn async_await_alone(cx: Cx) -> Outcome {
    works(&cx, SEQUENTIAL).await?;
    stands_alone(&cx, "async_await")
}
