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
        self.with(other, |a, b| a + b)
    }

    /// What has been added since `earlier`.
    pub fn since(self, earlier: Self) -> Self {
        self.with(earlier, |a, b| a.saturating_sub(b))
    }

    fn with(self, other: Self, join: fn(u64, u64) -> u64) -> Self {
        Self {
            data_sent: join(self.data_sent, other.data_sent),
            parity_sent: join(self.parity_sent, other.parity_sent),
            parity_skipped: join(self.parity_skipped, other.parity_skipped),
            overhead_bytes: join(self.overhead_bytes, other.overhead_bytes),
            data_received: join(self.data_received, other.data_received),
            parity_received: join(self.parity_received, other.parity_received),
            out_of_band_received: join(self.out_of_band_received, other.out_of_band_received),
            recovered: join(self.recovered, other.recovered),
            useless: join(self.useless, other.useless),
            duplicates: join(self.duplicates, other.duplicates),
            refused: join(self.refused, other.refused),
            refused_groups: join(self.refused_groups, other.refused_groups),
            groups_lost: join(self.groups_lost, other.groups_lost),
            ratios_found: join(self.ratios_found, other.ratios_found),
        }
    }
}
