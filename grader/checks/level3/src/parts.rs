//! What the criteria of the parts have in common.

use std::cell::{Cell, RefCell};
use std::hint::spin_loop;
use std::num::{NonZeroU32, NonZeroUsize};

use grader_kit::Cx;
use tokio::time::Instant;

/// `count` as the interfaces take it. 0 becomes 1; no criterion asks for 0.
pub const fn nz(count: u32) -> NonZeroU32 {
    match NonZeroU32::new(count) {
        Some(count) => count,
        None => NonZeroU32::MIN,
    }
}

/// `count` as the interfaces take it. 0 becomes 1; no criterion asks for 0.
pub const fn nzu(count: usize) -> NonZeroUsize {
    match NonZeroUsize::new(count) {
        Some(count) => count,
        None => NonZeroUsize::MIN,
    }
}

/// Counts calls and notes when they came.
pub struct Calls {
    cx: Cx,
    who: &'static str,
    began: Instant,
    at: RefCell<Vec<u64>>,
}

impl Calls {
    pub fn new(cx: &Cx, who: &'static str) -> Self {
        Self { cx: cx.clone(), who, began: Instant::now(), at: RefCell::default() }
    }

    /// A call comes. Its number; the first is 1.
    pub fn note(&self) -> u64 {
        self.at.borrow_mut().push(self.began.elapsed().as_millis() as u64);
        let number = self.count();
        self.cx.timeline().record(self.who, format!("call {number}"));
        number
    }

    pub fn count(&self) -> u64 {
        self.at.borrow().len() as u64
    }

    /// When they came, in milliseconds.
    pub fn at(&self) -> Vec<u64> {
        self.at.borrow().clone()
    }
}

/// Notes when it is dropped.
pub struct OnDrop<'a>(pub &'a Cell<bool>);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

/// Formats `shown`, and calls `meanwhile` with each piece of the text, as a log does that looks at what it writes about.
pub fn formatted(shown: &impl std::fmt::Debug, meanwhile: impl FnMut()) -> String {
    struct Log<F> {
        text: String,
        meanwhile: F,
    }
    impl<F: FnMut()> std::fmt::Write for Log<F> {
        fn write_str(&mut self, piece: &str) -> std::fmt::Result {
            (self.meanwhile)();
            self.text.push_str(piece);
            Ok(())
        }
    }
    let mut log = Log { text: String::new(), meanwhile };
    // Pieces are never refused, so only the judged code's own error could be lost here.
    let _ = std::fmt::write(&mut log, format_args!("{shown:?}"));
    log.text
}

/// Stays where it is for a microsecond or two, on the core: threads meet there. It is no sleep and no
/// yield, since a thread that gives its core away on a busy machine seems to be stuck.
pub fn linger() {
    for _ in 0..100 {
        spin_loop();
    }
}

/// Panics as a bug of the caller's code would, without a report: the grader shows no panic of its own.
pub fn bug(text: &str) -> ! {
    std::panic::resume_unwind(Box::new(text.to_owned()))
}

/// What a panic carries: a text that was formatted, a text of the source, or a value that is no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload {
    Formatted(u64),
    Literal,
    Value(u64),
}

const LITERAL: &str = "a bug";

impl Payload {
    /// One of each kind.
    pub const fn all(number: u64) -> [Self; 3] {
        [Self::Formatted(number), Self::Literal, Self::Value(number)]
    }

    /// Panics with this payload, without a report.
    pub fn throw(self) -> ! {
        std::panic::resume_unwind(match self {
            Self::Formatted(number) => Box::new(format!("bug {number}")),
            Self::Literal => Box::new(LITERAL),
            Self::Value(_) => Box::new(self),
        })
    }

    /// Whether a panic that was caught carries this payload.
    pub fn is_in(self, panic: &(dyn std::any::Any + Send)) -> bool {
        match self {
            Self::Formatted(number) => {
                panic.downcast_ref::<String>().is_some_and(|text| *text == format!("bug {number}"))
            }
            Self::Literal => panic.downcast_ref::<&str>().is_some_and(|text| *text == LITERAL),
            Self::Value(_) => panic.downcast_ref::<Self>() == Some(&self),
        }
    }

    /// As messages call it.
    pub fn name(self) -> String {
        match self {
            Self::Formatted(number) => format!("the text \"bug {number}\""),
            Self::Literal => format!("the text {LITERAL:?}"),
            Self::Value(_) => "a value that is no text (panic_any)".to_owned(),
        }
    }
}

/// What the caller of a call that should panic gets, as messages say it.
pub fn caught_as<T>(caught: &std::thread::Result<T>) -> String {
    match caught {
        Ok(_) => "no panic".to_owned(),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            match text.or_else(|| panic.downcast_ref::<&str>().copied()) {
                Some(text) => format!("a panic that says {text:?}"),
                None => "a panic that carries another value".to_owned(),
            }
        }
    }
}
