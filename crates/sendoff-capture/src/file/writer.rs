//! Writes pcapng: little-endian, nanoseconds, comments beside packets.

use super::{LinkType, MAX_BLOCK, pcapng};
use std::{
    io::{self, Write},
    time::Duration,
};

/// Which way a packet went, as seen from who captured it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PacketWay {
    /// It came.
    Inbound,
    /// It left.
    Outbound,
}

/// What is told beside a packet.
#[derive(Clone, Copy, Debug, Default)]
pub struct PacketNotes<'a> {
    /// In words; each of 65,535 bytes at most, the rest is cut off.
    pub comments: &'a [&'a str],
    /// Which way it went, if that is known.
    pub way: Option<PacketWay>,
    /// Bytes that it had, if the capture has cut it off.
    pub original_len: Option<u32>,
    /// Packets that were lost to the capture between the one before and this one.
    pub lost_before: u64,
}

impl PacketNotes<'_> {
    /// Bytes of the block of a packet of `len` bytes.
    fn block_len(&self, len: usize) -> usize {
        let comments: usize = self.comments.iter().map(|c| 4 + comment(c).len().next_multiple_of(4)).sum();
        let way = if self.way.is_some() { 8 } else { 0 };
        let lost = if self.lost_before > 0 { 12 } else { 0 };
        // The block's own fields, and the end of the options.
        36 + len.next_multiple_of(4) + comments + way + lost
    }

    fn is_empty(&self) -> bool {
        self.comments.is_empty() && self.way.is_none() && self.lost_before == 0
    }
}

/// What became of the packets of an interface.
#[derive(Clone, Copy, Debug, Default)]
pub struct InterfaceStatistics<'a> {
    /// When the capture began, since 1970.
    pub start: Duration,
    /// When it ended, since 1970.
    pub end: Duration,
    /// Packets that were seen.
    pub received: u64,
    /// Packets that were seen, and aren't in the file.
    pub dropped: u64,
    /// Why, in words.
    pub comments: &'a [&'a str],
}

/// An interface that a [`PcapngWriter`] has described.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InterfaceId(u32);

/// A packet couldn't be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// It would make a block that readers refuse.
    #[error("a packet of {len} bytes with its comments is more than the {limit} of a block")]
    TooLarge {
        /// Bytes that the block would have.
        len: usize,
        /// Bytes that a block may have.
        limit: usize,
    },
    /// The system says no.
    #[error("cannot write the capture: {0}")]
    Io(#[from] io::Error),
}

/// Writes a capture file of one section.
///
/// Each block is handed on with one `write_all`: what a full disk or a kill leaves behind is whole up to one
/// block, if `W` doesn't buffer.
#[derive(Debug)]
pub struct PcapngWriter<W> {
    out: W,
    interfaces: u32,
    written: u64,
    block: Vec<u8>,
}

impl<W: Write> PcapngWriter<W> {
    /// Begins a file; `application` is who writes it.
    ///
    /// # Errors
    /// `out` can't be written.
    pub fn new(out: W, application: &str) -> io::Result<Self> {
        const APPLICATION: u16 = 4;
        let mut writer = Self { out, interfaces: 0, written: 0, block: Vec::new() };
        writer.begin(pcapng::SECTION_HEADER);
        writer.block.extend_from_slice(&pcapng::BYTE_ORDER.to_le_bytes());
        // Version 1.0, and a section whose length isn't known.
        writer.block.extend_from_slice(&[1, 0, 0, 0]);
        writer.block.extend_from_slice(&u64::MAX.to_le_bytes());
        writer.option(APPLICATION, application.as_bytes());
        writer.end_options();
        writer.finish()?;
        Ok(writer)
    }

    /// Describes an interface, whose packets begin as `link` says.
    ///
    /// # Errors
    /// `out` can't be written.
    pub fn interface(&mut self, link: LinkType, name: &str) -> io::Result<InterfaceId> {
        const NAME: u16 = 2;
        const NANOSECONDS: u8 = 9;
        self.begin(pcapng::INTERFACE);
        self.block.extend_from_slice(&link.0.to_le_bytes());
        // Reserved, and no limit to what is kept of a packet.
        self.block.extend_from_slice(&[0; 6]);
        self.option(NAME, name.as_bytes());
        self.option(pcapng::IF_TSRESOL, &[NANOSECONDS]);
        self.end_options();
        self.finish()?;
        self.interfaces += 1;
        Ok(InterfaceId(self.interfaces - 1))
    }

    /// Writes a packet that was seen `time` after the beginning of 1970.
    ///
    /// # Errors
    /// It is too large, or `out` can't be written.
    pub fn packet(
        &mut self,
        interface: InterfaceId,
        time: Duration,
        data: &[u8],
        comments: &[&str],
    ) -> Result<(), WriteError> {
        self.packet_with(interface, time, data, &PacketNotes { comments, ..PacketNotes::default() })
    }

    /// The same with all that can be told beside a packet.
    ///
    /// # Errors
    /// It is too large, or `out` can't be written.
    pub fn packet_with(
        &mut self,
        interface: InterfaceId,
        time: Duration,
        data: &[u8],
        notes: &PacketNotes<'_>,
    ) -> Result<(), WriteError> {
        /// Options of a packet (section 4.3 of the format's draft).
        const FLAGS: u16 = 2;
        const DROP_COUNT: u16 = 4;
        let len = notes.block_len(data.len());
        if len > MAX_BLOCK {
            return Err(WriteError::TooLarge { len, limit: MAX_BLOCK });
        }
        self.begin(pcapng::ENHANCED_PACKET);
        self.block.extend_from_slice(&interface.0.to_le_bytes());
        self.time(time);
        let captured = data.len() as u32;
        for field in [captured, notes.original_len.unwrap_or(captured)] {
            self.block.extend_from_slice(&field.to_le_bytes());
        }
        self.padded(data);
        notes.comments.iter().for_each(|text| self.option(pcapng::COMMENT, comment(text)));
        if let Some(way) = notes.way {
            let bits = match way {
                PacketWay::Inbound => 1_u32,
                PacketWay::Outbound => 2,
            };
            self.option(FLAGS, &bits.to_le_bytes());
        }
        if notes.lost_before > 0 {
            self.option(DROP_COUNT, &notes.lost_before.to_le_bytes());
        }
        if !notes.is_empty() {
            self.end_options();
        }
        Ok(self.finish()?)
    }

    /// Bytes that the file would have with that packet.
    pub fn written_with(&self, data: &[u8], notes: &PacketNotes<'_>) -> u64 {
        self.written + notes.block_len(data.len()) as u64
    }

    /// Writes what became of the packets of an interface; a later one replaces it.
    ///
    /// # Errors
    /// `out` can't be written.
    pub fn statistics(
        &mut self,
        interface: InterfaceId,
        statistics: &InterfaceStatistics<'_>,
    ) -> io::Result<()> {
        /// Options of the block (section 4.6 of the format's draft).
        const START: u16 = 2;
        const END: u16 = 3;
        self.begin(pcapng::STATISTICS);
        self.block.extend_from_slice(&interface.0.to_le_bytes());
        self.time(statistics.end);
        statistics.comments.iter().for_each(|text| self.option(pcapng::COMMENT, comment(text)));
        for (code, time) in [(START, statistics.start), (END, statistics.end)] {
            let (high, low) = ticks(time);
            self.option(code, &[high.to_le_bytes(), low.to_le_bytes()].concat());
        }
        self.option(pcapng::ISB_IFRECV, &statistics.received.to_le_bytes());
        self.option(pcapng::ISB_IFDROP, &statistics.dropped.to_le_bytes());
        self.end_options();
        self.finish()
    }

    /// Bytes written so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Hands on what `W` may hold back.
    ///
    /// # Errors
    /// As it is.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// What it writes to.
    pub fn output(&mut self) -> &mut W {
        &mut self.out
    }

    /// The same, of a file that is complete.
    pub fn into_inner(self) -> W {
        self.out
    }

    fn begin(&mut self, kind: u32) {
        self.block.clear();
        self.block.extend_from_slice(&kind.to_le_bytes());
        // The length is known in the end.
        self.block.extend_from_slice(&[0; 4]);
    }

    fn time(&mut self, time: Duration) {
        let (high, low) = ticks(time);
        self.block.extend_from_slice(&high.to_le_bytes());
        self.block.extend_from_slice(&low.to_le_bytes());
    }

    fn padded(&mut self, bytes: &[u8]) {
        self.block.extend_from_slice(bytes);
        self.block.resize(self.block.len().next_multiple_of(4), 0);
    }

    fn option(&mut self, code: u16, value: &[u8]) {
        let value = &value[..value.len().min(u16::MAX.into())];
        self.block.extend_from_slice(&code.to_le_bytes());
        self.block.extend_from_slice(&(value.len() as u16).to_le_bytes());
        self.padded(value);
    }

    fn end_options(&mut self) {
        self.block.extend_from_slice(&[0; 4]);
    }

    fn finish(&mut self) -> io::Result<()> {
        let len = (self.block.len() as u32 + 4).to_le_bytes();
        self.block[4..8].copy_from_slice(&len);
        self.block.extend_from_slice(&len);
        self.out.write_all(&self.block)?;
        self.written += self.block.len() as u64;
        Ok(())
    }
}

/// A time in nanoseconds, in two halves.
fn ticks(time: Duration) -> (u32, u32) {
    // Fits until the year 2554.
    let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    ((nanos >> 32) as u32, nanos as u32)
}

/// As much of a comment as an option holds, cut at a character.
fn comment(text: &str) -> &[u8] {
    let mut end = text.len().min(u16::MAX.into());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text.as_bytes()[..end]
}
