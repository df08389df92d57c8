//! The tokens of a source file, in one list with their lines. Groups are taken apart.
use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// One token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    /// As it is written; `(`, `[` and `{` open a group, `)`, `]` and `}` close it.
    pub(crate) text: String,
    /// Counted from 1.
    pub(crate) line: usize,
}

impl Token {
    /// The value of a string literal.
    pub(super) fn string(&self) -> Option<String> {
        // Most tokens are none, and the parser costs more than a look.
        let may_be = self.text.starts_with(['"', 'r']) && self.text.ends_with(['"', '#']);
        may_be
            .then(|| syn::parse_str::<syn::LitStr>(&self.text).ok())
            .flatten()
            .map(|literal| literal.value())
    }
}

/// The tokens of a file; none where it is no Rust, which the compiler says better. Doc comments are left
/// out.
pub(crate) fn of(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    if let Ok(stream) = text.parse::<TokenStream>() {
        flatten(stream, &mut tokens);
    }
    tokens
}

fn flatten(stream: TokenStream, tokens: &mut Vec<Token>) {
    let push = |tokens: &mut Vec<Token>, text: String, line: usize| {
        tokens.push(Token { text, line });
    };
    for tree in stream {
        let span = tree.span();
        match tree {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::None => ("", ""),
                };
                push(tokens, open.to_owned(), span.start().line);
                flatten(group.stream(), tokens);
                push(tokens, close.to_owned(), span.end().line);
            }
            other => push(tokens, other.to_string(), span.start().line),
        }
    }
}

/// Whether the tokens from `at` on are these texts.
pub(super) fn reads(tokens: &[Token], at: usize, texts: &[&str]) -> bool {
    tokens
        .get(at..at + texts.len())
        .is_some_and(|found| found.iter().zip(texts).all(|(token, text)| token.text == *text))
}
