//! The ciphers of kcp-go and kcptun: whole datagrams, in place.
//!
//! A [`Crypt`] is a cipher with its key. It makes [`Sealer`]s, one per socket, which encrypt batches of
//! datagrams where they lie, and [`Opener`]s, which find the plaintext within a datagram that came.
//!
//! # What protects what
//!
//! **Only AES-GCM authenticates** (`aes-128-gcm`, `aes-192-gcm`, `aes-256-gcm`): a datagram that was
//! changed, or made without the key, doesn't open. All others hide the content at best, and none of
//! them keeps an attacker out: block ciphers run in CFB mode under a CRC-32, and both are *malleable*.
//! Who knows or guesses part of a plaintext can change it to his liking and mend the CRC, which is
//! linear and has no key, without knowing the cipher's key. With `xor`, a few datagrams give the key stream
//! away; `none` hides nothing. No cipher here, AES-GCM included, tells a datagram from its repetition: that is for the
//! protocol within.
//!
//! # Layout
//!
//! ```text
//! AES-GCM     | nonce 12 | ciphertext | tag 16 |                    no associated data
//! all others  | nonce 16 | CRC-32 4 | content |                     IEEE, little-endian, of the content; all encrypted
//! null        | content |                                           no cipher and no header
//! ```
//!
//! - Block ciphers: CFB over the whole datagram from a fixed initialisation vector; the last block is cut.
//! - `salsa20`: the first 8 bytes are the nonce and stay clear, the rest is XORed with Salsa20/20 from block 0.
//! - `xor`: the datagram is XORed with a table of 1,500 bytes made from the key. `none`: nothing is done to it.
//!
//! Source: kcp-go `crypt.go`, `sess.go` (`postProcess`, `packetInput`).
//!
//! # Nonces
//!
//! A [`Sealer`] draws its nonces from a counter and a seed of 32 bytes, which must come from the system's secure source.
//!
//! - AES-GCM: a 96-bit counter from a random start. One sealer never repeats a nonce. Sealers that share a
//!   key (both sides do, and all clients of a server with one static secret) collide when their ranges
//!   meet: for `s` sealers that seal `n` datagrams each, with a probability of at most `s² · n / 2^96`. A million sealers of
//!   2^32 datagrams each: 2^-24; two of 2^48 each: 2^-46. **One repeated nonce gives away the XOR of two
//!   plaintexts and lets an attacker forge from then on**; change the key long before the bound grows to what you can't bear.
//! - Block ciphers, `xor` and `none`: AES-128 of a counter, under a key from the seed: can't be guessed, as CFB wants it. Of a cipher with 8-byte
//!   blocks, 8 bytes of it count: they repeat after about 2^32 datagrams under one key, and such a repetition gives away
//!   the XOR of the first 8 bytes behind the nonces.
//! - `salsa20`: the 8 bytes of its nonce are a 64-bit counter from a random start: `s` sealers of `n` datagrams collide with a
//!   probability of at most `s² · n / 2^64`, and a repetition gives away the XOR of two plaintexts.

mod cipher;
mod crypt;
mod key;

#[cfg(feature = "crypt")]
mod block_mode;
#[cfg(feature = "crypt")]
mod cfb;
#[cfg(feature = "crypt")]
mod gcm;
#[cfg(feature = "legacy-ciphers")]
mod legacy;
#[cfg(feature = "crypt")]
mod nonce;
#[cfg(feature = "crypt")]
mod salsa20;
#[cfg(feature = "crypt")]
mod xor;

pub use cipher::Cipher;
pub use crypt::{Crypt, CryptError};
pub use key::Key;

#[cfg(all(test, feature = "crypt"))]
mod tests;

use crypt::Engine;
use std::fmt;

/// Why a datagram could not be opened. Either way it is to be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// It is shorter than the nonce, and the CRC or tag, of this cipher.
    #[error("too short for its cipher")]
    TooShort,
    /// The tag, or the CRC, doesn't fit: made with another key or cipher, damaged, or forged.
    #[error("not sealed with this key and cipher")]
    Forged,
}

/// Encrypts datagrams, in place. Made by [`Crypt::sealer`], for one socket or one connection.
///
/// All methods take `&self`: several threads may seal at once, and never draw the same nonce.
pub struct Sealer {
    crypt: Crypt,
    #[cfg(feature = "crypt")]
    nonces: nonce::Nonces,
}

impl Sealer {
    #[cfg_attr(not(feature = "crypt"), allow(unused_variables))]
    fn new(crypt: Crypt, seed: [u8; 32]) -> Self {
        Self {
            #[cfg(feature = "crypt")]
            nonces: nonce::Nonces::new(crypt.cipher(), seed),
            crypt,
        }
    }

    /// Seals datagrams that lie one behind the other, all of `datagram_size` bytes but a shorter last one, each
    /// [`front`](Crypt::front) bytes of room, the plaintext, and [`back`](Crypt::back) bytes of room. What the room held is overwritten.
    ///
    /// A datagram that is shorter than its room is left as it is. Batches pay: datagrams are encrypted several at a time.
    #[cfg_attr(not(feature = "crypt"), allow(unused_variables))]
    pub fn seal_batch(&self, contents: &mut [u8], datagram_size: usize) {
        match self.crypt.engine() {
            Engine::Null => {}
            #[cfg(feature = "crypt")]
            Engine::Block(mode) => block_mode::seal(mode.as_ref(), &self.nonces, contents, datagram_size),
            #[cfg(feature = "crypt")]
            Engine::Gcm(gcm) => gcm.seal(&self.nonces, contents, datagram_size),
        }
    }

    /// Nonces drawn so far: one per datagram sealed; 0 without a cipher.
    ///
    /// From 2^48 on it is time for another key.
    pub fn nonces_used(&self) -> u64 {
        #[cfg(feature = "crypt")]
        return self.nonces.used();
        #[cfg(not(feature = "crypt"))]
        0
    }

    /// What it seals with.
    pub fn crypt(&self) -> &Crypt {
        &self.crypt
    }
}

/// Without key and seed.
impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer")
            .field("cipher", &self.crypt.cipher())
            .field("nonces_used", &self.nonces_used())
            .finish_non_exhaustive()
    }
}

/// Checks and decrypts datagrams, in place. Made by [`Crypt::opener`].
#[derive(Clone)]
pub struct Opener {
    crypt: Crypt,
}

impl Opener {
    /// The plaintext within a datagram that came from the network.
    ///
    /// It may be empty. After an error the datagram's bytes are worth nothing.
    ///
    /// # Errors
    ///
    /// When the datagram is too short for the cipher's headers, or its CRC or tag doesn't fit. With
    /// [`Cipher::Null`] every datagram opens.
    pub fn open<'a>(&self, datagram: &'a mut [u8]) -> Result<&'a mut [u8], OpenError> {
        match self.crypt.engine() {
            Engine::Null => Ok(datagram),
            #[cfg(feature = "crypt")]
            Engine::Block(mode) => block_mode::open(mode.as_ref(), datagram),
            #[cfg(feature = "crypt")]
            Engine::Gcm(gcm) => gcm.open(datagram),
        }
    }

    /// What it opens with.
    pub fn crypt(&self) -> &Crypt {
        &self.crypt
    }
}

/// Without the key.
impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener").field("cipher", &self.crypt.cipher()).finish_non_exhaustive()
    }
}
