//! `bench ciphers`: how fast each cipher seals and opens datagrams, on one core.

use crate::{args::BenchCiphersArgs, exit::Outcome, report::Report, signals::Interrupts};
use anyhow::Context;
use sendoff::{Cipher, Crypt};
use serde_json::json;
use std::time::{Duration, Instant};

/// Datagrams of a batch: what one system call sends at 1,400 bytes.
const BATCH: usize = 44;

/// Bytes per second, in millions.
struct Rates {
    seal: f64,
    open: f64,
}

/// Runs the command.
///
/// # Errors
/// A closed stdout; a cipher that doesn't open what it has sealed.
pub async fn run(args: BenchCiphersArgs, report: Report, interrupts: Interrupts) -> anyhow::Result<Outcome> {
    if !report.json() {
        let head = format!(
            "{:12} {:>12} {:>12}   datagrams of {} bytes",
            "cipher", "seal MB/s", "open MB/s", args.size
        );
        report.line(&head).await?;
    }
    for &cipher in Cipher::ALL.iter().filter(|cipher| cipher.overhead() > 0) {
        let Rates { seal, open } = measure(cipher, args.size, args.time)?;
        if interrupts.came() {
            return Ok(Outcome::Interrupted);
        }
        if report.json() {
            let object = json!({
                "report": "cipher", "cipher": cipher.name(), "authenticated": cipher.is_aead(),
                "overhead_bytes": cipher.overhead(), "datagram_bytes": args.size,
                "seal_mb_per_s": seal.round(), "open_mb_per_s": open.round(),
            });
            report.object(&object).await?;
        } else {
            let note = if cipher.is_aead() { "   authenticated" } else { "" };
            report.line(&format!("{cipher:12} {seal:12.0} {open:12.0}{note}")).await?;
        }
        // Signals are looked at between two ciphers.
        tokio::task::yield_now().await;
    }
    Ok(Outcome::Well)
}

/// Seals a batch and opens it again, in place, until the time is over; each of the two is timed by itself.
fn measure(cipher: Cipher, size: usize, time: Duration) -> anyhow::Result<Rates> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).context("no randomness")?;
    let crypt = Crypt::kcptun(cipher, "any will do");
    let (sealer, opener) = (crypt.sealer(seed), crypt.opener());
    let mut batch = vec![0x5a; BATCH * size];
    let (mut sealing, mut opening, mut bytes) = (Duration::ZERO, Duration::ZERO, 0_u64);
    let began = Instant::now();
    // What is too slow for the time runs once, after one that warms up.
    for round in 0_u64.. {
        let start = Instant::now();
        sealer.seal_batch(&mut batch, size);
        let sealed = Instant::now();
        for datagram in batch.chunks_mut(size) {
            let opened = opener.open(datagram).with_context(|| format!("{cipher}"))?;
            std::hint::black_box(opened);
        }
        let opened = Instant::now();
        if round > 0 {
            sealing += sealed - start;
            opening += opened - sealed;
            bytes += batch.len() as u64;
            if began.elapsed() >= time {
                break;
            }
        }
    }
    let rate = |took: Duration| bytes as f64 / 1e6 / took.as_secs_f64().max(1e-9);
    Ok(Rates { seal: rate(sealing), open: rate(opening) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cipher_can_be_measured_at_every_size() {
        for &cipher in Cipher::ALL.iter().filter(|cipher| cipher.overhead() > 0) {
            for size in [64, 1_400, 65_507] {
                let rates = measure(cipher, size, Duration::from_nanos(1)).unwrap();
                assert!(rates.seal > 0.0 && rates.open > 0.0, "{cipher}");
            }
        }
    }
}
