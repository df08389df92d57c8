//! The grader: builds the levels of the course, judges every criterion in a process of its own,
//! and tells the learner what happened and what to do next.
//!
//! This package links no code of a level. What a level must do stands in the [`catalog`]; how it is
//! judged stands in the check binaries (`grader/checks/levelN`), which [`build`] compiles with a
//! nested cargo and [`supervise`] runs, one process for each criterion. [`grade`] puts the two
//! together into a [`report::Report`], which is the only thing that the command line, the test
//! harness, the JSON and the [`page`] show. A [`scene`] is a picture of it.
//!
//! [`starter`] turns a reference solution into a learner's blank, [`update`] puts a newer course under it;
//! [`submission`] lays a learner's
//! files over a pristine copy of the workspace, and [`class`] grades many of them into a gradebook.
//! [`doctor`] says whether a machine can grade. [`watch`] decides what `cargo grade watch` shows;
//! [`progress`] remembers what a learner has reached.

pub mod build;
pub mod catalog;
pub mod class;
pub mod doctor;
pub mod grade;
pub mod inspect;
pub mod interrupt;
pub mod lesson;
pub mod page;
pub mod progress;
pub mod report;
pub mod scene;
pub mod seed;
pub mod select;
pub mod starter;
pub mod submission;
pub mod supervise;
pub mod update;
pub mod watch;
pub mod workspace;
