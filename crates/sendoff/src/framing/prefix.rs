//! Lengths that stand before a message.

use super::{FrameError, format::Kind};
use bytes::BufMut;

/// The most bytes of a varint of 64 bits.
const VARINT_MOST: usize = 10;

/// A length as it stands there.
pub(super) struct Prefix {
    /// What it says.
    pub(super) value: u64,
    /// How many bytes it takes.
    pub(super) bytes: usize,
}

/// Bytes of the largest message that a length can tell.
pub(super) fn capacity(kind: Kind, counts_prefix: bool) -> usize {
    let (most, bytes) = match kind {
        Kind::U8 => (u8::MAX.into(), 1),
        Kind::Le16 | Kind::Be16 => (u16::MAX.into(), 2),
        Kind::Le32 => (i32::MAX as u64, 4),
        Kind::Be32 => (u32::MAX.into(), 4),
        Kind::Le64 | Kind::Be64 => (u64::MAX, 8),
        Kind::Varint => (u64::MAX, VARINT_MOST as u64),
        Kind::Lines | Kind::None => (u64::MAX, 0),
    };
    usize::try_from(most - if counts_prefix { bytes } else { 0 }).unwrap_or(usize::MAX)
}

/// Reads a length at the front; `None` while some of its bytes are missing.
#[inline]
pub(super) fn parse(kind: Kind, from: &[u8]) -> Result<Option<Prefix>, FrameError> {
    let value = match kind {
        Kind::U8 => from.first().map(|&byte| u64::from(byte)),
        Kind::Le16 => from.first_chunk().map(|bytes| u16::from_le_bytes(*bytes).into()),
        Kind::Be16 => from.first_chunk().map(|bytes| u16::from_be_bytes(*bytes).into()),
        Kind::Le32 => match from.first_chunk().map(|bytes| i32::from_le_bytes(*bytes)) {
            Some(len) => Some(u64::try_from(len).map_err(|_| FrameError::Negative { len })?),
            None => None,
        },
        Kind::Be32 => from.first_chunk().map(|bytes| u32::from_be_bytes(*bytes).into()),
        Kind::Le64 => from.first_chunk().map(|bytes| u64::from_le_bytes(*bytes)),
        Kind::Be64 => from.first_chunk().map(|bytes| u64::from_be_bytes(*bytes)),
        Kind::Varint => return parse_varint(from),
        Kind::Lines | Kind::None => Some(0),
    };
    Ok(value.map(|value| Prefix { value, bytes: fixed_bytes(kind) }))
}

fn fixed_bytes(kind: Kind) -> usize {
    match kind {
        Kind::U8 => 1,
        Kind::Le16 | Kind::Be16 => 2,
        Kind::Le32 | Kind::Be32 => 4,
        Kind::Le64 | Kind::Be64 => 8,
        Kind::Varint | Kind::Lines | Kind::None => 0,
    }
}

fn parse_varint(from: &[u8]) -> Result<Option<Prefix>, FrameError> {
    let mut value = 0;
    for (at, &byte) in from.iter().take(VARINT_MOST).enumerate() {
        let bits = u64::from(byte & 0x7f);
        if at == VARINT_MOST - 1 && byte > 1 {
            return Err(FrameError::VarintTooLong);
        }
        value |= bits << (7 * at);
        if byte & 0x80 == 0 {
            return Ok(Some(Prefix { value, bytes: at + 1 }));
        }
    }
    Ok(None)
}

/// Bytes of the shortest varint.
fn varint_bytes(value: u64) -> usize {
    (value.max(1).ilog2() / 7 + 1) as usize
}

/// Writes the length of a message that is within [`capacity`].
#[inline]
pub(super) fn put(kind: Kind, counts_prefix: bool, len: usize, into: &mut impl BufMut) {
    let counted = if counts_prefix { fixed_bytes(kind) } else { 0 };
    let value = (len + counted) as u64;
    match kind {
        Kind::U8 => into.put_u8(value as u8),
        Kind::Le16 => into.put_u16_le(value as u16),
        Kind::Be16 => into.put_u16(value as u16),
        Kind::Le32 => into.put_u32_le(value as u32),
        Kind::Be32 => into.put_u32(value as u32),
        Kind::Le64 => into.put_u64_le(value),
        Kind::Be64 => into.put_u64(value),
        Kind::Varint => put_varint(if counts_prefix { counting_varint(value) } else { value }, into),
        Kind::Lines | Kind::None => {}
    }
}

/// The least length that counts the varint in which it is written.
fn counting_varint(len: u64) -> u64 {
    // One more byte can need one more byte, once.
    let bytes = varint_bytes(len + varint_bytes(len) as u64);
    len + bytes as u64
}

fn put_varint(mut value: u64, into: &mut impl BufMut) {
    while value > 0x7f {
        into.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    into.put_u8(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(kind: Kind, counts_prefix: bool, len: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        put(kind, counts_prefix, len, &mut bytes);
        bytes
    }

    #[test]
    fn what_is_written_is_read_at_the_edges_of_every_width() {
        for kind in Kind::ALL.into_iter().filter(|kind| kind.has_prefix()) {
            for counts_prefix in [false, true] {
                let most = capacity(kind, counts_prefix);
                let edges = (0..64).flat_map(|bit| {
                    let edge = 1_usize << bit;
                    [edge.saturating_sub(12), edge - 2.min(edge), edge - 1, edge, edge.saturating_add(12)]
                });
                for len in edges.chain([most - 1, most]).filter(|&len| len <= most) {
                    let bytes = written(kind, counts_prefix, len);
                    let prefix = parse(kind, &bytes).unwrap().unwrap();
                    assert_eq!(prefix.bytes, bytes.len(), "{kind:?} {len}");
                    let counted = if counts_prefix { bytes.len() as u64 } else { 0 };
                    assert_eq!(prefix.value - counted, len as u64, "{kind:?} {len}");
                    for cut in 0..bytes.len() {
                        assert!(parse(kind, &bytes[..cut]).unwrap().is_none(), "{kind:?} {len} cut at {cut}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_varint_that_counts_itself_grows_when_its_own_byte_makes_it_longer() {
        assert_eq!(written(Kind::Varint, true, 126), [127]);
        assert_eq!(written(Kind::Varint, true, 127), [0x81, 1]);
        assert_eq!(written(Kind::Varint, true, (1 << 14) - 3), [0xff, 0x7f]);
        assert_eq!(written(Kind::Varint, true, (1 << 14) - 2), [0x81, 0x80, 1]);
    }
}
