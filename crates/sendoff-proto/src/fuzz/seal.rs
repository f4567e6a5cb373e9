//! Any bytes into an opener, and what was sealed, whole and changed.

use super::Input;
use crate::seal::{Cipher, Crypt, OpenError};

/// Runs one input. Panics when something doesn't hold.
pub fn seal(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let cipher = Cipher::ALL[input.index(Cipher::ALL.len())];
    let key: Vec<u8> = (0..cipher.key_len()).map(|_| input.byte()).collect();
    let crypt = Crypt::new(cipher, &key).expect("the key has its length");
    let (sealer, opener) = (crypt.sealer([input.byte(); 32]), crypt.opener());
    let size = usize::from(input.short() % 2_000);
    let (at, flip) = (usize::from(input.short()), input.byte());
    let plain = input.bytes(bytes.len()).to_vec();

    // As if it came from the network.
    let mut datagram = plain.clone();
    match opener.open(&mut datagram) {
        Ok(opened) => assert_eq!(opened.len() + crypt.overhead(), plain.len()),
        Err(OpenError::TooShort) => assert!(plain.len() < crypt.overhead()),
        Err(OpenError::Forged) => assert!(plain.len() >= crypt.overhead()),
    }

    let mut batch = plain.clone();
    sealer.seal_batch(&mut batch, size);
    if size < crypt.overhead().max(1) {
        assert_eq!(batch, plain);
        return;
    }
    let last = batch.len().checked_sub(1).map(|last| at % (last + 1));
    for (n, (sealed, plain)) in batch.chunks_mut(size).zip(plain.chunks(size)).enumerate() {
        if plain.len() < crypt.overhead() {
            assert_eq!(sealed, plain);
            continue;
        }
        // One byte of the batch is changed.
        let changed =
            last.and_then(|at| at.checked_sub(n * size)).filter(|&at| flip != 0 && at < sealed.len());
        if let Some(at) = changed {
            sealed[at] ^= flip;
        }
        let whole = &plain[crypt.front()..plain.len() - crypt.back()];
        match opener.open(sealed) {
            Ok(opened) if changed.is_none() => assert_eq!(opened, whole),
            // The CRC is blind to a nonce that the cipher doesn't use, and AEAD to nothing.
            Ok(opened) => assert!(!cipher.is_aead() && (cipher == Cipher::Null || opened == whole)),
            Err(error) => assert!(changed.is_some(), "{error}"),
        }
    }
}
