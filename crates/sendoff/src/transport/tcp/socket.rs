//! Sockets of TCP with their options.

use crate::{SocketOptions, TcpOptions};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use std::{io, net::SocketAddr, time::Duration};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// A socket that is about to be connected to `peer`.
pub(super) fn connecting(peer: SocketAddr, options: &TcpOptions) -> io::Result<TcpSocket> {
    let socket = make(peer, options.socket_options())?;
    if options.socket_options().local_ip_value().is_some() {
        socket.bind(&crate::socket::local_for(peer, options.socket_options())?.into())?;
    }
    socket.set_nonblocking(true)?;
    Ok(TcpSocket::from_std_stream(socket.into()))
}

/// A socket that listens.
pub(super) fn listen(addr: SocketAddr, options: &TcpOptions) -> io::Result<TcpListener> {
    let socket = make(addr, options.socket_options())?;
    // A server that is started again must not wait until its old connections are forgotten. On Windows the option
    // means another thing: that somebody else may take the port away.
    #[cfg(not(windows))]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    let backlog = i32::try_from(options.backlog_connections()).unwrap_or(i32::MAX);
    socket.listen(backlog)?;
    TcpListener::from_std(socket.into())
}

fn make(addr: SocketAddr, options: &SocketOptions) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    crate::socket::set(&SockRef::from(&socket), addr, options)?;
    Ok(socket)
}

/// What is set on a connection, opened or accepted.
pub(super) fn set_up(stream: &TcpStream, options: &TcpOptions) -> io::Result<()> {
    stream.set_nodelay(options.is_nodelay())?;
    if let Some(every) = options.keep_alive_interval() {
        let every = every.max(Duration::from_secs(1));
        let third = (every / 3).max(Duration::from_secs(1));
        let keep_alive = TcpKeepalive::new().with_time(every).with_interval(third);
        #[cfg(not(any(target_os = "openbsd", target_os = "haiku", windows)))]
        let keep_alive = keep_alive.with_retries(3);
        SockRef::from(stream).set_tcp_keepalive(&keep_alive)?;
    }
    Ok(())
}
