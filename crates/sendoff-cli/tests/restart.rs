//! A server process is restarted under many live connections, by farewell and by `kill -9`: every client's story is
//! right, and nothing that was acknowledged is lost.
#![cfg(unix)]

mod common;

use common::{Running, WATCHDOG, random_bytes};
use sendoff::{Cause, Config, Ending, KcpStream, Party, code};
use std::{future::Future, io, net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinSet,
    time::timeout,
};

const CLIENTS: u64 = 200;

/// For those who finish to do so, however slow the machine; the test waits for it.
const DRAIN: &str = "6s";

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { timeout(WATCHDOG, work).await.expect("hangs") })
}

fn listen(port: u16) -> Running {
    let mut listener =
        Running::start(&["listen", &format!("kcp://127.0.0.1:{port}"), "--echo", "--drain-timeout", DRAIN]);
    listener.event("listening");
    listener
}

fn server() -> (Running, u16) {
    Running::listen(&["--echo", "--drain-timeout", DRAIN])
}

/// Opens them all, and has each of them hear what it says.
async fn connect_all(port: u16, config: &Config) -> Vec<KcpStream> {
    let addr = SocketAddr::from(([127, 0, 0, 1], port));
    let mut clients = Vec::new();
    for n in 0..CLIENTS {
        let mut client = KcpStream::connect_with(addr, config.clone()).await.unwrap();
        exchange(&mut client, n).await.unwrap();
        clients.push(client);
    }
    clients
}

async fn exchange(client: &mut KcpStream, seed: u64) -> io::Result<()> {
    let said = random_bytes(3_000, seed + 1);
    client.write_all(&said).await?;
    let mut heard = vec![0; said.len()];
    client.read_exact(&mut heard).await?;
    assert!(heard == said, "other bytes came back");
    Ok(())
}

async fn each<F>(clients: Vec<KcpStream>, story: impl Fn(u64, KcpStream) -> F)
where
    F: Future<Output = ()> + 'static,
{
    let local = tokio::task::LocalSet::new();
    let mut stories = JoinSet::new();
    for (n, client) in clients.into_iter().enumerate() {
        stories.spawn_local_on(story(n as u64, client), &local);
    }
    local
        .run_until(async {
            while let Some(story) = stories.join_next().await {
                story.unwrap();
            }
        })
        .await;
}

#[test]
fn by_farewell_everyone_is_told_who_finishes_loses_nothing_and_the_rest_is_reset() {
    let (old, port) = server();
    block_on(async {
        let clients = connect_all(port, &Config::new()).await;
        old.signal("TERM");
        each(clients, async |n, mut client| {
            assert!(client.going_away().await, "client {n} isn't told");
            exchange(&mut client, n + 1_000).await.unwrap();
            if n == 0 {
                let error = KcpStream::connect(client.peer_addr()).await.unwrap_err();
                let ending = Ending::of(&error).expect("an ending");
                assert_eq!((ending.cause, ending.code), (Cause::Refused, code::GOING_AWAY));
            }
            if n % 2 == 0 {
                client.finish().unwrap();
                assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
                let ending = client.closed().await;
                assert!(ending.is_clean() && ending.bytes_in_doubt() == 0, "client {n}: {ending}");
                return;
            }
            let error = client.read(&mut [0]).await.unwrap_err();
            let ending = Ending::of(&error).expect("an ending");
            assert_eq!((ending.by, ending.cause), (Party::Peer, Cause::Reset), "client {n}: {ending}");
            assert_eq!((ending.code, ending.bytes_in_doubt()), (code::GOING_AWAY, 0));
        })
        .await;
        let output = tokio::task::spawn_blocking(|| old.output()).await.unwrap();
        assert_eq!(output.code, 0, "{}", output.stderr);
        let expected = ": 200 served, 200 were open: 100 finished, 100 reset; 200 of 200 confirmed it";
        assert!(output.stderr.lines().last().unwrap().contains(expected), "{}", output.stderr);
        let _new = listen(port);
        connect_all(port, &Config::new()).await;
    });
}

#[test]
fn by_kill_everyone_learns_that_it_is_forgotten_and_what_is_in_doubt() {
    let (old, port) = server();
    block_on(async {
        // Those who are silent ask after a second.
        let config = Config::new().keep_alive(Duration::from_secs(1));
        let clients = connect_all(port, &config).await;
        old.signal("KILL");
        drop(old);
        let mut new = listen(port);
        each(clients, async |n, mut client| {
            let said = if n % 2 == 0 { random_bytes(2_000, n) } else { Vec::new() };
            // It may have learnt of it already.
            let written = client.write_all(&said).await.is_ok();
            let error = client.read(&mut [0]).await.unwrap_err();
            let ending = Ending::of(&error).expect("an ending").clone();
            assert_eq!(ending.cause, Cause::Reset, "client {n}: {ending}");
            // By the new process, or before there was one by the system.
            assert!((ending.by, ending.code) == (Party::Peer, code::UNKNOWN) || ending.by == Party::Network);
            assert_eq!(ending.bytes_acknowledged, 3_000, "client {n}: only what the old one had");
            let doubt = if written { said.len() as u64 } else { 0 };
            assert_eq!(ending.bytes_in_doubt(), doubt, "client {n}: {ending}");
        })
        .await;
        connect_all(port, &Config::new()).await;
        new.signal("TERM");
        let output = tokio::task::spawn_blocking(|| {
            new.event("going away");
            new.output()
        });
        let output = output.await.unwrap();
        let opened = output.stderr.lines().filter(|line| line.contains(" opened,")).count();
        assert_eq!(opened as u64, CLIENTS, "nobody but those who came again:\n{}", output.stderr);
    });
}
