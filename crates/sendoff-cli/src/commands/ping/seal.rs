//! Probes through a cipher.

use anyhow::Context;
use sendoff::{Crypt, Opener, Sealer};

pub struct Seal {
    sealer: Sealer,
    opener: Opener,
    failed: u64,
}

impl Seal {
    /// # Errors
    /// When the system has no randomness.
    pub fn new(crypt: &Crypt) -> anyhow::Result<Self> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).context("no randomness")?;
        Ok(Self { sealer: crypt.sealer(seed), opener: crypt.opener(), failed: 0 })
    }

    pub fn crypt(&self) -> &Crypt {
        self.sealer.crypt()
    }

    pub fn seal(&self, segments: &[u8]) -> Vec<u8> {
        let crypt = self.crypt();
        let mut datagram = [&vec![0; crypt.front()], segments, &vec![0; crypt.back()]].concat();
        let size = datagram.len();
        self.sealer.seal_batch(&mut datagram, size);
        datagram
    }

    /// What is in a datagram that came; counts those that can't be opened.
    pub fn open<'a>(&mut self, datagram: &'a mut [u8]) -> Option<&'a [u8]> {
        let opened = self.opener.open(datagram).ok();
        self.failed += u64::from(opened.is_none());
        opened.map(|opened| &*opened)
    }

    /// Datagrams that could not be opened.
    pub fn failed(&self) -> u64 {
        self.failed
    }
}
