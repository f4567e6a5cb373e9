//! The bytes that a side's application sent, in order, exactly once; and the frames in them.

mod framing;
mod kcp;
mod smux;
mod snappy;
mod tcp;

pub use framing::{Frame, FrameError, Frames, Framing, MAX_FRAME, UnknownFraming};
pub use smux::{MAX_SMUX_STREAMS, MAX_SMUX_TOLD, SmuxCommand, SmuxError, SmuxFrame, SmuxStream, SmuxTotals};

pub(crate) use framing::{Deframer, Guess};
pub(crate) use kcp::KcpReassembly;
pub(crate) use smux::Smux;
pub(crate) use tcp::{Arrived, TcpStream};

use std::fmt;

/// Bytes that may wait for what belongs before them, for each direction that is put together, with
/// [`PIECE_COST`] for each piece. When there are more, what they wait for is given up.
pub const MAX_WAITING: usize = 4 << 20;

/// Bytes that may wait in all directions together. When there are more, what waits is given up until it is half as much:
/// first in conversations that are over, then in those that were silent longest; never in the one that is followed.
pub const MANY_WAITING: usize = 32 << 20;

/// What a piece costs beside its bytes: its place in a tree, and what an allocation costs.
pub const PIECE_COST: usize = 96;

/// Bytes of memory that a buffer may keep for its next use, where there are as many buffers as conversations.
const KEPT: usize = 4_096;

/// Moves all of `from` behind what is in `to`: without a copy, if it is much and there is nothing yet.
pub(crate) fn move_all<T>(from: &mut Vec<T>, to: &mut Vec<T>) {
    let few = KEPT / size_of::<T>();
    if to.is_empty() && from.len() > few {
        *to = std::mem::take(from);
    } else {
        to.append(from);
        from.shrink_to(few);
    }
}

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
    /// Wanted bytes, until they are handed over.
    kept: Vec<u8>,
    /// Told only of a side whose bytes are wanted.
    pub(crate) gaps: Vec<Gap>,
    /// Frames that have become whole, until they are handed over.
    frames: Option<Frames>,
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

    /// For a session of smux; of one that is followed the data of the stream `wanted` is kept.
    pub(crate) fn of_smux(wanted: Option<u32>, followed: bool) -> Self {
        let wanted = wanted.filter(|_| followed);
        Self { smux: Some(Box::new(Smux::new(wanted))), keep: followed, ..Self::default() }
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
                if self.keep && self.gaps.len() < MAX_GAPS {
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
            return smux.feed(data);
        }
        let Self { deframer, kept, keep, frames, error, .. } = self;
        match deframer {
            Some(deframer) => {
                let payload = |payload: &[u8]| {
                    if *keep {
                        kept.extend_from_slice(payload);
                    }
                };
                if let Err(wrong) = deframer.feed(data, payload, |frame| Frames::add(frames, frame)) {
                    error.get_or_insert(wrong);
                }
            }
            None if *keep => kept.extend_from_slice(data),
            None => {}
        }
    }

    /// Hands on what has come since the last call: frames, frames of smux, and the wanted bytes.
    pub(crate) fn hand_over(
        &mut self,
        frames: &mut Option<Frames>,
        smux_frames: &mut Vec<SmuxFrame>,
        bytes: &mut Vec<u8>,
    ) {
        if let Some(new) = self.frames.take() {
            *frames = Some(new);
        }
        if let Some(smux) = &mut self.smux {
            smux.hand_over(smux_frames, bytes);
        }
        move_all(&mut self.kept, bytes);
    }

    /// Nothing more comes, and only what it has come to is asked for.
    pub(crate) fn give_memory_back(&mut self) {
        (self.kept, self.frames) = (Vec::new(), None);
        if let Some(smux) = &mut self.smux {
            smux.give_memory_back();
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
