//! What all but AEAD have in common: `nonce 16 | CRC-32 4 | content`.
//!
//! kcp-go encrypts the nonce too, and throws it away when it has decrypted it. A random nonce that is
//! encrypted is as random as one that isn't, so here the nonces are put on the wire as they were drawn,
//! and both directions begin with the CRC.

use super::{OpenError, nonce::Nonces};

pub(super) const NONCE: usize = 16;
pub(super) const HEADER: usize = NONCE + 4;

/// Datagrams that are worked on at a time: what they hold stays in the nearest cache.
pub(super) const GROUP: usize = 8;

/// How the bytes behind the nonce are encrypted.
pub(super) trait BlockMode: Send + Sync {
    /// Encrypts datagrams that lie one behind the other, all of `datagram_size` bytes but a shorter last one, from byte 16 on.
    /// Each has its nonce, and is no shorter than the header.
    fn encrypt(&self, datagrams: &mut [u8], datagram_size: usize);

    /// Decrypts one from byte 16 on. It is no shorter than the header.
    fn decrypt(&self, datagram: &mut [u8]);
}

/// `none`.
pub(super) struct Plain;

impl BlockMode for Plain {
    fn encrypt(&self, _: &mut [u8], _: usize) {}

    fn decrypt(&self, _: &mut [u8]) {}
}

pub(super) fn seal(mode: &dyn BlockMode, nonces: &Nonces, contents: &mut [u8], datagram_size: usize) {
    let contents = whole(contents, datagram_size, HEADER);
    if contents.is_empty() {
        return;
    }
    let mut drawn = nonces.draw(contents.len().div_ceil(datagram_size));
    for group in contents.chunks_mut(datagram_size.saturating_mul(GROUP)) {
        drawn.fill(group, datagram_size);
        seal_group(mode, group, datagram_size);
    }
}

/// Seals datagrams that have their nonces.
pub(super) fn seal_group(mode: &dyn BlockMode, group: &mut [u8], datagram_size: usize) {
    for datagram in group.chunks_mut(datagram_size) {
        let (header, content) = datagram.split_at_mut(HEADER);
        header[NONCE..].copy_from_slice(&crc32fast::hash(content).to_le_bytes());
    }
    mode.encrypt(group, datagram_size);
}

pub(super) fn open<'a>(mode: &dyn BlockMode, datagram: &'a mut [u8]) -> Result<&'a mut [u8], OpenError> {
    if datagram.len() < HEADER {
        return Err(OpenError::TooShort);
    }
    mode.decrypt(datagram);
    let (header, content) = datagram.split_at_mut(HEADER);
    if header[NONCE..] != crc32fast::hash(content).to_le_bytes() {
        return Err(OpenError::Forged);
    }
    Ok(content)
}

/// Without the datagrams that are shorter than their `overhead`: all, or the last.
pub(super) fn whole(contents: &mut [u8], datagram_size: usize, overhead: usize) -> &mut [u8] {
    if datagram_size < overhead {
        return &mut [];
    }
    let last = contents.len() % datagram_size;
    let len = if last < overhead { contents.len() - last } else { contents.len() };
    &mut contents[..len]
}
