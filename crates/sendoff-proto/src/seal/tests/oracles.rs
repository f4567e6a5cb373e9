//! Our own ciphers against other people's.

use super::*;
use crate::seal::{Engine, block_mode};
use ::cipher::{BlockCipherEncrypt, KeyInit, KeyIvInit, StreamCipher};
use proptest::prelude::*;

/// CFB as its definition says, without a thought on speed: from the nonce, block by block.
fn naive_cfb<C: BlockCipherEncrypt>(cipher: &C, datagram: &mut [u8]) {
    let size = C::block_size();
    for at in (16..datagram.len()).step_by(size) {
        let mut key = ::cipher::Block::<C>::try_from(&datagram[at - size..at]).unwrap();
        cipher.encrypt_block(&mut key);
        datagram[at..].iter_mut().zip(&key).for_each(|(byte, key)| *byte ^= key);
    }
}

/// Encrypts a batch behind its nonces, and looks whether the oracle does the same to each datagram, and whether it decrypts.
fn compare(crypt: &Crypt, size: usize, batch: &[u8], oracle: impl Fn(&mut [u8])) {
    let Engine::Block(mode) = crypt.engine() else { panic!("{crypt:?} is no block mode") };
    let mut encrypted = batch.to_vec();
    for group in encrypted.chunks_mut(size * block_mode::GROUP) {
        mode.encrypt(group, size);
    }
    for (ours, plain) in encrypted.chunks_mut(size).zip(batch.chunks(size)) {
        let mut theirs = plain.to_vec();
        oracle(&mut theirs);
        assert!(*ours == theirs, "{crypt:?}: {} bytes of a batch of {}", plain.len(), batch.len());
        mode.decrypt(ours);
        assert!(*ours == *plain, "{crypt:?}: {} bytes", plain.len());
    }
}

fn check(cipher: Cipher, key: &[u8], size: usize, batch: &[u8]) {
    let crypt = Crypt::new(cipher, &key[..cipher.key_len()]).unwrap();
    let key = &key[..cipher.key_len()];
    macro_rules! cfb {
        ($type:ty) => {{
            let cipher = <$type>::new_from_slice(key).unwrap();
            compare(&crypt, size, batch, |datagram| naive_cfb(&cipher, datagram))
        }};
    }
    match cipher {
        Cipher::Aes256 => cfb!(aes::Aes256),
        Cipher::Aes192 => cfb!(aes::Aes192),
        Cipher::Aes128 => cfb!(aes::Aes128),
        #[cfg(feature = "legacy-ciphers")]
        Cipher::Sm4 => cfb!(sm4::Sm4),
        #[cfg(feature = "legacy-ciphers")]
        Cipher::Blowfish => cfb!(blowfish::Blowfish),
        #[cfg(feature = "legacy-ciphers")]
        Cipher::Twofish => cfb!(twofish::Twofish),
        #[cfg(feature = "legacy-ciphers")]
        Cipher::Cast5 => cfb!(cast5::Cast5),
        #[cfg(feature = "legacy-ciphers")]
        Cipher::TripleDes => cfb!(des::TdesEde3),
        Cipher::Salsa20 => compare(&crypt, size, batch, |datagram| {
            let (nonce, rest) = datagram.split_at_mut(8);
            let mut stream = salsa20::Salsa20::new_from_slices(key, nonce).unwrap();
            // The last 8 bytes of kcp-go's nonce are the first that it encrypts, but are on the wire as they were drawn.
            stream.apply_keystream(&mut [0; 8]);
            stream.apply_keystream(&mut rest[8..]);
        }),
        Cipher::None => compare(&crypt, size, batch, |_| {}),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn batches_are_encrypted_as_others_encrypt_their_datagrams(
        key: [u8; 32],
        size in 36_usize..300,
        count in 1_usize..20,
        last in 0_usize..1_000,
        seed: u8,
    ) {
        let last = 20 + last % (size - 19);
        let batch: Vec<u8> = content(size * (count - 1) + last).iter().map(|byte| byte.wrapping_mul(seed | 1)).collect();
        for &cipher in Cipher::ALL {
            check(cipher, &key, size, &batch);
        }
    }
}

/// The crate `xtea` takes words in the other byte order.
#[cfg(feature = "legacy-ciphers")]
#[test]
fn xtea_is_that_of_others_but_for_the_byte_order() {
    let swapped = |bytes: &[u8]| -> Vec<u8> {
        bytes.chunks(4).flat_map(|word| word.iter().rev().copied().collect::<Vec<_>>()).collect()
    };
    for seed in 0..50 {
        let (key, block) = (content(16 + seed)[seed..].to_vec(), content(8 + 3 * seed)[3 * seed..].to_vec());
        let ours = crate::seal::legacy::Xtea::new_from_slice(&key).unwrap();
        let theirs = xtea::Xtea::new_from_slice(&swapped(&key)).unwrap();
        let mut block = ::cipher::Block::<xtea::Xtea>::try_from(&block[..]).unwrap();
        let mut other = ::cipher::Block::<xtea::Xtea>::try_from(&swapped(&block)[..]).unwrap();
        ours.encrypt_block(&mut block);
        theirs.encrypt_block(&mut other);
        assert_eq!(swapped(&block), other.to_vec());
    }
}
