//! Texts of the judged code: short enough to send, and without what a terminal obeys.
use crate::{Fail, Message};

/// Bytes of a headline, and of each name in a timeline.
pub(crate) const MOST_IN_A_LINE: usize = 1 << 10;

/// Bytes of any other text.
const MOST_IN_A_TEXT: usize = 8 << 10;

/// Remarks that are kept.
const MOST_NOTES: usize = 20;

impl Message {
    /// Cuts every text to a length that can be sent, and takes control characters out. The parts of a
    /// message that decide are left as they are.
    pub fn tidy(&mut self) {
        self.notes.truncate(MOST_NOTES);
        self.notes.iter_mut().for_each(|note| *note = tidy(note, MOST_IN_A_TEXT));
        if let Some(figure) = &mut self.figure {
            figure.tidy();
        }
        if let Some(fail) = &mut self.fail {
            fail.tidy();
        }
    }
}

impl Fail {
    fn tidy(&mut self) {
        self.headline = tidy(&self.headline, MOST_IN_A_LINE);
        for text in [&mut self.expected, &mut self.observed, &mut self.help].into_iter().flatten() {
            *text = tidy(text, MOST_IN_A_TEXT);
        }
        for panic in &mut self.panics {
            panic.message = tidy(&panic.message, MOST_IN_A_TEXT);
        }
        for event in &mut self.timeline {
            event.who = tidy(&event.who, MOST_IN_A_LINE);
            event.what = tidy(&event.what, MOST_IN_A_LINE);
        }
        if let Some(figure) = &mut self.figure {
            figure.tidy();
        }
    }
}

/// The text without control characters but line breaks and tabs (an escape could draw over what the
/// grader says), and cut to `most` bytes.
#[must_use]
pub fn tidy(text: &str, most: usize) -> String {
    let shown = |c: &char| !c.is_control() || matches!(c, '\n' | '\t');
    if text.len() <= most {
        return text.chars().filter(shown).collect();
    }
    let kept = &text[..text.floor_char_boundary(most)];
    let cut: String = kept.chars().filter(shown).collect();
    format!("{cut} ... ({} bytes in all)", text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_go_and_line_breaks_stay() {
        assert_eq!(tidy("a\u{1b}[31mred\u{1b}[0m\nb\u{7f}\u{9b}c", 100), "a[31mred[0m\nbc");
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let text = "漢".repeat(1000);
        let cut = tidy(&text, 10);
        assert_eq!(cut, "漢漢漢 ... (3000 bytes in all)");
    }
}
