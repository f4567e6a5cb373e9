//! What remains of a connection for a while: its name and tokens, so that late copies of its datagrams open
//! no other, and its peer can learn how it ended.

use super::answers::Answer;
use crate::{
    connection::{Remains, Rest, code},
    seq::{Conv, SeqNumber},
    wire::{Block, BlockKind, Body, Command, SegmentView, Token, segments},
};
use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    net::SocketAddr,
    time::{Duration, Instant},
};

/// Longer than any copy of a datagram is expected to stay in the network.
pub(super) const LIFETIME: Duration = Duration::from_secs(10);

/// Tombstones at most; the oldest goes first.
const MAX_TOMBSTONES: usize = 65_536;

/// The same for connections that were never proven: a flood evicts only its like.
const MAX_UNPROVEN: usize = 4_096;

/// A RESET shorter than this many bytes of cause would be longer than it.
const RESET_SIZE: usize = BlockKind::Reset.segment_size();

pub(super) type Name = (SocketAddr, Conv);

/// Each kind of answer is given once a timeout.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Ack,
    Pong,
    Reset,
}

#[derive(Clone, Debug)]
pub(super) struct Tombstone {
    pub(super) until: Instant,
    pub(super) own: Token,
    pub(super) peer: Option<Token>,
    pub(super) una: SeqNumber,
    pub(super) rest: Rest,
    pub(super) rto: Duration,
    pub(super) answered: [Option<Instant>; 3],
}

/// What a late datagram gets.
#[derive(Clone, Copy, Debug)]
pub(super) enum Verdict {
    Answer(Answer),
    Silence,
    /// Silence, but the conversation went on elsewhere, and may have ended there since.
    Moved,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Tombstones {
    pub(super) proven: Graveyard,
    pub(super) unproven: Graveyard,
    /// RESETs to be sent again: when, to whom, and how many follow.
    pub(super) repeats: BTreeSet<(Instant, SocketAddr, u32, u8)>,
    stay_until: Option<Instant>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Graveyard {
    pub(super) stones: HashMap<Name, Tombstone>,
    /// Where those ended whose peers may come from another address; of the proven only.
    tokens: HashMap<Token, SocketAddr>,
    order: VecDeque<(Instant, Name)>,
}

impl Graveyard {
    fn insert(&mut self, now: Instant, max: usize, name: Name, stone: Tombstone) {
        self.expire(now);
        if self.order.len() >= max {
            self.pop();
        }
        let own = stone.own;
        self.order.push_back((stone.until, name));
        let former = self.stones.insert(name, stone);
        if let Some(former) = former
            && former.own != own
        {
            self.tokens.remove(&former.own);
        }
    }

    fn expire(&mut self, now: Instant) {
        while self.order.front().is_some_and(|&(until, _)| until <= now) {
            self.pop();
        }
        if self.order.is_empty() && self.stones.capacity() > 64 {
            *self = Self::default();
        }
    }

    fn pop(&mut self) {
        let Some((until, name)) = self.order.pop_front() else { return };
        // The same name may have been entered again since: then the later one counts.
        if self.stones.get(&name).is_some_and(|stone| stone.until == until)
            && let Some(stone) = self.stones.remove(&name)
            && stone.is_found_by_token()
        {
            self.tokens.remove(&stone.own);
        }
    }
}

impl Tombstones {
    pub(super) fn bury(&mut self, now: Instant, remote: SocketAddr, conv: Conv, remains: &Remains) {
        if remains.rest == Rest::Gone {
            return;
        }
        let stone = Tombstone {
            until: now + LIFETIME,
            own: remains.own,
            peer: remains.peer,
            una: remains.una,
            rest: remains.rest,
            rto: remains.rto,
            answered: [None; 3],
        };
        let name = (remote, conv);
        if remains.unproven {
            self.unproven.insert(now, MAX_UNPROVEN, name, stone);
        } else {
            let token = stone.is_found_by_token().then_some(stone.own);
            self.proven.insert(now, MAX_TOMBSTONES, name, stone);
            self.proven.tokens.extend(token.map(|token| (token, remote)));
        }
        if remains.repeats > 0 {
            self.repeats.insert((now + remains.rto, remote, conv.value(), remains.repeats - 1));
        }
        if remains.stay > Duration::ZERO {
            self.stay_until = self.stay_until.max(Some(now + remains.stay));
        }
    }

    fn get_mut(&mut self, now: Instant, name: Name) -> Option<&mut Tombstone> {
        self.proven.expire(now);
        self.unproven.expire(now);
        match self.proven.stones.get_mut(&name) {
            Some(stone) => Some(stone),
            None => self.unproven.stones.get_mut(&name),
        }
    }

    /// Where the conversation has ended that has this token of ours.
    pub(super) fn address_of(&self, own: Token, conv: Conv) -> Option<SocketAddr> {
        let remote = *self.proven.tokens.get(&own)?;
        self.proven.stones.contains_key(&(remote, conv)).then_some(remote)
    }

    pub(super) fn contains(&mut self, now: Instant, remote: SocketAddr, conv: Conv) -> bool {
        self.get_mut(now, (remote, conv)).is_some()
    }

    pub(super) fn len(&self) -> usize {
        self.proven.order.len() + self.unproven.order.len()
    }

    /// Until when the process should stay, in case a last acknowledgement or RESET was lost.
    pub(super) fn stay_until(&self) -> Option<Instant> {
        self.stay_until
    }

    pub(super) fn next_repeat(&self) -> Option<Instant> {
        self.repeats.first().map(|&(at, ..)| at)
    }

    /// A RESET that is to be sent again now.
    pub(super) fn take_repeat(&mut self, now: Instant) -> Option<(SocketAddr, Answer)> {
        while let Some(&(at, remote, conv, more)) = self.repeats.first()
            && at <= now
        {
            self.repeats.pop_first();
            let Some(conv) = Conv::new(conv) else { continue };
            let Some(stone) = self.get_mut(now, (remote, conv)) else { continue };
            let (rto, peer, rest) = (stone.rto, stone.peer, stone.rest);
            let Rest::Reset(code) = rest else { continue };
            if more > 0 {
                // The second at one timeout, the third at three.
                self.repeats.insert((now + rto * 2, remote, conv.value(), more - 1));
            }
            return Some((remote, Answer::reset(conv, peer, code)));
        }
        None
    }

    /// How a datagram of a conversation that has ended is met; `None` if there is no tombstone.
    pub(super) fn meet(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        conv: Conv,
        datagram: &[u8],
    ) -> Option<Verdict> {
        let stone = self.get_mut(now, (remote, conv))?;
        let answer = stone.answer(conv, datagram);
        let moved = stone.rest == Rest::Moved && answer.is_none();
        let Some((_, answer)) = answer.filter(|&(kind, _)| stone.may_answer(now, kind)) else {
            return Some(if moved { Verdict::Moved } else { Verdict::Silence });
        };
        // Our last word was lost, and this answer may be.
        let longer = now + stone.rto * 3;
        if let Some(until) = self.stay_until.as_mut().filter(|until| **until > now) {
            *until = longer.max(*until);
        }
        Some(Verdict::Answer(answer))
    }
}

impl Tombstone {
    /// Only those that have something to say to a peer that comes from elsewhere.
    fn is_found_by_token(&self) -> bool {
        self.peer.is_some() && matches!(self.rest, Rest::Closed | Rest::Reset(_))
    }

    fn may_answer(&mut self, now: Instant, kind: Kind) -> bool {
        let last = &mut self.answered[kind as usize];
        let may = last.is_none_or(|at| now >= at + self.rto);
        if may {
            *last = Some(now);
        }
        may
    }

    fn answer(&self, conv: Conv, datagram: &[u8]) -> Option<(Kind, Answer)> {
        for segment in segments(datagram) {
            let segment = segment.ok().filter(|s| s.conv() == conv.value())?;
            if let Some(block) = Block::parse(&segment) {
                match self.answer_block(conv, &segment, &block) {
                    Met::Answer(kind, answer) => return Some((kind, answer)),
                    Met::Drop => return None,
                    Met::GoOn => {}
                }
            } else if segment.command() == Command::Push && self.peer.is_some() {
                match self.rest {
                    Rest::Moved => return Some((Kind::Reset, Answer::hint(conv, segment.sn()))),
                    Rest::Closed if segment.sn().is_before(self.una) => return self.ack(conv, &segment),
                    Rest::Reset(_) if datagram.len() < RESET_SIZE => {
                        return Some((Kind::Reset, Answer::hint(conv, segment.sn())));
                    }
                    Rest::Reset(code) => return Some((Kind::Reset, Answer::reset(conv, self.peer, code))),
                    _ => {}
                }
            }
        }
        None
    }

    fn ack(&self, conv: Conv, segment: &SegmentView<'_>) -> Option<(Kind, Answer)> {
        Some((Kind::Ack, Answer::ack(conv, self.una, segment.sn(), segment.timestamp())))
    }

    fn answer_block(&self, conv: Conv, segment: &SegmentView<'_>, block: &Block<'_>) -> Met {
        let reset = |to, code| Met::Answer(Kind::Reset, Answer::reset(conv, to, code));
        let unknown = || Met::Answer(Kind::Reset, Answer::unknown(conv, block.from));
        let is_ours = block.to == Some(self.own);
        if let Rest::Opening(code) = self.rest {
            let answers = matches!(block.body, Body::Welcome { .. } | Body::Fin { .. } | Body::Ping { .. });
            let code = if code == code::NONE { code::UNKNOWN } else { code };
            return if answers && is_ours { reset(block.from, code) } else { Met::Drop };
        }
        if self.peer.is_none() {
            return Met::Drop; // a stock peer's answers nothing
        }
        let same_peer = block.from == self.peer;
        match (block.body, self.rest) {
            // As an unknown conversation, but that nothing opens.
            (Body::Fin { .. }, Rest::Moved) => Met::Answer(Kind::Reset, Answer::hint(conv, segment.sn())),
            (Body::Hello { .. }, _) if !same_peer && block.to.is_none() => reset(block.from, code::IN_USE),
            (Body::Hello { .. } | Body::Ping { .. }, _) if !same_peer => unknown(),
            (Body::Hello { .. }, _) if block.to.is_some() && !is_ours => unknown(),
            (Body::Ping { .. }, _) if !is_ours => unknown(),
            (Body::Hello { .. } | Body::Ping { .. }, Rest::Reset(code)) => reset(self.peer, code),
            (Body::Fin { .. }, Rest::Reset(code)) if same_peer && is_ours => reset(self.peer, code),
            // They only vouch for the PUSHes behind them.
            (Body::Hello { .. }, Rest::Closed) if is_ours => Met::GoOn,
            (Body::Welcome { .. }, _) if same_peer && is_ours => Met::GoOn,
            (Body::Ping { challenge }, Rest::Closed) => {
                Met::Answer(Kind::Pong, Answer::pong(conv, self.una, (self.peer, self.own), challenge))
            }
            (Body::Fin { .. }, Rest::Closed) if same_peer && is_ours && segment.sn().is_before(self.una) => {
                match self.ack(conv, segment) {
                    Some((kind, answer)) => Met::Answer(kind, answer),
                    None => Met::Drop,
                }
            }
            _ => Met::Drop,
        }
    }
}

enum Met {
    Answer(Kind, Answer),
    /// The rest of the datagram counts.
    GoOn,
    Drop,
}
