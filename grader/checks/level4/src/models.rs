//! The modules against reference models: random scripts, short ones first.
//!
//! A model says what the documentation says, in the plainest way there is. Where the order of two events of
//! one millisecond matters and is not promised, no script has them in one.

mod bulkhead;
mod chunk;
mod debounce;
mod paging;
mod single_flight;
mod state_store;
mod ttl_cache;

pub use bulkhead::bulkhead;
pub use chunk::chunk;
pub use debounce::debounce;
pub use paging::paging;
pub use single_flight::single_flight;
pub use state_store::state_store;
pub use ttl_cache::ttl_cache;
