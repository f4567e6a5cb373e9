//! What Linux can do and neither the standard library nor quinn-udp asks of it.
//!
//! The one place of this crate with `unsafe` on Linux: socket options, the error queue, and dissolving a connection.
#![allow(unsafe_code)]

use std::io;
use std::mem::{self, MaybeUninit};
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::os::fd::AsRawFd;
use std::ptr;
use std::task::{Context, Poll};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

pub(super) use super::marked::send_marked;

use super::address::{Family, canonical};
use super::errors::{IcmpError, IcmpKind, MAX_ICMP_ERRORS, QUOTE_BYTES};

/// A receive call that fills fewer buffers than it was given has emptied the socket (`recvmmsg`).
pub(super) const SHORT_BATCH_MEANS_EMPTY: bool = true;

/// A connected socket can still be given a destination.
pub(super) const CONNECTED_TAKES_DESTINATION: bool = true;

/// A call of [`send_marked`] sends several datagrams.
pub(super) const MARKED_TAKES_BATCHES: bool = true;

/// The kernel doubles what is asked for, for its own bookkeeping.
pub(super) const BUFFER_FACTOR: usize = 2;

/// Errors read from the queue in one go.
const MAX_DRAIN: usize = 64;

/// Room for the control messages of one error: the error with an IPv6 address, a time stamp, a packet info.
const CONTROL_BYTES: usize = 256;

/// A socket known to tokio.
pub(super) struct Registered(AsyncFd<UdpSocket>);

impl Registered {
    pub(super) fn new(socket: UdpSocket) -> io::Result<Registered> {
        // An ICMP error alone is neither readable nor writable; with SO_SELECT_ERR_QUEUE it is urgent, and
        // asked for that, it wakes the reader.
        let interest = Interest::READABLE | Interest::WRITABLE | Interest::PRIORITY;
        // SAFETY: `UdpSocket` owns its descriptor, so it is open, and stays open and the same, as long as the
        // socket lives; the `AsyncFd` owns the socket, and only shared references to it leave this type.
        let socket = unsafe { AsyncFd::register_with_interest(socket, interest) }?;
        Ok(Registered(socket))
    }

    pub(super) fn socket(&self) -> &UdpSocket {
        self.0.get_ref()
    }

    pub(super) fn try_io<R>(
        &self,
        interest: Interest,
        call: impl FnOnce() -> io::Result<R>,
    ) -> io::Result<R> {
        self.0.try_io(interest, |_| call())
    }

    pub(super) fn poll_recv_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_read_ready(cx).map_ok(|mut guard| guard.retain_ready())
    }

    pub(super) fn poll_send_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_write_ready(cx).map_ok(|mut guard| guard.retain_ready())
    }
}

/// Sets the options that quinn-udp leaves alone or sets otherwise; to be called after it.
pub(super) fn set_up(socket: &UdpSocket, family: Family) -> io::Result<()> {
    // A dual-stack socket has both families' options, and obeys those of the family that it speaks at the moment.
    let both = [(libc::IPPROTO_IP, true), (libc::IPPROTO_IPV6, family == Family::V6)];
    for (level, _) in both.into_iter().filter(|(_, applies)| *applies) {
        let (discover, errors) = match level {
            libc::IPPROTO_IP => (libc::IP_MTU_DISCOVER, libc::IP_RECVERR),
            _ => (libc::IPV6_MTU_DISCOVER, libc::IPV6_RECVERR),
        };
        set_option(socket, level, discover, libc::IP_PMTUDISC_DONT)?;
        set_option(socket, level, errors, 1)?;
    }
    if family == Family::V6 {
        set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_DONTFRAG, 0)?;
    }
    set_option(socket, libc::SOL_SOCKET, libc::SO_SELECT_ERR_QUEUE, 1)
}

fn set_option(
    socket: &UdpSocket,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    // SAFETY: the descriptor is open, for `socket` is borrowed; the pointer and the length describe `value`, which
    // outlives the call, and the kernel only reads it.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            ptr::from_ref(&value).cast(),
            size_of_val(&value) as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Datagrams that the kernel dropped for want of room in the receive buffer.
pub(super) fn drops(socket: &UdpSocket) -> Option<u64> {
    const DROPS: usize = libc::SK_MEMINFO_DROPS as usize;
    let mut info = [0u32; DROPS + 1];
    let mut len = size_of_val(&info) as libc::socklen_t;
    // SAFETY: the descriptor is open, for `socket` is borrowed; the pointer and `len` describe `info`, which the
    // kernel fills with as many whole integers as fit, each of which may have any value.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            info.as_mut_ptr().cast(),
            &mut len,
        )
    };
    let complete = result == 0 && len as usize == size_of_val(&info);
    complete.then(|| info[DROPS].into())
}

/// Undoes `connect`: the socket forgets its peer, and the route and source address that were chosen for it. A
/// connection of TCP is broken off with a RST.
pub(crate) fn dissolve(socket: &impl AsRawFd) -> io::Result<()> {
    // SAFETY: all zeroes are a valid `sockaddr`, of integers only; its family is then AF_UNSPEC (0).
    let nobody: libc::sockaddr = unsafe { mem::zeroed() };
    let len = size_of_val(&nobody) as libc::socklen_t;
    // SAFETY: the descriptor is open, for `socket` is borrowed; the pointer and `len` describe `nobody`, which
    // outlives the call, and the kernel only reads it.
    let result = unsafe { libc::connect(socket.as_raw_fd(), &nobody, len) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Reads the error queue, up to a bound; adds the ICMP errors to `found` and returns how many there were.
///
/// Errors of local origin (a datagram too large for the interface) were returned by the call that they are about.
pub(super) fn drain_errors(socket: &UdpSocket, found: &mut Vec<IcmpError>) -> usize {
    let mut count = 0;
    for _ in 0..MAX_DRAIN {
        match next_error(socket) {
            Next::Icmp(error) => {
                count += 1;
                if found.len() < MAX_ICMP_ERRORS {
                    found.extend(error);
                }
            }
            Next::Local => {}
            Next::Empty => break,
        }
    }
    count
}

enum Next {
    /// An ICMP error, with the peer where the kernel still knows it.
    Icmp(Option<IcmpError>),
    Local,
    Empty,
}

/// Control messages must be aligned as their header is.
#[repr(C, align(8))]
struct Control([u8; CONTROL_BYTES]);

fn next_error(socket: &UdpSocket) -> Next {
    let mut quote = [0u8; QUOTE_BYTES];
    let mut control = Control([0; CONTROL_BYTES]);
    // SAFETY: all zeroes are a valid `sockaddr_storage`, of integers only.
    let mut name: libc::sockaddr_storage = unsafe { mem::zeroed() };
    let mut slice = libc::iovec { iov_base: quote.as_mut_ptr().cast(), iov_len: quote.len() };
    // SAFETY: all zeroes are a valid `msghdr`: null pointers with lengths of zero.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    message.msg_name = ptr::from_mut(&mut name).cast();
    message.msg_namelen = size_of_val(&name) as libc::socklen_t;
    message.msg_iov = &mut slice;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = control.0.len() as _;
    let len = loop {
        // SAFETY: the descriptor is open, for `socket` is borrowed; `message` points to a name, one slice and a
        // control buffer that live longer than the call, each with its true length.
        let result = unsafe {
            libc::recvmsg(socket.as_raw_fd(), &mut message, libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT)
        };
        match usize::try_from(result) {
            Ok(len) => break len,
            Err(_) if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Next::Empty,
        }
    };
    let Some(error) = extended_error(&message) else { return Next::Local };
    if !matches!(error.ee_origin, libc::SO_EE_ORIGIN_ICMP | libc::SO_EE_ORIGIN_ICMP6) {
        return Next::Local;
    }
    let quoted = &quote[..len.min(QUOTE_BYTES)];
    Next::Icmp(socket_address(&name).map(|peer| IcmpError::new(peer, kind(&error), quoted)))
}

/// Finds the error among the control messages.
fn extended_error(message: &libc::msghdr) -> Option<libc::sock_extended_err> {
    // SAFETY: the kernel has filled `msg_control` and set `msg_controllen` to the length of what it wrote.
    let mut header = unsafe { libc::CMSG_FIRSTHDR(message) };
    while !header.is_null() {
        // SAFETY: not null, so it points to a whole header within the control buffer, which is aligned for it.
        let (level, kind, len) =
            unsafe { ((*header).cmsg_level, (*header).cmsg_type, (*header).cmsg_len as usize) };
        let is_error = (level, kind) == (libc::IPPROTO_IP, libc::IP_RECVERR)
            || (level, kind) == (libc::IPPROTO_IPV6, libc::IPV6_RECVERR);
        // SAFETY: only computes a length.
        let needed = unsafe { libc::CMSG_LEN(size_of::<libc::sock_extended_err>() as u32) as usize };
        if is_error && len >= needed {
            // SAFETY: the message is long enough to hold the structure, of integers only; nothing is assumed of its
            // alignment.
            return Some(unsafe { ptr::read_unaligned(libc::CMSG_DATA(header).cast()) });
        }
        // SAFETY: `header` came from CMSG_FIRSTHDR or CMSG_NXTHDR on the same message, unchanged since.
        header = unsafe { libc::CMSG_NXTHDR(message, header) };
    }
    None
}

/// Where the datagram that the error is about was sent to.
fn socket_address(name: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match libc::c_int::from(name.ss_family) {
        libc::AF_INET => {
            // SAFETY: a `sockaddr_storage` is larger than a `sockaddr_in`, aligned for it, and initialised.
            let name = unsafe { &*ptr::from_ref(name).cast::<libc::sockaddr_in>() };
            let ip = name.sin_addr.s_addr.to_ne_bytes();
            Some(SocketAddr::from((ip, u16::from_be(name.sin_port))))
        }
        libc::AF_INET6 => {
            // SAFETY: a `sockaddr_storage` is larger than a `sockaddr_in6`, aligned for it, and initialised.
            let name = unsafe { &*ptr::from_ref(name).cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(name.sin6_addr.s6_addr);
            let port = u16::from_be(name.sin6_port);
            Some(canonical(SocketAddrV6::new(ip, port, 0, name.sin6_scope_id).into()))
        }
        _ => None,
    }
}

/// RFC 792 and RFC 4443: the types and codes that say more than the error number made of them.
fn kind(error: &libc::sock_extended_err) -> IcmpKind {
    const V4: u8 = libc::SO_EE_ORIGIN_ICMP;
    const V6: u8 = libc::SO_EE_ORIGIN_ICMP6;
    match (error.ee_origin, error.ee_type, error.ee_code) {
        (V4, 3, 4) | (V6, 2, _) => IcmpKind::TooBig { mtu: error.ee_info },
        (V4, 3, 3) | (V6, 1, 4) => IcmpKind::PortUnreachable,
        (V4, 3, 9 | 10 | 13) | (V6, 1, 1 | 5 | 6) => IcmpKind::Prohibited,
        (V4, 3, 0 | 6 | 11) | (V6, 1, 0) => IcmpKind::NetUnreachable,
        (V4, 3, _) | (V6, 1, _) => IcmpKind::HostUnreachable,
        (V4, 11, _) | (V6, 3, _) => IcmpKind::TimeExceeded,
        _ => IcmpKind::Other,
    }
}
