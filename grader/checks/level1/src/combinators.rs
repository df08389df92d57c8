//! The criteria of the load with combinators.

use grader_kit::{Cx, Outcome};
use level1::source::Request;

use crate::styles::{self, COMBINATORS};
pub use crate::syntax::{combinators_alone as own_work, no_async};

pub async fn profile(cx: Cx) -> Outcome {
    styles::gives_the_profile(cx, COMBINATORS).await
}

pub async fn user_first(cx: Cx) -> Outcome {
    styles::user_first(cx, COMBINATORS).await
}

pub async fn no_posts_without_user(cx: Cx) -> Outcome {
    styles::no_posts_without_user(cx, COMBINATORS).await
}

pub async fn names_the_request(cx: Cx) -> Outcome {
    styles::names_the_request(cx, COMBINATORS).await
}

pub async fn refuses_id_0(cx: Cx) -> Outcome {
    styles::refuses_id_0(cx, COMBINATORS).await
}

pub async fn stops_when_dropped(cx: Cx) -> Outcome {
    styles::stops_when_dropped(cx, COMBINATORS, &[Request::User(7)]).await
}
