//! Peer programs: which there are, and running them.

use std::fmt;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use interop_plan::{CLOSE, Event, LISTENING, Options, SHARDS};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
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
    /// kcp-tokio, another.
    KcpTokio,
}

impl Peer {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::KcpGo5672, Self::KcpGo561, Self::Ikcp, Self::TokioKcp, Self::KcpTokio];
    /// Both versions of kcp-go.
    pub const KCP_GO: [Self; 2] = [Self::KcpGo5672, Self::KcpGo561];

    /// The most fragments of a message that it sends and receives as one message.
    pub fn most_fragments(self) -> usize {
        match self {
            // Their writes are cut at the segment, and each piece is sent as a message of its own.
            Self::KcpGo5672 | Self::KcpGo561 | Self::KcpTokio => 1,
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
            Self::KcpTokio => "kcp-tokio",
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
    stdin: ChildStdin,
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
        let stdin = child.stdin.take().expect("stdin is piped");
        let lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        Ok(Self { peer, child, stdin, lines })
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

    async fn next_event(&mut self) -> Result<Event, String> {
        let ended = format!("{} ended", self.peer);
        self.event().await?.ok_or(ended)
    }

    async fn order(&mut self, command: &str) -> Result<(), String> {
        let ordered = self.stdin.write_all(format!("{command}\n").as_bytes()).await;
        ordered.map_err(|error| format!("{}: {error}", self.peer))
    }

    /// Ends it as `kill -9` does, waits until it is gone, and gives the events that nobody has waited for.
    async fn kill(mut self) -> Result<Vec<Event>, String> {
        self.child.kill().await.map_err(|error| format!("{}: {error}", self.peer))?;
        let mut rest = Vec::new();
        while let Some(event) = self.event().await? {
            rest.push(event);
        }
        Ok(rest)
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
        self.program.next_event().await
    }

    /// Waits for its next report of what it has read from a connection: bytes, messages, hash.
    pub async fn report(&mut self) -> Result<(usize, usize, String), String> {
        loop {
            if let Event::Received { bytes, messages, sha256, .. } = self.event().await? {
                return Ok((bytes, messages, sha256));
            }
        }
    }

    /// Has it close every connection that is open, and waits until the first is closed. Gives the events
    /// that came before.
    pub async fn close_connections(&mut self) -> Result<Vec<Event>, String> {
        self.program.order(CLOSE).await?;
        let mut events = Vec::new();
        loop {
            match self.event().await? {
                Event::Closed { .. } => return Ok(events),
                event => events.push(event),
            }
        }
    }

    /// Asks what FEC has counted; kcp-go only. Events before the answer are lost.
    pub async fn shards(&mut self) -> Result<Shards, String> {
        self.program.order(SHARDS).await?;
        loop {
            if let Some(shards) = Shards::of(&self.event().await?) {
                return Ok(shards);
            }
        }
    }

    /// Kills it, waits until it is gone, and gives the events that nobody has waited for.
    pub async fn stop(self) -> Result<Vec<Event>, String> {
        self.program.kill().await
    }

    /// Kills it, and starts it anew at the same port.
    pub async fn restart(self, options: &Options) -> Result<Self, String> {
        let (peer, address) = (self.program.peer, self.address);
        self.stop().await?;
        Self::start(peer, &Options { address: address.to_string(), ..options.clone() }).await
    }
}

/// A peer's client in a process of its own. It ends when it is dropped.
pub struct Client {
    program: Program,
}

impl Client {
    /// Starts it.
    pub fn start(peer: Peer, options: &Options) -> Result<Self, String> {
        Ok(Self { program: Program::start(peer, "client", options)? })
    }

    /// Waits for its next event.
    pub async fn event(&mut self) -> Result<Event, String> {
        self.program.next_event().await
    }

    /// Has it close its connection, and waits until it has; kcp-go only.
    pub async fn close(&mut self) -> Result<(), String> {
        self.program.order(CLOSE).await?;
        while !matches!(self.event().await?, Event::Closed { .. }) {}
        Ok(())
    }

    /// Kills it, and waits until it is gone.
    pub async fn kill(self) -> Result<(), String> {
        self.program.kill().await.map(drop)
    }
}

/// What kcp-go has counted of FEC, in one process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shards {
    /// Parity shards that came.
    pub parity: u64,
    /// Data shards that were lost and made good.
    pub recovered: u64,
    /// What came out wrong.
    pub errors: u64,
    /// Datagrams beside the stream that came.
    pub out_of_band: u64,
}

impl Shards {
    fn of(event: &Event) -> Option<Self> {
        let &Event::Shards { parity, recovered, errors, out_of_band } = event else { return None };
        Some(Self { parity, recovered, errors, out_of_band })
    }
}

/// Runs a peer's client to its end: right bytes and milliseconds, or what went wrong.
pub async fn run_client(peer: Peer, options: &Options) -> Result<(usize, f64), String> {
    run_coded_client(peer, options).await.map(|(bytes, elapsed_ms, _)| (bytes, elapsed_ms))
}

/// As [`run_client`], and what FEC has counted there (nothing without FEC).
pub async fn run_coded_client(peer: Peer, options: &Options) -> Result<(usize, f64, Shards), String> {
    let mut program = Program::start(peer, "client", options)?;
    let mut event = program.event().await?;
    let shards = event.as_ref().and_then(Shards::of);
    if shards.is_some() {
        event = program.event().await?;
    }
    match event {
        Some(Event::Result { ok: true, bytes, elapsed_ms, .. }) => {
            Ok((bytes, elapsed_ms, shards.unwrap_or_default()))
        }
        Some(Event::Result { bytes, error, .. }) => {
            Err(format!("{peer} client after {bytes} bytes: {error}"))
        }
        other => Err(format!("{peer} client said {other:?}")),
    }
}
