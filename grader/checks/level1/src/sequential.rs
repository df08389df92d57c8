//! The criteria of the sequential load with async/await.

use grader_kit::{Cx, Outcome};
use level1::source::Request;

use crate::styles::{self, SEQUENTIAL};
pub use crate::syntax::async_await_alone as own_work;

pub async fn profile(cx: Cx) -> Outcome {
    styles::gives_the_profile(cx, SEQUENTIAL).await
}

pub async fn user_first(cx: Cx) -> Outcome {
    styles::user_first(cx, SEQUENTIAL).await
}

pub async fn no_posts_without_user(cx: Cx) -> Outcome {
    styles::no_posts_without_user(cx, SEQUENTIAL).await
}

pub async fn names_the_request(cx: Cx) -> Outcome {
    styles::names_the_request(cx, SEQUENTIAL).await
}

pub async fn refuses_id_0(cx: Cx) -> Outcome {
    styles::refuses_id_0(cx, SEQUENTIAL).await
}

pub async fn stops_when_dropped(cx: Cx) -> Outcome {
    styles::stops_when_dropped(cx, SEQUENTIAL, &[Request::User(7)]).await
}
