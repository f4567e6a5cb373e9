//! Captures in and out, and every layer of them explained, from the link to the application's bytes.

pub mod file;
pub mod layers;
mod synthesize;

pub use file::{LinkType, Packet, PacketReader, PcapngWriter, ReadError};
pub use synthesize::{DatagramTooLarge, MAX_PAYLOAD, udp_packet};
