//! Triple DES, encrypt-decrypt-encrypt with three keys: the S-boxes and the permutation behind them in eight tables of 64 words.
//!
//! Source: FIPS 46-3; its tables count bits from 1 at the most significant.

use super::lanes::block_cipher;
use cipher::{Array, Key, KeyInit, consts::U8};
use zeroize::Zeroizing;

const ROUNDS: usize = 16;

/// For each round of the three passes the key bits of the even boxes and of the odd ones, where [`round`] wants them.
pub(in crate::seal) struct TripleDes(Box<Zeroizing<[[u32; 2]; 3 * ROUNDS]>>);

const BOXES: [[u8; 64]; 8] = [
    [
        14, 4, 13, 1, 2, 15, 11, 8, 3, 10, 6, 12, 5, 9, 0, 7, 0, 15, 7, 4, 14, 2, 13, 1, 10, 6, 12, 11, 9, 5,
        3, 8, 4, 1, 14, 8, 13, 6, 2, 11, 15, 12, 9, 7, 3, 10, 5, 0, 15, 12, 8, 2, 4, 9, 1, 7, 5, 11, 3, 14,
        10, 0, 6, 13,
    ],
    [
        15, 1, 8, 14, 6, 11, 3, 4, 9, 7, 2, 13, 12, 0, 5, 10, 3, 13, 4, 7, 15, 2, 8, 14, 12, 0, 1, 10, 6, 9,
        11, 5, 0, 14, 7, 11, 10, 4, 13, 1, 5, 8, 12, 6, 9, 3, 2, 15, 13, 8, 10, 1, 3, 15, 4, 2, 11, 6, 7, 12,
        0, 5, 14, 9,
    ],
    [
        10, 0, 9, 14, 6, 3, 15, 5, 1, 13, 12, 7, 11, 4, 2, 8, 13, 7, 0, 9, 3, 4, 6, 10, 2, 8, 5, 14, 12, 11,
        15, 1, 13, 6, 4, 9, 8, 15, 3, 0, 11, 1, 2, 12, 5, 10, 14, 7, 1, 10, 13, 0, 6, 9, 8, 7, 4, 15, 14, 3,
        11, 5, 2, 12,
    ],
    [
        7, 13, 14, 3, 0, 6, 9, 10, 1, 2, 8, 5, 11, 12, 4, 15, 13, 8, 11, 5, 6, 15, 0, 3, 4, 7, 2, 12, 1, 10,
        14, 9, 10, 6, 9, 0, 12, 11, 7, 13, 15, 1, 3, 14, 5, 2, 8, 4, 3, 15, 0, 6, 10, 1, 13, 8, 9, 4, 5, 11,
        12, 7, 2, 14,
    ],
    [
        2, 12, 4, 1, 7, 10, 11, 6, 8, 5, 3, 15, 13, 0, 14, 9, 14, 11, 2, 12, 4, 7, 13, 1, 5, 0, 15, 10, 3, 9,
        8, 6, 4, 2, 1, 11, 10, 13, 7, 8, 15, 9, 12, 5, 6, 3, 0, 14, 11, 8, 12, 7, 1, 14, 2, 13, 6, 15, 0, 9,
        10, 4, 5, 3,
    ],
    [
        12, 1, 10, 15, 9, 2, 6, 8, 0, 13, 3, 4, 14, 7, 5, 11, 10, 15, 4, 2, 7, 12, 9, 5, 6, 1, 13, 14, 0, 11,
        3, 8, 9, 14, 15, 5, 2, 8, 12, 3, 7, 0, 4, 10, 1, 13, 11, 6, 4, 3, 2, 12, 9, 5, 15, 10, 11, 14, 1, 7,
        6, 0, 8, 13,
    ],
    [
        4, 11, 2, 14, 15, 0, 8, 13, 3, 12, 9, 7, 5, 10, 6, 1, 13, 0, 11, 7, 4, 9, 1, 10, 14, 3, 5, 12, 2, 15,
        8, 6, 1, 4, 11, 13, 12, 3, 7, 14, 10, 15, 6, 8, 0, 5, 9, 2, 6, 11, 13, 8, 1, 4, 10, 7, 9, 5, 0, 15,
        14, 2, 3, 12,
    ],
    [
        13, 2, 8, 4, 6, 15, 11, 1, 10, 9, 3, 14, 5, 0, 12, 7, 1, 15, 13, 8, 10, 3, 7, 4, 12, 5, 6, 11, 0, 14,
        9, 2, 7, 11, 4, 1, 9, 12, 14, 2, 0, 6, 10, 13, 15, 3, 5, 8, 2, 1, 14, 7, 4, 10, 8, 13, 15, 12, 9, 0,
        3, 5, 6, 11,
    ],
];

const P: [u8; 32] = [
    16, 7, 20, 21, 29, 12, 28, 17, 1, 15, 23, 26, 5, 18, 31, 10, 2, 8, 24, 14, 32, 27, 3, 9, 19, 13, 30, 6,
    22, 11, 4, 25,
];

const PC1: [u8; 56] = [
    57, 49, 41, 33, 25, 17, 9, 1, 58, 50, 42, 34, 26, 18, 10, 2, 59, 51, 43, 35, 27, 19, 11, 3, 60, 52, 44,
    36, 63, 55, 47, 39, 31, 23, 15, 7, 62, 54, 46, 38, 30, 22, 14, 6, 61, 53, 45, 37, 29, 21, 13, 5, 28, 20,
    12, 4,
];

const PC2: [u8; 48] = [
    14, 17, 11, 24, 1, 5, 3, 28, 15, 6, 21, 10, 23, 19, 12, 4, 26, 8, 16, 7, 27, 20, 13, 2, 41, 52, 31, 37,
    47, 55, 30, 40, 51, 45, 33, 48, 44, 49, 39, 56, 34, 53, 46, 42, 50, 36, 29, 32,
];

const SHIFTS: [u32; ROUNDS] = [1, 1, 2, 2, 2, 2, 2, 2, 1, 2, 2, 2, 2, 2, 2, 1];

/// For each S-box and what goes in: what comes out of it behind P, turned right by one bit.
static TABLES: [[u32; 64]; 8] = tables();

const fn tables() -> [[u32; 64]; 8] {
    let (mut tables, mut n) = ([[0; 64]; 8], 0);
    while n < 512 {
        let (which, input) = (n / 64, n % 64);
        let (row, column) = (input >> 4 & 2 | input & 1, input >> 1 & 15);
        let out = (BOXES[which][row * 16 + column] as u64) << (28 - 4 * which);
        tables[which][input] = (permute(out, 32, &P) as u32).rotate_right(1);
        n += 1;
    }
    tables
}

/// Picks bits of a word of `width` bits.
const fn permute(word: u64, width: u32, picks: &[u8]) -> u64 {
    let (mut out, mut n) = (0, 0);
    while n < picks.len() {
        out = out << 1 | word >> (width - picks[n] as u32) & 1;
        n += 1;
    }
    out
}

/// The keys of the 16 rounds.
fn schedule(key: &[u8; 8], out: &mut [[u32; 2]]) {
    const HALF: u64 = (1 << 28) - 1;
    let chosen = permute(u64::from_be_bytes(*key), 64, &PC1);
    let (mut c, mut d) = (chosen >> 28, chosen & HALF);
    for (words, shift) in out.iter_mut().zip(SHIFTS) {
        let turn = |half: u64| (half << shift | half >> (28 - shift)) & HALF;
        (c, d) = (turn(c), turn(d));
        let bits = permute(c << 28 | d, 56, &PC2);
        *words = [0; 2];
        for n in 0..8 {
            // Each box has six bits, in a byte of its own.
            let six = (bits >> (42 - 6 * n)) as u32 & 63;
            words[n % 2] |= six << (26 - 8 * (n / 2));
        }
    }
}

impl KeyInit for TripleDes {
    fn new(key: &Key<Self>) -> Self {
        let mut keys = Box::new(Zeroizing::new([[0; 2]; 3 * ROUNDS]));
        for (pass, key) in keys.chunks_exact_mut(ROUNDS).zip(key.as_chunks::<8>().0) {
            schedule(key, pass);
        }
        // The second pass decrypts.
        keys[ROUNDS..2 * ROUNDS].reverse();
        Self(keys)
    }
}

/// `to ^= f(from)`, on halves that are turned right by one bit: the expansion to 48 bits is then nothing but overlapping
/// groups of six, the even ones a byte apart, and the odd ones too after a turn by four.
#[inline(always)]
fn round(from: u32, to: &mut u32, key: [u32; 2]) {
    let even = from ^ key[0];
    let odd = from.rotate_left(4) ^ key[1];
    let look = |table: usize, word: u32, shift: u32| TABLES[table][(word >> shift & 63) as usize];
    *to ^= look(0, even, 26)
        ^ look(2, even, 18)
        ^ look(4, even, 10)
        ^ look(6, even, 2)
        ^ look(1, odd, 26)
        ^ look(3, odd, 18)
        ^ look(5, odd, 10)
        ^ look(7, odd, 2);
}

/// Exchanges the bits of `b` under the mask with those of `a` that are `shift` higher.
#[inline(always)]
fn exchange(a: &mut u32, b: &mut u32, shift: u32, mask: u32) {
    let differing = (*a >> shift ^ *b) & mask;
    *b ^= differing;
    *a ^= differing << shift;
}

/// The initial permutation.
#[inline(always)]
fn load(block: &Array<u8, U8>) -> [u32; 2] {
    let half = |at: usize| u32::from_be_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]]);
    let (mut left, mut right) = (half(0), half(4));
    exchange(&mut left, &mut right, 4, 0x0f0f_0f0f);
    exchange(&mut left, &mut right, 16, 0x0000_ffff);
    exchange(&mut right, &mut left, 2, 0x3333_3333);
    exchange(&mut right, &mut left, 8, 0x00ff_00ff);
    exchange(&mut left, &mut right, 1, 0x5555_5555);
    [left.rotate_right(1), right.rotate_right(1)]
}

/// The final permutation: the initial one, undone.
#[inline(always)]
fn store(block: &mut Array<u8, U8>, halves: [u32; 2]) {
    let [mut left, mut right] = halves.map(|half| half.rotate_left(1));
    exchange(&mut left, &mut right, 1, 0x5555_5555);
    exchange(&mut right, &mut left, 8, 0x00ff_00ff);
    exchange(&mut right, &mut left, 2, 0x3333_3333);
    exchange(&mut left, &mut right, 16, 0x0000_ffff);
    exchange(&mut left, &mut right, 4, 0x0f0f_0f0f);
    block[..4].copy_from_slice(&left.to_be_bytes());
    block[4..].copy_from_slice(&right.to_be_bytes());
}

impl TripleDes {
    /// Between the passes the final and the initial permutation cancel out.
    #[inline(always)]
    fn encrypt<const N: usize>(&self, blocks: &mut [Array<u8, U8>; N]) {
        let mut halves: [_; N] = std::array::from_fn(|n| load(&blocks[n]));
        for pass in self.0.chunks_exact(ROUNDS) {
            for keys in pass.chunks_exact(2) {
                for [left, right] in &mut halves {
                    round(*right, left, keys[0]);
                    round(*left, right, keys[1]);
                }
            }
            // After an even number of rounds the halves are where they were; DES exchanges them at its end.
            for [left, right] in &mut halves {
                std::mem::swap(left, right);
            }
        }
        blocks.iter_mut().zip(halves).for_each(|(block, halves)| store(block, halves));
    }
}

block_cipher!(TripleDes: block U8, key U24, 4 lanes as U4);
