//! AES-GCM: `nonce 12 | ciphertext | tag 16`, without associated data.

use super::{OpenError, block_mode::whole, nonce::Nonces};

const NONCE: usize = 12;
const TAG: usize = 16;
const OVERHEAD: usize = NONCE + TAG;

pub(super) struct Gcm(Keyed);

impl Gcm {
    /// AES-128, 192 or 256, as the key is long.
    pub(super) fn new(key: &[u8]) -> Self {
        Self(Keyed::new(key))
    }

    pub(super) fn seal(&self, nonces: &Nonces, contents: &mut [u8], datagram_size: usize) {
        let contents = whole(contents, datagram_size, OVERHEAD);
        if contents.is_empty() {
            return;
        }
        let mut drawn = nonces.draw(contents.len().div_ceil(datagram_size));
        for datagram in contents.chunks_mut(datagram_size) {
            self.seal_one(drawn.next_96(), datagram);
        }
    }

    /// Seals a datagram that is no shorter than nonce and tag.
    pub(super) fn seal_one(&self, nonce: [u8; NONCE], datagram: &mut [u8]) {
        let (front, rest) = datagram.split_at_mut(NONCE);
        front.copy_from_slice(&nonce);
        let (data, tag) = rest.split_at_mut(rest.len() - TAG);
        tag.copy_from_slice(&self.0.seal(&nonce, data));
    }

    pub(super) fn open<'a>(&self, datagram: &'a mut [u8]) -> Result<&'a mut [u8], OpenError> {
        let (nonce, sealed) = datagram.split_first_chunk_mut().ok_or(OpenError::TooShort)?;
        let len = sealed.len().checked_sub(TAG).ok_or(OpenError::TooShort)?;
        self.0.open(nonce, sealed).map_err(|Refused| OpenError::Forged)?;
        Ok(&mut sealed[..len])
    }
}

/// The tag doesn't fit.
struct Refused;

#[cfg(feature = "aws-lc-rs")]
use aws_lc::Keyed;
#[cfg(not(feature = "aws-lc-rs"))]
use rust_crypto::Keyed;

#[cfg(feature = "aws-lc-rs")]
mod aws_lc {
    use super::{NONCE, Refused, TAG};
    use aws_lc_rs::aead::{AES_128_GCM, AES_192_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

    pub(super) struct Keyed(LessSafeKey);

    impl Keyed {
        pub(super) fn new(key: &[u8]) -> Self {
            let algorithm = match key.len() {
                16 => &AES_128_GCM,
                24 => &AES_192_GCM,
                _ => &AES_256_GCM,
            };
            Self(LessSafeKey::new(UnboundKey::new(algorithm, key).expect("the length was checked")))
        }

        pub(super) fn seal(&self, nonce: &[u8; NONCE], data: &mut [u8]) -> [u8; TAG] {
            let nonce = Nonce::assume_unique_for_key(*nonce);
            let tag = self.0.seal_in_place_separate_tag(nonce, Aad::empty(), data);
            tag.expect("shorter than 64 GiB").as_ref().try_into().expect("16 bytes")
        }

        /// Decrypts all but the tag at the end.
        pub(super) fn open(&self, nonce: &[u8; NONCE], sealed: &mut [u8]) -> Result<(), Refused> {
            let nonce = Nonce::assume_unique_for_key(*nonce);
            self.0.open_in_place(nonce, Aad::empty(), sealed).map(|_| ()).map_err(|_| Refused)
        }
    }
}

/// Whether each backend makes of a plaintext what the other does, and opens what the other has sealed.
#[cfg(all(test, feature = "aws-lc-rs"))]
pub(super) fn backends_agree(key: &[u8], plaintext: &[u8]) -> bool {
    let (ours, theirs) = (rust_crypto::Keyed::new(key), Keyed::new(key));
    let nonce = [9; NONCE];
    let (mut one, mut other) = (plaintext.to_vec(), plaintext.to_vec());
    let (tag, other_tag) = (ours.seal(&nonce, &mut one), theirs.seal(&nonce, &mut other));
    one.extend(tag);
    other.extend(other_tag);
    let same = one == other;
    same && ours.open(&nonce, &mut other).is_ok()
        && theirs.open(&nonce, &mut one).is_ok()
        && one.starts_with(plaintext)
        && other.starts_with(plaintext)
}

#[cfg(any(test, not(feature = "aws-lc-rs")))]
mod rust_crypto {
    use super::{NONCE, Refused, TAG};
    use aes_gcm::{AeadInOut, Aes128Gcm, Aes256Gcm, AesGcm, KeyInit};
    use cipher::consts::U12;

    type Aes192Gcm = AesGcm<aes::Aes192, U12>;

    pub(super) enum Keyed {
        Aes128(Box<Aes128Gcm>),
        Aes192(Box<Aes192Gcm>),
        Aes256(Box<Aes256Gcm>),
    }

    macro_rules! with {
        ($keyed:expr, $cipher:ident => $done:expr) => {
            match $keyed {
                Keyed::Aes128($cipher) => $done,
                Keyed::Aes192($cipher) => $done,
                Keyed::Aes256($cipher) => $done,
            }
        };
    }

    /// `key` has the cipher's length.
    fn keyed<C: KeyInit>(key: &[u8]) -> Box<C> {
        Box::new(C::new_from_slice(key).expect("the length was checked"))
    }

    impl Keyed {
        pub(super) fn new(key: &[u8]) -> Self {
            match key.len() {
                16 => Self::Aes128(keyed(key)),
                24 => Self::Aes192(keyed(key)),
                _ => Self::Aes256(keyed(key)),
            }
        }

        pub(super) fn seal(&self, nonce: &[u8; NONCE], data: &mut [u8]) -> [u8; TAG] {
            let tag = with!(self, cipher => cipher.encrypt_inout_detached(nonce.into(), &[], data.into()));
            tag.expect("shorter than 64 GiB").into()
        }

        /// Decrypts all but the tag at the end.
        pub(super) fn open(&self, nonce: &[u8; NONCE], sealed: &mut [u8]) -> Result<(), Refused> {
            let (data, tag) = sealed.split_last_chunk_mut::<TAG>().ok_or(Refused)?;
            let tag = (&*tag).into();
            let opened =
                with!(self, cipher => cipher.decrypt_inout_detached(nonce.into(), &[], data.into(), tag));
            opened.map_err(|_| Refused)
        }
    }
}
