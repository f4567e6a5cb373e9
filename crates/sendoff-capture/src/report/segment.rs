//! A segment in words, part by part: for the line of a packet, and for a ladder's columns.

use super::pen::{self, Signs};
use sendoff_proto::wire::{Block, Command, SegmentView};
use std::fmt::Write;

/// A segment that is to be told, and the extension block in it, if there is one.
#[derive(Clone, Copy, Debug)]
pub struct SegmentWords<'a> {
    segment: SegmentView<'a>,
    block: Option<Block<'a>>,
}

impl<'a> SegmentWords<'a> {
    /// Looks for a block.
    pub fn new(segment: SegmentView<'a>) -> Self {
        let block = if segment.data().is_empty() { None } else { Block::parse(&segment) };
        Self { segment, block }
    }

    /// The block in it.
    pub fn block(&self) -> Option<&Block<'a>> {
        self.block.as_ref()
    }

    /// Appends what it is: the name of the block, or the command.
    pub fn name(&self, out: &mut String) {
        match &self.block {
            Some(block) => _ = write!(out, "{}", block.body.kind()),
            None => out.push_str(match self.segment.command() {
                Command::Push => "PUSH",
                Command::Ack => "ACK",
                Command::WindowAsk => "WASK",
                Command::WindowTell => "WINS",
            }),
        }
    }

    /// Appends its numbers: `sn=1 una=2`; of a WASK or WINS only `una=2`.
    pub fn numbers(&self, out: &mut String) {
        if matches!(self.segment.command(), Command::Push | Command::Ack) {
            out.push_str("sn=");
            pen::number(out, self.segment.sn().0.into());
            out.push(' ');
        }
        out.push_str("una=");
        pen::number(out, self.segment.una().0.into());
    }

    /// Appends how much data it has; nothing of a block.
    pub fn size(&self, out: &mut String) {
        let len = self.segment.data_len();
        if self.block.is_none() && (len > 0 || self.segment.command() == Command::Push) {
            pen::count(out, len as u64, "byte");
        }
    }

    /// Appends what it says: what the block says, or the beginning of its data in quotation marks.
    pub fn content(&self, out: &mut String, signs: Signs) {
        match &self.block {
            Some(block) => {
                // A reason is quoted and escaped there.
                let words = block.to_string();
                out.push_str(words.split_once(' ').map_or("", |(_, rest)| rest));
            }
            None if self.segment.data().is_empty() => {}
            None => pen::quote_of(out, self.segment.data(), self.segment.data_len(), signs),
        }
    }
}
