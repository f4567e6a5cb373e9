//! A window over a file: what is needed of it lies in one piece, and its place is known.

use super::{MAX_BLOCK, ReadError, ReadProblem};
use std::io::{ErrorKind, Read};

/// Bytes that are read at a time: large enough that system calls don't count.
const CHUNK: usize = 256 << 10;

/// Reads ahead, in a buffer that grows only for a block that is larger than it.
#[derive(Debug)]
pub(super) struct Input<R> {
    source: R,
    buffer: Vec<u8>,
    /// What has been read and not used: `buffer[start..end]`.
    start: usize,
    end: usize,
    /// Of `start`, in the file.
    offset: u64,
    at_end: bool,
}

impl<R: Read> Input<R> {
    pub(super) fn new(source: R) -> Self {
        Self { source, buffer: vec![0; CHUNK], start: 0, end: 0, offset: 0, at_end: false }
    }

    /// Where the next unused byte is in the file.
    #[inline]
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// An error at this place.
    pub(super) fn error(&self, problem: impl Into<ReadProblem>) -> ReadError {
        ReadError { offset: self.offset, problem: problem.into() }
    }

    /// What lies ahead, `len` bytes of it or more; less only at the end of the file.
    #[inline]
    pub(super) fn peek(&mut self, len: usize) -> Result<&[u8], ReadError> {
        if self.end - self.start < len {
            self.fill(len)?;
        }
        Ok(&self.buffer[self.start..self.end])
    }

    /// Exactly the next `len` bytes, which are thereby used.
    #[inline]
    pub(super) fn take(&mut self, len: usize, what: &'static str) -> Result<&[u8], ReadError> {
        let there = self.peek(len)?.len();
        if there < len {
            return Err(self.cut_off(what, len as u64, there as u64));
        }
        let from = self.start;
        self.start += len;
        self.offset += len as u64;
        Ok(&self.buffer[from..from + len])
    }

    /// Goes past `len` bytes, however many, without holding them.
    pub(super) fn skip(&mut self, len: u64, what: &'static str) -> Result<(), ReadError> {
        let began = self.offset;
        let mut left = len;
        while left > 0 {
            let there = self.peek(1)?.len() as u64;
            if there == 0 {
                let there = len - left;
                return Err(ReadError {
                    offset: began,
                    problem: ReadProblem::CutOff { what, wanted: len, there },
                });
            }
            let step = there.min(left);
            self.start += step as usize;
            self.offset += step;
            left -= step;
        }
        Ok(())
    }

    /// The file ends in the middle of `what`.
    pub(super) fn cut_off(&self, what: &'static str, wanted: u64, there: u64) -> ReadError {
        self.error(ReadProblem::CutOff { what, wanted, there })
    }

    #[cold]
    fn fill(&mut self, len: usize) -> Result<(), ReadError> {
        debug_assert!(len <= MAX_BLOCK);
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.buffer.len() < len {
            // A length field that lies costs no memory: it grows with what the file really has.
            self.buffer.resize(len.min(self.buffer.len() * 2), 0);
        }
        while self.end < len && !self.at_end {
            if self.end == self.buffer.len() {
                self.buffer.resize(len.min(self.buffer.len() * 2), 0);
            }
            match self.source.read(&mut self.buffer[self.end..]) {
                Ok(0) => self.at_end = true,
                Ok(read) => self.end += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.error(error)),
            }
        }
        Ok(())
    }
}
