//! Everything is in `call.rs`.
