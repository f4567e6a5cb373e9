//! Which probe an answer belongs to, and which conversation the next one is of.
//!
//! A probe is a PING block in a WASK: a listener that speaks blocks answers that it doesn't know the
//! conversation, and keeps nothing; a stock one skips the block, and tells its window.
//!
//! A stock listener opens a connection for any segment from a new address. A segment with sn 0 of
//! another conversation replaces that connection, and kcp-go answers the first WASK of a fresh one at
//! once: so each probe is of a new conversation from the same port, and at most one is left over.
//! tokio_kcp and kcp-tokio don't answer the second conversation of an address: for them all probes
//! are of the one that was answered, one at a time.

use sendoff::{
    code,
    wire::{Block, Body, Command, Segment, SegmentView, Token, segments},
};
use std::{
    collections::VecDeque,
    hash::{BuildHasher, RandomState},
    time::{Duration, Instant},
};

/// Bytes of segments in the smallest probe: a WASK with a PING.
pub const LEAST: usize = 56;

/// The window that every KCP advertises until it knows better.
const WINDOW: u16 = 32;

/// The probes under way.
#[derive(Debug)]
pub struct Probes {
    timeout: Duration,
    /// Bytes of segments of each.
    size: usize,
    under_way: VecDeque<Probe>,
    /// Set once a second conversation had no answer.
    only_conv: Option<u32>,
    /// An answer in that one has shown that the server ignores others.
    ignores_new: bool,
    /// The last probe that was answered.
    answered: Option<Probe>,
    /// Two conversations in a row were answered: the server takes new ones.
    takes_new: bool,
}

/// A probe that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Its number, from 1.
    pub seq: u64,
    conv: u32,
    token: Token,
    sent: Instant,
}

/// Who has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// It speaks blocks, and answers at once.
    Extended,
    /// Plain KCP, with that window, in segments.
    Stock(u16),
}

/// A WINS that belongs to a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Number of the probe.
    pub seq: u64,
    /// From sending to answer.
    pub time: Duration,
    /// What kind of server it shows.
    pub server: Server,
    /// It shows that the server ignores a second conversation from one address: the probe of one
    /// was not lost.
    pub shows_one: bool,
}

impl Probes {
    /// None under way yet; each has so many bytes of segments, [`LEAST`] or more.
    pub fn new(timeout: Duration, size: usize) -> Self {
        Self {
            timeout,
            size,
            under_way: VecDeque::new(),
            only_conv: None,
            ignores_new: false,
            answered: None,
            takes_new: false,
        }
    }

    /// Whether the next probe may leave. Of one conversation only one at a time can be told from
    /// others; and the second to a server that answers waits for what became of it.
    pub fn may_send(&self) -> bool {
        let in_doubt = self.answered.is_some() && !self.takes_new;
        self.under_way.is_empty() || (self.only_conv.is_none() && !in_doubt)
    }

    /// Whether all are answered or given up.
    pub fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    /// The datagram of the next probe: a WASK with sn 0 and una 0, and a PING in it. What follows the PING's body is
    /// ignored by all: a stock peer skips the data of a WASK, and a block ends where its body does.
    pub fn send(&mut self, seq: u64, now: Instant) -> Vec<u8> {
        let conv = self.only_conv.unwrap_or_else(|| self.new_conv());
        let token = new_token();
        self.under_way.push_back(Probe { seq, conv, token, sent: now });
        let (timestamp, sn) = Default::default();
        let (mut data, mut datagram) = (Vec::new(), Vec::new());
        Block { flags: 0, to: None, from: Some(token), body: Body::Ping { challenge: seq } }
            .encode(&mut data);
        data.resize(data.len() + self.size.saturating_sub(LEAST), 0);
        Segment { conv, command: Command::WindowAsk, fragment: 0, window: WINDOW, timestamp, sn, una: sn }
            .encode(&data, &mut datagram);
        datagram
    }

    /// The answer in a datagram, if it holds one. Anything else in it is of no interest.
    pub fn receive(&mut self, datagram: &[u8], now: Instant) -> Option<Answer> {
        let tells = segments(datagram).filter_map(Result::ok).filter(|s| s.command() == Command::WindowTell);
        for segment in tells {
            let answered = |probe: &Probe| (probe.conv == segment.conv()).then(|| probe.kind(&segment))?;
            let found = self.under_way.iter().enumerate().find_map(|(at, p)| Some((at, answered(p)?)));
            let Some((at, server)) = found else { continue };
            let probe = self.under_way.remove(at)?;
            let follows = |last: Probe| last.seq + 1 == probe.seq && last.conv != probe.conv;
            self.takes_new |= self.answered.is_some_and(follows);
            self.answered = Some(probe);
            let time = now.saturating_duration_since(probe.sent);
            let shows_one = self.only_conv.is_some() && !self.ignores_new;
            self.ignores_new |= shows_one;
            return Some(Answer { seq: probe.seq, time, server, shows_one });
        }
        None
    }

    /// When the oldest probe is given up.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.under_way.front().map(|probe| probe.sent + self.timeout)
    }

    /// Gives a probe up whose time has come: its number.
    pub fn expire(&mut self, now: Instant) -> Option<u64> {
        let due = self.next_timeout().is_some_and(|timeout| timeout <= now);
        if due { self.under_way.pop_front().map(|probe| probe.seq) } else { None }
    }

    /// "Port unreachable" came: it belongs to the latest probe.
    pub fn unreachable(&mut self) -> Option<u64> {
        Some(self.under_way.pop_back()?.seq)
    }

    /// After a probe was given up: keeps to the conversation that was answered before, unless the
    /// server is known to take new ones.
    pub fn keep_to_one(&mut self) {
        if !self.takes_new && self.only_conv.is_none() {
            self.only_conv = self.answered.map(|probe| probe.conv);
        }
    }

    fn new_conv(&self) -> u32 {
        loop {
            let conv = random() as u32;
            if conv != 0 && self.under_way.iter().all(|probe| probe.conv != conv) {
                return conv;
            }
        }
    }
}

impl Probe {
    /// What kind of server answers so; `None` if it is no answer to this probe.
    fn kind(&self, segment: &SegmentView<'_>) -> Option<Server> {
        if segment.data().is_empty() {
            return Some(Server::Stock(segment.window()));
        }
        let block = Block::parse(segment)?;
        let unknown = matches!(block.body, Body::Reset { code: code::UNKNOWN, .. });
        (unknown && block.to == Some(self.token)).then_some(Server::Extended)
    }
}

/// Each RandomState has keys of its own, so this is a random number.
fn random() -> u64 {
    RandomState::new().hash_one(())
}

fn new_token() -> Token {
    loop {
        if let Some(token) = Token::new(random()) {
            return token;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sendoff::wire::SegmentView;

    const TIMEOUT: Duration = Duration::from_secs(2);

    fn conv_of(probe: &[u8]) -> u32 {
        SegmentView::parse(probe).unwrap().0.conv()
    }

    fn segment(conv: u32, command: Command) -> Vec<u8> {
        let (timestamp, sn) = Default::default();
        Segment { conv, command, fragment: 0, window: 128, timestamp, sn, una: sn }.encode_header(0).to_vec()
    }

    #[test]
    fn a_probe_is_a_ping_of_a_conversation_of_its_own() {
        let (mut probes, now) = (Probes::new(TIMEOUT, LEAST), Instant::now());
        let (first, second) = (probes.send(1, now), probes.send(2, now));
        assert_ne!(conv_of(&first), conv_of(&second));
        let (view, rest) = SegmentView::parse(&first).unwrap();
        assert_eq!(view.to_string(), "WASK una=0 wnd=32 32 bytes");
        assert_eq!((view.sn().0, rest.len(), first.len()), (0, 0, 56));
        let block = Block::parse(&view).unwrap();
        assert_eq!((block.to, block.body), (None, Body::Ping { challenge: 1 }));
        assert_ne!(view.conv(), 0);
    }

    #[test]
    fn a_probe_of_any_size_is_one_segment_with_the_same_ping() {
        for size in [LEAST, LEAST + 1, 1_400, 65_507] {
            let probe = Probes::new(TIMEOUT, size).send(7, Instant::now());
            let (view, rest) = SegmentView::parse(&probe).unwrap();
            assert_eq!((probe.len(), rest.len(), view.command()), (size, 0, Command::WindowAsk));
            assert_eq!(Block::parse(&view).unwrap().body, Body::Ping { challenge: 7 });
        }
    }

    #[test]
    fn answers_find_their_probe_in_any_order() {
        let (mut probes, start) = (Probes::new(TIMEOUT, LEAST), Instant::now());
        let first = conv_of(&probes.send(1, start));
        let second = conv_of(&probes.send(2, start));
        let at = start + Duration::from_millis(30);
        let answer = probes.receive(&segment(second, Command::WindowTell), at);
        assert_eq!(
            answer,
            Some(Answer {
                seq: 2,
                time: Duration::from_millis(30),
                server: Server::Stock(128),
                shows_one: false
            })
        );
        assert_eq!(probes.receive(&segment(second, Command::WindowTell), at), None, "a duplicate");
        let mut datagram = segment(first, Command::Push);
        datagram.extend(segment(first, Command::WindowTell));
        assert_eq!(probes.receive(&datagram, at).map(|a| a.seq), Some(1));
        assert!(probes.is_empty());
    }

    #[test]
    fn nothing_but_a_tell_of_the_conversation_is_an_answer() {
        let (mut probes, now) = (Probes::new(TIMEOUT, LEAST), Instant::now());
        let conv = conv_of(&probes.send(1, now));
        for command in [Command::Push, Command::Ack, Command::WindowAsk] {
            assert_eq!(probes.receive(&segment(conv, command), now), None);
        }
        assert_eq!(probes.receive(&segment(conv ^ 1, Command::WindowTell), now), None);
        let answer = segment(conv, Command::WindowTell);
        for len in 0..answer.len() {
            assert_eq!(probes.receive(&answer[..len], now), None);
        }
        assert!(probes.receive(&answer, now).is_some());
    }

    #[test]
    fn a_reset_that_names_the_token_of_the_probe_is_the_answer_of_an_extended_server() {
        let (mut probes, now) = (Probes::new(TIMEOUT, LEAST), Instant::now());
        let probe = probes.send(1, now);
        let token = Block::parse(&SegmentView::parse(&probe).unwrap().0).unwrap().from;
        let reset = |to, code| {
            let (mut data, mut datagram) = (Vec::new(), Vec::new());
            let (timestamp, sn) = Default::default();
            let conv = conv_of(&probe);
            Block { flags: 0, to, from: None, body: Body::Reset { code, reason: "" } }.encode(&mut data);
            Segment { conv, command: Command::WindowTell, fragment: 0, window: 0, timestamp, sn, una: sn }
                .encode(&data, &mut datagram);
            datagram
        };
        assert_eq!(probes.receive(&reset(Token::new(1), code::UNKNOWN), now), None);
        assert_eq!(probes.receive(&reset(token, code::BUSY), now), None);
        let answer = probes.receive(&reset(token, code::UNKNOWN), now).unwrap();
        assert_eq!(answer.server, Server::Extended);
    }

    #[test]
    fn probes_expire_in_order_and_icmp_belongs_to_the_latest() {
        let (mut probes, start) = (Probes::new(TIMEOUT, LEAST), Instant::now());
        for seq in 1..=3 {
            probes.send(seq, start + Duration::from_secs(seq - 1));
        }
        assert_eq!(probes.next_timeout(), Some(start + TIMEOUT));
        assert_eq!(probes.expire(start + TIMEOUT - Duration::from_nanos(1)), None);
        assert_eq!(probes.expire(start + TIMEOUT), Some(1));
        assert_eq!(probes.expire(start + TIMEOUT), None);
        assert_eq!(probes.unreachable(), Some(3));
    }

    #[test]
    fn a_server_that_ignores_a_second_conversation_is_asked_in_the_first() {
        let (mut probes, now) = (Probes::new(TIMEOUT, LEAST), Instant::now());
        probes.keep_to_one();
        assert!(probes.may_send(), "nothing has answered yet");
        let first = conv_of(&probes.send(1, now));
        probes.receive(&segment(first, Command::WindowTell), now).unwrap();
        probes.send(2, now);
        assert_eq!(probes.expire(now + TIMEOUT), Some(2));
        probes.keep_to_one();
        for (seq, shows_one) in [(3, true), (4, false)] {
            assert_eq!(conv_of(&probes.send(seq, now)), first);
            assert!(!probes.may_send(), "one at a time");
            let answer = probes.receive(&segment(first, Command::WindowTell), now).unwrap();
            assert_eq!(answer.shows_one, shows_one);
        }
    }

    #[test]
    fn a_loss_changes_nothing_where_new_conversations_were_answered() {
        let (mut probes, now) = (Probes::new(TIMEOUT, LEAST), Instant::now());
        for seq in 1..=2 {
            let conv = conv_of(&probes.send(seq, now));
            assert_eq!(probes.may_send(), seq == 1, "the second waits for what becomes of it");
            probes.receive(&segment(conv, Command::WindowTell), now).unwrap();
        }
        probes.send(3, now);
        assert!(probes.may_send());
        probes.expire(now + TIMEOUT).unwrap();
        probes.keep_to_one();
        let conv = conv_of(&probes.send(4, now));
        assert_ne!(Some(conv), probes.answered.map(|probe| probe.conv));
    }
}
