//! A cipher of one block at a time, as one of several.

use cipher::{
    Block, BlockCipherEncBackend, BlockCipherEncClosure, BlockCipherEncrypt, BlockSizeUser, InOut,
    InvalidLength, Key, KeyInit, KeySizeUser, ParBlocksSizeUser, consts::U4,
};

/// Encrypts four blocks one after the other: they don't wait for each other, and the processor sees that.
pub(in crate::seal) struct Wide<C>(C);

impl<C: KeySizeUser> KeySizeUser for Wide<C> {
    type KeySize = C::KeySize;
}

impl<C: KeyInit> KeyInit for Wide<C> {
    fn new(key: &Key<Self>) -> Self {
        Self(C::new(key))
    }

    fn new_from_slice(key: &[u8]) -> Result<Self, InvalidLength> {
        C::new_from_slice(key).map(Self)
    }
}

impl<C: BlockSizeUser> BlockSizeUser for Wide<C> {
    type BlockSize = C::BlockSize;
}

impl<C: BlockCipherEncrypt> BlockCipherEncrypt for Wide<C> {
    #[inline]
    fn encrypt_with_backend(&self, f: impl BlockCipherEncClosure<BlockSize = Self::BlockSize>) {
        f.call(self);
    }
}

impl<C: BlockSizeUser> ParBlocksSizeUser for Wide<C> {
    type ParBlocksSize = U4;
}

impl<C: BlockCipherEncrypt> BlockCipherEncBackend for Wide<C> {
    #[inline]
    fn encrypt_block(&self, block: InOut<'_, '_, Block<Self>>) {
        self.0.encrypt_block_inout(block);
    }
}
