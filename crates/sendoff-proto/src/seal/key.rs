//! Keys, and how kcptun makes them from a secret.

use std::fmt;

/// A key of `N` bytes: from raw bytes, or from a secret as kcptun does it. Wiped from memory when dropped; not printed.
///
/// Without the feature `crypt` there is no way to make one.
#[derive(Clone)]
pub struct Key<const N: usize>([u8; N]);

#[cfg(feature = "crypt")]
impl<const N: usize> Key<N> {
    /// kcptun's key of a secret: PBKDF2-HMAC-SHA1, salt `kcp-go`, 4,096 rounds, 32 bytes, of which the first `N` count.
    /// It takes about a millisecond.
    ///
    /// The salt is the same everywhere and the rounds are few: a weak secret can be guessed from one recorded datagram. Use a long random one.
    pub fn kcptun(secret: impl AsRef<[u8]>) -> Self {
        const { assert!(N <= 32, "kcptun's keys have 32 bytes at most") };
        let mut derived = zeroize::Zeroizing::new([0; 32]);
        pbkdf2::pbkdf2_hmac::<sha1::Sha1>(secret.as_ref(), b"kcp-go", 4_096, &mut *derived);
        let mut key = Self([0; N]);
        key.0.copy_from_slice(&derived[..N]);
        key
    }

    pub(super) fn bytes(&self) -> &[u8; N] {
        &self.0
    }
}

#[cfg(feature = "crypt")]
impl<const N: usize> From<[u8; N]> for Key<N> {
    fn from(bytes: [u8; N]) -> Self {
        Self(bytes)
    }
}

#[cfg(feature = "crypt")]
impl<const N: usize> Drop for Key<N> {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.0);
    }
}

/// Without its bytes.
impl<const N: usize> fmt::Debug for Key<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(MASKED)")
    }
}
