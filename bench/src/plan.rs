//! What is compared: peers, scenarios, regimes, and the settings that both processes of a run share.

use std::fmt;

use clap::{Args, ValueEnum};

/// Bytes of one datagram's payload, for every peer that lets it be set.
pub const DATAGRAM: usize = 1_400;

/// Bytes asked for as send and receive buffer of each UDP socket that a peer lets us make or tune.
pub const SOCKET_BUFFER: usize = 4 << 20;

/// Bytes of a ping.
pub const PING: usize = 64;

/// Bytes that the echo scenario sends before it waits for all of them to come back.
pub const ECHO: usize = 64 << 10;

/// Bytes of a message.
pub const MESSAGE: usize = 1 << 10;

/// Bytes of messages that are sent together in the batches scenario, and that a read takes at most in both.
pub const BATCH: usize = 64 << 10;

/// One of the implementations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Peer {
    /// UDP with GSO and GRO by blocking system calls and without a runtime: what the kernel can do.
    Raw,
    /// One datagram each way through tokio's `UdpSocket`: what a ping over UDP costs.
    Udp,
    /// tokio's `TcpStream`, TCP_NODELAY.
    Tcp,
    /// The same behind the subject's interface for any transport: `AnyStream`.
    AnyTcp,
    /// The subject.
    Sendoff,
    /// kcp-go 5.6.72, a program of its own.
    KcpGo,
    /// tokio_kcp 0.9.
    #[value(name = "tokio_kcp", alias = "tokio-kcp")]
    TokioKcp,
    /// TCP, with messages framed as `le32` by sendoff.
    TcpFramed,
    /// sendoff, with messages framed as `le32`.
    SendoffFramed,
    /// quinn 0.11: QUIC, so encrypted, which can't be turned off.
    Quinn,
}

impl Peer {
    /// Whether this peer takes part in a scenario.
    pub fn plays(self, scenario: Scenario) -> bool {
        let messages = matches!(scenario, Scenario::Messages | Scenario::Batches);
        match self {
            Peer::Raw => matches!(scenario, Scenario::Bulk | Scenario::Echo),
            Peer::Udp => scenario == Scenario::PingPong,
            Peer::Tcp | Peer::Sendoff => true,
            Peer::TcpFramed | Peer::SendoffFramed => messages,
            _ if messages => false,
            Peer::AnyTcp => true,
            // The others can't say goodbye, or have a handshake of another kind.
            _ => scenario != Scenario::Open,
        }
    }
}

/// What a pair of processes does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// The client writes, the server reads and counts.
    Bulk,
    /// The client writes 64 KiB, the server echoes them, and so on.
    Echo,
    /// The same with 64 bytes, each round trip timed.
    PingPong,
    /// A connection is opened, echoes 64 bytes, and both sides end it, and so on; each timed as a whole.
    Open,
    /// The client sends 1 KiB a call, the server reads up to 64 KiB: what framing costs, a message a call.
    Messages,
    /// The same with 64 KiB a call, which are 64 messages where they are framed.
    Batches,
    /// Many connections are opened, used once, and then left alone with a parked reader.
    Idle,
}

/// A figure that a scenario yields.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Key in the JSON output; the unit is its suffix.
    pub key: &'static str,
    /// Heading in the text output.
    pub heading: &'static str,
    /// Digits after the point in the text output.
    pub digits: usize,
    /// Whether it may be divided by another peer's; not so where the best value is nothing.
    pub comparable: bool,
}

const fn metric(key: &'static str, heading: &'static str, digits: usize) -> Metric {
    Metric { key, heading, digits, comparable: true }
}

const TRANSFER: &[Metric] =
    &[metric("mb_per_s", "MB/s", 0), metric("cpu_s_per_gb", "CPU s/GB, both sides together", 3)];
const ROUND_TRIP: &[Metric] = &[
    metric("p50_us", "p50, µs", 1),
    metric("p99_us", "p99, µs", 1),
    metric("cpu_us_per_round_trip", "CPU µs per round trip, both sides together", 1),
];
const CONVERSATION: &[Metric] = &[
    metric("p50_us", "p50 of a whole conversation, µs", 1),
    metric("p99_us", "p99, µs", 1),
    metric("cpu_us_per_conversation", "CPU µs per conversation, both sides together", 1),
];
const IDLENESS: &[Metric] = &[
    metric("server_kb_per_connection", "kB per connection on the server", 2),
    Metric { comparable: false, ..metric("server_cpu_percent", "CPU of the idle server, % of one core", 2) },
];

impl Scenario {
    /// The figures of one run, in the order in which the runner computes them.
    pub fn metrics(self) -> &'static [Metric] {
        match self {
            Scenario::Bulk | Scenario::Echo | Scenario::Messages | Scenario::Batches => TRANSFER,
            Scenario::PingPong => ROUND_TRIP,
            Scenario::Open => CONVERSATION,
            Scenario::Idle => IDLENESS,
        }
    }

    /// The peers that the others are divided by.
    pub fn yardsticks(self) -> &'static [Peer] {
        match self {
            Scenario::PingPong => &[Peer::Udp, Peer::Tcp, Peer::TokioKcp, Peer::KcpGo],
            Scenario::Messages | Scenario::Batches => &[Peer::Tcp, Peer::Sendoff],
            _ => &[Peer::Raw, Peer::Tcp, Peer::TokioKcp, Peer::KcpGo],
        }
    }
}

/// Where the two processes run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Regime {
    /// Server on CPU 0, client on CPU 1: an idle machine.
    Split,
    /// Both on CPU 0: a busy machine, and the honest cost.
    Same,
}

impl Regime {
    /// The CPU of the server and that of the client.
    pub fn cpus(self) -> (usize, usize) {
        match self {
            Regime::Split => (0, 1),
            Regime::Same => (0, 0),
        }
    }
}

/// tokio's scheduler in both processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Runtime {
    /// One thread.
    Current,
    /// Two worker threads.
    Multi,
}

/// What the two processes of a run have to agree on.
#[derive(Clone, Debug, Args)]
pub struct Settings {
    /// Bytes per write and per read of the bulk scenario
    #[arg(long, default_value_t = 64 << 10)]
    pub chunk: usize,
    /// tokio's scheduler (kcp-go has its own)
    #[arg(long, value_enum, default_value_t = Runtime::Current)]
    pub runtime: Runtime,
    /// Segments in flight of `raw`
    #[arg(long, default_value_t = 1_024)]
    pub raw_window: usize,
    /// Windows of sendoff in segments, instead of its defaults
    #[arg(long)]
    pub sendoff_window: Option<u32>,
    /// sendoff's connections share a client socket in the open scenario, instead of one each
    #[arg(long)]
    pub sendoff_shared: bool,
    /// Keep-alive of sendoff in seconds [default: off]
    #[arg(long)]
    pub sendoff_keep_alive: Option<u64>,
    /// Profile of sendoff, instead of its default
    #[arg(long)]
    pub sendoff_profile: Option<String>,
    /// Cipher of sendoff and kcp-go, by kcptun's name [default: none of them]
    #[arg(long)]
    pub crypt: Option<String>,
    /// Forward error correction of sendoff and kcp-go, as data/parity [default: none]
    #[arg(long)]
    pub fec: Option<String>,
}

impl Settings {
    /// The same as arguments of a child process; kcp-go's program knows only the chunk, the cipher and FEC.
    pub fn to_args(&self, peer: Peer) -> Vec<String> {
        let mut args = vec![format!("--chunk={}", self.chunk)];
        args.extend(self.crypt.as_ref().map(|cipher| format!("--crypt={cipher}")));
        args.extend(self.fec.as_ref().map(|ratio| format!("--fec={ratio}")));
        if peer != Peer::KcpGo {
            args.push(format!("--runtime={}", name(self.runtime)));
            args.push(format!("--raw-window={}", self.raw_window));
            args.extend(self.sendoff_window.map(|segments| format!("--sendoff-window={segments}")));
            args.extend(self.sendoff_shared.then(|| "--sendoff-shared".to_owned()));
            args.extend(self.sendoff_keep_alive.map(|secs| format!("--sendoff-keep-alive={secs}")));
            args.extend(self.sendoff_profile.as_ref().map(|profile| format!("--sendoff-profile={profile}")));
        }
        args
    }
}

/// The name of a value on the command line.
pub fn name<T: ValueEnum>(value: T) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// One comparison: all peers, all rounds.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// What is done.
    pub scenario: Scenario,
    /// Where.
    pub regime: Regime,
    /// Connections that are open at the same time.
    pub connections: usize,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", name(self.scenario))?;
        if self.scenario == Scenario::Idle {
            write!(f, " × {}", self.connections)?;
        }
        write!(f, ", {}", name(self.regime).to_uppercase())
    }
}
