//! Salsa20/20, several blocks of its key stream at a time.
//!
//! Source: D. J. Bernstein, "Salsa20 specification"; kcp-go `salsa20BlockCrypt`, which leaves the first 8 bytes of a
//! datagram clear, as the nonce, and XORs the rest from block 0 on.

#[cfg(target_arch = "x86_64")]
mod avx2;

use super::block_mode::{BlockMode, NONCE};
use zeroize::Zeroizing;

/// Bytes of a datagram that are Salsa20's nonce.
const CLEAR: usize = 8;
const BLOCK: usize = 64;
/// Blocks that are made at a time.
const LANES: usize = 8;
const STREAM: usize = BLOCK * LANES;
const DOUBLE_ROUNDS: usize = 10;

/// The words of the quarter rounds: of the columns, then of the rows.
const QUARTERS: [[usize; 4]; 8] = [
    [0, 4, 8, 12],
    [5, 9, 13, 1],
    [10, 14, 2, 6],
    [15, 3, 7, 11],
    [0, 1, 2, 3],
    [5, 6, 7, 4],
    [10, 11, 8, 9],
    [15, 12, 13, 14],
];

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
        let input = input(&self.0, &datagram[..CLEAR]);
        let mut skip = NONCE - CLEAR;
        for (n, part) in datagram[CLEAR..].chunks_mut(STREAM).enumerate() {
            let mut stream = [0; STREAM];
            blocks(&input, (n * LANES) as u64, &mut stream);
            part[skip..].iter_mut().zip(&stream[skip..]).for_each(|(byte, key)| *byte ^= key);
            skip = 0;
        }
    }
}

/// The words of block 0, before any round.
#[inline(always)]
fn input(key: &[u32; 8], nonce: &[u8]) -> [u32; 16] {
    let word = |at: usize| u32::from_le_bytes([nonce[at], nonce[at + 1], nonce[at + 2], nonce[at + 3]]);
    // "expand 32-byte k"
    let fixed = [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574];
    let [a, b, c, d, e, f, g, h] = *key;
    [fixed[0], a, b, c, d, fixed[1], word(0), word(4), 0, 0, fixed[2], e, f, g, h, fixed[3]]
}

/// The key stream of `LANES` blocks from `first` on.
fn blocks(input: &[u32; 16], first: u64, stream: &mut [u8; STREAM]) {
    #[cfg(target_arch = "x86_64")]
    if avx2::blocks(input, first, stream) {
        return;
    }
    portable_blocks(input, first, stream);
}

fn portable_blocks(input: &[u32; 16], first: u64, stream: &mut [u8; STREAM]) {
    let mut start = input.map(|word| [word; LANES]);
    for lane in 0..LANES {
        let n = first.wrapping_add(lane as u64);
        start[8][lane] = n as u32;
        start[9][lane] = (n >> 32) as u32;
    }
    let mut state = start;
    for _ in 0..DOUBLE_ROUNDS {
        for [a, b, c, d] in QUARTERS {
            quarter(&mut state, a, b, c, d);
        }
    }
    for (lane, block) in stream.chunks_exact_mut(BLOCK).enumerate() {
        for (word, bytes) in block.as_chunks_mut().0.iter_mut().enumerate() {
            *bytes = state[word][lane].wrapping_add(start[word][lane]).to_le_bytes();
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
    let (x, y) = (state[x], state[y]);
    for ((to, x), y) in state[to].iter_mut().zip(x).zip(y) {
        *to ^= x.wrapping_add(y).rotate_left(by);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// On a processor without AVX2 both are the portable one.
    #[test]
    fn vector_code_makes_the_same_stream_as_the_portable_one() {
        let input = input(&[7, 1 << 31, 3, u32::MAX, 5, 6, 0, 8], &[1, 2, 3, 4, 5, 6, 7, 200]);
        for first in [0, 8, u64::from(u32::MAX) - 3, u64::MAX] {
            let (mut chosen, mut portable) = ([0; STREAM], [0; STREAM]);
            blocks(&input, first, &mut chosen);
            portable_blocks(&input, first, &mut portable);
            assert_eq!(chosen, portable, "from block {first}");
        }
    }
}
