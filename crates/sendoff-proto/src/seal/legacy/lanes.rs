//! Several blocks at a time, for ciphers of ours.

/// Makes a block cipher, as the crate `cipher` knows it, of a type that has `encrypt`, which encrypts any number of blocks
/// in step: `block_cipher!(Name: block 8 bytes as U8, key U16, 4 lanes as U4)`.
macro_rules! block_cipher {
    ($name:ident: block $block:ident, key $key:ident, $lanes:literal lanes as $par:ident) => {
        impl ::cipher::KeySizeUser for $name {
            type KeySize = ::cipher::consts::$key;
        }

        impl ::cipher::BlockSizeUser for $name {
            type BlockSize = ::cipher::consts::$block;
        }

        impl ::cipher::ParBlocksSizeUser for $name {
            type ParBlocksSize = ::cipher::consts::$par;
        }

        impl ::cipher::BlockCipherEncrypt for $name {
            #[inline(always)]
            fn encrypt_with_backend(
                &self,
                work: impl ::cipher::BlockCipherEncClosure<BlockSize = Self::BlockSize>,
            ) {
                work.call(self);
            }
        }

        impl ::cipher::BlockCipherEncBackend for $name {
            #[inline(always)]
            fn encrypt_block(&self, mut block: ::cipher::InOut<'_, '_, ::cipher::Block<Self>>) {
                let mut one = [*block.get_in()];
                self.encrypt(&mut one);
                *block.get_out() = one[0];
            }

            #[inline(always)]
            fn encrypt_par_blocks(&self, mut blocks: ::cipher::InOut<'_, '_, ::cipher::ParBlocks<Self>>) {
                let mut several: [::cipher::Block<Self>; $lanes] = (*blocks.get_in()).into();
                self.encrypt(&mut several);
                *blocks.get_out() = several.into();
            }
        }
    };
}

pub(super) use block_cipher;
