//! What level 5 promises, by its public API.

mod form_validator;
mod registration;
