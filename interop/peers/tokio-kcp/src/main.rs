//! A tokio_kcp peer for the interoperability tests: echo or sink server, and echo client.

use std::error::Error;
use std::process::ExitCode;
use std::time::Instant;

use interop_plan::{Checker, Chunks, Event, LISTENING, Options, Payload, Report, Role, Serve, obey_stdin};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::broadcast;
use tokio_kcp::{KcpConfig, KcpListener, KcpNoDelayConfig, KcpStream};

type Failure = Box<dyn Error + Send + Sync>;

/// Holds the longest message whole, since a longer one would lose its boundary.
const READ_BUFFER: usize = 256 * 1024;

fn config(options: &Options) -> KcpConfig {
    let mut config = KcpConfig { stream: !options.message, ..KcpConfig::default() };
    if let Some([nodelay, interval, resend, nc]) = options.profile {
        config.nodelay = KcpNoDelayConfig {
            nodelay: nodelay != 0,
            interval: interval as i32,
            resend: resend as i32,
            nc: nc != 0,
        };
    }
    if let Some(window) = options.window {
        config.wnd_size = (window, window);
    }
    if let Some(mtu) = options.mtu {
        config.mtu = mtu;
    }
    config
}

async fn server(options: Options, close: broadcast::Sender<()>) -> Result<(), Failure> {
    let mut listener = KcpListener::bind(config(&options), &options.address).await?;
    println!("{LISTENING}{}", listener.local_addr()?);
    loop {
        let (mut stream, peer) = listener.accept().await?;
        let mut report = Report::accepted(peer, options.bytes);
        let (serve, mut closed) = (options.serve, close.subscribe());
        tokio::spawn(async move {
            tokio::select! {
                why = serve_one(&mut stream, &mut report, serve) => report.emit(why),
                _ = closed.recv() => {
                    drop(stream);
                    report.emit_closed();
                }
            }
        });
    }
}

/// Serves a connection to its end, and says why it ended.
async fn serve_one(stream: &mut KcpStream, report: &mut Report, serve: Serve) -> String {
    let mut buffer = vec![0; READ_BUFFER];
    loop {
        let read = match stream.recv(&mut buffer).await {
            Ok(0) => return "end".into(),
            Ok(length) => &buffer[..length],
            Err(error) => return error.to_string(),
        };
        report.read(read);
        if serve == Serve::Echo
            && let Err(error) = stream.write_all(read).await
        {
            return error.to_string();
        }
    }
}

async fn client(options: Options) -> Result<(), Failure> {
    let started = Instant::now();
    let stream = KcpStream::connect(&config(&options), options.address.parse()?).await?;
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut checker = checker(&options);
    let transfer = async {
        tokio::try_join!(write(&mut writer, &options), read(&mut reader, &mut checker))?;
        Ok::<(), Failure>(())
    };
    let outcome = match tokio::time::timeout(options.deadline, transfer).await {
        Ok(outcome) => outcome.map_err(|error| error.to_string()),
        Err(_) => Err("timeout".to_string()),
    };
    let elapsed_ms = started.elapsed().as_secs_f64() * 1e3;
    tokio::time::sleep(options.lifetime).await;
    Event::Result {
        ok: outcome.is_ok(),
        bytes: checker.received(),
        error: outcome.err().unwrap_or_default(),
        elapsed_ms,
    }
    .emit();
    Ok(())
}

fn checker(options: &Options) -> Checker {
    let messages = options.message.then(|| Chunks::new(&options.sizes, options.bytes));
    Checker::new(&options.seed, if options.echo { options.bytes } else { 0 }, messages)
}

async fn write(writer: &mut WriteHalf<KcpStream>, options: &Options) -> Result<(), Failure> {
    let mut source = Payload::new(&options.seed);
    for size in Chunks::new(&options.sizes, options.bytes) {
        writer.write_all(&source.take(size)).await?;
    }
    writer.flush().await?;
    Ok(())
}

async fn read(reader: &mut ReadHalf<KcpStream>, checker: &mut Checker) -> Result<(), Failure> {
    let mut buffer = vec![0; READ_BUFFER];
    while !checker.is_complete() {
        let length = reader.read(&mut buffer).await?;
        checker.take(&buffer[..length])?;
    }
    Ok(())
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let close = broadcast::Sender::new(1);
    let command = close.clone();
    obey_stdin(move || _ = command.send(()));
    let outcome = match Options::parse(std::env::args().skip(1)) {
        Ok((Role::Server, options)) => server(options, close).await,
        Ok((Role::Client, options)) => client(options).await,
        Err(error) => Err(error.into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tokio-kcp: {error}");
            ExitCode::FAILURE
        }
    }
}
