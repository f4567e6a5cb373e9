//! Tells it all: a line for each packet, every field, a summary; for people and for programs.

mod escape;
pub mod fields;
mod json;
mod line;
mod pen;
mod segment;
mod summary;
mod verbose;

pub use escape::{Within, escape};
pub use json::{conversation_object, packet_object, segment_object, totals_object};
pub use line::Lines;
pub use pen::Signs;
pub use segment::SegmentWords;
pub use summary::{closing, summary};
pub use verbose::{LayerChoice, UnknownLayer, Verbose};
