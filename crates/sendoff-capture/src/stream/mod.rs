//! The bytes that a side's application sent, in order, exactly once; and the frames in them.

mod framing;
mod kcp;
mod smux;
mod snappy;
mod tcp;

pub use framing::{Frame, FrameError, Framing, MAX_FRAME, UnknownFraming};
pub use smux::{MAX_SMUX_STREAMS, MAX_SMUX_TOLD, SmuxCommand, SmuxError, SmuxFrame, SmuxStream, SmuxTotals};

pub(crate) use framing::{Deframer, Guess};
pub(crate) use kcp::KcpReassembly;
pub(crate) use smux::Smux;
pub(crate) use tcp::{Arrived, TcpStream};

use std::fmt;

/// Bytes that may wait for what belongs before them, for each direction that is put together. When there are
/// more, what they wait for is given up.
pub const MAX_WAITING: usize = 4 << 20;

/// Pieces that may wait.
pub(crate) const MAX_PIECES: usize = 65_536;

/// Something that the application sent isn't in the capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// How many bytes of the stream lie before it.
    pub position: u64,
    /// What is missing.
    pub missing: Missing,
}

/// How much is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Segments of KCP; how many bytes they had isn't known.
    Segments(u64),
    /// Bytes of TCP.
    Bytes(u64),
    /// The capture begins in the middle.
    Beginning,
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.missing {
            Missing::Segments(1) => f.write_str("1 segment is")?,
            Missing::Segments(n) => write!(f, "{n} segments are")?,
            Missing::Bytes(1) => f.write_str("1 byte is")?,
            Missing::Bytes(n) => write!(f, "{n} bytes are")?,
            Missing::Beginning => return f.write_str("the capture begins in the middle of the stream"),
        }
        write!(f, " missing from the capture behind byte {}", self.position)
    }
}

/// A piece of a stream, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    Data(&'a [u8]),
    Gap(Missing),
}

/// What becomes of a stream's bytes.
#[derive(Debug, Default)]
pub(crate) struct Consumer {
    /// Bytes so far.
    position: u64,
    /// Frames of a kind that was asked for.
    deframer: Option<Deframer>,
    /// Which kind of frames fit.
    guess: Option<Guess>,
    /// The streams in it, if they are asked for.
    smux: Option<Box<Smux>>,
    /// Whether the bytes are wanted.
    keep: bool,
    /// Wanted bytes; whoever wants them takes them away.
    pub(crate) kept: Vec<u8>,
    pub(crate) gaps: Vec<Gap>,
    /// Frames that have become whole; whoever tells of them takes them away.
    pub(crate) frames: Vec<Frame>,
    /// The same of smux.
    pub(crate) smux_frames: Vec<SmuxFrame>,
    error: Option<FrameError>,
}

/// Gaps that are told, for a stream.
const MAX_GAPS: usize = 1_024;

impl Consumer {
    pub(crate) fn new(framing: Option<Framing>, guess: bool, keep: bool) -> Self {
        Self {
            deframer: framing.map(Deframer::new),
            guess: guess.then(Guess::default),
            keep,
            ..Self::default()
        }
    }

    /// For a session of smux; the data of the stream `wanted` is kept.
    pub(crate) fn of_smux(wanted: Option<u32>) -> Self {
        Self { smux: Some(Box::new(Smux::new(wanted))), ..Self::default() }
    }

    pub(crate) fn take(&mut self, piece: Piece<'_>) {
        match piece {
            Piece::Data(data) => self.data(data),
            Piece::Gap(missing) => {
                // Where a frame begins behind a gap can't be known.
                if let Some(deframer) = &mut self.deframer {
                    deframer.gap();
                }
                self.guess = None;
                if let Some(smux) = &mut self.smux {
                    smux.gap();
                }
                if self.gaps.len() < MAX_GAPS {
                    self.gaps.push(Gap { position: self.position, missing });
                }
            }
        }
    }

    fn data(&mut self, data: &[u8]) {
        self.position += data.len() as u64;
        if let Some(guess) = &mut self.guess {
            guess.feed(data);
        }
        if let Some(smux) = &mut self.smux {
            smux.feed(data);
            smux.take(&mut self.smux_frames, &mut self.kept);
            return;
        }
        let Self { deframer, kept, keep, frames, error, .. } = self;
        match deframer {
            Some(deframer) => {
                let payload = |payload: &[u8]| {
                    if *keep {
                        kept.extend_from_slice(payload);
                    }
                };
                if let Err(wrong) = deframer.feed(data, payload, |frame| frames.push(frame)) {
                    error.get_or_insert(wrong);
                }
            }
            None if *keep => kept.extend_from_slice(data),
            None => {}
        }
    }

    /// Nothing more comes.
    pub(crate) fn finish(&mut self) {
        if let Some(smux) = &mut self.smux {
            smux.finish();
        }
    }

    /// What smux came to, if it was asked for.
    pub(crate) fn smux(&self) -> Option<&SmuxTotals> {
        self.smux.as_ref().map(|smux| smux.totals())
    }

    /// Bytes so far.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Which framing fits, and how many frames there were.
    fn fits(&self) -> Option<(Framing, u64)> {
        self.guess.as_ref().and_then(Guess::fits)
    }

    /// Frames of the kind that was asked for, or of the one that fits.
    pub(crate) fn frames_found(&self) -> Option<(Framing, u64)> {
        self.deframer.as_ref().map(|deframer| (deframer.framing(), deframer.frames())).or_else(|| self.fits())
    }

    /// What is wrong with the frames that were asked for.
    pub(crate) fn frame_error(&self) -> Option<FrameError> {
        self.error.or_else(|| self.deframer.as_ref().and_then(Deframer::unfinished))
    }
}
