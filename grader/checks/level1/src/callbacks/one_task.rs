//! A source that answers all its loads from one task, as one that reads a socket does.

use std::mem::take;
use std::sync::{Arc, Mutex};

use grader_kit::{Cx, Fail, Outcome, ensure, in_background, list, lock, ms};
use level1::callbacks::fetch_user_profile;
use level1::errors::FetchError;
use level1::model::{Post, Profile, User, UserId};
use level1::source::{Callback, CallbackSource};
use tokio::time::sleep;

use crate::fake::status;
use crate::style_callbacks::CALLBACKS;
use crate::told::ending;
use crate::values;

/// Keeps the callbacks until its task answers them.
#[derive(Default)]
struct Reader {
    users: Mutex<Vec<(UserId, Callback<User>)>>,
    posts: Mutex<Vec<(UserId, Callback<Vec<Post>>)>>,
}

impl CallbackSource for Reader {
    fn user(&self, id: UserId, callback: Callback<User>) {
        lock(&self.users).push((id, callback));
    }

    fn posts(&self, id: UserId, callback: Callback<Vec<Post>>) {
        lock(&self.posts).push((id, callback));
    }
}

/// How the load ends whose callback panics.
#[derive(Debug, Clone, Copy)]
enum End {
    Answered,
    UserFails,
    PostsFail,
    UserDropped,
    PostsDropped,
}

impl End {
    const ALL: [Self; 5] =
        [Self::Answered, Self::UserFails, Self::PostsFail, Self::UserDropped, Self::PostsDropped];

    fn said(self) -> &'static str {
        match self {
            Self::Answered => "both its requests are answered",
            Self::UserFails => "its user fails",
            Self::PostsFail => "its posts fail",
            Self::UserDropped => "its callback for the user is dropped",
            Self::PostsDropped => "its callback for the posts is dropped",
        }
    }
}

/// Answers every load; the one of the user `broken` ends as `end` says.
async fn answers(reader: Arc<Reader>, broken: UserId, end: End) {
    sleep(ms(10)).await;
    let users = take(&mut *lock(&reader.users));
    for (id, callback) in users {
        match end {
            End::UserFails if id == broken => callback(Err(status(500))),
            End::UserDropped if id == broken => drop(callback),
            _ => callback(Ok(User { id, name: format!("user {id}"), email: String::new() })),
        }
    }
    sleep(ms(10)).await;
    let posts = take(&mut *lock(&reader.posts));
    for (id, callback) in posts {
        match end {
            End::PostsFail if id == broken => callback(Err(status(500))),
            End::PostsDropped if id == broken => drop(callback),
            _ => callback(Ok(vec![Post { id, title: String::new(), likes: None, body: None }])),
        }
    }
}

type Called = (UserId, Result<Profile, FetchError>);

/// Of several loads that one task of their source answers, one has a callback that panics: the others get their
/// profiles.
pub async fn answers_of_one_task(cx: &Cx) -> Outcome {
    let mut draw = cx.draw();
    for end in End::ALL {
        let first = values::id(&mut draw);
        // Others are answered behind it.
        let broken = first + draw.below(LOADS - 1);
        // What becomes of them without a panic is asked elsewhere.
        if !have_profiles(&others(cx, first, broken, end, false).await?) {
            continue;
        }
        let others = others(cx, first, broken, end, true).await?;
        ensure!(have_profiles(&others), "one task of the source answers {LOADS} loads, the callback of user {broken} panics ({}), and other loads lose their answers", end.said();
            expected = format!("one call of each other callback, for the users {first} to {}, with a profile", first + LOADS - 1),
            observed = list(others.iter().map(|(id, result)| format!("{id}: {}", ending(result)))),
            help = "the source calls you from its own task: call the caller's callback in a task of its own, also when \
                    fetch_user_profile has returned long ago. A panic in it then ends that task alone");
    }
    Ok(())
}

/// Loads of one source.
const LOADS: u64 = 4;

/// Whether each load but the one with the broken callback has its profile, once.
fn have_profiles(others: &[Called]) -> bool {
    let mut ids: Vec<_> = others.iter().map(|(id, _)| *id).collect();
    ids.dedup();
    let once = ids.len() == others.len() && ids.len() as u64 == LOADS - 1;
    once && others.iter().all(|(_, result)| result.is_ok())
}

/// The calls of the callbacks of all loads but `broken`, by their ids.
async fn others(
    cx: &Cx,
    first: UserId,
    broken: UserId,
    end: End,
    panics: bool,
) -> Result<Vec<Called>, Fail> {
    cx.timeline().restart();
    let (reader, called) = (Arc::new(Reader::default()), Arc::new(Mutex::new(Vec::new())));
    cx.call_fn(CALLBACKS.name, || {
        for id in first..first + LOADS {
            let called: Arc<Mutex<Vec<Called>>> = Arc::clone(&called);
            fetch_user_profile(reader.clone(), id, move |result| {
                if id != broken {
                    lock(&called).push((id, result));
                } else if panics {
                    std::panic::panic_any("this callback is broken");
                }
            });
        }
    })
    .await?;
    in_background(answers(reader, broken, end));
    cx.call(CALLBACKS.name, sleep(ms(1_000))).await?;
    let mut called = take(&mut *lock(&called));
    called.sort_by_key(|(id, _)| *id);
    Ok(called)
}
