//! One UDP socket and all its connections.

mod driver;
mod envelope;
mod going_away;
mod group;
#[cfg(unix)]
mod handover;
mod icmp;
mod inbox;
mod moves;
mod paths;
mod roaming;
mod shards;
mod shared;
mod stats;
mod timers;
mod transmit;

pub use going_away::Departure;
pub use stats::EndpointStats;

pub(crate) use shared::EndpointShared;
pub(crate) use timers::Deadlines;
pub(crate) use transmit::Urgency;

use crate::{
    Config, KcpStream,
    stream::ConnectionShared,
    udp::{self, DatagramIo, UdpIo, canonical},
};
use driver::Driver;
use group::Group;
use sendoff_proto::Opening;
use shared::Guard;
use std::{
    fmt,
    future::poll_fn,
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::net::{ToSocketAddrs, lookup_host};

/// One socket that both listens and connects.
///
/// Clones share it. When the last clone is dropped it accepts no more; its connections live on until
/// they have ended. A task of the tokio runtime that it was made in drives it.
#[derive(Clone)]
pub struct KcpEndpoint {
    shared: Arc<EndpointShared>,
    _guard: Arc<Guard>,
}

impl fmt::Debug for KcpEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KcpEndpoint").field("local_addr", &self.shared.local_addr).finish_non_exhaustive()
    }
}

impl KcpEndpoint {
    /// Binds a socket with the default settings. Port 0 takes any free port.
    ///
    /// # Errors
    /// When the address can't be resolved or bound.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O and time enabled.
    pub async fn bind(addr: impl ToSocketAddrs) -> io::Result<Self> {
        Self::bind_with(addr, Config::new()).await
    }

    /// Binds a socket with settings of one's own. Of several addresses that a name has, the first that
    /// can be bound is taken.
    ///
    /// # Errors
    /// When the address can't be resolved or bound.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O and time enabled.
    pub async fn bind_with(addr: impl ToSocketAddrs, config: Config) -> io::Result<Self> {
        let mut failed = None;
        for addr in lookup_host(addr).await? {
            match bind(addr, &config) {
                Ok(sockets) => return Self::start(sockets, config, true),
                Err(error) => failed = Some(error),
            }
        }
        Err(failed.unwrap_or_else(no_address))
    }

    /// Takes a socket that is already bound.
    ///
    /// # Errors
    /// When the system refuses an option that is needed.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O and time enabled.
    pub fn from_socket(socket: std::net::UdpSocket, config: Config) -> io::Result<Self> {
        if config.supplied_socket().is_some() {
            return Err(two_sockets());
        }
        one_driver(&config)?;
        let options = socket_options(&config);
        Self::start(vec![UdpIo::from_std(socket, &options)?.into()], config, true)
    }

    fn start(sockets: Vec<DatagramIo>, config: Config, listening: bool) -> io::Result<Self> {
        let (members, guard) = Group::start(sockets, config, listening)?;
        let shared = members.first().ok_or_else(no_address)?.clone();
        for member in members {
            tokio::spawn(Driver::new(member));
        }
        Ok(Self { shared, _guard: guard })
    }

    /// Opens a connection from this socket with the endpoint's settings: see
    /// [`connect_with`](Self::connect_with).
    ///
    /// # Errors
    /// As `connect_with`.
    pub async fn connect(&self, addr: impl ToSocketAddrs) -> io::Result<KcpStream> {
        let config = self.shared.config.clone();
        self.connect_shared(addr, config).await
    }

    /// Opens a connection from this socket with settings of its own; the cipher is the endpoint's.
    ///
    /// Returns once the peer has answered, as [`KcpStream::connect_with`] does. A further connection to the
    /// same address shares the socket if that peer is sendoff too; otherwise it gets one of its own, because
    /// stock listeners know a peer by its address alone. So does one to anybody else, if the socket was handed in
    /// connected. Cancel safe.
    ///
    /// # Errors
    /// As `KcpStream::connect_with`; `AddrInUse` when `conv` was set and is in use, or was within the last
    /// 10 s; `InvalidInput` when a cipher or key was set that isn't the endpoint's; when the endpoint is closed.
    pub async fn connect_with(&self, addr: impl ToSocketAddrs, config: Config) -> io::Result<KcpStream> {
        self.connect_shared(addr, Arc::new(config)).await
    }

    async fn connect_shared(&self, addr: impl ToSocketAddrs, config: Arc<Config>) -> io::Result<KcpStream> {
        let stream = self.connect_unopened(addr, config, Opening::Waiting).await?;
        stream.opened().await?;
        Ok(stream)
    }

    /// Opens a connection from this socket without waiting: see [`KcpStream::connect_early`].
    ///
    /// # Errors
    /// When the name can't be resolved, or has port 0; `AddrInUse` as in `connect_with`; when the endpoint is closed.
    pub async fn connect_early_with(
        &self,
        addr: impl ToSocketAddrs,
        config: Config,
    ) -> io::Result<KcpStream> {
        self.connect_unopened(addr, Arc::new(config), Opening::Early).await
    }

    async fn connect_unopened(
        &self,
        addr: impl ToSocketAddrs,
        config: Arc<Config>,
        opening: Opening,
    ) -> io::Result<KcpStream> {
        let config = self.with_own_cipher(config)?;
        let remote = resolve(addr, |a| self.shared.can_reach(a)).await?;
        self.shared.check_open()?;
        if config.conv_value().is_some_and(|conv| self.shared.is_taken(remote, conv)) {
            let text = format!("conversation with {remote}: this id is in use");
            return Err(io::Error::new(io::ErrorKind::AddrInUse, text));
        }
        if !self.shared.may_share(remote) {
            if self.shared.io.is_supplied() {
                let text = format!("{remote}: another conversation needs a socket of its own");
                return Err(io::Error::new(io::ErrorKind::AddrInUse, text));
            }
            let (stream, endpoint) = Self::connect_alone(remote, config, opening)?;
            if let Err(closed) = self.shared.adopt(&endpoint.shared) {
                endpoint.close();
                return Err(closed);
            }
            return Ok(stream);
        }
        self.open(remote, config, opening)
    }

    /// One socket has one cipher: a datagram is opened before its connection is known.
    fn with_own_cipher(&self, config: Arc<Config>) -> io::Result<Arc<Config>> {
        let (own, asked) = (self.shared.config.crypt_value(), config.crypt_value());
        if asked.overhead() == 0 {
            return Ok(if own.overhead() == 0 {
                config
            } else {
                Arc::new(Config::clone(&config).crypt(own.clone()))
            });
        }
        if self.shared.envelope.is_of(asked)? {
            return Ok(config);
        }
        let (own, asked) = (own.cipher(), asked.cipher());
        let text = match own == asked {
            true => format!("{asked} with another key than the endpoint's: one socket has one key"),
            false => format!("{asked} where the endpoint has {own}: one socket has one cipher"),
        };
        Err(io::Error::new(io::ErrorKind::InvalidInput, text))
    }

    /// A connection with a connected socket of its own, which the system tells of refusals.
    pub(crate) fn connect_alone(
        remote: SocketAddr,
        config: Arc<Config>,
        opening: Opening,
    ) -> io::Result<(KcpStream, KcpEndpoint)> {
        let io = match lease_supplied(&config)? {
            Some(io) => io,
            None => {
                let options = socket_options(&config);
                let io = UdpIo::bind(crate::socket::local_for(remote, &options.socket)?, &options)?;
                io.connect(remote)?;
                io.into()
            }
        };
        let endpoint = Self::start(vec![io], Config::clone(&config), false)?;
        Ok((endpoint.open(remote, config, opening)?, endpoint))
    }

    fn open(&self, remote: SocketAddr, config: Arc<Config>, opening: Opening) -> io::Result<KcpStream> {
        let shared = self.shared.group.opener(remote).unwrap_or_else(|| self.shared.clone());
        let conv = match config.conv_value() {
            Some(conv) => conv,
            None => shared.seeds().next_conv(),
        };
        let now = now();
        let seed = shared.seeds().next_seed();
        let mut connection = sendoff_proto::Connection::new(config, conv, opening, now, seed);
        if let Some(driver) = shared.named_driver() {
            connection.name_driver(driver);
        }
        shared.apply_known_path(now, remote.ip(), &mut connection);
        let connection = ConnectionShared::new(connection, remote, None, shared.clone());
        shared.enter(remote, conv, connection.clone())?;
        Ok(KcpStream::new(connection))
    }

    /// The next connection that a peer opened, and its address. Cancel safe; several tasks may wait.
    ///
    /// # Errors
    /// Only when the endpoint was closed or its socket is dead; never for what a peer did.
    pub async fn accept(&self) -> io::Result<(KcpStream, SocketAddr)> {
        poll_fn(|cx| self.shared.poll_accept(cx)).await
    }

    /// The address that it is bound to.
    pub fn local_addr(&self) -> SocketAddr {
        self.shared.local_addr
    }

    /// What was counted so far, over all drivers.
    pub fn stats(&self) -> EndpointStats {
        let common = self.shared.own_stats();
        let sum = self.driver_stats().into_iter().reduce(EndpointStats::and).unwrap_or_default();
        let EndpointStats { unproven, dropped_filtered, refused, .. } = common;
        EndpointStats { unproven, dropped_filtered, refused, ..sum }
    }

    /// The same for each of its [drivers](Config::drivers): one, if no more were asked for.
    pub fn driver_stats(&self) -> Vec<EndpointStats> {
        self.shared.group.stats()
    }

    /// Accepts no more, and closes every connection: what was written is still delivered, within the
    /// linger time. Connections not yet accepted, and those that come from now on, are refused with code 4. Doesn't
    /// wait: see [`wait_idle`](Self::wait_idle), and [`go_away`](Self::go_away) to let them end by themselves.
    pub fn close(&self) {
        self.shared.close();
    }

    /// Waits until every connection has ended, or is closed here and the peer has all that was written. Then for up
    /// to a second more, where a peer has yet to say its own end, or may have missed our last acknowledgement.
    /// Cancel safe.
    ///
    /// A process that ends at once after a `close` or a drop should call it: what isn't acknowledged
    /// then is lost with the runtime.
    pub async fn wait_idle(&self) {
        for child in self.shared.children() {
            wait_idle(&child).await;
        }
        wait_idle(&self.shared).await;
    }

    pub(crate) fn shared(&self) -> &EndpointShared {
        &self.shared
    }

    /// Opens and accepts no more; connections that were accepted live on.
    pub(crate) fn stop_accepting(&self) {
        _ = self.shared.stop_accepting();
    }

    pub(crate) fn of(shared: &Arc<EndpointShared>) -> Self {
        Self { shared: shared.clone(), _guard: shared.group.guard() }
    }
}

fn two_sockets() -> io::Error {
    let text = "there are two sockets: this one, and that of the configuration";
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

/// The socket that was supplied, or those of the system that are bound to that address, one for each driver.
fn bind(addr: SocketAddr, config: &Config) -> io::Result<Vec<DatagramIo>> {
    let Some(io) = lease_supplied(config)? else {
        let sockets = UdpIo::bind_several(addr, config.drivers_count(), &socket_options(config))?;
        return Ok(sockets.into_iter().map(DatagramIo::from).collect());
    };
    one_driver(config)?;
    let own = io.local_addr()?;
    let same_ip = addr.ip().is_unspecified() || addr.ip() == own.ip();
    let same_port = addr.port() == 0 || addr.port() == own.port();
    if same_ip && same_port {
        return Ok(vec![io]);
    }
    let text = format!("{addr}: the socket that was supplied is {own}");
    Err(io::Error::new(io::ErrorKind::AddrNotAvailable, text))
}

/// A socket that comes from outside is one, and nobody but its owner can bind more to its address.
fn one_driver(config: &Config) -> io::Result<()> {
    match config.drivers_count() {
        1 => Ok(()),
        drivers => {
            let text = format!("drivers {drivers}: a socket that is handed in has one driver");
            Err(io::Error::new(io::ErrorKind::InvalidInput, text))
        }
    }
}

fn lease_supplied(config: &Config) -> io::Result<Option<DatagramIo>> {
    let Some(socket) = config.supplied_socket() else { return Ok(None) };
    match socket.lease() {
        Some(lease) => Ok(Some(DatagramIo::supplied(lease, config.socket_buffer_bytes()))),
        None => {
            let text = "another endpoint uses the socket that was supplied";
            Err(io::Error::new(io::ErrorKind::AddrInUse, text))
        }
    }
}

fn socket_options(config: &Config) -> udp::Options {
    let socket = config.socket_options_value().clone();
    udp::Options { buffer: config.socket_buffer_bytes(), socket, ..Default::default() }
}

/// How long a peer's own end is waited for, once it has ours.
const LAST_WORDS: Duration = Duration::from_secs(1);

async fn wait_idle(shared: &EndpointShared) {
    loop {
        for connection in shared.connections() {
            poll_fn(|cx| connection.poll_said_all(cx)).await;
        }
        let idle = poll_fn(|cx| shared.poll_idle(cx));
        if tokio::time::timeout(LAST_WORDS, idle).await.is_ok() || shared.has_said_all() {
            return;
        }
    }
}

/// The clock of everything here: tokio's, so that tests can stop it.
#[inline]
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// The first address that `usable` takes.
pub(crate) async fn resolve(
    addr: impl ToSocketAddrs,
    usable: impl Fn(SocketAddr) -> bool,
) -> io::Result<SocketAddr> {
    let mut unusable = None;
    for addr in lookup_host(addr).await? {
        let addr = canonical(addr);
        if addr.port() == 0 {
            unusable = Some(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{addr}: port 0 can't be connected to"),
            ));
        } else if usable(addr) {
            return Ok(addr);
        } else {
            let text = format!("{addr}: this socket has another address family");
            unusable = Some(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
    }
    Err(unusable.unwrap_or_else(no_address))
}

fn no_address() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "the name has no address")
}

/// From the system's secure source, another each time: a conversation id or a token that can be guessed invites
/// forgeries, and nonces of a cipher must not repeat.
fn random_seed<const BYTES: usize>() -> io::Result<[u8; BYTES]> {
    let mut seed = [0; BYTES];
    getrandom::fill(&mut seed).map_err(io::Error::other)?;
    Ok(seed)
}
