//! Compares sendoff with its peers, side by side in the same run. See README.md.

use std::env;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand, ValueEnum};
use serde_json::json;

mod child;
mod ciphers;
mod fec;
mod load;
mod machine;
mod meter;
mod net;
mod peers;
mod plan;
mod report;
mod runner;

use machine::Machine;
use meter::{Meter, fail};
use plan::{Case, Peer, Regime, Runtime, Scenario, Settings, name};
use report::Comparison;
use runner::{Contestant, Run, Times};

/// How often a disturbed run is repeated at most.
const REPETITIONS: usize = 4;

/// Compares sendoff with its peers, side by side in the same run.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Compare: starts servers and clients by itself, pinned to their CPUs
    Run(RunArguments),
    /// Compare the ciphers with kcp-go's: needs the `go` command
    Ciphers(ciphers::Arguments),
    /// One measurement of one cipher; `ciphers` starts it
    #[command(hide = true)]
    Cipher(ciphers::Single),
    /// Compare FEC with kcp-go's: needs the `go` command
    Fec(fec::Arguments),
    /// One measurement of FEC; `fec` starts it
    #[command(hide = true)]
    FecOnce(fec::Single),
    /// One side of a run; `run` starts it and talks to it over standard input and output
    #[command(hide = true)]
    Server {
        #[arg(value_enum)]
        peer: Peer,
        #[arg(value_enum)]
        scenario: Scenario,
        #[command(flatten)]
        settings: Settings,
    },
    /// The other side
    #[command(hide = true)]
    Client {
        #[arg(value_enum)]
        peer: Peer,
        #[arg(value_enum)]
        scenario: Scenario,
        address: SocketAddr,
        #[arg(long, default_value_t = 1)]
        connections: usize,
        #[command(flatten)]
        settings: Settings,
    },
}

#[derive(clap::Args)]
struct RunArguments {
    /// Scenarios, separated by commas [default: all]
    #[arg(long, value_enum, value_delimiter = ',')]
    scenario: Vec<Scenario>,
    /// Peers, separated by commas [default: all]
    #[arg(long, value_enum, value_delimiter = ',')]
    peers: Vec<Peer>,
    /// Where the processes run
    #[arg(long, value_enum, default_value_t = Regimes::Both)]
    regime: Regimes,
    /// Rounds; each runs every peer once
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Seconds of traffic that are measured in each run
    #[arg(long, default_value = "1.5", value_parser = seconds)]
    secs: Duration,
    /// Seconds of traffic before them
    #[arg(long, default_value = "0.5", value_parser = seconds)]
    warm_up: Duration,
    /// How many idle connections, separated by commas
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 10_000])]
    connections: Vec<usize>,
    /// Seconds of idleness that are measured
    #[arg(long, default_value = "5", value_parser = seconds)]
    idle_secs: Duration,
    /// Rounds of idleness (always SPLIT)
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    idle_rounds: u32,
    /// Repeat a run, up to four times, while others use more than this share of its CPUs, in percent; the least
    /// disturbed one counts
    #[arg(long, value_name = "PERCENT", default_value_t = 100.0)]
    max_others: f64,
    /// Run sendoff of another build of this program too, as LABEL=PROGRAM
    #[arg(long, value_name = "LABEL=PROGRAM", value_parser = labelled)]
    also: Vec<(String, OsString)>,
    #[command(flatten)]
    settings: Settings,
    /// Print one JSON object instead of tables; the rounds go to standard error
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Regimes {
    /// Server on CPU 0, client on CPU 1
    Split,
    /// Both on CPU 0
    Same,
    /// One after the other
    Both,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("{text:?} is no number of seconds"))?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err("must be more than 0".to_owned()),
    }
}

fn labelled(text: &str) -> Result<(String, OsString), String> {
    let (label, program) = text.split_once('=').ok_or("must be LABEL=PROGRAM")?;
    Ok((label.to_owned(), program.into()))
}

fn main() -> Result<ExitCode> {
    match Arguments::parse().command {
        Task::Run(arguments) => compare(&arguments),
        Task::Ciphers(arguments) => ciphers::compare(&arguments).map(|()| ExitCode::SUCCESS),
        Task::Cipher(arguments) => ciphers::single(&arguments).map(|()| ExitCode::SUCCESS),
        Task::Fec(arguments) => fec::compare(&arguments).map(|()| ExitCode::SUCCESS),
        Task::FecOnce(arguments) => fec::single(&arguments).map(|()| ExitCode::SUCCESS),
        Task::Server { peer, scenario, settings } => {
            let meter = Meter::start();
            play(&settings, peers::server(peer, scenario, &settings, meter))
        }
        Task::Client { peer, scenario, address, connections, settings } => {
            let meter = Meter::start();
            play(&settings, peers::client(peer, scenario, address, connections, &settings, meter))
        }
    }
}

/// Runs one side. It only ends by itself if it fails.
fn play(settings: &Settings, side: impl Future<Output = Result<()>>) -> Result<ExitCode> {
    let mut builder = match settings.runtime {
        Runtime::Current => tokio::runtime::Builder::new_current_thread(),
        Runtime::Multi => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = builder.worker_threads(2).enable_all().build()?;
    match runtime.block_on(side) {
        Ok(()) => fail("ended too early"),
        Err(error) => fail(&format!("{error:#}")),
    }
}

fn compare(arguments: &RunArguments) -> Result<ExitCode> {
    let machine = Machine::look()?;
    let contestants = contestants(arguments)?;
    let say = |text: &str| if arguments.json { eprintln!("{text}") } else { println!("{text}") };
    say(&format!(
        "{} × {}, Linux {}, largest receive buffer {} bytes",
        machine.cpus, machine.processor, machine.kernel, machine.largest_recv_buffer
    ));
    let mut comparisons = Vec::new();
    for case in cases(arguments) {
        let (rounds, measured) = match case.scenario {
            Scenario::Idle => (arguments.idle_rounds, arguments.idle_secs),
            _ => (arguments.rounds, arguments.secs),
        };
        let times = Times { warm_up: arguments.warm_up, measured };
        let playing = contestants.iter().filter(|contestant| contestant.peer.plays(case.scenario)).cloned();
        let mut comparison = Comparison { case, contestants: playing.collect(), rounds: Vec::new() };
        say(&format!("\n{case}: {rounds} × {measured:?}, tokio {}", name(arguments.settings.runtime)));
        for round in 0..rounds as usize {
            let run = |contestant| {
                let once = || runner::run(case, contestant, &arguments.settings, times);
                least_disturbed(arguments.max_others / 100.0, once).map_err(|error| format!("{error:#}"))
            };
            comparison.rounds.push(comparison.contestants.iter().map(run).collect());
            say(&comparison.round_line(round));
        }
        say(comparison.tables().trim_end());
        comparisons.push(comparison);
    }
    if arguments.json {
        let cases: Vec<_> = comparisons.iter().map(Comparison::to_json).collect();
        println!("{:#}", json!({ "machine": machine, "cases": cases }));
    }
    Ok(if comparisons.iter().any(Comparison::failed) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Repeats a run while it is disturbed. It's the disturbance that decides, never the figures.
fn least_disturbed(limit: f64, run: impl Fn() -> Result<Run>) -> Result<Run> {
    let mut best = run()?;
    for _ in 0..REPETITIONS {
        if best.others <= limit {
            break;
        }
        let again = run()?;
        if again.others < best.others {
            best = again;
        }
    }
    Ok(best)
}

fn cases(arguments: &RunArguments) -> Vec<Case> {
    let scenarios = match arguments.scenario.as_slice() {
        [] => Scenario::value_variants(),
        chosen => chosen,
    };
    let regimes: &[Regime] = match arguments.regime {
        Regimes::Split => &[Regime::Split],
        Regimes::Same => &[Regime::Same],
        Regimes::Both => &[Regime::Split, Regime::Same],
    };
    let mut cases = Vec::new();
    for &scenario in scenarios {
        if scenario == Scenario::Idle {
            let regime = Regime::Split;
            cases.extend(arguments.connections.iter().map(|&connections| Case {
                scenario,
                regime,
                connections,
            }));
        } else {
            cases.extend(regimes.iter().map(|&regime| Case { scenario, regime, connections: 1 }));
        }
    }
    cases
}

fn contestants(arguments: &RunArguments) -> Result<Vec<Contestant>> {
    let this = env::current_exe().context("own path")?.into_os_string();
    let peers = match arguments.peers.as_slice() {
        [] => Peer::value_variants(),
        chosen => chosen,
    };
    let mut contestants = Vec::new();
    for &peer in peers {
        let program = match peer {
            Peer::KcpGo => match runner::build_kcp_go() {
                Ok(program) => program.into_os_string(),
                Err(error) if arguments.peers.is_empty() => {
                    eprintln!("without kcp-go: {error:#}");
                    continue;
                }
                Err(error) => return Err(error.context("kcp-go")),
            },
            Peer::Sendoff if cfg!(not(feature = "sendoff")) => match arguments.peers.is_empty() {
                true => continue,
                false => bail!("built without the feature sendoff"),
            },
            _ => this.clone(),
        };
        contestants.push(Contestant { label: name(peer), peer, program });
    }
    let also = arguments.also.iter().cloned();
    contestants.extend(also.map(|(label, program)| Contestant { label, peer: Peer::Sendoff, program }));
    Ok(contestants)
}
