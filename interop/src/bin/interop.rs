//! Runs the full product of the kcp-go trials, or those of its rows that match, and prints a table
//! of their figures: `interop [--jobs N] [--dice N] [--list] [--peers] [KEY=VALUE ...]`, the keys and
//! values as `--list` prints them. `--dice` makes other losses; `--peers` puts kcp-go on both sides,
//! which proves the harness itself.

use std::process::ExitCode;

use sendoff_interop::{Peer, Side, Trial, ready, runner, table};

fn main() -> ExitCode {
    let (mut jobs, mut dice, mut list, mut peers_only, mut wanted) = (8, 0, false, false, Vec::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--list" => list = true,
            "--peers" => peers_only = true,
            "--jobs" | "--dice" => match arguments.next().and_then(|value| value.parse().ok()) {
                Some(value) if argument == "--jobs" => jobs = value,
                Some(value) => dice = value as u64,
                None => return usage(&format!("{argument} needs a number")),
            },
            pair if pair.contains('=') => wanted.push(argument),
            other => return usage(other),
        }
    }
    let trials: Vec<Trial> = table::full()
        .iter()
        .map(|row| if peers_only { without_ours(table::trial(row)) } else { table::trial(row) })
        .map(|trial| Trial { dice, ..trial })
        .filter(|trial| {
            let name = trial.to_string();
            wanted.iter().all(|pair| name.split(' ').any(|word| word == pair))
        })
        .collect();
    if list {
        trials.iter().for_each(|trial| println!("{trial}"));
        return ExitCode::SUCCESS;
    }
    if trials.is_empty() || !ready(&Peer::KCP_GO) {
        eprintln!("nothing to run");
        return ExitCode::FAILURE;
    }
    let total = trials.len();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
    let mut rows = Vec::new();
    let failures = runtime.block_on(runner::run_with(trials, jobs, |trial, outcome| {
        rows.push(runner::row(trial, outcome));
    }));
    rows.sort();
    println!("{}", runner::TABLE_HEAD);
    rows.iter().for_each(|row| println!("{row}"));
    println!("{} passed, {} failed", total - failures.len(), failures.len());
    failures.iter().for_each(|failure| eprintln!("FAILED {failure}"));
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The same with the other version of kcp-go in our place.
fn without_ours(mut trial: Trial) -> Trial {
    let other = |theirs| {
        let other = Peer::KCP_GO.into_iter().find(|peer| Side::Theirs(*peer) != theirs);
        Side::Theirs(other.expect("there are two versions"))
    };
    if trial.client == Side::Ours {
        trial.client = other(trial.server);
    } else {
        trial.server = other(trial.client);
    }
    trial
}

fn usage(problem: &str) -> ExitCode {
    eprintln!("interop: {problem}\nusage: interop [--jobs N] [--dice N] [--list] [--peers] [KEY=VALUE ...]");
    ExitCode::from(2)
}
