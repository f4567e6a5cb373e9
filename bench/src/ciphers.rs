//! Compares the ciphers with kcp-go's, on one CPU, in batches of 44 datagrams of 1,400 bytes.
//!
//! A figure is the median time of a batch, as megabytes of datagrams per second: what the process had to wait for others
//! hits few of the batches, and doesn't count. sendoff and kcp-go take turns, each as a process of its own.

use std::ffi::OsStr;
use std::hint::black_box;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use sendoff_proto::seal::{Cipher, Crypt};
use serde_json::json;

use crate::child::on_cpu;
use crate::machine::Machine;
use crate::plan::name;
use crate::report::median;
use crate::runner;

/// Bytes of a datagram.
const DATAGRAM: usize = 1_400;
/// Datagrams of a batch: as many as one system call sends.
const BATCH: usize = 44;

/// What `bench ciphers` is told.
#[derive(clap::Args)]
pub struct Arguments {
    /// Ciphers, separated by commas [default: all]
    #[arg(long, value_delimiter = ',')]
    ciphers: Vec<Cipher>,
    /// Rounds; each measures every cipher of both once
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

/// What `bench cipher` is told: one measurement.
#[derive(clap::Args)]
pub struct Single {
    cipher: Cipher,
    #[arg(value_enum)]
    direction: Direction,
    millis: u64,
}

/// Which way datagrams go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Direction {
    /// Sent
    Seal,
    /// Received
    Open,
}

/// One measurement: prints nanoseconds of a batch.
pub fn single(single: &Single) -> Result<()> {
    let time = batch_time(single.cipher, single.direction, Duration::from_millis(single.millis))?;
    println!("{}", time.as_nanos());
    Ok(())
}

/// The median time that a batch takes.
pub fn batch_time(cipher: Cipher, direction: Direction, measured: Duration) -> Result<Duration> {
    let key: Vec<u8> = (1..).take(cipher.key_len()).collect();
    let crypt = Crypt::new(cipher, &key)?;
    let (sealer, opener) = (crypt.sealer([9; 32]), crypt.opener());
    let plain: Vec<u8> = (0..DATAGRAM * BATCH).map(|n| (n * 7 + n / 251) as u8).collect();
    let mut sealed = plain.clone();
    sealer.seal_batch(&mut sealed, DATAGRAM);
    let mut work = plain.clone();
    let (mut times, began) = (Vec::new(), Instant::now());
    while began.elapsed() < measured {
        match direction {
            Direction::Seal => {
                work.copy_from_slice(&plain);
                let start = Instant::now();
                sealer.seal_batch(black_box(&mut work), DATAGRAM);
                times.push(start.elapsed());
            }
            Direction::Open => {
                work.copy_from_slice(&sealed);
                let start = Instant::now();
                let opened = black_box(&mut work).chunks_mut(DATAGRAM).all(|one| opener.open(one).is_ok());
                times.push(start.elapsed());
                ensure!(opened, "a datagram did not open");
            }
        }
    }
    times.sort();
    Ok(times[times.len() / 2])
}

/// The rounds' figures of one cipher in one direction, megabytes per second.
struct Row {
    cipher: Cipher,
    direction: Direction,
    ours: Vec<f64>,
    /// Empty without kcp-go.
    theirs: Vec<f64>,
}

/// Compares.
pub fn compare(arguments: &Arguments) -> Result<()> {
    let machine = Machine::look()?;
    let kcp_go = (!arguments.alone).then(runner::build_kcp_go_ciphers).transpose().context("kcp-go")?;
    let this = std::env::current_exe().context("own path")?;
    let mut rows = rows(&arguments.ciphers);
    for round in 1..=arguments.rounds {
        eprintln!("round {round} of {}", arguments.rounds);
        for row in &mut rows {
            let direction = name(row.direction);
            let args = [row.cipher.name(), &direction, &arguments.millis.to_string()];
            let own = [&["cipher"][..], &args].concat();
            row.ours.push(measure(this.as_os_str(), &own, arguments.cpu)?);
            if let Some(program) = &kcp_go {
                row.theirs.push(measure(program.as_os_str(), &args, arguments.cpu)?);
            }
        }
    }
    if arguments.json {
        let rows: Vec<_> = rows.iter().map(Row::to_json).collect();
        println!("{:#}", json!({ "machine": machine, "datagram_bytes": DATAGRAM, "ciphers": rows }));
        return Ok(());
    }
    println!("{} × {}, Linux {}", machine.cpus, machine.processor, machine.kernel);
    println!("MB/s, {BATCH} × {DATAGRAM} bytes, one CPU, the median of {} rounds", arguments.rounds);
    println!("{:<12} {:<5} {:>9} {:>9} {:>7}", "cipher", "", "sendoff", "kcp-go", "ratio");
    rows.iter().for_each(|row| println!("{}", row.line()));
    Ok(())
}

fn rows(chosen: &[Cipher]) -> Vec<Row> {
    let all = Cipher::ALL.iter().filter(|&&cipher| cipher != Cipher::Null);
    let chosen = if chosen.is_empty() { all.copied().collect() } else { chosen.to_vec() };
    let both = |cipher| [Direction::Seal, Direction::Open].map(|direction| (cipher, direction));
    let row = |(cipher, direction)| Row { cipher, direction, ours: Vec::new(), theirs: Vec::new() };
    chosen.into_iter().flat_map(both).map(row).collect()
}

/// Runs one measurement as a process of its own. Megabytes per second.
fn measure(program: &OsStr, args: &[&str], cpu: usize) -> Result<f64> {
    let run = || Command::new(program).args(args).stderr(Stdio::inherit()).output();
    let output = on_cpu(cpu, run)?.with_context(|| format!("start {}", program.to_string_lossy()))?;
    if !output.status.success() {
        bail!("{} {args:?} ended with {}", program.to_string_lossy(), output.status);
    }
    let nanoseconds: f64 = String::from_utf8_lossy(&output.stdout).trim().parse().context("no figure")?;
    Ok((DATAGRAM * BATCH) as f64 / nanoseconds * 1e3)
}

impl Row {
    /// The median of the quotients, each within a round.
    fn ratio(&self) -> Option<f64> {
        median(self.ours.iter().zip(&self.theirs).map(|(ours, theirs)| ours / theirs).collect())
    }

    fn line(&self) -> String {
        let cell = |figure: Option<f64>, digits: usize| match figure {
            Some(figure) => format!("{figure:.digits$}"),
            None => "-".to_owned(),
        };
        let (ours, theirs) = (median(self.ours.clone()), median(self.theirs.clone()));
        format!(
            "{:<12} {:<5} {:>9} {:>9} {:>7}",
            self.cipher,
            name(self.direction),
            cell(ours, 0),
            cell(theirs, 0),
            cell(self.ratio(), 2)
        )
    }

    fn to_json(&self) -> serde_json::Value {
        json!({
            "cipher": self.cipher.name(),
            "direction": name(self.direction),
            "sendoff_mb_per_s": median(self.ours.clone()),
            "kcp_go_mb_per_s": median(self.theirs.clone()),
            "ratio": self.ratio(),
        })
    }
}
