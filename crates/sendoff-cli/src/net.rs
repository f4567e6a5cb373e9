//! From addresses as typed to socket addresses and sockets.

use anyhow::Context;
use sendoff::{Address, Host};
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
};

/// The first address of a name.
///
/// # Errors
/// When the name has none.
pub async fn resolve(host: &str, port: u16) -> anyhow::Result<SocketAddr> {
    let mut found =
        tokio::net::lookup_host((host, port)).await.with_context(|| format!("cannot resolve {host}"))?;
    found.next().with_context(|| format!("cannot resolve {host}: it has no address"))
}

/// The peer in messages: the name as typed, where there was one, and the address that it stands for.
pub fn describe(host: &str, peer: SocketAddr) -> String {
    match host.parse::<std::net::IpAddr>() {
        Ok(_) => peer.to_string(),
        Err(_) if host.contains('%') => peer.to_string(),
        Err(_) => format!("{host} ({peer})"),
    }
}

/// A bound socket for a listener: `:PORT` takes IPv6 and IPv4, or IPv4 where there is no IPv6.
///
/// # Errors
/// When the name has no address, or the address can't be bound.
pub async fn bind(address: &Address) -> anyhow::Result<UdpSocket> {
    let bound = match address.socket().context("has no host and port")? {
        (Host::All, port) => bind_all(port),
        (Host::Named(host), port) => UdpSocket::bind(resolve(host, port).await?),
    };
    bound.with_context(|| format!("cannot listen on {address}"))
}

fn bind_all(port: u16) -> io::Result<UdpSocket> {
    match bind_dual_stack(port) {
        Ok(socket) => Ok(socket),
        // The port is taken for one of the two: a listener on the other alone would be half deaf.
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(error),
        Err(_) => UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)),
    }
}

fn bind_dual_stack(port: u16) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV6, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_only_v6(false)?;
    socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)).into())?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_shown_with_its_address() {
        let peer = "127.0.0.1:9".parse().unwrap();
        assert_eq!(describe("127.0.0.1", peer), "127.0.0.1:9");
        assert_eq!(describe("localhost", peer), "localhost (127.0.0.1:9)");
        let peer = "[::1]:9".parse().unwrap();
        assert_eq!(describe("::1", peer), "[::1]:9");
    }

    #[test]
    fn all_addresses_take_ipv4_too() {
        let listener = bind_all(0).unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.send_to(b"here", ("127.0.0.1", listener.local_addr().unwrap().port())).unwrap();
        let mut buffer = [0; 8];
        assert_eq!(listener.recv(&mut buffer).unwrap(), 4);
    }

    #[test]
    fn a_taken_port_is_an_error_and_no_half_deaf_listener() {
        let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        assert_eq!(bind_all(port).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
