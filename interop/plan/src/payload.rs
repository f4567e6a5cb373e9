//! The bytes of a transfer, and how they are cut into writes or messages.

use sha2::{Digest, Sha256};

/// An endless seeded payload: h0 = SHA-256(seed), h(i+1) = SHA-256(h(i)), the hashes joined.
#[derive(Clone, Debug)]
pub struct Payload {
    block: [u8; 32],
    used: usize,
}

impl Payload {
    /// The payload of this name.
    pub fn new(seed: &str) -> Self {
        Self { block: Sha256::digest(seed).into(), used: 0 }
    }

    /// Writes the next bytes into all of `buffer`.
    pub fn fill(&mut self, mut buffer: &mut [u8]) {
        while !buffer.is_empty() {
            if self.used == self.block.len() {
                self.block = Sha256::digest(self.block).into();
                self.used = 0;
            }
            let length = buffer.len().min(self.block.len() - self.used);
            buffer[..length].copy_from_slice(&self.block[self.used..][..length]);
            self.used += length;
            buffer = &mut buffer[length..];
        }
    }

    /// The next `length` bytes.
    pub fn take(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.fill(&mut bytes);
        bytes
    }
}

/// A running SHA-256.
#[derive(Clone, Debug, Default)]
pub struct Sum(Sha256);

impl Sum {
    /// Adds these bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash of all bytes so far, in hexadecimal.
    pub fn hex(&self) -> String {
        self.0.clone().finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The SHA-256 of the first `length` bytes of the payload `seed`, in hexadecimal.
pub fn sha256_of(seed: &str, length: usize) -> String {
    let mut sum = Sum::default();
    sum.update(&Payload::new(seed).take(length));
    sum.hex()
}

/// The sizes of writes or messages: the given ones in turn, the last one cut to the total.
#[derive(Clone, Debug)]
pub struct Chunks {
    sizes: Vec<usize>,
    next: usize,
    left: usize,
}

impl Chunks {
    /// Cuts `total` bytes. `sizes` must not be empty nor hold a 0.
    pub fn new(sizes: &[usize], total: usize) -> Self {
        assert!(!sizes.is_empty() && !sizes.contains(&0), "sizes must be positive: {sizes:?}");
        Self { sizes: sizes.to_vec(), next: 0, left: total }
    }
}

impl Iterator for Chunks {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        if self.left == 0 {
            return None;
        }
        let size = self.sizes[self.next % self.sizes.len()].min(self.left);
        self.next += 1;
        self.left -= size;
        Some(size)
    }
}

/// Checks what arrives, byte by byte, and for messages each boundary.
#[derive(Debug)]
pub struct Checker {
    source: Payload,
    messages: Option<Chunks>,
    expected: usize,
    received: usize,
    scratch: Vec<u8>,
    sum: Sum,
}

impl Checker {
    /// Expects `expected` bytes of the payload `seed`, as a stream (`None`) or in these messages.
    pub fn new(seed: &str, expected: usize, messages: Option<Chunks>) -> Self {
        let source = Payload::new(seed);
        Self { source, messages, expected, received: 0, scratch: Vec::new(), sum: Sum::default() }
    }

    /// Takes what one read returned: some bytes of the stream, or one message.
    pub fn take(&mut self, bytes: &[u8]) -> Result<(), String> {
        if bytes.is_empty() {
            return Err(format!("end after {} of {} bytes", self.received, self.expected));
        }
        if let Some(messages) = &mut self.messages {
            let size = messages.next().unwrap_or(0);
            if size != bytes.len() {
                return Err(format!(
                    "message at byte {} has {} bytes, not {size}",
                    self.received,
                    bytes.len()
                ));
            }
        }
        self.scratch.resize(bytes.len(), 0);
        self.source.fill(&mut self.scratch);
        if let Some(at) = bytes.iter().zip(&self.scratch).position(|(got, wanted)| got != wanted) {
            return Err(format!("byte {} is wrong", self.received + at));
        }
        self.sum.update(bytes);
        self.received += bytes.len();
        if self.received > self.expected {
            return Err(format!("{} bytes too many", self.received - self.expected));
        }
        Ok(())
    }

    /// Whether all has arrived.
    pub fn is_complete(&self) -> bool {
        self.received == self.expected
    }

    /// Bytes that have arrived and are right.
    pub fn received(&self) -> usize {
        self.received
    }

    /// The SHA-256 of what has arrived, in hexadecimal.
    pub fn sha256(&self) -> String {
        self.sum.hex()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payload_is_the_chain_of_hashes() {
        // SHA-256 of "a", then the SHA-256 of those 32 bytes.
        let bytes = Payload::new("a").take(34);
        assert_eq!(bytes[..4], [0xca, 0x97, 0x81, 0x12]);
        assert_eq!(bytes[32..], [0xbf, 0x5d]);
    }

    #[test]
    fn payload_does_not_depend_on_how_it_is_taken() {
        let whole = Payload::new("x").take(1_000);
        let mut source = Payload::new("x");
        let pieces: Vec<u8> = [1, 31, 32, 33, 500, 403].iter().flat_map(|n| source.take(*n)).collect();
        assert_eq!(whole, pieces);
    }

    #[test]
    fn chunks_turn_and_end_at_the_total() {
        assert_eq!(Chunks::new(&[3, 5], 12).collect::<Vec<_>>(), [3, 5, 3, 1]);
    }

    #[test]
    fn checker_names_the_first_wrong_byte_and_a_moved_boundary() {
        let mut bytes = Payload::new("x").take(100);
        let sizes = || Some(Chunks::new(&[60, 40], 100));
        let mut checker = Checker::new("x", 100, sizes());
        checker.take(&bytes[..60]).unwrap();
        checker.take(&bytes[60..]).unwrap();
        assert!(checker.is_complete());
        assert_eq!(checker.sha256(), sha256_of("x", 100));

        let moved = Checker::new("x", 100, sizes()).take(&bytes[..59]).unwrap_err();
        assert_eq!(moved, "message at byte 0 has 59 bytes, not 60");
        bytes[7] ^= 1;
        assert_eq!(Checker::new("x", 100, None).take(&bytes).unwrap_err(), "byte 7 is wrong");
    }

    #[test]
    fn checker_refuses_what_was_never_sent() {
        let bytes = Payload::new("x").take(101);
        assert_eq!(Checker::new("x", 100, None).take(&bytes).unwrap_err(), "1 bytes too many");
        assert_eq!(Checker::new("x", 100, None).take(&[]).unwrap_err(), "end after 0 of 100 bytes");
    }
}
