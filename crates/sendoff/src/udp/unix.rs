//! What Unixes other than Linux must be told: that datagrams larger than a link are to be fragmented.
//!
//! quinn-udp forbids it, and then they are refused or lost on the way.
#![allow(unsafe_code)]

use std::os::fd::AsRawFd;
use std::ptr;

use super::address::Family;
use super::portable::Socket;

/// Sets the options of a fresh socket; to be called after quinn-udp's own set-up. Best effort: not every system knows
/// each option, and one that doesn't fragments anyway.
pub(super) fn set_up(socket: &Socket, family: Family) {
    #[cfg(any(target_os = "freebsd", target_vendor = "apple"))]
    if family == Family::V4 {
        set_option(socket, libc::IPPROTO_IP, libc::IP_DONTFRAG, 0);
    }
    #[cfg(target_os = "android")]
    {
        // A dual-stack socket obeys the options of the family that it speaks at the moment.
        set_option(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_DONT);
        if family == Family::V6 {
            set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IP_PMTUDISC_DONT);
        }
    }
    if family == Family::V6 {
        set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_DONTFRAG, 0);
    }
}

fn set_option(socket: &Socket, level: libc::c_int, name: libc::c_int, value: libc::c_int) {
    // SAFETY: the descriptor is open, for `socket` is borrowed; the pointer and the length describe `value`, which
    // outlives the call, and the system only reads it.
    unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            ptr::from_ref(&value).cast(),
            size_of_val(&value) as libc::socklen_t,
        );
    }
}
