//! Tells it all: a line for each packet, every field, a summary; for people and for programs.

mod escape;
pub mod fields;
mod html;
mod json;
mod line;
mod pen;
mod segment;
mod smux;
mod summary;
mod verbose;

pub use escape::{Within, escape};
pub use html::{HtmlReport, MAX_GRAPHS, MAX_LISTED, MAX_SHOWN_PACKETS, MAX_SHOWN_SEGMENTS};
pub use json::{conversation_object, packet_object, segment_object, totals_object};
pub use line::Lines;
pub use pen::Signs;
pub use segment::SegmentWords;
pub use summary::{closing, summary};
pub use verbose::{LayerChoice, UnknownLayer, Verbose};

/// A dissector of KCP for Wireshark and tshark, in Lua: segments, the header of forward error correction, extension blocks.
pub const WIRESHARK_PLUGIN: &str = include_str!("../wireshark.lua");
