//! What is in a datagram, for those who read a trace.

use sendoff_proto::wire::{Block, segments};
use std::fmt::Write;

/// A datagram in words: its segments, and blocks where they are some.
pub fn words(datagram: &[u8]) -> String {
    let mut out = String::from("[");
    for segment in segments(datagram).flatten() {
        let gap = if out.len() > 1 { ", " } else { "" };
        match Block::parse(&segment) {
            Some(block) => {
                let name = |token: Option<_>| token.map_or_else(|| "0".to_owned(), |t| format!("{t}"));
                let (to, from) = (name(block.to), name(block.from));
                let (sn, una) = (segment.sn(), segment.una());
                let _ = write!(out, "{gap}{block} {from}->{to} sn={sn} una={una}");
            }
            None => {
                let _ = write!(out, "{gap}{segment}");
            }
        }
    }
    out + "]"
}
