//! What level 5 promises, by its public API.

mod orchestrator;

mod pipeline;

mod form_validator;
mod registration;

mod notifications;

mod conflict;
mod multi_source_cache;
