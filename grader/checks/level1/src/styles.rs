//! What is asked of every style, and of every style that makes one request after the other.

use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use grader_kit::{Cx, Fail, Outcome, ensure, ensure_eq};
use level1::errors::FetchError;
use level1::model::{Profile, UserId};
use level1::source::{Request, SourceError};
use level1::{async_await, callbacks, combinators};
use tokio::sync::oneshot;

use crate::fake::{Fake, answer, fail, profile, requests, status, when};

/// What a load comes to; `None` when its callback was dropped uncalled.
pub type Answer = Option<Result<Profile, FetchError>>;

/// One way to load a profile.
#[derive(Clone, Copy)]
pub struct Style {
    pub name: &'static str,
    pub load: fn(&Fake, UserId) -> BoxFuture<'static, Answer>,
}

pub const CALLBACKS: Style = Style {
    name: "callbacks::fetch_user_profile",
    load: |fake, id| {
        let source = fake.shared();
        async move {
            let (sender, receiver) = oneshot::channel();
            callbacks::fetch_user_profile(source, id, move |result| {
                let _ = sender.send(result);
            });
            receiver.await.ok()
        }
        .boxed()
    },
};

pub const COMBINATORS: Style = Style {
    name: "combinators::fetch_user_profile",
    load: |fake, id| {
        let source = fake.shared();
        async move { Some(combinators::fetch_user_profile(source, id).await) }.boxed()
    },
};

pub const SEQUENTIAL: Style = Style {
    name: "async_await::fetch_user_profile",
    load: |fake, id| {
        let source = fake.shared();
        async move { Some(async_await::fetch_user_profile(source, id).await) }.boxed()
    },
};

pub const PARALLEL: Style = Style {
    name: "async_await::fetch_user_profile_parallel",
    load: |fake, id| {
        let source = fake.shared();
        async move { Some(async_await::fetch_user_profile_parallel(source, id).await) }.boxed()
    },
};

impl Style {
    /// Runs one load to its end.
    pub async fn run(
        self,
        cx: &Cx,
        fake: &Fake,
        id: UserId,
    ) -> Result<Result<Profile, FetchError>, Fail> {
        let answer = cx.call(self.name, (self.load)(fake, id)).await?.value;
        answer.ok_or_else(|| {
            Fail::new(format!("{} dropped its callback without calling it", self.name))
                .expected("one call of the callback, in every case")
                .observed("the callback is gone, and was never called")
                .help("every path through the function has to end in a call of the callback")
        })
    }
}

/// The parts of an error that say what failed and why, whatever its class.
pub fn parts(error: &FetchError) -> Option<(Request, &SourceError)> {
    match error {
        FetchError::Validation { .. } => None,
        FetchError::NotFound { request, cause }
        | FetchError::Authentication { request, cause }
        | FetchError::Network { request, cause }
        | FetchError::Database { request, cause }
        | FetchError::Bug { request, cause } => Some((*request, cause)),
    }
}

pub async fn gives_the_profile(cx: Cx, style: Style) -> Outcome {
    for id in [7, 12] {
        let fake = Fake::new(cx.timeline(), answer(100), answer(200));
        let result = style.run(&cx, &fake, id).await?;
        ensure_eq!(result, Ok(profile(id)), "the profile is not what the source holds for user {}", id;
            help = "keep every field of the posts (likes and body, each where the source has it) and \
                    their order, and ask for the id that was given");
    }
    Ok(())
}

pub async fn user_first(cx: Cx, style: Style) -> Outcome {
    let fake = Fake::new(cx.timeline(), answer(100), answer(200));
    // How the load ends is the business of other criteria.
    let _ = style.run(&cx, &fake, 7).await?;
    let expected = vec![("user 7".to_owned(), 0), ("posts of user 7".to_owned(), 100)];
    ensure_eq!(requests(cx.timeline()), expected, "the requests are not the user, then the posts";
        help = "this version makes one request after the other: the user at once (0 ms), the posts \
                as soon as the user is there (100 ms), each once. The pairs are request and ms.");
    Ok(())
}

pub async fn no_posts_without_user(cx: Cx, style: Style) -> Outcome {
    let fake = Fake::new(cx.timeline(), fail(100, status(404)), answer(200));
    let _ = style.run(&cx, &fake, 7).await?;
    let asked = when(cx.timeline(), Request::Posts(7), "requested");
    ensure!(asked.is_none(), "the posts were requested although the user failed";
        expected = "no request for the posts: there is no user",
        observed = format!("posts of user 7 requested at {} ms", asked.unwrap_or_default()),
        help = "look at the user's result before the second request");
    Ok(())
}

pub async fn names_the_request(cx: Cx, style: Style) -> Outcome {
    for (user, posts, request, cause) in [
        (fail(100, status(404)), answer(200), Request::User(7), status(404)),
        (answer(100), fail(50, status(503)), Request::Posts(7), status(503)),
    ] {
        let fake = Fake::new(cx.timeline(), user, posts);
        let result = style.run(&cx, &fake, 7).await?;
        let error = match result {
            Err(error) => error,
            Ok(_) => {
                return Err(Fail::new(format!("the failure of {request} was swallowed"))
                    .expected(format!("an error that names {request}"))
                    .observed("a profile"));
            }
        };
        ensure!(parts(&error) == Some((request, &cause)), "the error does not say that {request} failed, and why";
            expected = format!("request {request:?} with cause {cause:?}"),
            observed = format!("{error:?}"),
            help = "make the error where the request is made: FetchError::new(the request, its cause)");
    }
    Ok(())
}

pub async fn refuses_id_0(cx: Cx, style: Style) -> Outcome {
    let fake = Fake::new(cx.timeline(), answer(100), answer(200));
    let result = style.run(&cx, &fake, 0).await?;
    ensure!(matches!(result, Err(FetchError::Validation { field: "id", .. })), "id 0 was not refused";
        expected = "FetchError::Validation for the field id",
        observed = format!("{result:?}"),
        help = "errors::check_id says whether an id can be asked for");
    let asked = requests(cx.timeline());
    ensure!(asked.is_empty(), "id 0 was refused only after a request";
        expected = "no request at all", observed = format!("{asked:?}"),
        help = "check the argument before anything else");
    Ok(())
}

/// Drops the load while its requests are under way.
pub async fn stops_when_dropped(cx: Cx, style: Style, under_way: &[Request]) -> Outcome {
    let fake = Fake::new(cx.timeline(), answer(100), answer(200));
    // What never begins, or never ends, has no merit in stopping.
    cx.call(style.name, (style.load)(&fake, 7)).await?;
    let before = cx.alive_tasks();
    let begin = cx.timeline().now_ms();
    let earlier = cx.timeline().events().len();
    let load = (style.load)(&fake, 7);
    let cut = cx.call(style.name, tokio::time::timeout(Duration::from_millis(50), load)).await?;
    ensure!(cut.value.is_err(), "the load was over before its first answer";
        expected = "still loading after 50 ms, the user takes 100", observed = "it returned");
    cx.settle().await;
    let saw = |request: Request, what: &str| {
        let mut events = cx.timeline().events().into_iter().skip(earlier);
        let found = events.find(|event| event.who == request.to_string() && event.what == what);
        found.map(|event| event.at_us / 1000)
    };
    for request in under_way {
        if saw(*request, "requested").is_none() {
            continue; // nothing to give up
        }
        let gone = saw(*request, "is given up");
        ensure!(gone == Some(begin + 50), "the load was dropped, but the request for {request} goes on";
            expected = format!("the request is given up with the load, at {} ms", begin + 50),
            observed = "it is still under way",
            help = "a spawned task outlives the future that waits for it: do not spawn, or abort it \
                    when the future is dropped (a JoinSet does)");
    }
    let left = cx.alive_tasks().saturating_sub(before);
    ensure!(left == 0, "the load was dropped, but {left} of its tasks live on";
        expected = "nothing is left", observed = format!("{left} tasks"),
        help = "abort what you spawned when the future is dropped");
    Ok(())
}
