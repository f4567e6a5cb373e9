//! Probes that must not be fragmented, so that the largest that is answered tells the path's MTU.

use std::{fmt, io, net::SocketAddr};
use tokio::net::UdpSocket;

/// Bytes of UDP payload of the largest datagram (IPv4).
const MOST: usize = 65_507;

/// What a path takes, as far as the system knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathMtu {
    /// Bytes of an IP packet.
    pub mtu: usize,
    /// Bytes of UDP payload that fit in one.
    pub largest: usize,
}

impl PathMtu {
    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    fn new(mtu: usize, peer: SocketAddr) -> Self {
        let headers = if peer.is_ipv4() { 20 + 8 } else { 40 + 8 };
        Self { mtu, largest: mtu.saturating_sub(headers) }
    }
}

impl fmt::Display for PathMtu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MTU {}: {} bytes at most", self.mtu, self.largest)
    }
}

/// Bytes of a probe: what was asked for, or the least that there is.
///
/// # Errors
/// What the size must be.
pub fn probe_size(asked: Option<usize>, least: usize) -> Result<usize, String> {
    match asked {
        None => Ok(least),
        Some(size) if (least..=MOST).contains(&size) => Ok(size),
        Some(size) => Err(format!("--size {size}: must be {least} to {MOST} bytes")),
    }
}

/// Asks the system to fragment nothing, and to ask it of routers (DF); false where it can't be asked.
///
/// # Errors
/// What the system says.
pub fn forbid_fragments(socket: &UdpSocket, peer: SocketAddr) -> io::Result<bool> {
    #[cfg(target_os = "linux")]
    {
        use rustix::net::sockopt::{
            Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery, set_ip_mtu_discover, set_ipv6_mtu_discover,
        };
        match peer {
            SocketAddr::V4(_) => set_ip_mtu_discover(socket, Ipv4PathMtuDiscovery::DO)?,
            SocketAddr::V6(_) => set_ipv6_mtu_discover(socket, Ipv6PathMtuDiscovery::DO)?,
        }
        Ok(true)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (socket, peer);
        Ok(false)
    }
}

/// What the path takes, if a datagram was refused because it takes no more: by our own link, or by a router that said so.
pub fn refused(error: &io::Error, socket: &UdpSocket, peer: SocketAddr) -> Option<Option<PathMtu>> {
    is_too_large(error).then(|| known(socket, peer))
}

#[cfg(unix)]
fn is_too_large(error: &io::Error) -> bool {
    rustix::io::Errno::from_io_error(error) == Some(rustix::io::Errno::MSGSIZE)
}

#[cfg(not(unix))]
fn is_too_large(error: &io::Error) -> bool {
    const WSAEMSGSIZE: i32 = 10_040;
    error.raw_os_error() == Some(WSAEMSGSIZE)
}

#[cfg(target_os = "linux")]
fn known(socket: &UdpSocket, peer: SocketAddr) -> Option<PathMtu> {
    use rustix::net::sockopt::{ip_mtu, ipv6_mtu};
    let mtu = if peer.is_ipv4() { ip_mtu(socket) } else { ipv6_mtu(socket) };
    Some(PathMtu::new(mtu.ok()? as usize, peer))
}

#[cfg(not(target_os = "linux"))]
fn known(_: &UdpSocket, _: SocketAddr) -> Option<PathMtu> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_has_at_least_what_a_ping_needs() {
        assert_eq!((probe_size(None, 84), probe_size(Some(84), 84)), (Ok(84), Ok(84)));
        assert_eq!(probe_size(Some(83), 84).unwrap_err(), "--size 83: must be 84 to 65507 bytes");
        assert!(probe_size(Some(65_507), 56).is_ok() && probe_size(Some(65_508), 56).is_err());
    }

    #[test]
    fn what_fits_is_the_mtu_less_both_headers() {
        let largest = |peer: &str| PathMtu::new(1_420, peer.parse().unwrap()).to_string();
        assert_eq!(largest("192.0.2.1:9"), "MTU 1420: 1392 bytes at most");
        assert_eq!(largest("[2001:db8::1]:9"), "MTU 1420: 1372 bytes at most");
    }
}
