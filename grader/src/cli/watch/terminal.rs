//! The terminal: drawn on, or written to line by line.
use std::io::{self, BufRead as _, Write as _};
use std::sync::mpsc::Sender;
use std::thread;

use crossterm::event::{self, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use crossterm::terminal::{
    BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate, EnterAlternateScreen,
    LeaveAlternateScreen, disable_raw_mode, enable_raw_mode, size,
};
use crossterm::{cursor, execute, queue};
use grader::watch::{Event, Size, State, draw, plain};

use super::{Message, key};

/// A key as the keyboard names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Input {
    Char(char),
    Up,
    Down,
    PageUp,
    PageDown,
    Escape,
    /// Ctrl-C or Ctrl-D.
    Interrupt,
}

/// Restores what it has changed when it is dropped, when the program panics and when a signal ends it.
#[derive(Debug)]
pub(super) struct Terminal {
    full: bool,
    /// What a plain terminal has shown last: the same text is not repeated.
    shown: String,
}

impl Terminal {
    /// One that is written to line by line; keys are lines with one letter.
    pub(super) fn plain() -> Self {
        Terminal { full: false, shown: String::new() }
    }

    /// One that is drawn on.
    pub(super) fn full() -> io::Result<Self> {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            restore();
            before(info);
        }));
        grader::interrupt::before_exit(restore);
        let terminal = Terminal { full: true, shown: String::new() };
        terminal.enter()?;
        Ok(terminal)
    }

    /// Takes the screen, at the start and after the program was stopped.
    pub(super) fn enter(&self) -> io::Result<()> {
        if self.full {
            enable_raw_mode()?;
            execute!(io::stdout(), EnterAlternateScreen, cursor::Hide)?;
        }
        Ok(())
    }

    pub(super) fn show(&mut self, state: &State) -> io::Result<()> {
        if !self.full {
            let text = plain(state);
            // How far a run is: the first line alone.
            let parts =
                |text: &str| text.split_once('\n').map(|(a, b)| (a.to_owned(), b.to_owned()));
            let (before, now) = (parts(&self.shown), parts(&text));
            match (before, now) {
                (Some(before), Some(now)) if before.1 == now.1 => {
                    if before.0 != now.0 {
                        anstream::println!("{}", now.0);
                    }
                }
                _ => anstream::println!("{text}"),
            }
            self.shown = text;
            return Ok(());
        }
        let (columns, rows) = size()?;
        let size = Size { columns: columns.into(), rows: rows.into() };
        let mut out = anstream::stdout().lock();
        queue!(out, BeginSynchronizedUpdate)?;
        for (row, line) in (0..rows).zip(draw(state, size)) {
            queue!(out, cursor::MoveTo(0, row))?;
            write!(out, "{line}")?;
            queue!(out, Clear(ClearType::UntilNewLine))?;
        }
        queue!(out, EndSynchronizedUpdate)?;
        out.flush()
    }

    /// Sends what is typed, from a thread of its own.
    pub(super) fn read_keys(&self, send: Sender<Message>) {
        let full = self.full;
        thread::spawn(move || {
            let closed = if full { keys(&send) } else { lines(&send) };
            if closed.is_err() || full {
                let _ = send.send(Message::Closed);
            }
        });
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if self.full {
            restore();
        }
    }
}

/// Gives the terminal back as it was. Nothing can be done where that fails.
fn restore() {
    let _ = execute!(io::stdout(), LeaveAlternateScreen, cursor::Show);
    let _ = disable_raw_mode();
}

/// Keys of a terminal in raw mode, until it is closed.
fn keys(send: &Sender<Message>) -> io::Result<()> {
    loop {
        let message = match event::read()? {
            event::Event::Resize(..) => Message::Draw,
            event::Event::Key(pressed) if pressed.kind != KeyEventKind::Release => {
                if is_stop(pressed) {
                    restore();
                    stop();
                    Message::Resumed
                } else {
                    let Some(key) = input(pressed).and_then(key) else { continue };
                    Message::Event(Event::Key(key))
                }
            }
            _ => continue,
        };
        if send.send(message).is_err() {
            return Ok(());
        }
    }
}

/// Lines with one letter each. The end of the input is no reason to end: nothing may be connected to it.
fn lines(send: &Sender<Message>) -> io::Result<()> {
    for line in io::stdin().lock().lines() {
        let typed = line?.trim().chars().next();
        let Some(key) = typed.map(Input::Char).and_then(key) else { continue };
        if send.send(Message::Event(Event::Key(key))).is_err() {
            break;
        }
    }
    Ok(())
}

fn is_stop(pressed: KeyEvent) -> bool {
    pressed.code == KeyCode::Char('z') && pressed.modifiers.contains(KeyModifiers::CONTROL)
}

fn input(pressed: KeyEvent) -> Option<Input> {
    let control = pressed.modifiers.contains(KeyModifiers::CONTROL);
    Some(match pressed.code {
        KeyCode::Char('c' | 'd') if control => Input::Interrupt,
        KeyCode::Char(_) if control => return None,
        KeyCode::Char(letter) => Input::Char(letter.to_ascii_lowercase()),
        KeyCode::Up => Input::Up,
        KeyCode::Down => Input::Down,
        KeyCode::PageUp => Input::PageUp,
        KeyCode::PageDown => Input::PageDown,
        KeyCode::Esc | KeyCode::Backspace | KeyCode::Left => Input::Escape,
        _ => return None,
    })
}

/// Stops the program as Ctrl-Z does, which a terminal in raw mode leaves to the program. Returns when the
/// shell lets it go on.
#[cfg(unix)]
fn stop() {
    let _ = rustix::process::kill_current_process_group(rustix::process::Signal::TSTP);
}

#[cfg(not(unix))]
fn stop() {}
