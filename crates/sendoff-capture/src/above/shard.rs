//! The header that forward error correction puts in front (kcp-go `fec.go`):
//! `seqid u32 | type u16 | …`, type 0xf1 data, 0xf2 parity, 0xf3 out of band.

/// A shard's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Its number, over all groups.
    pub seqid: u32,
    /// What it is.
    pub kind: ShardKind,
}

/// What a shard is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShardKind {
    /// Segments, with their length and 2 in front.
    Data {
        /// As it stands there.
        size: u16,
    },
    /// What data shards are made good with.
    Parity,
    /// A message beside the stream.
    OutOfBand {
        /// As it stands there: bytes of the message and 6.
        size: u16,
        /// The conversation that it belongs to.
        conv: u32,
    },
}

impl Shard {
    /// Bytes of seqid and type.
    pub const HEADER: usize = 6;
    /// Bytes in front of the segments of a data shard.
    pub const DATA_HEADER: usize = 8;
    /// Bytes in front of an out-of-band message.
    pub const OUT_OF_BAND_HEADER: usize = 12;

    /// The header in front of a datagram, if it is a shard: a bare segment has its command, 81 to 84, where the
    /// type is.
    #[inline]
    pub fn parse(datagram: &[u8]) -> Option<Shard> {
        let (seqid, rest) = datagram.split_first_chunk()?;
        let (kind, rest) = rest.split_first_chunk()?;
        let kind = match u16::from_le_bytes(*kind) {
            0xf1 => ShardKind::Data { size: u16::from_le_bytes(*rest.first_chunk()?) },
            0xf2 => ShardKind::Parity,
            0xf3 => {
                let (size, rest) = rest.split_first_chunk()?;
                let conv = u32::from_le_bytes(*rest.first_chunk()?);
                ShardKind::OutOfBand { size: u16::from_le_bytes(*size), conv }
            }
            _ => return None,
        };
        Some(Shard { seqid: u32::from_le_bytes(*seqid), kind })
    }

    /// Bytes of the header.
    pub fn header_len(&self) -> usize {
        match self.kind {
            ShardKind::Data { .. } => Self::DATA_HEADER,
            ShardKind::Parity => Self::HEADER,
            ShardKind::OutOfBand { .. } => Self::OUT_OF_BAND_HEADER,
        }
    }
}
