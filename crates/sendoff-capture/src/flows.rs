//! Flows of UDP and TCP: what is remembered of each pair of addresses, within bounds.

use crate::{
    above::Seal,
    conversation::{Conversation, Detail},
    stream::MANY_WAITING,
};
use sendoff_proto::fec::Decoder;
use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::{Hash, Hasher},
    net::SocketAddr,
};

/// Flows that are remembered at a time at most. When there are more, those that were silent longest are
/// forgotten, half of them, and their conversations told.
pub const MAX_FLOWS: usize = 4_096;

/// Conversations of all flows that are remembered at a time; there may be some thousands more for a moment. When there
/// are more, those whose flows were silent longest are forgotten.
pub const MAX_CONVERSATIONS: usize = 4_096;

/// Conversations of one flow at a time at most; the oldest is told and forgotten.
pub const MAX_CONVERSATIONS_OF_FLOW: usize = 16;

/// Bytes of memory for the shards of all flows; a direction takes 3 MiB at most, and usually a thirtieth of that. When
/// there are more, the shards of those flows are forgotten that were silent longest: they are learnt anew.
pub const MAX_SHARD_BYTES: usize = 32 << 20;

/// Conversations of KCP whose streams are put together at a time, beside the one that is followed. When there are more,
/// those give way that are over, or else the one that was silent longest: of it no more frames are told.
pub const MAX_PUT_TOGETHER: usize = 256;

/// A pair of addresses, the same for both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FlowKey {
    low: SocketAddr,
    high: SocketAddr,
    tcp: bool,
}

impl Hash for FlowKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.low.hash(state);
        self.high.hash(state);
        self.tcp.hash(state);
    }
}

impl FlowKey {
    /// The key, and which of the two directions it is: 0 or 1.
    pub(crate) fn new(source: SocketAddr, destination: SocketAddr, tcp: bool) -> (FlowKey, usize) {
        if source <= destination {
            (Self { low: source, high: destination, tcp }, 0)
        } else {
            (Self { low: destination, high: source, tcp }, 1)
        }
    }
}

/// What is remembered of a flow.
#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) seal: Seal,
    /// Forward error correction, for each direction.
    pub(crate) decoders: [Option<Box<Decoder>>; 2],
    pub(crate) conversations: Vec<Conversation>,
    /// Number of its last packet.
    last: u64,
}

impl Flow {
    /// Bytes of memory that shards take.
    pub(crate) fn shard_bytes(&self) -> usize {
        let of = |decoder: &Decoder| decoder.kept_bytes() + size_of::<Decoder>();
        self.decoders.iter().flatten().map(|decoder| of(decoder)).sum()
    }
}

/// What all flows hold together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    /// Numbers that conversations of KCP watch.
    pub(crate) tracked: usize,
    /// Bytes of memory that wait for what belongs before them.
    pub(crate) waiting: usize,
    /// Bytes of memory that shards take.
    pub(crate) shards: usize,
}

/// All flows.
#[derive(Debug, Default)]
pub(crate) struct Flows {
    places: HashMap<FlowKey, usize, RandomState>,
    flows: Vec<(FlowKey, Flow)>,
    /// Most packets are of the flow that the last one was of.
    latest: Option<(FlowKey, usize)>,
}

impl Flows {
    /// The flow, made if it is new; and what had to be forgotten for it.
    #[inline]
    pub(crate) fn entry(
        &mut self,
        key: FlowKey,
        number: u64,
        forgotten: &mut Vec<Conversation>,
    ) -> &mut Flow {
        let place = match self.latest {
            Some((latest, place)) if latest == key => place,
            _ => self.find(key, forgotten),
        };
        self.latest = Some((key, place));
        let flow = &mut self.flows[place].1;
        flow.last = number;
        flow
    }

    fn find(&mut self, key: FlowKey, forgotten: &mut Vec<Conversation>) -> usize {
        if let Some(place) = self.places.get(&key) {
            return *place;
        }
        if self.flows.len() == MAX_FLOWS {
            self.forget_half(forgotten);
        }
        let flow =
            Flow { seal: Seal::Unknown(0), decoders: [None, None], conversations: Vec::new(), last: 0 };
        self.flows.push((key, flow));
        self.places.insert(key, self.flows.len() - 1);
        self.flows.len() - 1
    }

    /// One that is known already.
    #[inline]
    pub(crate) fn get_mut(&mut self, key: FlowKey) -> Option<&mut Flow> {
        let place = match self.latest {
            Some((latest, place)) if latest == key => place,
            _ => *self.places.get(&key)?,
        };
        Some(&mut self.flows[place].1)
    }

    /// What the conversations of all flows together exceed is forgotten. Costs a walk.
    pub(crate) fn forget_if_too_many(&mut self, forgotten: &mut Vec<Conversation>) {
        while self.flows.iter().map(|(_, flow)| flow.conversations.len()).sum::<usize>() > MAX_CONVERSATIONS {
            self.forget_half(forgotten);
        }
    }

    /// Costs a walk over all, once in half of them.
    fn forget_half(&mut self, forgotten: &mut Vec<Conversation>) {
        let mut ages: Vec<u64> = self.flows.iter().map(|(_, flow)| flow.last).collect();
        let middle = ages.len() / 2;
        let (_, newest_to_go, _) = ages.select_nth_unstable(middle);
        let limit = *newest_to_go;
        let all = std::mem::take(&mut self.flows);
        self.places.clear();
        self.latest = None;
        for (key, flow) in all {
            if flow.last <= limit {
                forgotten.extend(flow.conversations);
            } else {
                self.places.insert(key, self.flows.len());
                self.flows.push((key, flow));
            }
        }
    }

    /// What all of them hold. Costs a walk.
    pub(crate) fn sums(&self) -> Sums {
        let mut sums = Sums::default();
        for (_, flow) in &self.flows {
            sums.shards += flow.shard_bytes();
            for conversation in &flow.conversations {
                sums.waiting += conversation.detail.waiting();
                if let Detail::Kcp(kcp) = &conversation.detail {
                    sums.tracked += kcp.tracked();
                }
            }
        }
        sums
    }

    /// What waits for what belongs before it is handed on: in conversations that are over, and in those that were silent
    /// longest until no more than half the bound is left; but not in the one of number `followed`. Costs a walk.
    pub(crate) fn give_up_what_waits(&mut self, followed: Option<u64>) {
        let all = self.flows.iter_mut().flat_map(|(_, flow)| &mut flow.conversations);
        let mut waiting: Vec<_> = all
            .map(|one| (one.detail.waiting(), one))
            .filter(|(bytes, one)| *bytes > 0 && followed != Some(one.number))
            .map(|(bytes, one)| (!one.detail.is_over(), one.last, bytes, one))
            .collect();
        waiting.sort_by_key(|(goes_on, last, ..)| (*goes_on, *last));
        let mut left: usize = waiting.iter().map(|(_, _, bytes, _)| bytes).sum();
        for (goes_on, _, bytes, one) in waiting {
            if goes_on && left <= MANY_WAITING / 2 {
                return;
            }
            one.detail.give_up();
            left -= bytes;
        }
    }

    /// Forgets the shards of those flows that were silent longest, half of those that have any; false if only the
    /// latest has. Costs a walk.
    pub(crate) fn forget_shards(&mut self) -> bool {
        let with_shards = |(_, flow): &&mut (FlowKey, Flow)| flow.decoders.iter().any(Option::is_some);
        let mut ages: Vec<u64> =
            self.flows.iter_mut().filter(with_shards).map(|(_, flow)| flow.last).collect();
        if ages.len() < 2 {
            return false;
        }
        let middle = (ages.len() - 1) / 2;
        let (_, newest_to_go, _) = ages.select_nth_unstable(middle);
        let limit = *newest_to_go;
        for (_, flow) in self.flows.iter_mut().filter(|(_, flow)| flow.last <= limit) {
            flow.decoders = [None, None];
        }
        true
    }

    /// All conversations; there are no flows any more.
    pub(crate) fn take_all(&mut self) -> Vec<Conversation> {
        let all = std::mem::take(self);
        all.flows.into_iter().flat_map(|(_, flow)| flow.conversations).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::BuildHasher;

    fn key(port: usize) -> FlowKey {
        let address = SocketAddr::from(([127, 0, 0, 1], (port % 60_000) as u16 + 1));
        FlowKey::new(address, SocketAddr::from(([10, 0, (port / 60_000) as u8, 1], 9)), false).0
    }

    #[test]
    fn both_directions_are_one_flow() {
        let (a, b) = ("127.0.0.1:5".parse().unwrap(), "127.0.0.1:4".parse().unwrap());
        let (there, back) = (FlowKey::new(a, b, false), FlowKey::new(b, a, false));
        assert_eq!(there.0, back.0);
        assert_ne!(there.1, back.1);
        assert_ne!(there.0, FlowKey::new(a, b, true).0);
        let hasher = RandomState::new();
        assert_eq!(hasher.hash_one(there.0), hasher.hash_one(back.0));
    }

    #[test]
    fn the_shards_of_flows_that_were_silent_longest_are_forgotten_and_never_those_of_the_latest() {
        let (mut flows, mut forgotten) = (Flows::default(), Vec::new());
        for n in 0..9 {
            flows.entry(key(n), n as u64, &mut forgotten).decoders[n % 2] = Some(Box::default());
        }
        // Nine of which five go, then four of which two go, then two, then one.
        for left in [4, 2, 1] {
            assert!(flows.forget_shards());
            let mut with: Vec<u64> = Vec::new();
            with.extend(
                flows.flows.iter().filter(|(_, flow)| flow.shard_bytes() > 0).map(|(_, flow)| flow.last),
            );
            assert_eq!(with, (9 - left..9).collect::<Vec<u64>>());
        }
        assert!(!flows.forget_shards());
        assert_eq!(flows.sums().shards, size_of::<Decoder>());
    }

    #[test]
    fn the_flows_that_were_silent_longest_are_forgotten() {
        let (mut flows, mut forgotten) = (Flows::default(), Vec::new());
        for n in 0..MAX_FLOWS {
            flows.entry(key(n), n as u64, &mut forgotten);
        }
        // The first one speaks again.
        flows.entry(key(0), MAX_FLOWS as u64, &mut forgotten);
        flows.entry(key(MAX_FLOWS), MAX_FLOWS as u64 + 1, &mut forgotten);
        assert!(flows.flows.len() <= MAX_FLOWS / 2 + 1 && flows.flows.len() > MAX_FLOWS / 4);
        assert!(flows.get_mut(key(0)).is_some());
        assert!(flows.get_mut(key(1)).is_none());
        assert!(flows.get_mut(key(MAX_FLOWS)).is_some());
        assert_eq!(flows.get_mut(key(MAX_FLOWS - 1)).unwrap().last, MAX_FLOWS as u64 - 1);
    }
}
