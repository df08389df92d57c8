//! Rust source as one row of tokens, without comments and without layout.
use std::fmt::Write as _;
use std::ops::Range;
use std::str::FromStr as _;

use proc_macro2::{Delimiter, LexError, Punct, Spacing, Span, TokenStream, TokenTree};

/// A token and where it stands in the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The token as it is written. `>=` is one token, `>>` are two: they may close two generic lists.
    pub text: String,
    /// Its bytes in the source.
    pub at: Range<usize>,
    /// The line of the token, from 1.
    pub line: usize,
}

/// The operators of several characters, the longer ones first.
const OPERATORS: &[&str] = &[
    "..=", "...", "&&", "||", "==", "!=", "<=", ">=", "=>", "->", "::", "..", "+=", "-=", "*=",
    "/=", "%=", "^=", "&=", "|=",
];

/// The tokens of `source`. Brackets are tokens of their own; comments and doc comments are left out.
///
/// # Errors
///
/// [`LexError`] when `source` is not made of Rust tokens or a bracket has no partner.
pub fn tokens(source: &str) -> Result<Vec<Token>, LexError> {
    let mut row = Vec::new();
    flatten(TokenStream::from_str(source)?, source, &mut row);
    Ok(row)
}

/// The text of the tokens with one space between two: equal for two sources that differ in comments
/// and layout only.
#[must_use]
pub fn text(tokens: &[Token]) -> String {
    let mut text = String::new();
    for token in tokens {
        let space = if text.is_empty() { "" } else { " " };
        let _ = write!(text, "{space}{}", token.text); // a String takes everything
    }
    text
}

/// The tokens as their author spaced them, on one line and without comments.
#[must_use]
pub fn shown(tokens: &[Token]) -> String {
    let mut shown = String::new();
    let mut end = None;
    for token in tokens {
        if end.is_some_and(|end| end != token.at.start) {
            shown.push(' ');
        }
        shown.push_str(&token.text);
        end = Some(token.at.end);
    }
    shown
}

/// Where `wanted` begins in `row`: the index of its first token, for every place.
#[must_use]
pub fn places(row: &[Token], wanted: &[Token]) -> Vec<usize> {
    (0..row.len()).filter(|&start| common(&row[start..], wanted) == wanted.len()).collect()
}

/// The place where the most tokens of `wanted` stand in a row, and how many they are.
#[must_use]
pub fn nearest(row: &[Token], wanted: &[Token]) -> Option<(usize, usize)> {
    (0..row.len())
        .map(|start| (start, common(&row[start..], wanted)))
        .filter(|&(_, length)| length > 0)
        .max_by_key(|&(start, length)| (length, std::cmp::Reverse(start)))
}

/// How many tokens both rows begin with.
fn common(row: &[Token], wanted: &[Token]) -> usize {
    row.iter().zip(wanted).take_while(|(a, b)| a.text == b.text).count()
}

fn flatten(stream: TokenStream, source: &str, row: &mut Vec<Token>) {
    let mut trees = stream.into_iter().peekable();
    while let Some(tree) = trees.next() {
        match tree {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                row.push(token(open, group.span_open()));
                flatten(group.stream(), source, row);
                row.push(token(close, group.span_close()));
            }
            // The lexer makes `#[doc = "..."]` of a doc comment; its span is the comment's.
            TokenTree::Punct(punct)
                if punct.as_char() == '#'
                    && !source[punct.span().byte_range()].starts_with('#') =>
            {
                while let Some(TokenTree::Punct(_)) = trees.peek() {
                    trees.next();
                }
                trees.next();
            }
            TokenTree::Punct(punct) => {
                let mut run = vec![punct];
                while run.last().is_some_and(|last| last.spacing() == Spacing::Joint)
                    && let Some(TokenTree::Punct(next)) = trees.peek()
                {
                    run.push(next.clone());
                    trees.next();
                }
                operators(&run, row);
            }
            TokenTree::Ident(name) => row.push(token(&name.to_string(), name.span())),
            TokenTree::Literal(value) => row.push(token(&value.to_string(), value.span())),
        }
    }
}

/// Cuts characters that stand in a row without a space into operators, as the compiler does.
fn operators(run: &[Punct], row: &mut Vec<Token>) {
    let text: String = run.iter().map(Punct::as_char).collect();
    let mut done = 0;
    while let Some(first) = run.get(done) {
        let longest = OPERATORS.iter().find(|operator| text[done..].starts_with(**operator));
        let length = longest.map_or(1, |operator| operator.len());
        let last = &run[done + length - 1];
        let at = first.span().byte_range().start..last.span().byte_range().end;
        let text = text[done..done + length].to_owned();
        row.push(Token { text, at, line: first.span().start().line });
        done += length;
    }
}

fn token(text: &str, span: Span) -> Token {
    Token { text: text.to_owned(), at: span.byte_range(), line: span.start().line }
}
