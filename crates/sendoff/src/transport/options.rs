//! Typed options of each transport.

use crate::{Config, SocketOptions, Tap};
use std::{fmt, sync::Arc, time::Duration};

/// The options of the transports of this crate: each takes its own. Settings in an address are laid over them.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Of `kcp://`.
    pub kcp: Config,
    /// Of `tcp://`.
    pub tcp: TcpOptions,
    /// Of `udp://`.
    pub udp: UdpOptions,
}

impl Options {
    /// The defaults of each.
    pub fn new() -> Self {
        Self::default()
    }
}

/// Options of TCP. Setters return the changed options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpOptions {
    socket: SocketOptions,
    nodelay: bool,
    keep_alive: Option<Duration>,
    connect_timeout: Duration,
    backlog: u32,
}

impl Default for TcpOptions {
    fn default() -> Self {
        Self {
            socket: SocketOptions::new(),
            nodelay: true,
            keep_alive: None,
            connect_timeout: Duration::from_secs(30),
            backlog: 1_024,
        }
    }
}

impl TcpOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// What the socket is asked for.
    #[must_use]
    pub fn socket(mut self, options: SocketOptions) -> Self {
        self.socket = options;
        self
    }

    /// Whether small writes leave at once (`TCP_NODELAY`), or wait while earlier ones are unacknowledged
    /// (Nagle, RFC 896). Default: at once.
    #[must_use]
    pub fn nodelay(mut self, nodelay: bool) -> Self {
        self.nodelay = nodelay;
        self
    }

    /// After how long a silence the system asks the peer for a sign of life (`SO_KEEPALIVE`), and again after each
    /// third of it: three unanswered questions end the connection. Whole seconds, 1 at least. Default: never.
    #[must_use]
    pub fn keep_alive(mut self, every: impl Into<Option<Duration>>) -> Self {
        self.keep_alive = every.into();
        self
    }

    /// How long `connect` tries, all addresses of a name together. Default: 30 s.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Connections that the system holds until they are accepted; it may hold fewer. Default: 1,024.
    #[must_use]
    pub fn backlog(mut self, connections: u32) -> Self {
        self.backlog = connections;
        self
    }

    /// See [`socket`](Self::socket).
    pub fn socket_options(&self) -> &SocketOptions {
        &self.socket
    }

    /// See [`nodelay`](Self::nodelay).
    pub fn is_nodelay(&self) -> bool {
        self.nodelay
    }

    /// See [`keep_alive`](Self::keep_alive).
    pub fn keep_alive_interval(&self) -> Option<Duration> {
        self.keep_alive
    }

    /// See [`connect_timeout`](Self::connect_timeout).
    pub fn connect_timeout_duration(&self) -> Duration {
        self.connect_timeout
    }

    /// See [`backlog`](Self::backlog).
    pub fn backlog_connections(&self) -> u32 {
        self.backlog
    }
}

/// Options of UDP. Setters return the changed options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UdpOptions {
    socket: SocketOptions,
    idle: Duration,
    max_flows: usize,
    tap: Option<SharedTap>,
}

impl Default for UdpOptions {
    fn default() -> Self {
        Self { socket: SocketOptions::new(), idle: Duration::from_secs(60), max_flows: 65_536, tap: None }
    }
}

/// A tap is equal to itself only.
#[derive(Clone)]
struct SharedTap(Arc<dyn Tap>);

impl fmt::Debug for SharedTap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tap")
    }
}

impl PartialEq for SharedTap {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for SharedTap {}

impl UdpOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// What the socket is asked for.
    #[must_use]
    pub fn socket(mut self, options: SocketOptions) -> Self {
        self.socket = options;
        self
    }

    /// After how long a silence, in both directions, a flow is over: UDP has no end of its own. Default: 60 s.
    #[must_use]
    pub fn idle(mut self, idle: Duration) -> Self {
        self.idle = idle;
        self
    }

    /// Flows of a listener at a time; the datagrams of further peers are dropped and counted. Default: 65,536.
    #[must_use]
    pub fn max_flows(mut self, flows: usize) -> Self {
        self.max_flows = flows;
        self
    }

    /// Shows every datagram of the socket to `tap`, those that are dropped too. Default: none.
    #[must_use]
    pub fn tap(mut self, tap: Arc<dyn Tap>) -> Self {
        self.tap = Some(SharedTap(tap));
        self
    }

    /// See [`socket`](Self::socket).
    pub fn socket_options(&self) -> &SocketOptions {
        &self.socket
    }

    /// See [`tap`](Self::tap).
    pub fn tap_value(&self) -> Option<&Arc<dyn Tap>> {
        self.tap.as_ref().map(|tap| &tap.0)
    }

    /// See [`idle`](Self::idle).
    pub fn idle_time(&self) -> Duration {
        self.idle
    }

    /// See [`max_flows`](Self::max_flows).
    pub fn max_flows_count(&self) -> usize {
        self.max_flows
    }
}
