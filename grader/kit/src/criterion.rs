//! One entry of a level's table of criteria.
use std::fmt;
use std::future::Future;
use std::pin::Pin;

use grader_protocol::Fail;

use crate::Cx;

/// What a criterion says: nothing when the solution is right, or why it is not.
pub type Outcome = Result<(), Fail>;

/// A criterion's script.
pub type Body = fn(Cx) -> Pin<Box<dyn Future<Output = Outcome>>>;

/// A criterion: its id and the script that judges it.
#[derive(Clone, Copy)]
pub struct Criterion {
    /// As in the catalog: `level2/race/returns-at-the-third`.
    pub id: &'static str,
    /// Judges it.
    pub body: Body,
    /// Whether the script calls [`Cx::on_threads`](crate::Cx::on_threads).
    pub threads: bool,
}

impl fmt::Debug for Criterion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Criterion").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A table of criteria: `criteria! { "level2/race/..." => race::some_async_fn, ... }`.
///
/// Each function takes a [`Cx`](crate::Cx) and is `async fn(Cx) -> Outcome`. `threads` before an id gives
/// the criterion threads: see [`Cx::on_threads`](crate::Cx::on_threads).
#[macro_export]
macro_rules! criteria {
    ($($($threads:ident)? $id:literal => $script:path),* $(,)?) => {
        &[$($crate::Criterion {
            id: $id,
            body: |cx| Box::pin($script(cx)),
            threads: $crate::criteria!(@threads $($threads)?),
        }),*]
    };
    (@threads) => { false };
    (@threads threads) => { true };
}
