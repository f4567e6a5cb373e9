//! What Windows must be told before it behaves as other systems do.
#![allow(unsafe_code)]

use std::io;
use std::os::windows::io::AsRawSocket;
use std::ptr;

use windows_sys::Win32::Networking::WinSock;

use super::address::Family;
use super::portable::Socket;

/// Sets the options of a fresh socket; to be called after quinn-udp's own set-up.
pub(super) fn set_up(socket: &Socket, family: Family) -> io::Result<()> {
    stop_reporting(socket, WinSock::SIO_UDP_CONNRESET)?;
    // Not known to every version.
    let _ = stop_reporting(socket, SIO_UDP_NETRESET);
    // Datagrams larger than a link are fragmented, not dropped. Best effort: a provider need not know the options.
    let _ = set_option(socket, WinSock::IPPROTO_IP, WinSock::IP_DONTFRAGMENT, 0);
    if family == Family::V6 {
        let _ = set_option(socket, WinSock::IPPROTO_IPV6, WinSock::IPV6_DONTFRAG, 0);
    }
    Ok(())
}

/// Whether ICMP "time exceeded" fails the next receive call.
const SIO_UDP_NETRESET: u32 = WinSock::IOC_IN | WinSock::IOC_VENDOR | 15;

/// An ICMP message about one peer must not fail a receive call that serves all of them: the error names nobody.
fn stop_reporting(socket: &Socket, what: u32) -> io::Result<()> {
    let off: u32 = 0;
    let mut returned = 0;
    // SAFETY: the socket is open, for it is borrowed; the input pointer and length describe `off`, which outlives the
    // call; there is no output buffer; `returned` is a valid place for its length; the call is not overlapped.
    let result = unsafe {
        WinSock::WSAIoctl(
            socket.as_raw_socket() as WinSock::SOCKET,
            what,
            ptr::from_ref(&off).cast(),
            size_of_val(&off) as u32,
            ptr::null_mut(),
            0,
            &mut returned,
            ptr::null_mut(),
            None,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn set_option(socket: &Socket, level: i32, name: i32, value: u32) -> io::Result<()> {
    // SAFETY: the socket is open, for it is borrowed; the pointer and the length describe `value`, which outlives the
    // call, and the system only reads it.
    let result = unsafe {
        WinSock::setsockopt(
            socket.as_raw_socket() as WinSock::SOCKET,
            level,
            name,
            ptr::from_ref(&value).cast(),
            size_of_val(&value) as i32,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
