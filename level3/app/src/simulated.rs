//! The simulated services that the command line asks for, and where their files are.

use std::path::PathBuf;
use std::sync::Arc;

use level3_sim::{Latencies, RandomFaults, Rates, World};

use super::args::ServiceArgs;
use super::problem::ProgramError;

/// The files of the simulated services.
pub fn services(args: &ServiceArgs) -> PathBuf {
    args.simulated.clone().unwrap_or_else(|| args.store().simulated())
}

/// The simulated services that the command line asks for.
pub fn world(args: &ServiceArgs, stripe: bool, mail: bool) -> Result<World, ProgramError> {
    let faults = RandomFaults::new(rates(args), args.seed);
    // As with SendGrid, each request is a mail: what keeps a receipt from being sent twice is tested by it.
    let world = World::with(Latencies::faster(args.speed), Arc::new(faults), None).repeating_mail();
    if stripe && mail {
        // The fraud check has no file.
        return Ok(world);
    }
    let path = services(args);
    world.kept_in(&path).map_err(|why| ProgramError::Simulated { path: files(path), why })
}

fn files(path: PathBuf) -> PathBuf {
    let mut files = path.into_os_string();
    files.push(".{provider,mails}");
    files.into()
}

fn rates(args: &ServiceArgs) -> Rates {
    if args.calm {
        return Rates::NONE;
    }
    let Some(percent) = args.failure_rate else { return Rates::ASSIGNMENT };
    // The percentage was checked: at most 1000 of 1000.
    let rate = (percent * 10.0).round() as u32;
    let declined = Rates::ASSIGNMENT.declined;
    Rates {
        create: rate,
        fraud: rate,
        confirm: rate,
        save: rate,
        receipt: rate,
        other: rate,
        declined,
    }
}
