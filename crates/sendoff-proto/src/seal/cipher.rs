//! The ciphers by name.

use super::CryptError;
use std::{fmt, str::FromStr};

/// A cipher of kcp-go, by kcptun's name for it.
///
/// Which of them exist depends on the features `crypt` and `legacy-ciphers`; [`Cipher::ALL`] has those of this build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cipher {
    /// `aes`: AES-256 in CFB mode under a CRC-32. Not authenticated.
    #[cfg(feature = "crypt")]
    Aes256,
    /// `aes-192`: AES-192 in CFB mode under a CRC-32. Not authenticated.
    #[cfg(feature = "crypt")]
    Aes192,
    /// `aes-128`: AES-128 in CFB mode under a CRC-32. Not authenticated.
    #[cfg(feature = "crypt")]
    Aes128,
    /// `aes-128-gcm`: AES-128 in GCM, authenticated. kcp-go from 5.6.60 on.
    #[cfg(feature = "crypt")]
    Aes128Gcm,
    /// `aes-192-gcm`: AES-192 in GCM, authenticated. kcp-go has it, kcptun has no name for it.
    #[cfg(feature = "crypt")]
    Aes192Gcm,
    /// `aes-256-gcm`: AES-256 in GCM, authenticated. kcp-go has it, kcptun has no name for it.
    #[cfg(feature = "crypt")]
    Aes256Gcm,
    /// `salsa20`: Salsa20/20 under a CRC-32, nonces of 8 bytes. Not authenticated.
    #[cfg(feature = "crypt")]
    Salsa20,
    /// `sm4`: SM4 in CFB mode under a CRC-32. Not authenticated.
    #[cfg(feature = "legacy-ciphers")]
    Sm4,
    /// `blowfish`: Blowfish in CFB mode under a CRC-32. Not authenticated.
    #[cfg(feature = "legacy-ciphers")]
    Blowfish,
    /// `twofish`: Twofish-256 in CFB mode under a CRC-32. Not authenticated.
    #[cfg(feature = "legacy-ciphers")]
    Twofish,
    /// `cast5`: CAST-128 in CFB mode under a CRC-32. Not authenticated.
    #[cfg(feature = "legacy-ciphers")]
    Cast5,
    /// `3des`: Triple DES in CFB mode under a CRC-32. Not authenticated.
    #[cfg(feature = "legacy-ciphers")]
    TripleDes,
    /// `tea`: TEA of 16 rounds (8 cycles, where its authors wanted 32) in CFB mode under a CRC-32. Not authenticated.
    #[cfg(feature = "legacy-ciphers")]
    Tea,
    /// `xtea`: XTEA in CFB mode under a CRC-32. Not authenticated.
    #[cfg(feature = "legacy-ciphers")]
    Xtea,
    /// `xor`: every datagram XORed with the same table. No encryption worth the name.
    #[cfg(feature = "crypt")]
    Xor,
    /// `none`: not encrypted, but with the header of those that are: a nonce and a CRC-32.
    #[cfg(feature = "crypt")]
    None,
    /// `null`: no cipher and no header, as without this module.
    Null,
}

/// Name, cipher, length of its key.
type Row = (&'static str, Cipher, usize);

const TABLE: &[Row] = &[
    #[cfg(feature = "crypt")]
    ("aes", Cipher::Aes256, 32),
    #[cfg(feature = "crypt")]
    ("aes-192", Cipher::Aes192, 24),
    #[cfg(feature = "crypt")]
    ("aes-128", Cipher::Aes128, 16),
    #[cfg(feature = "crypt")]
    ("aes-128-gcm", Cipher::Aes128Gcm, 16),
    #[cfg(feature = "crypt")]
    ("aes-192-gcm", Cipher::Aes192Gcm, 24),
    #[cfg(feature = "crypt")]
    ("aes-256-gcm", Cipher::Aes256Gcm, 32),
    #[cfg(feature = "crypt")]
    ("salsa20", Cipher::Salsa20, 32),
    #[cfg(feature = "legacy-ciphers")]
    ("sm4", Cipher::Sm4, 16),
    #[cfg(feature = "legacy-ciphers")]
    ("blowfish", Cipher::Blowfish, 32),
    #[cfg(feature = "legacy-ciphers")]
    ("twofish", Cipher::Twofish, 32),
    #[cfg(feature = "legacy-ciphers")]
    ("cast5", Cipher::Cast5, 16),
    #[cfg(feature = "legacy-ciphers")]
    ("3des", Cipher::TripleDes, 24),
    #[cfg(feature = "legacy-ciphers")]
    ("tea", Cipher::Tea, 16),
    #[cfg(feature = "legacy-ciphers")]
    ("xtea", Cipher::Xtea, 16),
    #[cfg(feature = "crypt")]
    ("xor", Cipher::Xor, 32),
    #[cfg(feature = "crypt")]
    ("none", Cipher::None, 0),
    ("null", Cipher::Null, 0),
];

/// Names of the ciphers that a build may lack, and the feature that has them.
const OPTIONAL: [(&str, &[&str]); 2] = [
    (
        "crypt",
        &["aes", "aes-192", "aes-128", "aes-128-gcm", "aes-192-gcm", "aes-256-gcm", "salsa20", "xor", "none"],
    ),
    ("legacy-ciphers", &["sm4", "blowfish", "twofish", "cast5", "3des", "tea", "xtea"]),
];

impl Cipher {
    /// The ciphers of this build, in kcptun's order of trust: the ones for every day first.
    pub const ALL: &'static [Self] = &{
        let mut all = [Self::Null; TABLE.len()];
        let mut i = 0;
        while i < all.len() {
            all[i] = TABLE[i].1;
            i += 1;
        }
        all
    };

    fn row(self) -> &'static Row {
        TABLE.iter().find(|row| row.1 == self).expect("every cipher is in the table")
    }

    /// kcptun's name for it.
    pub fn name(self) -> &'static str {
        self.row().0
    }

    /// Length of its key in bytes, as kcptun cuts it; 0 for `none` and `null`, which take none.
    pub fn key_len(self) -> usize {
        self.row().2
    }

    /// Whether it authenticates: who doesn't have the key can't make or change a datagram.
    pub fn is_aead(self) -> bool {
        match self {
            #[cfg(feature = "crypt")]
            Self::Aes128Gcm | Self::Aes192Gcm | Self::Aes256Gcm => true,
            _ => false,
        }
    }

    /// Bytes that it adds to a datagram before the plaintext: 12 with AEAD, 20 else, 0 for `null`.
    pub fn front(self) -> usize {
        if self == Self::Null {
            0
        } else if self.is_aead() {
            12
        } else {
            20
        }
    }

    /// Bytes that it adds to a datagram after the plaintext: 16 with AEAD, 0 else.
    pub fn back(self) -> usize {
        if self.is_aead() { 16 } else { 0 }
    }

    /// Bytes that it adds to a datagram: 28 with AEAD, 20 else, 0 for `null`.
    pub fn overhead(self) -> usize {
        self.front() + self.back()
    }
}

/// kcptun's name.
impl fmt::Display for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// From kcptun's name.
impl FromStr for Cipher {
    type Err = CryptError;

    fn from_str(name: &str) -> Result<Self, CryptError> {
        if let Some(row) = TABLE.iter().find(|row| row.0 == name) {
            return Ok(row.1);
        }
        for (feature, names) in OPTIONAL {
            if let Some(&name) = names.iter().find(|&&known| known == name) {
                return Err(CryptError::NotInThisBuild { name, feature });
            }
        }
        Err(CryptError::UnknownCipher(name.to_owned()))
    }
}
