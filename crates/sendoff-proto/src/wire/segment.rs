//! The KCP segment: a header of 24 bytes, little-endian, and data (`IKCPSEG`, `ikcp_encode_seg`).
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 4 | conv |
//! | 4 | 1 | cmd |
//! | 5 | 1 | frg |
//! | 6 | 2 | wnd |
//! | 8 | 4 | ts |
//! | 12 | 4 | sn |
//! | 16 | 4 | una |
//! | 20 | 4 | len |

use crate::seq::{SeqNumber, Timestamp};
use std::fmt;

/// Bytes of a segment's header (`IKCP_OVERHEAD`).
pub const HEADER_SIZE: usize = 24;

/// What a segment is for (`cmd`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Command {
    /// 81: carries data (`IKCP_CMD_PUSH`).
    Push = 81,
    /// 82: acknowledges one segment (`IKCP_CMD_ACK`).
    Ack = 82,
    /// 83: asks for the receive window (`IKCP_CMD_WASK`).
    WindowAsk = 83,
    /// 84: tells the receive window (`IKCP_CMD_WINS`).
    WindowTell = 84,
}

impl Command {
    #[inline]
    fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            81 => Self::Push,
            82 => Self::Ack,
            83 => Self::WindowAsk,
            84 => Self::WindowTell,
            _ => return None,
        })
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Push => "PUSH",
            Self::Ack => "ACK",
            Self::WindowAsk => "WASK",
            Self::WindowTell => "WINS",
        })
    }
}

/// The header of a segment, as a plain value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Segment {
    /// Conversation id; 0 can be parsed, but is never sent.
    pub conv: u32,
    /// What the segment is for.
    pub command: Command,
    /// Fragments of the message that follow this one; 0 in stream mode (`frg`).
    pub fragment: u8,
    /// Segments that the sender of this one has room for (`wnd`).
    pub window: u16,
    /// The sender's clock; in an ACK the echo of the acknowledged segment's (`ts`).
    pub timestamp: Timestamp,
    /// Number of this PUSH, or of the one that an ACK answers.
    pub sn: SeqNumber,
    /// All below are received.
    pub una: SeqNumber,
}

impl Segment {
    /// Encodes header and length field for `data_len` bytes of data.
    #[inline]
    pub fn encode_header(&self, data_len: usize) -> [u8; HEADER_SIZE] {
        let mut out = [0; HEADER_SIZE];
        out[0..4].copy_from_slice(&self.conv.to_le_bytes());
        out[4] = self.command as u8;
        out[5] = self.fragment;
        out[6..8].copy_from_slice(&self.window.to_le_bytes());
        out[8..12].copy_from_slice(&self.timestamp.0.to_le_bytes());
        out[12..16].copy_from_slice(&self.sn.0.to_le_bytes());
        out[16..20].copy_from_slice(&self.una.0.to_le_bytes());
        out[20..24].copy_from_slice(&(data_len as u32).to_le_bytes());
        out
    }

    /// Appends the segment with its data.
    #[inline]
    pub fn encode(&self, data: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(&self.encode_header(data.len()));
        out.extend_from_slice(data);
    }
}

/// Why the front of a datagram is no segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SegmentError {
    /// Fewer bytes than a header.
    #[error("{len} bytes are too short for a segment header of 24")]
    Truncated {
        /// Bytes that were there.
        len: usize,
    },
    /// `cmd` isn't one of 81 to 84.
    #[error("unknown command {command}")]
    UnknownCommand {
        /// The byte at offset 4.
        command: u8,
    },
    /// The length field points past the end of the datagram.
    #[error("length {claimed} past the end: {available} bytes follow")]
    LengthPastEnd {
        /// The length field.
        claimed: u32,
        /// Bytes behind the header.
        available: usize,
    },
}

/// One segment in a received datagram: checked when made, so no accessor can fail.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SegmentView<'a> {
    header: &'a [u8; HEADER_SIZE],
    command: Command,
    data: &'a [u8],
}

impl<'a> SegmentView<'a> {
    /// The first segment of `bytes`, and what follows it.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), SegmentError> {
        let Some((header, rest)) = bytes.split_first_chunk::<HEADER_SIZE>() else {
            return Err(SegmentError::Truncated { len: bytes.len() });
        };
        let Some(command) = Command::from_byte(header[4]) else {
            return Err(SegmentError::UnknownCommand { command: header[4] });
        };
        let claimed = u32_at(header, 20);
        match rest.split_at_checked(claimed as usize) {
            Some((data, rest)) => Ok((Self { header, command, data }, rest)),
            None => Err(SegmentError::LengthPastEnd { claimed, available: rest.len() }),
        }
    }

    /// As [`parse`](Self::parse), but the end of its data may be missing. For those who explain captures that were cut
    /// off; a receiver has no use for it.
    #[inline]
    pub fn parse_cut(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), SegmentError> {
        match Self::parse(bytes) {
            Err(SegmentError::LengthPastEnd { available, .. }) => {
                // A header that is checked, and all that is behind it.
                let (whole, data) = bytes.split_at(bytes.len() - available);
                let header: &[u8; HEADER_SIZE] =
                    whole.try_into().map_err(|_| SegmentError::Truncated { len: bytes.len() })?;
                let command = Command::from_byte(header[4])
                    .ok_or(SegmentError::UnknownCommand { command: header[4] })?;
                Ok((Self { header, command, data }, &[]))
            }
            parsed => parsed,
        }
    }

    /// Bytes of data that its length field says it has.
    #[inline]
    pub fn data_len(&self) -> usize {
        u32_at(self.header, 20) as usize
    }

    /// Bytes of its data that aren't there: 0, unless it was [cut](Self::parse_cut).
    #[inline]
    pub fn missing(&self) -> usize {
        self.data_len() - self.data.len()
    }

    /// Conversation id as it stands there.
    #[inline]
    pub fn conv(&self) -> u32 {
        u32_at(self.header, 0)
    }

    /// What the segment is for.
    #[inline]
    pub fn command(&self) -> Command {
        self.command
    }

    /// Fragments of the message that follow this one (`frg`).
    #[inline]
    pub fn fragment(&self) -> u8 {
        self.header[5]
    }

    /// Segments that the sender has room for (`wnd`).
    #[inline]
    pub fn window(&self) -> u16 {
        u16::from_le_bytes([self.header[6], self.header[7]])
    }

    /// The sender's clock, or in an ACK the echo of ours (`ts`).
    #[inline]
    pub fn timestamp(&self) -> Timestamp {
        Timestamp(u32_at(self.header, 8))
    }

    /// Number of this PUSH, or of the one that an ACK answers.
    #[inline]
    pub fn sn(&self) -> SeqNumber {
        SeqNumber(u32_at(self.header, 12))
    }

    /// All below are received.
    #[inline]
    pub fn una(&self) -> SeqNumber {
        SeqNumber(u32_at(self.header, 16))
    }

    /// The data behind the header.
    #[inline]
    pub fn data(&self) -> &'a [u8] {
        self.data
    }

    /// The header as a plain value.
    pub fn to_segment(&self) -> Segment {
        Segment {
            conv: self.conv(),
            command: self.command,
            fragment: self.fragment(),
            window: self.window(),
            timestamp: self.timestamp(),
            sn: self.sn(),
            una: self.una(),
        }
    }
}

#[inline]
fn u32_at(header: &[u8; HEADER_SIZE], at: usize) -> u32 {
    u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
}

impl fmt::Display for SegmentView<'_> {
    /// In words: `PUSH sn=0 una=0 wnd=1024 53 bytes`. The conversation is left to the caller, who knows it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.command)?;
        if matches!(self.command, Command::Push | Command::Ack) {
            write!(f, " sn={}", self.sn())?;
        }
        write!(f, " una={} wnd={}", self.una(), self.window())?;
        if self.fragment() != 0 {
            write!(f, " frg={}", self.fragment())?;
        }
        match self.data.len() {
            0 if self.command != Command::Push => Ok(()),
            1 => write!(f, " 1 byte"),
            n => write!(f, " {n} bytes"),
        }
    }
}

impl fmt::Debug for SegmentView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{:#010x} ts={} {self}]", self.conv(), self.timestamp())
    }
}

/// The segments of a datagram, in order. Up to 23 bytes after the last are ignored, as every
/// KCP does; anything else that can't be parsed is the last item, an error.
pub fn segments(datagram: &[u8]) -> Segments<'_> {
    Segments { rest: datagram, first: true }
}

/// Iterator made by [`segments`].
#[derive(Clone, Debug)]
pub struct Segments<'a> {
    rest: &'a [u8],
    first: bool,
}

impl<'a> Segments<'a> {
    /// Bytes that haven't been parsed: after the end the trailing ones, after an error those in doubt.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Segments<'a> {
    type Item = Result<SegmentView<'a>, SegmentError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        // Too short for a header: an error in front, mere trailing bytes behind a segment.
        if self.rest.len() < HEADER_SIZE && !self.first {
            return None;
        }
        self.first = false;
        match SegmentView::parse(self.rest) {
            Ok((view, rest)) => {
                self.rest = rest;
                Some(Ok(view))
            }
            Err(error) => {
                self.rest = &[];
                Some(Err(error))
            }
        }
    }
}
