//! `cargo grade watch`: grades what is saved and shows one open criterion.
//!
//! One thread reads the keyboard, one the file system, one grades; this one owns the state, and draws.

mod files;
mod terminal;

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use grader::build::{Options, Part};
use grader::catalog::{LEVELS, Level};
use grader::grade::{Progress, grade, grade_with_scenes};
use grader::lesson;
use grader::progress;
use grader::report::Report;
use grader::seed::Seed;
use grader::select::{Entry, all, select};
use grader::supervise::{Limits, Verdict};
use grader::watch::{Effect, Event, Key, State};

use super::{Arguments, Exit, Failure};
use terminal::{Input, Terminal};

/// The messages of the threads.
#[derive(Debug)]
enum Message {
    Event(Event),
    /// The terminal has another size: draw again.
    Draw,
    /// The program was stopped and goes on.
    Resumed,
    /// The keyboard is gone: a closed terminal.
    Closed,
}

pub(super) fn run(
    arguments: &Arguments,
    names: &[String],
    plain: bool,
    poll: bool,
) -> Result<Exit, Failure> {
    let root = super::root(arguments)?;
    let (levels, exercises) = watched(arguments, names)?;
    let (send, receive) = channel();
    let folders = levels.iter().map(|level| root.join(level.name).join("src")).collect::<Vec<_>>();
    let _watcher = files::watch(&root, &folders, poll, send.clone())?;
    let grader = Grader::start(root.clone(), send.clone());
    let mut terminal = if plain || !std::io::stdout().is_terminal() || is_dumb() {
        Terminal::plain()
    } else {
        Terminal::full()?
    };
    terminal.read_keys(send);
    let mut state = State::new(levels).within(&exercises);
    let effects = state.start();
    let done = Loop { root: &root, grader: &grader, terminal: &mut terminal }
        .run(&mut state, effects, &receive);
    drop(terminal);
    done?;
    let score = state.score();
    // The terminal may have been closed.
    let _ = writeln!(
        std::io::stdout(),
        "{} of {} points, {} of {} bonus points",
        score.core,
        score.core_of,
        score.bonus,
        score.bonus_of
    );
    Ok(Exit::Success)
}

/// A terminal that cannot move its cursor.
fn is_dumb() -> bool {
    std::env::var_os("TERM").is_none_or(|term| term == "dumb" || term.is_empty())
}

/// The levels that are named, or those that the learner has started; and the exercises, where only exercises and
/// criteria of them are named.
fn watched(
    arguments: &Arguments,
    names: &[String],
) -> Result<(Vec<&'static Level>, Vec<String>), Failure> {
    let started = super::started(arguments);
    let mut exercises = Vec::new();
    let wanted: Vec<&Level> = if names.is_empty() {
        LEVELS.iter().copied().filter(|level| started.contains(level.name)).collect()
    } else {
        let full = super::full_names(arguments, names)?;
        let entries = select(&full)?;
        if full.iter().all(|name| name.contains('/')) {
            let name = |entry: &Entry| format!("{}/{}", entry.level.name, entry.exercise.name);
            exercises = entries.iter().map(name).collect();
            exercises.dedup();
        }
        let named = |level: &&Level| entries.iter().any(|entry| entry.level.name == level.name);
        LEVELS.iter().copied().filter(named).collect()
    };
    if wanted.is_empty() {
        return Err(
            "no level is started: `cargo grade start level1` makes the blank of the first one, \
                    `cargo grade watch level1` watches a level as it is"
                .into(),
        );
    }
    Ok((wanted, exercises))
}

struct Loop<'a> {
    root: &'a Path,
    grader: &'a Grader,
    terminal: &'a mut Terminal,
}

impl Loop<'_> {
    fn run(
        &mut self,
        state: &mut State,
        effects: Vec<Effect>,
        messages: &Receiver<Message>,
    ) -> Result<(), Failure> {
        let mut open = effects;
        loop {
            while let Some(effect) = open.pop() {
                if effect == Effect::Quit {
                    return Ok(());
                }
                if let Some(event) = self.perform(effect) {
                    open.extend(state.on(event));
                }
            }
            self.terminal.show(state)?;
            let Ok(message) = messages.recv() else { return Ok(()) };
            match message {
                Message::Event(event) => {
                    if let Event::Graded(report) = &event {
                        // What cannot be remembered is no reason to show nothing.
                        let _ = progress::graded(self.root, report, None);
                    }
                    open = state.on(event);
                }
                Message::Draw => {}
                Message::Resumed => self.terminal.enter()?,
                Message::Closed => return Ok(()),
            }
        }
    }

    fn perform(&self, effect: Effect) -> Option<Event> {
        let page = |title: String, text: Result<String, String>| {
            Some(Event::Page { title, text: text.unwrap_or_else(|why| why) })
        };
        match effect {
            Effect::Quit => None,
            Effect::Grade(names) => {
                self.grader.ask(Job { names, page: false });
                None
            }
            Effect::Report(names) => {
                self.grader.ask(Job { names, page: true });
                None
            }
            // What cannot be remembered is no reason to stop.
            Effect::Showing(id) => {
                let _ = progress::showing(self.root, id);
                let entry = entry(id)?;
                let place = lesson::place(entry.exercise, entry.criterion);
                Some(Event::Place { id: entry.criterion.id, place })
            }
            Effect::Show(id) => {
                let mut text = String::new();
                super::read::criterion(&mut text, &entry(id)?).ok()?;
                page("What the criterion demands".to_owned(), Ok(text))
            }
            Effect::Lesson(id) => {
                let entry = entry(id)?;
                Some(match lesson::read(self.root, entry.level, Some(entry.exercise)) {
                    Ok((_, markdown)) => Event::Lesson(markdown),
                    Err(why) => Event::Page { title: "Lesson".to_owned(), text: why.to_string() },
                })
            }
            Effect::Solution(file) => {
                let files = grader::starter::solution(self.root, file);
                let text = files.map_err(|why| why.to_string()).map(|files| {
                    files.into_iter().fold(String::new(), |mut text, (path, source)| {
                        // Writing into a string does not fail.
                        let _ = writeln!(text, "// ---- {}\n{source}", path.display());
                        text
                    })
                });
                page(format!("The reference of {file}"), text)
            }
        }
    }
}

/// The criterion with this id.
fn entry(id: &str) -> Option<Entry> {
    all().find(|entry| entry.criterion.id == id)
}

/// A run.
struct Job {
    names: Vec<String>,
    /// Whether its result is written as a page and opened.
    page: bool,
}

/// The thread that grades, one run after the other.
struct Grader(Sender<Job>);

impl Grader {
    fn start(root: PathBuf, send: Sender<Message>) -> Self {
        let (ask, asked) = channel::<Job>();
        thread::spawn(move || {
            for job in asked {
                let events = match run_once(&root, &job, &send) {
                    Ok(events) => events,
                    Err(why) => vec![Event::CouldNotGrade(why.to_string())],
                };
                for event in events {
                    if send.send(Message::Event(event)).is_err() {
                        return;
                    }
                }
            }
        });
        Grader(ask)
    }

    fn ask(&self, job: Job) {
        // The thread lives as long as this does.
        let _ = self.0.send(job);
    }
}

fn run_once(root: &Path, job: &Job, send: &Sender<Message>) -> Result<Vec<Event>, Failure> {
    let entries = select(&job.names)?;
    let options = Options { color: !job.page, ..Options::default() };
    let seed = Seed::of_this_run()?;
    let told = Told(send.clone());
    let grade = if job.page { grade_with_scenes } else { grade };
    let mut report = grade(root, &entries, &options, &Limits::default(), seed, &told)?;
    progress::name_unfinished(root, &mut report);
    let page = job.page.then(|| Event::Reported(page(root, &report)));
    let mut events = vec![Event::Graded(Box::new(report))];
    events.extend(page);
    Ok(events)
}

/// Writes the page and opens it; where it is, or why there is none.
fn page(root: &Path, report: &Report) -> String {
    let path = match super::report::write(root, report) {
        Ok(path) => path,
        Err(why) => return why.to_string(),
    };
    match super::report::show(&path) {
        Ok(()) => format!("the page is {}", path.display()),
        Err(why) => format!("the page is {}; no browser was opened: {why}", path.display()),
    }
}

/// Tells the state how far a run is.
struct Told(Sender<Message>);

impl Told {
    fn tell(&self, text: String) {
        let _ = self.0.send(Message::Event(Event::Progress(text)));
    }
}

impl Progress for Told {
    fn building(&self, parts: &[Part]) {
        let names: Vec<String> = parts.iter().map(Part::to_string).collect();
        self.tell(format!("building {}", names.join(", ")));
    }

    fn judging(&self, criteria: usize) {
        let plural = if criteria == 1 { "criterion" } else { "criteria" };
        self.tell(format!("judging {criteria} {plural}"));
    }

    fn judged(&self, _entry: &Entry, _verdict: &Verdict) {}
}

/// The keys, by the letters that the last line of the screen shows.
fn key(input: Input) -> Option<Key> {
    Some(match input {
        Input::Char('h') => Key::Hint,
        Input::Char('l') => Key::Lesson,
        Input::Char('w') => Key::Show,
        Input::Char('a') => Key::All,
        Input::Char('s') => Key::Solution,
        Input::Char('o') => Key::Page,
        Input::Char('n') => Key::Skip,
        Input::Char('r') => Key::Run,
        Input::Char('y') => Key::Yes,
        Input::Char('q') | Input::Interrupt => Key::Quit,
        Input::Char('k') | Input::Up => Key::Up,
        Input::Char('j') | Input::Down => Key::Down,
        Input::PageUp => Key::PageUp,
        Input::Char(' ') | Input::PageDown => Key::PageDown,
        Input::Escape => Key::Back,
        Input::Char(_) => return None,
    })
}
