//! sendoff's side of a trial, in this process.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use interop_plan::{Checker, Chunks, Payload, SECRET};
use sendoff::{
    Config, Crypt, EndpointStats, KcpEndpoint, KcpListener, KcpStream, Mode, PeerKind, ReadHalf, WriteHalf,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use crate::{Outcome, Profile, Settings, Trial};

/// Turns a hang into a failure.
const WATCHDOG: Duration = Duration::from_secs(120);
/// The least receive window of message mode, so that every message fits.
const LEAST_MESSAGE_WINDOW: u32 = 128;

/// The configuration that says what peer programs are told in flags.
pub fn config(settings: &Settings) -> Result<Config, String> {
    let profile = match settings.profile {
        Profile::Default => sendoff::Profile::DEFAULT,
        Profile::Normal => sendoff::Profile::NORMAL,
        Profile::Fast => sendoff::Profile::FAST,
        Profile::Fast2 => sendoff::Profile::FAST2,
        Profile::Fast3 => sendoff::Profile::FAST3,
    };
    let (mode, least) = match settings.message {
        false => (Mode::Stream, 1),
        true => (Mode::Message, LEAST_MESSAGE_WINDOW),
    };
    let window = u32::from(settings.window);
    Config::new()
        .profile(profile)
        .mode(mode)
        .crypt(Crypt::kcptun(settings.crypt, SECRET))
        .mtu(settings.mtu)
        .and_then(|config| config.send_window(window))
        .and_then(|config| config.recv_window(window.max(least)))
        .map_err(|error| error.to_string())
}

/// A server that echoes every connection until it is dropped.
pub struct EchoServer {
    endpoint: KcpEndpoint,
    account: Arc<Mutex<Vec<String>>>,
    kinds: Arc<Mutex<Vec<PeerKind>>>,
    task: JoinHandle<()>,
}

impl EchoServer {
    /// Binds to a free port of the loopback and serves.
    pub async fn start(config: Config, message: bool) -> Result<Self, String> {
        let listener = KcpListener::bind_with("127.0.0.1:0", config).await;
        let listener = listener.map_err(|error| format!("bind: {error}"))?;
        let endpoint = listener.endpoint().clone();
        let (account, kinds) = (Arc::<Mutex<_>>::default(), Arc::<Mutex<_>>::default());
        let task = tokio::spawn(serve(listener, message, account.clone(), kinds.clone()));
        Ok(Self { endpoint, account, kinds, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.endpoint.local_addr()
    }

    /// What its socket has counted.
    pub fn stats(&self) -> EndpointStats {
        self.endpoint.stats()
    }

    /// What it takes each of its peers for when it accepts it.
    pub fn peer_kinds(&self) -> Vec<PeerKind> {
        self.kinds.lock().unwrap().clone()
    }

    /// What it has seen: connections and how they ended.
    pub fn account(&self) -> String {
        self.account.lock().unwrap().join(", ")
    }
}

impl Drop for EchoServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    listener: KcpListener,
    message: bool,
    account: Arc<Mutex<Vec<String>>>,
    kinds: Arc<Mutex<Vec<PeerKind>>>,
) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => return account.lock().unwrap().push(format!("accept: {error}")),
        };
        account.lock().unwrap().push(format!("accepted {peer} {}", stream.conv()));
        kinds.lock().unwrap().push(stream.peer_kind());
        let account = account.clone();
        connections.spawn(async move {
            let mut served = Served(stream);
            let ended = match message {
                true => echo_messages(&served.0).await,
                false => echo_stream(&mut served.0).await,
            };
            account.lock().unwrap().push(format!("{peer}: {ended:?}"));
        });
    }
}

/// Ends at once with its server, and doesn't linger: a client that has gone without its last ACK would
/// be sent the rest of its echo again and again, and the next to get its port might believe that.
/// (tokio_kcp takes datagrams from everyone, and takes over their conv.)
struct Served(KcpStream);

impl Drop for Served {
    fn drop(&mut self) {
        self.0.abort(0);
    }
}

async fn echo_stream(stream: &mut KcpStream) -> std::io::Result<()> {
    let mut buffer = vec![0; 65_536];
    loop {
        let length = stream.read(&mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..length]).await?;
    }
}

async fn echo_messages(stream: &KcpStream) -> std::io::Result<()> {
    while let Some(message) = stream.recv().await? {
        stream.send(message).await?;
    }
    Ok(())
}

/// Runs a trial's client against `server`: all is written, acknowledged, and echoed right.
pub async fn run_client(trial: &Trial, server: SocketAddr) -> Result<Outcome, String> {
    let started = Instant::now();
    let stream = KcpStream::connect_with(server, config(&trial.settings)?).await;
    let stream = stream.map_err(|error| format!("connect: {error}"))?;
    let mut checker = checker(trial);
    let ended = match trial.settings.message {
        true => exchange_messages(&stream, trial, &mut checker).await.map(|()| stream),
        false => exchange_stream(stream, trial, &mut checker).await,
    };
    let mut stream = ended.map_err(|error| {
        format!("sendoff client after {} of {} bytes: {error}", checker.received(), trial.bytes)
    })?;
    let elapsed = started.elapsed();
    if checker.sha256() != interop_plan::sha256_of(&trial.seed(), trial.bytes) {
        return Err("the hash of the echo is wrong".into());
    }
    let stats = stream.stats();
    let detail = format!(
        "resent {} by time, {} fast, {} early; {} received twice",
        stats.retransmitted_timeout,
        stats.retransmitted_fast,
        stats.retransmitted_early,
        stats.duplicates_received
    );
    stream.close(0, "");
    let ending = timeout(WATCHDOG, stream.closed()).await;
    ending.map_err(|_| "all was echoed, but close didn't end".to_string())?;
    Ok(Outcome { elapsed, detail, ..Outcome::default() })
}

fn checker(trial: &Trial) -> Checker {
    let messages = trial.settings.message.then(|| Chunks::new(&trial.sizes(), trial.bytes));
    Checker::new(&trial.seed(), trial.bytes, messages)
}

async fn exchange_stream(
    stream: KcpStream,
    trial: &Trial,
    checker: &mut Checker,
) -> Result<KcpStream, String> {
    let (mut reader, mut writer) = stream.into_split();
    let transfer = async { tokio::try_join!(write(&mut writer, trial), read(&mut reader, checker)) };
    match timeout(WATCHDOG, transfer).await.unwrap_or_else(|_| Err("timeout".into())) {
        Ok(_) => reader.reunite(writer).map_err(|error| format!("reunite: {error}")),
        Err(error) => Err(format!("{error}; {:?}", reader.stats())),
    }
}

async fn write(writer: &mut WriteHalf, trial: &Trial) -> Result<(), String> {
    let mut source = Payload::new(&trial.seed());
    for size in Chunks::new(&trial.sizes(), trial.bytes) {
        writer.write_all(&source.take(size)).await.map_err(|error| format!("write: {error}"))?;
    }
    // Ok says that the peer has all of it.
    writer.shutdown().await.map_err(|error| format!("shutdown: {error}"))
}

async fn read(reader: &mut ReadHalf, checker: &mut Checker) -> Result<(), String> {
    let mut buffer = vec![0; 65_536];
    while !checker.is_complete() {
        let length = reader.read(&mut buffer).await.map_err(|error| format!("read: {error}"))?;
        checker.take(&buffer[..length])?;
    }
    Ok(())
}

async fn exchange_messages(stream: &KcpStream, trial: &Trial, checker: &mut Checker) -> Result<(), String> {
    let send = async {
        let mut source = Payload::new(&trial.seed());
        for size in Chunks::new(&trial.sizes(), trial.bytes) {
            stream.send(source.take(size)).await.map_err(|error| format!("send: {error}"))?;
        }
        Ok::<(), String>(())
    };
    let recv = async {
        while !checker.is_complete() {
            let message = stream.recv().await.map_err(|error| format!("recv: {error}"))?;
            checker.take(&message.unwrap_or_default())?;
        }
        Ok(())
    };
    let transfer = async { tokio::try_join!(send, recv) };
    let ended = timeout(WATCHDOG, transfer).await.unwrap_or_else(|_| Err("timeout".into()));
    ended.map(drop).map_err(|error| format!("{error}; {:?}", stream.stats()))
}
