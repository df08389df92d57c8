//! A load whose runtime, caller and source are on threads of their own.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};
use std::time::Duration;

use grader_kit::{Cx, Draw, Fail, Outcome, ensure, lock};
use level1::callbacks::fetch_user_profile;
use level1::errors::FetchError;
use level1::model::{Post, Profile, User, UserId};
use level1::source::{Callback, CallbackSource, Request, SourceError};
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::fake::{answer, dropped};
use crate::style_callbacks::CALLBACKS;
use crate::styles::Source;
use crate::told::{ending, parts};

/// Real time after which a runtime counts as blocked: what waits for the return on its thread keeps it
/// from its other tasks. Four such waits, the most that a right solution needs, stay below the time
/// after which the grader calls a process blocked.
const BLOCKED: Duration = Duration::from_millis(300);

/// What the thread outside the runtime is asked to do, until there is nothing more.
type Job = Option<Box<dyn FnOnce() + Send>>;

type Answer = Result<Profile, FetchError>;

/// A source that answers at once, or on a thread that belongs to no runtime.
struct Elsewhere {
    profile: Profile,
    /// Whether the callback for the posts is dropped.
    drops: bool,
    /// Takes the answers, where they come from another thread.
    outside: Option<Sender<Job>>,
    /// Whether the other thread gives both answers before `user` returns.
    waits: bool,
    /// Says that the load's own callback has run, or that the runtime had time enough to run it.
    early: Mutex<Receiver<Turn>>,
    tell: Sender<Turn>,
    was_early: Arc<Mutex<bool>>,
    /// The thread that calls `fetch_user_profile`.
    caller: ThreadId,
}

impl Elsewhere {
    fn does(&self, job: impl FnOnce() + Send + 'static) {
        match &self.outside {
            Some(outside) => drop(outside.send(Some(Box::new(job)))),
            None => job(),
        }
    }

    /// Notes whether the load's callback runs before the runtime has nothing else left to do.
    ///
    /// On another thread than the caller's, the function may have returned: there is nothing to see.
    fn looks(&self) {
        if thread::current().id() != self.caller {
            return;
        }
        // A task that is spawned now has its turn after those that are there, and its virtual minute
        // is over when nothing else is left to do.
        let tell = self.tell.clone();
        Handle::current().spawn(async move {
            sleep(Duration::from_secs(60)).await;
            let _ = tell.send(Turn::Over);
        });
        let first = lock(&self.early).recv_timeout(BLOCKED);
        *lock(&self.was_early) = matches!(first, Ok(Turn::Called));
    }
}

impl CallbackSource for Elsewhere {
    fn user(&self, _: UserId, callback: Callback<User>) {
        let user = self.profile.user.clone();
        if !self.waits {
            return self.does(move || callback(Ok(user)));
        }
        let (done, over) = channel();
        self.does(move || {
            callback(Ok(user));
            let _ = done.send(());
        });
        // A load may hold the other thread until it has returned.
        let _ = over.recv_timeout(BLOCKED);
        self.looks();
    }

    fn posts(&self, _: UserId, callback: Callback<Vec<Post>>) {
        let posts = self.profile.posts.clone();
        let drops = self.drops;
        let answer = move || if drops { drop(callback) } else { callback(Ok(posts)) };
        if self.waits {
            return answer();
        }
        self.does(answer);
        if self.outside.is_none() {
            self.looks();
        }
    }
}

/// What the runtime of a load did first.
enum Turn {
    /// It ran the load's callback.
    Called,
    /// It had nothing to do any more.
    Over,
}

/// What one load came to, and whether its callback ran inside of the call.
struct Ended {
    answer: Option<Answer>,
    early: bool,
}

/// Where the source answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    /// In its own methods.
    Inside,
    /// On a thread that belongs to no runtime.
    Outside,
    /// In a runtime of its own, which ends with the answer.
    OtherRuntime,
}

/// Runs a load: the runtime on one thread, the caller on a second one, the source's answers, if they come
/// from elsewhere, on a third one. With `waits` these come before `CallbackSource::user` returns.
fn load(cx: &Cx, source: &Source, from: From, waits: bool, drops: bool) -> Result<Ended, Fail> {
    let (give_handle, handle) = channel::<Handle>();
    let (give_jobs, jobs) = channel::<Job>();
    let (stop, stopped) = oneshot::channel::<()>();
    let (handle, give_handle) = (Mutex::new(handle), Mutex::new(give_handle));
    let (jobs, stopped, stop) =
        (Mutex::new(jobs), Mutex::new(Some(stopped)), Mutex::new(Some(stop)));
    let (id, profile) = (source.id, source.profile.clone());
    let work = move |number: usize| -> Option<Ended> {
        match number {
            0 => {
                let runtime =
                    Builder::new_current_thread().enable_time().start_paused(true).build().ok()?;
                let stopped = lock(&stopped).take()?;
                lock(&give_handle).send(runtime.handle().clone()).ok()?;
                let _ = runtime.block_on(stopped);
                None
            }
            1 => {
                let handle = lock(&handle).recv().ok()?;
                let _runtime = handle.enter();
                let (tell_early, early) = channel();
                let (tell, told) = channel();
                let was_early = Arc::new(Mutex::new(false));
                let source = Elsewhere {
                    profile: profile.clone(),
                    drops,
                    outside: (from != From::Inside).then(|| give_jobs.clone()),
                    waits,
                    early: Mutex::new(early),
                    tell: tell_early.clone(),
                    was_early: Arc::clone(&was_early),
                    caller: thread::current().id(),
                };
                fetch_user_profile(Arc::new(source), id, move |answer| {
                    let _ = tell_early.send(Turn::Called);
                    let _ = tell.send(answer);
                });
                // Ends without an answer when the callback is dropped uncalled.
                let answer = told.recv().ok();
                let _ = give_jobs.send(None);
                if let Some(stop) = lock(&stop).take() {
                    let _ = stop.send(());
                }
                let early = *lock(&was_early);
                Some(Ended { answer, early })
            }
            _ => {
                let jobs = lock(&jobs);
                while let Ok(Some(job)) = jobs.recv() {
                    if from == From::OtherRuntime {
                        let runtime = Builder::new_current_thread().build().ok()?;
                        runtime.block_on(async { job() });
                        runtime.shutdown_background();
                    } else {
                        job();
                    }
                }
                None
            }
        }
    };
    let ended = cx.on_threads(CALLBACKS.name, 3, work)?;
    let ended = ended.into_iter().flatten().next();
    ended.ok_or_else(|| Fail::new("the load did not run: its runtime could not be built"))
}

/// Whether a load does what it has to on a single thread.
async fn keeps_it_alone(cx: &Cx, source: &Source, drops: bool) -> Result<bool, Fail> {
    let fake = source.fake(cx, answer(0), if drops { dropped(0) } else { answer(0) });
    let got = Arc::new(Mutex::new(None));
    let tell = Arc::clone(&got);
    let id = source.id;
    let call = || {
        fetch_user_profile(fake.shared(), id, move |answer| *lock(&tell) = Some(answer));
        lock(&got).is_some()
    };
    let early = cx.call_fn(CALLBACKS.name, call).await?;
    cx.settle().await;
    let answer = lock(&got).take();
    Ok(!early && comes(&Ended { answer, early }, source, drops, "").is_ok())
}

pub async fn other_threads(cx: Cx) -> Outcome {
    CALLBACKS.works(&cx).await?;
    let mut draw: Draw = cx.draw();
    let source = Source::drawn(&mut draw);
    for drops in [false, true] {
        if !keeps_it_alone(&cx, &source, drops).await? {
            continue; // what fails on one thread is another criterion's business
        }
        for (from, waits, how) in [
            (From::Inside, false, "at once"),
            (From::Outside, false, "on a thread outside the runtime"),
            (From::OtherRuntime, false, "in another runtime, which has ended since"),
            (From::Outside, true, "at once, on a thread outside the runtime"),
            (From::OtherRuntime, true, "at once, in another runtime"),
        ] {
            let ended = load(&cx, &source, from, waits, drops)?;
            let what = if drops { "drops its callback" } else { "answers" };
            ensure!(!ended.early, "the source {what} {how}, and the callback ran on another thread before fetch_user_profile had returned";
                expected = "the function returns first, on every thread and every runtime",
                observed = "the callback ran while the function was still inside of a method of the source",
                help = "another thread may begin at once what is spawned, or call at once: let it wait for \
                        the return, for example for the other end of a oneshot channel that is a local \
                        variable of the function");
            comes(&ended, &source, drops, how)?;
        }
    }
    Ok(())
}

/// Ends the script unless the callback got the profile, or the error of the dropped callback.
fn comes(ended: &Ended, source: &Source, drops: bool, how: &str) -> Outcome {
    let posts = Request::Posts(source.id);
    let right = match &ended.answer {
        Some(Ok(_)) => !drops,
        Some(Err(error)) => drops && parts(error) == Some((posts, &SourceError::CallbackDropped)),
        None => false,
    };
    let what = if drops { "dropped the callback for the posts" } else { "answered" };
    ensure!(right, "the source {what} {how}, and the callback did not get that";
        expected = if drops { format!("an error that names {posts}, with the cause CallbackDropped") }
            else { "the profile".to_owned() },
        observed = ended.answer.as_ref().map_or_else(|| "it was dropped uncalled".to_owned(), ending),
        help = "tokio::spawn needs a runtime on the thread that calls it: take Handle::current() when \
                the load begins, and spawn with the handle");
    Ok(())
}
