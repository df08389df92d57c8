//! `start` and `solution`.
use super::{Arguments, Exit, Failure};

pub(super) fn start(_arguments: &Arguments, _level: Option<&str>) -> Result<Exit, Failure> {
    Err("not wired yet".into())
}

pub(super) fn solution(_arguments: &Arguments, _name: &str) -> Result<Exit, Failure> {
    Err("not wired yet".into())
}
