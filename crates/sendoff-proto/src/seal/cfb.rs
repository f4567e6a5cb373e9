//! CFB mode of a block cipher: several datagrams at a time when encrypting, several blocks of one when decrypting.
//!
//! `C[i] = P[i] ^ E(C[i-1])`, the last block cut. Encryption is a chain: each block waits for the one before it. But the
//! datagrams of a batch are independent, so one block of each of several is encrypted at once; the processor has the next
//! block of another datagram to work on while it waits. Decryption knows all `C` from the start.
//!
//! Either way only the cipher's encryption is needed, never its decryption.

use super::block_mode::{BlockMode, GROUP, NONCE};
use cipher::{
    Array, Block, BlockCipherEncBackend, BlockCipherEncClosure, BlockCipherEncrypt, BlockSizeUser, KeyInit,
    ParBlocks, array::ArraySize, typenum::Unsigned,
};
use std::marker::PhantomData;

/// Datagrams that are encrypted in step.
const LANES: usize = GROUP;

/// A block cipher with its key.
pub(super) struct Cfb<C>(C);

impl<C: KeyInit> Cfb<C> {
    /// `key` has the cipher's length.
    pub(super) fn new(key: &[u8]) -> Self {
        Self(C::new_from_slice(key).expect("the length was checked"))
    }
}

impl<C: BlockCipherEncrypt + Send + Sync> BlockMode for Cfb<C> {
    fn encrypt(&self, datagrams: &mut [u8], datagram_size: usize) {
        self.0.encrypt_with_backend(Encrypt { datagrams, datagram_size, block: PhantomData });
    }

    fn decrypt(&self, datagram: &mut [u8]) {
        self.0.encrypt_with_backend(Decrypt { datagram, block: PhantomData });
    }
}

/// Runs where the cipher's own code does, compiled for the processor's features.
struct Encrypt<'a, N> {
    datagrams: &'a mut [u8],
    datagram_size: usize,
    block: PhantomData<N>,
}

impl<N: ArraySize> BlockSizeUser for Encrypt<'_, N> {
    type BlockSize = N;
}

impl<N: ArraySize> BlockCipherEncClosure for Encrypt<'_, N> {
    #[inline(always)]
    fn call<B: BlockCipherEncBackend<BlockSize = N>>(self, backend: &B) {
        let size = self.datagram_size;
        for group in self.datagrams.chunks_mut(size.saturating_mul(LANES)) {
            let all = group.chunks(size).len();
            let last = group.len() - (all - 1) * size;
            let mut chains = Chains::<N>::new(group, size);
            // Together as far as the last one goes, then the others, if they are longer.
            let at = chains.advance(backend, all, NONCE, last);
            if last < size {
                chains.finish(backend, all - 1..all, at, last);
                let at = chains.advance(backend, all - 1, at, size);
                chains.finish(backend, 0..all - 1, at, size);
            } else {
                chains.finish(backend, 0..all, at, last);
            }
        }
    }
}

/// One chain of blocks for each of several datagrams.
struct Chains<'a, N: ArraySize> {
    group: &'a mut [u8],
    datagram_size: usize,
    /// The last ciphertext of each.
    before: [Array<u8, N>; LANES],
}

impl<'a, N: ArraySize> Chains<'a, N> {
    #[inline(always)]
    fn new(group: &'a mut [u8], datagram_size: usize) -> Self {
        let mut before: [Array<u8, N>; LANES] = Default::default();
        for (before, datagram) in before.iter_mut().zip(group.chunks(datagram_size)) {
            before.copy_from_slice(&datagram[NONCE - N::USIZE..NONCE]);
        }
        Self { group, datagram_size, before }
    }

    /// Encrypts the full blocks from `at` to `end` of the first `count` datagrams. Returns where they end.
    #[inline(always)]
    fn advance<B>(&mut self, backend: &B, count: usize, mut at: usize, end: usize) -> usize
    where
        B: BlockCipherEncBackend<BlockSize = N>,
    {
        // A copy, so that the compiler may keep it in registers.
        let mut chains = self.before.clone();
        while at + N::USIZE <= end {
            encrypt_each(backend, &mut chains, count);
            let mut from = at;
            for before in &mut chains[..count] {
                let data = &mut self.group[from..from + N::USIZE];
                *before = xor(data, before);
                from += self.datagram_size;
            }
            at += N::USIZE;
        }
        self.before = chains;
        at
    }

    /// Encrypts what is left from `at` to `end`, less than a block.
    #[inline(always)]
    fn finish<B>(&mut self, backend: &B, which: std::ops::Range<usize>, at: usize, end: usize)
    where
        B: BlockCipherEncBackend<BlockSize = N>,
    {
        if at == end {
            return;
        }
        for n in which {
            let mut key = self.before[n].clone();
            backend.encrypt_block_inplace(&mut key);
            let start = n * self.datagram_size;
            let data = &mut self.group[start + at..start + end];
            data.iter_mut().zip(&key).for_each(|(data, key)| *data ^= key);
        }
    }
}

/// XORs a whole block. By way of a copy, since the compiler doesn't know that data and key don't overlap.
#[inline(always)]
fn xor<N: ArraySize>(data: &mut [u8], key: &Array<u8, N>) -> Array<u8, N> {
    let mut block = Array::<u8, N>::default();
    block.copy_from_slice(data);
    block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
    data.copy_from_slice(&block);
    block
}

/// Encrypts the first `count` blocks, and maybe more of them.
///
/// A cipher that takes up to so many at a time gets them so. One that wants more (AES with AVX-512 takes 64) or only one gets them one
/// after the other: they don't wait for each other, and the processor sees that.
#[inline(always)]
fn encrypt_each<N, B>(backend: &B, blocks: &mut [Array<u8, N>; LANES], count: usize)
where
    N: ArraySize,
    B: BlockCipherEncBackend<BlockSize = N>,
{
    let at_a_time = B::ParBlocksSize::USIZE;
    if count > 1 && at_a_time > 1 && LANES % at_a_time == 0 {
        let (several, _) =
            ParBlocks::<B>::slice_as_chunks_mut(&mut blocks[..count.next_multiple_of(at_a_time)]);
        several.iter_mut().for_each(|several| backend.encrypt_par_blocks_inplace(several));
    } else {
        blocks[..count].iter_mut().for_each(|block| backend.encrypt_block_inplace(block));
    }
}

struct Decrypt<'a, N> {
    datagram: &'a mut [u8],
    block: PhantomData<N>,
}

impl<N: ArraySize> BlockSizeUser for Decrypt<'_, N> {
    type BlockSize = N;
}

impl<N: ArraySize> BlockCipherEncClosure for Decrypt<'_, N> {
    /// From the end to the front: what a block needs, the ciphertext before it, is then still there.
    #[inline(always)]
    fn call<B: BlockCipherEncBackend<BlockSize = N>>(self, backend: &B) {
        let (size, lanes) = (N::USIZE, B::ParBlocksSize::USIZE);
        let mut end = self.datagram.len();
        let mut at = end - (end - NONCE) % size;
        if at < end {
            xor_block(backend, self.datagram, at, end);
            end = at;
        }
        while end - NONCE >= size * lanes {
            at = end - size * lanes;
            let mut keys = ParBlocks::<B>::default();
            let (before, _) = Array::<u8, N>::slice_as_chunks(&self.datagram[at - size..end - size]);
            keys.clone_from_slice(before);
            backend.encrypt_par_blocks_inplace(&mut keys);
            for (data, key) in self.datagram[at..end].chunks_exact_mut(size).zip(&keys) {
                xor(data, key);
            }
            end = at;
        }
        while end > NONCE {
            xor_block(backend, self.datagram, end - size, end);
            end -= size;
        }
    }
}

/// Decrypts a block, or what there is of it, in `at..end`.
#[inline(always)]
fn xor_block<B: BlockCipherEncBackend>(backend: &B, datagram: &mut [u8], at: usize, end: usize) {
    let mut key = Block::<B>::default();
    key.copy_from_slice(&datagram[at - B::BlockSize::USIZE..at]);
    backend.encrypt_block_inplace(&mut key);
    datagram[at..end].iter_mut().zip(&key).for_each(|(data, key)| *data ^= key);
}
