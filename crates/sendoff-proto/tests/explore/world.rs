//! Two hosts, what is in the network between them, and all that can happen next.

use super::{
    forge::{Forgery, forge, thief},
    host::{Event, Host, Sent},
    scenario::{Begins, Faults, Finishes, Scenario},
    stock::{Out, Stock},
    words::words,
};
use sendoff_proto::{
    Config, Congestion, Conv, Mode, NoDelay, Profile, Wire,
    wire::{Block, Body, Command, FIN_FRAGMENT, segments},
};
use std::{
    hash::{DefaultHasher, Hash, Hasher},
    net::SocketAddr,
    rc::Rc,
    sync::LazyLock,
    time::{Duration, Instant},
};

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// A process may be stopped for so long, while the network forgets.
const PAUSE: Duration = Duration::from_secs(10);

/// In a longer time the network loses all that is in it.
const DELAY: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Connect { opening: u8, writes: u8 },
    Deliver { way: u8, n: u8 },
    Tick,
    Pause,
    ClientWrites,
    ClientFinishes,
    ClientAborts,
    ClientRestarts,
    ServerWrites(u8),
    ServerFinishes(u8),
    ServerAborts(u8),
    ServerRestarts,
    ServerGoesAway,
    PressureFlips,
    StockWrites,
    StockCloses,
    ClientMoves { knows: bool },
    Replay { n: u8 },
    Forge(Forgery),
}

#[derive(Clone)]
pub enum Server {
    Ours(Rc<Host>),
    Stock(Rc<Stock>),
}

/// In the network: the client's address (from which it comes, or where it goes), and what is in it.
type Datagram = (SocketAddr, Rc<[u8]>);

/// The client's addresses, in turn.
fn homes() -> [SocketAddr; 2] {
    [([192, 0, 2, 1], 4_000).into(), ([192, 0, 2, 3], 4_000).into()]
}

#[derive(Clone)]
pub struct World {
    pub now: Instant,
    pub client: Rc<Host>,
    pub server: Server,
    /// To the server, and to the client: what may arrive any number of times, or never.
    net: [Vec<Datagram>; 2],
    /// Where the client is now.
    client_at: SocketAddr,
    left: Faults,
    pub ticks: u8,
    /// What happens to a datagram that finds the network full.
    pub loss: Loss,
    /// The last step has sent one.
    pub was_full: bool,
}

/// Which datagram is lost when there is no room for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    Newest,
    /// That one in order of age.
    Older(u8),
}

fn config(wire: Wire) -> Config {
    let profile = Profile::new(NoDelay::On, Duration::from_millis(10), 0, Congestion::None).unwrap();
    Config::new().profile(profile).mode(Mode::Message).recv_window(128).unwrap().wire(wire)
}

fn conv() -> Conv {
    Conv::new(7).unwrap()
}

impl World {
    pub fn new(scenario: &Scenario) -> Self {
        let mut world = Self::unopened(scenario);
        let connect = Action::Connect { opening: 0, writes: scenario.first_writes[0] };
        let before: &[Action] = match scenario.begins {
            Begins::Unopened => &[],
            Begins::HalfOpen | Begins::Open => &[connect],
            Begins::Moved => &[connect, Action::ClientMoves { knows: true }],
        };
        for &action in before {
            let mut next = Some(action);
            while let Some(action) = next {
                world.step_fairly(scenario, action).expect("nothing goes wrong");
                if scenario.begins == Begins::HalfOpen {
                    world.net[1].clear();
                }
                next = world.oldest();
            }
        }
        world
    }

    fn unopened(scenario: &Scenario) -> Self {
        let [here, _] = homes();
        let there: SocketAddr = ([192, 0, 2, 2], 5_000).into();
        let mut dials = config(scenario.client);
        if scenario.fixed_conv {
            dials = dials.conv(conv());
        }
        let server = match scenario.stock_server {
            true => Server::Stock(Rc::default()),
            false => {
                let mut host = Host::new(config(Wire::Extended), true, here, 0x80);
                host.set_pressure(scenario.pressure);
                Server::Ours(Rc::new(host))
            }
        };
        Self {
            now: *START,
            client: Rc::new(Host::new(dials, false, there, 0x10)),
            server,
            net: [Vec::new(), Vec::new()],
            client_at: here,
            left: scenario.faults,
            ticks: 0,
            loss: Loss::Newest,
            was_full: false,
        }
    }

    pub fn ours(&self) -> Option<&Host> {
        match &self.server {
            Server::Ours(host) => Some(host),
            Server::Stock(_) => None,
        }
    }

    pub fn stock(&self) -> Option<&Stock> {
        match &self.server {
            Server::Ours(_) => None,
            Server::Stock(stock) => Some(stock),
        }
    }

    /// All that can happen next. Without `faults`, only what applications do that mean well.
    pub fn actions(&self, scenario: &Scenario, faults: bool) -> Vec<Action> {
        let mut actions = Vec::with_capacity(16);
        self.application_actions(scenario, faults, &mut actions);
        if faults {
            self.fault_actions(scenario, &mut actions);
            for way in 0..2 {
                for n in 0..self.net[way as usize].len() as u8 {
                    actions.push(Action::Deliver { way, n });
                }
            }
        }
        actions
    }

    fn application_actions(&self, scenario: &Scenario, faults: bool, actions: &mut Vec<Action>) {
        match self.client.living().next() {
            Some(n) => {
                let talk = &self.client.talks[n];
                if talk.written < scenario.writes[0] && !talk.finished {
                    actions.push(Action::ClientWrites);
                } else if !talk.finished {
                    actions.push(Action::ClientFinishes);
                }
            }
            None => {
                let dialled = self.client.talks.len();
                let lives = usize::from(self.client.life) + 1;
                let may = dialled < lives || (faults && self.left.redials > 0);
                let free = dialled < lives || !(*self.client).clone().is_buried(self.now, conv());
                if may && free {
                    for opening in 0..scenario.openings.len() as u8 {
                        for &writes in scenario.first_writes {
                            actions.push(Action::Connect { opening, writes: writes.min(scenario.writes[0]) });
                        }
                    }
                }
            }
        }
        match &self.server {
            Server::Ours(host) => {
                for n in host.living() {
                    let talk = &host.talks[n];
                    let may = !scenario.echo || talk.received.len() > usize::from(talk.written);
                    if talk.written < scenario.writes[1] && !talk.finished && may {
                        actions.push(Action::ServerWrites(n as u8));
                    }
                    let finishes = match scenario.finishes {
                        Finishes::AtEnd => talk.peer_finished && talk.written == scenario.writes[1],
                        Finishes::AfterAll => {
                            talk.received.len() == usize::from(scenario.writes[0])
                                && talk.written == scenario.writes[1]
                        }
                        Finishes::AtAnyTime => faults || talk.written == scenario.writes[1],
                    };
                    if finishes && !talk.finished {
                        actions.push(Action::ServerFinishes(n as u8));
                    }
                }
            }
            Server::Stock(stock) => {
                if stock.may_write(scenario.writes[1]) {
                    actions.push(Action::StockWrites);
                }
            }
        }
    }

    fn fault_actions(&self, scenario: &Scenario, actions: &mut Vec<Action>) {
        let left = &self.left;
        let dialled = !self.client.talks.is_empty();
        if self.ticks < scenario.ticks && dialled {
            actions.extend(self.next_tick().map(|_| Action::Tick));
        }
        if left.pauses > 0 && dialled {
            actions.push(Action::Pause);
        }
        if left.aborts > 0 {
            actions.extend(self.client.living().map(|_| Action::ClientAborts));
            let living = self.ours().into_iter().flat_map(Host::living);
            actions.extend(living.map(|n| Action::ServerAborts(n as u8)));
        }
        if left.client_restarts > 0 && dialled {
            actions.push(Action::ClientRestarts);
        }
        if left.server_restarts > 0 && self.ours().is_some_and(|host| host.living().next().is_some()) {
            actions.push(Action::ServerRestarts);
        }
        if left.departures > 0 && dialled {
            actions.push(Action::ServerGoesAway);
        }
        if left.flips > 0 && self.ours().is_some() {
            actions.push(Action::PressureFlips);
        }
        if left.stock_closes > 0 && self.stock().is_some_and(Stock::has_session) {
            actions.push(Action::StockCloses);
        }
        // Who is through and then goes elsewhere is out of reach: its last acknowledgement may be lost.
        if left.moves > 0 && self.client.living().next().is_some() {
            actions.extend([true, false].map(|knows| Action::ClientMoves { knows }));
        }
        if left.replays > 0 {
            actions.extend((0..self.net[0].len() as u8).map(|n| Action::Replay { n }));
        }
        if left.forgeries > 0 && dialled {
            actions.extend(Forgery::all().map(Action::Forge));
        }
    }

    /// When something happens by itself.
    pub fn next_tick(&self) -> Option<Instant> {
        let timers = [
            self.client.next_timer(),
            self.ours().and_then(Host::next_timer),
            self.stock().and_then(Stock::next_timer),
        ];
        let next = timers.into_iter().flatten().chain(self.next_expiry()).min()?;
        Some(next.max(self.now))
    }

    fn next_expiry(&self) -> Option<Instant> {
        let expiries = [self.client.next_expiry(), self.ours().and_then(Host::next_expiry)];
        expiries.into_iter().flatten().filter(|&at| at > self.now).min()
    }

    /// The clock goes on. A tombstone outlives every datagram of its conversation.
    fn pass(&mut self, until: Instant, ours: &mut Sent, theirs: &mut Sent) {
        if until > self.now + DELAY || self.next_expiry().is_some_and(|at| at <= until) {
            self.net = Default::default();
        }
        self.now = until;
        Rc::make_mut(&mut self.client).tick(self.now, ours);
        match &mut self.server {
            Server::Ours(host) => Rc::make_mut(host).tick(self.now, theirs),
            Server::Stock(stock) => {
                let mut out = Out::new();
                Rc::make_mut(stock).tick(self.now, &mut out);
                theirs.extend(out.into_iter().map(|datagram| (self.client_at, datagram)));
            }
        }
    }

    /// Lets it happen.
    ///
    /// # Errors
    /// What rule is broken by it.
    pub fn step(&mut self, scenario: &Scenario, action: Action) -> Result<(), String> {
        let (mut ours, mut theirs) = (Sent::new(), Sent::new());
        self.was_full = false;
        let now = self.now;
        match action {
            Action::Connect { opening, writes } => {
                self.left.redials -= u8::from(self.client.talks.len() > usize::from(self.client.life));
                let opening = scenario.openings[opening as usize];
                Rc::make_mut(&mut self.client).dial(now, conv(), opening, writes, &mut ours);
            }
            Action::Deliver { way, n } => {
                let (client, datagram) = self.net[way as usize][n as usize].clone();
                self.receive((way, client), &datagram, &mut ours, &mut theirs)?;
            }
            Action::ClientMoves { knows } => {
                self.left.moves -= 1;
                let [first, second] = homes();
                self.client_at = if self.client_at == first { second } else { first };
                Rc::make_mut(&mut self.client).change_address(now, knows, &mut ours);
            }
            Action::Replay { n } => {
                self.left.replays -= 1;
                let (_, datagram) = self.net[0][n as usize].clone();
                self.receive((0, thief()), &datagram, &mut ours, &mut theirs)?;
            }
            Action::Tick => {
                self.ticks = self.ticks.saturating_add(1);
                self.pass(self.next_tick().unwrap_or(now), &mut ours, &mut theirs);
            }
            Action::Pause => {
                self.left.pauses -= 1;
                self.pass(now + PAUSE, &mut ours, &mut theirs);
            }
            Action::ClientRestarts => {
                self.left.client_restarts -= 1;
                Rc::make_mut(&mut self.client).restart();
            }
            Action::ClientWrites | Action::ClientFinishes | Action::ClientAborts => {
                let client = Rc::make_mut(&mut self.client);
                let n = client.talks.len() - 1;
                match action {
                    Action::ClientWrites => client.write(now, n, &mut ours),
                    Action::ClientFinishes if scenario.closes[0] => client.close(now, n, &mut ours),
                    Action::ClientFinishes => client.finish(now, n, &mut ours),
                    _ => {
                        self.left.aborts -= 1;
                        client.abort(now, n, &mut ours);
                    }
                }
            }
            Action::Forge(forgery) => {
                self.left.forgeries -= 1;
                let datagram = forge(forgery, conv());
                self.receive((forgery.way, self.client_at), &datagram, &mut ours, &mut theirs)?;
            }
            _ => self.step_server(scenario, action, &mut theirs),
        }
        self.send(scenario, 0, ours)?;
        self.send(scenario, 1, theirs)
    }

    fn step_server(&mut self, scenario: &Scenario, action: Action, sent: &mut Sent) {
        let now = self.now;
        match (&mut self.server, action) {
            (Server::Stock(stock), Action::StockWrites) => {
                let mut out = Out::new();
                Rc::make_mut(stock).write(now, &mut out);
                sent.extend(out.into_iter().map(|datagram| (self.client_at, datagram)));
            }
            (Server::Stock(stock), _) => {
                self.left.stock_closes -= 1;
                Rc::make_mut(stock).close();
            }
            (Server::Ours(host), action) => {
                let host = Rc::make_mut(host);
                match action {
                    Action::ServerWrites(n) => host.write(now, n.into(), sent),
                    Action::ServerFinishes(n) if scenario.closes[1] => host.close(now, n.into(), sent),
                    Action::ServerFinishes(n) => host.finish(now, n.into(), sent),
                    Action::ServerAborts(n) => {
                        self.left.aborts -= 1;
                        host.abort(now, n.into(), sent);
                    }
                    Action::ServerGoesAway => {
                        self.left.departures -= 1;
                        host.go_away(now, sent);
                    }
                    Action::PressureFlips => {
                        self.left.flips -= 1;
                        host.set_pressure(!host.is_under_pressure());
                    }
                    _ => {
                        self.left.server_restarts -= 1;
                        host.restart();
                    }
                }
            }
        }
    }

    fn receive(
        &mut self,
        (way, client): (u8, SocketAddr),
        datagram: &[u8],
        ours: &mut Sent,
        theirs: &mut Sent,
    ) -> Result<(), String> {
        if way == 1 {
            // Nobody is where the client was.
            if client == self.client_at {
                let server = self.client.remote;
                Rc::make_mut(&mut self.client).receive(self.now, server, datagram, ours);
            }
            return Ok(());
        }
        match &mut self.server {
            Server::Ours(host) => {
                let host = Rc::make_mut(host);
                match host.receive(self.now, client, datagram, theirs) {
                    Event::Accepted(n) => super::check::accepted(&self.client, host, n),
                    _ => Ok(()),
                }
            }
            Server::Stock(stock) => {
                let mut out = Out::new();
                Rc::make_mut(stock).receive(datagram, &mut out);
                theirs.extend(out.into_iter().map(|datagram| (client, datagram)));
                Ok(())
            }
        }
    }

    /// Puts datagrams into the network, as far as there is room.
    fn send(&mut self, scenario: &Scenario, way: usize, sent: Sent) -> Result<(), String> {
        for (to, datagram) in sent {
            let client = if way == 0 { self.client_at } else { to };
            if client == thief() {
                continue;
            }
            let fin = segments(&datagram)
                .flatten()
                .any(|s| s.command() == Command::Push && s.fragment() == FIN_FRAGMENT);
            if fin && scenario.has_stock_peer() {
                return Err("a FIN is sent to a stock peer".to_owned());
            }
            let datagram = (client, Rc::from(datagram));
            let hash = self.datagram_hash(way, &datagram);
            let is_there = self.net[way].iter().any(|other| self.datagram_hash(way, other) == hash);
            if is_there {
                continue;
            }
            let place = &mut self.net[way];
            if place.len() >= scenario.room {
                self.was_full = true;
                match self.loss {
                    Loss::Newest => continue,
                    Loss::Older(n) => drop(place.remove(n as usize)),
                }
            }
            place.push(datagram);
        }
        Ok(())
    }

    /// The oldest datagram to the server, or else to the client.
    pub fn oldest(&self) -> Option<Action> {
        let way = (0..2).find(|&way| !self.net[way].is_empty())?;
        Some(Action::Deliver { way: way as u8, n: 0 })
    }

    /// A step in a network that loses and doubles nothing.
    ///
    /// # Errors
    /// What rule is broken by it.
    pub fn step_fairly(&mut self, scenario: &Scenario, action: Action) -> Result<(), String> {
        let fair = Scenario { room: usize::MAX, ..scenario.clone() };
        let delivered = match action {
            Action::Deliver { way, n } => Some((way as usize, self.net[way as usize][n as usize].clone())),
            _ => None,
        };
        let done = self.step(&fair, action);
        if let Some((way, datagram)) = delivered
            && let Some(n) = self.net[way].iter().position(|other| Rc::ptr_eq(&other.1, &datagram.1))
        {
            self.net[way].remove(n);
        }
        done
    }

    /// Datagrams are told apart by what they would do: not by challenges, which nobody looks at but to
    /// measure the path, and by the age of timestamps.
    fn datagram_hash(&self, way: usize, (client, datagram): &Datagram) -> u64 {
        let mut h = DefaultHasher::new();
        client.hash(&mut h);
        for segment in segments(datagram).flatten() {
            (segment.conv(), segment.command(), segment.fragment()).hash(&mut h);
            (segment.sn(), segment.una(), segment.window()).hash(&mut h);
            let sender_is_client = (way == 0) == (segment.command() == Command::Push);
            let clock = match segment.command() {
                Command::Push | Command::Ack if sender_is_client => Some(&*self.client),
                Command::Push | Command::Ack => self.ours(),
                _ => None,
            };
            clock.map(|host| host.echo_class(self.now, &segment)).hash(&mut h);
            let data = segment.data();
            let data = match Block::parse(&segment) {
                Some(Block { body: Body::Ping { .. } | Body::Pong { .. }, .. }) => &data[..24],
                Some(block) => match self.cookie_worth(segment.conv(), &block) {
                    Some(worth) => {
                        worth.hash(&mut h);
                        &data[..24]
                    }
                    None => data,
                },
                None => data,
            };
            data.hash(&mut h);
            if let Some(Block { body: Body::Pong { challenge }, .. }) = Block::parse(&segment)
                && way == 0
            {
                // It may move the peer.
                self.ours().map(|host| host.is_proof(self.now, *client, challenge)).hash(&mut h);
            }
        }
        h.finish()
    }

    /// What the cookie in a HELLO or RETRY is worth to the server, and whether the client has it already.
    fn cookie_worth(&self, conv: u32, block: &Block<'_>) -> Option<(u8, bool)> {
        let (cookie, token) = match block.body {
            Body::Hello { cookie, .. } => (cookie, block.from),
            Body::Retry { cookie } => (cookie, block.to),
            _ => return None,
        };
        if cookie == [0; 16] {
            return Some((u8::MAX, false));
        }
        let worth = |host: &Host| Some(host.cookie_class(self.now, Conv::new(conv)?, token?, &cookie));
        let worth: Option<u8> = self.ours().and_then(worth);
        let connection = |n: usize| self.client.talks[n].connection.as_deref();
        let known = self.client.living().filter_map(connection).any(|c| c.has_cookie(&cookie));
        Some((worth.unwrap_or(0), known))
    }

    /// Two worlds with the same fingerprint have the same future.
    pub fn fingerprint(&self) -> u64 {
        let mut h = DefaultHasher::new();
        self.client.fingerprint(self.now, &mut h);
        match &self.server {
            Server::Ours(host) => host.fingerprint(self.now, &mut h),
            Server::Stock(stock) => stock.fingerprint(self.now, &mut h),
        }
        for way in 0..2 {
            let mut hashes: Vec<_> = self.net[way].iter().map(|d| self.datagram_hash(way, d)).collect();
            hashes.sort_unstable();
            hashes.hash(&mut h);
        }
        (self.left, self.client_at).hash(&mut h);
        if let Some(host) = self.ours() {
            for connection in self.client.living().filter_map(|n| self.client.talks[n].connection.as_deref())
            {
                let (token, cookie) = (connection.token(), connection.cookie());
                host.cookie_class(self.now, connection.conv(), token, &cookie).hash(&mut h);
            }
        }
        h.finish()
    }

    /// What a step does, in words.
    pub fn describe(&self, scenario: &Scenario, action: Action) -> String {
        let datagram = |way: u8, n: u8| {
            let (client, datagram) = &self.net[way as usize][n as usize];
            let gone = if *client == self.client_at { String::new() } else { format!(" ({client})") };
            words(datagram) + &gone
        };
        let to = |way: u8| if way == 0 { "server" } else { "client" };
        match action {
            Action::Connect { opening, writes } => {
                format!("client connects {:?}, {writes} written", scenario.openings[opening as usize])
            }
            Action::Deliver { way, n } => format!("{} gets {}", to(way), datagram(way, n)),
            Action::Tick => {
                let span = self.next_tick().map(|at| at - self.now).unwrap_or_default();
                format!("{} ms pass", span.as_millis())
            }
            Action::Forge(forgery) => {
                format!("attacker to {}: {}", to(forgery.way), words(&forge(forgery, conv())))
            }
            Action::Replay { n } => format!("from elsewhere again: server gets {}", datagram(0, n)),
            other => format!("{other:?}"),
        }
    }
}
