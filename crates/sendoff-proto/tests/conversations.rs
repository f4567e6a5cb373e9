//! Whole conversations between two hosts over bad links, in virtual time: whatever happens, both ends come to an
//! end, and tell the same story or an error that names the cause.

mod sim;

use sendoff_netem::{Link, LinkConfig, Loss, Reorder, Rng};
use sendoff_proto::{
    Cause, Config, Connection, Conv, Ending, Opening, Party, PeerKind, Silence, TransmitBuffer, Wire, code,
    fec::{Fec, FecStats},
};
use sim::{coder::Coder, host::App, ms};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

/// Seeds of the default run.
const DEFAULT_SEEDS: u64 = 2_000;
const DEFAULT_CODED_SEEDS: u64 = 1_000;

/// By then every conversation has to be over.
const LIMIT: Duration = Duration::from_secs(1_200);

fn addr(host: usize) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1 + host as u8], 1_000))
}

/// What an application does with its connection.
#[derive(Clone, Debug)]
struct Plan {
    payload: Vec<u8>,
    /// Once all is written, and perhaps heard.
    then: Then,
    /// Waits for the peer's end before its own.
    answers: bool,
    /// Breaks off after that time.
    abort_at: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Finish,
    Close,
}

/// What runs on a connection, and what it has heard.
#[derive(Clone, Debug)]
struct Speaker {
    began: Instant,
    plan: Plan,
    written: usize,
    received: Vec<u8>,
    eof: bool,
    done: bool,
}

type Host = sim::host::Host<Speaker>;
type Talk = sim::host::Talk<Speaker>;

impl Speaker {
    fn new(began: Instant, plan: Plan) -> Self {
        Self { began, plan, written: 0, received: Vec::new(), eof: false, done: false }
    }
}

impl App for Speaker {
    /// Reads, writes, and ends as planned.
    fn act(&mut self, now: Instant, connection: &mut Connection) {
        if self.plan.abort_at.is_some_and(|at| now >= self.began + at) {
            connection.abort(now, 99);
        }
        let mut chunk = [0; 1_024];
        loop {
            let n = connection.read(&mut chunk);
            self.received.extend_from_slice(&chunk[..n]);
            if n == 0 {
                break;
            }
        }
        self.eof |= connection.is_peer_finished();
        self.written += connection.write(&self.plan.payload[self.written..]);
        let heard = !self.plan.answers || self.eof || connection.peer_kind() == PeerKind::Stock;
        if self.written == self.plan.payload.len() && heard && !self.done {
            self.done = true;
            match self.plan.then {
                Then::Finish => connection.finish_with(17, "all said"),
                Then::Close => connection.close(now, 18, "and gone"),
            }
        }
        // Who has finished and heard the end, or can't hear one, lets go.
        let stock = connection.peer_kind() == PeerKind::Stock && connection.is_delivered();
        if self.done && (self.eof || stock) {
            connection.close(now, 0, "");
        }
    }
}

struct World {
    now: Duration,
    base: Instant,
    hosts: [Host; 2],
    links: [Link; 2],
    coders: [Coder; 2],
    /// When the server goes away, and when it breaks off what is left.
    leaves: Option<[Duration; 2]>,
    /// What the server was before it was started anew.
    before: Vec<Host>,
    buffer: TransmitBuffer,
}

impl World {
    fn instant(&self) -> Instant {
        self.base + self.now
    }

    fn pump(&mut self) {
        let now = self.instant();
        for ((host, link), coder) in self.hosts.iter_mut().zip(&mut self.links).zip(&mut self.coders) {
            host.pump(now, &mut self.buffer, &mut |_, segments| {
                coder.send(now, segments, &mut |datagram| link.send(self.now, datagram));
            });
        }
    }

    fn step(&mut self, limit: Duration) -> bool {
        self.pump();
        let timeouts = self.hosts.iter().filter_map(Host::next_timeout);
        let timeouts = timeouts.map(|at| at.saturating_duration_since(self.base).max(self.now));
        let aborts = self.hosts.iter().flat_map(|h| &h.talks).filter(|t| t.connection.ending().is_none());
        let aborts = aborts.filter_map(|t| t.app.plan.abort_at).filter(|&at| at > self.now);
        let arrivals = self.links.iter().filter_map(Link::next_arrival);
        let leaves = self.leaves.into_iter().flatten().filter(|&at| at > self.now);
        let Some(at) = timeouts.chain(aborts).chain(arrivals).chain(leaves).min().filter(|&at| at <= limit)
        else {
            self.now = limit;
            return false;
        };
        self.now = at;
        let now = self.instant();
        for from in 0..2 {
            while let Some(datagram) = self.links[from].receive(at) {
                let to = 1 - from;
                let arrived = self.coders[to].receive(&datagram);
                let host = &mut self.hosts[to];
                let answers = arrived.segments.map(|s| host.receive(now, addr(from), &s));
                for answer in answers.into_iter().flatten() {
                    self.links[to].send(at, answer);
                }
                for segments in arrived.recovered {
                    host.receive_recovered(now, addr(from), &segments);
                }
            }
        }
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
}

fn random_link(rng: &mut Rng) -> LinkConfig {
    let mut link = LinkConfig::new().delay(ms(1 + rng.below(150)));
    if rng.chance(0.5) {
        link = link.jitter(ms(rng.below(40))).allow_reorder(true);
    }
    if rng.chance(0.6) {
        link = link.loss(Loss::Bernoulli([0.02, 0.1, 0.3][rng.below(3) as usize]));
    }
    if rng.chance(0.4) {
        link = link.duplicate(0.2).reorder(0.2, Reorder::HoldBack(ms(1 + rng.below(400))));
    }
    if rng.chance(0.2) {
        let from = rng.below(3_000);
        link = link.partition(ms(from)..ms(from + rng.below(60_000)));
    }
    link
}

/// A ratio or none for each direction.
fn random_ratios(rng: &mut Rng) -> [Option<Fec>; 2] {
    let mut ratio = || {
        let ratios = [(10, 3), (3, 2), (1, 1), (4, 4), (2, 6), (10, 10)];
        let (data, parity) = ratios[rng.below(6) as usize];
        rng.chance(0.85).then(|| Fec::new(data, parity).unwrap())
    };
    [ratio(), ratio()]
}

fn random_config(rng: &mut Rng, wire: Wire) -> Config {
    let window = [8, 32, 256][rng.below(3) as usize];
    Config::new()
        .mtu([128, 512, 1_400][rng.below(3) as usize])
        .and_then(|c| c.send_window(window))
        .and_then(|c| c.recv_window([32, 128][rng.below(2) as usize]))
        .unwrap()
        .wire(wire)
        .prove(rng.chance(0.3))
        .keep_alive(ms(2_000))
        .linger(ms(15_000))
}

fn random_plan(rng: &mut Rng) -> Plan {
    let len = [0, 5, 3_000, 40_000][rng.below(4) as usize];
    Plan {
        payload: rng.bytes(len),
        then: if rng.chance(0.5) { Then::Finish } else { Then::Close },
        answers: rng.chance(0.5),
        abort_at: rng.chance(0.15).then(|| ms(rng.below(3_000))),
    }
}

/// One conversation from its beginning to its end; with `restart`, the server is started anew in between. `coded`:
/// with FEC and more loss; returns what that has counted.
fn converse(seed: u64, coded: bool) -> FecStats {
    let mut rng = Rng::new(seed);
    let wires = [Wire::Extended, Wire::Extended, Wire::Classic, Wire::Required];
    let mut wire = || wires[rng.below(4) as usize];
    let (ours, theirs) = (wire(), wire());
    let configs = [random_config(&mut rng, ours), random_config(&mut rng, theirs)];
    let mut plans = [random_plan(&mut rng), random_plan(&mut rng)];
    // Two that wait for each other would wait for ever.
    plans[0].answers &= !plans[1].answers;
    let restart = rng.chance(0.2).then(|| ms(rng.below(4_000)));
    let mut link = || {
        let mut link = random_link(&mut rng);
        if coded {
            link = link.loss(Loss::Bernoulli([0.2, 0.25, 0.3][rng.below(3) as usize]));
        }
        Link::new(link, rng.u64())
    };
    let links = [link(), link()];
    let ratios = if coded { random_ratios(&mut rng) } else { [None; 2] };
    let [client, server] = configs;
    let [client_plan, server_plan] = plans;
    let base = Instant::now();
    let [client_plan, server_plan] = [client_plan, server_plan].map(|plan| Speaker::new(base, plan));
    let mut world = World {
        now: Duration::ZERO,
        base,
        hosts: [
            Host::new(client, false, client_plan, rng.u64()),
            Host::new(server.clone(), true, server_plan.clone(), rng.u64()),
        ],
        links,
        coders: ratios.map(Coder::new),
        leaves: None,
        before: Vec::new(),
        buffer: TransmitBuffer::new(),
    };
    if restart.is_none() && rng.chance(0.3) {
        let begins = ms(rng.below(3_000));
        world.leaves = Some([begins, begins + ms(rng.below(20_000))]);
    }
    let opening = if rng.chance(0.5) { Opening::Early } else { Opening::Waiting };
    let conv = Conv::new(1 + rng.below(1 << 31) as u32).unwrap();
    let now = world.instant();
    world.hosts[0].add(now, addr(1), conv, opening);
    if let Some(at) = restart {
        while world.step(at) {}
        let fresh = Host::new(server, true, server_plan, rng.u64());
        let old = std::mem::replace(&mut world.hosts[1], fresh);
        world.before.push(old);
        world.coders[1] = Coder::new(ratios[1]);
    }
    loop {
        if !world.step(LIMIT) || (world.hosts.iter().all(Host::is_over) && world.links.iter().all(is_empty)) {
            break;
        }
        check_bytes(seed, &world);
    }
    check_story(seed, &world, (ours, theirs), restart.is_some());
    world.coders[0].stats().and(world.coders[1].stats())
}

fn is_empty(link: &Link) -> bool {
    link.next_arrival().is_none()
}

/// What was heard is what was said, from its beginning, and an end in order comes after all of it.
fn check_bytes(seed: u64, world: &World) {
    for (listener, speaker) in [(0, 1), (1, 0)] {
        let said = &world.hosts[speaker].app.plan.payload;
        for talk in &world.hosts[listener].talks {
            assert!(said.starts_with(&talk.app.received), "seed {seed}: other bytes");
            assert!(
                !talk.app.eof || talk.app.received.len() == said.len(),
                "seed {seed}: an end before all has come"
            );
        }
    }
}

fn check_story(seed: u64, world: &World, (ours, theirs): (Wire, Wire), restarted: bool) {
    check_bytes(seed, world);
    let endings = |host: &Host| host.talks.iter().map(|t| t.connection.ending().cloned()).collect::<Vec<_>>();
    let client = &world.hosts[0].talks[0];
    let tell = || {
        format!(
            "seed {seed}, {ours} to {theirs}, at {:?}\nclient {:#?}\n{:?}\nserver {:#?}\nbefore {:#?}",
            world.now,
            client.connection.ending(),
            client.connection.stats(),
            world.hosts[1]
                .talks
                .iter()
                .map(|t| (t.connection.ending(), t.connection.stats()))
                .collect::<Vec<_>>(),
            world.before.iter().map(endings).collect::<Vec<_>>()
        )
    };
    let Some(ending) = client.connection.ending() else { panic!("no end at the client: {}", tell()) };
    assert!(endings(&world.hosts[1]).iter().all(Option::is_some), "no end at the server: {}", tell());
    for talk in world.hosts.iter().flat_map(|h| &h.talks) {
        assert_eq!(talk.connection.poll_timeout(), None, "a timer after the end: {}", tell());
    }
    let accepted = world.hosts[1].talks.len() + world.before.iter().map(|h| h.talks.len()).sum::<usize>();
    // A stock opening is one more to a server that has forgotten the first; so may a copy of a HELLO be.
    assert!(accepted <= 1 + usize::from(restarted) * 2, "{accepted} accepted: {}", tell());
    if let (1, 0, [server]) = (accepted, world.before.len(), &world.hosts[1].talks[..]) {
        check_pair(client, ending, server, &tell);
    }
    check_departure(world, client, ending, &tell);
    if theirs == Wire::Required && ours == Wire::Classic {
        assert_eq!(accepted, 0, "{}", tell());
    }
}

/// Who is told that the server goes away, and who is broken off because it has gone.
fn check_departure(world: &World, client: &Talk, ending: &Ending, tell: &dyn Fn() -> String) {
    let leaves = world.leaves.is_some();
    assert!(leaves || !client.connection.is_peer_going_away(), "{}", tell());
    if ending.by == Party::Peer && ending.code == code::GOING_AWAY {
        assert!(leaves && matches!(ending.cause, Cause::Refused | Cause::Reset), "{}", tell());
    }
    for talk in &world.hosts[1].talks {
        let known = client.connection.is_peer_going_away() || talk.connection.ending().is_some();
        assert!(!talk.connection.is_going_away_confirmed() || known, "{}", tell());
    }
}

/// Two ends of one conversation.
fn check_pair(client: &Talk, ending: &Ending, server: &Talk, tell: &dyn Fn() -> String) {
    let other = server.connection.ending().unwrap();
    let ends = [(client, ending, server, other), (server, other, client, ending)];
    for (us, ours, them, theirs) in ends {
        let extended = us.connection.peer_kind() == PeerKind::Extended;
        let all = us.app.plan.payload.len();
        if ours.cause == Cause::Closed && us.app.written == all && them.app.plan.abort_at.is_none() {
            // What is acknowledged has arrived; unless its reader had closed, and said so.
            let arrived = them.app.received.len() == all || them.app.plan.then == Then::Close;
            assert!(arrived || !extended, "{}", tell());
        }
        if ours.cause == Cause::Closed && extended && us.connection.is_delivered() {
            let heard = theirs.bytes_received == ours.bytes_sent;
            assert!(heard, "acknowledged, but not heard: {}", tell());
        }
        if us.app.eof {
            assert!(them.app.done, "an end that nobody said: {}", tell());
            assert_eq!(us.connection.peer_farewell().map(|f| f.code >= 17 || f.code == 0), Some(true));
        }
        match (ours.by, ours.cause) {
            (Party::Peer, Cause::Reset) if ours.code == 99 => {
                assert!(them.app.plan.abort_at.is_some(), "{}", tell());
            }
            (Party::Local, Cause::Aborted) if ours.code == code::GOING_AWAY => {}
            (Party::Local, Cause::Aborted) => assert!(us.app.plan.abort_at.is_some(), "{}", tell()),
            (_, Cause::TimedOut(Silence::Opening)) => assert!(us.app.received.is_empty(), "{}", tell()),
            _ => {}
        }
    }
}

fn seeds(default: u64) -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|n| n.parse::<u64>().ok());
    let first = number("SENDOFF_MODEL_FIRST").unwrap_or(0);
    first..first + number("SENDOFF_MODEL_SEEDS").unwrap_or(default)
}

#[test]
fn every_conversation_comes_to_its_end_on_both_sides() {
    for seed in seeds(DEFAULT_SEEDS) {
        assert_eq!(converse(seed, false), FecStats::default());
    }
}

#[test]
fn so_does_every_one_whose_losses_are_made_good_by_parity() {
    let range = seeds(DEFAULT_CODED_SEEDS);
    let conversations = range.end - range.start;
    let counted = range.map(|seed| converse(seed, true)).reduce(FecStats::and).unwrap_or_default();
    println!("{counted:#?}");
    assert!(counted.recovered > conversations * 5, "hardly anything was made good: {counted:#?}");
    assert_eq!(counted.refused_groups, 0, "decoded under a wrong ratio: {counted:#?}");
}
