//! Writes pcapng: little-endian, nanoseconds, comments beside packets.

use super::{LinkType, MAX_BLOCK, pcapng};
use std::{
    io::{self, Write},
    time::Duration,
};

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
        let comment_bytes: usize = comments.iter().map(|c| 4 + comment(c).len().next_multiple_of(4)).sum();
        let len = 36 + data.len().next_multiple_of(4) + comment_bytes;
        if len > MAX_BLOCK {
            return Err(WriteError::TooLarge { len, limit: MAX_BLOCK });
        }
        // Fits until the year 2554.
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.begin(pcapng::ENHANCED_PACKET);
        let captured = data.len() as u32;
        for field in [interface.0, (nanos >> 32) as u32, nanos as u32, captured, captured] {
            self.block.extend_from_slice(&field.to_le_bytes());
        }
        self.padded(data);
        for text in comments {
            self.option(pcapng::COMMENT, comment(text));
        }
        if !comments.is_empty() {
            self.end_options();
        }
        Ok(self.finish()?)
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
    pub fn into_inner(self) -> W {
        self.out
    }

    fn begin(&mut self, kind: u32) {
        self.block.clear();
        self.block.extend_from_slice(&kind.to_le_bytes());
        // The length is known in the end.
        self.block.extend_from_slice(&[0; 4]);
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

/// As much of a comment as an option holds, cut at a character.
fn comment(text: &str) -> &[u8] {
    let mut end = text.len().min(u16::MAX.into());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text.as_bytes()[..end]
}
