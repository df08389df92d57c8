//! A name of a reference solution changes, and the planted solutions with it.
//!
//! An edit of a planted solution finds tokens, names among them. A name that changes in the reference only would part
//! them; [`source`] and [`planted`] change it in both.
use proc_macro2::LexError;

use crate::planted::tokens::tokens;

/// `source`, a file of a reference, with the identifier `old` called `new`: in the code, in the arguments within
/// format strings, and in comments where it is a code span.
///
/// # Errors
///
/// [`LexError`] when `source` is not made of Rust tokens.
pub fn source(source: &str, old: &str, new: &str) -> Result<String, LexError> {
    let mut renamed = String::with_capacity(source.len());
    let mut end = 0;
    for token in tokens(source)? {
        renamed += &comments(&source[end..token.at.start], old, new);
        let text = &source[token.at.clone()];
        if text == old {
            renamed += new;
        } else if text.contains('"') {
            renamed += &arguments(text, old, new);
        } else {
            renamed += text;
        }
        end = token.at.end;
    }
    renamed += &comments(&source[end..], old, new);
    Ok(renamed)
}

/// A planted solution with `old` called `new` in its edits of `file`: a whole word in the item's path and in the tokens
/// to find and to put there. What it says of itself stays.
#[must_use]
pub fn planted(text: &str, file: &str, old: &str, new: &str) -> String {
    let head = "[[edit]]";
    let names_file = format!("file = \"{file}\"");
    let mut parts = text.split_inclusive('\n').peekable();
    let mut renamed = String::with_capacity(text.len());
    while let Some(line) = parts.next() {
        renamed += line;
        if line.trim_end() != head {
            continue;
        }
        let mut edit = Vec::new();
        while let Some(line) = parts.next_if(|line| line.trim_end() != head) {
            edit.push(line);
        }
        let is_of_file = edit.iter().any(|line| line.trim_end() == names_file);
        for line in edit {
            if is_of_file && line.trim_end() != names_file {
                renamed += &words(line, old, new);
            } else {
                renamed += line;
            }
        }
    }
    renamed
}

/// `text` between two tokens with each code span `old` renamed.
fn comments(text: &str, old: &str, new: &str) -> String {
    text.replace(&format!("`{old}`"), &format!("`{new}`"))
}

/// A literal with each format argument `old` renamed.
fn arguments(literal: &str, old: &str, new: &str) -> String {
    [("{", "}"), ("{", ":")].iter().fold(literal.to_owned(), |text, (open, close)| {
        text.replace(&format!("{open}{old}{close}"), &format!("{open}{new}{close}"))
    })
}

/// `text` with each whole word `old` renamed.
fn words(text: &str, old: &str, new: &str) -> String {
    let is_part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let mut renamed = String::with_capacity(text.len());
    let mut rest = text;
    let mut last = None;
    while let Some(at) = rest.find(old) {
        let (before, after) = (&rest[..at], &rest[at + old.len()..]);
        last = before.chars().next_back().or(last);
        let is_word = !is_part(last) && !is_part(after.chars().next());
        renamed += before;
        renamed += if is_word { new } else { old };
        last = old.chars().next_back();
        rest = after;
    }
    renamed + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_changes_in_code_and_not_in_prose() {
        let text = "// The count of `count`.\nfn f(count: u8) -> String { counted(); format!(\"count {count} {count:?}\") }\n";
        let wanted = "// The count of `left`.\nfn f(left: u8) -> String { counted(); format!(\"count {left} {left:?}\") }\n";
        assert_eq!(source(text, "count", "left").expect("tokens"), wanted);
    }

    #[test]
    fn a_fault_changes_in_the_edits_of_its_file() {
        let text = "why = \"The count is wrong.\"\n\n[[edit]]\nfile = \"src/count.rs\"\nfind = \"count + my_count\"\n\
                    replace = \"count\"\n\n[[edit]]\nfile = \"src/b.rs\"\nfind = \"count\"\n";
        let wanted = "why = \"The count is wrong.\"\n\n[[edit]]\nfile = \"src/count.rs\"\nfind = \"left + my_count\"\n\
                      replace = \"left\"\n\n[[edit]]\nfile = \"src/b.rs\"\nfind = \"count\"\n";
        assert_eq!(planted(text, "src/count.rs", "count", "left"), wanted);
    }

    #[test]
    fn only_whole_words_change() {
        assert_eq!(words("aa a aa_a a.a", "a", "b"), "aa b aa_a b.b");
    }
}
