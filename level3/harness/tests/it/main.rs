//! The reference gateway against mocks, under load and under single faults. The grader runs the whole sweep.

mod load;
mod mocked;
mod overload;
mod sweep;
