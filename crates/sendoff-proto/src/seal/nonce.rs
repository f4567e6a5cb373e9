//! Nonces from a counter.

use super::{Cipher, block_mode::GROUP};
use aes::Aes128Enc;
use cipher::{Array, BlockCipherEncrypt, KeyInit, consts::U16};
use std::sync::atomic::{AtomicU64, Ordering};
use zeroize::Zeroizing;

/// The nonces of one sealer. Several threads may draw; none gets what another got.
pub(super) struct Nonces {
    kind: Kind,
    drawn: AtomicU64,
}

enum Kind {
    /// 16 bytes: AES-128 of the counter and of 8 random bytes.
    Random { prf: Aes128Enc, salt: [u8; 8] },
    /// Salsa20: the same, but that the first 8 bytes count from here.
    Counter64 { prf: Aes128Enc, start: u64 },
    /// AES-GCM: 12 bytes that count from here.
    Counter96 { start: u128 },
    /// No cipher: nothing is drawn.
    Nothing,
}

impl Nonces {
    pub(super) fn new(cipher: Cipher, seed: [u8; 32]) -> Self {
        let seed = Zeroizing::new(seed);
        let (key, rest) = seed.split_at(16);
        let (first, second) = rest.split_at(8);
        let half = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("8 bytes"));
        let prf = || Aes128Enc::new_from_slice(key).expect("16 bytes");
        let kind = match cipher {
            Cipher::Null => Kind::Nothing,
            Cipher::Salsa20 => Kind::Counter64 { prf: prf(), start: half(first) },
            _ if cipher.is_aead() => {
                Kind::Counter96 { start: u128::from(half(first)) | u128::from(half(second)) << 64 }
            }
            _ => Kind::Random { prf: prf(), salt: first.try_into().expect("8 bytes") },
        };
        Self { kind, drawn: AtomicU64::new(0) }
    }

    pub(super) fn used(&self) -> u64 {
        self.drawn.load(Ordering::Relaxed)
    }

    /// The next `count` nonces.
    pub(super) fn draw(&self, count: usize) -> Drawn<'_> {
        // Only that all get different numbers counts, not the order among threads.
        Drawn { kind: &self.kind, next: self.drawn.fetch_add(count as u64, Ordering::Relaxed) }
    }
}

/// Nonces drawn, and not yet used.
pub(super) struct Drawn<'a> {
    kind: &'a Kind,
    next: u64,
}

impl Drawn<'_> {
    /// Puts 16 bytes of nonce at the front of each datagram of a group.
    pub(super) fn fill(&mut self, group: &mut [u8], datagram_size: usize) {
        let datagrams = group.chunks_mut(datagram_size);
        let first = self.next;
        self.next = first.wrapping_add(datagrams.len() as u64);
        match self.kind {
            Kind::Random { prf, salt } => {
                for (datagram, block) in datagrams.zip(random(prf, first, salt)) {
                    datagram[..16].copy_from_slice(&block);
                }
            }
            Kind::Counter64 { prf, start } => {
                for ((datagram, block), n) in datagrams.zip(random(prf, first, &[0; 8])).zip(0..) {
                    let nonce = start.wrapping_add(first).wrapping_add(n);
                    datagram[..8].copy_from_slice(&nonce.to_le_bytes());
                    datagram[8..16].copy_from_slice(&block[8..]);
                }
            }
            Kind::Counter96 { .. } | Kind::Nothing => {}
        }
    }

    /// The next of 12 bytes.
    pub(super) fn next_96(&mut self) -> [u8; 12] {
        let Kind::Counter96 { start } = self.kind else { return [0; 12] };
        let nonce = start.wrapping_add(self.next.into());
        self.next = self.next.wrapping_add(1);
        nonce.to_le_bytes()[..12].try_into().expect("12 bytes")
    }
}

/// AES of the counters from `first` on.
fn random(prf: &Aes128Enc, first: u64, salt: &[u8; 8]) -> [Array<u8, U16>; GROUP] {
    let mut blocks = [Array::from([0; 16]); GROUP];
    for (block, n) in blocks.iter_mut().zip(0..) {
        block[..8].copy_from_slice(&first.wrapping_add(n).to_le_bytes());
        block[8..].copy_from_slice(salt);
    }
    prf.encrypt_blocks(&mut blocks);
    blocks
}
