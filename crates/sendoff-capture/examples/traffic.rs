//! Writes a capture of KCP traffic, to measure with: real connections over lossy links, in virtual time.
//!
//! ```text
//! cargo run --release -p sendoff-capture --example traffic -- FILE [MIB [CONVERSATIONS [SEED]]]
//! ```
//!
//! About `MIB` mebibytes (64) in `CONVERSATIONS` conversations (32), up to 64 at a time: of four, two are downloads,
//! one an upload, one an exchange of small messages; every other one carries text, the rest noise. The capture is
//! taken where the clients are, so that what is lost on the way to them is not in it. The same arguments give the
//! same conversations.

use sendoff_capture::{LinkType, PcapngWriter, udp_packet};
use sendoff_netem::{Link, LinkConfig, Loss, Rng};
use sendoff_proto::{Config, Connection, Conv, Opening, TransmitBuffer};
use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    error::Error,
    fs::File,
    io::{BufWriter, Write},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

/// Conversations at a time.
const AT_ONCE: usize = 64;

/// Bytes of each of the two payloads, which repeat.
const PAYLOAD: usize = 1 << 20;

/// When the capture begins: 2026-01-01.
const EPOCH: Duration = Duration::from_secs(1_767_225_600);

/// A side of a conversation: in each round the client asks, and the server answers.
struct Side {
    connection: Connection,
    /// From here to the other side.
    link: Link,
    address: SocketAddr,
    /// Bytes that it says in a round.
    says: usize,
    written: usize,
    received: usize,
}

/// A conversation: client and server.
struct Talk {
    sides: [Side; 2],
    rounds: usize,
    text: bool,
}

/// What all conversations have in common.
struct World {
    base: Instant,
    rng: Rng,
    config: Arc<Config>,
    buffer: TransmitBuffer,
    payloads: [Vec<u8>; 2],
    capture: Capture,
}

struct Capture {
    writer: PcapngWriter<BufWriter<File>>,
    interface: sendoff_capture::file::InterfaceId,
    ip: Vec<u8>,
    frame: Vec<u8>,
}

impl Capture {
    fn new(path: &str) -> Result<Self, Box<dyn Error>> {
        let mut writer = PcapngWriter::new(BufWriter::new(File::create(path)?), "traffic")?;
        let interface = writer.interface(LinkType::ETHERNET, "eth0")?;
        Ok(Self { writer, interface, ip: Vec::new(), frame: Vec::new() })
    }

    fn datagram(&mut self, now: Duration, from: &Side, to: &Side, datagram: &[u8]) {
        udp_packet(from.address, to.address, datagram, &mut self.ip).expect("datagrams are below the MTU");
        self.frame.clear();
        self.frame.extend_from_slice(&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0]);
        self.frame.extend_from_slice(&self.ip);
        self.writer
            .packet(self.interface, EPOCH + now, &self.frame, &[])
            .expect("the capture can be written");
    }
}

/// Text as programs write it.
fn text() -> Vec<u8> {
    let mut text = Vec::with_capacity(PAYLOAD + 100);
    for line in 0.. {
        if text.len() >= PAYLOAD {
            break;
        }
        writeln!(text, "2026-01-01 12:00:{:02} GET /items/{line} 200 {} bytes", line % 60, line * 37 % 9_000)
            .expect("memory takes all");
    }
    text.truncate(PAYLOAD);
    text
}

impl Talk {
    fn new(number: usize, share: usize, now: Duration, world: &mut World) -> Self {
        let rng = &mut world.rng;
        let conv = Conv::new(rng.u64() as u32 | 1).expect("not 0");
        let (rounds, asks, answers) = match number % 4 {
            0 | 1 => (1, 200, share),
            2 => (1, share, 200),
            _ => ((share / 1_000).max(1), 120, 330),
        };
        let link = LinkConfig::new()
            .delay(Duration::from_millis(1 + rng.below(30)))
            .jitter(Duration::from_millis(1))
            .rate(200_000_000)
            .loss(Loss::Bernoulli(rng.unit() * 0.02));
        let at = world.base + now;
        let mut side = |opening, address: SocketAddr, says| Side {
            connection: Connection::new(world.config.clone(), conv, opening, at, rng.u64().into()),
            link: Link::new(link.clone(), rng.u64()),
            address,
            says,
            written: 0,
            received: 0,
        };
        // Ports of a client come again after a while, as on a real machine.
        let (host, port) = ((number / 28_000 % 250) as u8, (32_768 + number % 28_000) as u16);
        let client = side(Opening::Waiting, ([192, 168, 1, 1 + host], port).into(), asks);
        let opened = Opening::Hello(client.connection.token());
        let server = side(opened, ([203, 0, 113, 7], 29_900).into(), answers);
        Self { sides: [client, server], rounds, text: number / 4 % 2 == 0 }
    }

    /// When something happens next.
    fn next(&self, now: Duration, base: Instant) -> Option<Duration> {
        let of = |side: &Side| {
            let timeout = side.connection.poll_timeout();
            let timeout = timeout.map(|at| at.saturating_duration_since(base).max(now));
            [timeout, side.link.next_arrival()].into_iter().flatten().min()
        };
        self.sides.iter().filter_map(of).min()
    }

    /// Whether nothing more is said, or nobody is left to answer.
    fn is_over(&self) -> bool {
        let quiet = self.sides.iter().all(|side| side.link.in_flight() == 0);
        quiet && self.sides.iter().any(|side| side.connection.ending().is_some())
    }

    /// Lets happen what happens now.
    fn step(&mut self, now: Duration, world: &mut World) {
        let at = world.base + now;
        for from in [0, 1] {
            while let Some(datagram) = self.sides[from].link.receive(now) {
                if from == 1 {
                    world.capture.datagram(now, &self.sides[1], &self.sides[0], &datagram);
                }
                self.sides[1 - from].connection.handle_datagram(at, &datagram);
            }
        }
        for from in [0, 1] {
            let side = &mut self.sides[from];
            if side.connection.poll_timeout().is_some_and(|timeout| timeout <= at) {
                side.connection.handle_timeout(at);
            }
            self.act(from, &world.payloads[usize::from(self.text)]);
            self.send(from, now, world);
        }
    }

    /// Reads all that is there, and writes what it is due to say.
    fn act(&mut self, who: usize, payload: &[u8]) {
        let heard = self.sides[1 - who].says;
        let side = &mut self.sides[who];
        let mut chunk = [0; 16_384];
        loop {
            match side.connection.read(&mut chunk) {
                0 => break,
                n => side.received += n,
            }
        }
        let rounds = self.rounds.min(side.received / heard + usize::from(who == 0));
        while side.written < rounds * side.says {
            let from = side.written % payload.len();
            let len = (rounds * side.says - side.written).min(payload.len() - from);
            match side.connection.write(&payload[from..from + len]) {
                0 => break,
                n => side.written += n,
            }
        }
        if side.written == self.rounds * side.says {
            side.connection.finish();
        }
    }

    fn send(&mut self, from: usize, now: Duration, world: &mut World) {
        let [client, server] = &mut self.sides;
        let (from_client, side, other) =
            if from == 0 { (true, client, server) } else { (false, server, client) };
        while side.connection.has_transmit() {
            let Some(batch) = side.connection.poll_batch(world.base + now, &mut world.buffer) else { break };
            let datagrams: Vec<Vec<u8>> = batch.datagrams().map(<[u8]>::to_vec).collect();
            for datagram in datagrams {
                if from_client {
                    world.capture.datagram(now, side, other, &datagram);
                }
                side.link.send(now, datagram);
            }
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let path = args.next().ok_or("usage: traffic FILE [MIB [CONVERSATIONS [SEED]]]")?;
    let numbers: Vec<usize> = args.map(|arg| arg.parse()).collect::<Result<_, _>>()?;
    let number = |at: usize, default| numbers.get(at).copied().unwrap_or(default);
    let (mib, conversations, seed) = (number(0, 64), number(1, 32).max(1), number(2, 1));
    let mut rng = Rng::new(seed as u64);
    let payloads = [rng.bytes(PAYLOAD), text()];
    let mut world = World {
        base: Instant::now(),
        rng,
        config: Arc::new(Config::fast()),
        buffer: TransmitBuffer::new(),
        payloads,
        capture: Capture::new(&path)?,
    };
    let share = (mib << 20) / conversations;
    let (mut talks, mut agenda, mut begun): (Vec<Talk>, BinaryHeap<Reverse<(Duration, usize)>>, _) =
        (Vec::new(), BinaryHeap::new(), 0);
    while begun < conversations.min(AT_ONCE) {
        talks.push(Talk::new(begun, share, Duration::ZERO, &mut world));
        agenda.push(Reverse((Duration::ZERO, begun)));
        begun += 1;
    }
    while let Some(Reverse((now, at))) = agenda.pop() {
        talks[at].step(now, &mut world);
        if talks[at].is_over() {
            if begun == conversations {
                continue;
            }
            talks[at] = Talk::new(begun, share, now, &mut world);
            begun += 1;
            agenda.push(Reverse((now, at)));
        } else if let Some(next) = talks[at].next(now, world.base) {
            agenda.push(Reverse((next, at)));
        }
    }
    world.capture.writer.flush()?;
    println!("{path}: {} bytes, {conversations} conversations", world.capture.writer.written());
    Ok(())
}
