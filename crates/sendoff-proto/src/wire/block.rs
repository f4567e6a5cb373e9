//! The extension block: what plain KCP can't say, in the data of a WASK, a WINS, or (FIN) a PUSH.
//!
//! A stock peer skips the data of WASK and WINS. Little-endian, offsets from the start of the data:
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 4 | magic `SOFF` |
//! | 4 | 1 | version, 1 |
//! | 5 | 1 | kind |
//! | 6 | 2 | flags |
//! | 8 | 8 | to: the receiver's token, 0 where it isn't known yet |
//! | 16 | 8 | from: the sender's token, 0 where it has no such conversation |
//! | 24 | | body |

use super::{Command, HEADER_SIZE, SegmentView};
use std::{fmt, num::NonZeroU64};

/// Bytes in front of a block's body.
pub const BLOCK_HEADER_SIZE: usize = 24;

/// The `frg` of a FIN, which no sender of data uses.
pub const FIN_FRAGMENT: u8 = 255;

/// Bytes of a reason at most, in UTF-8.
pub const MAX_REASON: usize = 256;

const MAGIC: [u8; 4] = *b"SOFF";
const VERSION: u8 = 1;

/// The identity of one end of a connection: 64 random bits, never 0. Prints itself shortened.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token(NonZeroU64);

impl Token {
    /// A token, unless `value` is 0.
    pub fn new(value: u64) -> Option<Self> {
        NonZeroU64::new(value).map(Self)
    }

    /// The number as it stands on the wire.
    pub fn value(self) -> u64 {
        self.0.get()
    }

    /// Its low 8 bits: which driver of a [`Group`](crate::Group) made it, if it was one of a group.
    pub fn driver(self) -> u8 {
        self.value() as u8
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A token is the proof of RESET and FIN: a log should not hand it out.
        write!(f, "{:08x}…", self.value() >> 32)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({self})")
    }
}

/// What a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum BlockKind {
    /// 1, in WASK: opens a connection.
    Hello = 1,
    /// 2, in WINS: answers it.
    Welcome = 2,
    /// 3, in WINS: come again with this cookie.
    Retry = 3,
    /// 4, in WASK: are you there, and do you know me?
    Ping = 4,
    /// 5, in WINS: I am, and I do.
    Pong = 5,
    /// 6, in WINS: this connection is no more.
    Reset = 6,
    /// 7, in PUSH with frg 255: nothing follows.
    Fin = 7,
}

impl BlockKind {
    fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Hello,
            2 => Self::Welcome,
            3 => Self::Retry,
            4 => Self::Ping,
            5 => Self::Pong,
            6 => Self::Reset,
            7 => Self::Fin,
            _ => return None,
        })
    }

    /// The command of the segment that carries it.
    pub fn carrier(self) -> Command {
        match self {
            Self::Hello | Self::Ping => Command::WindowAsk,
            Self::Welcome | Self::Retry | Self::Pong | Self::Reset => Command::WindowTell,
            Self::Fin => Command::Push,
        }
    }

    /// Bytes of a segment with that block, without a reason.
    pub(crate) const fn segment_size(self) -> usize {
        HEADER_SIZE + BLOCK_HEADER_SIZE + self.body_size()
    }

    const fn body_size(self) -> usize {
        match self {
            Self::Hello => 20,
            Self::Welcome | Self::Reset | Self::Fin => 4,
            Self::Retry => 16,
            Self::Ping | Self::Pong => 8,
        }
    }

    /// Whether it may say that its sender has no such conversation.
    fn may_be_from_nobody(self) -> bool {
        matches!(self, Self::Retry | Self::Reset)
    }
}

impl fmt::Display for BlockKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hello => "HELLO",
            Self::Welcome => "WELCOME",
            Self::Retry => "RETRY",
            Self::Ping => "PING",
            Self::Pong => "PONG",
            Self::Reset => "RESET",
            Self::Fin => "FIN",
        })
    }
}

/// What a block says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Body<'a> {
    /// Opens a connection.
    Hello {
        /// Features that the sender knows; unknown bits are ignored.
        features: u32,
        /// From a RETRY; zeros if none.
        cookie: [u8; 16],
    },
    /// Answers HELLO.
    Welcome {
        /// Features that the sender knows; unknown bits are ignored.
        features: u32,
    },
    /// Come again with this cookie.
    Retry {
        /// To be put into the next HELLO.
        cookie: [u8; 16],
    },
    /// Are you there?
    Ping {
        /// Random; echoed by PONG.
        challenge: u64,
    },
    /// I am.
    Pong {
        /// That of the PING.
        challenge: u64,
    },
    /// This connection is no more.
    Reset {
        /// Why: 0 to 15 are the protocol's, the rest the application's.
        code: u32,
        /// In words; may be empty.
        reason: &'a str,
    },
    /// Nothing follows.
    Fin {
        /// Why, as in RESET.
        code: u32,
        /// In words; may be empty.
        reason: &'a str,
    },
}

impl Body<'_> {
    /// What it is.
    pub fn kind(&self) -> BlockKind {
        match self {
            Self::Hello { .. } => BlockKind::Hello,
            Self::Welcome { .. } => BlockKind::Welcome,
            Self::Retry { .. } => BlockKind::Retry,
            Self::Ping { .. } => BlockKind::Ping,
            Self::Pong { .. } => BlockKind::Pong,
            Self::Reset { .. } => BlockKind::Reset,
            Self::Fin { .. } => BlockKind::Fin,
        }
    }
}

/// One extension block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Block<'a> {
    /// Unknown bits are ignored.
    pub flags: u16,
    /// The receiver's token; `None` where the sender doesn't know it.
    pub to: Option<Token>,
    /// The sender's token; `None` where it has no such conversation.
    pub from: Option<Token>,
    /// What it says.
    pub body: Body<'a>,
}

impl<'a> Block<'a> {
    /// In PING: the listener goes away.
    pub const GOING_AWAY: u16 = 1;
    /// In PING: the application there reads no more.
    pub const READS_NO_MORE: u16 = 2;

    /// Whether the data begins as a block does, of whatever version and kind.
    #[inline]
    pub fn is_marked(data: &[u8]) -> bool {
        data.starts_with(&MAGIC)
    }

    /// The block in a segment, if it has one that is whole, known, and in the right carrier.
    pub fn parse(segment: &SegmentView<'a>) -> Option<Self> {
        let data = segment.data();
        if !Self::is_marked(data) || segment.command() == Command::Ack {
            return None;
        }
        let (header, body) = data.split_first_chunk::<BLOCK_HEADER_SIZE>()?;
        let kind = BlockKind::from_byte(header[5]).filter(|_| header[4] == VERSION)?;
        let from = Token::new(u64_at(header, 16));
        let whole = body.len() >= kind.body_size();
        let in_place = segment.command() == kind.carrier()
            && (kind != BlockKind::Fin || segment.fragment() == FIN_FRAGMENT);
        if !whole || !in_place || (from.is_none() && !kind.may_be_from_nobody()) {
            return None;
        }
        Some(Self {
            flags: u16::from_le_bytes([header[6], header[7]]),
            to: Token::new(u64_at(header, 8)),
            from,
            body: Self::parse_body(kind, body),
        })
    }

    /// The caller has checked that the body is long enough.
    fn parse_body(kind: BlockKind, body: &'a [u8]) -> Body<'a> {
        let code = u32::from_le_bytes([body[0], body[1], body[2], body[3]]);
        let cookie = |at: usize| body[at..].first_chunk().copied().unwrap_or_default();
        match kind {
            BlockKind::Hello => Body::Hello { features: code, cookie: cookie(4) },
            BlockKind::Welcome => Body::Welcome { features: code },
            BlockKind::Retry => Body::Retry { cookie: cookie(0) },
            BlockKind::Ping => Body::Ping { challenge: u64_at(body, 0) },
            BlockKind::Pong => Body::Pong { challenge: u64_at(body, 0) },
            BlockKind::Reset => Body::Reset { code, reason: reason(&body[4..]) },
            BlockKind::Fin => Body::Fin { code, reason: reason(&body[4..]) },
        }
    }

    /// Appends the block as the data of its segment.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[VERSION, self.body.kind() as u8]);
        out.extend_from_slice(&self.flags.to_le_bytes());
        for token in [self.to, self.from] {
            out.extend_from_slice(&token.map_or(0, Token::value).to_le_bytes());
        }
        match self.body {
            Body::Hello { features, cookie } => {
                out.extend_from_slice(&features.to_le_bytes());
                out.extend_from_slice(&cookie);
            }
            Body::Welcome { features } => out.extend_from_slice(&features.to_le_bytes()),
            Body::Retry { cookie } => out.extend_from_slice(&cookie),
            Body::Ping { challenge } | Body::Pong { challenge } => {
                out.extend_from_slice(&challenge.to_le_bytes());
            }
            Body::Reset { code, reason } | Body::Fin { code, reason } => {
                out.extend_from_slice(&code.to_le_bytes());
                out.extend_from_slice(truncate(reason, MAX_REASON).as_bytes());
            }
        }
    }

    /// Bytes of the encoded block.
    pub fn size(&self) -> usize {
        let reason = match self.body {
            Body::Reset { reason, .. } | Body::Fin { reason, .. } => truncate(reason, MAX_REASON).len(),
            _ => 0,
        };
        BLOCK_HEADER_SIZE + self.body.kind().body_size() + reason
    }
}

impl fmt::Display for Block<'_> {
    /// In words: `FIN code=7 "out of coffee"`. The tokens are left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.body.kind())?;
        match self.body {
            Body::Hello { cookie, .. } if cookie != [0; 16] => f.write_str(" with cookie")?,
            Body::Reset { code, reason } | Body::Fin { code, reason } => {
                write!(f, " code={code}")?;
                if !reason.is_empty() {
                    write!(f, " {reason:?}")?;
                }
            }
            Body::Ping { .. } => {
                if self.flags & Self::GOING_AWAY != 0 {
                    f.write_str(" going away")?;
                }
                if self.flags & Self::READS_NO_MORE != 0 {
                    f.write_str(" reads no more")?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// The longest beginning of `text` that has at most `max` bytes, cut at a character.
pub(crate) fn truncate(text: &str, max: usize) -> &str {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// What is UTF-8 of a reason, from its beginning.
fn reason(bytes: &[u8]) -> &str {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
    };
    truncate(text, MAX_REASON)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..].first_chunk().copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        seq::{SeqNumber, Timestamp},
        wire::Segment,
    };

    fn carry(block: &Block<'_>, fragment: u8) -> Vec<u8> {
        let mut data = Vec::new();
        block.encode(&mut data);
        assert_eq!(data.len(), block.size());
        let segment = Segment {
            conv: 7,
            command: block.body.kind().carrier(),
            fragment,
            window: 32,
            timestamp: Timestamp(1),
            sn: SeqNumber(1),
            una: SeqNumber(0),
        };
        let mut datagram = Vec::new();
        segment.encode(&data, &mut datagram);
        datagram
    }

    fn all() -> Vec<Block<'static>> {
        let bodies = [
            Body::Hello { features: 0, cookie: [9; 16] },
            Body::Welcome { features: 0 },
            Body::Retry { cookie: [3; 16] },
            Body::Ping { challenge: 0x0123_4567_89ab_cdef },
            Body::Pong { challenge: 5 },
            Body::Reset { code: 7, reason: "tschüß" },
            Body::Fin { code: 16, reason: "" },
        ];
        bodies.map(|body| Block { flags: 2, to: Token::new(1), from: Token::new(u64::MAX), body }).to_vec()
    }

    fn fragment_of(block: &Block<'_>) -> u8 {
        if block.body.kind() == BlockKind::Fin { FIN_FRAGMENT } else { 0 }
    }

    #[test]
    fn every_block_is_read_as_it_was_written_and_has_the_size_that_the_page_says() {
        let sizes = [68, 52, 64, 56, 56, 52 + 8, 52];
        for (block, size) in all().into_iter().zip(sizes) {
            let datagram = carry(&block, fragment_of(&block));
            assert_eq!(datagram.len(), size, "{block}");
            let (view, _) = SegmentView::parse(&datagram).unwrap();
            assert_eq!(Block::parse(&view), Some(block));
        }
    }

    #[test]
    fn a_block_cut_short_in_another_carrier_or_from_nobody_is_none() {
        for block in all() {
            let mut data = Vec::new();
            block.encode(&mut data);
            let needed = BLOCK_HEADER_SIZE + block.body.kind().body_size();
            for len in 0..needed {
                let segment = Segment {
                    conv: 7,
                    command: block.body.kind().carrier(),
                    fragment: fragment_of(&block),
                    window: 0,
                    timestamp: Timestamp(0),
                    sn: SeqNumber(0),
                    una: SeqNumber(0),
                };
                let mut datagram = Vec::new();
                segment.encode(&data[..len], &mut datagram);
                assert_eq!(Block::parse(&SegmentView::parse(&datagram).unwrap().0), None, "{block} {len}");
            }
            for command in [81, 82, 83, 84] {
                let mut datagram = carry(&block, fragment_of(&block));
                datagram[4] = command;
                let parsed = Block::parse(&SegmentView::parse(&datagram).unwrap().0);
                assert_eq!(parsed.is_some(), command == block.body.kind().carrier() as u8, "{block}");
            }
            let nobody = Block { from: None, ..block };
            let datagram = carry(&nobody, fragment_of(&block));
            let parsed = Block::parse(&SegmentView::parse(&datagram).unwrap().0);
            assert_eq!(parsed.is_some(), block.body.kind().may_be_from_nobody());
        }
    }

    #[test]
    fn other_versions_kinds_and_magics_are_ignored_and_a_fin_needs_its_fragment() {
        let block = all()[6];
        for (at, byte) in [(24, b'X'), (28, 2), (29, 0), (29, 8)] {
            let mut datagram = carry(&block, FIN_FRAGMENT);
            datagram[at] = byte;
            assert_eq!(Block::parse(&SegmentView::parse(&datagram).unwrap().0), None);
        }
        let datagram = carry(&block, 0);
        assert_eq!(Block::parse(&SegmentView::parse(&datagram).unwrap().0), None);
    }

    #[test]
    fn a_reason_is_cut_at_a_character_and_where_it_is_no_utf_8() {
        let long = "ü".repeat(200);
        let block = Block { body: Body::Reset { code: 0, reason: &long }, ..all()[5] };
        let datagram = carry(&block, 0);
        let (view, _) = SegmentView::parse(&datagram).unwrap();
        let Some(Block { body: Body::Reset { reason, .. }, .. }) = Block::parse(&view) else { panic!() };
        assert_eq!(reason, "ü".repeat(128));

        let mut datagram = carry(&all()[5], 0);
        *datagram.last_mut().unwrap() = 0xff;
        let (view, _) = SegmentView::parse(&datagram).unwrap();
        let Some(Block { body: Body::Reset { reason, .. }, .. }) = Block::parse(&view) else { panic!() };
        assert_eq!(reason, "tschü");
    }

    #[test]
    fn blocks_print_in_words() {
        let words: Vec<_> = all().iter().map(Block::to_string).collect();
        assert_eq!(
            words,
            [
                "HELLO with cookie",
                "WELCOME",
                "RETRY",
                "PING reads no more",
                "PONG",
                "RESET code=7 \"tschüß\"",
                "FIN code=16"
            ]
        );
    }
}
