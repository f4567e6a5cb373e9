//! Runs many trials side by side.

use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::{Outcome, Trial};

/// Runs all, `jobs` at a time, and prints each as a line when it ends. Gives those that failed.
pub async fn run(trials: Vec<Trial>, jobs: usize) -> Vec<String> {
    run_with(trials, jobs, |trial, outcome| println!("{}", line(trial, outcome))).await
}

/// Runs all, `jobs` at a time, and hands over each that went well when it ends. Gives those that
/// failed, which are printed too.
pub async fn run_with(
    trials: Vec<Trial>,
    jobs: usize,
    mut take: impl FnMut(&Trial, &Outcome),
) -> Vec<String> {
    let room = Arc::new(Semaphore::new(jobs));
    let mut running = JoinSet::new();
    for trial in trials {
        let room = room.clone();
        running.spawn(async move {
            let _place = room.acquire_owned().await.expect("the semaphore is never closed");
            (trial, trial.run().await)
        });
    }
    let (mut failures, total) = (Vec::new(), running.len());
    let mut done = 0;
    while let Some(ended) = running.join_next().await {
        done += 1;
        match ended {
            Ok((trial, Ok(outcome))) => take(&trial, &outcome),
            Ok((trial, Err(error))) => {
                println!("FAILED {trial}: {error}");
                failures.push(format!("{trial}: {error}"));
            }
            Err(panic) => failures.push(panic.to_string()),
        }
        if std::io::stderr().is_terminal() {
            eprint!("\r{done} of {total}\r");
            _ = std::io::stderr().flush();
        }
    }
    failures
}

/// The head of a table of [`row`]s.
pub const TABLE_HEAD: &str = "\
| client | server | mode | profile | window | MTU | link | bytes | seconds | MB/s | lost | of sendoff's client |
|---|---|---|---|---|---|---|---|---|---|---|---|";

/// A trial as a row of a table in Markdown.
pub fn row(trial: &Trial, outcome: &Outcome) -> String {
    let name = trial.to_string();
    let values: Vec<_> = name.split(' ').filter_map(|pair| pair.split_once('=')).map(|pair| pair.1).collect();
    let (seconds, [lost, ..]) = (outcome.elapsed.as_secs_f64(), outcome.impaired);
    let rate = trial.bytes as f64 / 1e6 / seconds;
    let (values, bytes, detail) = (values.join(" | "), trial.bytes, &outcome.detail);
    format!("| {values} | {bytes} | {seconds:.3} | {rate:.2} | {lost} | {detail} |")
}

fn line(trial: &Trial, outcome: &Outcome) -> String {
    let seconds = outcome.elapsed.as_secs_f64();
    let rate = trial.bytes as f64 / 1e6 / seconds;
    let [lost, reordered, duplicated] = outcome.impaired;
    let mut line = format!("{trial}: {} bytes in {seconds:.3} s, {rate:.2} MB/s", trial.bytes);
    if trial.link.is_some() {
        line += &format!(", lost {lost}, reordered {reordered}, duplicated {duplicated}");
    }
    if !outcome.detail.is_empty() {
        line += &format!(", {}", outcome.detail);
    }
    line
}
