//! Tests of level 2 against mocked sources, on the paused clock.

mod beyond;
mod given;
mod sources;
mod strategies;
