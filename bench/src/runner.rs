//! Runs the peers in turn, round by round, each as a fresh pair of pinned processes.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::child::Measured;
use crate::machine;
use crate::meter::{Event, Mark};
use crate::plan::{Case, Peer, Scenario, Settings, name};

/// How long all idle connections may take to open.
const OPENING: Duration = Duration::from_secs(45);

/// How long idle connections are left alone before they are measured: buffers that a peer frees when it has
/// nothing to do shall be free by then.
const SETTLING: Duration = Duration::from_secs(3);

/// One of those that are compared.
#[derive(Clone, Debug)]
pub struct Contestant {
    /// Its column's heading.
    pub label: String,
    /// What it is.
    pub peer: Peer,
    /// The program that plays it.
    pub program: OsString,
}

/// How long things take.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Traffic before it is measured.
    pub warm_up: Duration,
    /// Traffic, or idleness, that is measured.
    pub measured: Duration,
}

/// What came of one pair of processes.
#[derive(Clone, Debug)]
pub struct Run {
    /// The figures, in the order of the scenario's metrics.
    pub figures: Vec<f64>,
    /// CPU time that others used on the CPUs of the run, as a share of its time, 0 to 1.
    pub others: f64,
    /// Bytes sent in vain, as a share of those that arrived (`raw` and `udp` alone).
    pub lost: f64,
}

/// Runs one pair of processes.
pub fn run(case: Case, contestant: &Contestant, settings: &Settings, times: Times) -> Result<Run> {
    let (server_cpu, client_cpu) = case.regime.cpus();
    let arguments = |role: &str| vec![role.to_owned(), name(contestant.peer), name(case.scenario)];
    let mut server_args = arguments("server");
    server_args.extend(settings.to_args(contestant.peer));
    let mut server = Measured::spawn("server", &contestant.program, &server_args, server_cpu)?;
    let measured = (|| {
        let Event::Listening { address } = server.answer()? else { bail!("the server does not listen") };
        let mut client_args = arguments("client");
        client_args.extend([address.to_string(), format!("--connections={}", case.connections)]);
        client_args.extend(settings.to_args(contestant.peer));
        let mut client = Measured::spawn("client", &contestant.program, &client_args, client_cpu)?;
        let measured = measure(case, &mut server, &mut client, times);
        with_complaints(measured, &mut client)
    })();
    with_complaints(measured, &mut server)
}

/// An error becomes more telling with what the process wrote to standard error.
fn with_complaints<T>(result: Result<T>, process: &mut Measured) -> Result<T> {
    let complaints = process.end();
    result.map_err(|error| match complaints.is_empty() {
        true => error,
        false => error.context(complaints),
    })
}

fn measure(case: Case, server: &mut Measured, client: &mut Measured, times: Times) -> Result<Run> {
    ensure!(matches!(client.answer()?, Event::Ready), "the client is not connected");
    let cpus = BTreeSet::from([case.regime.cpus().0, case.regime.cpus().1]);
    let memory = match case.scenario {
        Scenario::Idle => Some(open_idle(server, client)?),
        _ => {
            thread::sleep(times.warm_up);
            None
        }
    };
    let busy_before = machine::busy(&cpus)?;
    let began = Instant::now();
    let (server_before, client_before) = mark(server, client)?;
    thread::sleep(times.measured);
    let (server_after, client_after) = mark(server, client)?;
    let busy = machine::busy(&cpus)?.saturating_sub(busy_before).as_secs_f64();
    let available = began.elapsed().as_secs_f64() * cpus.len() as f64;
    let spans =
        Spans { server: Span(server_before, server_after), client: Span(client_before, client_after) };
    let figures = match memory {
        Some(before) => {
            let after = server.resident_bytes()?;
            let held = server_after.connections;
            ensure!(held == case.connections as u64 + 1, "the server holds {held} connections");
            spans.idleness(after.saturating_sub(before) as f64 / case.connections as f64)
        }
        None => spans.traffic(case.scenario)?,
    };
    let ours = spans.server.cpu() + spans.client.cpu();
    let lost = client_after.lost - client_before.lost;
    Ok(Run {
        figures,
        others: ((busy - ours) / available).clamp(0.0, 1.0),
        lost: lost as f64 / (spans.client.delivered() + spans.server.delivered()).max(1.0),
    })
}

/// Opens the idle connections; returns the server's memory before that.
fn open_idle(server: &mut Measured, client: &mut Measured) -> Result<u64> {
    let before = server.resident_bytes()?;
    client.go()?;
    let opened = match client.event(OPENING) {
        Ok(opened) => opened,
        Err(error) => {
            let (_, so_far) = mark(server, client).context("too busy with so many connections")?;
            return Err(error.context(format!("{} connections opened", so_far.connections)));
        }
    };
    ensure!(matches!(opened, Event::Opened), "{opened:?} instead of open connections");
    thread::sleep(SETTLING);
    Ok(before)
}

/// Asks both at the same moment, then listens to both.
fn mark(server: &mut Measured, client: &mut Measured) -> Result<(Mark, Mark)> {
    server.mark()?;
    client.mark()?;
    Ok((server.marked()?, client.marked()?))
}

/// What a process did between two marks.
struct Span(Mark, Mark);

impl Span {
    fn seconds(&self) -> f64 {
        (self.1.at_ns - self.0.at_ns) as f64 / 1e9
    }

    fn cpu(&self) -> f64 {
        (self.1.cpu_ns - self.0.cpu_ns) as f64 / 1e9
    }

    fn delivered(&self) -> f64 {
        (self.1.delivered - self.0.delivered) as f64
    }
}

struct Spans {
    server: Span,
    client: Span,
}

impl Spans {
    /// CPU seconds of both per second. Their marks lie some microseconds apart, so each counts by its own clock.
    fn cpu_rate(&self) -> f64 {
        self.server.cpu() / self.server.seconds() + self.client.cpu() / self.client.seconds()
    }

    fn traffic(&self, scenario: Scenario) -> Result<Vec<f64>> {
        // Bulk data has arrived when the server's application has read it, an echo when the client's has.
        let receiver = if scenario == Scenario::Bulk { &self.server } else { &self.client };
        ensure!(receiver.delivered() > 0.0, "nothing was delivered");
        let bytes_per_second = receiver.delivered() / receiver.seconds();
        Ok(match scenario {
            Scenario::PingPong | Scenario::Open => {
                let mark = &self.client.1;
                let per_second = mark.round_trips as f64 / self.client.seconds();
                let microseconds = |nanos: u64| nanos as f64 / 1e3;
                vec![microseconds(mark.p50_ns), microseconds(mark.p99_ns), self.cpu_rate() / per_second * 1e6]
            }
            _ => vec![bytes_per_second / 1e6, self.cpu_rate() / (bytes_per_second / 1e9)],
        })
    }

    fn idleness(&self, bytes_per_connection: f64) -> Vec<f64> {
        vec![bytes_per_connection / 1e3, self.server.cpu() / self.server.seconds() * 100.0]
    }
}

/// Builds kcp-go's program with the `go` command.
pub fn build_kcp_go() -> Result<PathBuf> {
    build(".", "kcp-go-peer")
}

/// Builds the program that measures kcp-go's ciphers.
pub fn build_kcp_go_ciphers() -> Result<PathBuf> {
    build("./ciphers", "kcp-go-ciphers")
}

/// Builds the program that measures kcp-go's FEC.
pub fn build_kcp_go_fec() -> Result<PathBuf> {
    build("./fec", "kcp-go-fec")
}

fn build(package: &str, name: &str) -> Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = here.join("target").join(name);
    let built = Command::new("go")
        .args(["build", "-o"])
        .arg(&program)
        .arg(package)
        .current_dir(here.join("peers/kcp-go"))
        .status()
        .context("go is not there")?;
    ensure!(built.success(), "go build ended with {built}");
    Ok(program)
}
