//! Settings, checked when they are made: a [`Config`] that exists is a valid one.

mod choices;
mod error;

pub use choices::{Mode, Wire};
pub use error::ConfigError;

use crate::{
    fec::{FEC_OVERHEAD, Fec},
    profile::{Backoff, Profile},
    seal::Crypt,
    seq::Conv,
    socket::SocketOptions,
    supplied::{DatagramSocket, SuppliedSocket},
    tap::{SharedTap, Tap},
    wire::HEADER_SIZE,
};
use std::{sync::Arc, time::Duration};

/// Settings of a connection. Cheap to clone; setters return the changed configuration.
///
/// ```
/// # use sendoff_proto::{Config, Wire};
/// # use std::time::Duration;
/// let config = Config::fast3().mtu(1_350)?.keep_alive(Duration::from_secs(10));
/// assert_eq!(Config::new().mtu(10).unwrap_err().to_string(), "mtu 10: must be 50 to 65507 bytes");
/// # Ok::<(), sendoff_proto::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    profile: Profile,
    backoff: Backoff,
    wire: Wire,
    prove: bool,
    follow: bool,
    mode: Mode,
    mtu: usize,
    crypt: Crypt,
    fec: Option<Fec>,
    fec_auto: bool,
    send_window: u32,
    recv_window: u32,
    keep_alive: Option<Option<Duration>>,
    connect_timeout: Duration,
    linger: Duration,
    conv: Option<Conv>,
    max_connections: usize,
    drivers: u8,
    max_connections_per_address: Option<usize>,
    socket_buffer: usize,
    socket_options: SocketOptions,
    socket: Option<SuppliedSocket>,
    tap: Option<SharedTap>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            profile: Profile::DEFAULT,
            backoff: Backoff::default(),
            wire: Wire::default(),
            prove: false,
            follow: true,
            mode: Mode::default(),
            mtu: 1_400,
            crypt: Crypt::null(),
            fec: None,
            fec_auto: false,
            send_window: 1_024,
            recv_window: 1_024,
            keep_alive: None,
            connect_timeout: Duration::from_secs(5),
            linger: Duration::from_secs(30),
            conv: None,
            max_connections: 65_536,
            drivers: 1,
            max_connections_per_address: None,
            socket_buffer: 4 << 20,
            socket_options: SocketOptions::new(),
            socket: None,
            tap: None,
        }
    }
}

impl Config {
    /// The default settings: [`Profile::DEFAULT`], windows of 1,024 segments, datagrams of 1,400 bytes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Default settings with [`Profile::NORMAL`].
    pub fn normal() -> Self {
        Self::new().profile(Profile::NORMAL)
    }

    /// Default settings with [`Profile::FAST`].
    pub fn fast() -> Self {
        Self::new().profile(Profile::FAST)
    }

    /// Default settings with [`Profile::FAST2`].
    pub fn fast2() -> Self {
        Self::new().profile(Profile::FAST2)
    }

    /// Default settings with [`Profile::FAST3`].
    pub fn fast3() -> Self {
        Self::new().profile(Profile::FAST3)
    }

    /// When to retransmit, and whether there is a congestion window.
    #[must_use]
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// How timeouts grow. Default: as kcp-go.
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// What may be put on the wire. Default: [`Wire::Extended`].
    ///
    /// With [`Wire::Required`] an MTU that was set too small for the blocks is raised: to 128, and what
    /// encryption takes.
    #[must_use]
    pub fn wire(mut self, wire: Wire) -> Self {
        self.wire = wire;
        self.mtu = self.mtu.max(self.least_mtu());
        self
    }

    /// Whether a connection is accepted only once the peer has proven its address, and an extended one that
    /// it isn't a replay. Default false: what rides with the first datagram is handed out at once. Costs
    /// a round trip where data rides, nothing else.
    #[must_use]
    pub fn prove(mut self, prove: bool) -> Self {
        self.prove = prove;
        self
    }

    /// Whether a listener follows an extended peer whose address changes (another network, a NAT that has forgotten
    /// it). Default true. False: such a peer is told that nobody knows it. Stock peers are never followed.
    #[must_use]
    pub fn follow(mut self, follow: bool) -> Self {
        self.follow = follow;
        self
    }

    /// Stream or messages; both sides must agree. Default: [`Mode::Stream`].
    ///
    /// With [`Mode::Message`] a receive window that was set below 128 is raised to 128, so that the
    /// longest message fits.
    #[must_use]
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        if mode == Mode::Message {
            self.recv_window = self.recv_window.max(MESSAGE_WINDOW);
        }
        self
    }

    /// The largest datagram sent, in bytes of UDP payload: 50 to 65,507, default 1,400; encryption takes its
    /// share of it ([`kcp_mtu`](Self::kcp_mtu)). Received ones may be larger. Where the path takes less and IP doesn't help,
    /// new ones are made smaller ([`ConnectionStats::mtu`](crate::ConnectionStats::mtu)).
    ///
    /// # Errors
    /// [`ConfigError::Mtu`] out of that range; [`ConfigError::SealedMtu`] when encryption leaves too little of it;
    /// [`ConfigError::RequiredMtu`] below 128 with [`Wire::Required`].
    pub fn mtu(mut self, bytes: usize) -> Result<Self, ConfigError> {
        if !(MIN_KCP_MTU..=65_507).contains(&bytes) {
            return Err(ConfigError::Mtu(bytes));
        }
        let (least, overhead) = (self.least_mtu(), self.overhead());
        if bytes < least && overhead > 0 {
            return Err(ConfigError::SealedMtu { mtu: bytes, least, overhead });
        }
        if bytes < least {
            return Err(ConfigError::RequiredMtu(bytes));
        }
        self.mtu = bytes;
        Ok(self)
    }

    /// How datagrams are encrypted. Both sides need the same cipher and key; whoever has others isn't heard.
    /// Default: [`Crypt::null`], not at all. It is the socket's: all connections of an endpoint share it.
    ///
    /// Encryption takes 20 bytes of each datagram, AES-GCM 28. An MTU that was set too small for that is raised.
    #[must_use]
    pub fn crypt(mut self, crypt: Crypt) -> Self {
        self.crypt = crypt;
        self.mtu = self.mtu.max(self.least_mtu());
        self
    }

    /// Forward error correction of what is sent: parity shards, from which the peer makes good what was lost. Default:
    /// none. What is received is decoded in any case, whatever the ratio of the peer. It takes 8 bytes of each datagram.
    ///
    /// A stock peer of kcp-go before 5.6.8 must have the same ratio: with another it corrupts what it reads.
    #[must_use]
    pub fn fec(mut self, fec: impl Into<Option<Fec>>) -> Self {
        (self.fec, self.fec_auto) = (fec.into(), false);
        self.mtu = self.mtu.max(self.least_mtu());
        self
    }

    /// The same with as much parity as the losses call for, from none to that of `most`.
    #[must_use]
    pub fn fec_auto(mut self, most: Fec) -> Self {
        self = self.fec(most);
        self.fec_auto = true;
        self
    }

    /// Segments that may be in flight: 1 to 32,768, default 1,024 (`snd_wnd`).
    ///
    /// # Errors
    /// [`ConfigError::SendWindow`] out of that range.
    pub fn send_window(mut self, segments: u32) -> Result<Self, ConfigError> {
        self.send_window = check_window(segments).ok_or(ConfigError::SendWindow(segments))?;
        Ok(self)
    }

    /// Segments that may wait for the reader: 1 to 32,768, default 1,024 (`rcv_wnd`). At least 128 in message mode.
    ///
    /// # Errors
    /// [`ConfigError::RecvWindow`] or [`ConfigError::MessageWindow`] out of that range.
    pub fn recv_window(mut self, segments: u32) -> Result<Self, ConfigError> {
        self.recv_window = check_window(segments).ok_or(ConfigError::RecvWindow(segments))?;
        if self.mode == Mode::Message && segments < MESSAGE_WINDOW {
            return Err(ConfigError::MessageWindow(segments));
        }
        Ok(self)
    }

    /// After how long a silence the peer is asked for a sign of life; `None` never asks.
    /// Three unanswered questions end the connection with `TimedOut`.
    /// Default: 20 s, with [`Wire::Classic`] never. Less than 10 ms counts as 10 ms.
    #[must_use]
    pub fn keep_alive(mut self, every: impl Into<Option<Duration>>) -> Self {
        self.keep_alive = Some(every.into().map(|d| d.max(Duration::from_millis(10))));
        self
    }

    /// How long the first data may stay without any answer before the connection ends with `TimedOut`. Default 5 s.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long `shutdown`, and a connection that was closed or dropped, go on while nothing more
    /// is acknowledged. Default 30 s.
    #[must_use]
    pub fn linger(mut self, linger: Duration) -> Self {
        self.linger = linger;
        self
    }

    /// The conversation id of a connection that is opened with these settings. Default: random.
    #[must_use]
    pub fn conv(mut self, conv: Conv) -> Self {
        self.conv = Some(conv);
        self
    }

    /// Connections that an endpoint holds at a time; further ones are not opened. Default 65,536.
    #[must_use]
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = connections;
        self
    }

    /// Sockets and drivers of an endpoint or listener that is bound: 1 to 255, default 1. Linux only
    /// (`SO_REUSEPORT`): elsewhere binding fails with more than one.
    ///
    /// Each driver is a task that reads a socket of its own, keeps the time of its connections and sends for them;
    /// all sockets are bound to the same address, and the system spreads peers over them by a hash. So the work of
    /// many connections is spread over cores; one connection is never faster. It needs a runtime with as many
    /// threads. Each socket has [buffers](Self::socket_buffer) of its own; everything else is one endpoint's.
    /// `max_connections` counts over all drivers, which may exceed it by one each when they accept at the same moment.
    ///
    /// The sockets are bound to an address that nobody has, and nobody else should join them: with
    /// [`reuse_port`](SocketOptions::reuse_port) set in another process of the same user, the system
    /// gives it a share of what comes, of conversations that are open here too, and they stall.
    ///
    /// Of no effect on what has a single socket: connections with a socket of their own (`KcpStream::connect`).
    ///
    /// # Errors
    /// [`ConfigError::Drivers`] out of that range.
    pub fn drivers(mut self, drivers: usize) -> Result<Self, ConfigError> {
        let in_range = u8::try_from(drivers).ok().filter(|&drivers| drivers > 0);
        self.drivers = in_range.ok_or(ConfigError::Drivers(drivers))?;
        Ok(self)
    }

    /// Connections with one IP address at a time, beyond which those that its peers open are refused (code 3; stock
    /// clients: dropped unheard). Default `None`: as many as there may be.
    ///
    /// IPv6 addresses count by their first 64 bits: one host has them all. From half the bound on a HELLO has to show
    /// that the address is its own, at the price of a round trip.
    #[must_use]
    pub fn max_connections_per_address(mut self, connections: impl Into<Option<usize>>) -> Self {
        self.max_connections_per_address = connections.into();
        self
    }

    /// Bytes of receive and of send buffer that the socket asks the system for, which may grant less.
    /// Default 4 MiB. The window that is advertised starts at what it can hold.
    #[must_use]
    pub fn socket_buffer(mut self, bytes: usize) -> Self {
        self.socket_buffer = bytes;
        self
    }

    /// Options of the socket: DSCP, a shared port, where connections are opened from. Default: the system's.
    /// Buffers given there count instead of [`socket_buffer`](Self::socket_buffer).
    #[must_use]
    pub fn socket_options(mut self, options: SocketOptions) -> Self {
        self.socket_options = options;
        self
    }

    /// Has `socket` carry the datagrams, in place of a socket of the system. Default: none.
    ///
    /// One endpoint at a time can use it: an endpoint or listener that is bound with this configuration, or the
    /// connection that is opened with it; for more, open them from one endpoint. Its own address counts: `bind` takes
    /// that, or one that leaves it open (`0.0.0.0:0`). The socket options and
    /// buffers don't apply.
    #[must_use]
    pub fn socket(mut self, socket: Arc<dyn DatagramSocket>) -> Self {
        self.socket = Some(SuppliedSocket::new(socket));
        self
    }

    /// Shows every datagram of the endpoint to `tap`. Default: none.
    #[must_use]
    pub fn tap(mut self, tap: Arc<dyn Tap>) -> Self {
        self.tap = Some(SharedTap(tap));
        self
    }
}

/// What was set.
impl Config {
    /// See [`profile`](Self::profile).
    pub fn profile_value(&self) -> Profile {
        self.profile
    }

    /// See [`backoff`](Self::backoff).
    pub fn backoff_value(&self) -> Backoff {
        self.backoff
    }

    /// See [`wire`](Self::wire).
    pub fn wire_value(&self) -> Wire {
        self.wire
    }

    /// Whether blocks are sent and believed: with [`Wire::Extended`] and [`Wire::Required`], if the MTU has room.
    pub fn speaks_blocks(&self) -> bool {
        self.wire != Wire::Classic && self.kcp_mtu() >= BLOCK_MTU
    }

    pub(crate) fn is_block_required(&self) -> bool {
        self.wire == Wire::Required
    }

    /// See [`follow`](Self::follow).
    pub fn follow_value(&self) -> bool {
        self.follow
    }

    /// See [`prove`](Self::prove).
    pub fn prove_value(&self) -> bool {
        self.prove
    }

    /// See [`mode`](Self::mode).
    pub fn mode_value(&self) -> Mode {
        self.mode
    }

    /// See [`mtu`](Self::mtu).
    pub fn mtu_bytes(&self) -> usize {
        self.mtu
    }

    /// See [`crypt`](Self::crypt).
    pub fn crypt_value(&self) -> &Crypt {
        &self.crypt
    }

    /// See [`fec`](Self::fec).
    pub fn fec_value(&self) -> Option<Fec> {
        self.fec
    }

    /// See [`fec_auto`](Self::fec_auto).
    pub fn is_fec_auto(&self) -> bool {
        self.fec_auto
    }

    /// Bytes of each datagram that are not KCP's, in front of its segments and behind them: what encryption
    /// and forward error correction take. A [`TransmitBuffer`](crate::TransmitBuffer) leaves them free.
    #[inline]
    pub fn room_around(&self) -> (usize, usize) {
        let shard_header = if self.fec.is_some() { FEC_OVERHEAD } else { 0 };
        (self.crypt.front() + shard_header, self.crypt.back())
    }

    /// The same, together.
    #[inline]
    pub(crate) fn overhead(&self) -> usize {
        let (front, back) = self.room_around();
        front + back
    }

    /// Bytes of each datagram that segments may fill (KCP's own MTU): the [`mtu`](Self::mtu) less what encryption takes.
    #[inline]
    pub fn kcp_mtu(&self) -> usize {
        self.mtu - self.overhead()
    }

    /// The least MTU that leaves KCP enough.
    fn least_mtu(&self) -> usize {
        let kcp = if self.wire == Wire::Required { BLOCK_MTU } else { MIN_KCP_MTU };
        kcp + self.overhead()
    }

    /// Bytes of data that fit in a segment: KCP's MTU less the header (`mss`).
    pub fn segment_size(&self) -> usize {
        self.kcp_mtu() - HEADER_SIZE
    }

    /// See [`send_window`](Self::send_window).
    pub fn send_window_segments(&self) -> u32 {
        self.send_window
    }

    /// See [`recv_window`](Self::recv_window).
    pub fn recv_window_segments(&self) -> u32 {
        self.recv_window
    }

    /// See [`keep_alive`](Self::keep_alive).
    pub fn keep_alive_interval(&self) -> Option<Duration> {
        let default = || self.speaks_blocks().then_some(Duration::from_secs(20));
        self.keep_alive.unwrap_or_else(default)
    }

    /// See [`connect_timeout`](Self::connect_timeout).
    pub fn connect_timeout_duration(&self) -> Duration {
        self.connect_timeout
    }

    /// See [`linger`](Self::linger).
    pub fn linger_duration(&self) -> Duration {
        self.linger
    }

    /// See [`conv`](Self::conv).
    pub fn conv_value(&self) -> Option<Conv> {
        self.conv
    }

    /// See [`max_connections`](Self::max_connections).
    pub fn max_connections_count(&self) -> usize {
        self.max_connections
    }

    /// See [`drivers`](Self::drivers).
    pub fn drivers_count(&self) -> usize {
        self.drivers.into()
    }

    /// See [`max_connections_per_address`](Self::max_connections_per_address).
    pub fn max_connections_per_address_count(&self) -> Option<usize> {
        self.max_connections_per_address
    }

    /// See [`socket_buffer`](Self::socket_buffer).
    pub fn socket_buffer_bytes(&self) -> usize {
        self.socket_buffer
    }

    /// See [`socket_options`](Self::socket_options).
    pub fn socket_options_value(&self) -> &SocketOptions {
        &self.socket_options
    }

    /// See [`socket`](Self::socket).
    #[doc(hidden)]
    pub fn supplied_socket(&self) -> Option<&SuppliedSocket> {
        self.socket.as_ref()
    }

    /// See [`tap`](Self::tap).
    pub fn tap_value(&self) -> Option<&Arc<dyn Tap>> {
        self.tap.as_ref().map(|tap| &tap.0)
    }
}

/// The smallest MTU that KCP takes (`ikcp_setmtu`).
const MIN_KCP_MTU: usize = 50;

/// Room for the largest block in front of a segment that isn't all too small.
const BLOCK_MTU: usize = 128;

/// The longest message of `ikcp.c` has 127 fragments, and its window must be larger than that.
pub(crate) const MESSAGE_WINDOW: u32 = 128;

/// Fragments of the longest message that is sent.
pub(crate) const MAX_FRAGMENTS: usize = 127;

fn check_window(segments: u32) -> Option<u32> {
    (1..=32_768).contains(&segments).then_some(segments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_out_of_range_are_refused_in_words() {
        let refused = |result: Result<Config, ConfigError>| result.unwrap_err().to_string();
        assert_eq!(refused(Config::new().mtu(49)), "mtu 49: must be 50 to 65507 bytes");
        assert_eq!(refused(Config::new().mtu(65_508)), "mtu 65508: must be 50 to 65507 bytes");
        assert_eq!(refused(Config::new().send_window(0)), "send window 0: must be 1 to 32768 segments");
        assert_eq!(
            refused(Config::new().mode(Mode::Message).recv_window(127)),
            "receive window 127: must be at least 128 segments in message mode"
        );
        assert!(Config::new().mtu(50).and_then(|c| c.mtu(65_507)).is_ok());
    }

    #[test]
    fn message_mode_raises_a_window_that_the_longest_message_would_not_fit() {
        let config = Config::new().recv_window(32).unwrap().mode(Mode::Message);
        assert_eq!(config.recv_window_segments(), 128);
    }

    #[test]
    fn keep_alive_is_off_in_classic_unless_asked_for() {
        assert_eq!(Config::new().wire(Wire::Classic).keep_alive_interval(), None);
        assert_eq!(Config::new().keep_alive_interval(), Some(Duration::from_secs(20)));
        assert_eq!(Config::new().keep_alive(None).keep_alive_interval(), None);
        let asked = Config::new().wire(Wire::Classic).keep_alive(Duration::from_secs(3));
        assert_eq!(asked.keep_alive_interval(), Some(Duration::from_secs(3)));
    }
}
