//! What a socket is asked for: nothing that the core uses, but part of the settings that reach it.

use crate::ConfigError;
use std::net::IpAddr;

/// Options of the socket under a connection or listener, the same for every transport.
///
/// What the system doesn't know (an interface by name, a shared port) is an error when the socket is made, never
/// silently left out. Setters return the changed options.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct SocketOptions {
    send_buffer: Option<usize>,
    recv_buffer: Option<usize>,
    dscp: Option<u8>,
    reuse_port: bool,
    local_ip: Option<IpAddr>,
    interface: Option<String>,
    only_v6: bool,
}

impl SocketOptions {
    /// Everything as the system has it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes of the send buffer (`SO_SNDBUF`). Default: the transport's, or the system's. The system may grant less.
    #[must_use]
    pub fn send_buffer(mut self, bytes: usize) -> Self {
        self.send_buffer = Some(bytes);
        self
    }

    /// Bytes of the receive buffer (`SO_RCVBUF`). Default: the transport's, or the system's. The system may grant less.
    #[must_use]
    pub fn recv_buffer(mut self, bytes: usize) -> Self {
        self.recv_buffer = Some(bytes);
        self
    }

    /// The DSCP of all that is sent, 0 to 63 (RFC 2474): 46 is expedited forwarding. Default: 0.
    ///
    /// # Errors
    /// [`ConfigError::Dscp`] above 63.
    pub fn dscp(mut self, dscp: u8) -> Result<Self, ConfigError> {
        if dscp > 63 {
            return Err(ConfigError::Dscp(dscp));
        }
        self.dscp = Some(dscp);
        Ok(self)
    }

    /// Whether several sockets may listen on one port (`SO_REUSEPORT`). Default: no.
    #[must_use]
    pub fn reuse_port(mut self, reuse: bool) -> Self {
        self.reuse_port = reuse;
        self
    }

    /// The address of this machine that connections are opened from. Default: the system chooses.
    #[must_use]
    pub fn local_ip(mut self, ip: impl Into<Option<IpAddr>>) -> Self {
        self.local_ip = ip.into();
        self
    }

    /// The interface that everything goes through, by name (`SO_BINDTODEVICE`; may need a privilege). Default: any.
    #[must_use]
    pub fn interface(mut self, name: impl Into<String>) -> Self {
        self.interface = Some(name.into());
        self
    }

    /// Whether an IPv6 socket serves IPv6 alone. Default: no, `[::]` serves both.
    #[must_use]
    pub fn only_v6(mut self, only: bool) -> Self {
        self.only_v6 = only;
        self
    }

    /// See [`send_buffer`](Self::send_buffer).
    pub fn send_buffer_bytes(&self) -> Option<usize> {
        self.send_buffer
    }

    /// See [`recv_buffer`](Self::recv_buffer).
    pub fn recv_buffer_bytes(&self) -> Option<usize> {
        self.recv_buffer
    }

    /// See [`dscp`](Self::dscp).
    pub fn dscp_value(&self) -> Option<u8> {
        self.dscp
    }

    /// See [`reuse_port`](Self::reuse_port).
    pub fn reuses_port(&self) -> bool {
        self.reuse_port
    }

    /// See [`local_ip`](Self::local_ip).
    pub fn local_ip_value(&self) -> Option<IpAddr> {
        self.local_ip
    }

    /// See [`interface`](Self::interface).
    pub fn interface_name(&self) -> Option<&str> {
        self.interface.as_deref()
    }

    /// See [`only_v6`](Self::only_v6).
    pub fn is_only_v6(&self) -> bool {
        self.only_v6
    }
}
