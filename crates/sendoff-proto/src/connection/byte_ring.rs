//! A ring of bytes that grows by doubling and can be given back when it is empty.

#[derive(Clone, Debug, Default)]
pub(crate) struct ByteRing {
    /// Empty, or a power of two in size.
    bytes: Box<[u8]>,
    head: usize,
    len: usize,
}

impl ByteRing {
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn capacity(&self) -> usize {
        self.bytes.len()
    }

    /// Appends `data`.
    #[inline]
    pub(crate) fn push(&mut self, data: &[u8]) {
        if self.len + data.len() > self.bytes.len() {
            self.grow(self.len + data.len());
        }
        let mask = self.bytes.len().wrapping_sub(1);
        let start = (self.head + self.len) & mask;
        let first = data.len().min(self.bytes.len() - start);
        self.bytes[start..start + first].copy_from_slice(&data[..first]);
        self.bytes[..data.len() - first].copy_from_slice(&data[first..]);
        self.len += data.len();
    }

    /// Takes up to `max` bytes from the front, in at most two pieces; returns how many.
    #[inline]
    pub(crate) fn pop(&mut self, max: usize, mut take: impl FnMut(&[u8])) -> usize {
        let n = max.min(self.len);
        let (front, back) = self.as_slices();
        let first = n.min(front.len());
        take(&front[..first]);
        if first < n {
            take(&back[..n - first]);
        }
        self.len -= n;
        // An empty ring starts over: a reader that keeps up stays in a few cache lines.
        self.head = if self.len == 0 { 0 } else { (self.head + n) & (self.bytes.len() - 1) };
        n
    }

    fn as_slices(&self) -> (&[u8], &[u8]) {
        let end = self.head + self.len;
        if end <= self.bytes.len() {
            (&self.bytes[self.head..end], &[])
        } else {
            (&self.bytes[self.head..], &self.bytes[..end - self.bytes.len()])
        }
    }

    #[cold]
    fn grow(&mut self, needed: usize) {
        let mut bytes = vec![0; needed.next_power_of_two().max(64)].into_boxed_slice();
        let (front, back) = self.as_slices();
        bytes[..front.len()].copy_from_slice(front);
        bytes[front.len()..self.len].copy_from_slice(back);
        self.bytes = bytes;
        self.head = 0;
    }

    /// Gives the memory back if nothing is stored.
    pub(crate) fn release(&mut self) {
        if self.len == 0 {
            *self = Self::default();
        }
    }

    /// Drops what is stored, and the memory.
    pub(crate) fn discard(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    #[test]
    fn behaves_as_a_queue_across_wraps_and_growth() {
        let (mut ring, mut model) = (ByteRing::default(), VecDeque::new());
        let mut next = 0u8;
        let mut out = Vec::new();
        for step in 0..5_000usize {
            let chunk: Vec<u8> = (0..step * 7 % 600)
                .map(|_| {
                    next = next.wrapping_add(1);
                    next
                })
                .collect();
            ring.push(&chunk);
            model.extend(&chunk);
            out.clear();
            let n = ring.pop(step * 11 % 700, |piece| out.extend_from_slice(piece));
            assert_eq!(n, model.len().min(step * 11 % 700));
            let expected: Vec<u8> = model.drain(..n).collect();
            assert_eq!(out, expected);
            assert_eq!(ring.len(), model.len());
        }
        while ring.pop(700, |_| {}) > 0 {}
        ring.release();
        assert_eq!(ring.capacity(), 0);
    }
}
