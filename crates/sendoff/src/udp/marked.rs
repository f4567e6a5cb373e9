//! Sends with the socket's own traffic class (DSCP), on Linux.
//!
//! quinn-udp gives each datagram a class of its own for the sake of ECN, and without a mark that is 0: it would
//! undo what `IP_TOS` says. So a socket that has a DSCP sends by itself, with the same control messages but that one.

use std::io::{self, IoSlice};
use std::net::IpAddr;

use quinn_udp::Transmit;
use socket2::{MsgHdr, SockRef};

/// Bytes of the header of a control message (`cmsghdr`): its length, level and kind.
const HEADER_BYTES: usize = size_of::<libc::cmsghdr>();

/// Room for a segment size, and an address of either family.
const CONTROL_BYTES: usize = 96;

/// Sends a batch as one call, from the source address that it names.
pub(super) fn send_marked(socket: &SockRef<'_>, transmit: &Transmit<'_>) -> io::Result<()> {
    let mut control = Control::default();
    if let Some(size) = transmit.segment_size
        && transmit.contents.len() > size
    {
        let size = u16::try_from(size).map_err(io::Error::other)?;
        control.push(libc::SOL_UDP, libc::UDP_SEGMENT, &[&size.to_ne_bytes()]);
    }
    // `in_pktinfo`: index, the source address, the destination address; `in6_pktinfo`: source address, index.
    match transmit.src_ip {
        Some(IpAddr::V4(ip)) => {
            control.push(libc::IPPROTO_IP, libc::IP_PKTINFO, &[&[0; 4], &ip.octets(), &[0; 4]]);
        }
        Some(IpAddr::V6(ip)) => {
            control.push(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &[&ip.octets(), &[0; 4]]);
        }
        None => {}
    }
    let destination = transmit.destination.into();
    let contents = [IoSlice::new(transmit.contents)];
    let message = MsgHdr::new().with_addr(&destination).with_buffers(&contents);
    let used = control.used;
    let sent = match used {
        0 => socket.sendmsg(&message, 0),
        _ => socket.sendmsg(&message.with_control(&control.bytes[..used]), 0),
    };
    sent.map(drop)
}

/// Control messages, one after the other (`cmsg(3)`). The kernel copies them: they need no alignment.
struct Control {
    bytes: [u8; CONTROL_BYTES],
    used: usize,
}

impl Default for Control {
    fn default() -> Self {
        Self { bytes: [0; CONTROL_BYTES], used: 0 }
    }
}

impl Control {
    fn push(&mut self, level: libc::c_int, kind: libc::c_int, parts: &[&[u8]]) {
        let data: usize = parts.iter().map(|part| part.len()).sum();
        let length = (HEADER_BYTES + data).to_ne_bytes();
        let mut at = self.used;
        let mut put = |bytes: &[u8]| {
            self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        };
        put(&length);
        put(&level.to_ne_bytes());
        put(&kind.to_ne_bytes());
        parts.iter().for_each(|part| put(part));
        self.used += (HEADER_BYTES + data).next_multiple_of(size_of::<usize>());
    }
}
