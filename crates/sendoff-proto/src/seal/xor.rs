//! `xor`: every datagram is XORed with the same table.

use super::block_mode::{BlockMode, NONCE};
use zeroize::Zeroizing;

/// kcp-go's `mtuLimit`: the length of its table, and the longest datagram that it knows.
const TABLE: usize = 1_500;

pub(super) struct Xor(Box<Zeroizing<[u8; TABLE]>>);

impl Xor {
    /// kcp-go `NewSimpleXORBlockCrypt`.
    pub(super) fn new(key: &[u8]) -> Self {
        let mut table = Box::new(Zeroizing::new([0; TABLE]));
        pbkdf2::pbkdf2_hmac::<sha1::Sha1>(key, b"sH3CIVoF#rWLtJo6", 32, &mut **table);
        Self(table)
    }

    /// A datagram that is longer than kcp-go's longest goes through the table again.
    fn apply(&self, datagram: &mut [u8]) {
        let mut from = NONCE;
        for part in datagram.chunks_mut(TABLE) {
            let (part, table) = (&mut part[from..], &self.0[from..]);
            part.iter_mut().zip(table).for_each(|(byte, key)| *byte ^= key);
            from = 0;
        }
    }
}

impl BlockMode for Xor {
    fn encrypt(&self, datagrams: &mut [u8], datagram_size: usize) {
        datagrams.chunks_mut(datagram_size).for_each(|datagram| self.apply(datagram));
    }

    fn decrypt(&self, datagram: &mut [u8]) {
        self.apply(datagram);
    }
}
