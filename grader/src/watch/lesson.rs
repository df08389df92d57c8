//! A lesson as text for a terminal of any width.

/// The Markdown of a lesson with each paragraph and list item on one line, so that the screen can wrap it, and
/// without the definitions of links. Code and tables stay as they are.
#[must_use]
pub fn lesson(markdown: &str) -> String {
    let mut out = String::new();
    let mut fenced = false;
    for line in markdown.lines() {
        let start = line.trim_start();
        let fence = start.starts_with("```") || start.starts_with("~~~");
        if !fenced && (is_definition(start) || start.starts_with("<!--")) {
            continue;
        }
        let joins = !fenced && !fence && continues(start) && ends_in_text(&out);
        match (joins, out.is_empty()) {
            (true, _) => out.push(' '),
            (false, false) => out.push('\n'),
            (false, true) => {}
        }
        out.push_str(if joins { start } else { line });
        fenced ^= fence;
    }
    out + "\n"
}

/// `[name]: target`
fn is_definition(line: &str) -> bool {
    line.starts_with('[') && line.contains("]: ")
}

/// Whether a line can go on a paragraph or an item.
fn continues(line: &str) -> bool {
    let number = line.trim_start_matches(|c: char| c.is_ascii_digit());
    let item = line.starts_with(['-', '*', '+']) && line.chars().nth(1) == Some(' ');
    let numbered = number.len() < line.len() && number.starts_with(". ");
    !(line.is_empty() || item || numbered || line.starts_with(['#', '|', '>']))
}

/// Whether the last line is one that a paragraph or an item may go on from.
fn ends_in_text(out: &str) -> bool {
    let last = out.lines().last().unwrap_or_default().trim_start();
    !(out.ends_with('\n') || last.is_empty() || last.starts_with(['#', '|', '`', '~']))
}

#[cfg(test)]
mod tests {
    use super::lesson;

    #[test]
    fn paragraphs_and_items_become_lines() {
        let text = "# A\n\nOne\ntwo.\n\n1. First\n   item.\n2. Second.\n\n[a]: b.md\n";
        assert_eq!(lesson(text), "# A\n\nOne two.\n\n1. First item.\n2. Second.\n\n");
    }

    #[test]
    fn code_and_tables_stay() {
        let text = "Text.\n\n```rust\nlet a = 1;\n// [a]: b\nlet b = 2;\n```\n\n| a |\n| --- |\n";
        assert_eq!(lesson(text), text);
    }
}
