//! What level 5 promises, by its public API.

mod notifications;
