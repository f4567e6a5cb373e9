//! What can be wrong with a capture file, and where.

use std::io;

/// A capture file can't be read on.
#[derive(Debug, thiserror::Error)]
#[error("at byte {offset}: {problem}")]
pub struct ReadError {
    /// Where the block, record or header begins that is broken.
    pub offset: u64,
    /// What is wrong with it.
    pub problem: ReadProblem,
}

/// What is wrong with a capture file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadProblem {
    /// There is nothing in it.
    #[error("the file is empty")]
    Empty,
    /// It begins with nothing that a capture begins with.
    #[error("neither pcapng nor pcap: it begins with {begins:02x?}")]
    NotACapture {
        /// Its first bytes, four at most.
        begins: Vec<u8>,
    },
    /// A kind of capture that isn't read.
    #[error("{what} is not supported")]
    Unsupported {
        /// Which.
        what: &'static str,
    },
    /// The file ends within something.
    #[error("the file is cut off: {what} has {wanted} bytes, {there} are there")]
    CutOff {
        /// Within what.
        what: &'static str,
        /// Bytes that it has, as far as is known.
        wanted: u64,
        /// Bytes that the file has of it.
        there: u64,
    },
    /// The byte-order magic of a section is neither of the two.
    #[error("byte-order magic {magic:#010x} is not 0x1a2b3c4d in either order")]
    ByteOrder {
        /// As it stands there, read as little-endian.
        magic: u32,
    },
    /// Another version of the format.
    #[error("version {major}.{minor} of the format is unknown")]
    Version {
        /// Major part.
        major: u16,
        /// Minor part.
        minor: u16,
    },
    /// A block's length isn't one that a block can have.
    #[error("a block of type {kind:#x} can't have {len} bytes")]
    BlockLength {
        /// Type of the block.
        kind: u32,
        /// Its length field.
        len: u32,
    },
    /// A block's two length fields differ.
    #[error("the block's length is {front} in front and {back} at its end")]
    LengthsDiffer {
        /// The field in front.
        front: u32,
        /// The one at the end.
        back: u32,
    },
    /// Something claims to be larger than what is taken.
    #[error("{what} claims {claimed} bytes, more than the {limit} that are taken")]
    TooLarge {
        /// What it is.
        what: &'static str,
        /// Bytes that it claims.
        claimed: u64,
        /// Bytes that are taken at most.
        limit: u64,
    },
    /// A packet claims more bytes than its block has room for.
    #[error("a packet of {claimed} bytes in a block with room for {room}")]
    PacketPastBlock {
        /// Bytes that it claims.
        claimed: u32,
        /// Bytes of the block that are left for it.
        room: usize,
    },
    /// A packet of an interface that hasn't been described.
    #[error("a packet of interface {interface}, but {described} are described")]
    UnknownInterface {
        /// The interface that it names.
        interface: u32,
        /// Interfaces that have been described in this section.
        described: usize,
    },
    /// More interfaces than are taken.
    #[error("more than {limit} interfaces in a section")]
    TooManyInterfaces {
        /// How many are taken.
        limit: usize,
    },
    /// The system says no.
    #[error("cannot read on: {0}")]
    Io(#[from] io::Error),
}
