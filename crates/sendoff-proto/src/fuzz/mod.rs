//! What the fuzz targets do with their input. Here, so that the tests run it too: over the committed
//! corpus and over inputs drawn at random.

mod blocks;
mod datagram;
mod fec;
mod input;
mod operations;
mod seal;

#[cfg(test)]
mod tests;

pub use blocks::blocks;
pub use datagram::datagram;
pub use fec::fec;
pub use operations::operations;
pub use seal::seal;

use crate::{
    Backoff, Config, Congestion, Connection, Conv, Mode, NoDelay, Profile, Wire,
    wire::{Command, SegmentView, segments},
};
use input::Input;
use std::time::{Duration, Instant};

const CONV: u32 = 0x5b1f_03aa;

fn conv() -> Conv {
    Conv::new(CONV).expect("not 0")
}

/// Settings that span what is allowed, with small windows and datagrams as the usual case: there things happen.
fn settings(input: &mut Input<'_>, mode: Mode) -> Config {
    let window = |n: u8| [32, 1, 2, 7, 33, 128, 256, 1_024][usize::from(n % 8)];
    let mtu = [100, 50, 75, 512, 1_400, 2_000][usize::from(input.byte() % 6)];
    Config::new()
        .send_window(window(input.byte()))
        .and_then(|c| c.recv_window(window(input.byte())))
        .and_then(|c| c.mtu(mtu))
        .expect("in range")
        .profile(profile(input))
        .backoff(if input.bit() { Backoff::Exponential } else { Backoff::Linear })
        .wire(Wire::Classic)
        .mode(mode)
}

fn profile(input: &mut Input<'_>) -> Profile {
    let nodelay = [NoDelay::On, NoDelay::Off, NoDelay::Twice][usize::from(input.byte() % 3)];
    let congestion = if input.bit() { Congestion::Classic } else { Congestion::None };
    let interval = Duration::from_millis(10 + u64::from(input.byte() % 91));
    let resend = u32::from(input.byte() % 5);
    Profile::new(nodelay, interval, resend, congestion).expect("in range").paced(input.bit())
}

/// Where numbers start: near a wrap, or not.
fn start(input: &mut Input<'_>) -> u32 {
    [0, u32::MAX - 20, 0x7fff_ffe0, 1_000][usize::from(input.byte() % 4)]
}

/// Lets the clock come to the present.
fn pass_time(connection: &mut Connection, now: Instant) {
    connection.handle_timeout(now);
    assert!(connection.poll_timeout().is_none_or(|at| at > now), "a timer in the past");
}

/// What holds of every datagram that is sent; shows each of its segments.
fn check_sent(connection: &Connection, datagram: &[u8], mut each: impl FnMut(&SegmentView<'_>)) {
    assert!(datagram.len() <= connection.config().mtu_bytes());
    for segment in segments(datagram) {
        let segment = segment.expect("we send what parses");
        assert_eq!(segment.conv(), connection.conv().value());
        assert_eq!(segment.command() == Command::Push, !segment.data().is_empty());
        assert!(segment.fragment() < 127);
        each(&segment);
    }
}

/// What holds of every connection, whatever came.
fn check(connection: &Connection) {
    let stats = connection.stats();
    assert!(stats.bytes_acknowledged <= stats.bytes_sent);
    assert!((Duration::from_millis(10)..=Duration::from_secs(60)).contains(&stats.rto), "{:?}", stats.rto);
    let left = match connection.ending() {
        None => u64::from(stats.in_flight + stats.queued),
        Some(ending) => ending.bytes_in_doubt(),
    };
    assert_eq!(connection.is_delivered(), left == 0, "{left} left");
    assert!(stats.unread as u64 <= stats.bytes_received);
    if connection.ending().is_some() {
        assert_eq!((connection.poll_timeout(), stats.in_flight, stats.reordering), (None, 0, 0));
    }
}
