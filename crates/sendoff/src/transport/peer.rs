//! Who is at an end of a connection.

use crate::udp::canonical;
use std::{fmt, net::SocketAddr, sync::Arc};

/// An end of a connection: a transport, and an address of it.
///
/// Prints the address alone: `127.0.0.1:52114`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Peer {
    transport: &'static str,
    location: Location,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Location {
    Socket(SocketAddr),
    Named(Arc<str>),
}

impl Peer {
    /// One with a socket address. IPv4 addresses in IPv6's clothes (`::ffff:…`) are undressed.
    pub fn new(transport: &'static str, addr: SocketAddr) -> Self {
        let addr = canonical(addr);
        Self { transport, location: Location::Socket(addr) }
    }

    /// One that a transport has another name for.
    pub fn named(transport: &'static str, name: impl Into<Arc<str>>) -> Self {
        Self { transport, location: Location::Named(name.into()) }
    }

    /// The scheme of the transport, such as `tcp`.
    pub fn transport(&self) -> &'static str {
        self.transport
    }

    /// The socket address, if it has one.
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        match self.location {
            Location::Socket(addr) => Some(addr),
            Location::Named(_) => None,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.location {
            Location::Socket(addr) => write!(f, "{addr}"),
            Location::Named(name) => f.write_str(name),
        }
    }
}
