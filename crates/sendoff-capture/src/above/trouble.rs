//! Why a datagram, or a part of it, isn't explained.

use sendoff_proto::{Cipher, wire::SegmentError};
use std::fmt;

/// Why a datagram isn't explained, or not all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trouble {
    /// The capture holds only a part.
    CutOff {
        /// Bytes that are there.
        there: usize,
        /// Bytes that the datagram has.
        wanted: usize,
    },
    /// There is nothing in it.
    Empty,
    /// Its front is no segment.
    NotKcp {
        /// Bytes of the datagram.
        len: usize,
        /// What is wrong.
        error: SegmentError,
        /// Whether it may be sealed: ciphers were tried, so many.
        tried: usize,
        /// Whether a secret was there to try with.
        secret: bool,
    },
    /// The flow is sealed, but not this datagram.
    NotOpened {
        /// The cipher of the flow.
        cipher: Cipher,
        /// Bytes of the datagram.
        len: usize,
    },
    /// Behind whole segments comes what is none.
    Broken {
        /// Where, in the datagram.
        at: usize,
        /// What is wrong.
        error: SegmentError,
    },
    /// Behind whole segments comes another conversation; receivers stop there.
    OtherConversation {
        /// Where, in the datagram.
        at: usize,
        /// Its id.
        conv: u32,
    },
    /// Bytes behind the last segment, too few to be one; receivers ignore them.
    Trailing {
        /// How many.
        len: usize,
    },
    /// It says that it is a data shard, and its size field lies.
    ShardSize {
        /// The size field.
        size: u16,
        /// What it would have to be.
        wanted: usize,
    },
    /// A parity shard in a flow of which no data has been seen.
    LoneParity,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::CutOff { there, wanted } => {
                write!(f, "cut off by the capture: {there} of {wanted} bytes are there")
            }
            Self::Empty => f.write_str("an empty datagram"),
            Self::NotKcp { len, error, tried, secret } => {
                write!(f, "not KCP: {len} bytes, ")?;
                segment_error(f, error)?;
                match (tried, secret) {
                    (0, true) => f.write_str("; no cipher opened the flow"),
                    (0, false) => Ok(()),
                    (1, false) => f.write_str("; not sealed with \"none\" either"),
                    (n, false) => write!(f, "; {n} ciphers without a key don't open it"),
                    (1, true) => f.write_str("; the cipher doesn't open it with this secret"),
                    (n, true) => write!(f, "; none of {n} ciphers opens it with this secret"),
                }
            }
            Self::NotOpened { cipher, len } => {
                write!(
                    f,
                    "{len} bytes that {cipher} doesn't open with this secret, as it does the others here"
                )
            }
            Self::Broken { at, error } => {
                write!(f, "from byte {at} on no segment: ")?;
                segment_error(f, error)
            }
            Self::OtherConversation { at, conv } => {
                write!(f, "from byte {at} on conv {conv:#010x}: receivers stop there")
            }
            Self::Trailing { len: 1 } => f.write_str("1 byte behind the last segment is ignored"),
            Self::Trailing { len } => write!(f, "{len} bytes behind the last segment are ignored"),
            Self::ShardSize { size, wanted } => {
                write!(f, "a data shard with size {size}, where its segments make {wanted}")
            }
            Self::LoneParity => f.write_str("looks like a parity shard, but no data shard was seen before"),
        }
    }
}

fn segment_error(f: &mut fmt::Formatter<'_>, error: SegmentError) -> fmt::Result {
    match error {
        SegmentError::UnknownCommand { command } => {
            write!(f, "cmd {command:#04x} is none of PUSH 0x51, ACK 0x52, WASK 0x53, WINS 0x54")
        }
        SegmentError::Truncated { .. } => f.write_str("too short for a segment header of 24"),
        other => write!(f, "{other}"),
    }
}
