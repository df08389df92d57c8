//! The criteria of the load with callbacks.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use grader_kit::{Cx, Diagnosis, Fail, Outcome, ensure, ensure_eq};
use level1::callbacks::fetch_user_profile;
use level1::source::{Request, SourceError};

use crate::fake::{Fake, answer, dropped, fail, status};
use crate::styles::{self, CALLBACKS, parts};
pub use crate::syntax::callbacks_alone as own_work;

pub async fn profile(cx: Cx) -> Outcome {
    styles::gives_the_profile(cx, CALLBACKS).await
}

pub async fn user_first(cx: Cx) -> Outcome {
    styles::user_first(cx, CALLBACKS).await
}

pub async fn no_posts_without_user(cx: Cx) -> Outcome {
    styles::no_posts_without_user(cx, CALLBACKS).await
}

pub async fn names_the_request(cx: Cx) -> Outcome {
    styles::names_the_request(cx, CALLBACKS).await
}

pub async fn refuses_id_0(cx: Cx) -> Outcome {
    styles::refuses_id_0(cx, CALLBACKS).await
}

/// A source that answers at once must not make the callback come before the function returned.
pub async fn never_early(cx: Cx) -> Outcome {
    for (case, id, user, posts) in [
        ("both requests are answered at once", 7, answer(0), answer(0)),
        ("the user fails at once", 7, fail(0, status(404)), answer(0)),
        ("the posts fail at once", 7, answer(0), fail(0, status(500))),
        ("the source drops its callback at once", 7, dropped(0), answer(0)),
        ("the id is 0", 0, answer(0), answer(0)),
    ] {
        let fake = Fake::new(cx.timeline(), user, posts);
        let returned = Arc::new(AtomicBool::new(false));
        let early = Arc::new(AtomicUsize::new(0));
        let (seen, count) = (Arc::clone(&returned), Arc::clone(&early));
        cx.call_fn(CALLBACKS.name, move || {
            fetch_user_profile(fake.shared(), id, move |_| {
                if !seen.load(SeqCst) {
                    count.fetch_add(1, SeqCst);
                }
            });
            returned.store(true, SeqCst);
        })
        .await?;
        cx.settle().await;
        ensure!(early.load(SeqCst) == 0, "when {case}, the callback ran before fetch_user_profile had returned";
            expected = "the function returns first, the callback comes later",
            observed = "the callback ran inside the function",
            help = "the caller cannot know whether the line after the call runs before or after its \
                    callback. Hand the result to a task (tokio::spawn) that calls back");
    }
    Ok(())
}

/// A callback that the source drops uncalled is an error, not silence.
pub async fn dropped_callback(cx: Cx) -> Outcome {
    for (user, posts, request) in [
        (dropped(100), answer(100), Request::User(7)),
        (answer(100), dropped(100), Request::Posts(7)),
    ] {
        let fake = Fake::new(cx.timeline(), user, posts);
        let help = "put a guard into the closure that the source gets: its Drop answers when the \
                    closure was not called";
        let result = CALLBACKS.run(&cx, &fake, 7).await.map_err(|failure| {
            if matches!(failure.diagnosis, Some(Diagnosis::NotStarted)) {
                return failure;
            }
            let headline = format!("the source dropped the callback for {request}: no answer");
            Fail { headline, ..failure }
                .expected("a call with SourceError::CallbackDropped as the cause")
                .help(help)
        })?;
        let told = result.as_ref().err().and_then(parts);
        ensure!(told == Some((request, &SourceError::CallbackDropped)),
            "the source dropped the callback for {request}, and the error does not say so";
            expected = format!("request {request:?} with cause CallbackDropped"),
            observed = format!("{result:?}"), help = help);
    }
    Ok(())
}

/// Two loads at once, one around the other: each callback gets its own profile.
pub async fn loads_keep_apart(cx: Cx) -> Outcome {
    let seen = Arc::new(Mutex::new(Vec::new()));
    // Load 1 has its user at 100 ms and its posts at 400 ms, load 2 at 200 and 300 ms.
    for (asked_for, user, posts) in [(1, 100, 300), (2, 200, 100)] {
        let fake = Fake::new(cx.timeline(), answer(user), answer(posts));
        let seen = Arc::clone(&seen);
        cx.call_fn(CALLBACKS.name, move || {
            fetch_user_profile(fake.shared(), asked_for, move |result| {
                // Whether the rest of the profile is right is asked elsewhere.
                let got = result.map(|profile| profile.user.id).ok();
                seen.lock().unwrap_or_else(PoisonError::into_inner).push((asked_for, got));
            });
        })
        .await?;
    }
    cx.call(CALLBACKS.name, tokio::time::sleep(Duration::from_millis(1_000))).await?;
    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
    ensure_eq!(seen, vec![(2, Some(2)), (1, Some(1))], "two loads at once got in each other's way";
        help = "what a load remembers belongs into its own closures, not into a static. The pairs \
                are the user asked for and the user that came back");
    Ok(())
}
