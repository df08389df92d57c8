//! Failures of tasks that are not awaited.

use std::collections::BTreeSet;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use futures::FutureExt;
use futures::future::{join, join_all};
use grader_kit::{Cx, Draw, Fail, Outcome, ensure, list, lock, ms, short};
use level1::background::{Cause, Failure, Tracker};
use tokio::runtime::Builder;
use tokio::time::{Duration, Instant, sleep, timeout};

use crate::values;

const SPAWN: &str = "Tracker::spawn";

/// A failure, taken apart.
#[derive(Debug, Clone, PartialEq)]
struct Told {
    task: String,
    panicked: bool,
    text: String,
}

impl Told {
    fn of(failure: &Failure) -> Self {
        let (panicked, text) = match &failure.cause {
            Cause::Error(text) => (false, text.clone()),
            Cause::Panic(text) => (true, text.clone()),
        };
        Self { task: failure.task.clone(), panicked, text }
    }

    fn error(task: &str, text: &str) -> Self {
        Self { task: task.to_owned(), panicked: false, text: text.to_owned() }
    }

    fn panic(task: &str, text: &str) -> Self {
        Self { panicked: true, ..Self::error(task, text) }
    }

    fn shown(&self) -> String {
        let how = if self.panicked { "panicked" } else { "failed" };
        format!("{:?} {how} with {:?}", short(&self.task), short(&self.text))
    }
}

/// Failures as a message shows them.
fn shown(failures: &[Told]) -> String {
    list(failures.iter().map(Told::shown))
}

type Heard = Arc<Mutex<Vec<Told>>>;

/// A tracker, and what its handler was told.
async fn tracker(cx: &Cx) -> Result<(Tracker, Heard), Fail> {
    let heard = Heard::default();
    let record = Arc::clone(&heard);
    let new = move || Tracker::new(move |failure| lock(&record).push(Told::of(failure)));
    Ok((cx.call_fn("Tracker::new", new).await?, heard))
}

/// Waits, with the same watch over panics as a call.
async fn wait(cx: &Cx, time: u64) -> Outcome {
    cx.call(SPAWN, sleep(ms(time))).await.map(drop)
}

async fn failures(cx: &Cx, tracker: &Tracker) -> Result<Vec<Told>, Fail> {
    let all = || tracker.failures().iter().map(Told::of).collect();
    cx.call_fn("Tracker::failures", all).await
}

/// Ends the script unless the record and the handler have these failures, in this order.
async fn recorded(
    cx: &Cx,
    tracker: &Tracker,
    heard: &Heard,
    expected: &[Told],
    case: &str,
) -> Outcome {
    let record = failures(cx, tracker).await?;
    ensure!(record == expected, "the record {case}";
        expected = shown(expected), observed = shown(&record),
        help = "each failure once, with its task's name and its own text, whole, in the order in which \
                they happened; a success is no failure. A panic ends a task without a trace unless it is \
                caught: FutureExt::catch_unwind, or the JoinError of its handle");
    let heard = lock(heard).clone();
    ensure!(heard == expected, "the failures that the handler got {case}";
        expected = shown(expected), observed = shown(&heard),
        help = "call the handler with each failure once, in the same order");
    Ok(())
}

/// The text of a failure names the task and the reason.
async fn text_of(cx: &Cx, tracker: &Tracker) -> Outcome {
    for failure in cx.call_fn("Tracker::failures", || tracker.failures()).await? {
        let told = Told::of(&failure);
        let text = cx.call_fn("Failure::fmt", || failure.to_string()).await?;
        ensure!(text.contains(&told.task) && text.contains(&told.text), "the text of a failure leaves something out";
            expected = format!("a text with {:?} and {:?} in it, whole", short(&told.task), short(&told.text)),
            observed = format!("{:?}", short(&text)),
            help = "a line in the log is the only trace of the task");
    }
    Ok(())
}

/// Spawns a task that fails with this text after a time.
fn fails(tracker: &Tracker, after: u64, told: &Told) {
    let text = told.text.clone();
    let panicked = told.panicked;
    tracker.spawn(told.task.clone(), async move {
        if after > 0 {
            sleep(ms(after)).await;
        }
        if panicked {
            panic!("{text}");
        }
        Err::<u8, _>(text)
    });
}

/// Every text as the name of a task and as the text of its end, and a name that stands twice.
fn names_and_texts(draw: &mut Draw) -> Vec<(String, String)> {
    let same = draw.word();
    let (names, texts) = (values::texts(draw), values::texts(draw));
    let texts = texts.into_iter().map(|text| (same.clone(), text));
    let names = names.into_iter().map(|name| (name, draw.word()));
    texts.chain(names).collect()
}

pub async fn errors(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let (tracker, heard) = tracker(&cx).await?;
    let mut expected: Vec<Told> =
        names_and_texts(&mut draw).iter().map(|(name, text)| Told::error(name, text)).collect();
    // The same failure once more is another failure.
    expected.extend(expected.last().cloned());
    // In the order of the failures, not in that of the calls: the last one spawned fails first.
    cx.call_fn(SPAWN, || {
        for (index, told) in expected.iter().enumerate().rev() {
            fails(&tracker, 10 * u64::try_from(index).unwrap_or_default(), told);
        }
        tracker.spawn("warm cache", async { Ok::<_, &str>(5) });
    })
    .await?;
    wait(&cx, 1_000).await?;
    recorded(&cx, &tracker, &heard, &expected, "of failures").await?;
    text_of(&cx, &tracker).await?;
    plain_texts(&cx, draw.text(3..=9)).await?;
    many_failures(&cx).await
}

/// An error whose text depends on the flags of a format, and which asks the tracker while it is made.
struct Flagged {
    text: String,
    tracker: Tracker,
}

impl fmt::Display for Flagged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let _ = (self.tracker.failures(), self.tracker.running());
        let plain = !(f.alternate() || f.sign_plus() || f.sign_minus() || f.sign_aware_zero_pad());
        if plain && f.width().is_none() && f.precision().is_none() {
            return f.write_str(&self.text);
        }
        f.write_str("the text of another format")
    }
}

/// The text of an error is that of `{}`, and making it may use the tracker.
async fn plain_texts(cx: &Cx, text: String) -> Outcome {
    let (tracker, heard) = tracker(cx).await?;
    let expected = [Told::error("plain", &text)];
    let error = Flagged { text, tracker: tracker.clone() };
    cx.call_fn(SPAWN, || {
        tracker.spawn("plain", async move {
            sleep(ms(10)).await;
            Err::<(), _>(error)
        });
    })
    .await?;
    wait(cx, 100).await?;
    recorded(cx, &tracker, &heard, &expected, "after an error whose text depends on its format")
        .await
}

/// No failure is dropped because there are many.
async fn many_failures(cx: &Cx) -> Outcome {
    const MANY: usize = 10_500;
    let told = Arc::new(Mutex::new(Vec::with_capacity(MANY)));
    let record = Arc::clone(&told);
    let new = move || Tracker::new(move |failure| lock(&record).push(failure.task.clone()));
    let tracker = cx.call_fn("Tracker::new", new).await?;
    cx.call_fn(SPAWN, || {
        for number in 0..MANY {
            tracker.spawn(number.to_string(), std::future::ready(Err::<(), _>("no")));
        }
    })
    .await?;
    wait(cx, 1_000).await?;
    let kept = cx.call_fn("Tracker::failures", || tracker.failures()).await?;
    let kept: Vec<String> = kept.into_iter().map(|failure| failure.task).collect();
    let told = lock(&told).clone();
    for (what, all) in [("on record", &kept), ("handled", &told)] {
        ensure!(all.len() == MANY, "of {MANY} failures, {} are {what}", all.len();
            expected = MANY.to_string(), observed = all.len().to_string(),
            help = "each failure is kept, the first and the last");
        let names: BTreeSet<&String> = all.iter().collect();
        ensure!(names.len() == MANY, "of {MANY} failures, some are twice {what} and others missing";
            expected = "each task once", observed = format!("{} tasks", names.len()),
            help = "each failure is kept once");
    }
    let differ = kept.iter().zip(&told).position(|(kept, told)| kept != told);
    ensure!(differ.is_none(), "of {MANY} failures, the record and the handler have another order";
        expected = "the same order", observed = format!("they differ at number {differ:?}"),
        help = "call the handler once for each failure, in the order of the record");
    Ok(())
}

pub async fn panics(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let (tracker, heard) = tracker(&cx).await?;
    let mut expected = vec![Told::panic("index", "the printer is on fire")];
    cx.call_fn(SPAWN, || {
        tracker.spawn("index", async {
            if true {
                panic!("the printer is on fire");
            }
            Ok::<(), &str>(())
        });
    })
    .await?;
    // A text that is put together is a `String`, a literal is a `&str`.
    for (index, (name, text)) in names_and_texts(&mut draw).iter().enumerate() {
        let told = Told::panic(name, text);
        let after = 10 * (u64::try_from(index).unwrap_or_default() + 1);
        cx.call_fn(SPAWN, || fails(&tracker, after, &told)).await?;
        expected.push(told);
    }
    wait(&cx, 1_000).await?;
    recorded(&cx, &tracker, &heard, &expected, "after panics").await?;
    text_of(&cx, &tracker).await?;
    // What is no text has none: which one stands in for it is left open.
    cx.call_fn(SPAWN, || {
        tracker.spawn("number", async {
            sleep(ms(10)).await;
            if true {
                std::panic::panic_any(7_u8);
            }
            Ok::<(), &str>(())
        });
    })
    .await?;
    wait(&cx, 100).await?;
    let (record, told) = (failures(&cx, &tracker).await?, lock(&heard).clone());
    for (what, all) in [("the record", record), ("what the handler was told", told)] {
        let last = all.get(expected.len()..).unwrap_or_default();
        let right = matches!(last, [told] if told.panicked && told.task == "number");
        ensure!(right, "{what} after a panic whose payload is a number";
            expected = "one panic of the task \"number\"", observed = shown(last),
            help = "a panic counts whatever its payload is: panics::message has a text for each");
    }
    speechless(&cx, draw.text(3..=9)).await
}

/// An error that cannot say what it is.
struct Speechless(String);

impl fmt::Display for Speechless {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        std::panic::panic_any(self.0.clone())
    }
}

/// A panic while the text of an error is made is a panic of the task.
async fn speechless(cx: &Cx, text: String) -> Outcome {
    let (tracker, heard) = tracker(cx).await?;
    let expected = [Told::panic("speechless", &text)];
    cx.call_fn(SPAWN, || {
        tracker.spawn("speechless", async move {
            sleep(ms(10)).await;
            Err::<(), _>(Speechless(text))
        });
    })
    .await?;
    wait(cx, 100).await?;
    recorded(cx, &tracker, &heard, &expected, "after an error whose Display panics").await
}

/// The handler panics, and asks the tracker: neither may do harm.
pub async fn handler_is_contained(cx: Cx) -> Outcome {
    let tracker: Arc<Mutex<Option<Tracker>>> = Arc::default();
    let itself = Arc::clone(&tracker);
    let recorded = Arc::new(Mutex::new(Vec::new()));
    let count = Arc::clone(&recorded);
    let made = cx
        .call_fn("Tracker::new", move || {
            Tracker::new(move |_| {
                let tracker = lock(&itself).clone();
                let known = tracker.as_ref().map_or(0, |tracker| tracker.failures().len());
                lock(&count).push(known);
                if let Some(tracker) = tracker {
                    let _ = tracker.running();
                    if known == 1 {
                        tracker.spawn("spawned by the handler", async { Err::<(), _>("no") });
                    }
                }
                panic!("the handler is broken too: {known}");
            })
        })
        .await?;
    *lock(&tracker) = Some(made.clone());
    cx.call_fn(SPAWN, || {
        fails(&made, 100, &Told::error("task", "no"));
        fails(&made, 200, &Told::error("task", "no"));
    })
    .await?;
    wait(&cx, 1_000).await?;
    let recorded = lock(&recorded).clone();
    ensure!(recorded == [1, 2, 3], "failures on record at each call of a handler that panics";
        expected = "1, 2, 3: one task fails, the handler spawns a second one, a third one fails",
        observed = list(&recorded),
        help = "record first, then tell; do not hold the lock while the handler runs, and contain its \
                panic");
    let running = cx.call_fn("Tracker::running", || made.running()).await?;
    ensure!(running == 0, "tasks counted as running after a handler's panic";
        expected = "0", observed = running.to_string(),
        help = "decrease the count however a task ends: a guard with Drop does");
    beside_other_failures(&cx).await
}

/// Tasks that fail on another thread, while the handler is called on the first one.
const BESIDE: usize = 3;

/// The handler panics on one thread while tasks fail on another one: it is called with their failures as well, in
/// whichever task.
async fn beside_other_failures(cx: &Cx) -> Outcome {
    let (inside, begins) = channel();
    let (inside, begins) = (Mutex::new(inside), Mutex::new(begins));
    let tracker: Arc<Mutex<Option<Tracker>>> = Arc::default();
    let (itself, heard) = (Arc::clone(&tracker), Heard::default());
    let log = Arc::clone(&heard);
    let handler = move |failure: &Failure| {
        let is_first = {
            let mut log = lock(&log);
            log.push(Told::of(failure));
            log.len() == 1
        };
        if is_first {
            let _ = lock(&inside).send(());
            waits_for_the_others(lock(&itself).clone());
        }
        panic!("the handler is broken too");
    };
    let made = cx.call_fn("Tracker::new", || Tracker::new(handler)).await?;
    *lock(&tracker) = Some(made.clone());
    let spawning = made.clone();
    let work = move |number: usize| -> Option<()> {
        if number == 1 {
            lock(&begins).recv().ok()?;
        }
        let runtime = Builder::new_current_thread().enable_time().build().ok()?;
        runtime.block_on(async {
            let (thread, tasks) = [("first", 1), ("other", BESIDE)][number];
            for task in 1..=tasks {
                let name = format!("task {task} of the {thread} thread");
                spawning.spawn(name, async { Err::<(), _>("no") });
            }
            // Each task ends, also one that waits for the other thread's call of the handler.
            for _ in 0..10 * REAL_MS {
                if runtime.metrics().num_alive_tasks() == 0 {
                    break;
                }
                sleep(ms(1)).await;
            }
            Some(())
        })
    };
    if cx.on_threads(SPAWN, 2, work)?.contains(&None) {
        return Err(Fail::new("a thread of the grader got no runtime"));
    }
    let names = |told: &[Told]| list(told.iter().map(|told| &told.task));
    let (mut record, mut heard) = (failures(cx, &made).await?, lock(&heard).clone());
    // In which order is asked elsewhere.
    for told in [&mut record, &mut heard] {
        told.sort_by(|a, b| a.task.cmp(&b.task));
    }
    ensure!(heard.len() == 1 + BESIDE && heard == record, "the handler panics on one thread while {BESIDE} tasks fail on another one: the failures that it is called with";
        expected = format!("all {}, each once: {}", 1 + BESIDE, names(&record)),
        observed = names(&heard),
        help = "contain the panic of each call of the handler by itself: one that ends the loop over the failures that \
                wait leaves the others without a call");
    let running = cx.call_fn("Tracker::running", || made.running()).await?;
    ensure!(running == 0, "tasks counted as running after the handler's panics on two threads";
        expected = "0", observed = running.to_string(),
        help = "decrease the count when the failure was handled, also by a panic");
    Ok(())
}

/// Real milliseconds that are enough for a task that another thread is about to run.
const REAL_MS: u32 = 300;

/// Returns when the tasks of the other thread have failed, or when they cannot: a tracker may let them wait until the
/// handler has returned.
fn waits_for_the_others(tracker: Option<Tracker>) {
    let (_never, tick) = channel::<()>();
    for _ in 0..REAL_MS {
        if tracker.as_ref().is_none_or(|tracker| tracker.failures().len() > BESIDE) {
            return;
        }
        let _ = tick.recv_timeout(ms(1));
    }
}

pub async fn running(cx: Cx) -> Outcome {
    let (tracker, _) = tracker(&cx).await?;
    let clone = cx.call_fn("Tracker::clone", || tracker.clone()).await?;
    let count = async |at: &str, expected: usize| -> Outcome {
        for (tracker, whose) in [(&tracker, ""), (&clone, ", asked through a clone")] {
            let running = cx.call_fn("Tracker::running", || tracker.running()).await?;
            ensure!(running == expected, "tasks counted as running {at}{whose}";
                expected = expected.to_string(), observed = running.to_string(),
                help = "count up when a task is spawned, and down when it has ended, however it ended");
        }
        Ok(())
    };
    count("before the first", 0).await?;
    let at_once = cx.call_fn(SPAWN, || {
        fails(&tracker, 100, &Told::panic("task", "one of them panics"));
        fails(&clone, 200, &Told::error("task", "no"));
        tracker.spawn("task", async {
            sleep(ms(300)).await;
            Ok::<(), &str>(())
        });
        tracker.running()
    });
    let at_once = at_once.await?;
    ensure!(at_once == 3, "tasks counted as running in the line after three calls of spawn";
        expected = "3", observed = at_once.to_string(),
        help = "increase the count when spawn is called: the first poll comes later");
    count("after three were spawned", 3).await?;
    wait(&cx, 150).await?;
    count("after one has panicked", 2).await?;
    wait(&cx, 100).await?;
    count("after one more has failed", 1).await?;
    wait(&cx, 100).await?;
    count("after all have ended", 0).await?;
    cx.call_fn(SPAWN, || {
        for _ in 0..10_000 {
            tracker.spawn("task", async {
                sleep(ms(100)).await;
                Ok::<(), &str>(())
            });
        }
    })
    .await?;
    count("after ten thousand were spawned", 10_000).await?;
    wait(&cx, 200).await?;
    count("after the ten thousand have ended", 0).await?;
    // A runtime that shuts down drops its tasks.
    let drained = tracker.drained();
    cx.call_fn(SPAWN, || {
        let Ok(runtime) = Builder::new_current_thread().build() else { return };
        let inside = runtime.enter();
        tracker.spawn("unfinished", std::future::pending::<Result<(), &str>>());
        drop(inside);
        runtime.shutdown_background();
    })
    .await?;
    count("after a runtime has shut down with its unfinished task", 0).await?;
    // A thread that belongs to no runtime: `spawn` panics, and there is no task.
    let outside = tracker.clone();
    let spawn = move |_| {
        let spawn = || outside.spawn("nowhere", async { Ok::<(), &str>(()) });
        catch_unwind(AssertUnwindSafe(spawn)).is_err()
    };
    if cx.on_threads(SPAWN, 1, spawn)? == [true] {
        count("after a spawn outside of a runtime has panicked", 0).await?;
    }
    cx.call("Tracker::drained", drained).await.map(drop)
}

pub async fn drained(cx: Cx) -> Outcome {
    let (tracker, heard) = tracker(&cx).await?;
    let drained = "Tracker::drained";
    let idle = cx.call(drained, tracker.drained()).await?;
    ensure!(idle.took == ms(0), "waits although no task is running";
        expected = "0 ms", observed = format!("{} ms", idle.took.as_millis()));
    for round in ["the first time", "the second time"] {
        lock(&heard).clear();
        cx.call_fn(SPAWN, || {
            for after in [100, 300] {
                fails(&tracker, after, &Told::error("task", "no"));
            }
            // It spawns a further one, which is waited for as well.
            let again = tracker.clone();
            tracker.spawn("nested", async move {
                sleep(ms(200)).await;
                fails(&again, 200, &Told::error("nested", "no"));
                Ok::<(), &str>(())
            });
        })
        .await?;
        let both = async { futures::join!(tracker.drained(), tracker.drained()) };
        let call = cx.call(drained, both).await?;
        ensure!(call.took == ms(400), "drained after {} ms, {round}", call.took.as_millis();
            expected = "400 ms, when the last task has ended (one that another task had spawned at 200 ms)",
            observed = format!("{} ms", call.took.as_millis()),
            help = "wait until none is running");
        let told = lock(&heard).len();
        ensure!(told == 3, "drained, {round}, before every failure was handled";
            expected = "3 failures handled by then", observed = told.to_string(),
            help = "decrease the count after the failure was recorded and handled");
    }
    let mut draw = cx.draw();
    // Tasks that come and go while an older one runs; one that begins shortly before the last one ends.
    waits_for(&cx, &[(0, 400), (0, 100), (50, 150), (60, 120), (350, 500)]).await?;
    waits_for(&cx, &[(0, 100), (200, 300)]).await?;
    for _ in 0..20 {
        let mut times: Vec<u64> = (0..10).map(|number| number * 10).collect();
        draw.shuffle(&mut times);
        let tasks: Vec<(u64, u64)> =
            times.chunks(2).map(|pair| (pair[0].min(pair[1]), pair[0].max(pair[1]))).collect();
        waits_for(&cx, &tasks).await?;
    }
    after_one_is_given_up(&cx, &mut draw).await?;
    not_while_it_is_handled(&cx).await?;
    after_25_years(&cx).await
}

/// A caller that stops waiting, as a shutdown with a time limit does, costs those that wait with it and after it
/// nothing: neither at its first poll nor in the middle, whichever task ends next.
async fn after_one_is_given_up(cx: &Cx, draw: &mut Draw) -> Outcome {
    // The longest task is at each place, and the caller beside begins during the first wait or after the last.
    let cases = (0..3).flat_map(|place| (1..=3).map(move |times| (place, times)));
    for ((place, times), late) in cases.flat_map(|case| [(case, false), (case, true)]) {
        let mut tasks = [100, 200, 300];
        tasks.rotate_right(place);
        let pause = if late { 30 * times + 1 } else { draw.below(20) };
        let (tracker, _) = tracker(cx).await?;
        cx.call_fn(SPAWN, || {
            for after in tasks {
                fails(&tracker, after, &Told::error("task", "no"));
            }
            // Never polled.
            drop(tracker.drained());
        })
        .await?;
        let begin = Instant::now();
        let beside = async {
            sleep(ms(pause)).await;
            tracker.drained().await;
            begin.elapsed()
        };
        let later = async {
            for _ in 0..times {
                let _ = timeout(ms(30), tracker.drained()).await;
            }
            let _ = tracker.drained().now_or_never();
            tracker.drained().await;
            begin.elapsed()
        };
        let all = async { <[Duration; 2]>::from(join(later, beside).await) };
        let ends = cx.call("Tracker::drained", all).await?.value;
        ensure!(ends == [ms(300); 2], "a wait for drained() was given up {times} times after 30 ms, and the waits after it and beside it end at {} ms", list(ends.map(|end| end.as_millis()));
            expected = "300, 300: when the last of three tasks has ended",
            observed = list(ends.map(|end| end.as_millis())),
            help = "drained() may be dropped at any await: keep what it waits for in the tracker (a count), and \
                    take nothing out of it before it has ended");
    }
    Ok(())
}

/// Neither a task nor the wait for it has a time limit.
async fn after_25_years(cx: &Cx) -> Outcome {
    let (tracker, heard) = tracker(cx).await?;
    let told = Told::error("slow", "no");
    let slow = values::SLOW.as_secs() * 1_000;
    cx.call_fn(SPAWN, || fails(&tracker, slow, &told)).await?;
    let most = values::SLOW + Duration::from_secs(600);
    let call = cx.call_within(most, "Tracker::drained", tracker.drained()).await?;
    ensure!(call.took == values::SLOW, "drained after {} s, with a task of 25 years", call.took.as_secs();
        expected = "after 25 years, when the task has ended",
        observed = format!("{} s", call.took.as_secs()),
        help = "wait until none is running, however long that takes");
    let heard = lock(&heard).clone();
    ensure!(heard == [told], "the failures that the handler got of a task of 25 years";
        expected = "one: its error", observed = shown(&heard),
        help = "a task runs to its end: it has no time limit");
    Ok(())
}

/// Runs tasks that are spawned and that end at these times, all different, and ends the script unless
/// `drained` returns when none runs, whenever it was called.
async fn waits_for(cx: &Cx, tasks: &[(u64, u64)]) -> Outcome {
    let (tracker, _) = tracker(cx).await?;
    let runs = |at: u64| tasks.iter().any(|(begin, end)| (*begin..*end).contains(&at));
    let calls: Vec<u64> = (0..=500).step_by(25).map(|at| at + 3).collect();
    let begin = Instant::now();
    let waits = calls.iter().map(|call| async {
        sleep(ms(*call)).await;
        tracker.drained().await;
        u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX)
    });
    let spawns = tasks.iter().map(|(from, to)| async {
        sleep(ms(*from)).await;
        let time = *to - *from;
        tracker.spawn("task", async move {
            sleep(ms(time)).await;
            Ok::<(), &str>(())
        });
    });
    let all = async { futures::join!(join_all(waits), join_all(spawns)).0 };
    let ends = cx.call("Tracker::drained", all).await?.value;
    for (call, end) in calls.into_iter().zip(ends) {
        let expected = (call..).find(|at| !runs(*at)).unwrap_or_default();
        let told = list(tasks.iter().map(|(from, to)| format!("{from} to {to} ms")));
        ensure!(end == expected, "drained, called at {call} ms, returned at {end} ms; tasks run from {told}";
            expected = format!("{expected} ms: the first moment at which no task runs"),
            observed = format!("{end} ms"),
            help = "wait until the count is 0, not for the tasks that were there at the call: those \
                    that are spawned meanwhile count, too");
    }
    Ok(())
}

/// A failure that is being handled keeps `drained` waiting.
async fn not_while_it_is_handled(cx: &Cx) -> Outcome {
    let tracker: Arc<Mutex<Option<Tracker>>> = Arc::default();
    let (itself, seen) = (Arc::clone(&tracker), Arc::new(Mutex::new(Vec::new())));
    let looks = Arc::clone(&seen);
    let new = move || {
        Tracker::new(move |_| {
            let tracker = lock(&itself).clone();
            let over = tracker.is_some_and(|tracker| tracker.drained().now_or_never().is_some());
            lock(&looks).push(over);
        })
    };
    let made = cx.call_fn("Tracker::new", new).await?;
    *lock(&tracker) = Some(made.clone());
    cx.call_fn(SPAWN, || fails(&made, 10, &Told::error("task", "no"))).await?;
    cx.call("Tracker::drained", made.drained()).await?;
    wait(cx, 100).await?;
    let seen = lock(&seen).clone();
    ensure!(!seen.contains(&true), "drained returns while the handler still has the last failure";
        expected = "drained() is pending inside the handler: the failure is not handled yet",
        observed = "it returns at once",
        help = "decrease the count after the failure was recorded and handled, and call the handler in \
                the task itself");
    Ok(())
}

/// The tracker's end is not that of its tasks; clones share one record, other trackers do not.
pub async fn goes_on_when_dropped(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let told = [
        Told::error(&draw.word(), &draw.word()),
        Told::error(&draw.word(), &draw.word()),
        Told::error(&draw.word(), &draw.word()),
    ];
    let (first, heard) = tracker(&cx).await?;
    cx.call_fn(SPAWN, || {
        let clone = first.clone();
        fails(&first, 100, &told[0]);
        fails(&first, 200, &told[1]);
        fails(&clone, 300, &told[2]);
        drop((first, clone));
    })
    .await?;
    wait(&cx, 1_000).await?;
    let seen = lock(&heard).clone();
    ensure!(seen == told, "the tracker was dropped: the failures that its handler got after that";
        expected = shown(&told), observed = shown(&seen),
        help = "put what the tasks need into an Arc that they share with the tracker; do not abort \
                them when it is dropped");
    Ok(())
}

pub async fn records_keep_apart(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    let ((one, heard), (other, silent)) = (tracker(&cx).await?, tracker(&cx).await?);
    let clone = cx.call_fn("Tracker::clone", || one.clone()).await?;
    let expected = [Told::error("a", &draw.word()), Told::error("b", &draw.word())];
    cx.call_fn(SPAWN, || {
        fails(&one, 10, &expected[0]);
        fails(&clone, 20, &expected[1]);
    })
    .await?;
    let running = cx.call_fn("Tracker::running", || other.running()).await?;
    ensure!(running == 0, "a tracker counts the tasks of another one";
        expected = "0", observed = running.to_string(), help = APART);
    let drained = cx.call("Tracker::drained", other.drained()).await?;
    ensure!(drained.took == ms(0), "a tracker waits for the tasks of another one";
        expected = "0 ms", observed = format!("{} ms", drained.took.as_millis()), help = APART);
    wait(&cx, 1_000).await?;
    let seen = failures(&cx, &other).await?;
    ensure!(seen.is_empty() && lock(&silent).is_empty(), "a tracker records the failures of another one";
        expected = "none", observed = shown(&seen), help = APART);
    for tracker in [&one, &clone] {
        let mut seen = failures(&cx, tracker).await?;
        // In which order is asked elsewhere.
        seen.sort_by(|a, b| a.task.cmp(&b.task));
        ensure!(seen == expected, "a tracker and its clone do not share one record";
            expected = shown(&expected), observed = shown(&seen), help = APART);
    }
    let seen = lock(&heard).clone();
    ensure!(seen == expected, "the failures that the handler got from a tracker and its clone";
        expected = shown(&expected), observed = shown(&seen), help = APART);
    Ok(())
}

const APART: &str = "clones of a tracker share its record through an Arc; two trackers share nothing, so \
                     nothing of it may be static";

/// How many tasks fail on each thread.
const FAILURES: usize = 3_000;

/// After so many of them each thread waits until all are handled.
const PAUSE: usize = 20;

/// Tasks of several runtimes fail at the same time: the handler hears of them in the order of the record.
pub async fn other_threads(cx: Cx) -> Outcome {
    const THREADS: usize = 4;
    let (tracker, heard) = tracker(&cx).await?;
    let (on_thread, told) = (tracker.clone(), Arc::clone(&heard));
    let work = move |number: usize| -> Option<usize> {
        let runtime = Builder::new_current_thread().build().ok()?;
        let own = format!("{number}-");
        runtime.block_on(async {
            let mut late = 0;
            for task in 0..FAILURES {
                on_thread.spawn(format!("{own}{task}"), async { Err::<(), _>("no") });
                // Each fails before the next one is spawned, while the other threads do the same.
                tokio::task::yield_now().await;
                if (task + 1) % PAUSE == 0 {
                    // A failure that another thread handles counts until it has.
                    on_thread.drained().await;
                    let last =
                        lock(&told).iter().rev().any(|told| told.task == format!("{own}{task}"));
                    late += usize::from(!last);
                }
            }
            Some(late)
        })
    };
    let ended = cx.on_threads(SPAWN, THREADS, work)?;
    let Some(late) = ended.into_iter().sum::<Option<usize>>() else {
        return Err(Fail::new("a thread of the grader got no runtime"));
    };
    ensure!(late == 0, "tasks on {THREADS} threads fail at the same time: {late} times drained() has returned before the handler was called with the last failure";
        expected = "drained() returns when each failure was handled",
        observed = format!("{late} of {} times", THREADS * FAILURES / PAUSE),
        help = "a failure that is left to another task counts as running until that task has called the handler with it");
    let (recorded, heard) = (failures(&cx, &tracker).await?, lock(&heard).clone());
    let all = THREADS * FAILURES;
    ensure!(
        recorded.len() == all && heard.len() == all,
        "{all} tasks on {THREADS} threads have failed: the record has {} failures, and the handler was called {} times",
        recorded.len(), heard.len();
        expected = format!("{all} each, when drained() has returned"),
        help = "a failure that is left to another task counts as running until that task has called the handler with it"
    );
    let differs = recorded.iter().zip(&heard).position(|(recorded, heard)| recorded != heard);
    if let Some(at) = differs {
        return Err(Fail::new(format!("tasks on {THREADS} threads fail at the same time, and the handler is called in another order than that of the record"))
            .expected(format!("failure {} is that of task {}", at + 1, recorded[at].task))
            .observed(format!("the handler is called with that of task {}", heard[at].task))
            .help("recording a failure and calling the handler are two steps, and another thread may come in between: queue the failures under the lock of the record, and let one task at a time call the handler"));
    }
    Ok(())
}
