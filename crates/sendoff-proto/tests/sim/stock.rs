//! A plain KCP peer as kcp-go is: it skips what it doesn't know, acknowledges whatever is old, says nothing at its
//! end, and makes a new session (a phantom) of whatever comes after it.

use sendoff_proto::{
    SeqNumber, Timestamp,
    wire::{self, Command, Segment},
};
use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

const WINDOW: u16 = 128;
const RTO: Duration = Duration::from_millis(200);

#[derive(Clone, Debug, Default)]
pub struct Session {
    conv: u32,
    next: u32,
    waiting: BTreeMap<u32, Vec<u8>>,
    pub received: Vec<u8>,
    /// Segments that aren't covered yet: when they left last.
    flying: BTreeMap<u32, (Option<Duration>, Vec<u8>)>,
    sent: u32,
    pub unacked: u32,
    acks: Vec<(u32, Timestamp)>,
    tell: bool,
    /// The window that the peer told last.
    pub remote_window: u16,
}

#[derive(Clone, Debug, Default)]
pub struct Stock {
    pub sessions: BTreeMap<SocketAddr, Session>,
    listening: bool,
    echoes: bool,
    /// Sessions that were made, phantoms too.
    pub made: usize,
}

impl Stock {
    /// A listener whose sessions echo.
    pub fn listener() -> Self {
        Self { listening: true, echoes: true, ..Self::default() }
    }

    /// A client with one session.
    pub fn client(remote: SocketAddr, conv: u32) -> Self {
        let session = Session { conv, remote_window: 128, ..Session::default() };
        Self { sessions: BTreeMap::from([(remote, session)]), ..Self::default() }
    }

    /// Its only session.
    pub fn session(&mut self) -> &mut Session {
        self.sessions.values_mut().next().expect("a session")
    }

    /// Forgets all, and tells nobody.
    pub fn close(&mut self) {
        self.sessions.clear();
    }

    pub fn receive(&mut self, _now: Duration, from: SocketAddr, datagram: &[u8]) {
        let Some(first) = wire::segments(datagram).next().and_then(Result::ok) else { return };
        let known = self.sessions.get(&from).map(|session| session.conv);
        let fresh = match known {
            None => self.listening,
            // Another conversation of the same address takes its place, if it begins.
            Some(conv) => conv != first.conv() && first.sn() == SeqNumber(0) && self.listening,
        };
        if fresh {
            self.made += 1;
            let session = Session { conv: first.conv(), remote_window: 128, ..Session::default() };
            self.sessions.insert(from, session);
        }
        let echoes = self.echoes;
        let Some(session) = self.sessions.get_mut(&from).filter(|s| s.conv == first.conv()) else { return };
        let before = session.received.len();
        for segment in wire::segments(datagram) {
            match segment {
                Ok(segment) if segment.conv() == session.conv => {
                    session.take(&segment.to_segment(), segment.data())
                }
                _ => break,
            }
        }
        if echoes {
            let heard = session.received[before..].to_vec();
            session.say(&heard);
        }
    }

    pub fn pump(&mut self, now: Duration, send: &mut impl FnMut(SocketAddr, &[u8])) {
        for (&remote, session) in &mut self.sessions {
            let datagram = session.flush(now);
            if !datagram.is_empty() {
                send(remote, &datagram);
            }
        }
    }

    pub fn next_timeout(&self) -> Option<Duration> {
        let flying = self.sessions.values().flat_map(|session| session.flying.values());
        flying.filter_map(|(at, _)| at.map(|at| at + RTO)).min()
    }

    pub fn handle_timeout(&mut self, now: Duration) {
        for (at, _) in self.sessions.values_mut().flat_map(|session| session.flying.values_mut()) {
            if at.is_some_and(|at| at + RTO <= now) {
                *at = None;
            }
        }
    }
}

impl Session {
    pub fn say(&mut self, data: &[u8]) {
        for chunk in data.chunks(1_000) {
            self.flying.insert(self.sent, (None, chunk.to_vec()));
            self.sent += 1;
        }
    }

    /// Whether all that was said has been acknowledged.
    pub fn is_delivered(&self) -> bool {
        self.flying.is_empty()
    }

    fn take(&mut self, segment: &Segment, data: &[u8]) {
        self.remote_window = segment.window;
        self.flying.retain(|&sn, _| !SeqNumber(sn).is_before(segment.una));
        self.unacked = self.flying.keys().next().copied().unwrap_or(self.sent);
        match segment.command {
            Command::Push => {
                let SeqNumber(sn) = segment.sn;
                let behind = SeqNumber(sn).is_before(SeqNumber(self.next));
                if !behind && sn.wrapping_sub(self.next) >= u32::from(WINDOW) {
                    return;
                }
                self.acks.push((sn, segment.timestamp));
                if !behind {
                    self.waiting.insert(sn, data.to_vec());
                }
                while let Some(data) = self.waiting.remove(&self.next) {
                    self.received.extend_from_slice(&data);
                    self.next += 1;
                }
            }
            Command::Ack => {
                self.flying.remove(&segment.sn.0);
            }
            Command::WindowAsk => self.tell = true,
            Command::WindowTell => {}
        }
    }

    fn flush(&mut self, now: Duration) -> Vec<u8> {
        let mut out = Vec::new();
        let header = |command, sn, timestamp| Segment {
            conv: self.conv,
            command,
            fragment: 0,
            window: WINDOW,
            timestamp,
            sn: SeqNumber(sn),
            una: SeqNumber(self.next),
        };
        for &(sn, timestamp) in &self.acks {
            header(Command::Ack, sn, timestamp).encode(&[], &mut out);
        }
        if self.tell {
            header(Command::WindowTell, 0, Timestamp(0)).encode(&[], &mut out);
        }
        let edge = self.unacked + u32::from(self.remote_window);
        let timestamp = Timestamp(now.as_millis() as u32);
        for (&sn, (at, data)) in &mut self.flying {
            // As long as it fits one datagram.
            if at.is_none() && sn < edge && out.len() + data.len() < 20_000 {
                *at = Some(now);
                header(Command::Push, sn, timestamp).encode(data, &mut out);
            }
        }
        (self.acks, self.tell) = (Vec::new(), false);
        out
    }
}
