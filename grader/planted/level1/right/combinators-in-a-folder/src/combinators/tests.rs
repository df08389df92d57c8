//! The learner's own tests.

use std::sync::Arc;

use crate::async_await;
use crate::source::{ProfileSource, SourceError};

struct Nothing;

impl ProfileSource for Nothing {
    fn user(
        &self,
        _: u64,
    ) -> futures::future::BoxFuture<'static, Result<crate::model::User, SourceError>> {
        Box::pin(async { Err(SourceError::Status { status: 404 }) })
    }

    fn posts(
        &self,
        _: u64,
    ) -> futures::future::BoxFuture<'static, Result<Vec<crate::model::Post>, SourceError>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

#[tokio::test]
async fn both_styles_refuse_alike() {
    let one = super::fetch_user_profile(Arc::new(Nothing), 7).await;
    assert_eq!(one, async_await::fetch_user_profile(Arc::new(Nothing), 7).await);
}
