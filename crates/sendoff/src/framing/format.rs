//! How messages are marked in a stream of bytes: a value that can't be wrong.

use super::{FrameCodec, prefix};

/// How messages are marked in a stream of bytes.
///
/// ```
/// use sendoff::Framing;
///
/// let framing = Framing::le32().limit(1 << 20);
/// assert_eq!(framing.to_string(), "le32:limit=1048576");
/// assert_eq!("u16be".parse(), Ok(Framing::be16()));
/// ```
///
/// A length is that of the message, in bytes, and stands before it. The names are those of the constructors;
/// `u16le`, `u16be` and so on are understood too. Options follow after colons: `be16:counting-prefix:limit=4096`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Framing {
    pub(super) kind: Kind,
    pub(super) counts_prefix: bool,
    limit: usize,
}

/// What marks a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    U8,
    Le16,
    Be16,
    Le32,
    Be32,
    Le64,
    Be64,
    Varint,
    Lines,
    None,
}

impl Kind {
    pub(super) const ALL: [Kind; 10] = [
        Kind::U8,
        Kind::Le16,
        Kind::Be16,
        Kind::Le32,
        Kind::Be32,
        Kind::Le64,
        Kind::Be64,
        Kind::Varint,
        Kind::Lines,
        Kind::None,
    ];

    pub(super) fn has_prefix(self) -> bool {
        !matches!(self, Kind::Lines | Kind::None)
    }
}

impl Framing {
    /// Bytes of the largest message unless [`limit`](Self::limit) says otherwise: 16 MiB.
    pub const DEFAULT_LIMIT: usize = 16 << 20;

    const fn of(kind: Kind) -> Self {
        Self { kind, counts_prefix: false, limit: Self::DEFAULT_LIMIT }
    }

    pub(super) const fn with(kind: Kind) -> Self {
        Self::of(kind)
    }

    /// A length of 1 byte: messages of up to 255 bytes.
    pub const fn u8() -> Self {
        Self::of(Kind::U8)
    }

    /// A length of 2 bytes, little endian: messages of up to 65,535 bytes.
    pub const fn le16() -> Self {
        Self::of(Kind::Le16)
    }

    /// A length of 2 bytes, big endian (network order), as in DNS over TCP.
    pub const fn be16() -> Self {
        Self::of(Kind::Be16)
    }

    /// A length of 4 bytes, little endian and signed: one of 2^31 or more is a negative length, which is an error.
    /// It is what `binary.Write(w, binary.LittleEndian, int32(len(message)))` writes in Go.
    pub const fn le32() -> Self {
        Self::of(Kind::Le32)
    }

    /// A length of 4 bytes, big endian (network order), unsigned.
    pub const fn be32() -> Self {
        Self::of(Kind::Be32)
    }

    /// A length of 8 bytes, little endian, unsigned.
    pub const fn le64() -> Self {
        Self::of(Kind::Le64)
    }

    /// A length of 8 bytes, big endian (network order), unsigned.
    pub const fn be64() -> Self {
        Self::of(Kind::Be64)
    }

    /// A length of 1 to 10 bytes, seven bits each, the lowest first, all but the last with the high bit set:
    /// unsigned LEB128, as protobuf's delimited messages. Zeros in front are understood, and never sent.
    pub const fn varint() -> Self {
        Self::of(Kind::Varint)
    }

    /// Lines: a line feed, or carriage return and line feed, ends a message and isn't part of it. Sent is the line
    /// feed. The last line needs none. A message with a line break in it can't be sent.
    pub const fn lines() -> Self {
        Self::of(Kind::Lines)
    }

    /// Nothing. Where the transport keeps boundaries by itself (UDP, KCP in [`Mode::Message`](crate::Mode)), its
    /// messages are ours. In a stream of bytes each message is what one read brought: not what was sent.
    pub const fn none() -> Self {
        Self::of(Kind::None)
    }

    /// The largest message, in bytes, without its prefix or line break; sent or received. Default 16 MiB. Where the
    /// length can't say as much, what it can say is the limit.
    #[must_use]
    pub const fn limit(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }

    /// The length counts the bytes of the prefix too. Lines and raw bytes have none: there, nothing changes.
    #[must_use]
    pub fn counting_prefix(mut self) -> Self {
        self.counts_prefix = self.kind.has_prefix();
        self
    }

    /// Bytes of the largest message that can be sent or received: see [`limit`](Self::limit). At least 1 with
    /// [`none`](Self::none).
    pub fn limit_bytes(&self) -> usize {
        match self.kind {
            Kind::None => self.limit.max(1),
            Kind::Lines => self.limit,
            kind => self.limit.min(prefix::capacity(kind, self.counts_prefix)),
        }
    }

    /// Whether the length counts its own bytes.
    pub fn counts_prefix(&self) -> bool {
        self.counts_prefix
    }

    /// Whether nothing marks a message: see [`none`](Self::none).
    pub fn is_none(&self) -> bool {
        self.kind == Kind::None
    }

    /// The limit as it was asked for.
    pub(super) fn limit_asked(&self) -> usize {
        self.limit
    }

    /// The codec, for tokio-util's `Framed` and its like.
    pub fn codec(&self) -> FrameCodec {
        FrameCodec::new(*self)
    }
}
