//! Flows of UDP and TCP: what is remembered of each pair of addresses, within bounds.

use crate::{
    above::Seal,
    conversation::{Conversation, Detail},
};
use sendoff_proto::fec::Decoder;
use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::{Hash, Hasher},
    net::SocketAddr,
};

/// Flows that are remembered at a time at most. When there are more, those that were silent longest are
/// forgotten, half of them, and their conversations told.
pub const MAX_FLOWS: usize = 16_384;

/// Conversations of all flows that are remembered at a time; there may be some thousands more for a moment. When there
/// are more, those whose flows were silent longest are forgotten.
pub const MAX_CONVERSATIONS: usize = 16_384;

/// Conversations of one flow at a time at most; the oldest is told and forgotten.
pub const MAX_CONVERSATIONS_OF_FLOW: usize = 16;

/// Directions of flows whose shards are decoded at a time at most; a decoder holds 3 MiB at most, and usually a
/// hundredth of that. Others aren't made good.
pub const MAX_DECODERS: usize = 1_024;

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

    /// Numbers that all conversations of KCP watch. Costs a walk.
    pub(crate) fn tracked(&self) -> usize {
        let of = |conversation: &Conversation| match &conversation.detail {
            Detail::Kcp(kcp) => kcp.tracked(),
            _ => 0,
        };
        self.flows.iter().flat_map(|(_, flow)| &flow.conversations).map(of).sum()
    }

    /// How many directions are decoded. Costs a walk.
    pub(crate) fn decoders(&self) -> usize {
        self.flows.iter().flat_map(|(_, flow)| &flow.decoders).filter(|decoder| decoder.is_some()).count()
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
