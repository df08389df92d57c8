//! All calls at once, all or nothing, in tasks.

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::error::SectionError;
use crate::model::{Loaded, PartialDashboard, Section};
use crate::source::DashboardSource;

/// Starts all five calls at once and returns when all have answered.
pub async fn load(source: Arc<dyn DashboardSource>) -> Result<Loaded, SectionError> {
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for section in Section::ALL {
        let call = section.fetch(Arc::clone(&source));
        tasks.spawn(async move { call.await.map_err(|error| SectionError::new(section, error)) });
    }
    let mut page = PartialDashboard::default();
    while let Some(ended) = tasks.join_next().await {
        match ended {
            Ok(Ok(data)) => page.insert(data),
            Ok(Err(error)) => {
                tasks.shutdown().await;
                return Err(error);
            }
            Err(error) => {
                tasks.shutdown().await;
                std::panic::resume_unwind(error.into_panic());
            }
        }
    }
    let dashboard = page.complete().expect("five tasks, five sections");
    Ok(Loaded { dashboard, took: started.elapsed() })
}
