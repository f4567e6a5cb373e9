//! What FEC has counted.

/// A snapshot of an [`Encoder`](super::Encoder) or a [`Decoder`](super::Decoder); [`and`](Self::and) joins both.
/// Counters start at 0 and never go back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FecStats {
    /// Datagrams sent as data shards.
    pub data_sent: u64,
    /// Parity shards sent.
    pub parity_sent: u64,
    /// Parity shards whose seqids were used up and which were not sent: after a pause, or because less parity was
    /// wanted.
    pub parity_skipped: u64,
    /// Bytes that FEC has added to what is sent: the headers of data shards, and parity shards whole.
    pub overhead_bytes: u64,
    /// Data shards received, duplicates included.
    pub data_received: u64,
    /// Parity shards received, duplicates included.
    pub parity_received: u64,
    /// Out-of-band datagrams received.
    pub out_of_band_received: u64,
    /// Data shards that were lost and made good.
    pub recovered: u64,
    /// Parity shards that nothing was recovered with: all data was there, or too little came.
    pub useless: u64,
    /// Shards that came twice.
    pub duplicates: u64,
    /// Shards that can't be decoded with: sizes that lie, a seqid past the wrap or far from the others, older than
    /// the groups that are kept, or no room for it. The segments of data shards are used all the same.
    pub refused: u64,
    /// Groups that were put together, and what came out was no segments: dropped whole.
    pub refused_groups: u64,
    /// Groups that ended with data shards missing.
    pub groups_lost: u64,
    /// How often a ratio of the peer was found out, the first included.
    pub ratios_found: u64,
}

impl FecStats {
    /// The sum of both, field by field.
    pub fn and(self, other: Self) -> Self {
        Self {
            data_sent: self.data_sent + other.data_sent,
            parity_sent: self.parity_sent + other.parity_sent,
            parity_skipped: self.parity_skipped + other.parity_skipped,
            overhead_bytes: self.overhead_bytes + other.overhead_bytes,
            data_received: self.data_received + other.data_received,
            parity_received: self.parity_received + other.parity_received,
            out_of_band_received: self.out_of_band_received + other.out_of_band_received,
            recovered: self.recovered + other.recovered,
            useless: self.useless + other.useless,
            duplicates: self.duplicates + other.duplicates,
            refused: self.refused + other.refused,
            refused_groups: self.refused_groups + other.refused_groups,
            groups_lost: self.groups_lost + other.groups_lost,
            ratios_found: self.ratios_found + other.ratios_found,
        }
    }
}
