//! Takes snappy's framing off a stream: what kcptun puts around smux, unless it was started with `--nocomp`.
//!
//! Chunks of `type u8 | length u24 | …` (framing_format.txt of google/snappy); those with data have a CRC in front of
//! it, which isn't checked: the bytes come from segments that were acknowledged.

use super::KEPT;

/// What such a stream begins with: the chunk that names the format.
pub(super) const IDENTIFIER: [u8; 10] = *b"\xff\x06\x00\x00sNaPpY";

/// Bytes that a chunk stands for at most.
const MAX_CHUNK: usize = 65_536;

/// The longest that a compressed chunk can be: its CRC, and data that couldn't be made smaller.
const MAX_COMPRESSED: usize = 4 + 32 + MAX_CHUNK + MAX_CHUNK / 6;

const COMPRESSED: u8 = 0x00;
const UNCOMPRESSED: u8 = 0x01;

/// The stream isn't what snappy writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken;

/// What is known of the chunk that has begun.
#[derive(Debug, Default)]
pub(super) struct Unsnap {
    header: [u8; 4],
    header_len: usize,
    /// Bytes of it that are still to come.
    due: usize,
    /// What is there of a chunk with data.
    chunk: Vec<u8>,
    /// Used again for each.
    plain: Vec<u8>,
}

impl Unsnap {
    /// Takes the stream's next bytes, and hands on what they stand for.
    pub(super) fn feed(&mut self, mut data: &[u8], sink: &mut dyn FnMut(&[u8])) -> Result<(), Broken> {
        while !data.is_empty() {
            if self.header_len < 4 {
                self.header[self.header_len] = data[0];
                self.header_len += 1;
                data = &data[1..];
                if self.header_len == 4 {
                    self.begin()?;
                }
            } else {
                let (part, rest) = data.split_at(data.len().min(self.due));
                if self.has_data() {
                    self.chunk.extend_from_slice(part);
                }
                self.due -= part.len();
                data = rest;
            }
            if self.header_len == 4 && self.due == 0 {
                self.end(sink)?;
            }
        }
        Ok(())
    }

    /// Whether the stream may end here.
    pub(super) fn is_between(&self) -> bool {
        self.header_len == 0
    }

    fn has_data(&self) -> bool {
        matches!(self.header[0], COMPRESSED | UNCOMPRESSED)
    }

    fn begin(&mut self) -> Result<(), Broken> {
        let [kind, a, b, c] = self.header;
        self.due = u32::from_le_bytes([a, b, c, 0]) as usize;
        self.chunk.clear();
        match kind {
            COMPRESSED if self.due <= MAX_COMPRESSED => Ok(()),
            UNCOMPRESSED if self.due <= MAX_CHUNK + 4 => Ok(()),
            // May be skipped: padding, what is reserved for that, the identifier again.
            0x80..=0xff => Ok(()),
            _ => Err(Broken),
        }
    }

    fn end(&mut self, sink: &mut dyn FnMut(&[u8])) -> Result<(), Broken> {
        self.header_len = 0;
        if !self.has_data() {
            return Ok(());
        }
        let content = self.chunk.get(4..).ok_or(Broken)?;
        if self.header[0] == UNCOMPRESSED {
            sink(content);
        } else {
            self.plain.clear();
            decompress(content, &mut self.plain).ok_or(Broken)?;
            sink(&self.plain);
        }
        // There may be many streams, and most chunks are short.
        for buffer in [&mut self.chunk, &mut self.plain] {
            buffer.clear();
            buffer.shrink_to(KEPT);
        }
        Ok(())
    }
}

/// The format below the chunks (format_description.txt): a length, then literals and copies of what was there before.
fn decompress(mut from: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut len = 0_usize;
    for shift in (0..).step_by(7).take(5) {
        let (byte, rest) = from.split_first()?;
        from = rest;
        len |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    if len > MAX_CHUNK {
        return None;
    }
    while let Some((tag, rest)) = from.split_first() {
        from = rest;
        let upper = usize::from(tag >> 2);
        let mut number = |bytes: usize| {
            let (field, rest) = from.split_at_checked(bytes)?;
            from = rest;
            Some(field.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte)))
        };
        if tag & 3 == 0 {
            let len = if upper < 60 { upper } else { number(upper - 59)? }.checked_add(1)?;
            let (literal, rest) = from.split_at_checked(len)?;
            from = rest;
            out.extend_from_slice(literal);
        } else {
            let (back, len) = match tag & 3 {
                1 => ((upper >> 3) << 8 | number(1)?, (upper & 7) + 4),
                2 => (number(2)?, upper + 1),
                _ => (number(4)?, upper + 1),
            };
            let start = out.len().checked_sub(back).filter(|_| back > 0)?;
            // May reach into what it makes itself: byte by byte then.
            for at in start..start + len {
                out.push(out[at]);
            }
        }
        if out.len() > len {
            return None;
        }
    }
    (out.len() == len).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn unsnap(stream: &[u8], cut: usize) -> Result<Vec<u8>, Broken> {
        let (mut unsnap, mut out) = (Unsnap::default(), Vec::new());
        for piece in stream.chunks(cut) {
            unsnap.feed(piece, &mut |plain| out.extend_from_slice(plain))?;
        }
        assert!(unsnap.is_between());
        Ok(out)
    }

    fn chunk(kind: u8, content: &[u8]) -> Vec<u8> {
        let len = (content.len() as u32).to_le_bytes();
        [&[kind], &len[..3], content].concat()
    }

    #[test]
    fn literals_and_copies_of_every_form_are_told() {
        let compressed = [
            &[0, 0, 0, 0, 33][..],
            // A literal of 4; 4 bytes from 4 back; 9 from 3 back, into itself; 6 from 12 back; a long literal.
            &[3 << 2, b'a', b'b', b'c', b'd', 1, 4, 8 << 2 | 2, 3, 0, 5 << 2 | 3, 12, 0, 0, 0],
            &[60 << 2, 9],
            b"0123456789",
        ]
        .concat();
        let stream = [
            &IDENTIFIER[..],
            &chunk(COMPRESSED, &compressed),
            &chunk(0xfe, b"padding"),
            &chunk(UNCOMPRESSED, b"crc.plain"),
        ]
        .concat();
        for cut in [1, 2, 7, 1_000] {
            let told = unsnap(&stream, cut).unwrap();
            assert_eq!(told.len(), 38);
            assert_eq!(&told[..17], b"abcdabcdbcdbcdbcd");
            assert_eq!(told[17..23], told[5..11]);
            assert_eq!(&told[23..], b"0123456789plain");
        }
    }

    #[test]
    fn lies_are_refused() {
        for (kind, content) in [
            (COMPRESSED, &b"crc"[..]),
            (COMPRESSED, b"crc.\x05\x00a"),
            (COMPRESSED, b"crc.\x01\x04ab"),
            (COMPRESSED, b"crc.\x04\x01\x01"),
            (COMPRESSED, b"crc.\x05\x00a\x01\x00"),
            (COMPRESSED, b"crc.\xff\xff\xff\xff\x0f"),
            (COMPRESSED, b"crc.\x09\xfc\xff\xff\xff\xff"),
            (0x02, b""),
        ] {
            assert_eq!(unsnap(&chunk(kind, content), 1_000), Err(Broken), "{content:?}");
        }
        let mut long = chunk(UNCOMPRESSED, &[]);
        long[3] = 2;
        assert_eq!(unsnap(&long, 1_000), Err(Broken));
    }

    proptest! {
        #[test]
        fn any_bytes_break_nothing_and_make_no_more_than_a_chunk(data in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut out = Vec::new();
            _ = decompress(&data, &mut out);
            prop_assert!(out.len() <= MAX_CHUNK + 64);
            _ = Unsnap::default().feed(&data, &mut |_| {});
        }
    }
}
