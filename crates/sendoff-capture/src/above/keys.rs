//! The ciphers that are tried, and which of them a flow is sealed with.

use sendoff_proto::{Cipher, Crypt, Opener};

/// Datagrams of a flow that are tried with every cipher, before it is given up.
pub const MAX_TRIES: u8 = 8;

/// What is known of the seal.
#[derive(Clone, Default)]
pub struct KeyOptions {
    /// The cipher, if it is known; else it is found by trying.
    pub cipher: Option<Cipher>,
    /// kcptun's secret, from which the keys are made; without it only `none` can be opened.
    pub secret: Option<Vec<u8>>,
}

/// Without the secret.
impl std::fmt::Debug for KeyOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let secret = self.secret.as_ref().map(|_| "MASKED");
        f.debug_struct("KeyOptions").field("cipher", &self.cipher).field("secret", &secret).finish()
    }
}

/// The ciphers to try, with their keys.
#[derive(Debug)]
pub(crate) struct Keys {
    openers: Vec<Opener>,
    /// The one that opened something last: other flows will have it too.
    favourite: usize,
    /// Whether a secret was given, so that not to open is remarkable.
    pub(crate) secret_given: bool,
}

/// How a flow is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seal {
    /// Not known; so many datagrams have been tried.
    Unknown(u8),
    /// Not at all.
    Clear,
    /// With this one of the openers.
    With(usize),
}

impl Keys {
    pub(crate) fn new(options: &KeyOptions) -> Self {
        let secret = options.secret.as_deref();
        let tried: Vec<Cipher> = match (options.cipher, secret) {
            (Some(cipher), _) => vec![cipher],
            (None, Some(_)) => Cipher::ALL.to_vec(),
            (None, None) => vec![Cipher::None],
        };
        let sealed = tried.into_iter().filter(|cipher| *cipher != Cipher::Null);
        let openers = sealed.map(|cipher| Crypt::kcptun(cipher, secret.unwrap_or_default()).opener());
        Self { openers: openers.collect(), favourite: 0, secret_given: secret.is_some() }
    }

    /// How many ciphers are tried.
    pub(crate) fn len(&self) -> usize {
        self.openers.len()
    }

    pub(crate) fn cipher(&self, index: usize) -> Cipher {
        self.openers[index].crypt().cipher()
    }

    /// Opens a datagram; where its content lies in `out` then.
    #[inline]
    pub(crate) fn open(
        &self,
        index: usize,
        datagram: &[u8],
        out: &mut Vec<u8>,
    ) -> Option<std::ops::Range<usize>> {
        out.clear();
        out.extend_from_slice(datagram);
        let len = self.openers[index].open(out).ok()?.len();
        let front = self.openers[index].crypt().front();
        Some(front..front + len)
    }

    /// Tries all on the datagram of a flow of which nothing is known.
    pub(crate) fn find(
        &mut self,
        datagram: &[u8],
        out: &mut Vec<u8>,
    ) -> Option<(usize, std::ops::Range<usize>)> {
        let first = std::iter::once(self.favourite);
        for index in first.chain((0..self.openers.len()).filter(|index| *index != self.favourite)) {
            if index >= self.openers.len() {
                continue;
            }
            // A CRC of 32 bits fits by chance once in 2^32.
            if let Some(range) = self.open(index, datagram, out) {
                self.favourite = index;
                return Some((index, range));
            }
        }
        None
    }
}
