//! Packets of a network interface while they pass (Linux: `AF_PACKET`, for root or who has `CAP_NET_RAW`).
//!
//! ```text
//! interface ─▶ filter (kernel) ─▶ socket's buffer ─▶ whole checksums, single datagrams ─▶ packet
//!                                       └─ full: dropped, and counted
//! ```
//!
//! What the network card would have made of them on the wire is made of them here: checksums that were left to the
//! card are worked out, a batch of datagrams that the system handles as one (UDP GSO and GRO) is cut into datagrams,
//! and a VLAN tag that was taken out is put back. Other interfaces' packets aren't asked for: the card stays in the
//! mode that it is in.

mod filter;
mod superpacket;
#[allow(unsafe_code)] // Packet sockets have no safe interface; see the module.
mod sys;

use crate::file::LinkType;
use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use superpacket::Superpacket;
use sys::{Hardware, PacketSocket, Received};

/// Bytes of a packet that are kept: more than any that isn't a batch has.
pub const SNAP_LEN: usize = 256 << 10;

/// Bytes that the kernel may hold for us: 16 MiB, unless it grants less.
pub const BUFFER: usize = 16 << 20;

/// Room in front of a packet: for a cooked header, or a tag.
const HEAD: usize = 32;

/// The header of Linux cooked v2.
const COOKED: usize = 20;

/// Hardware types (`ARPHRD_…`) whose packets begin with an Ethernet header, or with IP.
const ETHERNET: u16 = 1;
const LOOPBACK: u16 = 772;
const NONE: u16 = 0xfffe;

/// Why an interface can't be watched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LiveError {
    /// It takes root or `CAP_NET_RAW`.
    #[error("only root, or who has CAP_NET_RAW, may see the packets of an interface")]
    NotAllowed,
    /// There is no such interface.
    #[error("there is no interface {name:?}; there are {known}")]
    NoInterface {
        /// As it was given.
        name: String,
        /// Those that there are, with commas.
        known: String,
    },
    /// It went down while it was watched.
    #[error("the interface went down")]
    WentDown,
    /// The system says no.
    #[error("{what}: {source}")]
    Io {
        /// To what.
        what: &'static str,
        /// What it says.
        source: io::Error,
    },
}

fn failed(what: &'static str) -> impl Fn(io::Error) -> LiveError {
    move |source| match source.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => LiveError::NotAllowed,
        Some(libc::ENETDOWN) => LiveError::WentDown,
        _ => LiveError::Io { what, source },
    }
}

/// A packet as it passed.
#[derive(Clone, Copy, Debug)]
pub struct LivePacket<'a> {
    /// Since 1970.
    pub time: Duration,
    /// Index of the interface.
    pub interface: u32,
    /// What its first bytes are.
    pub link: LinkType,
    /// Bytes that it had; more than `data` has if it was cut off at [`SNAP_LEN`].
    pub original_len: u32,
    /// Its bytes.
    pub data: &'a [u8],
}

/// What became of the packets so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LiveStatistics {
    /// Packets that the filter let through.
    pub received: u64,
    /// Of these, packets that were dropped because the buffer was full: they came faster than they were read.
    pub dropped: u64,
}

/// An interface that is watched.
#[derive(Debug)]
pub struct LiveCapture {
    socket: PacketSocket,
    /// Every packet gets a cooked header in place of its link's.
    cooked: bool,
    link: LinkType,
    buffer: Vec<u8>,
    superpacket: Option<Superpacket>,
    statistics: LiveStatistics,
}

impl LiveCapture {
    /// Watches an interface; `any` is all of them. With `port`, only UDP and TCP from or to it, ICMP errors about such
    /// packets, and fragments, of which only the first has a port.
    ///
    /// Ethernet, loopback, and interfaces without a link header (tun, WireGuard) have their packets as they are. Of all
    /// others, and of `any`, packets come with a Linux cooked header (v2).
    ///
    /// # Errors
    /// [`LiveError`] says which.
    pub fn open(interface: &str, port: Option<u16>) -> Result<Self, LiveError> {
        let index = match interface {
            "any" => 0,
            name => sys::interface_index(name).map_err(|_| no_interface(name))?,
        };
        let mut socket = PacketSocket::open().map_err(failed("cannot open a packet socket"))?;
        socket.attach_filter(&filter::program(port)).map_err(failed("cannot set the filter"))?;
        socket.set_up(BUFFER).map_err(failed("cannot set up the packet socket"))?;
        let hardware = socket.bind(index).map_err(failed("cannot watch the interface"))?;
        let (cooked, link) = match hardware {
            _ if index == 0 => (true, LinkType::LINUX_SLL2),
            ETHERNET | LOOPBACK => (false, LinkType::ETHERNET),
            NONE => (false, LinkType::RAW),
            _ => (true, LinkType::LINUX_SLL2),
        };
        Ok(Self {
            socket,
            cooked,
            link,
            buffer: vec![0; HEAD + SNAP_LEN],
            superpacket: None,
            statistics: LiveStatistics::default(),
        })
    }

    /// What the first bytes of all its packets are.
    pub fn link(&self) -> LinkType {
        self.link
    }

    /// The next packet, if one is there: never waits. The descriptor is readable when there may be more.
    ///
    /// # Errors
    /// The interface went down, or the socket has failed.
    pub fn try_next(&mut self) -> Result<Option<LivePacket<'_>>, LiveError> {
        if self.superpacket.as_ref().is_some_and(Superpacket::is_empty) {
            self.superpacket = None;
        }
        if self.superpacket.is_none() {
            let received = match self.socket.receive(&mut self.buffer[HEAD..]) {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(failed("cannot receive")(error)),
            };
            let frame = self.arrange(&received);
            match Superpacket::new(&self.buffer, frame, &received) {
                Some(superpacket) => self.superpacket = Some(superpacket),
                None => return Ok(Some(self.single(frame, &received))),
            }
        }
        let Self { superpacket, buffer, link, .. } = self;
        let next = superpacket.as_mut().and_then(|superpacket| superpacket.next(buffer));
        Ok(next.map(|(time, interface, data)| LivePacket {
            time,
            interface,
            link: *link,
            original_len: data.len() as u32,
            data,
        }))
    }

    fn single(&mut self, frame: Frame, received: &Received) -> LivePacket<'_> {
        if let Some((start, at)) = received.partial_checksum {
            // Counted from where the packet lay at first.
            superpacket::complete_checksum(&mut self.buffer[HEAD..HEAD + received.captured], start, at);
        }
        let data = &self.buffer[frame.start..frame.end];
        let missing = received.len - received.captured;
        LivePacket {
            time: received.time.unwrap_or_else(now),
            interface: received.hardware.interface,
            link: self.link,
            original_len: (data.len() + missing) as u32,
            data,
        }
    }

    /// Gives the packet in the buffer the header that it is to have.
    fn arrange(&mut self, received: &Received) -> Frame {
        let end = HEAD + received.captured;
        let network = HEAD + received.network.min(received.captured);
        if self.cooked {
            let start = network - COOKED;
            self.buffer[start..network].copy_from_slice(&cooked_header(&received.hardware));
            return Frame { start, network, end };
        }
        match received.vlan {
            Some((tag, kind)) if self.link == LinkType::ETHERNET && received.captured >= 14 => {
                // Both addresses move forward, and the tag comes behind them (IEEE 802.1Q).
                self.buffer.copy_within(HEAD..HEAD + 12, HEAD - 4);
                self.buffer[HEAD + 8..HEAD + 10].copy_from_slice(&kind.to_be_bytes());
                self.buffer[HEAD + 10..HEAD + 12].copy_from_slice(&tag.to_be_bytes());
                Frame { start: HEAD - 4, network, end }
            }
            _ => Frame { start: HEAD, network, end },
        }
    }

    /// What became of the packets so far.
    ///
    /// # Errors
    /// The socket has failed.
    pub fn statistics(&mut self) -> Result<LiveStatistics, LiveError> {
        let (received, dropped) = self.socket.take_statistics().map_err(failed("no statistics"))?;
        self.statistics.received += u64::from(received);
        self.statistics.dropped += u64::from(dropped);
        Ok(self.statistics)
    }
}

impl AsFd for LiveCapture {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for LiveCapture {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

/// Where a packet lies in the buffer.
#[derive(Clone, Copy, Debug)]
struct Frame {
    start: usize,
    /// Where IP begins, or what is there in its place.
    network: usize,
    end: usize,
}

/// LINKTYPE_LINUX_SLL2 of tcpdump.org's register.
fn cooked_header(hardware: &Hardware) -> [u8; COOKED] {
    let mut header = [0; COOKED];
    header[0..2].copy_from_slice(&hardware.protocol.to_be_bytes());
    header[4..8].copy_from_slice(&hardware.interface.to_be_bytes());
    header[8..10].copy_from_slice(&hardware.kind.to_be_bytes());
    header[10] = hardware.packet_type;
    header[11] = hardware.address_len.min(8);
    header[12..20].copy_from_slice(&hardware.address);
    header
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn no_interface(name: &str) -> LiveError {
    // Two lines of headings, then `name: counters`.
    let table = std::fs::read_to_string("/proc/net/dev").unwrap_or_default();
    let names = table.lines().skip(2).filter_map(|line| line.split(':').next()).map(str::trim);
    let known: Vec<&str> = names.chain(["any"]).collect();
    LiveError::NoInterface { name: name.to_owned(), known: known.join(", ") }
}

#[cfg(test)]
mod tests;
