//! What can go wrong with a datagram, and whose fault it is.
//!
//! The system reports an ICMP message with whatever call comes next, whoever that call was for. So an error of a
//! call says little; the socket's error queue says whom it is about. [`IcmpError`] is what was read there,
//! [`SendError`] what is left when the queue is empty and the call still fails.

use std::fmt;
use std::io;
use std::net::SocketAddr;

/// Errors that one call hands out at most; more are read from the queue and forgotten.
pub(super) const MAX_ICMP_ERRORS: usize = 256;

/// Bytes kept of the datagram that an ICMP message answers: a KCP header.
pub(super) const QUOTE_BYTES: usize = 24;

/// Why a datagram, or a batch, did not leave.
#[derive(Debug)]
pub(crate) enum SendError {
    /// The socket takes nothing now: keep the batch, and wait until it is ready.
    Blocked,
    /// The datagram is too large for this socket or path; smaller ones can leave.
    TooLarge,
    /// No way there: no route, the network is down, or the source address has gone.
    Unreachable(io::Error),
    /// Refused for this destination alone (a firewall, a full interface queue, an impossible address): it counts
    /// as lost on the way.
    Dropped(io::Error),
    /// The socket is of no use any more.
    Fatal(io::Error),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SendError::Blocked => f.write_str("socket takes nothing now"),
            SendError::TooLarge => f.write_str("datagram is too large"),
            SendError::Unreachable(error) => write!(f, "no way to the peer: {error}"),
            SendError::Dropped(error) => write!(f, "datagram was refused: {error}"),
            SendError::Fatal(error) => write!(f, "socket is of no use: {error}"),
        }
    }
}

/// An ICMP message about an earlier datagram, a hint that anybody on the path can have forged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IcmpError {
    /// Where the datagram was sent to, canonical.
    pub(crate) peer: SocketAddr,
    /// What became of it.
    pub(crate) kind: IcmpKind,
    pub(super) quote: [u8; QUOTE_BYTES],
    pub(super) quote_len: usize,
}

impl IcmpError {
    pub(super) fn new(peer: SocketAddr, kind: IcmpKind, quoted: &[u8]) -> IcmpError {
        let quote_len = quoted.len().min(QUOTE_BYTES);
        let mut quote = [0; QUOTE_BYTES];
        quote[..quote_len].copy_from_slice(&quoted[..quote_len]);
        IcmpError { peer, kind, quote, quote_len }
    }

    /// The first bytes of the datagram that the message answers, 24 at most; often fewer, or none.
    pub(crate) fn quoted(&self) -> &[u8] {
        &self.quote[..self.quote_len]
    }
}

/// What an ICMP message says.
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "only Linux tells them apart"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IcmpKind {
    /// Nobody listens on that port.
    PortUnreachable,
    /// The host does not answer, or there is no way to it.
    HostUnreachable,
    /// There is no way to its network.
    NetUnreachable,
    /// A filter on the way forbids it.
    Prohibited,
    /// The datagram went in circles.
    TimeExceeded,
    /// The datagram was larger than a link on the way.
    TooBig {
        /// Bytes of an IP packet that the link takes.
        mtu: u32,
    },
    /// Anything else.
    Other,
}

impl SendError {
    /// What an error that is not the echo of an earlier datagram means for this one.
    ///
    /// `source_is_fixed`: whether the caller named a source address, or the socket is connected from one.
    pub(super) fn classify(error: io::Error, source_is_fixed: bool) -> SendError {
        use io::ErrorKind as Kind;
        if quinn_udp::is_msg_size_err(&error) {
            return SendError::TooLarge;
        }
        match error.kind() {
            Kind::WouldBlock => SendError::Blocked,
            Kind::NetworkUnreachable | Kind::HostUnreachable | Kind::NetworkDown | Kind::AddrNotAvailable => {
                SendError::Unreachable(error)
            }
            // Linux's word for a source address that is no longer ours.
            Kind::InvalidInput if source_is_fixed && error.raw_os_error().is_some() => {
                SendError::Unreachable(error)
            }
            Kind::BrokenPipe => SendError::Fatal(error),
            _ if names_no_socket(&error) => SendError::Fatal(error),
            _ => SendError::Dropped(error),
        }
    }
}

#[cfg(target_os = "linux")]
fn names_no_socket(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EBADF | libc::ENOTSOCK))
}

#[cfg(not(target_os = "linux"))]
fn names_no_socket(_: &io::Error) -> bool {
    false
}

/// Whether a batch that failed so may leave when it is sent one datagram at a time.
///
/// EMSGSIZE and EINVAL: the datagrams are larger than the link, which fragmentation helps but GSO does not do.
/// EIO: the interface computes no checksums.
pub(super) fn may_be_due_to_gso(error: &io::Error) -> bool {
    quinn_udp::is_msg_size_err(error)
        || error.kind() == io::ErrorKind::InvalidInput
        || cfg!(unix) && error.raw_os_error() == Some(EIO)
}

/// The same number on every Unix.
const EIO: i32 = 5;

/// Whether the error can be the echo of an earlier datagram although the error queue names none.
pub(super) fn may_be_an_echo(error: &io::Error) -> bool {
    !may_be_due_to_gso(error) && error.raw_os_error().is_some()
}

/// Whether a receive call that keeps failing so says nothing about the socket itself.
///
/// A flood of ICMP messages can fail every repetition, with any error that such a message is translated to.
pub(super) fn is_an_echo(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    let translated = matches!(
        error.kind(),
        Kind::ConnectionRefused
            | Kind::ConnectionReset
            | Kind::HostUnreachable
            | Kind::NetworkUnreachable
            | Kind::NetworkDown
            | Kind::PermissionDenied
            | Kind::Unsupported
            | Kind::OutOfMemory
    );
    translated || quinn_udp::is_msg_size_err(error) || is_a_rare_echo(error)
}

#[cfg(target_os = "linux")]
fn is_a_rare_echo(error: &io::Error) -> bool {
    use libc::{EHOSTDOWN, ENONET, ENOPROTOOPT, EPROTO};
    matches!(error.raw_os_error(), Some(EHOSTDOWN | ENONET | ENOPROTOOPT | EPROTO))
}

#[cfg(not(target_os = "linux"))]
fn is_a_rare_echo(_: &io::Error) -> bool {
    false
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_batch_may_have_failed_for_its_size_or_its_checksums_and_for_nothing_else() {
        let may_be = |code| may_be_due_to_gso(&io::Error::from_raw_os_error(code));
        for code in [libc::EMSGSIZE, libc::EINVAL, libc::EIO] {
            assert!(may_be(code), "{code}");
            assert!(!may_be_an_echo(&io::Error::from_raw_os_error(code)), "{code}: it is about this batch");
        }
        for code in
            [libc::EPERM, libc::ENOBUFS, libc::ENETUNREACH, libc::ECONNREFUSED, libc::EAGAIN, libc::EBADF]
        {
            assert!(!may_be(code), "{code}");
        }
    }
}
