//! What comes from the network, and isn't what a peer with the same key has sealed.

use super::*;
use crate::seal::OpenError;
use proptest::prelude::*;

#[test]
fn every_truncation_is_refused() {
    for crypt in sealing() {
        let whole = sealed(&crypt, 1, &content(100));
        for len in 0..whole.len() {
            let expected = if len < crypt.overhead() { OpenError::TooShort } else { OpenError::Forged };
            let mut cut = whole[..len].to_vec();
            assert_eq!(crypt.opener().open(&mut cut), Err(expected), "{crypt:?}, {len} bytes");
        }
    }
}

#[test]
fn what_is_no_longer_than_the_headers_opens_to_nothing() {
    for crypt in sealing() {
        let mut empty = sealed(&crypt, 1, &[]);
        assert_eq!(empty.len(), crypt.overhead());
        assert_eq!(crypt.opener().open(&mut empty).unwrap(), [], "{crypt:?}");
    }
}

/// Of an AEAD datagram every bit counts. Of the others the nonce is no part of the plaintext, but what a changed bit of it does to
/// the first bytes behind it is seen by the CRC; the bits of a nonce that the cipher doesn't use do nothing.
#[test]
fn a_flipped_bit_is_refused() {
    for crypt in sealing() {
        let plaintext = content(77);
        let whole = sealed(&crypt, 1, &plaintext);
        let unused = match crypt.cipher().name() {
            "none" | "xor" => 0..16,
            "salsa20" => 8..16,
            "blowfish" | "cast5" | "3des" | "tea" | "xtea" => 0..8,
            _ => 0..0,
        };
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let opened = crypt.opener().open(&mut flipped);
            if unused.contains(&(bit / 8)) {
                assert_eq!(opened.unwrap(), plaintext, "{crypt:?}, bit {bit}");
            } else {
                assert_eq!(opened, Err(OpenError::Forged), "{crypt:?}, bit {bit}");
            }
        }
    }
}

/// The docs say that only AEAD authenticates: this is why. What is XORed to the last block is XORed to its plaintext, and the CRC is in
/// the first block, or in a key stream.
#[test]
fn whoever_knows_a_plaintext_makes_another_of_it_without_the_key_unless_it_is_aead() {
    let (known, wanted) = (b"1000", b"9999");
    let behind_the_nonce = |text: &[u8]| [&crc32fast::hash(text).to_le_bytes(), text].concat();
    let differences = behind_the_nonce(known).into_iter().zip(behind_the_nonce(wanted)).map(|(a, b)| a ^ b);
    for crypt in sealing() {
        let mut datagram = sealed(&crypt, 1, known);
        let from = crypt.front() - 4;
        datagram[from..]
            .iter_mut()
            .zip(differences.clone())
            .for_each(|(byte, difference)| *byte ^= difference);
        let opened = crypt.opener().open(&mut datagram);
        if crypt.cipher().is_aead() {
            assert_eq!(opened, Err(OpenError::Forged), "{crypt:?}");
        } else {
            assert_eq!(opened.unwrap(), wanted, "{crypt:?}");
        }
    }
}

#[test]
fn another_key_opens_nothing() {
    for crypt in sealing().filter(|crypt| crypt.cipher().key_len() > 0) {
        let cipher = crypt.cipher();
        // 3DES doesn't use the lowest bit of a byte.
        for at in 0..cipher.key_len() {
            let mut key: Vec<u8> = (1..).take(cipher.key_len()).collect();
            key[at] ^= 0x10;
            let mut datagram = sealed(&crypt, 1, b"a plaintext");
            let opener = Crypt::new(cipher, &key).unwrap().opener();
            assert_eq!(opener.open(&mut datagram), Err(OpenError::Forged), "{cipher}, byte {at} of the key");
        }
    }
}

#[test]
fn another_cipher_opens_nothing() {
    for one in sealing() {
        for other in sealing().filter(|other| other.cipher() != one.cipher()) {
            let mut datagram = sealed(&one, 1, &content(60));
            assert_eq!(other.opener().open(&mut datagram), Err(OpenError::Forged), "{one:?} by {other:?}");
        }
    }
}

#[test]
fn plain_segments_open_nothing_and_are_no_segments_once_sealed() {
    use crate::wire::segments;
    // A PUSH of nothing: conv, cmd, frg, wnd, ts, sn, una, len.
    let plain = [&[7, 0, 0, 0, 81, 0, 32, 0][..], &[0; 16]].concat();
    assert!(segments(&plain).all(|segment| segment.is_ok()));
    for crypt in sealing() {
        assert!(crypt.opener().open(&mut plain.clone()).is_err(), "{crypt:?}");
        let on_the_wire = sealed(&crypt, 1, &plain);
        let first = segments(&on_the_wire).next();
        assert!(first.is_none_or(|segment| segment.is_err()), "{crypt:?}");
        // Without a cipher everything opens, and is what it is.
        assert_eq!(Crypt::null().opener().open(&mut on_the_wire.clone()).unwrap(), on_the_wire);
    }
}

#[test]
fn bad_sizes_of_a_batch_leave_it_as_it_is() {
    for crypt in sealing() {
        let sealer = crypt.sealer([1; 32]);
        for (len, size) in [(0, 0), (0, 100), (50, 0), (50, 1), (50, crypt.overhead() - 1), (5, usize::MAX)] {
            let mut contents = content(len);
            sealer.seal_batch(&mut contents, size);
            assert_eq!(contents, content(len), "{crypt:?}, {len} bytes in datagrams of {size}");
        }
        assert_eq!(sealer.nonces_used(), 0);
        // A last one without room for its headers.
        let size = 60;
        let mut contents = content(2 * size + crypt.overhead() - 1);
        sealer.seal_batch(&mut contents, size);
        assert_eq!(contents[2 * size..], content(contents.len())[2 * size..], "{crypt:?}");
        assert_eq!(sealer.nonces_used(), 2);
        assert!(contents[..2 * size].chunks_mut(size).all(|datagram| crypt.opener().open(datagram).is_ok()));
    }
}

#[test]
fn datagrams_longer_than_any_of_kcp_go_open_too() {
    for crypt in sealing() {
        let plaintext = content(65_507 - crypt.overhead());
        let mut datagram = sealed(&crypt, 1, &plaintext);
        if crypt.cipher() != Cipher::None {
            // Nothing of it is clear.
            let shown = datagram.windows(16).filter(|bytes| **bytes == plaintext[65_000..65_016]).count();
            assert_eq!(shown, 0, "{crypt:?}");
        }
        assert!(crypt.opener().open(&mut datagram).unwrap() == plaintext, "{crypt:?}");
    }
}

proptest! {
    #[test]
    fn random_bytes_open_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for crypt in sealing() {
            let expected = if bytes.len() < crypt.overhead() { OpenError::TooShort } else { OpenError::Forged };
            // One of 2^32 has a true CRC: an empty content under a CRC of 0.
            let lucky = crypt.cipher() == Cipher::None && bytes.len() == 20 && bytes[16..] == [0; 4];
            if !lucky {
                let mut datagram = bytes.clone();
                prop_assert_eq!(crypt.opener().open(&mut datagram), Err(expected), "{:?}", crypt);
            }
        }
    }

    #[test]
    fn batches_of_any_shape_are_sealed_whole(len in 0_usize..3_000, size in 0_usize..400) {
        for crypt in sealing() {
            let plain = content(len);
            let mut batch = plain.clone();
            crypt.sealer([2; 32]).seal_batch(&mut batch, size);
            if size < crypt.overhead() {
                prop_assert_eq!(batch, plain);
                continue;
            }
            for (sealed, plain) in batch.chunks_mut(size).zip(plain.chunks(size)) {
                if plain.len() < crypt.overhead() {
                    prop_assert_eq!(sealed, plain);
                } else {
                    let inner = crypt.front()..plain.len() - crypt.back();
                    prop_assert_eq!(crypt.opener().open(sealed).unwrap(), &plain[inner]);
                }
            }
        }
    }
}
