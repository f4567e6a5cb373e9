//! Peer programs: which there are, and running them.

use std::fmt;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use interop_plan::{Event, LISTENING, Options};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

/// Turns a hang of a peer program into a failure.
const WATCHDOG: Duration = Duration::from_secs(120);

/// A KCP stack that people run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Peer {
    /// kcp-go 5.6.72, of 2026.
    KcpGo5672,
    /// kcp-go 5.6.1, of 2021, which Debian's kcptun has inside.
    KcpGo561,
    /// The C original.
    Ikcp,
    /// tokio_kcp, a Rust port of it.
    TokioKcp,
}

impl Peer {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::KcpGo5672, Self::KcpGo561, Self::Ikcp, Self::TokioKcp];
    /// Both versions of kcp-go.
    pub const KCP_GO: [Self; 2] = [Self::KcpGo5672, Self::KcpGo561];

    /// The most fragments of a message that it sends and receives as one message.
    pub fn most_fragments(self) -> usize {
        match self {
            // Its `Write` cuts at the segment, and sends each piece as a message of its own.
            Self::KcpGo5672 | Self::KcpGo561 => 1,
            Self::Ikcp | Self::TokioKcp => 100,
        }
    }

    fn program(self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers").join(self.to_string())
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KcpGo5672 => "kcp-go-5.6.72",
            Self::KcpGo561 => "kcp-go-5.6.1",
            Self::Ikcp => "ikcp",
            Self::TokioKcp => "tokio-kcp",
        })
    }
}

/// Whether these peers have been built. If not, says so, and fails where CI=true.
pub fn ready(peers: &[Peer]) -> bool {
    let missing: Vec<_> = peers.iter().filter(|peer| !peer.program().exists()).collect();
    for peer in &missing {
        let reason = format!("{peer} has not been built: run interop/setup.sh (it needs Go and libclang)");
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{reason}");
        // Not eprintln: the test runner hides that of a test that passes.
        _ = writeln!(std::io::stderr(), "skipped: {reason}");
    }
    missing.is_empty()
}

/// A running peer program.
struct Program {
    peer: Peer,
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Program {
    fn start(peer: Peer, role: &str, options: &Options) -> Result<Self, String> {
        let mut child = Command::new(peer.program())
            .arg(role)
            .args(options.arguments())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("{peer}: {error}"))?;
        let lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        Ok(Self { peer, child, lines })
    }

    /// The next line of stdout, `None` at its end.
    async fn line(&mut self) -> Result<Option<String>, String> {
        match timeout(WATCHDOG, self.lines.next_line()).await {
            Ok(Ok(line)) => Ok(line),
            Ok(Err(error)) => Err(format!("{}: {error}", self.peer)),
            Err(_) => Err(format!("{} said nothing for {WATCHDOG:?}", self.peer)),
        }
    }

    async fn event(&mut self) -> Result<Option<Event>, String> {
        let Some(line) = self.line().await? else { return Ok(None) };
        let event = serde_json::from_str(&line);
        event.map(Some).map_err(|error| format!("{}: {line:?}: {error}", self.peer))
    }
}

/// A peer's server in a process of its own. It ends when it is dropped.
pub struct Server {
    program: Program,
    address: SocketAddr,
}

impl Server {
    /// Starts it, and waits until it listens.
    pub async fn start(peer: Peer, options: &Options) -> Result<Self, String> {
        let mut program = Program::start(peer, "server", options)?;
        let first = program.line().await?.unwrap_or_default();
        let address = first.strip_prefix(LISTENING).and_then(|address| address.parse().ok());
        let address = address.ok_or_else(|| format!("{peer} began with {first:?}"))?;
        Ok(Self { program, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for its next event.
    pub async fn event(&mut self) -> Result<Event, String> {
        let ended = format!("{} ended", self.program.peer);
        self.program.event().await?.ok_or(ended)
    }

    /// Waits for its next report of what it has read from a connection: bytes, messages, hash.
    pub async fn report(&mut self) -> Result<(usize, usize, String), String> {
        loop {
            if let Event::Received { bytes, messages, sha256, .. } = self.event().await? {
                return Ok((bytes, messages, sha256));
            }
        }
    }

    /// Ends it, and gives the events that nobody has waited for.
    pub async fn stop(mut self) -> Result<Vec<Event>, String> {
        _ = self.program.child.start_kill();
        let mut rest = Vec::new();
        while let Some(event) = self.program.event().await? {
            rest.push(event);
        }
        Ok(rest)
    }
}

/// Runs a peer's client to its end: right bytes and milliseconds, or what went wrong.
pub async fn run_client(peer: Peer, options: &Options) -> Result<(usize, f64), String> {
    let mut program = Program::start(peer, "client", options)?;
    match program.event().await? {
        Some(Event::Result { ok: true, bytes, elapsed_ms, .. }) => Ok((bytes, elapsed_ms)),
        Some(Event::Result { bytes, error, .. }) => {
            Err(format!("{peer} client after {bytes} bytes: {error}"))
        }
        other => Err(format!("{peer} client said {other:?}")),
    }
}
