//! What level 5 promises, by its public API.

mod conflict;
mod digests;
mod form_validator;
mod multi_source_cache;
mod notifications;
mod orchestrator;
mod pipeline;
mod registration;
mod sync_engine;
