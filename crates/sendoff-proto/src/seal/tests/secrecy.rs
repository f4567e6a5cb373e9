//! Nonces and keys.

use super::*;
use crate::seal::{Key, Sealer};
use std::collections::HashSet;

const fn is_shared<T: Send + Sync>() {}
const _: () = is_shared::<Sealer>();
const _: () = is_shared::<crate::seal::Opener>();
const _: () = is_shared::<Crypt>();

/// The nonces of a batch, as they are on the wire.
fn nonces(sealer: &Sealer, count: usize) -> Vec<Vec<u8>> {
    let crypt = sealer.crypt();
    let len = if crypt.cipher().is_aead() { 12 } else { 16 };
    let mut batch = vec![0; 40 * count];
    sealer.seal_batch(&mut batch, 40);
    batch.chunks(40).map(|datagram| datagram[..len].to_vec()).collect()
}

#[test]
fn threads_that_seal_at_once_never_draw_the_same_nonce() {
    for crypt in sealing() {
        let sealer = crypt.sealer([4; 32]);
        let drawn: Vec<Vec<u8>> = std::thread::scope(|scope| {
            let work = || (1..30).flat_map(|count| nonces(&sealer, count)).collect::<Vec<_>>();
            let threads = [(); 3].map(|()| scope.spawn(work));
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(sealer.nonces_used(), drawn.len() as u64);
        // Salsa20 uses 8 bytes, ciphers with 8-byte blocks the last 8.
        let parts = if crypt.cipher().is_aead() { vec![0..12] } else { vec![0..8, 8..16] };
        for part in parts {
            let different: HashSet<_> = drawn.iter().map(|nonce| &nonce[part.clone()]).collect();
            assert_eq!(different.len(), drawn.len(), "{crypt:?}, bytes {part:?}");
        }
    }
}

#[test]
fn nonces_of_aead_and_salsa20_count_and_others_do_not() {
    for crypt in sealing() {
        let drawn = nonces(&crypt.sealer([5; 32]), 20);
        let step = |pair: &[Vec<u8>]| {
            let number = |nonce: &[u8]| u64::from_le_bytes(nonce[..8].try_into().unwrap());
            number(&pair[1]).wrapping_sub(number(&pair[0]))
        };
        let counting = drawn.windows(2).filter(|pair| step(pair) == 1).count();
        let expected = if crypt.cipher().is_aead() || crypt.cipher() == Cipher::Salsa20 { 19 } else { 0 };
        assert_eq!(counting, expected, "{crypt:?}");
    }
}

#[test]
fn a_counter_of_96_bits_passes_its_end() {
    let crypt = crypt(Cipher::Aes128Gcm);
    let mut seed = [0xff; 32];
    seed[16] = 0xfe;
    let drawn = nonces(&crypt.sealer(seed), 3);
    assert_eq!(drawn[0], [&[0xfe][..], &[0xff; 11]].concat());
    assert_eq!(drawn[1], [0xff; 12]);
    assert_eq!(drawn[2], [0; 12]);
}

#[test]
fn other_seeds_draw_other_nonces() {
    for crypt in sealing() {
        let first: HashSet<_> = nonces(&crypt.sealer([6; 32]), 50).into_iter().collect();
        assert!(nonces(&crypt.sealer([7; 32]), 50).iter().all(|nonce| !first.contains(nonce)), "{crypt:?}");
    }
}

#[test]
fn what_is_printed_shows_no_key() {
    let key = [0xab; 32];
    let crypt = Crypt::aes_256(key);
    let (sealer, opener) = (crypt.sealer([0xcd; 32]), crypt.opener());
    assert_eq!(format!("{:?}", Key::from(key)), "Key(MASKED)");
    assert_eq!(format!("{crypt:?}"), "Crypt { cipher: Aes256, key: MASKED }");
    assert_eq!(format!("{sealer:?}"), "Sealer { cipher: Aes256, nonces_used: 0, .. }");
    assert_eq!(format!("{opener:?}"), "Opener { cipher: Aes256, .. }");
    assert_eq!(format!("{:?}", Crypt::null()), "Crypt { cipher: Null }");
    let error = Crypt::new(Cipher::Aes128, &key).unwrap_err();
    assert_eq!(error.to_string(), "a key of 32 bytes, aes-128 takes 16");
}

#[test]
fn names_are_kcptuns_and_come_back() {
    for &cipher in Cipher::ALL {
        assert_eq!(cipher.name().parse(), Ok(cipher));
        assert_eq!(cipher.to_string(), cipher.name());
        assert_eq!(Crypt::kcptun(cipher, "secret").cipher(), cipher);
        let wrong = vec![0; cipher.key_len() + 1];
        let expected = CryptError::KeyLength { cipher, expected: cipher.key_len(), given: wrong.len() };
        assert_eq!(Crypt::new(cipher, &wrong).unwrap_err(), expected);
    }
    let overheads =
        ["aes", "aes-128-gcm", "none", "null"].map(|name| name.parse::<Cipher>().unwrap().overhead());
    assert_eq!(overheads, [20, 28, 20, 0]);
    assert_eq!("rot13".parse::<Cipher>().unwrap_err().to_string(), "unknown cipher \"rot13\"");
    #[cfg(not(feature = "legacy-ciphers"))]
    assert_eq!(
        "3des".parse::<Cipher>().unwrap_err().to_string(),
        "cipher 3des is not in this build (feature legacy-ciphers)"
    );
}

/// Both sealers of AES-GCM, whichever the build uses.
#[cfg(feature = "aws-lc-rs")]
#[test]
fn aws_lc_rs_and_rust_crypto_seal_alike() {
    for len in [16, 24, 32] {
        let key = content(len);
        for size in [0, 1, 15, 16, 17, 1_372] {
            assert!(
                crate::seal::gcm::backends_agree(&key, &content(size)),
                "a key of {len} bytes, {size} bytes"
            );
        }
    }
}
