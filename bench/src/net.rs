//! UDP sockets on the loopback interface.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

use crate::plan::SOCKET_BUFFER;

/// Any free port of 127.0.0.1.
pub const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A socket on a free port with large buffers; the kernel may grant less than it is asked for.
pub fn udp() -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_recv_buffer_size(SOCKET_BUFFER)?;
    socket.set_send_buffer_size(SOCKET_BUFFER)?;
    socket.bind(&ANY_PORT.into())?;
    Ok(socket.into())
}

/// The same for tokio.
pub fn tokio_udp() -> io::Result<tokio::net::UdpSocket> {
    let socket = udp()?;
    socket.set_nonblocking(true)?;
    tokio::net::UdpSocket::from_std(socket)
}
