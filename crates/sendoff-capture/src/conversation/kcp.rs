//! A conversation of KCP: (flow, conv).

use super::{
    Fec, Marks, Samples, Side,
    exchange::{Deed, Exchange, Role},
    life::Life,
    sent::{MAX_TRACKED, Sent},
};
use crate::stream::{Consumer, FrameError, Framing, KcpReassembly, SmuxTotals};
use sendoff_proto::{
    Cipher,
    wire::{Block, BlockKind, Body, Command, SegmentView},
};
use std::time::Duration;

/// Numbers that are watched in a direction when there are very many in all.
const FEW_TRACKED: usize = 64;

/// Numbers that all conversations together may watch before each has to do with few.
const MANY_TRACKED: usize = 1 << 19;

/// How a conversation began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Began {
    /// With a HELLO.
    Hello,
    /// With the first PUSH, sn 0.
    FirstPush,
    /// The capture begins in the middle of it, or with something else.
    Unseen,
}

/// A FIN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fin {
    /// Its number.
    pub sn: u32,
    /// Why.
    pub code: u32,
    /// In words; may be empty. Data: escape before printing.
    pub reason: String,
    /// Whether the other side has covered it.
    pub acknowledged: bool,
}

/// A RESET.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reset {
    /// Who said so.
    pub by: Side,
    /// Why.
    pub code: u32,
    /// In words; may be empty. Data: escape before printing.
    pub reason: String,
}

/// How a conversation ended, as far as was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended<'a> {
    /// Both have finished.
    Finished,
    /// One has, and the other wasn't seen to.
    HalfFinished(Side),
    /// One says that it is no more.
    Reset(&'a Reset),
    /// No end was seen. Plain KCP has none.
    Unseen {
        /// Whether the peers could have said one.
        extended: bool,
    },
}

/// What one side has sent.
#[derive(Debug, Default)]
pub struct KcpSide {
    /// PUSH segments: all of them, but for those of `recovered_known`.
    pub pushes: u64,
    /// Data in them, in bytes, each transmission counted.
    pub push_bytes: u64,
    /// Data that was seen, in bytes, counted once.
    pub new_bytes: u64,
    /// Segments with new data.
    pub new_segments: u64,
    /// Segments that were sent again.
    pub retransmissions: u64,
    /// Of these, those judged to be fast.
    pub fast: u64,
    /// Of these, those whose data had been acknowledged.
    pub needless: u64,
    /// Copies.
    pub duplicates: u64,
    /// Segments whose first transmission wasn't seen in its place: lost before the capture, or overtaken.
    pub late: u64,
    /// Segments that were seen only because they were recovered.
    pub recovered: u64,
    /// Segments that came back by recovery too, when they had been seen or acknowledged before: sent again meanwhile, or
    /// in a datagram with others.
    pub recovered_known: u64,
    /// ACK segments.
    pub acks: u64,
    /// WASK segments without a block.
    pub asks: u64,
    /// WINS segments without a block.
    pub tells: u64,
    /// Extension blocks.
    pub blocks: u64,
    /// Round trips that its ACKed segments give, as seen where the capture was taken.
    pub round_trips: Samples,
    /// How often the window of the other side was full.
    pub stalls: u64,
    /// For how long in all.
    pub stalled: Duration,
    /// When its first new data went.
    pub first_data: Option<Duration>,
    /// When its last new data went.
    pub last_data: Duration,
    /// Its FIN.
    pub fin: Option<Fin>,
    /// Its shards, if there are any.
    pub fec: Option<Fec>,
    sent: Sent,
    /// The last window that it told.
    window: Option<u16>,
    /// una + wnd, the furthest that it told.
    edge: Option<u32>,
    full_since: Option<Duration>,
    /// What tells it from another life of the conversation.
    life: Life,
    reassembly: Option<Box<KcpReassembly>>,
}

impl KcpSide {
    /// Segments that the other side has, and the capture hasn't.
    pub fn missing(&self) -> u64 {
        self.sent.missing
    }

    /// Frames of the kind that was asked for: how many, and what is wrong with them.
    pub fn framing(&self) -> Option<(Framing, u64, Option<FrameError>)> {
        let consumer = &self.reassembly.as_ref()?.consumer;
        consumer.frames_found().map(|(framing, frames)| (framing, frames, consumer.frame_error()))
    }

    /// Its part of a session of smux, if that was asked for.
    pub fn smux(&self) -> Option<&SmuxTotals> {
        self.reassembly.as_ref()?.consumer.smux()
    }

    /// New data per second, from its first to its last; `None` with less than two moments.
    pub fn goodput(&self) -> Option<f64> {
        let took = self.last_data.saturating_sub(self.first_data?).as_secs_f64();
        (took > 0.0).then(|| self.new_bytes as f64 / took)
    }

    /// For how long after a transmission the next one can be a fast one. ACKs of later numbers take a round trip, and a
    /// sender that looks at its clock every 40 ms acts on them within that; after longer it was the timeout, which
    /// leaves more time than that (ikcp.c: `rx_rto` is a round trip and four times its variance, or 100 ms).
    fn patience(&self) -> Duration {
        self.round_trips.quantile(0.5).saturating_mul(3) / 2 + Duration::from_millis(40)
    }

    /// Retransmitted segments among all PUSHes; 0 if there are none.
    pub fn retransmitted_share(&self) -> f64 {
        if self.pushes == 0 { 0.0 } else { self.retransmissions as f64 / self.pushes as f64 }
    }
}

/// A conversation of KCP.
#[derive(Debug)]
pub struct Kcp {
    /// Its id.
    pub conv: u32,
    /// The cipher, if it was sealed.
    pub cipher: Option<Cipher>,
    /// How it began.
    pub began: Began,
    /// Whether a valid extension block was seen.
    pub extended: bool,
    /// The first RESET.
    pub reset: Option<Reset>,
    /// What each side has sent: client, server.
    pub sides: [KcpSide; 2],
    exchange: Exchange,
    /// Whether another conversation has begun in its place.
    replaced: bool,
}

/// What a segment turned out to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SegmentNews {
    pub(crate) marks: Marks,
    pub(crate) transmission: u8,
    /// Since the transmission before.
    pub(crate) after: Duration,
    pub(crate) round_trip: Option<Duration>,
}

impl Kcp {
    /// `first` is its first segment.
    pub(crate) fn new(first: &SegmentView<'_>, cipher: Option<Cipher>) -> Self {
        let began = match (Block::parse(first).map(|block| block.body.kind()), first.command()) {
            (Some(BlockKind::Hello), _) => Began::Hello,
            (_, Command::Push) if first.sn().0 == 0 => Began::FirstPush,
            _ => Began::Unseen,
        };
        Self {
            conv: first.conv(),
            cipher,
            began,
            extended: false,
            reset: None,
            sides: Default::default(),
            exchange: Exchange::default(),
            replaced: false,
        }
    }

    /// How it ended.
    pub fn ended(&self) -> Ended<'_> {
        let [client, server] = &self.sides;
        match (&self.reset, client.fin.is_some(), server.fin.is_some()) {
            (_, true, true) => Ended::Finished,
            (Some(reset), ..) => Ended::Reset(reset),
            (None, true, false) => Ended::HalfFinished(Side::Client),
            (None, false, true) => Ended::HalfFinished(Side::Server),
            (None, false, false) => Ended::Unseen { extended: self.extended },
        }
    }

    /// Whether nothing more can come of it, as far as was seen.
    pub(crate) fn is_over(&self) -> bool {
        self.replaced || matches!(self.ended(), Ended::Finished | Ended::Reset(_))
    }

    /// Whether another has begun in its place, and the end that a side could have said wasn't seen: maybe it goes on.
    pub(crate) fn was_replaced_before_end_of(&self, side: Side) -> bool {
        self.replaced && self.extended && self.reset.is_none() && self.sides[side.index()].fin.is_none()
    }

    /// Whether a segment begins another conversation of the same conv; then this one is over.
    pub(crate) fn ends_before(&mut self, side: Side, segment: &SegmentView<'_>) -> bool {
        let is_over = self.is_over();
        let own = &self.sides[side.index()];
        self.replaced = own.life.is_another(segment, own.sent.una(), is_over);
        self.replaced
    }

    /// Has a side's stream put together.
    pub(crate) fn put_together(&mut self, side: Side, consumer: Consumer) {
        self.sides[side.index()].reassembly = Some(Box::new(KcpReassembly::new(consumer)));
    }

    /// What becomes of a side's stream, if it is put together.
    pub(crate) fn consumer(&mut self, side: Side) -> Option<&mut Consumer> {
        self.sides[side.index()].reassembly.as_mut().map(|reassembly| &mut reassembly.consumer)
    }

    /// Nothing more comes. `last` is when its last packet came.
    pub(crate) fn finish(&mut self, last: Duration) {
        for side in &mut self.sides {
            // A window that never opened again.
            if let Some(since) = side.full_since.take() {
                side.stalled = side.stalled.saturating_add(last.saturating_sub(since));
            }
            if let Some(reassembly) = &mut side.reassembly {
                reassembly.finish(side.sent.una());
            }
        }
    }

    /// Numbers for which there is memory.
    pub(crate) fn tracked(&self) -> usize {
        self.sides[0].sent.room() + self.sides[1].sent.room()
    }

    /// Bytes of memory that what waits for what belongs before it takes.
    pub(crate) fn waiting(&self) -> usize {
        let of = |side: &KcpSide| side.reassembly.as_ref().map_or(0, |reassembly| reassembly.waiting());
        self.sides.iter().map(of).sum()
    }

    /// What waits for what belongs before it is handed on.
    pub(crate) fn give_up(&mut self) {
        let reassemblies = self.sides.iter_mut().filter_map(|side| side.reassembly.as_mut());
        reassemblies.for_each(|reassembly| reassembly.give_up());
    }

    /// Its streams aren't put together any longer: what has come of them stays.
    pub(crate) fn take_apart(&mut self) {
        let is_over = self.is_over();
        for side in &mut self.sides {
            if let Some(reassembly) = &mut side.reassembly {
                reassembly.end(side.sent.una(), is_over);
            }
        }
    }

    /// Whether its two streams are put together, or were.
    pub(crate) fn is_put_together(&self) -> bool {
        self.sides.iter().any(|side| side.reassembly.is_some())
    }

    /// A datagram passes by. `segments` gives its segments of this conversation, as often as it is called, and
    /// `news` has a place for each. All conversations together watch `tracked` numbers.
    pub(crate) fn datagram<'a, I: Iterator<Item = SegmentView<'a>>>(
        &mut self,
        now: Duration,
        side: Side,
        segments: impl Fn() -> I,
        news: &mut [SegmentNews],
        recovered: bool,
        tracked: usize,
    ) -> Option<Role> {
        for side in &mut self.sides {
            side.sent.new_datagram();
            if let Some(reassembly) = &mut side.reassembly {
                reassembly.new_datagram();
            }
        }
        let was_in_flight = self.sides[side.other().index()].sent.in_flight();
        // ACKs first: the una beside them would take away what they speak of.
        for (segment, news) in segments().zip(news.iter_mut()) {
            if segment.command() == Command::Ack {
                self.acknowledge(now, side, &segment, news, recovered);
            }
        }
        let mut new_data = false;
        for (segment, news) in segments().zip(news.iter_mut()) {
            if recovered {
                news.marks.set(Marks::RECOVERED);
            }
            let is_block = self.block(side, &segment, news);
            // What is told of windows in a recovered segment is old; in a RESET it says nothing.
            self.covered(now, side, &segment, news, recovered);
            match segment.command() {
                Command::Push => {
                    self.push(now, side, &segment, news, recovered, tracked);
                    new_data |= news.marks.has(Marks::NEW);
                }
                Command::Ack => self.sides[side.index()].acks += 1,
                Command::WindowAsk if !is_block => self.sides[side.index()].asks += 1,
                Command::WindowTell if !is_block => self.sides[side.index()].tells += 1,
                _ => {}
            }
        }
        let other_in_flight = self.sides[side.other().index()].sent.in_flight();
        let completes_other = was_in_flight && !other_in_flight;
        self.exchange.role(Deed { side, new_data, completes_other, other_in_flight })
    }

    fn acknowledge(
        &mut self,
        now: Duration,
        side: Side,
        segment: &SegmentView<'_>,
        news: &mut SegmentNews,
        recovered: bool,
    ) {
        let acked = &mut self.sides[side.other().index()];
        let round_trip = acked.sent.ack(now, segment.sn().0, segment.timestamp().0);
        // A recovered ACK is late by the time that its recovery took.
        if let Some(round_trip) = round_trip.filter(|_| !recovered) {
            acked.round_trips.add(round_trip);
            news.round_trip = Some(round_trip);
        }
    }

    fn covered(
        &mut self,
        now: Duration,
        side: Side,
        segment: &SegmentView<'_>,
        news: &mut SegmentNews,
        recovered: bool,
    ) {
        let (una, window) = (segment.una().0, segment.window());
        let is_reset = Block::parse(segment).is_some_and(|block| block.body.kind() == BlockKind::Reset);
        if is_reset {
            return;
        }
        let other = &mut self.sides[side.other().index()];
        other.sent.covered(una);
        if let Some(fin) = &mut other.fin {
            fin.acknowledged |= una.wrapping_sub(fin.sn) as i32 > 0;
        }
        if recovered {
            return;
        }
        let own = &mut self.sides[side.index()];
        match (own.window.replace(window), window) {
            (Some(1..), 0) => news.marks.set(Marks::CLOSES_WINDOW),
            (Some(0), 1..) => news.marks.set(Marks::OPENS_WINDOW),
            _ => {}
        }
        let edge = una.wrapping_add(window.into());
        if own.edge.is_none_or(|known| edge.wrapping_sub(known) as i32 > 0) {
            own.edge = Some(edge);
            let other = &mut self.sides[side.other().index()];
            if let Some(since) = other.full_since.take() {
                other.stalled = other.stalled.saturating_add(now.saturating_sub(since));
            }
        }
    }

    fn push(
        &mut self,
        now: Duration,
        side: Side,
        segment: &SegmentView<'_>,
        news: &mut SegmentNews,
        recovered: bool,
        tracked: usize,
    ) {
        let edge = self.sides[side.other().index()].edge;
        let own = &mut self.sides[side.index()];
        let limit = if tracked < MANY_TRACKED { MAX_TRACKED } else { FEW_TRACKED };
        let sn = segment.sn().0;
        if recovered && own.sent.knows(sn) {
            news.marks.set(Marks::KNOWN);
            own.recovered_known += 1;
            return;
        }
        let mut judged = own.sent.push(now, sn, segment.timestamp().0, limit);
        if judged.marks.has(Marks::FAST) && judged.after > own.patience() {
            judged.marks.clear(Marks::FAST);
        }
        news.marks.set(judged.marks);
        (news.transmission, news.after) = (judged.transmission, judged.after);
        let len = if Block::parse(segment).is_some() { 0 } else { segment.data_len() as u64 };
        own.life.push(segment);
        own.pushes += 1;
        own.push_bytes += len;
        // Of a segment that the capture has cut off the data counts as missing: it may come again whole.
        if let Some(reassembly) = own.reassembly.as_mut().filter(|_| segment.missing() == 0) {
            // A FIN has a number too, and a block in place of data.
            let data = if Block::parse(segment).is_some() { &[] } else { segment.data() };
            reassembly.push(sn, data, own.sent.una());
        }
        let marks = judged.marks;
        own.retransmissions += u64::from(marks.has(Marks::RETRANSMISSION | Marks::NEEDLESS));
        own.fast += u64::from(marks.has(Marks::FAST));
        own.needless += u64::from(marks.has(Marks::NEEDLESS));
        own.duplicates += u64::from(marks.has(Marks::DUPLICATE));
        own.late += u64::from(marks.has(Marks::LATE));
        if marks.has(Marks::NEW) {
            own.new_segments += 1;
            own.new_bytes += len;
            own.recovered += u64::from(recovered);
            own.first_data.get_or_insert(now);
            own.last_data = now;
            let fills = edge.is_some_and(|edge| sn.wrapping_add(1).wrapping_sub(edge) as i32 >= 0);
            if fills && !recovered {
                news.marks.set(Marks::FILLS_WINDOW);
                if own.full_since.is_none() {
                    own.full_since = Some(now);
                    own.stalls += 1;
                }
            }
        }
    }

    /// Takes note of an extension block; whether there is one.
    fn block(&mut self, side: Side, segment: &SegmentView<'_>, news: &mut SegmentNews) -> bool {
        let Some(block) = Block::parse(segment) else {
            let whole = segment.missing() == 0;
            let marked = whole && segment.command() != Command::Ack && Block::is_marked(segment.data());
            // In a PUSH the application may say what it likes.
            if marked && segment.command() != Command::Push {
                news.marks.set(Marks::BROKEN_BLOCK);
            }
            return false;
        };
        self.extended = true;
        let own = &mut self.sides[side.index()];
        own.blocks += 1;
        match block.body {
            Body::Hello { .. } => own.life.hello(&block),
            Body::Fin { code, reason } if own.fin.is_none() => {
                let (sn, reason) = (segment.sn().0, reason.to_owned());
                own.fin = Some(Fin { sn, code, reason, acknowledged: false });
            }
            Body::Reset { code, reason } if self.reset.is_none() => {
                self.reset = Some(Reset { by: side, code, reason: reason.to_owned() });
            }
            _ => {}
        }
        true
    }
}
