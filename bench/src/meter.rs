//! What a server or client process counts, and how the runner asks for it.
//!
//! The runner writes one word a line to the process's standard input and reads one JSON object a line from its
//! standard output. So the measured span lies between two `mark`s in the middle of the traffic: neither start-up
//! nor an orderly end is part of it.

use std::io::{self, BufRead, Write};
use std::net::SocketAddr;
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

/// A line that a process prints.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The server takes clients.
    Listening {
        /// Where.
        address: SocketAddr,
    },
    /// The client is connected.
    Ready,
    /// The client has opened all that it was asked to open.
    Opened,
    /// Answer to `mark`.
    Mark(Mark),
    /// Answer to `memory`.
    Memory {
        /// Bytes of user-space memory in RAM.
        resident_bytes: u64,
    },
    /// The process gives up.
    Failed {
        /// Why.
        message: String,
    },
}

/// A process's counters at one moment.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Mark {
    /// Age of the process, ns.
    pub at_ns: u64,
    /// CPU time that all its threads have used so far, user and kernel, ns.
    pub cpu_ns: u64,
    /// Payload bytes that its application has received so far.
    pub delivered: u64,
    /// Payload bytes that were sent and never arrived (`raw` alone: the others repeat what is lost).
    pub lost: u64,
    /// Connections that are open.
    pub connections: u64,
    /// Round trips since the last mark.
    pub round_trips: u64,
    /// Their median, ns; 0 without any.
    pub p50_ns: u64,
    /// Their 99th percentile, ns; 0 without any.
    pub p99_ns: u64,
}

/// The counters of this process.
#[derive(Debug)]
pub struct Meter {
    started: Instant,
    delivered: AtomicU64,
    lost: AtomicU64,
    connections: AtomicU64,
    round_trips: Mutex<Vec<u32>>,
    go: Notify,
}

impl Meter {
    /// Makes the counters, and a thread that answers the runner. The process ends with its standard input.
    pub fn start() -> Arc<Meter> {
        let meter = Arc::new(Meter {
            started: Instant::now(),
            delivered: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            round_trips: Mutex::new(Vec::with_capacity(1 << 20)),
            go: Notify::new(),
        });
        let answering = Arc::clone(&meter);
        thread::spawn(move || answering.answer());
        meter
    }

    fn answer(&self) {
        for line in io::stdin().lock().lines() {
            match line.as_deref() {
                Ok("mark") => emit(&Event::Mark(self.mark())),
                Ok("memory") => match resident_bytes() {
                    Ok(resident_bytes) => emit(&Event::Memory { resident_bytes }),
                    Err(error) => fail(&format!("own memory: {error}")),
                },
                Ok("go") => self.go.notify_one(),
                Ok("stop") | Err(_) => break,
                Ok(other) => fail(&format!("unknown request {other:?}")),
            }
        }
        process::exit(0);
    }

    fn mark(&self) -> Mark {
        let mut mark = Mark {
            at_ns: nanos(self.started.elapsed()),
            cpu_ns: cpu_ns(),
            delivered: self.delivered.load(Ordering::Relaxed),
            lost: self.lost.load(Ordering::Relaxed),
            connections: self.connections.load(Ordering::Relaxed),
            ..Mark::default()
        };
        let mut samples = {
            let mut samples = self.round_trips.lock().unwrap_or_else(PoisonError::into_inner);
            let empty = Vec::with_capacity(samples.capacity());
            std::mem::replace(&mut *samples, empty)
        };
        samples.sort_unstable();
        mark.round_trips = samples.len() as u64;
        mark.p50_ns = percentile(&samples, 50);
        mark.p99_ns = percentile(&samples, 99);
        mark
    }

    /// Counts payload that the application has received.
    pub fn deliver(&self, bytes: usize) {
        self.delivered.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Counts payload that was sent in vain.
    pub fn lose(&self, bytes: u64) {
        self.lost.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Payload that was sent in vain so far, bytes.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Counts a connection as open.
    pub fn open(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a connection as gone.
    pub fn close(&self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }

    /// Records one round trip.
    pub fn round_trip(&self, took: Duration) {
        let nanos = u32::try_from(took.as_nanos()).unwrap_or(u32::MAX);
        self.round_trips.lock().unwrap_or_else(PoisonError::into_inner).push(nanos);
    }

    /// Returns when the runner says `go`.
    pub async fn wait_for_go(&self) {
        self.go.notified().await;
    }
}

/// Prints an event for the runner.
pub fn emit(event: &Event) {
    let mut line = serde_json::to_vec(event).expect("an event is always valid JSON");
    line.push(b'\n');
    // Without a runner there is nobody left to tell.
    _ = io::stdout().lock().write_all(&line);
}

/// Tells the runner that this process gives up, and ends it.
pub fn fail(message: &str) -> ! {
    emit(&Event::Failed { message: message.to_owned() });
    process::exit(1)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn cpu_ns() -> u64 {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("a process may always ask for its own usage");
    [usage.user_time(), usage.system_time()]
        .iter()
        .map(|time| time.tv_sec() as u64 * 1_000_000_000 + time.tv_usec() as u64 * 1_000)
        .sum()
}

/// What the kernel counts as this process's memory in RAM; the kernel's own (socket buffers) is not in it.
fn resident_bytes() -> io::Result<u64> {
    // The roll-up is exact, while the counters in `statm` lag by some pages a thread.
    let rollup = std::fs::read_to_string("/proc/self/smaps_rollup")?;
    rollup
        .lines()
        .find_map(|line| line.strip_prefix("Rss:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok())
        .map(|kib| kib * 1_024)
        .ok_or_else(|| io::Error::other("no Rss in smaps_rollup"))
}

fn percentile(sorted: &[u32], percent: usize) -> u64 {
    match sorted.len() {
        0 => 0,
        len => u64::from(sorted[(len * percent / 100).min(len - 1)]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples_at_their_rank() {
        let samples: Vec<u32> = (0..200).collect();
        assert_eq!((percentile(&samples, 50), percentile(&samples, 99)), (100, 198));
        assert_eq!((percentile(&[7], 99), percentile(&[], 50)), (7, 0));
    }
}
