//! What is around the segments of a datagram on the wire: the cipher of one socket, at work.
//!
//! Everything that leaves a socket is sealed here, once and in place, after it was written and before the
//! system gets it; everything that comes is opened here before anyone looks at it.

use crate::{Config, EndpointStats};
use sendoff_proto::{Crypt, Opener, Sealer};
use std::{
    io,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

/// Datagrams sealed with one key from which on another should be used: AES-GCM's nonces have 96 bits, and with
/// many senders that begin at random a collision is no longer out of the question.
const NONCES_WARNED: u64 = 1 << 48;

/// The longest datagram that is sealed apart from a batch, a PONG of the table: segments and room.
pub(super) const MAX_SMALL: usize = 128;

pub(super) struct Envelope {
    sealer: Sealer,
    opener: Opener,
    is_null: bool,
    /// Its nonces come from a counter.
    counts_nonces: bool,
    pub(super) front: usize,
    pub(super) back: usize,
    sealed: AtomicU64,
    opened: AtomicU64,
    failed: AtomicU64,
    warned: AtomicBool,
}

impl Envelope {
    pub(super) fn new(config: &Config) -> io::Result<Self> {
        let crypt = config.crypt_value();
        let (front, back) = (crypt.front(), crypt.back());
        Ok(Self {
            sealer: crypt.sealer(super::random_seed()?),
            opener: crypt.opener(),
            is_null: crypt.overhead() == 0,
            counts_nonces: crypt.cipher().is_aead(),
            front,
            back,
            sealed: AtomicU64::new(0),
            opened: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            warned: AtomicBool::new(false),
        })
    }

    /// Whether what `crypt` seals can be opened here: it is the same cipher with the same key.
    pub(super) fn is_of(&self, crypt: &Crypt) -> io::Result<bool> {
        if crypt.cipher() != self.opener.crypt().cipher() {
            return Ok(false);
        }
        let mut sample = vec![0; crypt.overhead() + 24];
        let size = sample.len();
        crypt.sealer(super::random_seed()?).seal_batch(&mut sample, size);
        Ok(self.opener.open(&mut sample).is_ok())
    }

    /// Whether what is on the wire is what was written.
    #[inline]
    pub(super) fn is_null(&self) -> bool {
        self.is_null
    }

    /// Seals a batch where it lies, with the room that was left in it.
    pub(super) fn seal(&self, contents: &mut [u8], datagram_size: usize) {
        if self.is_null || contents.is_empty() {
            return;
        }
        self.sealer.seal_batch(contents, datagram_size);
        let datagrams = contents.len().div_ceil(datagram_size.max(1)) as u64;
        self.sealed.fetch_add(datagrams, Ordering::Relaxed);
        if self.counts_nonces && self.is_worn(self.sealer.nonces_used()) {
            tracing::warn!(
                "2^48 datagrams are sealed with one key: AES-GCM is not made for that many, use another key"
            );
        }
    }

    /// Whether it is time to say that the key is worn: once.
    fn is_worn(&self, nonces: u64) -> bool {
        nonces >= NONCES_WARNED && !self.warned.swap(true, Ordering::Relaxed)
    }

    /// What is in a datagram; `None` if it isn't of this cipher and key.
    #[inline]
    pub(super) fn open<'a>(&self, datagram: &'a mut [u8]) -> Option<&'a mut [u8]> {
        if self.is_null { Some(datagram) } else { self.opener.open(datagram).ok() }
    }

    /// So many of what came could be opened, and so many not.
    pub(super) fn count(&self, opened: u64, failed: u64) {
        if !self.is_null {
            self.opened.fetch_add(opened, Ordering::Relaxed);
            self.failed.fetch_add(failed, Ordering::Relaxed);
        }
    }

    pub(super) fn add_to(&self, stats: &mut EndpointStats) {
        stats.datagrams_sealed = self.sealed.load(Ordering::Relaxed);
        stats.datagrams_opened = self.opened.load(Ordering::Relaxed);
        stats.failed_to_open = self.failed.load(Ordering::Relaxed);
        stats.overhead_bytes = stats.datagrams_sealed * (self.front + self.back) as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worn_key_is_told_of_once() {
        let envelope = Envelope::new(&Config::new()).unwrap();
        assert!(!envelope.is_worn(NONCES_WARNED - 1));
        assert!(envelope.is_worn(NONCES_WARNED));
        assert!(!envelope.is_worn(NONCES_WARNED + 1));
    }
}
