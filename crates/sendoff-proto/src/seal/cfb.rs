//! CFB mode of a block cipher: several datagrams at a time when encrypting, several blocks of one when decrypting.
//!
//! `C[i] = P[i] ^ E(C[i-1])`, the last block cut. Encryption is a chain: each block waits for the one before it. But the
//! datagrams of a batch are independent, so one block of each of several is encrypted at once; the processor has the next
//! block of another datagram to work on while it waits. Decryption knows all `C` from the start.
//!
//! Either way only the cipher's encryption is needed, never its decryption.

use super::block_mode::{BlockMode, NONCE};
use cipher::{
    Array, Block, BlockCipherEncBackend, BlockCipherEncClosure, BlockCipherEncrypt, BlockSizeUser, KeyInit,
    ParBlocks, array::ArraySize, typenum::Unsigned,
};
use std::marker::PhantomData;

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
        let lanes = B::ParBlocksSize::USIZE;
        for group in self.datagrams.chunks_mut(self.datagram_size.saturating_mul(lanes)) {
            let all = group.chunks(self.datagram_size).len();
            let last = group.len() - (all - 1) * self.datagram_size;
            let mut chains = Chains::<B>::new(group, self.datagram_size);
            // Together as far as the last one goes, then the others, if they are longer.
            let at = chains.advance(backend, all, NONCE, last);
            if last < self.datagram_size {
                chains.finish(backend, all - 1..all, at, last);
                let at = chains.advance(backend, all - 1, at, self.datagram_size);
                chains.finish(backend, 0..all - 1, at, self.datagram_size);
            } else {
                chains.finish(backend, 0..all, at, last);
            }
        }
    }
}

/// One chain of blocks for each of several datagrams.
struct Chains<'a, B: BlockCipherEncBackend> {
    group: &'a mut [u8],
    datagram_size: usize,
    /// The last ciphertext of each.
    before: ParBlocks<B>,
}

impl<'a, B: BlockCipherEncBackend> Chains<'a, B> {
    #[inline(always)]
    fn new(group: &'a mut [u8], datagram_size: usize) -> Self {
        let mut before = ParBlocks::<B>::default();
        for (before, datagram) in before.iter_mut().zip(group.chunks(datagram_size)) {
            before.copy_from_slice(&datagram[NONCE - B::BlockSize::USIZE..NONCE]);
        }
        Self { group, datagram_size, before }
    }

    /// Encrypts the full blocks from `at` to `end` of the first `count` datagrams. Returns where they end.
    #[inline(always)]
    fn advance(&mut self, backend: &B, count: usize, mut at: usize, end: usize) -> usize {
        let size = B::BlockSize::USIZE;
        let mut before = self.before.clone();
        while at + size <= end {
            if count == 1 {
                backend.encrypt_block_inplace(&mut before[0]);
            } else {
                backend.encrypt_par_blocks_inplace(&mut before);
            }
            let mut from = at;
            for before in before.iter_mut().take(count) {
                let data = &mut self.group[from..from + size];
                for (data, before) in data.iter_mut().zip(before.iter_mut()) {
                    *before ^= *data;
                    *data = *before;
                }
                from += self.datagram_size;
            }
            at += size;
        }
        self.before = before;
        at
    }

    /// Encrypts what is left from `at` to `end`, less than a block.
    #[inline(always)]
    fn finish(&mut self, backend: &B, which: std::ops::Range<usize>, at: usize, end: usize) {
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
                data.iter_mut().zip(key).for_each(|(data, key)| *data ^= key);
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
