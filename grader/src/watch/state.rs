//! The state machine.
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::saved::touched;
use crate::catalog::{Exercise, Kind, Level, module_of};
use crate::report::after::{Won, congratulation};
use crate::report::explain;
use crate::report::{Report, Score, Status};
use crate::select::{Entry, all};

/// A key, by what it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// The next hint.
    Hint,
    /// The lesson of the exercise.
    Lesson,
    /// What the criterion demands, with its clauses.
    Show,
    /// All results.
    All,
    /// The reference solution of the module.
    Solution,
    /// The page of all results, in the browser.
    Page,
    /// Another open criterion.
    Skip,
    /// Grade now.
    Run,
    /// One line up.
    Up,
    /// One line down.
    Down,
    /// One screen up.
    PageUp,
    /// One screen down.
    PageDown,
    /// Agrees to a question.
    Yes,
    /// Back to the criterion.
    Back,
    /// End.
    Quit,
}

/// Something that has happened.
#[derive(Debug)]
pub enum Event {
    /// A key was pressed.
    Key(Key),
    /// Files were saved; the paths are relative to the workspace.
    Saved(Vec<PathBuf>),
    /// The run that is under way has got so far.
    Progress(String),
    /// A run is complete.
    Graded(Box<Report>),
    /// A run could not be made: why.
    CouldNotGrade(String),
    /// A text that an [`Effect`] has asked for.
    Page {
        /// The title of the page.
        title: String,
        /// The text; it may hold ANSI styles.
        text: String,
    },
    /// The lesson that an [`Effect`] has asked for, as Markdown.
    Lesson(String),
    /// The step of the lesson that wins the criterion; `None` if the lesson names none.
    Place {
        /// The criterion.
        id: &'static str,
        /// The step of the lesson.
        place: Option<String>,
    },
    /// Where the page is that an [`Effect`] has asked for, or why there is none.
    Reported(String),
}

/// Something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Grade what is named. Never asked for while a run is under way.
    Grade(Vec<String>),
    /// Grade what is named, write the page of the results, and open it. Never asked for while a run is under
    /// way.
    Report(Vec<String>),
    /// Read the lesson of a criterion's exercise.
    Lesson(&'static str),
    /// Read what a criterion demands.
    Show(&'static str),
    /// Read the reference of a file, named relative to the workspace.
    Solution(&'static str),
    /// Remember that this criterion is the one on the screen, and find its step in the lesson.
    Showing(&'static str),
    /// End.
    Quit,
}

/// How a criterion stood when it was last judged.
#[derive(Debug, Clone)]
pub(super) struct Mark {
    pub(super) status: Status,
    /// What the learner is told, with ANSI styles.
    pub(super) told: String,
    /// The `todo!()` that it met: its function, file and line.
    reached: Option<String>,
}

/// The content of the screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum View {
    /// The criterion to work on.
    Criterion,
    /// Every criterion with its state.
    All,
    /// A text.
    Page { title: String, text: String },
    /// A text in Markdown.
    Lesson(String),
    /// Whether to show the reference.
    MayShowSolution,
}

/// The state of `cargo grade watch`.
#[derive(Debug)]
pub struct State {
    pub(super) levels: Vec<&'static Level>,
    /// The exercises that were named, by level and name; all of the levels if there is none.
    pub(super) named: Vec<(&'static str, &'static str)>,
    pub(super) marks: BTreeMap<&'static str, Mark>,
    /// The level that does not compile, and rustc's words.
    pub(super) broken: Option<(&'static str, String)>,
    pub(super) current: Option<Entry>,
    pub(super) hints: usize,
    /// Where the lesson comes to the current criterion.
    pub(super) place: Option<String>,
    pub(super) view: View,
    pub(super) scroll: usize,
    /// What the run under way is about.
    pub(super) running: Option<String>,
    /// What was just reached, or why there is no verdict.
    pub(super) said: Option<String>,
    waiting: BTreeSet<String>,
    skipped: BTreeSet<&'static str>,
    /// The exercise that was saved last.
    focus: Option<&'static str>,
}

impl State {
    /// Watches `levels`, of which nothing is known yet.
    #[must_use]
    pub fn new(levels: Vec<&'static Level>) -> Self {
        State {
            levels,
            named: Vec::new(),
            marks: BTreeMap::new(),
            broken: None,
            current: None,
            hints: 0,
            place: None,
            view: View::Criterion,
            scroll: 0,
            running: None,
            said: None,
            waiting: BTreeSet::new(),
            skipped: BTreeSet::new(),
            focus: None,
        }
    }

    /// Watches these exercises of its levels only, each as `level2/race`.
    #[must_use]
    pub fn within(mut self, names: &[String]) -> Self {
        let pairs = self
            .levels
            .iter()
            .flat_map(|level| level.exercises.iter().map(|exercise| (level.name, exercise.name)));
        let is_named = |(level, exercise): &(&str, &str)| {
            names.iter().any(|name| *name == format!("{level}/{exercise}"))
        };
        self.named = pairs.filter(is_named).collect();
        self
    }

    /// The first thing to do: grade everything.
    pub fn start(&mut self) -> Vec<Effect> {
        let names = self.names();
        self.grade(names)
    }

    /// All that is watched.
    pub(super) fn names(&self) -> BTreeSet<String> {
        if self.named.is_empty() {
            self.levels.iter().map(|level| level.name.to_owned()).collect()
        } else {
            self.named.iter().map(|(level, exercise)| format!("{level}/{exercise}")).collect()
        }
    }

    fn watches(&self, level: &str, exercise: &str) -> bool {
        self.named.is_empty() || self.named.contains(&(level, exercise))
    }

    /// What an event changes, and what is to be done about it.
    pub fn on(&mut self, event: Event) -> Vec<Effect> {
        match event {
            Event::Key(key) => self.key(key),
            Event::Saved(files) => {
                let mut names = touched(files.iter().map(PathBuf::as_path), &self.levels).names;
                let is_watched = |name: &String| {
                    name.split_once('/').is_some_and(|(level, it)| self.watches(level, it))
                };
                // What was named may use the file that was saved.
                if !names.is_empty() && !self.named.is_empty() && !names.iter().all(is_watched) {
                    names = self.names();
                }
                if !names.is_empty() {
                    // The learner waits for a verdict.
                    self.open(View::Criterion);
                }
                if let Some(exercise) = names.iter().find_map(|name| name.split_once('/')) {
                    let named = self.exercises().map(|it| it.name).find(|it| *it == exercise.1);
                    self.focus = named;
                    self.skipped.clear();
                }
                self.grade(names)
            }
            Event::Progress(text) => {
                if self.running.is_some() {
                    self.running = Some(text);
                }
                Vec::new()
            }
            Event::Graded(report) => self.graded(&report),
            Event::CouldNotGrade(why) => {
                self.said = Some(why);
                self.run_ended()
            }
            Event::Reported(text) => {
                self.said = Some(text);
                Vec::new()
            }
            Event::Place { id, place } => {
                if self.current.is_some_and(|entry| entry.criterion.id == id) {
                    self.place = place;
                }
                Vec::new()
            }
            Event::Lesson(markdown) => {
                self.open(View::Lesson(markdown));
                Vec::new()
            }
            Event::Page { title, text } => {
                self.open(View::Page { title, text });
                Vec::new()
            }
        }
    }

    fn grade(&mut self, names: BTreeSet<String>) -> Vec<Effect> {
        self.waiting.extend(names);
        if self.running.is_some() || self.waiting.is_empty() {
            return Vec::new();
        }
        let waiting = std::mem::take(&mut self.waiting);
        // A level that is graded as a whole covers its exercises.
        let covered =
            |name: &String| name.split_once('/').is_some_and(|(level, _)| waiting.contains(level));
        let names: Vec<String> = waiting.iter().filter(|name| !covered(name)).cloned().collect();
        self.running = Some(format!("building {}", names.join(", ")));
        vec![Effect::Grade(names)]
    }

    fn run_ended(&mut self) -> Vec<Effect> {
        self.running = None;
        self.grade(BTreeSet::new())
    }

    fn graded(&mut self, report: &Report) -> Vec<Effect> {
        let before = self.current;
        let done_before: Vec<&str> =
            self.exercises().filter(|e| self.is_done(e)).map(|e| e.name).collect();
        let levels_before = (self.levels_won(Won::Core), self.done_levels());
        let was_open = before.is_some_and(|entry| !self.passed(entry.criterion.id));
        self.said = None;
        let broken = report.levels.iter().find(|level| level.broken.is_some());
        self.broken =
            broken.and_then(|level| Some((level.name, level.broken.as_ref()?.errors.clone())));
        if self.broken.is_none() {
            for level in &report.levels {
                for criterion in level.exercises.iter().flat_map(|it| &it.criteria) {
                    let mut told = String::new();
                    // Writing into a string does not fail.
                    let _ = explain::criterion(&mut told, level.name, criterion, "");
                    let (status, reached) = (criterion.status, explain::placeholder(criterion));
                    self.marks.insert(criterion.id, Mark { status, told, reached });
                }
            }
            self.said = self.reached(before, was_open, &done_before, &levels_before);
            let waited = self.waited_for(&done_before);
            self.waiting.extend(waited);
        }
        let mut effects = self.choose();
        effects.extend(self.run_ended());
        effects
    }

    /// What the run has brought, the largest thing first.
    fn reached(
        &self,
        before: Option<Entry>,
        was_open: bool,
        exercises: &[&str],
        levels: &(Vec<&str>, Vec<&str>),
    ) -> Option<String> {
        let (core, all) = (self.levels_won(Won::Core), self.done_levels());
        if let Some(level) = all.iter().find(|level| !levels.1.contains(level)) {
            return Some(congratulation(level, Won::All));
        }
        if let Some(level) =
            core.iter().find(|level| !levels.0.contains(level) && !all.contains(level))
        {
            return Some(congratulation(level, Won::Core));
        }
        let done = self.exercises().filter(|exercise| self.is_done(exercise)).map(|e| e.name);
        if let Some(exercise) = done.into_iter().find(|name| !exercises.contains(name)) {
            return before.map(|_| format!("{exercise} has full marks; `s` shows the reference"));
        }
        let entry = before?;
        let met = was_open && self.passed(entry.criterion.id);
        met.then(|| format!("met: {}", entry.criterion.id))
    }

    /// The exercises that met a `todo!()` of an exercise that is complete now, and was not `before`.
    fn waited_for(&self, before: &[&str]) -> BTreeSet<String> {
        let done =
            |exercise: &&Exercise| self.is_done(exercise) && !before.contains(&exercise.name);
        let modules: Vec<String> = self
            .exercises()
            .filter(done)
            .filter_map(|it| {
                Some(format!("{}src/{}", it.file.split("src/").next()?, module_of(it.file)))
            })
            .collect();
        let waits = |entry: &Entry| {
            let reached = self.marks.get(entry.criterion.id).and_then(|it| it.reached.as_deref());
            let met = |module: &String| reached.is_some_and(|reached| reached.contains(module));
            modules.iter().any(met)
        };
        let name = |entry: Entry| format!("{}/{}", entry.level.name, entry.exercise.name);
        self.entries().filter(waits).map(name).collect()
    }

    /// Picks the criterion to work on, and says so if it is another one.
    fn choose(&mut self) -> Vec<Effect> {
        let next = self.first_open();
        let same = next.map(|it| it.criterion.id) == self.current.map(|it| it.criterion.id);
        if !same {
            self.hints = 0;
            self.scroll = 0;
            self.place = None;
        }
        self.current = next;
        next.filter(|_| !same).map(|it| Effect::Showing(it.criterion.id)).into_iter().collect()
    }

    /// Core before bonus, what can be met now before what waits for another exercise, and the exercise that was
    /// saved last before the others.
    fn first_open(&self) -> Option<Entry> {
        let open: Vec<Entry> = self
            .entries()
            .filter(|entry| self.marks.contains_key(entry.criterion.id))
            .filter(|entry| !self.passed(entry.criterion.id))
            .collect();
        let mut ranked: Vec<Entry> =
            open.iter().filter(|e| !self.skipped.contains(e.criterion.id)).copied().collect();
        if ranked.is_empty() {
            ranked = open;
        }
        // A stable sort: the order of the course decides between equals.
        ranked.sort_by_key(|entry| {
            let bonus = entry.criterion.kind == Kind::Bonus;
            (bonus, self.waits(entry), Some(entry.exercise.name) != self.focus)
        });
        ranked.first().copied()
    }

    /// Whether the exercise is begun and the criterion still meets a `todo!()`: that of another exercise.
    fn waits(&self, entry: &Entry) -> bool {
        let status = self.marks.get(entry.criterion.id).map(|mark| mark.status);
        let begun = entry.exercise.criteria.iter().any(|criterion| self.passed(criterion.id));
        status == Some(Status::NotStarted) && begun
    }

    fn key(&mut self, key: Key) -> Vec<Effect> {
        match key {
            Key::Quit => return vec![Effect::Quit],
            Key::Run => {
                let names = self.names();
                return self.grade(names);
            }
            Key::Page if self.running.is_some() => {
                self.said =
                    Some("a run is under way: press `o` again when it has ended".to_owned());
            }
            Key::Page => {
                self.running = Some("grading for the page".to_owned());
                return vec![Effect::Report(self.names().into_iter().collect())];
            }
            Key::Yes if self.view == View::MayShowSolution => {
                self.view = View::Criterion;
                return self.solved_file().map(Effect::Solution).into_iter().collect();
            }
            Key::Yes => {}
            Key::Back => self.open(View::Criterion),
            Key::Up => self.scroll = self.scroll.saturating_sub(1),
            Key::Down => self.scroll += 1,
            Key::PageUp => self.scroll = self.scroll.saturating_sub(10),
            Key::PageDown => self.scroll += 10,
            Key::All if self.view == View::All => self.open(View::Criterion),
            Key::All => self.open(View::All),
            Key::Hint => {
                let most = self.current.map_or(0, |entry| entry.criterion.hints.len());
                self.hints = (self.hints + 1).min(most);
                self.open(View::Criterion);
            }
            Key::Show => {
                let current = self.current.map(|entry| Effect::Show(entry.criterion.id));
                return current.into_iter().collect();
            }
            Key::Lesson => {
                let current = self.current.map(|entry| Effect::Lesson(entry.criterion.id));
                return current.into_iter().collect();
            }
            Key::Skip => {
                self.skipped.extend(self.current.map(|entry| entry.criterion.id));
                let open = |id: &&'static str| !self.passed(id);
                if self
                    .entries()
                    .map(|it| it.criterion.id)
                    .filter(open)
                    .all(|id| self.skipped.contains(id))
                {
                    self.skipped.clear();
                }
                self.open(View::Criterion);
                return self.choose();
            }
            Key::Solution if self.solved_file().is_some() => self.open(View::MayShowSolution),
            Key::Solution => {
                self.said =
                    Some("the reference is shown when an exercise has full marks".to_owned());
            }
        }
        Vec::new()
    }

    fn open(&mut self, view: View) {
        self.view = view;
        self.scroll = 0;
    }

    /// The file of the exercise that was saved last or, where that is not complete, of the first complete one.
    pub(super) fn solved_file(&self) -> Option<&'static str> {
        let mut done: Vec<&Exercise> = self.exercises().filter(|e| self.is_done(e)).collect();
        done.sort_by_key(|exercise| Some(exercise.name) != self.focus);
        done.first().map(|exercise| exercise.file)
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = Entry> + '_ {
        all()
            .filter(|entry| self.levels.iter().any(|level| level.name == entry.level.name))
            .filter(|entry| self.watches(entry.level.name, entry.exercise.name))
    }

    fn exercises(&self) -> impl Iterator<Item = &'static Exercise> + '_ {
        self.levels.iter().flat_map(move |level| {
            level.exercises.iter().filter(move |it| self.watches(level.name, it.name))
        })
    }

    pub(super) fn passed(&self, id: &str) -> bool {
        self.marks.get(id).is_some_and(|mark| mark.status == Status::Passed)
    }

    fn is_done(&self, exercise: &Exercise) -> bool {
        exercise.criteria.iter().all(|criterion| self.passed(criterion.id))
    }

    /// The levels of which all is met.
    pub(super) fn done_levels(&self) -> Vec<&'static str> {
        self.levels_won(Won::All)
    }

    /// The levels of which so much is met.
    fn levels_won(&self, won: Won) -> Vec<&'static str> {
        let counts = |kind: Kind| won == Won::All || kind == Kind::Core;
        let is_won = |level: &&&'static Level| {
            let criteria = level.exercises.iter().flat_map(|exercise| exercise.criteria);
            criteria.filter(|it| counts(it.kind)).all(|it| self.passed(it.id))
        };
        self.levels.iter().filter(is_won).map(|level| level.name).collect()
    }

    /// The points of all levels that are watched.
    #[must_use]
    pub fn score(&self) -> Score {
        self.entries().fold(Score::default(), |mut score, entry| {
            let status = self.marks.get(entry.criterion.id).map(|mark| mark.status);
            score.add(entry.criterion, status.unwrap_or(Status::NotStarted));
            score
        })
    }
}
