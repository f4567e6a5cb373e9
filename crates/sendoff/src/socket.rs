//! The options that every kind of socket takes.

use crate::SocketOptions;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
};

/// A socket of UDP with its options, bound. An IPv6 wildcard address serves IPv4 too, unless that is refused.
pub(crate) fn bind_udp(addr: SocketAddr, options: &SocketOptions) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    set(&SockRef::from(&socket), addr, options)?;
    socket.bind(&addr.into())?;
    Ok(socket.into())
}

/// Several sockets of UDP, bound to one address: the system spreads what comes by a hash of both addresses.
///
/// Only the first one's place decides: it is bound to an address that nobody has, unless a shared port was asked for.
/// Nothing is received until all are there, because each further socket changes what the hash leads to.
#[cfg(target_os = "linux")]
pub(crate) fn bind_several(
    addr: SocketAddr,
    sockets: usize,
    options: &SocketOptions,
) -> io::Result<Vec<UdpSocket>> {
    bind_several_with(addr, sockets, options, |_| ())
}

/// The same; `has_bound` sees each socket once it is bound.
#[cfg(target_os = "linux")]
fn bind_several_with(
    addr: SocketAddr,
    sockets: usize,
    options: &SocketOptions,
    mut has_bound: impl FnMut(&Socket),
) -> io::Result<Vec<UdpSocket>> {
    /// A classic BPF program of one instruction: take nothing of any datagram (`BPF_RET | BPF_K`).
    const NOTHING: [socket2::SockFilter; 1] = [socket2::SockFilter::new(0x06, 0, 0, 0)];
    let named = || named("drivers");
    let mut bound: Vec<Socket> = Vec::with_capacity(sockets);
    for _ in 0..sockets {
        let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
        socket.attach_filter(&NOTHING).map_err(named())?;
        set(&SockRef::from(&socket), addr, options)?;
        match bound.first() {
            None => {
                socket.bind(&addr.into())?;
                // After it was bound: it was not to join the sockets of somebody else.
                socket.set_reuse_port(true).map_err(named())?;
            }
            Some(first) => {
                socket.set_reuse_port(true).map_err(named())?;
                socket.bind(&first.local_addr()?).map_err(named())?;
            }
        }
        has_bound(&socket);
        bound.push(socket);
    }
    bound.iter().try_for_each(Socket::detach_filter).map_err(named())?;
    Ok(bound.into_iter().map(UdpSocket::from).collect())
}

/// Elsewhere a shared port spreads nothing, or in ways of its own.
#[cfg(not(target_os = "linux"))]
pub(crate) fn bind_several(_: SocketAddr, sockets: usize, _: &SocketOptions) -> io::Result<Vec<UdpSocket>> {
    let text = format!("drivers {sockets}: only one on this system");
    Err(io::Error::new(io::ErrorKind::Unsupported, text))
}

/// Where a socket is bound that is to be connected to `peer`.
pub(crate) fn local_for(peer: SocketAddr, options: &SocketOptions) -> io::Result<SocketAddr> {
    let any: IpAddr = match peer {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let ip = options.local_ip_value().unwrap_or(any);
    if ip.is_ipv4() != peer.is_ipv4() {
        let text = format!("{peer} can't be reached from {ip}: another address family");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    Ok(SocketAddr::new(ip, 0))
}

/// Sets them on a socket that isn't bound yet and will be of the family of `addr`.
pub(crate) fn set(socket: &SockRef<'_>, addr: SocketAddr, options: &SocketOptions) -> io::Result<()> {
    if addr.is_ipv6() && addr.ip().is_unspecified() {
        // Not every system has sockets for both; then this one is for IPv6 alone.
        _ = socket.set_only_v6(options.is_only_v6());
    }
    if options.reuses_port() {
        set_reuse_port(socket).map_err(named("reuse-port"))?;
    }
    set_bound(socket, addr, options)
}

/// Sets those that can be set on a socket that somebody else has bound.
pub(crate) fn set_bound(socket: &SockRef<'_>, addr: SocketAddr, options: &SocketOptions) -> io::Result<()> {
    if let Some(bytes) = options.send_buffer_bytes() {
        socket.set_send_buffer_size(bytes).map_err(named("send buffer"))?;
    }
    if let Some(bytes) = options.recv_buffer_bytes() {
        socket.set_recv_buffer_size(bytes).map_err(named("receive buffer"))?;
    }
    if let Some(dscp) = options.dscp_value() {
        set_dscp(socket, addr, u32::from(dscp) << 2).map_err(named("dscp"))?;
    }
    if let Some(name) = options.interface_name() {
        bind_interface(socket, name).map_err(named(&format!("interface {name}")))?;
    }
    Ok(())
}

fn named(what: &str) -> impl FnOnce(io::Error) -> io::Error {
    let what = what.to_owned();
    move |error| io::Error::new(error.kind(), format!("{what}: {error}"))
}

#[cfg(not(windows))]
fn set_dscp(socket: &SockRef<'_>, addr: SocketAddr, class: u32) -> io::Result<()> {
    if addr.is_ipv6() {
        socket.set_tclass_v6(class)?;
        // What goes to IPv4 peers over a socket for both.
        _ = socket.set_tos_v4(class);
        return Ok(());
    }
    socket.set_tos_v4(class)
}

#[cfg(windows)]
fn set_dscp(_: &SockRef<'_>, _: SocketAddr, _: u32) -> io::Result<()> {
    Err(unsupported())
}

#[cfg(unix)]
fn set_reuse_port(socket: &SockRef<'_>) -> io::Result<()> {
    socket.set_reuse_port(true)
}

#[cfg(not(unix))]
fn set_reuse_port(_: &SockRef<'_>) -> io::Result<()> {
    Err(unsupported())
}

#[cfg(target_os = "linux")]
fn bind_interface(socket: &SockRef<'_>, name: &str) -> io::Result<()> {
    socket.bind_device(Some(name.as_bytes()))
}

#[cfg(not(target_os = "linux"))]
fn bind_interface(_: &SockRef<'_>, _: &str) -> io::Result<()> {
    Err(unsupported())
}

#[cfg(not(target_os = "linux"))]
fn unsupported() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "not on this system")
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn what_comes_while_the_sockets_are_bound_comes_to_none_of_them() {
        let senders: Vec<_> = (0..32).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
        let say = |what: &[u8], addr| {
            for sender in &senders {
                assert_eq!(sender.send_to(what, addr).unwrap(), 1);
            }
        };
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let sockets = bind_several_with(any, 4, &SocketOptions::new(), |socket| {
            say(b"a", socket.local_addr().unwrap().as_socket().unwrap());
        })
        .unwrap();
        let addr = sockets[0].local_addr().unwrap();
        assert!(sockets.iter().all(|socket| socket.local_addr().unwrap() == addr));
        (0..3).for_each(|_| say(b"b", addr));
        let mut heard_by = HashMap::new();
        for (n, socket) in sockets.iter().enumerate() {
            socket.set_nonblocking(true).unwrap();
            let mut what = [0];
            while let Ok((_, sender)) = socket.recv_from(&mut what) {
                assert_eq!(what, *b"b", "it came when another socket would have got the next");
                assert_eq!(*heard_by.entry(sender).or_insert(n), n, "a sender in two sockets");
            }
        }
        assert_eq!(heard_by.len(), 32);
    }
}
