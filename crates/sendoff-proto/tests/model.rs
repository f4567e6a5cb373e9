//! Random conversations over random links against a plain queue of bytes.
//!
//! Each seed draws settings, links and what the applications do, with sequence numbers and timestamps
//! near their wrap. Asserted after each step: what has arrived is a prefix of what was written, the
//! windows are kept, no timer lies in the past; in the end, that everything has arrived and both sides
//! fall silent. `SENDOFF_MODEL_SEEDS=5000 cargo test --release -p sendoff-proto --test model` runs more.

mod sim;

use sendoff_netem::{LinkConfig, Loss, Queue, Reorder, Rng};
use sendoff_proto::{Backoff, Cause, Config, Congestion, NoDelay, Profile, Wire};
use sim::{Pair, Start, ms, payload};

/// Together more than a million simulated datagrams.
const DEFAULT_SEEDS: u64 = 1_000;
const DEFAULT_DATAGRAMS: u64 = 1_000_000;

fn random_config(rng: &mut Rng) -> Config {
    let nodelay = [NoDelay::Off, NoDelay::On, NoDelay::Twice][rng.below(3) as usize];
    let congestion = if rng.chance(0.25) { Congestion::Classic } else { Congestion::None };
    let interval = ms(10 + rng.below(91));
    let profile = Profile::new(nodelay, interval, rng.below(5) as u32, congestion).unwrap();
    let windows = [1, 2, 7, 32, 128, 256, 1_024];
    let mut window = || windows[rng.below(windows.len() as u64) as usize];
    let config = Config::new()
        .send_window(window())
        .and_then(|c| c.recv_window(window()))
        .and_then(|c| c.mtu([50, 100, 512, 1_400][rng.below(4) as usize]))
        .unwrap();
    config
        .profile(profile.paced(rng.chance(0.5)))
        .backoff(if rng.chance(0.5) { Backoff::Linear } else { Backoff::Exponential })
        .wire(if rng.chance(0.5) { Wire::Classic } else { Wire::Extended })
        .connect_timeout(ms(600_000))
        .linger(ms(600_000))
        // Three probes in a row may be lost here: one that lives must not be asked.
        .keep_alive(rng.chance(0.3).then(|| ms(3_600_000)))
}

fn random_link(rng: &mut Rng) -> LinkConfig {
    let mut link = LinkConfig::new().delay(ms(rng.below(120)));
    if rng.chance(0.5) {
        link = link.jitter(ms(rng.below(30))).allow_reorder(rng.chance(0.5));
    }
    if rng.chance(0.7) {
        link = link.loss(match rng.below(3) {
            // Longer ones could swallow twenty answers in a row: a dead link by any account.
            0 => Loss::bursts(0.1, 2.0),
            1 => Loss::Bernoulli(0.02),
            _ => Loss::Bernoulli(0.2),
        });
    }
    if rng.chance(0.4) {
        link = link.duplicate(0.1);
    }
    if rng.chance(0.4) {
        link = link.reorder(0.1, Reorder::HoldBack(ms(1 + rng.below(60))));
    }
    if rng.chance(0.3) {
        link = link
            .rate(1_000_000 + rng.below(50_000_000))
            .queue(Queue::Datagrams(20 + rng.below(500) as usize));
    }
    if rng.chance(0.2) {
        let from = rng.below(3_000);
        link = link.partition(ms(from)..ms(from + rng.below(8_000)));
    }
    link
}

/// Runs one conversation; returns how many datagrams it took.
fn converse(seed: u64) -> u64 {
    let mut rng = Rng::new(seed);
    let configs = [random_config(&mut rng), random_config(&mut rng)];
    let links = [random_link(&mut rng), random_link(&mut rng)];
    let near_wrap = |rng: &mut Rng| u32::MAX.wrapping_sub(rng.below(3_000) as u32);
    let start = Start { sn: near_wrap(&mut rng), timestamps: [near_wrap(&mut rng), near_wrap(&mut rng)] };
    let windows = configs.clone().map(|c| (c.send_window_segments(), c.recv_window_segments()));
    let mut pair = Pair::with(configs, links, seed, start);
    let mtu = pair.sides[0]
        .connection
        .config()
        .segment_size()
        .min(pair.sides[1].connection.config().segment_size());
    // Slow settings get less to do, so that a seed doesn't take for ever.
    let most = (mtu * 4_000).min(windows[0].0.min(windows[1].1) as usize * mtu * 40);
    // A server's connection begins with data, or is given up.
    let sizes = [1 + rng.below(most as u64) as usize, rng.below(most as u64 / 2 + 1) as usize];
    let payloads = [payload(sizes[0], seed), payload(sizes[1], !seed)];

    let (mut given, mut compared) = ([0, 0], [0, 0]);
    let mut steps = 0_u64;
    loop {
        steps += 1;
        assert!(steps < 4_000_000, "seed {seed} goes on and on:\n{}", pair.describe());
        act(&mut rng, &mut pair, &payloads, &mut given, steps);
        let waiting = given[0] < sizes[0] || given[1] < sizes[1] || pair.sides.iter().any(|s| !s.reads);
        let limit = pair.now + if waiting { ms(rng.below(200)) } else { ms(60_000_000) };
        let happened = pair.step(limit);
        check(seed, &pair, &payloads, &windows, &mut compared);
        let done = (0..2)
            .all(|i| pair.sides[1 - i].received.len() == sizes[i] && pair.sides[i].connection.is_delivered());
        if done && !waiting {
            break;
        }
        assert!(
            happened || waiting,
            "seed {seed}: nothing more happens, but not all has arrived:\n{}",
            pair.describe()
        );
    }
    for i in 0..2 {
        let now = pair.instant();
        pair.sides[i].connection.close(now, 0, "");
    }
    let ended = |pair: &mut Pair| pair.sides.iter().all(|s| s.connection.ending().is_some());
    pair.run_until(ms(600_000), ended);
    for side in &pair.sides {
        let ending =
            side.connection.ending().unwrap_or_else(|| panic!("seed {seed}: no end:\n{}", pair.describe()));
        assert_eq!(ending.cause, Cause::Closed, "seed {seed}:\n{}", pair.describe());
        assert_eq!(side.connection.poll_timeout(), None, "seed {seed}: a timer after the end");
    }
    pair.datagrams
}

/// What the applications do next: write a piece, stop or go on reading, wait.
fn act(rng: &mut Rng, pair: &mut Pair, payloads: &[Vec<u8>; 2], given: &mut [usize; 2], steps: u64) {
    for i in 0..2 {
        if rng.chance(0.2) {
            let piece = (1 + rng.below(20_000) as usize).min(payloads[i].len() - given[i]);
            let data = &payloads[i][given[i]..given[i] + piece];
            pair.sides[i].outgoing.extend_from_slice(data);
            given[i] += piece;
        }
        if rng.chance(0.02) {
            pair.sides[i].reads = !pair.sides[i].reads;
        }
        // Nobody sleeps for ever.
        pair.sides[i].reads |= steps.is_multiple_of(512);
        if rng.chance(0.001) {
            let segments = 1 + rng.below(300) as u32;
            pair.sides[i].connection.set_profile(if rng.chance(0.5) {
                Profile::FAST3
            } else {
                Profile::DEFAULT
            });
            let recv = pair.sides[i].connection.recv_window();
            pair.sides[i].connection.set_windows(segments, recv).unwrap();
        }
    }
}

fn check(
    seed: u64,
    pair: &Pair,
    payloads: &[Vec<u8>; 2],
    windows: &[(u32, u32); 2],
    compared: &mut [usize; 2],
) {
    for i in 0..2 {
        let (side, stats) = (&pair.sides[i], pair.sides[i].connection.stats());
        let heard = &side.received;
        let said = &payloads[1 - i];
        // The rest was compared before.
        let from = std::mem::replace(&mut compared[i], heard.len());
        assert!(
            said.len() >= heard.len() && heard[from..] == said[from..heard.len()],
            "seed {seed}: other bytes"
        );
        assert_eq!(side.connection.ending(), None, "seed {seed}\n{}", pair.describe());
        let window = windows[i].0.max(stats.send_window).max(300);
        assert!(stats.in_flight <= window, "seed {seed}: {} in flight", stats.in_flight);
        let most = windows[i].1.max(128) as usize;
        assert!(stats.reordering < most, "seed {seed}: {} kept", stats.reordering);
        assert!(stats.unread <= most * 1_376, "seed {seed}: {} unread", stats.unread);
    }
}

#[test]
fn random_conversations_deliver_every_byte_once_and_in_order() {
    let seeds = std::env::var("SENDOFF_MODEL_SEEDS").ok().and_then(|n| n.parse().ok());
    let first = std::env::var("SENDOFF_MODEL_FIRST").ok().and_then(|n| n.parse().ok()).unwrap_or(0);
    let mut datagrams = 0;
    for seed in first..first + seeds.unwrap_or(DEFAULT_SEEDS) {
        datagrams += converse(seed);
    }
    println!("{} datagrams in {} conversations", datagrams, seeds.unwrap_or(DEFAULT_SEEDS));
    if seeds.is_none() {
        assert!(datagrams >= DEFAULT_DATAGRAMS, "only {datagrams} datagrams: draw more");
    }
}
