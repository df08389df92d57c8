//! `state_store::Store` against its model.

use futures::FutureExt as _;
use futures::future::{BoxFuture, poll_immediate};
use grader_kit::{Cx, Draw, Outcome, ensure_eq};
use level4::state_store::Store;
use tokio::sync::oneshot;
use tokio::task::yield_now;

const SCRIPTS: usize = 400;
const NAMES: [&str; 2] = ["load", "save"];

#[derive(Debug, Clone, Copy)]
enum Step {
    /// Adds to one of the two counters; zero changes nothing.
    Update(usize, u32),
    /// Makes a run of an operation. It begins with its first poll.
    Make(usize),
    /// Polls a run, by its number.
    Poll(usize),
    Succeed(usize),
    Fail(usize),
    Drop(usize),
    Reset,
    /// Reads the stream of a counter, once.
    Read(usize),
}

/// Steps that name runs name only those that were made, and mostly those that are not over: the others
/// yield nothing new.
fn script(draw: &mut Draw, count: usize) -> Vec<Step> {
    let mut model = Model::default();
    let mut steps = Vec::new();
    for _ in 0..count {
        let open = model.open();
        let made = model.runs.len();
        let run = match open.as_slice() {
            [] => draw.index(made.max(1)),
            _ if draw.chance(10) => draw.index(made),
            open => *draw.pick(open),
        };
        // Two resets in a row: a run from before both belongs to neither.
        let again = matches!(steps.last(), Some(Step::Reset)) && draw.chance(40);
        let step = match draw.below(14) {
            _ if again => Step::Reset,
            0 | 1 => Step::Update(draw.index(2), u32::from(draw.chance(80))),
            4..=6 if made > 0 => Step::Poll(run),
            7 if made > 0 => Step::Succeed(run),
            8 if made > 0 => Step::Fail(run),
            9 if made > 0 => Step::Drop(run),
            10 | 11 => Step::Reset,
            12 | 13 => Step::Read(draw.index(2)),
            _ => Step::Make(draw.index(2)),
        };
        model.step(step);
        steps.push(step);
    }
    steps
}

#[derive(Clone, Copy, PartialEq)]
enum Phase {
    Made,
    /// Since the reset of this number.
    Runs(u32),
    Over,
}

#[derive(Default)]
struct Model {
    state: [u32; 2],
    resets: u32,
    /// Operation, phase, and the result that waits to be polled.
    runs: Vec<(usize, Option<Phase>, Option<bool>)>,
    errors: [Option<usize>; 2],
    read: [Option<u32>; 2],
}

impl Model {
    /// The runs that are not over.
    fn open(&self) -> Vec<usize> {
        let open = |number: &usize| !matches!(self.runs[*number].1, None | Some(Phase::Over));
        (0..self.runs.len()).filter(open).collect()
    }

    fn loading(&self, name: usize) -> bool {
        let runs = Some(Phase::Runs(self.resets));
        self.runs.iter().any(|(operation, phase, _)| *operation == name && *phase == runs)
    }

    fn look(&self) -> String {
        let shown = |name: usize| {
            let error =
                self.errors[name].map_or_else(|| "none".to_owned(), |run| format!("run {run}"));
            format!("{} {} {error}", NAMES[name], self.loading(name))
        };
        format!("{:?}, {}, {}", self.state, shown(0), shown(1))
    }

    fn poll(&mut self, number: usize) -> String {
        let resets = self.resets;
        let (name, phase, result) = self.runs[number];
        let phase = match phase {
            None | Some(Phase::Over) => return "is over".to_owned(),
            Some(Phase::Made) => {
                self.errors[name] = None;
                Phase::Runs(resets)
            }
            Some(phase) => phase,
        };
        let Some(fails) = result else {
            self.runs[number].1 = Some(phase);
            return "waits".to_owned();
        };
        self.runs[number].1 = Some(Phase::Over);
        if fails && phase == Phase::Runs(resets) {
            self.errors[name] = Some(number);
        }
        if fails { format!("run {number}") } else { "fine".to_owned() }
    }

    /// What the step yields, and what the view shows after it.
    fn step(&mut self, step: Step) -> String {
        let yields = self.change(step);
        format!("{yields}; {}", self.look())
    }

    fn change(&mut self, step: Step) -> String {
        match step {
            Step::Update(which, by) => self.state[which] += by,
            Step::Make(name) => self.runs.push((name, Some(Phase::Made), None)),
            Step::Poll(number) => return self.poll(number),
            Step::Succeed(number) => {
                self.runs[number].2.get_or_insert(false);
            }
            Step::Fail(number) => {
                self.runs[number].2.get_or_insert(true);
            }
            Step::Drop(number) => self.runs[number].1 = None,
            Step::Reset => {
                (self.state, self.errors) = ([0, 0], [None, None]);
                self.resets += 1;
            }
            Step::Read(which) => {
                let now = Some(self.state[which]);
                let changed = self.read[which] != now;
                self.read[which] = now;
                return if changed { format!("{now:?}") } else { "waits".to_owned() };
            }
        }
        String::new()
    }
}

type Run<'a> = BoxFuture<'a, Result<(), String>>;

async fn play(steps: &[Step]) -> Vec<String> {
    let store = Store::new([0_u32; 2]);
    let mut readers = [0, 1].map(|which| store.select(move |view| view.state[which]));
    let mut runs: Vec<(Option<Run<'_>>, Option<oneshot::Sender<bool>>)> = Vec::new();
    let mut yields = Vec::new();
    for step in steps {
        let mut seen = String::new();
        match *step {
            Step::Update(which, by) => store.update(|state| state[which] += by),
            Step::Make(name) => {
                let (ends, result) = oneshot::channel();
                let number = runs.len();
                let work = async move {
                    if result.await.unwrap_or(false) {
                        Err(format!("run {number}"))
                    } else {
                        Ok(())
                    }
                };
                runs.push((Some(store.track(NAMES[name], work).boxed()), Some(ends)));
            }
            Step::Poll(number) => {
                seen = "is over".to_owned();
                if let Some(run) = &mut runs[number].0 {
                    seen = match poll_immediate(&mut *run).await {
                        None => "waits".to_owned(),
                        Some(result) => {
                            runs[number].0 = None;
                            result.map_or_else(|error| error, |()| "fine".to_owned())
                        }
                    };
                }
            }
            Step::Succeed(number) | Step::Fail(number) => {
                let fails = matches!(step, Step::Fail(_));
                runs[number].1.take().map(|ends| ends.send(fails));
            }
            Step::Drop(number) => runs[number].0 = None,
            Step::Reset => store.reset(),
            Step::Read(which) => {
                let next = futures::StreamExt::next(&mut readers[which]);
                seen = match poll_immediate(next).await {
                    None => "waits".to_owned(),
                    Some(value) => format!("{value:?}"),
                };
            }
        }
        let view = store.view();
        let shown = |name: &str| {
            format!("{name} {} {}", view.loading(name), view.error(name).unwrap_or("none"))
        };
        let look = format!("{:?}, {}, {}", view.state, shown(NAMES[0]), shown(NAMES[1]));
        yields.push(format!("{seen}; {look}"));
        // tokio lets a task that is never pending wait now and then, whatever it waits for.
        yield_now().await;
    }
    yields
}

pub async fn state_store(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let seed = draw.seed();
    for number in 0..SCRIPTS {
        let script = script(&mut draw, 2 + number / 8);
        let observed = cx.call("Store", play(&script)).await?.value;
        let mut model = Model::default();
        let expected: Vec<_> = script.iter().map(|step| model.step(*step)).collect();
        ensure_eq!(observed, expected, "script {number} of seed {seed}: what each step yields, and the view after it, of {script:?}";
            help = "at each step: which runs are on their way, since which reset, and which error is kept?");
    }
    Ok(())
}
