//! The loads with async and await.

use futures::FutureExt;
use level1::async_await;

use crate::styles::Style;

pub const SEQUENTIAL: Style = Style {
    name: "async_await::fetch_user_profile",
    module: "async_await",
    cancels: true,
    load: |source, id| async_await::fetch_user_profile(source, id).map(Some).boxed(),
};

pub const PARALLEL: Style = Style {
    name: "async_await::fetch_user_profile_parallel",
    module: "async_await",
    cancels: true,
    load: |source, id| async_await::fetch_user_profile_parallel(source, id).map(Some).boxed(),
};
