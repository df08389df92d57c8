//! Changes to a text by byte ranges: whatever no edit touches stays as it is, byte for byte.

use std::ops::Range;

/// A list of replacements and removals of one text.
#[derive(Debug)]
pub(super) struct Edits<'a> {
    source: &'a str,
    /// What goes and what takes its place; `None` where lines close up over the gap.
    changes: Vec<(Range<usize>, Option<String>)>,
}

impl<'a> Edits<'a> {
    pub(super) const fn new(source: &'a str) -> Self {
        Self { source, changes: Vec::new() }
    }

    /// Replaces `range` with `text`.
    pub(super) fn replace(&mut self, range: Range<usize>, text: String) {
        self.changes.push((range, Some(text)));
    }

    /// Takes out what stands at `range`, with the comment lines right above it and the rest of its
    /// last line. When it shares its lines with something else, only the range itself goes.
    pub(super) fn remove(&mut self, range: Range<usize>) {
        let lines = self.lines(&range);
        let before = &self.source[lines.start..range.start];
        let after = self.source[range.end..lines.end].trim_start_matches([',', ';']).trim_start();
        if before.trim().is_empty() && (after.is_empty() || after.starts_with("//")) {
            let start = attached(self.source, lines.start);
            self.changes.push((start..lines.end, None));
        } else {
            let comma = self.source[range.end..].starts_with(',');
            self.replace(range.start..range.end + usize::from(comma), String::new());
        }
    }

    /// Takes out the whole line at `at`.
    pub(super) fn remove_line(&mut self, at: usize) {
        let range = self.lines(&(at..at));
        self.changes.push((range, None));
    }

    /// Whether a removal covers the byte at `at`.
    pub(super) fn removes(&self, at: usize) -> bool {
        self.changes.iter().any(|(range, text)| text.is_none() && range.contains(&at))
    }

    /// The white space in front of the first line of `range`.
    pub(super) fn indent(&self, range: &Range<usize>) -> &'a str {
        let line = &self.source[self.lines(range).start..];
        &line[..line.len() - line.trim_start_matches([' ', '\t']).len()]
    }

    /// The whole lines that `range` touches, with the last line's end.
    fn lines(&self, range: &Range<usize>) -> Range<usize> {
        let start = self.source[..range.start].rfind('\n').map_or(0, |end| end + 1);
        let end =
            self.source[range.end..].find('\n').map_or(self.source.len(), |n| range.end + n + 1);
        start..end
    }

    /// The changed text.
    ///
    /// An edit inside a removed range is without effect. Where something was removed, the blank lines
    /// around the gap close up to what was on one side of it, and to nothing at the beginning and the
    /// end of a block or of the file.
    pub(super) fn apply(mut self) -> String {
        self.changes.sort_by_key(|(range, _)| (range.start, std::cmp::Reverse(range.end)));
        let mut out = String::with_capacity(self.source.len());
        let mut at = 0;
        let mut gap = None;
        for (range, text) in &self.changes {
            if range.start < at {
                continue;
            }
            push(&mut out, &self.source[at..range.start], &mut gap);
            at = range.end;
            match text {
                Some(text) => push(&mut out, text, &mut gap),
                None => gap = gap.or(Some("")),
            }
        }
        push(&mut out, &self.source[at..], &mut gap);
        if gap.is_some() {
            truncate_blank_lines(&mut out);
        }
        out
    }
}

/// Appends `text`, closing up the gap before it, if there is one: `gap` has a blank line that was met
/// in it.
fn push<'t>(out: &mut String, text: &'t str, gap: &mut Option<&'t str>) {
    let Some(blank) = *gap else {
        out.push_str(text);
        return;
    };
    let rest = skip_blank_lines(text);
    let first = text[..text.len() - rest.len()].split_inclusive('\n').next();
    if rest.is_empty() {
        *gap = first.or(Some(blank));
        return;
    }
    *gap = None;
    let opens = out.trim_end().ends_with('{') || out.trim_end().is_empty();
    let blank_above = out.ends_with("\n\n") || out.ends_with("\n\r\n");
    if rest.trim_start().starts_with('}') {
        truncate_blank_lines(out);
        out.push_str(rest);
    } else if opens || blank_above {
        out.push_str(rest);
    } else {
        out.push_str(if first.is_some() { "" } else { blank });
        out.push_str(text);
    }
}

fn skip_blank_lines(mut text: &str) -> &str {
    while let Some((line, rest)) = text.split_once('\n')
        && line.trim().is_empty()
    {
        text = rest;
    }
    text
}

fn truncate_blank_lines(out: &mut String) {
    while let Some(line) =
        out.strip_suffix('\n').map(|text| text.strip_suffix('\r').unwrap_or(text))
        && line.ends_with('\n')
    {
        out.truncate(line.len());
    }
}

/// The start of the comment lines right above the line that starts at `line`.
pub(super) fn attached(source: &str, line: usize) -> usize {
    let mut start = line;
    while start > 0 {
        let above = source[..start - 1].rfind('\n').map_or(0, |end| end + 1);
        let text = source[above..start].trim_start();
        if !text.starts_with("//") || text.starts_with("//!") {
            break;
        }
        start = above;
    }
    start
}
