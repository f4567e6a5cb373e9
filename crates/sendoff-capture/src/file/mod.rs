//! Capture files: pcapng and pcap in, pcapng out.
//!
//! [`PacketReader`] reads either kind from any [`Read`], packet by packet, and holds one block at a time: a file
//! of any size is read in constant memory. What is broken ends the reading with a [`ReadError`] that says where;
//! all packets before it have been handed out.
//!
//! The crate pcap-parser, which the tests read files with too, gives blocks and leaves the rest to its user: what a packet's
//! interface says of links and times, comments, where in the file something is broken. That rest is most of what is here,
//! and the blocks themselves are the smaller part; so it isn't a dependency of users, but an oracle.
//!
//! Formats: draft-ietf-opsawg-pcapng and draft-ietf-opsawg-pcap.

mod error;
mod input;
mod pcap;
mod pcapng;
mod writer;

pub use error::{ReadError, ReadProblem};
pub use pcapng::Comments;
pub use writer::{InterfaceId, InterfaceStatistics, PacketNotes, PacketWay, PcapngWriter, WriteError};

use input::Input;
use std::{fmt, io::Read, time::Duration};

/// Largest block that is taken, in bytes: a frame of 256 KiB, the usual capture length, sixteen times over. A
/// block that claims more, and must be held as a whole, ends the reading.
pub const MAX_BLOCK: usize = 4 << 20;

/// Interfaces in one section at most; a real file has one, or a few.
pub const MAX_INTERFACES: usize = 65_536;

/// What the first bytes of a packet are (`LINKTYPE_…` of the register at tcpdump.org).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LinkType(pub u16);

impl LinkType {
    /// BSD loopback: the address family in the byte order of the machine that captured.
    pub const NULL: LinkType = LinkType(0);
    /// Ethernet.
    pub const ETHERNET: LinkType = LinkType(1);
    /// OpenBSD loopback: the address family in network byte order.
    pub const LOOP: LinkType = LinkType(108);
    /// An IP packet, of either version.
    pub const RAW: LinkType = LinkType(101);
    /// Linux cooked.
    pub const LINUX_SLL: LinkType = LinkType(113);
    /// Linux cooked, version 2.
    pub const LINUX_SLL2: LinkType = LinkType(276);
    /// An IPv4 packet.
    pub const IPV4: LinkType = LinkType(228);
    /// An IPv6 packet.
    pub const IPV6: LinkType = LinkType(229);
}

impl fmt::Display for LinkType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("BSD loopback"),
            1 => f.write_str("Ethernet"),
            12 | 14 | 101 => f.write_str("raw IP"),
            108 => f.write_str("OpenBSD loopback"),
            113 => f.write_str("Linux cooked"),
            228 => f.write_str("raw IPv4"),
            229 => f.write_str("raw IPv6"),
            276 => f.write_str("Linux cooked v2"),
            other => write!(f, "link type {other}"),
        }
    }
}

/// One packet of a capture.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// Counted from 1, as other tools do.
    pub number: u64,
    /// Since 1970, if the file has it: a simple packet block has no time.
    pub time: Option<Duration>,
    /// Which interface of its section it was seen on.
    pub interface: u32,
    /// What its first bytes are.
    pub link: LinkType,
    /// Bytes that it had on the wire; more than `data` has if the capture cut it off.
    pub original_len: u32,
    /// Its bytes.
    pub data: &'a [u8],
    /// Where its block begins in the file.
    pub offset: u64,
    /// What somebody wrote beside it.
    pub comments: Comments<'a>,
}

impl Packet<'_> {
    /// Whether the capture holds less than there was.
    pub fn is_cut(&self) -> bool {
        (self.data.len() as u64) < u64::from(self.original_len)
    }
}

/// Which kind of file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// Blocks; the newer.
    Pcapng,
    /// One header and records.
    Pcap,
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pcapng => "pcapng",
            Self::Pcap => "pcap",
        })
    }
}

/// Reads the packets of a capture file.
#[derive(Debug)]
pub struct PacketReader<R> {
    input: Input<R>,
    format: Format,
    packets: u64,
    /// Reading is over: at the end of the file, or at an error that has been told.
    over: bool,
}

#[derive(Debug)]
enum Format {
    Pcapng(pcapng::Section),
    Pcap(pcap::Header),
}

impl<R: Read> PacketReader<R> {
    /// Looks at the beginning of the file.
    ///
    /// # Errors
    /// It is empty, can't be read, or is neither pcapng nor pcap.
    pub fn new(source: R) -> Result<Self, ReadError> {
        let mut input = Input::new(source);
        let here = input.peek(4)?;
        let magic = match *here {
            [] => return Err(input.error(ReadProblem::Empty)),
            [a, b, c, d, ..] => [a, b, c, d],
            _ => {
                let begins = here.to_vec();
                return Err(input.error(ReadProblem::NotACapture { begins }));
            }
        };
        let format = if magic == pcapng::SECTION_HEADER.to_be_bytes() {
            Format::Pcapng(pcapng::Section::read(&mut input)?)
        } else {
            Format::Pcap(pcap::Header::read(&mut input, magic)?)
        };
        Ok(Self { input, format, packets: 0, over: false })
    }

    /// Which kind of file it is.
    pub fn kind(&self) -> FileKind {
        match self.format {
            Format::Pcapng(_) => FileKind::Pcapng,
            Format::Pcap(_) => FileKind::Pcap,
        }
    }

    /// Packets handed out so far.
    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// Bytes of the file that have been read and understood.
    pub fn offset(&self) -> u64 {
        self.input.offset()
    }

    /// Packets that whoever captured has seen and couldn't keep, as the file says so far; pcap has no place for that.
    pub fn dropped(&self) -> u64 {
        match &self.format {
            Format::Pcapng(section) => section.dropped(),
            Format::Pcap(_) => 0,
        }
    }

    /// The next packet; `None` at the end of the file. After an error there is nothing more.
    ///
    /// # Errors
    /// The file is broken or cut off here, or can't be read.
    // Not an iterator: a packet lies in the reader's buffer.
    pub fn next_packet(&mut self) -> Result<Option<Packet<'_>>, ReadError> {
        if self.over {
            return Ok(None);
        }
        // Set back when a packet was found: so every early return below ends it.
        self.over = true;
        let number = self.packets + 1;
        let found = match &mut self.format {
            Format::Pcapng(section) => section.next_packet(&mut self.input, number)?,
            Format::Pcap(header) => header.next_packet(&mut self.input, number)?,
        };
        if found.is_some() {
            self.packets = number;
            self.over = false;
        }
        Ok(found)
    }
}

/// Numbers in the byte order of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Little,
    Big,
}

impl Order {
    /// The caller has checked that the bytes are there.
    #[inline]
    fn u16(self, bytes: &[u8], at: usize) -> u16 {
        let bytes = [bytes[at], bytes[at + 1]];
        match self {
            Self::Little => u16::from_le_bytes(bytes),
            Self::Big => u16::from_be_bytes(bytes),
        }
    }

    /// The caller has checked that the bytes are there.
    #[inline]
    fn u32(self, bytes: &[u8], at: usize) -> u32 {
        let bytes = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
        match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        }
    }

    /// The caller has checked that the bytes are there.
    fn u64(self, bytes: &[u8], at: usize) -> u64 {
        let (a, b) = (u64::from(self.u32(bytes, at)), u64::from(self.u32(bytes, at + 4)));
        let (high, low) = if self == Self::Big { (a, b) } else { (b, a) };
        high << 32 | low
    }
}
