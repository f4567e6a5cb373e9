//! What several drivers give to a listener with many clients: echoes a second, and bulk, with 1 driver, 2, and so on,
//! in turns. Server and clients are processes of their own and share all cores of the machine.
//!
//! ```text
//! cargo run --release --bin drivers -- --drivers 1,2 --connections 64 --secs 2 --rounds 5
//! ```

use anyhow::{Context, Result, bail};
use clap::Parser;
use sendoff::{Config, KcpListener, KcpStream};
use std::{
    env,
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Says in the environment of a child what it is.
const ROLE: &str = "BENCH_DRIVERS_ROLE";

#[derive(Parser, Clone)]
struct Arguments {
    /// How many drivers, one number after the other.
    #[arg(long, value_delimiter = ',', default_value = "1,2")]
    drivers: Vec<usize>,
    /// Clients at a time, each with a socket of its own.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 2.0)]
    secs: f64,
    /// Measurements of each kind, in turns; the median counts.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Threads of each process.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Of a client: where the server is.
    #[arg(long, hide = true)]
    address: Option<String>,
    /// Of a client: bulk, not echoes.
    #[arg(long, hide = true)]
    bulk: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match env::var(ROLE).as_deref() {
        Ok("server") => runtime(&arguments)?.block_on(serve(&arguments)),
        Ok("client") => runtime(&arguments)?.block_on(ask(&arguments)),
        _ => compare(&arguments),
    }
}

fn runtime(arguments: &Arguments) -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(arguments.threads).enable_all().build()?)
}

fn config() -> Config {
    Config::new().keep_alive(None)
}

/// Sends back what comes in little pieces, swallows the rest; ends with its stdin.
async fn serve(arguments: &Arguments) -> Result<()> {
    let config = config().drivers(arguments.drivers[0])?;
    let listener = KcpListener::bind_with("127.0.0.1:0", config).await?;
    println!("{}", listener.local_addr());
    let endpoint = listener.endpoint().clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = vec![0; 65_536];
                while let Ok(len @ 1..) = stream.read(&mut buffer).await {
                    if len <= 64 && stream.write_all(&buffer[..len]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF)?;
    let micros = |time: nix::sys::time::TimeVal| time.tv_sec() * 1_000_000 + time.tv_usec();
    let cpu = (micros(usage.user_time()) + micros(usage.system_time())) as f64 / 1e6;
    let each: Vec<_> = endpoint.driver_stats().iter().map(|stats| stats.connections_accepted).collect();
    println!("{cpu} {each:?}");
    std::process::exit(0)
}

/// Many clients at a time; prints how many echoes, or bytes, there were.
async fn ask(arguments: &Arguments) -> Result<()> {
    let address = arguments.address.clone().context("no address")?;
    let count = Arc::new(AtomicU64::new(0));
    let mut streams = Vec::new();
    for _ in 0..arguments.connections {
        streams.push(KcpStream::connect_with(address.as_str(), config()).await?);
    }
    let began = Instant::now();
    for mut stream in streams {
        let (count, bulk) = (count.clone(), arguments.bulk);
        tokio::spawn(async move {
            let mut buffer = vec![7; if bulk { 65_536 } else { 64 }];
            loop {
                stream.write_all(&buffer).await?;
                if !bulk {
                    stream.read_exact(&mut buffer).await?;
                }
                count.fetch_add(if bulk { buffer.len() as u64 } else { 1 }, Ordering::Relaxed);
            }
            #[allow(unreachable_code, reason = "it names the type of the errors")]
            std::io::Result::Ok(())
        });
    }
    tokio::time::sleep(Duration::from_secs_f64(arguments.secs)).await;
    println!("{}", count.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64());
    std::process::exit(0)
}

fn child(role: &str, arguments: &[String]) -> Result<Child> {
    let mut command = Command::new(env::current_exe()?);
    command.args(arguments).env(ROLE, role).stdin(Stdio::piped()).stdout(Stdio::piped());
    Ok(command.spawn()?)
}

/// What a second brought, and the server's CPU seconds.
fn measure(arguments: &Arguments, drivers: usize, bulk: bool) -> Result<(f64, f64, String)> {
    let threads = format!("--threads={}", arguments.threads);
    let mut server = child("server", &[format!("--drivers={drivers}"), threads.clone()])?;
    let mut said = BufReader::new(server.stdout.take().context("no stdout")?);
    let mut address = String::new();
    said.read_line(&mut address)?;
    let mut options = vec![
        threads,
        format!("--address={}", address.trim()),
        format!("--connections={}", arguments.connections),
        format!("--secs={}", arguments.secs),
    ];
    options.extend(bulk.then(|| "--bulk".to_owned()));
    let client = child("client", &options)?.wait_with_output()?;
    if !client.status.success() {
        bail!("the clients failed");
    }
    drop(server.stdin.take());
    let mut last = String::new();
    said.read_line(&mut last)?;
    server.wait()?;
    let (cpu, each) = last.trim().split_once(' ').context("no figures of the server")?;
    Ok((String::from_utf8(client.stdout)?.trim().parse()?, cpu.parse()?, each.to_owned()))
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn compare(arguments: &Arguments) -> Result<()> {
    for (bulk, unit, scale) in [(false, "echoes/s", 1.0), (true, "MB/s", 1e6)] {
        let mut rates = vec![Vec::new(); arguments.drivers.len()];
        let mut costs = rates.clone();
        let mut spread = vec![String::new(); rates.len()];
        for _ in 0..arguments.rounds {
            for (n, &drivers) in arguments.drivers.iter().enumerate() {
                let (rate, cpu, each) = measure(arguments, drivers, bulk)?;
                rates[n].push(rate / scale);
                costs[n].push(cpu / (rate / scale * arguments.secs) * 1e6);
                spread[n] = each;
            }
        }
        for (n, drivers) in arguments.drivers.iter().enumerate() {
            let (rate, cost) = (median(&mut rates[n]), median(&mut costs[n]));
            println!(
                "{drivers} drivers: {rate:>10.0} {unit}, {cost:.2} CPU µs of the server for each; clients {}",
                spread[n]
            );
        }
    }
    Ok(())
}
