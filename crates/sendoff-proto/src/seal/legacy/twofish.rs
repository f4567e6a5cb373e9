//! Twofish with keys of 256 bits: the key-dependent S-boxes and the MDS matrix in four tables of 256 words.
//!
//! Source: Schneier, Kelsey, Whiting, Wagner, Hall, Ferguson, "Twofish: A 128-Bit Block Cipher", 1998; section numbers are its.

use super::lanes::block_cipher;
use cipher::{Array, Key, KeyInit, consts::U16};
use zeroize::Zeroizing;

const ROUNDS: usize = 16;

pub(in crate::seal) struct Twofish(Box<Zeroizing<Schedule>>);

struct Schedule {
    /// Whitening of the input and output, then two words for each round.
    keys: [u32; 8 + 2 * ROUNDS],
    /// The function g: one table for each byte.
    tables: [[u32; 256]; 4],
}

impl zeroize::Zeroize for Schedule {
    fn zeroize(&mut self) {
        self.keys.zeroize();
        self.tables.zeroize();
    }
}

/// The 4-bit permutations that q0 and q1 are made of (4.3.5).
const NIBBLES: [[[u8; 16]; 4]; 2] = [
    [
        [8, 1, 7, 13, 6, 15, 3, 2, 0, 11, 5, 9, 14, 12, 10, 4],
        [14, 12, 11, 8, 1, 2, 3, 5, 15, 4, 10, 6, 7, 0, 9, 13],
        [11, 10, 5, 14, 6, 13, 9, 0, 12, 8, 15, 3, 2, 4, 7, 1],
        [13, 7, 15, 4, 1, 2, 6, 14, 9, 11, 3, 0, 8, 5, 12, 10],
    ],
    [
        [2, 8, 11, 13, 15, 7, 6, 14, 3, 1, 9, 4, 0, 10, 12, 5],
        [1, 14, 2, 11, 4, 12, 3, 7, 6, 13, 10, 5, 15, 9, 0, 8],
        [4, 12, 7, 5, 1, 6, 9, 10, 0, 14, 13, 8, 2, 11, 3, 15],
        [11, 9, 5, 1, 12, 3, 13, 14, 6, 4, 7, 15, 2, 0, 8, 10],
    ],
];

/// q0 and q1.
const Q: [[u8; 256]; 2] = [permutation(&NIBBLES[0]), permutation(&NIBBLES[1])];

const fn permutation(nibbles: &[[u8; 16]; 4]) -> [u8; 256] {
    let (mut out, mut x) = ([0; 256], 0);
    while x < 256 {
        let (a, b) = mix(x as u8 >> 4, x as u8 & 15);
        let (a, b) = mix(nibbles[0][a], nibbles[1][b]);
        out[x] = nibbles[3][b] << 4 | nibbles[2][a];
        x += 1;
    }
    out
}

const fn mix(a: u8, b: u8) -> (usize, usize) {
    let rotated = b >> 1 | (b & 1) << 3;
    ((a ^ b) as usize, (a ^ rotated ^ (a << 3 & 15)) as usize)
}

/// Which of q0 and q1 the bytes go through, from the first stage of 256-bit keys to the last (figure 4).
const STAGES: [[usize; 4]; 5] = [[1, 0, 0, 1], [1, 1, 0, 0], [0, 1, 0, 1], [0, 0, 1, 1], [1, 0, 1, 0]];

const MDS: [[u8; 4]; 4] =
    [[0x01, 0xef, 0x5b, 0x5b], [0x5b, 0xef, 0xef, 0x01], [0xef, 0x5b, 0x01, 0xef], [0xef, 0x01, 0xef, 0x5b]];

const RS: [[u8; 8]; 4] = [
    [0x01, 0xa4, 0x55, 0x87, 0x5a, 0x58, 0xdb, 0x9e],
    [0xa4, 0x56, 0x82, 0xf3, 0x1e, 0xc6, 0x68, 0xe5],
    [0x02, 0xa1, 0xfc, 0xc1, 0x47, 0xae, 0x3d, 0x19],
    [0xa4, 0x55, 0x87, 0x5a, 0x58, 0xdb, 0x9e, 0x03],
];

/// Multiplies in GF(2^8) modulo the polynomial.
fn multiply(mut a: u8, mut b: u8, polynomial: u8) -> u8 {
    let mut product = 0;
    while b != 0 {
        if b & 1 != 0 {
            product ^= a;
        }
        a = a << 1 ^ if a & 0x80 == 0 { 0 } else { polynomial };
        b >>= 1;
    }
    product
}

/// What byte `n` of a word contributes to h (4.3.2). `words` are in the order of the stages.
fn column(n: usize, byte: u8, words: &[[u8; 4]; 4]) -> u32 {
    let mut y = Q[STAGES[0][n]][usize::from(byte)];
    for (stage, word) in STAGES[1..].iter().zip(words) {
        y = Q[stage[n]][usize::from(y ^ word[n])];
    }
    u32::from_le_bytes(MDS.map(|row| multiply(y, row[n], 0x69)))
}

/// h of a word of four equal bytes.
fn h(byte: u8, words: &[[u8; 4]; 4]) -> u32 {
    (0..4).fold(0, |sum, n| sum ^ column(n, byte, words))
}

impl KeyInit for Twofish {
    fn new(key: &Key<Self>) -> Self {
        let words = key.as_chunks::<4>().0;
        // The last word goes first.
        let even = Zeroizing::new([words[6], words[4], words[2], words[0]]);
        let odd = Zeroizing::new([words[7], words[5], words[3], words[1]]);
        let mut schedule = Box::new(Zeroizing::new(Schedule { keys: [0; 40], tables: [[0; 256]; 4] }));
        for (n, pair) in (0..).zip(schedule.keys.as_chunks_mut::<2>().0) {
            let (a, b) = (h(2 * n, &even), h(2 * n + 1, &odd).rotate_left(8));
            *pair = [a.wrapping_add(b), a.wrapping_add(b << 1).rotate_left(9)];
        }
        let mut boxes = Zeroizing::new([[0; 4]; 4]);
        for (word, key) in boxes.iter_mut().zip(key.as_chunks::<8>().0) {
            let product = |row: [u8; 8]| {
                row.iter().zip(key).fold(0, |sum, (&factor, &byte)| sum ^ multiply(byte, factor, 0x4d))
            };
            *word = RS.map(product);
        }
        for (n, table) in schedule.tables.iter_mut().enumerate() {
            for (byte, entry) in (0..=255).zip(table) {
                *entry = column(n, byte, &boxes);
            }
        }
        Self(schedule)
    }
}

impl Schedule {
    #[inline(always)]
    fn g(&self, word: u32) -> u32 {
        let [a, b, c, d] = word.to_le_bytes().map(usize::from);
        self.tables[0][a] ^ self.tables[1][b] ^ self.tables[2][c] ^ self.tables[3][d]
    }

    /// One round; the halves are not exchanged, but their names at the next.
    #[inline(always)]
    fn round(&self, n: usize, from: [u32; 2], to: &mut [u32; 2]) {
        let (first, second) = (self.g(from[0]), self.g(from[1].rotate_left(8)));
        let sum = first.wrapping_add(second);
        let f = [
            sum.wrapping_add(self.keys[8 + 2 * n]),
            sum.wrapping_add(second).wrapping_add(self.keys[9 + 2 * n]),
        ];
        *to = [(to[0] ^ f[0]).rotate_right(1), to[1].rotate_left(1) ^ f[1]];
    }
}

impl Twofish {
    #[inline(always)]
    fn encrypt<const N: usize>(&self, blocks: &mut [Array<u8, U16>; N]) {
        let schedule = &**self.0;
        let keys = &schedule.keys;
        let word = |block: &Array<u8, U16>, n: usize| {
            u32::from_le_bytes([block[4 * n], block[4 * n + 1], block[4 * n + 2], block[4 * n + 3]]) ^ keys[n]
        };
        let mut left: [_; N] = std::array::from_fn(|n| [word(&blocks[n], 0), word(&blocks[n], 1)]);
        let mut right: [_; N] = std::array::from_fn(|n| [word(&blocks[n], 2), word(&blocks[n], 3)]);
        for n in 0..ROUNDS / 2 {
            for (left, right) in left.iter().zip(&mut right) {
                schedule.round(2 * n, *left, right);
            }
            for (right, left) in right.iter().zip(&mut left) {
                schedule.round(2 * n + 1, *right, left);
            }
        }
        for (block, (left, right)) in blocks.iter_mut().zip(left.iter().zip(&right)) {
            let out = [right[0] ^ keys[4], right[1] ^ keys[5], left[0] ^ keys[6], left[1] ^ keys[7]];
            for (bytes, word) in block.as_chunks_mut::<4>().0.iter_mut().zip(out) {
                *bytes = word.to_le_bytes();
            }
        }
    }
}

block_cipher!(Twofish: block U16, key U32, 4 lanes as U4);
