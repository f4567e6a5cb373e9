//! Whole conversations between two hosts over bad links, in virtual time: whatever happens, both ends come to an
//! end, and tell the same story or an error that names the cause.

#[path = "../sim/mod.rs"]
mod sim;
mod story;
mod world;

use sendoff_netem::{Link, LinkConfig, Loss, Reorder, Rng};
use sendoff_proto::{
    Config, Connection, Conv, Opening, PeerKind, TransmitBuffer, Wire,
    fec::{Fec, FecStats},
};
use sim::{coder::Coder, host::App, ms};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};
use story::{check_bytes, check_story};
use world::{World, random_events};

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
/// with FEC and more loss.
fn converse(seed: u64, coded: bool) -> Seen {
    let mut rng = Rng::new(seed);
    let mut dice = Rng::new(!seed);
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
        events: random_events(&mut dice),
        at: 0,
        pressed: false,
        recorded: Vec::new(),
        moved: 0,
        replayed: 0,
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
        world.press();
    }
    loop {
        if !world.step(LIMIT) || world.is_over() {
            break;
        }
        check_bytes(seed, &world);
    }
    check_story(seed, &world, (ours, theirs), restart.is_some());
    let fec = world.coders[0].stats().and(world.coders[1].stats());
    // A server that was started anew counts from 0 again, so that two groups may be taken for one.
    assert!(
        fec.refused_groups == 0 || restart.is_some(),
        "seed {seed}: decoded under a wrong ratio: {fec:#?}"
    );
    let client = world.hosts[0].talks[0].connection.stats();
    Seen {
        fec,
        moves: world.hosts[1].talks.iter().map(|talk| talk.connection.stats().moves).map(u64::from).sum(),
        retries: client.retries.into(),
        replays: world.replayed as u64,
    }
}

/// What has happened in conversations.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    fec: FecStats,
    /// Addresses to which a server has followed.
    moves: u64,
    retries: u64,
    replays: u64,
}

impl Seen {
    fn and(self, other: Self) -> Self {
        Self {
            fec: self.fec.and(other.fec),
            moves: self.moves + other.moves,
            retries: self.retries + other.retries,
            replays: self.replays + other.replays,
        }
    }

    /// A hundred seeds and more show everything.
    fn check(self, conversations: u64) {
        println!("{self:#?}");
        let few = conversations < 100;
        for (what, seen) in [("moves", self.moves), ("retries", self.retries), ("replays", self.replays)] {
            assert!(few || seen > conversations / 40, "{seen} {what} in {conversations} conversations");
        }
    }
}

fn converse_all(default: u64, coded: bool) -> (Seen, u64) {
    let range = seeds(default);
    let conversations = range.end - range.start;
    (range.map(|seed| converse(seed, coded)).fold(Seen::default(), Seen::and), conversations)
}

fn seeds(default: u64) -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|n| n.parse::<u64>().ok());
    let first = number("SENDOFF_MODEL_FIRST").unwrap_or(0);
    first..first + number("SENDOFF_MODEL_SEEDS").unwrap_or(default)
}

#[test]
fn every_conversation_comes_to_its_end_on_both_sides() {
    let (seen, conversations) = converse_all(DEFAULT_SEEDS, false);
    seen.check(conversations);
    assert_eq!(seen.fec, FecStats::default());
}

#[test]
fn so_does_every_one_whose_losses_are_made_good_by_parity() {
    let (seen, conversations) = converse_all(DEFAULT_CODED_SEEDS, true);
    seen.check(conversations);
    let counted = seen.fec;
    assert!(counted.recovered > conversations * 5, "hardly anything was made good: {counted:#?}");
}
