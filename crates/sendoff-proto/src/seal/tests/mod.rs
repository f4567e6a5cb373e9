//! What holds of every cipher of the build.

mod hostile;
mod oracles;
mod round_trip;
mod secrecy;
mod vectors;

use super::{Cipher, Crypt, CryptError};

/// A cipher with a key that tells where its bytes are.
fn crypt(cipher: Cipher) -> Crypt {
    let key: Vec<u8> = (1..).take(cipher.key_len()).collect();
    Crypt::new(cipher, &key).unwrap()
}

/// Every cipher of this build but `null`.
fn sealing() -> impl Iterator<Item = Crypt> {
    Cipher::ALL.iter().filter(|cipher| cipher.overhead() > 0).map(|&cipher| crypt(cipher))
}

/// Bytes that don't repeat soon.
fn content(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n * 7 + n / 251) as u8).collect()
}

/// Plaintext between room.
fn with_room(crypt: &Crypt, plaintext: &[u8]) -> Vec<u8> {
    [&vec![0xee; crypt.front()], plaintext, &vec![0xdd; crypt.back()]].concat()
}

fn sealed(crypt: &Crypt, seed: u8, plaintext: &[u8]) -> Vec<u8> {
    let mut datagram = with_room(crypt, plaintext);
    let size = datagram.len();
    crypt.sealer([seed; 32]).seal_batch(&mut datagram, size);
    datagram
}
