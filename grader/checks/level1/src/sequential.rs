//! The criteria of the sequential load with async/await.

use grader_kit::{Cx, Outcome};

use crate::fake::answer;
use crate::style_async::SEQUENTIAL;
use crate::{styles, syntax};

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
    let during_the_user = (answer(100), answer(100), 50);
    let during_the_posts = (answer(100), answer(100), 150);
    let others = [(answer(100), answer(100), 1), (answer(100), answer(100), 101)];
    let at_once = [(answer(0), answer(100), 50), (answer(100), answer(100), 199)];
    let late = [
        (answer(styles::SLOW), answer(10), styles::SLOW - 1_000),
        (answer(10), answer(styles::SLOW), styles::SLOW - 1_000),
    ];
    let cases = [[during_the_user, during_the_posts], others, at_once, late].concat();
    styles::stops_when_dropped(cx, SEQUENTIAL, &cases).await
}

pub async fn panics_pass(cx: Cx) -> Outcome {
    styles::panics_pass(cx, SEQUENTIAL).await
}

pub async fn loads_keep_apart(cx: Cx) -> Outcome {
    styles::loads_keep_apart(cx, SEQUENTIAL).await
}

pub async fn own_work(cx: Cx) -> Outcome {
    syntax::stands_alone(cx, SEQUENTIAL).await
}
