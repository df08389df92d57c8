//! Operations that panic.

use std::any::Any;

/// What a panic carries: `panic!("a bug")` carries a literal, `panic!("row {n}")` a `String`.
#[derive(Debug, Clone)]
pub enum Payload {
    Literal(&'static str),
    Text(String),
    /// Something that is not a text.
    Number(u32),
}

impl Payload {
    /// One of each kind, with `word` in the text of one. That text has several lines and is long, as that of a
    /// failed `assert_eq!` of two long values.
    pub fn all(word: &str) -> [Self; 3] {
        let rows = format!("row {word} ").repeat(12);
        let text = format!("the rows differ\n  left: {rows}\n right: none\n");
        [Self::Literal("no luck"), Self::Text(text), Self::Number(7)]
    }

    /// The text that a report on the panic has.
    pub fn text(&self) -> &str {
        match self {
            Self::Literal(text) => text,
            Self::Text(text) => text,
            Self::Number(_) => "no message",
        }
    }

    /// The text of a panic that the judged code has let through, which may be another one.
    pub fn text_of(panic: &(dyn Any + Send)) -> &str {
        let text = panic.downcast_ref::<&str>().copied();
        text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
    }

    /// Panics with it as a bug of the caller's code would, without a report: the grader shows no panic of
    /// its own.
    pub fn throw(self) -> ! {
        std::panic::resume_unwind(match self {
            Self::Literal(text) => Box::new(text),
            Self::Text(text) => Box::new(text),
            Self::Number(number) => Box::new(number),
        })
    }

    /// Whether a panic that the judged code has let through is this one.
    pub fn is(&self, panic: &(dyn Any + Send)) -> bool {
        match self {
            Self::Literal(text) => panic.downcast_ref::<&str>() == Some(text),
            Self::Text(text) => panic.downcast_ref::<String>() == Some(text),
            Self::Number(number) => panic.downcast_ref::<u32>() == Some(number),
        }
    }
}
