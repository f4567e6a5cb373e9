//! Salsa20/20, several blocks of its key stream at a time.
//!
//! Source: D. J. Bernstein, "Salsa20 specification"; kcp-go `salsa20BlockCrypt`, which leaves the first 8 bytes of a
//! datagram clear, as the nonce, and XORs the rest from block 0 on.

use super::block_mode::{BlockMode, NONCE};
use zeroize::Zeroizing;

/// Bytes of a datagram that are Salsa20's nonce.
const CLEAR: usize = 8;
const BLOCK: usize = 64;
/// Blocks that are made at a time.
const LANES: usize = 8;

/// One word of each of several blocks.
type Words = [u32; LANES];

pub(super) struct Salsa20(Zeroizing<[u32; 8]>);

impl Salsa20 {
    /// `key` has 32 bytes.
    pub(super) fn new(key: &[u8]) -> Self {
        let mut words = Zeroizing::new([0; 8]);
        for (word, bytes) in words.iter_mut().zip(key.as_chunks().0) {
            *word = u32::from_le_bytes(*bytes);
        }
        Self(words)
    }

    /// XORs what is behind kcp-go's nonce, of which the last 8 bytes would be the first of the stream.
    fn apply(&self, datagram: &mut [u8]) {
        let (nonce, rest) = datagram.split_at_mut(CLEAR);
        let word = |at: usize| u32::from_le_bytes([nonce[at], nonce[at + 1], nonce[at + 2], nonce[at + 3]]);
        let (low, high, key) = (word(0), word(4), &*self.0);
        let fixed = [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574];
        let input = [
            fixed[0], key[0], key[1], key[2], key[3], fixed[1], low, high, 0, 0, fixed[2], key[4], key[5],
            key[6], key[7], fixed[3],
        ];
        let mut skip = NONCE - CLEAR;
        for (n, part) in rest.chunks_mut(BLOCK * LANES).enumerate() {
            let mut stream = [0; BLOCK * LANES];
            blocks(&input, (n * LANES) as u64, &mut stream);
            part[skip..].iter_mut().zip(&stream[skip..]).for_each(|(byte, key)| *byte ^= key);
            skip = 0;
        }
    }
}

/// The key stream of `LANES` blocks from `first` on.
fn blocks(input: &[u32; 16], first: u64, stream: &mut [u8; BLOCK * LANES]) {
    let mut start = input.map(|word| [word; LANES]);
    for (lane, n) in (first..).take(LANES).enumerate() {
        start[8][lane] = n as u32;
        start[9][lane] = (n >> 32) as u32;
    }
    let mut state = start;
    for _ in 0..10 {
        quarter(&mut state, 0, 4, 8, 12);
        quarter(&mut state, 5, 9, 13, 1);
        quarter(&mut state, 10, 14, 2, 6);
        quarter(&mut state, 15, 3, 7, 11);
        quarter(&mut state, 0, 1, 2, 3);
        quarter(&mut state, 5, 6, 7, 4);
        quarter(&mut state, 10, 11, 8, 9);
        quarter(&mut state, 15, 12, 13, 14);
    }
    for (lane, block) in stream.chunks_exact_mut(BLOCK).enumerate() {
        for (word, bytes) in block.chunks_exact_mut(4).enumerate() {
            bytes.copy_from_slice(&state[word][lane].wrapping_add(start[word][lane]).to_le_bytes());
        }
    }
}

#[inline(always)]
fn quarter(state: &mut [Words; 16], a: usize, b: usize, c: usize, d: usize) {
    step(state, b, a, d, 7);
    step(state, c, b, a, 9);
    step(state, d, c, b, 13);
    step(state, a, d, c, 18);
}

/// `to ^= (x + y) <<< by`, in all lanes.
#[inline(always)]
fn step(state: &mut [Words; 16], to: usize, x: usize, y: usize, by: u32) {
    for lane in 0..LANES {
        state[to][lane] ^= state[x][lane].wrapping_add(state[y][lane]).rotate_left(by);
    }
}

impl BlockMode for Salsa20 {
    fn encrypt(&self, datagrams: &mut [u8], datagram_size: usize) {
        datagrams.chunks_mut(datagram_size).for_each(|datagram| self.apply(datagram));
    }

    fn decrypt(&self, datagram: &mut [u8]) {
        self.apply(datagram);
    }
}
