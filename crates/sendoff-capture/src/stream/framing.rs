//! Frames in a stream: a length in front of each, or a line feed behind it.

use std::{fmt, str::FromStr};

/// Bytes of a frame at most; a length beyond is taken for an error.
pub const MAX_FRAME: u32 = 16 << 20;

/// How frames are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Framing {
    /// A length of 4 bytes, little-endian, before each.
    Le32,
    /// A length of 4 bytes, big-endian, before each.
    Be32,
    /// A line feed at the end of each, which belongs to it.
    Lines,
}

impl fmt::Display for Framing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Le32 => "le32",
            Self::Be32 => "be32",
            Self::Lines => "lines",
        })
    }
}

/// No framing has this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be le32, be32 or lines")]
pub struct UnknownFraming;

impl FromStr for Framing {
    type Err = UnknownFraming;

    fn from_str(text: &str) -> Result<Self, UnknownFraming> {
        match text {
            "le32" => Ok(Self::Le32),
            "be32" => Ok(Self::Be32),
            "lines" => Ok(Self::Lines),
            _ => Err(UnknownFraming),
        }
    }
}

/// A frame that is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Counted from 1, in its direction.
    pub number: u64,
    /// Bytes of its payload.
    pub len: u64,
}

/// Frames that have become whole one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frames {
    /// The first of them.
    pub first: Frame,
    /// How many there are.
    pub count: u64,
}

impl Frames {
    /// Another one is whole.
    pub(super) fn add(frames: &mut Option<Frames>, frame: Frame) {
        frames.get_or_insert(Frames { first: frame, count: 0 }).count += 1;
    }

    /// Number of the last one.
    pub fn last(&self) -> u64 {
        self.first.number + self.count - 1
    }
}

/// The bytes aren't frames of that kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// A length that no frame has.
    #[error("frame {number} claims {len} bytes: more than {MAX_FRAME}, or not framed so")]
    Length {
        /// Counted from 1.
        number: u64,
        /// As it stands there.
        len: u32,
    },
    /// The stream ends in the middle of one.
    #[error("frame {number} is not whole: {there} bytes are there")]
    Unfinished {
        /// Counted from 1.
        number: u64,
        /// Bytes of its header and payload that are there.
        there: u64,
    },
    /// Bytes are missing from the capture, and with them the beginnings of frames.
    #[error("frames behind frame {number} can't be told: bytes are missing")]
    Lost {
        /// The last whole one.
        number: u64,
    },
}

/// Cuts a stream into frames.
#[derive(Clone, Debug)]
pub(crate) struct Deframer {
    framing: Framing,
    frames: u64,
    header: [u8; 4],
    /// Bytes of the header that are there.
    header_len: usize,
    /// Bytes of the payload that are there.
    there: u64,
    /// Bytes of the payload that are due.
    due: u64,
    over: Option<FrameError>,
}

impl Deframer {
    pub(crate) fn new(framing: Framing) -> Self {
        Self { framing, frames: 0, header: [0; 4], header_len: 0, there: 0, due: 0, over: None }
    }

    /// Takes the stream's next bytes; after an error none.
    pub(crate) fn feed(
        &mut self,
        mut data: &[u8],
        mut payload: impl FnMut(&[u8]),
        mut whole: impl FnMut(Frame),
    ) -> Result<(), FrameError> {
        if let Some(error) = self.over {
            return Err(error);
        }
        while !data.is_empty() {
            if self.framing == Framing::Lines {
                let end = data.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
                let (line, rest) = data.split_at(end.unwrap_or(data.len()));
                payload(line);
                self.there += line.len() as u64;
                if end.is_some() {
                    whole(self.finish());
                }
                data = rest;
                continue;
            }
            if self.header_len < 4 {
                let (front, rest) = data.split_at((4 - self.header_len).min(data.len()));
                self.header[self.header_len..][..front.len()].copy_from_slice(front);
                self.header_len += front.len();
                data = rest;
                if self.header_len < 4 {
                    break;
                }
                let len = match self.framing {
                    Framing::Be32 => u32::from_be_bytes(self.header),
                    _ => u32::from_le_bytes(self.header),
                };
                if len > MAX_FRAME {
                    let error = FrameError::Length { number: self.frames + 1, len };
                    self.over = Some(error);
                    return Err(error);
                }
                self.due = len.into();
            }
            let (part, rest) = data.split_at(data.len().min((self.due - self.there) as usize));
            payload(part);
            self.there += part.len() as u64;
            data = rest;
            if self.there == self.due {
                whole(self.finish());
            }
        }
        Ok(())
    }

    pub(crate) fn framing(&self) -> Framing {
        self.framing
    }

    /// Whole frames so far.
    pub(crate) fn frames(&self) -> u64 {
        self.frames
    }

    fn finish(&mut self) -> Frame {
        self.frames += 1;
        let frame = Frame { number: self.frames, len: self.there };
        (self.header_len, self.there, self.due) = (0, 0, 0);
        frame
    }

    /// Bytes are missing from here on.
    pub(crate) fn gap(&mut self) {
        // The next line feed is the end of a line, though its beginning is missing.
        if self.framing != Framing::Lines && self.over.is_none() {
            self.over = Some(FrameError::Lost { number: self.frames });
        }
    }

    /// The frame that the stream ends in.
    pub(crate) fn unfinished(&self) -> Option<FrameError> {
        let there = self.header_len as u64 + self.there;
        let unfinished = (there > 0).then_some(FrameError::Unfinished { number: self.frames + 1, there });
        self.over.or(unfinished)
    }
}

/// Tries all framings on a stream.
#[derive(Debug)]
pub(crate) struct Guess {
    /// Those that still fit.
    candidates: Vec<Deframer>,
    /// Whether all is text, as lines are.
    text: bool,
}

impl Default for Guess {
    fn default() -> Self {
        let candidates = [Framing::Le32, Framing::Be32, Framing::Lines].map(Deframer::new).into();
        Self { candidates, text: true }
    }
}

impl Guess {
    pub(crate) fn feed(&mut self, data: &[u8]) {
        self.text = self.text && data.iter().all(|byte| *byte >= b' ' || b"\t\r\n\x1b".contains(byte));
        self.candidates.retain_mut(|candidate| {
            (candidate.framing != Framing::Lines || self.text) && candidate.feed(data, |_| {}, |_| {}).is_ok()
        });
    }

    /// The first that fits to the last byte, with the number of its frames.
    pub(crate) fn fits(&self) -> Option<(Framing, u64)> {
        let fits = |candidate: &&Deframer| candidate.frames > 0 && candidate.unfinished().is_none();
        self.candidates.iter().find(fits).map(|candidate| (candidate.framing, candidate.frames))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frames(framing: Framing, pieces: &[&[u8]]) -> (Vec<u8>, Vec<u64>, Option<FrameError>) {
        let (mut payload, mut lens) = (Vec::new(), Vec::new());
        let mut deframer = Deframer::new(framing);
        for piece in pieces {
            let result = deframer.feed(piece, |part| payload.extend(part), |frame| lens.push(frame.len));
            if let Err(error) = result {
                return (payload, lens, Some(error));
            }
        }
        (payload, lens, deframer.unfinished())
    }

    #[test]
    fn each_framing_fits_its_own() {
        for (stream, expected) in [
            (&b"\x05\0\0\0Hello\0\0\0\0"[..], Some((Framing::Le32, 2))),
            (b"\0\0\0\x05Hello", Some((Framing::Be32, 1))),
            (b"Hello\nyou\n", Some((Framing::Lines, 2))),
            (b"Hello", None),
            (b"\x05\0\0\0Hell", None),
            (b"bin\x01ary\n", None),
            (b"", None),
        ] {
            let mut guess = Guess::default();
            for byte in stream {
                guess.feed(&[*byte]);
            }
            assert_eq!(guess.fits(), expected, "{stream:?}");
        }
    }

    #[test]
    fn a_length_that_no_frame_has_ends_it() {
        let (payload, lens, error) = frames(Framing::Le32, &[b"\x01\0\0\0xHello"]);
        assert_eq!((&payload[..], &lens[..]), (&b"x"[..], &[1][..]));
        assert_eq!(error, Some(FrameError::Length { number: 2, len: u32::from_le_bytes(*b"Hell") }));
        let (_, _, error) = frames(Framing::Be32, &[b"\0\0\0\x02x"]);
        assert_eq!(error, Some(FrameError::Unfinished { number: 1, there: 5 }));
    }

    #[test]
    fn behind_a_gap_only_lines_go_on() {
        let mut lines = Deframer::new(Framing::Lines);
        lines.gap();
        assert_eq!(lines.feed(b"rest\n", |_| {}, |_| {}), Ok(()));
        let mut frames = Deframer::new(Framing::Le32);
        frames.gap();
        assert_eq!(frames.feed(b"rest", |_| {}, |_| {}), Err(FrameError::Lost { number: 0 }));
    }

    proptest! {
        #[test]
        fn frames_come_out_as_they_went_in_however_the_stream_is_cut(
            messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 0..8),
            cut in 1..20usize,
        ) {
            for framing in [Framing::Le32, Framing::Be32] {
                let mut stream = Vec::new();
                for message in &messages {
                    let len = message.len() as u32;
                    stream.extend(if framing == Framing::Le32 { len.to_le_bytes() } else { len.to_be_bytes() });
                    stream.extend(message);
                }
                let (payload, lens, error) = frames(framing, &stream.chunks(cut).collect::<Vec<_>>());
                prop_assert_eq!(payload, messages.concat());
                prop_assert_eq!(lens, messages.iter().map(|m| m.len() as u64).collect::<Vec<_>>());
                prop_assert_eq!(error, None);
            }
        }
    }
}
