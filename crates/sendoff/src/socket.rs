//! The options that every kind of socket takes.

use crate::SocketOptions;
use socket2::SockRef;
use std::{io, net::SocketAddr};

/// Sets them on a socket that isn't bound yet and will be of the family of `addr`.
pub(crate) fn set(socket: &SockRef<'_>, addr: SocketAddr, options: &SocketOptions) -> io::Result<()> {
    let named = |what: &str| {
        let what = what.to_owned();
        move |error: io::Error| io::Error::new(error.kind(), format!("{what}: {error}"))
    };
    if addr.is_ipv6() && addr.ip().is_unspecified() && socket.set_only_v6(options.is_only_v6()).is_err() {
        // Not every system has sockets for both; then this one is for IPv6 alone.
    }
    if let Some(bytes) = options.send_buffer_bytes() {
        socket.set_send_buffer_size(bytes).map_err(named("send buffer"))?;
    }
    if let Some(bytes) = options.recv_buffer_bytes() {
        socket.set_recv_buffer_size(bytes).map_err(named("receive buffer"))?;
    }
    if let Some(dscp) = options.dscp_value() {
        set_dscp(socket, addr, u32::from(dscp) << 2).map_err(named("dscp"))?;
    }
    if options.reuses_port() {
        set_reuse_port(socket).map_err(named("reuse-port"))?;
    }
    if let Some(name) = options.interface_name() {
        bind_interface(socket, name).map_err(named(&format!("interface {name}")))?;
    }
    Ok(())
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
