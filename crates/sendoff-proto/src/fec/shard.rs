//! What stands in front of segments when FEC is on: the header of a shard.
//!
//! ```text
//! data          seqid u32 | 0xf1 u16 | size u16 | segments          size = length of the segments + 2
//! parity        seqid u32 | 0xf2 u16 | parity of all from `size` on, padded with zeros to the longest of the group
//! out of band   0xffffffff | 0xf3 u16 | size u16 | conv u32 | payload   size = length of the payload + 6
//! ```
//!
//! The second field lies where a bare segment has `cmd` and `frg`, and `cmd` is 81 to 84 there.

use crate::wire::HEADER_SIZE;
use std::ops::Range;

/// Bytes that FEC puts in front of the segments of each datagram: seqid, type and size.
pub const FEC_OVERHEAD: usize = 8;

/// Bytes in front of the payload of an out-of-band datagram.
pub const OUT_OF_BAND_OVERHEAD: usize = FEC_OVERHEAD + 4;

/// Bytes of segments that a data shard can hold: its size field has 16 bits, and counts itself.
pub const MAX_SHARD: usize = u16::MAX as usize - SIZE_FIELD;

/// Bytes of seqid and type: what isn't coded.
pub(super) const SHARD_HEADER: usize = 6;

/// Bytes of the size field, the first that are coded.
pub(super) const SIZE_FIELD: usize = 2;

const DATA: u16 = 0xf1;
const PARITY: u16 = 0xf2;
const OUT_OF_BAND: u16 = 0xf3;

/// What a datagram is, inside the encryption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    /// No shard: segments, or nothing known.
    Bare,
    Data(Shard<'a>),
    Parity(Shard<'a>),
    OutOfBand(OutOfBand<'a>),
    /// It says that it is a shard, and can't be one.
    Malformed,
}

/// A data or parity shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shard<'a> {
    pub(super) seqid: u32,
    /// What is coded, or the parity of that: the size field and what follows. At least 2 bytes.
    pub(super) coded: &'a [u8],
}

impl Shard<'_> {
    /// Whether a group can be made of it: it has the length that its size field says, and a segment fits.
    pub(super) fn is_sound(&self) -> bool {
        self.coded.len() >= SIZE_FIELD + HEADER_SIZE && usize::from(size(self.coded)) == self.coded.len()
    }
}

/// The size field of coded bytes, of which there are 2 or more.
#[inline]
pub(super) fn size(coded: &[u8]) -> u16 {
    u16::from_le_bytes([coded[0], coded[1]])
}

/// Looks at the front of a datagram.
#[inline]
pub(super) fn classify(datagram: &[u8]) -> Kind<'_> {
    let Some((header, coded)) = datagram.split_first_chunk::<SHARD_HEADER>() else { return Kind::Bare };
    let seqid = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
    let shard = Shard { seqid, coded };
    match u16::from_le_bytes([header[4], header[5]]) {
        DATA if coded.len() >= SIZE_FIELD => Kind::Data(shard),
        PARITY if coded.len() >= SIZE_FIELD + HEADER_SIZE && coded.len() <= usize::from(u16::MAX) => {
            Kind::Parity(shard)
        }
        OUT_OF_BAND => OutOfBand::parse(seqid, coded).map_or(Kind::Malformed, Kind::OutOfBand),
        DATA | PARITY => Kind::Malformed,
        _ => Kind::Bare,
    }
}

/// Writes the header of a data shard into the 8 bytes before the segments.
#[inline]
pub(super) fn write_data_header(header: &mut [u8; FEC_OVERHEAD], seqid: u32, segments: usize) {
    debug_assert!(segments <= MAX_SHARD);
    header[..4].copy_from_slice(&seqid.to_le_bytes());
    header[4..6].copy_from_slice(&DATA.to_le_bytes());
    header[6..].copy_from_slice(&((segments + SIZE_FIELD) as u16).to_le_bytes());
}

/// Writes the header of a parity shard.
#[inline]
pub(super) fn write_parity_header(header: &mut [u8], seqid: u32) {
    header[..4].copy_from_slice(&seqid.to_le_bytes());
    header[4..SHARD_HEADER].copy_from_slice(&PARITY.to_le_bytes());
}

/// A datagram of the application's that goes beside the stream: unreliable, unordered and not coded. kcp-go
/// 5.6.60 and later know it (`SendOOB`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfBand<'a> {
    /// The conversation it belongs to.
    pub conv: u32,
    /// The application's bytes; may be none.
    pub payload: &'a [u8],
}

impl<'a> OutOfBand<'a> {
    fn parse(seqid: u32, coded: &'a [u8]) -> Option<Self> {
        let sized = coded.len() >= SIZE_FIELD && usize::from(size(coded)) == coded.len();
        let (conv, payload) = coded.get(SIZE_FIELD..)?.split_first_chunk()?;
        (seqid == u32::MAX && sized).then(|| Self { conv: u32::from_le_bytes(*conv), payload })
    }
}

/// Writes `message` as an out-of-band datagram behind `out`'s bytes; returns where it lies. `None`, and nothing is
/// written, if the payload has more than 65,529 bytes.
///
/// To a kcp-go listener it looks like the first segment of a conversation: from an address that it doesn't know it
/// opens an empty connection, and with another conv than that of the live one it ends that. So send it only on an
/// established connection, with its conv.
pub fn encode_out_of_band(message: OutOfBand<'_>, out: &mut Vec<u8>) -> Option<Range<usize>> {
    let size = u16::try_from(SIZE_FIELD + 4 + message.payload.len()).ok()?;
    let start = out.len();
    out.extend_from_slice(&u32::MAX.to_le_bytes());
    out.extend_from_slice(&OUT_OF_BAND.to_le_bytes());
    out.extend_from_slice(&size.to_le_bytes());
    out.extend_from_slice(&message.conv.to_le_bytes());
    out.extend_from_slice(message.payload);
    Some(start..out.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn out_of_band(conv: u32, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        encode_out_of_band(OutOfBand { conv, payload }, &mut out).unwrap();
        out
    }

    #[test]
    fn out_of_band_datagrams_parse_as_they_were_written() {
        let bytes = out_of_band(0x5b1f_03aa, b"hello");
        assert_eq!(bytes, b"\xff\xff\xff\xff\xf3\0\x0b\0\xaa\x03\x1f\x5bhello");
        assert_eq!(classify(&bytes), Kind::OutOfBand(OutOfBand { conv: 0x5b1f_03aa, payload: b"hello" }));
        let empty = out_of_band(7, b"");
        assert_eq!(classify(&empty), Kind::OutOfBand(OutOfBand { conv: 7, payload: b"" }));
        let largest = vec![1; 65_529];
        assert_eq!(
            classify(&out_of_band(7, &largest)),
            Kind::OutOfBand(OutOfBand { conv: 7, payload: &largest })
        );
        let mut out = vec![9];
        let message = OutOfBand { conv: 7, payload: &vec![1; 65_530] };
        assert_eq!((encode_out_of_band(message, &mut out), out), (None, vec![9]));
    }

    #[test]
    fn a_datagram_cut_at_any_length_is_never_taken_for_more_than_it_is() {
        let out_of_band = out_of_band(7, b"hello");
        for len in 0..out_of_band.len() {
            let expected = if len < SHARD_HEADER { Kind::Bare } else { Kind::Malformed };
            assert_eq!(classify(&out_of_band[..len]), expected, "{len}");
        }
        let mut shard = [0; 40];
        for (kind, shortest) in [(DATA, 8), (PARITY, 32)] {
            shard[4] = kind as u8;
            for len in 0..shard.len() {
                match classify(&shard[..len]) {
                    Kind::Bare => assert!(len < SHARD_HEADER),
                    Kind::Malformed => assert!((SHARD_HEADER..shortest).contains(&len)),
                    _ => assert!(len >= shortest),
                }
            }
        }
    }

    #[test]
    fn a_bare_segment_is_told_from_a_shard_by_its_command() {
        for command in 81..=84 {
            let mut segment = [0xf1; HEADER_SIZE];
            segment[4] = command;
            assert_eq!(classify(&segment), Kind::Bare);
        }
    }

    #[test]
    fn a_data_header_says_the_length_of_the_segments() {
        let mut header = [0; 8];
        write_data_header(&mut header, 0x0102_0304, MAX_SHARD);
        assert_eq!(header, [4, 3, 2, 1, 0xf1, 0, 0xff, 0xff]);
    }
}
