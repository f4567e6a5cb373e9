//! One socket with its table of connections and what runs on them, as a driver would have it.

use super::Rng;
use sendoff_proto::{Config, Connection, Conv, Elsewhere, Endpoint, Opening, Route, TransmitBuffer};
use std::{net::SocketAddr, sync::Arc, time::Instant};

/// What runs on a connection.
pub trait App {
    /// It reads, writes and ends as it likes: called before anything is sent, also after the end.
    fn act(&mut self, now: Instant, connection: &mut Connection);
}

/// A connection with its application.
pub struct Talk<A> {
    pub connection: Connection,
    pub remote: SocketAddr,
    pub app: A,
    /// It has ended, and is out of the table.
    pub removed: bool,
    followed: bool,
}

pub struct Host<A> {
    pub endpoint: Endpoint<usize>,
    pub config: Arc<Config>,
    pub talks: Vec<Talk<A>>,
    /// What runs on each connection that is new.
    pub app: A,
    rng: Rng,
}

impl<A: App + Clone> Host<A> {
    pub fn new(config: Config, listening: bool, app: A, seed: u64) -> Self {
        let config = Arc::new(config);
        let endpoint = Endpoint::new(config.clone(), listening).with_cookies(seed.into());
        Self { endpoint, config, talks: Vec::new(), app, rng: Rng::new(seed) }
    }

    fn seed(&mut self) -> u128 {
        u128::from(self.rng.u64()) << 64 | u128::from(self.rng.u64())
    }

    /// Enters a connection that we open, or that the peer has opened.
    pub fn add(&mut self, now: Instant, remote: SocketAddr, conv: Conv, opening: Opening) -> usize {
        let seed = self.seed();
        let mut connection = Connection::new(self.config.clone(), conv, opening, now, seed);
        connection.hold(self.endpoint.lease());
        let at = self.talks.len();
        self.endpoint.insert(remote, conv, at);
        self.talks.push(Talk { connection, remote, app: self.app.clone(), removed: false, followed: false });
        at
    }

    /// Takes no more connections, and tells those that there are.
    pub fn go_away(&mut self, now: Instant) {
        self.endpoint.go_away();
        for talk in &mut self.talks {
            talk.connection.go_away(now);
        }
    }

    /// A datagram has come; perhaps it is answered at once.
    pub fn receive(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) -> Vec<Vec<u8>> {
        match self.endpoint.route(now, from, datagram) {
            Route::Known(talk) => self.talks[talk].connection.handle_datagram(now, datagram),
            Route::Opens(conv, opening) => {
                let talk = self.add(now, from, conv, opening);
                self.talks[talk].connection.handle_datagram(now, datagram);
            }
            Route::Elsewhere(talk) => return self.receive_elsewhere(now, from, datagram, talk),
            Route::Answer(answer) => return vec![answer.to_vec()],
            Route::Dropped(_) | Route::PassOn(_) => {}
        }
        Vec::new()
    }

    fn receive_elsewhere(
        &mut self,
        now: Instant,
        from: SocketAddr,
        datagram: &[u8],
        n: usize,
    ) -> Vec<Vec<u8>> {
        let talk = &mut self.talks[n];
        match talk.connection.handle_elsewhere(now, from, datagram) {
            Elsewhere::Ignored => Vec::new(),
            Elsewhere::Reset => {
                talk.connection.handle_datagram(now, datagram);
                Vec::new()
            }
            Elsewhere::Asked(question, answer) => {
                [Some(question), answer].into_iter().flatten().map(|answer| answer.to_vec()).collect()
            }
            Elsewhere::Moved => {
                let name = (talk.remote, talk.connection.conv());
                let remains = talk.connection.leave_old_path();
                assert!(self.endpoint.relocate(now, name, from, &remains), "nobody else is there");
                talk.remote = from;
                talk.connection.handle_moved(now);
                talk.connection.handle_datagram(now, datagram);
                Vec::new()
            }
        }
    }

    /// Segments of a lost datagram have been made good.
    pub fn receive_recovered(&mut self, now: Instant, from: SocketAddr, segments: &[u8]) {
        let of_these = |t: &&mut Talk<A>| {
            !t.removed && t.remote == from && segments.starts_with(&t.connection.conv().value().to_le_bytes())
        };
        if let Some(talk) = self.talks.iter_mut().find(of_these) {
            talk.connection.handle_recovered(now, segments);
        }
    }

    /// Lets the applications act, and hands what is to be sent to `send`.
    pub fn pump(
        &mut self,
        now: Instant,
        buffer: &mut TransmitBuffer,
        send: &mut impl FnMut(SocketAddr, &[u8]),
    ) {
        while let Some((to, answer)) = self.endpoint.poll_answer(now) {
            send(to, &answer);
        }
        for (n, talk) in self.talks.iter_mut().enumerate() {
            if talk.removed && !talk.connection.has_transmit() {
                continue;
            }
            talk.app.act(now, &mut talk.connection);
            if !talk.followed
                && let Some(token) = talk.connection.followed_as()
            {
                talk.followed = true;
                self.endpoint.follow(token, n);
            }
            while talk.connection.has_transmit() {
                if let Some((former, remains)) = talk.connection.take_former_name() {
                    self.endpoint.rename(now, talk.remote, (former, &remains), talk.connection.conv());
                }
                let Some(batch) = talk.connection.poll_batch(now, buffer) else {
                    panic!("something to send, but nothing is sent: {:?}", talk.connection)
                };
                for datagram in batch.datagrams() {
                    send(talk.remote, datagram);
                }
            }
            if talk.connection.ending().is_some() && !talk.removed {
                talk.removed = true;
                talk.app.act(now, &mut talk.connection);
                let remains = talk.connection.remains();
                self.endpoint.remove(now, talk.remote, talk.connection.conv(), remains);
            }
        }
    }

    pub fn next_timeout(&self) -> Option<Instant> {
        let talks = self.talks.iter().filter_map(|t| t.connection.poll_timeout());
        talks.chain(self.endpoint.poll_timeout()).min()
    }

    pub fn handle_timeouts(&mut self, now: Instant) {
        for talk in &mut self.talks {
            if talk.connection.poll_timeout().is_some_and(|t| t <= now) {
                talk.connection.handle_timeout(now);
                let next = talk.connection.poll_timeout();
                assert!(next.is_none_or(|t| t > now), "a timer was left in the past");
            }
        }
    }

    pub fn is_over(&self) -> bool {
        self.talks.iter().all(|t| t.connection.ending().is_some())
    }
}
