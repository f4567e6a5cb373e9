//! What stands on the wire. Views are checked once and then can't fail; values encode themselves; both print themselves.

mod block;
mod segment;

pub(crate) use block::truncate;
pub use block::{BLOCK_HEADER_SIZE, Block, BlockKind, Body, FIN_FRAGMENT, MAX_REASON, Token};
pub use segment::{Command, HEADER_SIZE, Segment, SegmentError, SegmentView, Segments, segments};
