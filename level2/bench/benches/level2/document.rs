//! The wording of what was measured.

use bench_kit::contest::Outcome;
use bench_kit::report::{self, Table};
use level2::strategy::Strategy;

use crate::strategies::PEERS;

/// The text between the marks.
pub fn text(outcome: &Outcome, peaks: &[(Strategy, usize)]) -> String {
    format!(
        "## CPU and memory of one load\n\n\
         Cases are measured in turns, on the paused clock, where nothing waits. A ratio is the median over all\n\
         rounds, with the bounds within which it lies in 95 of 100 such runs. Memory is the most that was\n\
         allocated at once during a load, futures and timers included.\n\n{}\n\
         The same five calls with other people's crates. All of them include the calls and their timers.\n\n{}\n\
         What the strategies do beside: each keeps when it began and says how long it took, and which section\n\
         failed. `all_settled` also turns the panic of a source into a failure of its section.\n",
        strategies(outcome, peaks),
        peers(outcome)
    )
}

fn strategies(outcome: &Outcome, peaks: &[(Strategy, usize)]) -> String {
    let first = Strategy::ALL[0].name();
    let mut table = Table::new(&["strategy", "CPU time", "over sequential", "peak memory"]);
    for (strategy, peak) in peaks {
        let name = strategy.name();
        let ratio =
            if name == first { "1".to_owned() } else { report::ratio(outcome.ratio(name, first)) };
        let time = report::nanos(outcome.nanos(name).median);
        table.row(&[name.to_owned(), time, ratio, format!("{peak} bytes")]);
    }
    table.text().to_owned()
}

fn peers(outcome: &Outcome) -> String {
    let head = ["peer", "its CPU time", "strategy at the same work", "strategy over the peer"];
    let mut table = Table::new(&head);
    for (peer, strategy) in PEERS {
        let time = report::nanos(outcome.nanos(peer).median);
        let ratio = report::ratio(outcome.ratio(strategy.name(), peer));
        table.row(&[peer.to_owned(), time, strategy.name().to_owned(), ratio]);
    }
    table.text().to_owned()
}
