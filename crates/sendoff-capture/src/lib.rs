//! Captures in and out, and every layer of them explained, from the link to the application's bytes.

pub mod above;
pub mod conversation;
mod dissector;
pub mod file;
mod flows;
#[cfg(any(test, feature = "fuzz"))]
#[doc(hidden)]
pub mod fuzz;
pub mod layers;
#[cfg(target_os = "linux")]
pub mod live;
pub mod record;
pub mod report;
pub mod stream;
mod synthesize;

pub use dissector::{
    Analysis, CaptureTotals, Dissected, Dissector, Follow, FollowReport, Options, Participant, SegmentNote,
    Top,
};
pub use file::{LinkType, Packet, PacketReader, PcapngWriter, ReadError};
pub use flows::{MAX_CONVERSATIONS, MAX_CONVERSATIONS_OF_FLOW, MAX_FLOWS, MAX_PUT_TOGETHER, MAX_SHARD_BYTES};
pub use synthesize::{DatagramTooLarge, MAX_PAYLOAD, udp_packet};
