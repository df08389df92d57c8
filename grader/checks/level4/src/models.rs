//! The modules against reference models: random scripts, short ones first.
//!
//! A model says what the documentation says, in the plainest way there is.

mod debounce;

pub use debounce::debounce;
