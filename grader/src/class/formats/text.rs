//! What a fork's author wrote, made harmless for the form that shows it.

/// As a cell of a Markdown table, or in a line of text.
pub(in crate::class) fn cell(text: &str) -> String {
    let mut cell = String::new();
    for letter in text.chars() {
        match letter {
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '&' | '#' | '~' | '!' => {
                cell.push('\\');
                cell.push(letter);
            }
            '@' => cell.push_str("@\u{200b}"), // mentions no account
            letter if letter.is_control() => cell.push(' '),
            letter => cell.push(letter),
        }
    }
    cell
}

/// As a block of Markdown that is shown letter by letter.
pub(in crate::class) fn block(text: &str) -> String {
    let longest = text.split(|letter| letter != '`').map(str::len).max().unwrap_or_default();
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}text\n{}\n{fence}\n", without_controls(text).trim_end())
}

/// As a text or an attribute of XML. What XML does not allow is left out.
pub(super) fn xml(text: &str) -> String {
    let mut escaped = String::new();
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\t' | '\n' => escaped.push_str(&format!("&#{};", u32::from(letter))),
            '\u{fffe}' | '\u{ffff}' => {}
            letter if letter.is_control() => {}
            letter => escaped.push(letter),
        }
    }
    escaped
}

/// As a field of a table that a spreadsheet opens: no formula.
pub(super) fn field(text: &str) -> String {
    let text = without_controls(text).replace('\n', " ");
    if text.starts_with(['=', '+', '-', '@', '\t']) { format!("'{text}") } else { text }
}

fn without_controls(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control() || matches!(letter, '\n' | '\t')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_no_markup_no_mention_and_no_formula() {
        assert_eq!(cell("a|b<script>"), "a\\|b\\<script\\>");
        assert_eq!(cell("@all\n"), "@\u{200b}all ");
        assert_eq!(field("=HYPERLINK(1)"), "'=HYPERLINK(1)");
        assert_eq!(field("Ξένη\u{1b}[31m"), "Ξένη[31m");
    }

    #[test]
    fn a_block_cannot_be_ended_from_within() {
        let text = block("one\n````\n# two");
        assert!(text.starts_with("`````text\n") && text.ends_with("`````\n"), "{text}");
        assert!(block("plain").starts_with("```text\n"));
    }

    #[test]
    fn xml_is_read_back_as_it_was() {
        let text = "a < b && c > \"d\"\n\ttab 名";
        let document = format!("<a b=\"{0}\">{0}</a>", xml(text));
        let read = roxmltree::Document::parse(&document).expect("XML");
        assert_eq!(read.root_element().text(), Some(text));
        assert_eq!(read.root_element().attribute("b"), Some(text));
        assert!(
            roxmltree::Document::parse(&format!("<a>{}</a>", xml("\u{0}\u{1b}\u{ffff}"))).is_ok()
        );
    }
}
