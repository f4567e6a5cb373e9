//! The network between the two hosts: where the client is, what is under way, and what goes wrong by the dice.

use super::{Host, addr, ms};
use crate::sim::coder::Coder;
use sendoff_netem::{Link, Rng};
use sendoff_proto::{TransmitBuffer, code};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

/// Addresses that the client may have.
const HOMES: u8 = 3;

/// Of who sends again what he has recorded.
const ELSEWHERE: u8 = 200;

/// Datagrams that he keeps.
const RECORDED: usize = 1_000;

/// What happens at its time.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    /// The client has another address, and knows it or not.
    Moves { home: u8, knows: bool },
    /// One of the client's datagrams comes again, from where nobody is, or from where the client was.
    Replays { n: u64, home: u8 },
    /// From now on a HELLO needs a cookie at the server, or none.
    Pressure(bool),
}

/// Where the client is, and who sends again is not.
pub fn home(n: u8) -> SocketAddr {
    match n {
        0 => addr(0),
        n => SocketAddr::from(([198, 51, 100, n], 1_000)),
    }
}

fn home_of(remote: SocketAddr) -> u8 {
    (0..HOMES).find(|&n| home(n) == remote).unwrap_or(ELSEWHERE)
}

/// Who has moved there has done it by what was sent again.
pub fn is_elsewhere(remote: SocketAddr) -> bool {
    home_of(remote) == ELSEWHERE
}

/// What happens by the dice, in order.
pub fn random_events(rng: &mut Rng) -> Vec<(Duration, Event)> {
    let mut events = Vec::new();
    if rng.chance(0.3) {
        events.push((Duration::ZERO, Event::Pressure(true)));
        if rng.chance(0.3) {
            events.push((ms(rng.below(1_500)), Event::Pressure(false)));
        }
    }
    if rng.chance(0.6) {
        let mut here = 0;
        let mut at = 0;
        for _ in 0..1 + rng.below(3) {
            at += rng.below(400);
            here = (here + 1 + rng.below(u64::from(HOMES) - 1) as u8) % HOMES;
            events.push((ms(at), Event::Moves { home: here, knows: rng.chance(0.5) }));
        }
    }
    if rng.chance(0.3) {
        for _ in 0..1 + rng.below(20) {
            let home = if rng.chance(0.6) { ELSEWHERE } else { rng.below(HOMES.into()) as u8 };
            events.push((ms(rng.below(4_000)), Event::Replays { n: rng.u64(), home }));
        }
    }
    events.sort_by_key(|&(at, _)| at);
    events.reverse();
    events
}

pub struct World {
    pub now: Duration,
    pub base: Instant,
    pub hosts: [Host; 2],
    /// In front of each datagram stands which of the client's addresses it comes from, or goes to.
    pub links: [Link; 2],
    pub coders: [Coder; 2],
    /// When the server goes away, and when it breaks off what is left.
    pub leaves: Option<[Duration; 2]>,
    /// What the server was before it was started anew.
    pub before: Vec<Host>,
    /// What is still to happen, the last first.
    pub events: Vec<(Duration, Event)>,
    /// Where the client is.
    pub at: u8,
    pub pressed: bool,
    /// What the client has sent.
    pub recorded: Vec<Vec<u8>>,
    /// How often it has moved, and something was sent again.
    pub moved: usize,
    pub replayed: usize,
    pub buffer: TransmitBuffer,
}

impl World {
    pub fn instant(&self) -> Instant {
        self.base + self.now
    }

    fn pump(&mut self) {
        let now = self.instant();
        let Self { hosts: [client, server], links: [there, back], coders: [ours, theirs], .. } = self;
        let (at, recorded) = (self.at, &mut self.recorded);
        client.pump(now, &mut self.buffer, &mut |_, segments| {
            ours.send(now, segments, &mut |datagram| {
                if recorded.len() < RECORDED {
                    recorded.push(datagram.clone());
                }
                there.send(self.now, [&[at], &datagram[..]].concat());
            });
        });
        server.pump(now, &mut self.buffer, &mut |to, segments| {
            let to = home_of(to);
            if to != ELSEWHERE {
                theirs.send(now, segments, &mut |datagram| {
                    back.send(self.now, [&[to], &datagram[..]].concat());
                });
            }
        });
    }

    /// Lets what is next happen; false if there is nothing before the limit.
    pub fn step(&mut self, limit: Duration) -> bool {
        self.pump();
        let timeouts = self.hosts.iter().filter_map(Host::next_timeout);
        let timeouts = timeouts.map(|at| at.saturating_duration_since(self.base).max(self.now));
        let aborts = self.hosts.iter().flat_map(|h| &h.talks).filter(|t| t.connection.ending().is_none());
        let aborts = aborts.filter_map(|t| t.app.plan.abort_at).filter(|&at| at > self.now);
        let arrivals = self.links.iter().filter_map(Link::next_arrival);
        let leaves = self.leaves.into_iter().flatten().filter(|&at| at > self.now);
        let events = self.events.last().map(|&(at, _)| at.max(self.now));
        let next = timeouts.chain(aborts).chain(arrivals).chain(leaves).chain(events).min();
        let Some(at) = next.filter(|&at| at <= limit) else {
            self.now = limit;
            return false;
        };
        self.now = at;
        while let Some(&(due, event)) = self.events.last()
            && due <= at
        {
            self.events.pop();
            self.happen(event);
        }
        self.receive();
        let now = self.instant();
        for host in &mut self.hosts {
            host.handle_timeouts(now);
        }
        if self.leaves.is_some_and(|[begins, _]| at >= begins) {
            self.hosts[1].go_away(now);
        }
        if self.leaves.is_some_and(|[_, ends]| at >= ends) {
            for talk in &mut self.hosts[1].talks {
                talk.connection.abort(now, code::GOING_AWAY);
            }
        }
        self.pump();
        true
    }

    fn receive(&mut self) {
        let now = self.instant();
        while let Some(tagged) = self.links[0].receive(self.now) {
            let Some((&home, datagram)) = tagged.split_first() else { continue };
            let arrived = self.coders[1].receive(datagram);
            if let Some(segments) = arrived.segments {
                self.receive_at_server(home, &segments);
            }
            for segments in arrived.recovered {
                self.hosts[1].receive_recovered(now, self::home(home), &segments);
            }
        }
        while let Some(tagged) = self.links[1].receive(self.now) {
            let Some((_, datagram)) = tagged.split_first().filter(|(home, _)| **home == self.at) else {
                continue; // nobody is where the client was
            };
            let arrived = self.coders[0].receive(datagram);
            let answers = arrived.segments.map(|s| self.hosts[0].receive(now, addr(1), &s));
            for answer in answers.into_iter().flatten() {
                self.links[0].send(self.now, [&[self.at], &answer[..]].concat());
            }
            for segments in arrived.recovered {
                self.hosts[0].receive_recovered(now, addr(1), &segments);
            }
        }
    }

    fn receive_at_server(&mut self, from: u8, segments: &[u8]) {
        let now = self.instant();
        for answer in self.hosts[1].receive(now, home(from), segments) {
            if from != ELSEWHERE {
                self.links[1].send(self.now, [&[from], &answer[..]].concat());
            }
        }
    }

    fn happen(&mut self, event: Event) {
        let now = self.instant();
        match event {
            Event::Moves { home, knows } => {
                (self.at, self.moved) = (home, self.moved + 1);
                if knows {
                    self.hosts[0].talks[0].connection.handle_new_path(now);
                }
            }
            Event::Replays { n, home } => {
                let count = self.recorded.len() as u64;
                let Some(datagram) = self.recorded.get((n % count.max(1)) as usize) else { return };
                self.replayed += 1;
                // A decoder that has seen nothing else: for an address without a connection there is none.
                if let Some(segments) = Coder::new(None).receive(datagram).segments {
                    self.receive_at_server(home, &segments);
                }
            }
            Event::Pressure(pressed) => {
                self.pressed = pressed;
                self.press();
            }
        }
    }

    /// Also a server that was started anew is under pressure, or not.
    pub fn press(&mut self) {
        self.hosts[1].endpoint.set_pressure(if self.pressed { 0 } else { usize::MAX });
    }

    pub fn is_over(&self) -> bool {
        let silent = self.links.iter().all(|link| link.next_arrival().is_none());
        silent && self.events.is_empty() && self.hosts.iter().all(Host::is_over)
    }
}
