//! Puts fragments of IP packets together, within bounds (RFC 791, section 3.2; RFC 8200, section 4.5).

use super::{Ip, ip::Fragment};
use std::net::IpAddr;

/// Packets in pieces at a time at most; the oldest gives way. Each has 64 KiB at most.
pub const MAX_FRAGMENTED: usize = 256;

/// Bytes of a packet at most.
const MAX_PACKET: usize = 65_535;

/// Pieces of one packet at most.
const MAX_PIECES: usize = 1_024;

/// What a fragment came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FragmentNews {
    /// Others are missing.
    Waiting {
        /// Where it belongs, in bytes.
        offset: usize,
        /// Names the packet.
        id: u32,
    },
    /// The packet is whole.
    Whole {
        /// Of how many pieces.
        pieces: usize,
    },
    /// It lies over another one, with which it can't be joined; or it says what can't be.
    Refused {
        /// Where it would belong, in bytes.
        offset: usize,
        /// Names the packet.
        id: u32,
    },
    /// It has been there already.
    Repeated {
        /// Where it belongs, in bytes.
        offset: usize,
        /// Names the packet.
        id: u32,
    },
}

#[derive(Debug)]
struct Pending {
    source: IpAddr,
    destination: IpAddr,
    /// Of IPv4 only: there it belongs to the name of a packet.
    protocol: Option<u8>,
    id: u32,
    bytes: Vec<u8>,
    pieces: Vec<(usize, usize)>,
    /// Known when the last piece is there.
    total: Option<usize>,
    /// What the first piece says that it is.
    above: Option<u8>,
}

/// The packets that aren't whole yet, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Fragments {
    pending: Vec<Pending>,
    /// Packets that gave way before they were whole.
    pub(crate) given_up: u64,
}

impl Fragments {
    /// Takes a piece. When the packet is whole, `whole` has its payload, and its protocol is returned too.
    pub(crate) fn push(
        &mut self,
        ip: &Ip,
        fragment: Fragment,
        payload: &[u8],
        whole: &mut Vec<u8>,
    ) -> (FragmentNews, Option<u8>) {
        let (id, offset) = (fragment.id, fragment.offset);
        let refused = (FragmentNews::Refused { offset, id }, None);
        let end = offset + payload.len();
        // All but the last piece have a multiple of 8 bytes; one that is cut off can't be used.
        let uneven = fragment.more && !payload.len().is_multiple_of(8);
        if payload.is_empty() || uneven || end > MAX_PACKET || ip.missing > 0 {
            return refused;
        }
        let at = self.find_or_insert(ip, id);
        let pending = &mut self.pending[at];
        if pending.pieces.contains(&(offset, end)) {
            return (FragmentNews::Repeated { offset, id }, None);
        }
        let overlaps = pending.pieces.iter().any(|&(from, to)| from < end && offset < to);
        let past = pending.total.is_some_and(|total| end > total);
        let second_end = !fragment.more && pending.bytes.len() > end;
        if overlaps || past || second_end || pending.pieces.len() == MAX_PIECES {
            return refused;
        }
        if pending.bytes.len() < end {
            pending.bytes.resize(end, 0);
        }
        pending.bytes[offset..end].copy_from_slice(payload);
        pending.pieces.push((offset, end));
        if !fragment.more {
            pending.total = Some(end);
        }
        if offset == 0 {
            pending.above = Some(ip.protocol);
        }
        let there: usize = pending.pieces.iter().map(|(from, to)| to - from).sum();
        if pending.total != Some(there) {
            return (FragmentNews::Waiting { offset, id }, None);
        }
        let done = self.pending.remove(at);
        *whole = done.bytes;
        (FragmentNews::Whole { pieces: done.pieces.len() }, done.above)
    }

    fn find_or_insert(&mut self, ip: &Ip, id: u32) -> usize {
        let protocol = ip.is_v4().then_some(ip.protocol);
        let is_it = |p: &Pending| {
            p.id == id && p.source == ip.source && p.destination == ip.destination && p.protocol == protocol
        };
        if let Some(at) = self.pending.iter().position(is_it) {
            return at;
        }
        if self.pending.len() == MAX_FRAGMENTED {
            self.pending.remove(0);
            self.given_up += 1;
        }
        self.pending.push(Pending {
            source: ip.source,
            destination: ip.destination,
            protocol,
            id,
            bytes: Vec::new(),
            pieces: Vec::new(),
            total: None,
            above: None,
        });
        self.pending.len() - 1
    }

    /// Packets of which pieces are missing still.
    pub(crate) fn incomplete(&self) -> usize {
        self.pending.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::{Source, Span};
    use proptest::prelude::*;

    const NOWHERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);

    fn ip() -> Ip {
        Ip {
            source: NOWHERE,
            destination: NOWHERE,
            protocol: 17,
            payload: Span::new(Source::Packet, 0, 0),
            missing: 0,
            fragment: None,
        }
    }

    fn push(fragments: &mut Fragments, id: u32, offset: usize, more: bool, data: &[u8]) -> FragmentNews {
        fragments.push(&ip(), Fragment { id, offset, more }, data, &mut Vec::new()).0
    }

    #[test]
    fn what_lies_over_another_piece_is_refused_and_a_copy_is_told() {
        let mut fragments = Fragments::default();
        assert_eq!(push(&mut fragments, 1, 0, true, &[1; 16]), FragmentNews::Waiting { offset: 0, id: 1 });
        assert_eq!(push(&mut fragments, 1, 8, true, &[2; 16]), FragmentNews::Refused { offset: 8, id: 1 });
        assert_eq!(push(&mut fragments, 1, 0, true, &[1; 16]), FragmentNews::Repeated { offset: 0, id: 1 });
        assert_eq!(push(&mut fragments, 1, 16, false, &[3; 5]), FragmentNews::Whole { pieces: 2 });
        assert_eq!(fragments.incomplete(), 0);
    }

    #[test]
    fn what_can_be_no_piece_is_refused() {
        let mut fragments = Fragments::default();
        for (offset, more, len) in [(0, true, 7), (0, true, 0), (65_528, false, 16)] {
            let refused = FragmentNews::Refused { offset, id: 9 };
            assert_eq!(push(&mut fragments, 9, offset, more, &vec![0; len]), refused);
        }
        push(&mut fragments, 9, 8, false, &[0; 8]);
        assert_eq!(push(&mut fragments, 9, 16, true, &[0; 8]), FragmentNews::Refused { offset: 16, id: 9 });
    }

    #[test]
    fn the_oldest_gives_way() {
        let mut fragments = Fragments::default();
        for id in 0..=MAX_FRAGMENTED as u32 {
            push(&mut fragments, id, 0, true, &[0; 8]);
        }
        assert_eq!((fragments.incomplete(), fragments.given_up), (MAX_FRAGMENTED, 1));
        let late = push(&mut fragments, 0, 8, false, &[0; 8]);
        assert_eq!(late, FragmentNews::Waiting { offset: 8, id: 0 });
    }

    proptest! {
        #[test]
        fn pieces_in_any_order_make_the_packet(
            data in proptest::collection::vec(any::<u8>(), 1..4_000),
            cuts in proptest::collection::btree_set(1..500usize, 0..20),
            order in proptest::collection::vec(any::<u32>(), 21),
        ) {
            let mut ends: Vec<usize> = cuts.iter().map(|cut| cut * 8).filter(|cut| *cut < data.len()).collect();
            ends.push(data.len());
            let starts = std::iter::once(0).chain(ends.iter().copied());
            let mut pieces: Vec<(usize, usize)> = starts.zip(ends.iter().copied()).collect();
            let mut keys = order.iter().cycle();
            pieces.sort_by_cached_key(|_| *keys.next().unwrap());
            let (mut fragments, mut whole) = (Fragments::default(), Vec::new());
            for (n, &(from, to)) in pieces.iter().enumerate() {
                let fragment = Fragment { id: 5, offset: from, more: to < data.len() };
                let (news, above) = fragments.push(&ip(), fragment, &data[from..to], &mut whole);
                if n + 1 == pieces.len() {
                    prop_assert_eq!((news, above), (FragmentNews::Whole { pieces: pieces.len() }, Some(17)));
                } else {
                    prop_assert_eq!(news, FragmentNews::Waiting { offset: from, id: 5 });
                }
            }
            prop_assert_eq!(whole, data);
        }
    }
}
