//! Finds the text that a reader sees in a file of the repository, and the words in it.
//!
//! [`of`] masks everything else: code, identifiers, code spans, quotations. What is left keeps its place,
//! so a word is found at the line on which it stands.

/// What a file is written in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Comments, documentation and string literals with more than one word are text.
    Rust,
    /// Everything is text but code spans, Rust code, quotations and the targets of links.
    Markdown,
    /// Comments and strings are text. A string that holds Rust code is read as such.
    Toml,
    /// Everything is text.
    Plain,
}

impl Kind {
    /// The kind of the file of this name; none for a file without text of the project.
    #[must_use]
    pub fn of_file(name: &str) -> Option<Self> {
        if matches!(name, "Cargo.lock" | "LICENSE-APACHE" | "LICENSE-MIT") {
            return None;
        }
        match name.rsplit_once('.').map(|(_, extension)| extension) {
            Some("rs") => Some(Self::Rust),
            Some("md") => Some(Self::Markdown),
            Some("toml") => Some(Self::Toml),
            Some("txt" | "yml" | "js" | "py") | None => Some(Self::Plain),
            _ => None,
        }
    }
}

/// Stands where something is masked. No phrase reaches across it.
const MASK: char = '\u{0}';

/// `text` with everything masked that is not prose. Lines stay lines.
#[must_use]
pub fn of(kind: Kind, text: &str) -> String {
    match kind {
        Kind::Rust => markdown(&rust(text), true),
        Kind::Markdown => markdown(text, false),
        Kind::Toml => toml(text),
        Kind::Plain => text.to_owned(),
    }
}

/// One character masked. White space stays, so that the lines of a comment are one text.
const fn masked(c: char) -> char {
    if c.is_ascii_whitespace() { c } else { MASK }
}

fn mask(text: &str) -> String {
    text.chars().map(masked).collect()
}

/// The comments and string literals of Rust code. A marker of a comment becomes white space.
fn rust(code: &str) -> String {
    let mut out = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(c) = rest.chars().next() {
        if rest.starts_with("//") {
            let end = rest.find('\n').unwrap_or(rest.len());
            let text = rest[..end].trim_start_matches('/').trim_start_matches('!');
            out.push_str(&" ".repeat(end - text.len()));
            out.push_str(text);
            rest = &rest[end..];
        } else if rest.starts_with("/*") {
            let end = rest.find("*/").map_or(rest.len(), |at| at + 2);
            out.push_str(&rest[..end].replace(['*', '/'], " "));
            rest = &rest[end..];
        } else if let Some((prefix, body, close)) = string(rest) {
            out.push_str(&mask(prefix));
            // One word is a name, an id or an address.
            if body.contains(char::is_whitespace) {
                out.push_str(&unescaped(body, prefix.contains('r')));
            } else {
                out.push_str(&mask(body));
            }
            out.push_str(&mask(close));
            rest = &rest[prefix.len() + body.len() + close.len()..];
        } else {
            // A character literal may be a quotation mark.
            let length = ["'\"'", "'\\\"'", "b'\"'"].iter().find(|mark| rest.starts_with(**mark));
            let length = length.map_or(c.len_utf8(), |mark| mark.len());
            out.push_str(&mask(&rest[..length]));
            rest = &rest[length..];
        }
    }
    out
}

/// The string literal that `code` begins with: its opening, its body and its closing mark.
fn string(code: &str) -> Option<(&str, &str, &str)> {
    let open = code.find('"')?;
    let prefix = &code[..open];
    let hashes = prefix.trim_start_matches(['b', 'c']).strip_prefix('r').unwrap_or_default();
    let raw = prefix.contains('r');
    let is_prefix =
        matches!(prefix, "" | "b" | "c") || (raw && prefix.len() <= 6 && is_raw(prefix));
    if !is_prefix {
        return None;
    }
    let after = &code[open + 1..];
    let end = if raw {
        after.find(&format!("\"{hashes}"))?
    } else {
        let mut escaped = false;
        after.find(|c| {
            let closes = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            closes
        })?
    };
    let close = &after[end..end + 1 + hashes.len()];
    Some((&code[..=open], &after[..end], close))
}

fn is_raw(prefix: &str) -> bool {
    let hashes = prefix.trim_start_matches(['b', 'c']).strip_prefix('r');
    hashes.is_some_and(|hashes| hashes.chars().all(|c| c == '#'))
}

/// The body of a string literal: an escape becomes white space, a placeholder is masked.
fn unescaped(body: &str, raw: bool) -> String {
    let mut out = String::with_capacity(body.len());
    let mut escaped = false;
    let mut depth = 0_usize;
    for c in body.chars() {
        depth = depth.saturating_sub(usize::from(c == '}'));
        out.push(match c {
            '\\' if !raw => ' ',
            '\n' => '\n',
            _ if escaped => ' ',
            // A literal is no Markdown: its marks end neither a code span nor a quotation.
            '`' | '"' => MASK,
            _ if depth > 0 || c == '}' => MASK,
            _ => c,
        });
        depth += usize::from(c == '{');
        escaped = c == '\\' && !escaped && !raw;
    }
    out
}

/// Prose without code spans, Rust code blocks, quotations and the targets of links.
fn markdown(text: &str, comments: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut fence: Option<(String, bool)> = None;
    let mut quoted = false;
    let mut coded = false;
    for line in text.split_inclusive('\n') {
        let start = line.trim_start();
        let marks: String = start.chars().take_while(|c| matches!(c, '`' | '~')).collect();
        let info = start[marks.len()..].trim();
        let closes = fence.as_ref().is_some_and(|(open, _)| marks.starts_with(open.as_str()));
        if closes && info.is_empty() {
            fence = None;
            out.push_str(&mask(line));
        } else if let Some((_, is_rust)) = &fence {
            // In a comment's code block every line is text to `rust`: only comments inside count here.
            match (is_rust, comments) {
                (true, false) => out.push_str(&rust(line)),
                (true, true) => match line.split_once("// ") {
                    Some((code, comment)) => {
                        out.push_str(&mask(code));
                        out.push_str("   ");
                        out.push_str(comment);
                    }
                    None => out.push_str(&mask(line)),
                },
                (false, _) => out.push_str(line),
            }
        } else if marks.len() >= 3 && !info.contains('`') {
            let is_rust = info.starts_with("rust") || (comments && !is_text(info));
            fence = Some((marks, is_rust));
            out.push_str(&mask(line));
        } else {
            // A paragraph, an item of a list, a row of a table end what was not closed.
            if start.is_empty() || start.starts_with(['|', '-', '*', '#', MASK]) {
                (quoted, coded) = (false, false);
            }
            let mut target = false;
            let mut last = ' ';
            for c in line.chars() {
                target = (target || (last == ']' && c == '(')) && !(target && c == ')');
                if c == MASK {
                    (quoted, coded) = (false, false);
                }
                let was = (quoted, coded);
                coded ^= c == '`';
                quoted ^= c == '"' && !coded;
                let hidden = target || quoted || coded || was != (quoted, coded);
                out.push(if hidden { masked(c) } else { c });
                last = c;
            }
        }
    }
    out
}

fn is_text(info: &str) -> bool {
    ["text", "console", "mermaid", "toml", "sh"].iter().any(|name| info.starts_with(name))
}

/// The comments and strings of TOML.
fn toml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut key = "";
    while let Some(c) = rest.chars().next() {
        if c == '#' {
            let end = rest.find('\n').unwrap_or(rest.len());
            out.push(' ');
            out.push_str(&rest[1..end]);
            rest = &rest[end..];
            continue;
        }
        let open = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|mark| rest.starts_with(mark));
        if let Some(mark) = open {
            let body = &rest[mark.len()..];
            let mut escaped = false;
            let end = body.char_indices().find(|(at, c)| {
                let closes = !escaped && body[*at..].starts_with(mark);
                escaped = *c == '\\' && !escaped && mark.starts_with('"');
                closes
            });
            let end = end.map_or(body.len(), |(at, _)| at);
            out.push_str(&mask(mark));
            let code = matches!(
                key,
                "find" | "replace" | "append" | "prepend" | "before" | "after" | "item"
            );
            if code {
                out.push_str(&markdown(&rust(&body[..end]), true));
            } else {
                out.push_str(&markdown(&body[..end], false));
            }
            let closed = (mark.len() + end + mark.len()).min(rest.len());
            out.push_str(&mask(&rest[mark.len() + end..closed]));
            rest = &rest[closed..];
            continue;
        }
        let at_start = out.is_empty() || out.ends_with('\n');
        let name = rest.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '-'));
        if at_start && let Some(end) = name.filter(|end| rest[*end..].starts_with(" =")) {
            key = &rest[..end];
        }
        out.push(masked(c));
        rest = &rest[c.len_utf8()..];
    }
    out
}

/// A word of a text.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Word {
    /// The word in lower case.
    pub text: String,
    /// The line on which it stands; the first is 1.
    pub line: usize,
    /// Whether only white space stands between it and the word before.
    pub joined: bool,
}

/// The words of a masked text. `a-failure-stops-no-other-letter` and `a.b@example.com` are one word each.
#[must_use]
pub fn words(masked: &str) -> Vec<Word> {
    let mut found = Vec::new();
    let mut line = 1;
    let mut joined = false;
    let mut rest = masked;
    while let Some(c) = rest.chars().next() {
        let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        let text = rest[..end].trim_end_matches(['.', '-', '/', ':', '\'']);
        if text.is_empty() {
            line += usize::from(c == '\n');
            // An empty line ends a sentence.
            joined &= c.is_whitespace() && !rest.starts_with("\n\n");
            rest = &rest[c.len_utf8()..];
        } else {
            found.push(Word { text: text.to_lowercase(), line, joined });
            joined = true;
            rest = &rest[text.len()..];
        }
    }
    found
}

/// Whether a word may hold `c`.
const fn is_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '/' | '.' | '@' | ':' | '\'')
}

#[cfg(test)]
mod tests {
    use super::{Kind, of, words};

    /// The words that are seen, with the line of each.
    fn seen(kind: Kind, text: &str) -> Vec<(usize, String)> {
        words(&of(kind, text)).into_iter().map(|word| (word.line, word.text)).collect()
    }

    fn texts(kind: Kind, text: &str) -> String {
        seen(kind, text).into_iter().map(|(_, text)| text).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn comments_and_texts_of_rust_are_seen() {
        let code = "//! One `code` word.\nfn name() { say(\"two {name} words\"); id(\"word\"); c('\"') } // three\n\
                    /// ```\n/// let code = 1; // four\n/// ```\n/// five\nlet raw = r#\"six \"seven\" x\"#;";
        assert_eq!(texts(Kind::Rust, code), "one word two words three four five six seven x");
        assert_eq!(seen(Kind::Rust, code)[2], (2, "two".to_owned()));
    }

    #[test]
    fn code_and_quotations_in_markdown_are_not_seen() {
        let text = "One `code` \"quoted\" [two](three.md).\n\n```rust\nlet a = 1; // four\n```\n```text\nfive\n```\n";
        assert_eq!(texts(Kind::Markdown, text), "one two four five");
    }

    #[test]
    fn strings_and_comments_of_toml_are_seen() {
        let text = "# one\nwhy = \"two three\"\nfind = \"a.b(c)\"\nreplace = \"\"\"\n// four\nlet x = y;\"\"\"\n";
        assert_eq!(texts(Kind::Toml, text), "one two three four");
    }

    #[test]
    fn a_mark_parts_words() {
        let words = words("for\never. Ids: a-failure-stops-no-other-letter, nobody's\n\nend");
        let joined: Vec<_> = words.iter().map(|word| (word.text.as_str(), word.joined)).collect();
        assert_eq!(
            joined,
            [
                ("for", false),
                ("ever", true),
                ("ids", false),
                ("a-failure-stops-no-other-letter", false),
                ("nobody's", false),
                ("end", false)
            ]
        );
    }
}
