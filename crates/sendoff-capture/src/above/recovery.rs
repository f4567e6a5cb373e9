//! Makes good lost data shards of one direction of a flow, also those from before the ratio was known.

use sendoff_proto::fec::Decoder;

/// Flows whose shards are decoded at a time, each direction counted.
pub(crate) const MAX_DECODERS: usize = 1_024;

/// Bytes of shards that are kept until the ratio is known.
const MAX_BEFORE: usize = 512 << 10;

/// Datagrams with shards, until the ratio is known; then only the decoder.
#[derive(Debug)]
pub(crate) struct Recovery {
    decoder: Decoder,
    before: Before,
}

#[derive(Debug)]
enum Before {
    /// The datagrams so far, one behind the other, and where each ends.
    Kept { bytes: Vec<u8>, ends: Vec<usize> },
    /// The ratio is known.
    Over,
}

impl Default for Recovery {
    fn default() -> Self {
        Self { decoder: Decoder::new(), before: Before::Kept { bytes: Vec::new(), ends: Vec::new() } }
    }
}

impl Recovery {
    /// A shard passes by. Appends datagrams that came back to `out`, and where each ends to `ends`.
    pub(crate) fn shard(&mut self, datagram: &[u8], out: &mut Vec<u8>, ends: &mut Vec<usize>) {
        self.decoder.handle_datagram(datagram);
        collect(&mut self.decoder, out, ends);
        let Before::Kept { bytes: kept, ends: kept_ends } = &mut self.before else { return };
        kept.extend_from_slice(datagram);
        kept_ends.push(kept.len());
        let Some(ratio) = self.decoder.fec() else {
            if kept.len() > MAX_BEFORE {
                // Let go of the older half.
                let half = kept_ends.len() / 2;
                let cut = kept_ends[half - 1];
                kept.drain(..cut);
                kept_ends.drain(..half);
                kept_ends.iter_mut().for_each(|end| *end -= cut);
            }
            return;
        };
        // A receiver that was told the ratio beforehand has decoded from the first group on.
        let mut decoder = Decoder::with_ratio(ratio);
        let mut start = 0;
        for end in kept_ends.iter() {
            decoder.handle_datagram(&kept[start..*end]);
            collect(&mut decoder, out, ends);
            start = *end;
        }
        (self.decoder, self.before) = (decoder, Before::Over);
    }

    /// Data and parity shards of a group, once known.
    pub(crate) fn ratio(&self) -> Option<(usize, usize)> {
        self.decoder.fec().map(|fec| (fec.data(), fec.parity()))
    }
}

fn collect(decoder: &mut Decoder, out: &mut Vec<u8>, ends: &mut Vec<usize>) {
    while let Some(segments) = decoder.poll_recovered() {
        out.extend_from_slice(segments);
        ends.push(out.len());
    }
}
