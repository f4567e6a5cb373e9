//! What lies above UDP: the seal, the shards of forward error correction, the segments.

mod keys;
mod shard;
mod trouble;

pub use keys::{KeyOptions, MAX_TRIES};
pub use shard::{Shard, ShardKind};
pub use trouble::Trouble;

pub(crate) use keys::{Keys, Seal};

use sendoff_proto::wire::segments;

/// Whether all of a datagram is segments of one conversation: what chance alone makes once in 2^40 datagrams.
pub(crate) fn is_surely_kcp(datagram: &[u8]) -> bool {
    let mut all = segments(datagram);
    let Some(Ok(first)) = all.next() else { return false };
    all.all(|segment| segment.is_ok_and(|segment| segment.conv() == first.conv()))
}

/// Whether a datagram that isn't sealed, or not any more, can only be KCP, or a data shard of it.
pub(crate) fn is_surely_kcp_or_shard(datagram: &[u8]) -> bool {
    match Shard::parse(datagram) {
        None => is_surely_kcp(datagram),
        Some(shard) => match shard.kind {
            ShardKind::Data { size } => {
                let segments = &datagram[Shard::DATA_HEADER..];
                usize::from(size) == segments.len() + 2 && is_surely_kcp(segments)
            }
            ShardKind::OutOfBand { size, .. } => {
                shard.seqid == u32::MAX && usize::from(size) + Shard::HEADER == datagram.len()
            }
            ShardKind::Parity => false,
        },
    }
}
