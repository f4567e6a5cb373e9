//! TEA with 16 rounds, and XTEA with 64, several blocks at a time.
//!
//! Nothing but additions, shifts and XORs: the compiler makes vector instructions of a loop over blocks.
//!
//! Source: Wheeler and Needham, "TEA, a tiny encryption algorithm" and "Tea extensions"; golang.org/x/crypto `tea`, `xtea`, both
//! big-endian; kcp-go `NewTEABlockCrypt` (16 rounds, two to a cycle).

use super::lanes::block_cipher;
use cipher::{
    Array, Key, KeyInit,
    consts::{U8, U16},
};
use zeroize::Zeroizing;

const DELTA: u32 = 0x9e37_79b9;
const TEA_CYCLES: u32 = 8;
const XTEA_CYCLES: usize = 32;

pub(in crate::seal) struct Tea(Zeroizing<[u32; 4]>);

/// Its key words in the order of their use, the sums added.
pub(in crate::seal) struct Xtea(Zeroizing<[[u32; 2]; XTEA_CYCLES]>);

fn words(key: &Array<u8, U16>) -> Zeroizing<[u32; 4]> {
    let mut words = Zeroizing::new([0; 4]);
    for (word, bytes) in words.iter_mut().zip(key.as_chunks().0) {
        *word = u32::from_be_bytes(*bytes);
    }
    words
}

impl KeyInit for Tea {
    fn new(key: &Key<Self>) -> Self {
        Self(words(key))
    }
}

impl KeyInit for Xtea {
    fn new(key: &Key<Self>) -> Self {
        let (key, mut sum) = (words(key), 0_u32);
        let mut schedule = Zeroizing::new([[0; 2]; XTEA_CYCLES]);
        for pair in schedule.iter_mut() {
            pair[0] = sum.wrapping_add(key[(sum & 3) as usize]);
            sum = sum.wrapping_add(DELTA);
            pair[1] = sum.wrapping_add(key[(sum >> 11 & 3) as usize]);
        }
        Self(schedule)
    }
}

impl Tea {
    /// kcp-go has halved the rounds twice: 16, where Wheeler and Needham wanted 64.
    #[inline(always)]
    fn encrypt<const N: usize>(&self, blocks: &mut [Array<u8, U8>; N]) {
        let (key, (mut left, mut right)) = (&*self.0, halves(blocks));
        let mix = |half: u32, sum: u32, low: u32, high: u32| {
            (half << 4).wrapping_add(low) ^ half.wrapping_add(sum) ^ (half >> 5).wrapping_add(high)
        };
        for cycle in 1..=TEA_CYCLES {
            let sum = DELTA.wrapping_mul(cycle);
            for (left, right) in left.iter_mut().zip(&mut right) {
                *left = left.wrapping_add(mix(*right, sum, key[0], key[1]));
                *right = right.wrapping_add(mix(*left, sum, key[2], key[3]));
            }
        }
        store(blocks, left, right);
    }
}

impl Xtea {
    #[inline(always)]
    fn encrypt<const N: usize>(&self, blocks: &mut [Array<u8, U8>; N]) {
        let (mut left, mut right) = halves(blocks);
        let mix = |half: u32, key: u32| (half << 4 ^ half >> 5).wrapping_add(half) ^ key;
        for [first, second] in self.0.iter() {
            for (left, right) in left.iter_mut().zip(&mut right) {
                *left = left.wrapping_add(mix(*right, *first));
                *right = right.wrapping_add(mix(*left, *second));
            }
        }
        store(blocks, left, right);
    }
}

#[inline(always)]
fn halves<const N: usize>(blocks: &[Array<u8, U8>; N]) -> ([u32; N], [u32; N]) {
    let half = |block: &Array<u8, U8>, at: usize| {
        u32::from_be_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]])
    };
    (std::array::from_fn(|n| half(&blocks[n], 0)), std::array::from_fn(|n| half(&blocks[n], 4)))
}

#[inline(always)]
fn store<const N: usize>(blocks: &mut [Array<u8, U8>; N], left: [u32; N], right: [u32; N]) {
    for (n, block) in blocks.iter_mut().enumerate() {
        block[..4].copy_from_slice(&left[n].to_be_bytes());
        block[4..].copy_from_slice(&right[n].to_be_bytes());
    }
}

block_cipher!(Tea: block U8, key U16, 8 lanes as U8);
block_cipher!(Xtea: block U8, key U16, 8 lanes as U8);
