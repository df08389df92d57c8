//! Tests of level 2 against mocked sources, on the paused clock.

mod beyond;
mod given;
mod lessons;
mod sources;
mod strategies;
