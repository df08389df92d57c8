//! The load with combinators.

use futures::FutureExt;
use level1::combinators;

use crate::styles::Style;

pub const COMBINATORS: Style = Style {
    name: "combinators::fetch_user_profile",
    module: "combinators",
    cancels: true,
    load: |source, id| combinators::fetch_user_profile(source, id).map(Some).boxed(),
};
