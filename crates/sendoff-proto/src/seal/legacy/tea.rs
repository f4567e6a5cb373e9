//! TEA with 16 rounds, and XTEA with 64, several blocks at a time.
//!
//! Nothing but additions, shifts and XORs: the compiler makes vector instructions of a loop over blocks.
//!
//! Source: Wheeler and Needham, "TEA, a tiny encryption algorithm" and "Tea extensions"; golang.org/x/crypto `tea`, `xtea`, both
//! big-endian; kcp-go `NewTEABlockCrypt` (16 rounds, two to a cycle).

use cipher::{
    Array, Block, BlockCipherEncBackend, BlockCipherEncClosure, BlockCipherEncrypt, BlockSizeUser, InOut,
    Key, KeyInit, KeySizeUser, ParBlocks, ParBlocksSizeUser,
    consts::{U8, U16},
};
use zeroize::Zeroizing;

const LANES: usize = 8;
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

/// The two halves of a block, or of several.
trait Rounds {
    fn rounds<const N: usize>(&self, left: &mut [u32; N], right: &mut [u32; N]);
}

impl Rounds for Tea {
    #[inline(always)]
    fn rounds<const N: usize>(&self, left: &mut [u32; N], right: &mut [u32; N]) {
        let key = &*self.0;
        let mix = |half: u32, sum: u32, low: u32, high: u32| {
            (half << 4).wrapping_add(low) ^ half.wrapping_add(sum) ^ (half >> 5).wrapping_add(high)
        };
        for cycle in 1..=TEA_CYCLES {
            let sum = DELTA.wrapping_mul(cycle);
            for n in 0..N {
                left[n] = left[n].wrapping_add(mix(right[n], sum, key[0], key[1]));
                right[n] = right[n].wrapping_add(mix(left[n], sum, key[2], key[3]));
            }
        }
    }
}

impl Rounds for Xtea {
    #[inline(always)]
    fn rounds<const N: usize>(&self, left: &mut [u32; N], right: &mut [u32; N]) {
        let mix = |half: u32, key: u32| (half << 4 ^ half >> 5).wrapping_add(half) ^ key;
        for [first, second] in self.0.iter() {
            for n in 0..N {
                left[n] = left[n].wrapping_add(mix(right[n], *first));
                right[n] = right[n].wrapping_add(mix(left[n], *second));
            }
        }
    }
}

/// Encrypts `N` blocks.
#[inline(always)]
fn encrypt<const N: usize>(cipher: &impl Rounds, blocks: &mut [Array<u8, U8>; N]) {
    let half = |block: &Array<u8, U8>, at: usize| {
        u32::from_be_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]])
    };
    let mut left = std::array::from_fn(|n| half(&blocks[n], 0));
    let mut right = std::array::from_fn(|n| half(&blocks[n], 4));
    cipher.rounds::<N>(&mut left, &mut right);
    for (n, block) in blocks.iter_mut().enumerate() {
        block[..4].copy_from_slice(&left[n].to_be_bytes());
        block[4..].copy_from_slice(&right[n].to_be_bytes());
    }
}

macro_rules! block_cipher {
    ($($name:ident)*) => {$(
        impl KeySizeUser for $name {
            type KeySize = U16;
        }

        impl BlockSizeUser for $name {
            type BlockSize = U8;
        }

        impl ParBlocksSizeUser for $name {
            type ParBlocksSize = U8;
        }

        impl BlockCipherEncrypt for $name {
            #[inline]
            fn encrypt_with_backend(&self, f: impl BlockCipherEncClosure<BlockSize = U8>) {
                f.call(self);
            }
        }

        impl BlockCipherEncBackend for $name {
            #[inline]
            fn encrypt_block(&self, mut block: InOut<'_, '_, Block<Self>>) {
                let mut one = [*block.get_in()];
                encrypt(self, &mut one);
                *block.get_out() = one[0];
            }

            #[inline]
            fn encrypt_par_blocks(&self, mut blocks: InOut<'_, '_, ParBlocks<Self>>) {
                let mut several: [Block<Self>; LANES] = (*blocks.get_in()).into();
                encrypt(self, &mut several);
                *blocks.get_out() = several.into();
            }
        }
    )*};
}

block_cipher!(Tea Xtea);
