//! What level 5 promises, by its public API.

mod conflict;
mod multi_source_cache;
