//! Compares FEC with kcp-go's, on one CPU: 10/3, datagrams of 1,400 bytes, three groups at a time.
//!
//! A figure is the median time of a group, as megabytes of data shards per second. sendoff and kcp-go take turns, each as
//! a process of its own. sendoff's whole encoder and decoder are compared with kcp-go's, and also with the
//! library that multiplies for kcp-go (klauspost/reedsolomon) alone, which copies nothing and keeps no groups.

use std::ffi::OsStr;
use std::hint::black_box;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use sendoff_proto::TransmitBuffer;
use sendoff_proto::fec::{Decoder, Encoder, FEC_OVERHEAD, Fec};
use serde_json::json;

use crate::child::on_cpu;
use crate::machine::Machine;
use crate::plan::name;
use crate::report::median;
use crate::runner;

const DATA: usize = 10;
const PARITY: usize = 3;
/// Groups of each batch: as many as one system call sends.
const GROUPS: usize = 3;
/// Bytes of a datagram.
const DATAGRAM: usize = 1_400;

/// What `bench fec` is told.
#[derive(clap::Args)]
pub struct Arguments {
    /// Rounds; each measures everything once
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Milliseconds of each measurement
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..))]
    millis: u64,
    /// The CPU to measure on
    #[arg(long, default_value_t = 0)]
    cpu: usize,
    /// Leave kcp-go out
    #[arg(long)]
    alone: bool,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// What `bench fec-once` is told: one measurement.
#[derive(clap::Args)]
pub struct Single {
    #[arg(value_enum)]
    work: Work,
    millis: u64,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Work {
    /// Data goes out, parity is made
    Encode,
    /// Everything arrives
    Lossless,
    /// One data shard of each group doesn't
    Lost1,
    /// Three don't: as many as there is parity
    Lost3,
}

impl Work {
    fn lost(self) -> usize {
        match self {
            Self::Encode | Self::Lossless => 0,
            Self::Lost1 => 1,
            Self::Lost3 => 3,
        }
    }

    /// Whether the library that kcp-go multiplies with has to do with it.
    fn multiplies(self) -> bool {
        self != Self::Lossless
    }
}

/// One measurement: prints nanoseconds of a group.
pub fn single(single: &Single) -> Result<()> {
    let measured = Duration::from_millis(single.millis);
    let batch =
        if single.work == Work::Encode { encode(measured)? } else { decode(measured, single.work.lost())? };
    println!("{}", batch.as_nanos() / GROUPS as u128);
    Ok(())
}

fn fec() -> Result<Fec> {
    Ok(Fec::new(DATA, PARITY)?)
}

fn segments(n: usize) -> Vec<u8> {
    let mut segments = vec![0; DATAGRAM - FEC_OVERHEAD];
    segments.iter_mut().enumerate().for_each(|(at, byte)| *byte = (at * 7 + at / 251 + n * 13) as u8);
    // One PUSH, so that what is recovered is taken for one.
    segments[..24].fill(0);
    (segments[0], segments[4], segments[12]) = (7, 81, n as u8);
    let len = segments.len() as u32 - 24;
    segments[20..24].copy_from_slice(&len.to_le_bytes());
    segments
}

fn fill(
    encoder: &mut Encoder,
    buffer: &mut TransmitBuffer,
    now: Instant,
    segments: &[Vec<u8>],
) -> Result<()> {
    encoder.prepare(now, buffer);
    buffer.clear();
    ensure!(segments.iter().all(|segments| buffer.push(segments)), "the batch has room");
    Ok(())
}

/// The median time of a batch.
fn encode(measured: Duration) -> Result<Duration> {
    let segments: Vec<_> = (0..GROUPS * DATA).map(segments).collect();
    let (mut encoder, mut buffer) = (Encoder::new(fec()?), TransmitBuffer::with_room(FEC_OVERHEAD, 0));
    let (mut times, began) = (Vec::new(), Instant::now());
    while began.elapsed() < measured {
        fill(&mut encoder, &mut buffer, began, &segments)?;
        let start = Instant::now();
        encoder.encode(began, black_box(&mut buffer));
        times.push(start.elapsed());
        ensure!(buffer.contents().len() == GROUPS * (DATA + PARITY) * DATAGRAM, "parity is in the batch");
    }
    times.sort();
    Ok(times[times.len() / 2])
}

fn decode(measured: Duration, lost: usize) -> Result<Duration> {
    let now = Instant::now();
    let segments: Vec<_> = (0..GROUPS * DATA).map(segments).collect();
    let (mut encoder, mut buffer) = (Encoder::new(fec()?), TransmitBuffer::with_room(FEC_OVERHEAD, 0));
    fill(&mut encoder, &mut buffer, now, &segments)?;
    encoder.encode(now, &mut buffer);
    let shards: Vec<Vec<u8>> = buffer.datagrams().map(<[u8]>::to_vec).collect();
    let mut decoder = Decoder::new();
    shards.iter().for_each(|shard| drop(decoder.handle_datagram(shard)));
    ensure!(decoder.fec() == Some(fec()?), "the ratio is found");
    let mut arrive = shards;
    let mut place = 0..;
    arrive.retain(|_| place.next().is_some_and(|n: usize| n % (DATA + PARITY) >= lost));
    let (mut first, mut recovered, mut times) = (0, 0, Vec::new());
    while now.elapsed() < measured {
        first += (GROUPS * (DATA + PARITY)) as u32;
        for shard in &mut arrive {
            let seqid = u32::from_le_bytes([shard[0], shard[1], shard[2], shard[3]]);
            let seqid = seqid % (GROUPS * (DATA + PARITY)) as u32 + first;
            shard[..4].copy_from_slice(&seqid.to_le_bytes());
        }
        let start = Instant::now();
        for shard in &arrive {
            black_box(decoder.handle_datagram(shard));
            while let Some(segments) = decoder.poll_recovered() {
                black_box(segments);
                recovered += 1;
            }
        }
        times.push(start.elapsed());
    }
    ensure!(recovered == times.len() * GROUPS * lost, "all is recovered");
    times.sort();
    Ok(times[times.len() / 2])
}

/// The rounds' figures, megabytes per second.
struct Row {
    work: Work,
    ours: Vec<f64>,
    /// kcp-go's; empty without it.
    theirs: Vec<f64>,
    /// Those of the library that it multiplies with.
    codec: Vec<f64>,
}

/// Compares.
pub fn compare(arguments: &Arguments) -> Result<()> {
    let machine = Machine::look()?;
    let kcp_go = (!arguments.alone).then(runner::build_kcp_go_fec).transpose().context("kcp-go")?;
    let this = std::env::current_exe().context("own path")?;
    let row = |&work: &Work| Row { work, ours: Vec::new(), theirs: Vec::new(), codec: Vec::new() };
    let mut rows: Vec<Row> = Work::value_variants().iter().map(row).collect();
    for round in 1..=arguments.rounds {
        eprintln!("round {round} of {}", arguments.rounds);
        for row in &mut rows {
            let (work, millis) = (name(row.work), arguments.millis.to_string());
            row.ours.push(measure(this.as_os_str(), &["fec-once", &work, &millis], arguments.cpu)?);
            let Some(program) = &kcp_go else { continue };
            row.theirs.push(measure(program.as_os_str(), &[&work, &millis], arguments.cpu)?);
            if row.work.multiplies() {
                let codec = format!("codec-{work}");
                row.codec.push(measure(program.as_os_str(), &[&codec, &millis], arguments.cpu)?);
            }
        }
    }
    if arguments.json {
        let rows: Vec<_> = rows.iter().map(Row::to_json).collect();
        println!(
            "{:#}",
            json!({ "machine": machine, "datagram_bytes": DATAGRAM, "ratio": "10/3", "fec": rows })
        );
        return Ok(());
    }
    println!("{} × {}, Linux {}", machine.cpus, machine.processor, machine.kernel);
    println!(
        "MB/s of data, {DATA}/{PARITY}, {DATAGRAM} bytes, one CPU, the median of {} rounds",
        arguments.rounds
    );
    println!("{:<9} {:>9} {:>9} {:>7} {:>11} {:>7}", "", "sendoff", "kcp-go", "ratio", "its codec", "ratio");
    rows.iter().for_each(|row| println!("{}", row.line()));
    Ok(())
}

/// Runs one measurement as a process of its own. Megabytes per second.
fn measure(program: &OsStr, args: &[&str], cpu: usize) -> Result<f64> {
    let run = || Command::new(program).args(args).stderr(Stdio::inherit()).output();
    let output = on_cpu(cpu, run)?.with_context(|| format!("start {}", program.to_string_lossy()))?;
    if !output.status.success() {
        bail!("{} {args:?} ended with {}", program.to_string_lossy(), output.status);
    }
    let nanoseconds: f64 = String::from_utf8_lossy(&output.stdout).trim().parse().context("no figure")?;
    Ok((DATA * DATAGRAM) as f64 / nanoseconds * 1e3)
}

impl Row {
    /// The median of the quotients, each within a round.
    fn ratio(&self, by: &[f64]) -> Option<f64> {
        median(self.ours.iter().zip(by).map(|(ours, by)| ours / by).collect())
    }

    fn line(&self) -> String {
        let cell = |figure: Option<f64>, digits: usize| match figure {
            Some(figure) => format!("{figure:.digits$}"),
            None => "-".to_owned(),
        };
        let figure = |figures: &[f64]| cell(median(figures.to_vec()), 0);
        format!(
            "{:<9} {:>9} {:>9} {:>7} {:>11} {:>7}",
            name(self.work),
            figure(&self.ours),
            figure(&self.theirs),
            cell(self.ratio(&self.theirs), 2),
            figure(&self.codec),
            cell(self.ratio(&self.codec), 2)
        )
    }

    fn to_json(&self) -> serde_json::Value {
        json!({
            "work": name(self.work),
            "sendoff_mb_per_s": median(self.ours.clone()),
            "kcp_go_mb_per_s": median(self.theirs.clone()),
            "ratio": self.ratio(&self.theirs),
            "codec_mb_per_s": median(self.codec.clone()),
            "codec_ratio": self.ratio(&self.codec),
        })
    }
}
