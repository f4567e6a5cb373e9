//! A stock server, as kcp-go's listener: one session for each address, found by the address alone.

use sendoff_proto::{
    SeqNumber, Timestamp,
    wire::{Command, Segment, segments},
};
use std::{
    collections::BTreeMap,
    hash::{Hash, Hasher},
    time::{Duration, Instant},
};

/// Datagrams that it has sent.
pub type Out = Vec<Box<[u8]>>;

const WINDOW: u32 = 32;
const RESEND: Duration = Duration::from_millis(250);

#[derive(Clone, Debug)]
pub struct Session {
    pub conv: u32,
    next: u32,
    reordering: BTreeMap<u32, Vec<u8>>,
    /// All that its KCP has in order.
    pub received: Vec<u8>,
    /// What it has to say: from `unacked` on it is sent again and again.
    said: Vec<u8>,
    unacked: u32,
    sent: u32,
    resend_at: Option<Instant>,
}

impl Session {
    fn new(conv: u32) -> Self {
        Self {
            conv,
            next: 0,
            reordering: BTreeMap::new(),
            received: Vec::new(),
            said: Vec::new(),
            unacked: 0,
            sent: 0,
            resend_at: None,
        }
    }

    /// `ikcp_input`, then `ikcp_flush`.
    fn input(&mut self, datagram: &[u8], out: &mut Out) {
        let mut acks = Vec::new();
        let mut asked = false;
        for segment in segments(datagram).map_while(Result::ok) {
            if segment.conv() != self.conv {
                break;
            }
            let una = segment.una();
            while self.unacked < self.sent && SeqNumber(self.unacked).is_before(una) {
                self.unacked += 1;
            }
            match segment.command() {
                Command::Push if segment.sn().is_before(SeqNumber(self.next + WINDOW)) => {
                    acks.push((segment.sn(), segment.timestamp()));
                    if !segment.sn().is_before(SeqNumber(self.next)) {
                        self.reordering.entry(segment.sn().0).or_insert_with(|| segment.data().to_vec());
                    }
                }
                Command::WindowAsk => asked = true,
                _ => {}
            }
        }
        while let Some(data) = self.reordering.remove(&self.next) {
            self.received.extend(data);
            self.next += 1;
        }
        let mut datagram = Vec::new();
        let last = acks.len().saturating_sub(1);
        for (n, (sn, timestamp)) in acks.into_iter().enumerate() {
            if n == last || !sn.is_before(SeqNumber(self.next)) {
                self.segment(Command::Ack, sn, timestamp).encode(&[], &mut datagram);
            }
        }
        if asked {
            self.segment(Command::WindowTell, SeqNumber(0), Timestamp(0)).encode(&[], &mut datagram);
        }
        if !datagram.is_empty() {
            out.push(datagram.into());
        }
        if self.unacked == self.sent {
            self.resend_at = None;
        }
    }

    fn segment(&self, command: Command, sn: SeqNumber, timestamp: Timestamp) -> Segment {
        let una = SeqNumber(self.next);
        Segment { conv: self.conv, command, fragment: 0, window: WINDOW as u16, timestamp, sn, una }
    }

    fn write(&mut self, now: Instant, byte: u8, out: &mut Out) {
        self.said.push(byte);
        self.push(self.sent, out);
        self.sent += 1;
        self.resend_at.get_or_insert(now + RESEND);
    }

    fn push(&self, sn: u32, out: &mut Out) {
        let mut datagram = Vec::new();
        let segment = self.segment(Command::Push, SeqNumber(sn), Timestamp(sn));
        segment.encode(&self.said[sn as usize..][..1], &mut datagram);
        out.push(datagram.into());
    }
}

#[derive(Clone, Debug, Default)]
pub struct Stock {
    /// All that there were; the application has read what they have received.
    pub sessions: Vec<Session>,
    current: Option<usize>,
    pub closed: bool,
}

impl Stock {
    /// `Listener.packetInput`.
    pub fn receive(&mut self, datagram: &[u8], out: &mut Out) {
        let Some(Ok(first)) = segments(datagram).next() else { return };
        let n = match self.current {
            Some(n) if self.sessions[n].conv == first.conv() => n,
            Some(_) if first.sn().0 != 0 => return,
            _ => {
                // Also for whatever comes after the application has closed: a phantom.
                self.sessions.push(Session::new(first.conv()));
                self.sessions.len() - 1
            }
        };
        self.current = Some(n);
        self.sessions[n].input(datagram, out);
    }

    /// Whether its application has a session to write to, that it hasn't written to yet.
    pub fn may_write(&self, most: u8) -> bool {
        self.current.is_some_and(|n| {
            let session = &self.sessions[n];
            session.said.len() < usize::from(most) && !session.received.is_empty()
        })
    }

    pub fn write(&mut self, now: Instant, out: &mut Out) {
        if let Some(n) = self.current {
            let byte = 0x80 + 8 * n as u8 + self.sessions[n].said.len() as u8;
            self.sessions[n].write(now, byte, out);
        }
    }

    /// The application closes: nobody is told, and all that isn't acknowledged is thrown away.
    pub fn close(&mut self) {
        self.current = None;
        self.closed = true;
    }

    pub fn has_session(&self) -> bool {
        self.current.is_some()
    }

    pub fn next_timer(&self) -> Option<Instant> {
        self.current.and_then(|n| self.sessions[n].resend_at)
    }

    pub fn tick(&mut self, now: Instant, out: &mut Out) {
        let Some(n) = self.current else { return };
        let session = &mut self.sessions[n];
        if session.resend_at.is_some_and(|at| at <= now) {
            session.resend_at = Some(now + RESEND);
            for sn in session.unacked..session.sent {
                session.push(sn, out);
            }
        }
    }

    pub fn fingerprint(&self, now: Instant, h: &mut impl Hasher) {
        (self.current, self.closed, self.sessions.len()).hash(h);
        for session in &self.sessions {
            (session.conv, session.next, &session.reordering, &session.received, &session.said).hash(h);
            let again = session.resend_at.map(|at| at.saturating_duration_since(now));
            (session.unacked, session.sent, again).hash(h);
        }
    }
}
