//! smux (xtaci) in a stream: frames of `version u8 | command u8 | length u16 | stream u32`, little-endian, and its data.
//! kcptun puts snappy's framing around all of it, which is recognised and taken off.

use super::{
    move_all,
    snappy::{Broken, IDENTIFIER, Unsnap},
};
use std::{collections::BTreeMap, fmt};

/// Streams of a direction that are told one by one; data of others is only counted in its frames.
pub const MAX_SMUX_STREAMS: usize = 256;

/// Frames that are told of one packet; one packet can bring megabytes, if they waited for it, and under snappy far more.
pub const MAX_SMUX_TOLD: usize = 4_096;

/// The same, once nothing more of the session is told.
const FEW_STREAMS: usize = 64;

const HEADER: usize = 8;
/// Bytes of the data of UPD.
const UPDATE: usize = 8;

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum SmuxCommand {
    /// 0: a stream begins.
    Syn = 0,
    /// 1: nothing follows in this direction.
    Fin = 1,
    /// 2: data.
    Push = 2,
    /// 3: keeps the session alive.
    Nop = 3,
    /// 4, of version 2: how much has been read, and how much more may be sent.
    Update = 4,
}

impl fmt::Display for SmuxCommand {
    /// As smux itself calls it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Syn => "SYN",
            Self::Fin => "FIN",
            Self::Push => "PSH",
            Self::Nop => "NOP",
            Self::Update => "UPD",
        })
    }
}

/// A frame, told when its header is there; a UPD when all of it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SmuxFrame {
    /// 1 or 2.
    pub version: u8,
    /// What it is for.
    pub command: SmuxCommand,
    /// Which stream; 0 for NOP.
    pub stream: u32,
    /// Bytes of its data.
    pub len: u16,
    /// Of UPD: bytes that have been read since the stream began, and how many may be unread. Both wrap.
    pub update: Option<(u32, u32)>,
}

impl fmt::Display for SmuxFrame {
    /// In words: `PSH 3 1200 bytes`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.command)?;
        if self.command != SmuxCommand::Nop {
            write!(f, " {}", self.stream)?;
        }
        match self.update {
            Some((consumed, window)) => write!(f, " consumed={consumed} window={window}"),
            None if self.command == SmuxCommand::Push => write!(f, " {} bytes", self.len),
            None => Ok(()),
        }
    }
}

/// The bytes aren't smux, or not any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SmuxError {
    /// A header that none is.
    #[error("not smux: a frame of version {version}, command {command} and {len} bytes at byte {position}")]
    Header {
        /// Bytes in front of it, without snappy.
        position: u64,
        /// 1 and 2 are.
        version: u8,
        /// 0 to 3 are, and in version 2 also 4.
        command: u8,
        /// Of UPD it must be 8.
        len: u16,
    },
    /// The stream begins as snappy's does, and goes on otherwise.
    #[error("not what snappy writes, behind {position} bytes that it stands for")]
    Snappy {
        /// Bytes before.
        position: u64,
    },
    /// Bytes are missing from the capture, and with them the beginnings of frames.
    #[error("frames behind byte {position} can't be told: bytes are missing")]
    Lost {
        /// Bytes before.
        position: u64,
    },
    /// The stream ends in the middle of a frame.
    #[error("the last frame is not whole: {due} bytes of it are missing")]
    Unfinished {
        /// Bytes that aren't there.
        due: usize,
    },
}

/// What one side has sent in a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SmuxStream {
    /// Whether this side opened it.
    pub syn: bool,
    /// Whether this side has finished.
    pub fin: bool,
    /// Frames with data.
    pub frames: u64,
    /// Bytes of data, as far as they are there.
    pub bytes: u64,
    /// Its last UPD: bytes read, window.
    pub update: Option<(u32, u32)>,
}

/// What is known of the bytes below the frames.
#[derive(Debug, Default)]
enum Layer {
    /// The first bytes; they may be the beginning of snappy's identifier.
    #[default]
    Unknown,
    Clear,
    Snappy(Box<Unsnap>),
}

/// Cuts one direction of a session into frames.
#[derive(Debug, Default)]
pub(crate) struct Smux {
    layer: Layer,
    first: Vec<u8>,
    frames: Frames,
}

/// The frames, below which nothing lies any more.
#[derive(Debug, Default)]
struct Frames {
    header: [u8; HEADER + UPDATE],
    header_len: usize,
    /// Bytes of data that are due, and of which stream.
    due: usize,
    stream: u32,
    position: u64,
    /// The stream whose data is wanted.
    wanted: Option<u32>,
    kept: Vec<u8>,
    told: Vec<SmuxFrame>,
    totals: SmuxTotals,
}

/// What one direction of a session came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SmuxTotals {
    /// 1 or 2; `None` if there was no frame.
    pub version: Option<u8>,
    /// Whether snappy was around it.
    pub snappy: bool,
    /// Frames of all kinds.
    pub frames: u64,
    /// NOPs among them.
    pub keep_alives: u64,
    /// By their numbers, [`MAX_SMUX_STREAMS`] at most: those that came first.
    pub streams: BTreeMap<u32, SmuxStream>,
    /// Frames of streams beyond that.
    pub others: u64,
    /// Why nothing is told any more.
    pub error: Option<SmuxError>,
}

impl Smux {
    /// `wanted` is the stream whose data is kept.
    pub(crate) fn new(wanted: Option<u32>) -> Self {
        Self { frames: Frames { wanted, ..Frames::default() }, ..Self::default() }
    }

    /// Takes the next bytes; after an error none.
    pub(crate) fn feed(&mut self, data: &[u8]) {
        if self.frames.totals.error.is_some() {
            return;
        }
        if let Layer::Unknown = self.layer {
            let missing = IDENTIFIER.len() - self.first.len();
            let (front, rest) = data.split_at(data.len().min(missing));
            self.first.extend_from_slice(front);
            if IDENTIFIER == self.first[..] {
                self.layer = Layer::Snappy(Box::default());
                self.frames.totals.snappy = true;
            } else if IDENTIFIER.starts_with(&self.first) {
                return;
            } else {
                self.layer = Layer::Clear;
                let first = std::mem::take(&mut self.first);
                self.pass_on(&first);
            }
            return self.feed(rest);
        }
        self.pass_on(data);
    }

    fn pass_on(&mut self, data: &[u8]) {
        let frames = &mut self.frames;
        let result = match &mut self.layer {
            Layer::Snappy(unsnap) => {
                let mut result = Ok(());
                let unsnapped = unsnap.feed(data, &mut |plain| {
                    if result.is_ok() {
                        result = frames.feed(plain);
                    }
                });
                let position = frames.position;
                result.and(unsnapped.map_err(|Broken| SmuxError::Snappy { position }))
            }
            _ => frames.feed(data),
        };
        frames.totals.error = result.err();
    }

    /// Bytes are missing from here on.
    pub(crate) fn gap(&mut self) {
        let position = self.frames.position;
        self.frames.totals.error.get_or_insert(SmuxError::Lost { position });
    }

    /// Nothing more comes.
    pub(crate) fn finish(&mut self) {
        let Frames { due, header_len, totals, .. } = &mut self.frames;
        let due = match *header_len {
            0 => *due,
            len @ ..HEADER => HEADER - len,
            len => HEADER + UPDATE - len,
        };
        let between = match &self.layer {
            Layer::Snappy(unsnap) => unsnap.is_between(),
            Layer::Clear => true,
            Layer::Unknown => self.first.is_empty(),
        };
        if due > 0 || !between {
            totals.error.get_or_insert(SmuxError::Unfinished { due: due.max(1) });
        }
    }

    /// Nothing more comes, and only what it has come to is asked for: not of so many streams, because there may be so
    /// many more sessions.
    pub(crate) fn give_memory_back(&mut self) {
        (self.layer, self.first) = (Layer::Clear, Vec::new());
        let Frames { kept, told, totals, .. } = &mut self.frames;
        (*kept, *told) = (Vec::new(), Vec::new());
        if let Some(beyond) = totals.streams.keys().nth(FEW_STREAMS).copied() {
            let frames = |of: &SmuxStream| of.frames + u64::from(of.syn) + u64::from(of.fin);
            totals.others += totals.streams.split_off(&beyond).values().map(frames).sum::<u64>();
        }
    }

    /// What it has come to so far.
    pub(crate) fn totals(&self) -> &SmuxTotals {
        &self.frames.totals
    }

    /// Frames since the last call; data of the stream that is wanted goes behind that in `kept`.
    pub(crate) fn hand_over(&mut self, told: &mut Vec<SmuxFrame>, kept: &mut Vec<u8>) {
        move_all(&mut self.frames.told, told);
        move_all(&mut self.frames.kept, kept);
    }
}

impl Frames {
    fn feed(&mut self, mut data: &[u8]) -> Result<(), SmuxError> {
        while !data.is_empty() {
            if self.due > 0 {
                let (part, rest) = data.split_at(data.len().min(self.due));
                self.data(part);
                data = rest;
                continue;
            }
            self.header[self.header_len] = data[0];
            self.header_len += 1;
            data = &data[1..];
            self.position += 1;
            // The data of UPD is taken like a longer header.
            let is_update = self.header_len > 1 && self.header[1] == SmuxCommand::Update as u8;
            if self.header_len == HEADER {
                self.begin()?;
            }
            if self.header_len == HEADER + if is_update { UPDATE } else { 0 } {
                self.header_len = 0;
                self.frame();
            }
        }
        Ok(())
    }

    fn data(&mut self, part: &[u8]) {
        self.due -= part.len();
        self.position += part.len() as u64;
        if self.wanted == Some(self.stream) {
            self.kept.extend_from_slice(part);
        }
        if let Some(stream) = self.totals.streams.get_mut(&self.stream) {
            stream.bytes += part.len() as u64;
        }
    }

    fn len(&self) -> u16 {
        u16::from_le_bytes([self.header[2], self.header[3]])
    }

    fn command(&self) -> Option<SmuxCommand> {
        Some(match (self.header[1], self.header[0], self.len()) {
            (0, 1 | 2, _) => SmuxCommand::Syn,
            (1, 1 | 2, _) => SmuxCommand::Fin,
            (2, 1 | 2, _) => SmuxCommand::Push,
            (3, 1 | 2, _) => SmuxCommand::Nop,
            (4, 2, 8) => SmuxCommand::Update,
            _ => return None,
        })
    }

    /// A header is there; whether it is one.
    fn begin(&mut self) -> Result<(), SmuxError> {
        let [version, command, ..] = self.header;
        let other_version = self.totals.version.is_some_and(|known| known != version);
        if self.command().is_none() || other_version {
            let position = self.position - HEADER as u64;
            return Err(SmuxError::Header { position, version, command, len: self.len() });
        }
        self.totals.version = Some(version);
        Ok(())
    }

    /// A frame has begun, of which the header is there, and of UPD all.
    fn frame(&mut self) {
        let Some(command) = self.command() else { return };
        let number =
            |at: usize| self.header[at..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        let (stream, len) = (number(4), self.len());
        let update = (command == SmuxCommand::Update).then(|| (number(8), number(12)));
        if self.told.len() < MAX_SMUX_TOLD {
            self.told.push(SmuxFrame { version: self.header[0], command, stream, len, update });
        }
        (self.stream, self.due) = (stream, if update.is_some() { 0 } else { len.into() });
        let totals = &mut self.totals;
        totals.frames += 1;
        if command == SmuxCommand::Nop {
            totals.keep_alives += 1;
            return;
        }
        if totals.streams.len() == MAX_SMUX_STREAMS && !totals.streams.contains_key(&stream) {
            totals.others += 1;
            return;
        }
        let stream = totals.streams.entry(stream).or_default();
        match command {
            SmuxCommand::Syn => stream.syn = true,
            SmuxCommand::Fin => stream.fin = true,
            SmuxCommand::Push => stream.frames += 1,
            _ => stream.update = update.or(stream.update),
        }
    }
}

#[cfg(test)]
mod tests;
