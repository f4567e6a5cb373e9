//! The commands: each turns checked arguments into work, and its result into an outcome.

mod activity;
mod bench;
pub mod capture;
mod connect;
mod conversation;
mod demo;
pub mod dissect;
mod generate;
mod lines;
mod listen;
mod netcat;
mod open;
mod ping;
mod printer;

pub use conversation::Kcp;

use crate::{
    args::{Args, BenchKind, Command},
    exit::Outcome,
    report::Report,
    signals::Interrupts,
};
use anyhow::Context;
use std::future::Future;

/// Runs what the command line asks for.
///
/// # Errors
/// See [`exit::finish`](crate::exit::finish) for what becomes of them.
pub fn run(args: Args, report: Report) -> anyhow::Result<Outcome> {
    let output = args.output;
    start_log(output.verbose);
    match args.command {
        Command::Demo => block_on(|interrupts| demo::run(report, interrupts)),
        Command::Listen(listen) => {
            let drivers = listen::drivers(&listen);
            block_on_threads(drivers, |interrupts| listen::run(listen, report, interrupts))
        }
        Command::Connect(connect) => block_on(|interrupts| connect::run(connect, report, interrupts)),
        Command::Ping(ping) => block_on(|interrupts| ping::run(ping, report, interrupts)),
        Command::Bench(bench) => match bench.kind {
            BenchKind::Ciphers(args) => block_on(|interrupts| bench::ciphers::run(args, report, interrupts)),
        },
        Command::Dissect(args) => dissect::run(args, output, &report),
        Command::Completions { shell } => generate::completions(shell),
        Command::Man => generate::man(),
    }
}

/// One thread does it all: the driver of a socket and those who use it wake each other cheaply then.
fn block_on<F>(work: impl FnOnce(Interrupts) -> F) -> anyhow::Result<Outcome>
where
    F: Future<Output = anyhow::Result<Outcome>>,
{
    block_on_threads(1, work)
}

/// The same with a thread for each driver where there are several, up to the number of cores.
fn block_on_threads<F>(drivers: usize, work: impl FnOnce(Interrupts) -> F) -> anyhow::Result<Outcome>
where
    F: Future<Output = anyhow::Result<Outcome>>,
{
    let mut builder = match drivers {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let cores = std::thread::available_parallelism().map_or(drivers, usize::from);
    let runtime = builder.worker_threads(drivers.min(cores)).enable_all().build()?;
    let result = runtime.block_on(async {
        let interrupts = Interrupts::install().context("cannot handle signals")?;
        work(interrupts).await
    });
    // A read of stdin can't be called off: don't wait for it.
    runtime.shutdown_background();
    result
}

fn start_log(verbosity: u8) {
    let level = match verbosity {
        0 => return,
        1 => tracing::Level::DEBUG,
        _ => tracing::Level::TRACE,
    };
    tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).with_ansi(false).init();
}
