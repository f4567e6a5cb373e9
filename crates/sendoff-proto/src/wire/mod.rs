//! What stands on the wire. Views are checked once and then can't fail; values encode themselves; both print themselves.

mod segment;

pub use segment::{Command, HEADER_SIZE, Segment, SegmentError, SegmentView, Segments, segments};
