//! A payment, as clients send it and as they see it.
//!
//! | module | what it has |
//! |---|---|
//! | `body` | the checks of a request's body |
//! | `story` | the state and the steps of a payment, from its records |
//! | `view` | a payment as JSON |
//! | `list` | pages of payments |

pub(crate) mod body;
pub(crate) mod list;
pub(crate) mod story;
pub(crate) mod view;

pub use story::State;
