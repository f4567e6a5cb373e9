//! A cipher with its key.

use super::{Cipher, Opener, Sealer};
use std::{fmt, sync::Arc};

#[cfg(feature = "legacy-ciphers")]
use super::legacy;
#[cfg(feature = "crypt")]
use super::{
    Key,
    block_mode::{BlockMode, Plain},
    cfb::Cfb,
    gcm::Gcm,
    salsa20::Salsa20,
    xor::Xor,
};

/// Why there is no such cipher, or not with this key. Never tells the key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CryptError {
    /// No cipher has this name.
    #[error("unknown cipher {0:?}")]
    UnknownCipher(String),
    /// The cipher is known, but this program was built without it.
    #[error("cipher {name} is not in this build (feature {feature})")]
    NotInThisBuild {
        /// The cipher's name.
        name: &'static str,
        /// The feature that has it.
        feature: &'static str,
    },
    /// The key has another length than the cipher's.
    #[error("a key of {given} bytes, {cipher} takes {expected}")]
    KeyLength {
        /// The cipher.
        cipher: Cipher,
        /// Bytes that its key has.
        expected: usize,
        /// Bytes that were given.
        given: usize,
    },
}

/// Which cipher, with which key. Clones share one expanded key, which is wiped from memory with the last of them.
///
/// ```
/// # #[cfg(feature = "crypt")] {
/// use sendoff_proto::{Cipher, Crypt, Key};
///
/// let crypt = Crypt::aes_128_gcm(Key::kcptun("correct horse"));
/// assert_eq!((crypt.cipher(), crypt.overhead()), (Cipher::Aes128Gcm, 28));
/// let seed = [7; 32]; // for this example only: a true one comes from the system's secure source
///
/// // A batch of two datagrams, with room for nonce and tag.
/// let mut batch = [&[0; 12][..], b"hello", &[0; 16], &[0; 12], b"you", &[0; 16]].concat();
/// crypt.sealer(seed).seal_batch(&mut batch, 33);
///
/// let (first, second) = batch.split_at_mut(33);
/// assert_eq!(crypt.opener().open(first).unwrap(), b"hello");
/// assert_eq!(crypt.opener().open(second).unwrap(), b"you");
/// # }
/// ```
#[derive(Clone)]
pub struct Crypt {
    cipher: Cipher,
    engine: Arc<Engine>,
}

/// What seals and opens.
pub(super) enum Engine {
    Null,
    /// Under nonce and CRC-32.
    #[cfg(feature = "crypt")]
    Block(Box<dyn BlockMode>),
    #[cfg(feature = "crypt")]
    Gcm(Gcm),
}

impl Crypt {
    fn with(cipher: Cipher, engine: Engine) -> Self {
        Self { cipher, engine: Arc::new(engine) }
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// No cipher and no header.
    pub fn null() -> Self {
        Self::with(Cipher::Null, Engine::Null)
    }

    /// A cipher with a key of raw bytes.
    ///
    /// # Errors
    ///
    /// When the key hasn't [`Cipher::key_len`] bytes.
    pub fn new(cipher: Cipher, key: &[u8]) -> Result<Self, CryptError> {
        let expected = cipher.key_len();
        if key.len() != expected {
            return Err(CryptError::KeyLength { cipher, expected, given: key.len() });
        }
        Ok(Self::of_checked(cipher, key))
    }

    /// A cipher with kcptun's key of a secret, see [`Key::kcptun`](super::Key). `none` and `null` take no key: the secret doesn't count.
    pub fn kcptun(cipher: Cipher, secret: impl AsRef<[u8]>) -> Self {
        #[cfg(feature = "crypt")]
        if cipher.key_len() > 0 {
            return Self::of_checked(cipher, &Key::<32>::kcptun(secret).bytes()[..cipher.key_len()]);
        }
        _ = secret;
        Self::of_checked(cipher, &[])
    }

    /// `key` has the cipher's length.
    fn of_checked(cipher: Cipher, key: &[u8]) -> Self {
        let _ = key;
        let engine = match cipher {
            #[cfg(feature = "crypt")]
            Cipher::Aes256 => block(Cfb::<aes::Aes256Enc>::new(key)),
            #[cfg(feature = "crypt")]
            Cipher::Aes192 => block(Cfb::<aes::Aes192Enc>::new(key)),
            #[cfg(feature = "crypt")]
            Cipher::Aes128 => block(Cfb::<aes::Aes128Enc>::new(key)),
            #[cfg(feature = "crypt")]
            Cipher::Aes128Gcm | Cipher::Aes192Gcm | Cipher::Aes256Gcm => Engine::Gcm(Gcm::new(key)),
            #[cfg(feature = "crypt")]
            Cipher::Salsa20 => block(Salsa20::new(key)),
            #[cfg(feature = "legacy-ciphers")]
            Cipher::Sm4 => block(Cfb::<legacy::Sm4>::new(key)),
            #[cfg(feature = "legacy-ciphers")]
            Cipher::Blowfish => block(Cfb::<legacy::Blowfish>::new(key)),
            #[cfg(feature = "legacy-ciphers")]
            Cipher::Twofish => block(Cfb::<legacy::Twofish>::new(key)),
            #[cfg(feature = "legacy-ciphers")]
            Cipher::Cast5 => block(Cfb::<legacy::Cast5>::new(key)),
            #[cfg(feature = "legacy-ciphers")]
            Cipher::TripleDes => block(Cfb::<legacy::TripleDes>::new(key)),
            #[cfg(feature = "legacy-ciphers")]
            Cipher::Tea => block(Cfb::<legacy::Tea>::new(key)),
            #[cfg(feature = "legacy-ciphers")]
            Cipher::Xtea => block(Cfb::<legacy::Xtea>::new(key)),
            #[cfg(feature = "crypt")]
            Cipher::Xor => block(Xor::new(key)),
            #[cfg(feature = "crypt")]
            Cipher::None => block(Plain),
            Cipher::Null => Engine::Null,
        };
        Self::with(cipher, engine)
    }

    /// The cipher.
    pub fn cipher(&self) -> Cipher {
        self.cipher
    }

    /// Bytes that it adds to a datagram before the plaintext: 12 with AEAD, 20 else, 0 for `null`.
    pub fn front(&self) -> usize {
        self.cipher.front()
    }

    /// Bytes that it adds to a datagram after the plaintext: 16 with AEAD, 0 else.
    pub fn back(&self) -> usize {
        self.cipher.back()
    }

    /// Bytes that it adds to a datagram: 28 with AEAD, 20 else, 0 for `null`.
    pub fn overhead(&self) -> usize {
        self.cipher.overhead()
    }

    /// What seals datagrams. `seed` must be from the system's secure source, and another for each sealer: **two sealers
    /// of one key and one seed repeat their nonces**.
    pub fn sealer(&self, seed: [u8; 32]) -> Sealer {
        Sealer::new(self.clone(), seed)
    }

    /// What opens datagrams.
    pub fn opener(&self) -> Opener {
        Opener { crypt: self.clone() }
    }
}

#[cfg(feature = "crypt")]
fn block(mode: impl BlockMode + 'static) -> Engine {
    Engine::Block(Box::new(mode))
}

macro_rules! constructors {
    ($($feature:literal $name:ident $cipher:ident $len:literal;)*) => {
        impl Crypt {$(
            #[doc = concat!("[`Cipher::", stringify!($cipher), "`] with a key: raw bytes, or [`Key::kcptun`].")]
            #[cfg(feature = $feature)]
            pub fn $name(key: impl Into<Key<$len>>) -> Self {
                Self::of_checked(Cipher::$cipher, key.into().bytes())
            }
        )*}
    };
}

constructors! {
    "crypt" aes_256 Aes256 32;
    "crypt" aes_192 Aes192 24;
    "crypt" aes_128 Aes128 16;
    "crypt" aes_128_gcm Aes128Gcm 16;
    "crypt" aes_192_gcm Aes192Gcm 24;
    "crypt" aes_256_gcm Aes256Gcm 32;
    "crypt" salsa20 Salsa20 32;
    "legacy-ciphers" sm4 Sm4 16;
    "legacy-ciphers" blowfish Blowfish 32;
    "legacy-ciphers" twofish Twofish 32;
    "legacy-ciphers" cast5 Cast5 16;
    "legacy-ciphers" triple_des TripleDes 24;
    "legacy-ciphers" tea Tea 16;
    "legacy-ciphers" xtea Xtea 16;
    "crypt" xor Xor 32;
}

#[cfg(feature = "crypt")]
impl Crypt {
    /// [`Cipher::None`]: not encrypted, but with nonce and CRC-32.
    pub fn none() -> Self {
        Self::of_checked(Cipher::None, &[])
    }
}

/// Without the key.
impl fmt::Debug for Crypt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut printed = f.debug_struct("Crypt");
        printed.field("cipher", &self.cipher);
        if self.cipher.key_len() > 0 {
            printed.field("key", &format_args!("MASKED"));
        }
        printed.finish()
    }
}
