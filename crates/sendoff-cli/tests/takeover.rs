//! `--takeover`: a second process takes the port, and not one open conversation notices.
#![cfg(unix)]

mod common;

use common::{Running, WATCHDOG, random_bytes, run};
use sendoff::{Config, Crypt, Ending, Fec, KcpStream, Key};
use std::{fs, future::Future, net::SocketAddr, path::PathBuf};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { timeout(WATCHDOG, work).await.expect("hangs") })
}

/// A path for one test, which is gone afterwards.
struct Place(PathBuf);

impl Place {
    fn new(test: &str) -> Self {
        let name = format!("sendoff-{test}-{}.sock", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        _ = fs::remove_file(&self.0);
    }
}

fn start(port: u16, place: &Place, more: &[&str]) -> Running {
    let address = format!("kcp://127.0.0.1:{port}");
    let args = ["listen", &address, "--echo", "--drain-timeout", "1h", "--takeover", place.path()];
    let mut listener = Running::start(&[&args, more].concat());
    listener.event("listening");
    listener
}

fn first(place: &Place, more: &[&str]) -> (Running, u16) {
    let args = ["--echo", "--drain-timeout", "1h", "--takeover", place.path()];
    Running::listen(&[&args, more].concat())
}

async fn connect(port: u16, config: &Config) -> KcpStream {
    KcpStream::connect_with(SocketAddr::from(([127, 0, 0, 1], port)), config.clone()).await.unwrap()
}

async fn exchange(client: &mut KcpStream, seed: u64) {
    let said = random_bytes(20_000, seed + 1);
    let mut heard = vec![0; said.len()];
    let (mut reader, mut writer) = tokio::io::split(client);
    let (read, written) = tokio::join!(reader.read_exact(&mut heard), writer.write_all(&said));
    read.unwrap();
    written.unwrap();
    assert!(heard == said, "other bytes came back");
}

async fn end(mut client: KcpStream) {
    client.finish().unwrap();
    assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
    let ending = client.closed().await;
    assert!(ending.is_clean() && ending.bytes_in_doubt() == 0, "{ending}");
}

/// Conversations that are under way stay with the old process, new ones come to the new one, and both echo.
fn takes_over(test: &str, settings: &[&str], config: &Config) {
    let place = Place::new(test);
    let (mut old, port) = first(&place, settings);
    block_on(async {
        let mut before = Vec::new();
        for n in 0..50 {
            let mut client = connect(port, config).await;
            exchange(&mut client, n).await;
            before.push(client);
        }
        // One of them is in the middle of it.
        let (mut reader, mut writer) = connect(port, config).await.into_split();
        let stream = random_bytes(20_000_000, 7);
        let sent = stream.clone();
        let sending = tokio::spawn(async move {
            writer.write_all(&sent).await.unwrap();
            writer.shutdown().await.unwrap();
        });
        let mut heard = vec![0; 1_000_000];
        reader.read_exact(&mut heard).await.unwrap();
        let mut new = start(port, &place, settings);
        old.event("another process has the port now");
        let rest = async {
            reader.read_to_end(&mut heard).await.unwrap();
            assert!(heard == stream, "a stream across the takeover is whole");
        };
        let newcomers = async {
            let mut clients = Vec::new();
            for n in 0..50 {
                let mut client = connect(port, config).await;
                exchange(&mut client, 100 + n).await;
                assert!(!client.is_peer_going_away());
                clients.push(client);
            }
            clients
        };
        let ((), mut after) = tokio::join!(rest, newcomers);
        sending.await.unwrap();
        for (n, client) in before.iter_mut().enumerate() {
            assert!(client.is_peer_going_away(), "client {n}");
            exchange(client, 200 + n as u64).await;
        }
        for client in before {
            end(client).await;
        }
        let output = tokio::task::spawn_blocking(|| old.output()).await.unwrap();
        assert_eq!(output.code, 0, "{}", output.stderr);
        let last = output.stderr.lines().last().unwrap();
        assert!(last.contains("51 were open: 51 finished; 51 of 51 confirmed it"), "{last}");
        // The old one is gone: nobody notices that either.
        for (n, client) in after.iter_mut().enumerate() {
            exchange(client, 300 + n as u64).await;
        }
        for client in after {
            end(client).await;
        }
        let mut last = connect(port, config).await;
        exchange(&mut last, 400).await;
        end(last).await;
        new.signal("TERM");
        new.event("going away");
        let output = tokio::task::spawn_blocking(|| new.output()).await.unwrap();
        assert!(output.stderr.contains("51 served, none was open"), "{}", output.stderr);
    });
    assert!(!place.0.exists(), "the last one has taken the path along");
}

#[test]
fn open_conversations_stay_and_new_ones_go_to_the_new_process() {
    takes_over("plain", &[], &Config::new());
}

#[test]
fn also_sealed_and_with_error_correction() {
    let crypt = Crypt::aes_128_gcm(Key::kcptun("s3cret"));
    let config = Config::new().crypt(crypt).fec(Fec::new(10, 3).unwrap());
    let key = Place::new("key");
    fs::write(&key.0, "s3cret").unwrap();
    takes_over("sealed", &["--crypt", "aes-128-gcm", "--key-file", key.path(), "--fec", "10/3"], &config);
}

#[test]
fn an_old_process_that_is_killed_leaves_the_port_to_the_new_one() {
    let place = Place::new("killed");
    let (mut old, port) = first(&place, &[]);
    block_on(async {
        let mut client = connect(port, &Config::new()).await;
        exchange(&mut client, 1).await;
        let _new = start(port, &place, &[]);
        old.event("another process has the port now");
        let mut after = connect(port, &Config::new()).await;
        exchange(&mut after, 2).await;
        old.signal("KILL");
        drop(old);
        exchange(&mut after, 3).await;
        // Its client learns it as after any restart.
        client.write_all(b"are you there?").await.unwrap();
        let error = client.read(&mut [0]).await.unwrap_err();
        assert_eq!(Ending::of(&error).map(|ending| ending.code), Some(sendoff::code::UNKNOWN), "{error}");
        end(after).await;
    });
}

#[test]
fn a_new_process_that_dies_leaves_the_old_one_to_its_conversations() {
    let place = Place::new("died");
    let (mut old, port) = first(&place, &[]);
    block_on(async {
        let mut client = connect(port, &Config::new()).await;
        exchange(&mut client, 1).await;
        let new = start(port, &place, &[]);
        old.event("another process has the port now");
        new.signal("KILL");
        drop(new);
        exchange(&mut client, 2).await;
        let error = KcpStream::connect(client.peer_addr()).await.unwrap_err();
        assert_eq!(Ending::of(&error).map(|ending| ending.code), Some(sendoff::code::GOING_AWAY), "{error}");
        end(client).await;
        assert_eq!(tokio::task::spawn_blocking(|| old.output()).await.unwrap().code, 0);
    });
}

#[test]
fn who_asks_and_does_not_take_the_port_changes_nothing() {
    use std::{io::Read, os::unix::net::UnixStream};
    let place = Place::new("asked");
    let (old, port) = first(&place, &[]);
    block_on(async {
        let mut client = connect(port, &Config::new()).await;
        // One that goes at once, and one that says something else.
        drop(UnixStream::connect(&place.0).unwrap());
        let mut other = UnixStream::connect(&place.0).unwrap();
        other.read_exact(&mut [0]).unwrap();
        std::io::Write::write_all(&mut other, b"?").unwrap();
        assert_eq!(other.read(&mut [0]).unwrap(), 0, "it is turned away");
        exchange(&mut client, 1).await;
        let mut newcomer = connect(port, &Config::new()).await;
        exchange(&mut newcomer, 2).await;
        // Another port than that of the old one.
        let args = ["listen", "kcp://127.0.0.1:1", "--takeover", place.path()];
        let refused = tokio::task::spawn_blocking({
            let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
            move || run(&args.iter().map(String::as_str).collect::<Vec<_>>(), b"")
        });
        let refused = refused.await.unwrap();
        assert_eq!(refused.code, 1);
        assert!(refused.stderr.contains(&format!("has port {port}, not 1")), "{}", refused.stderr);
        exchange(&mut client, 3).await;
        end(client).await;
        end(newcomer).await;
    });
    drop(old);
    let refused = run(&["listen", "tcp://127.0.0.1:0", "--takeover", place.path()], b"");
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("--takeover: only kcp:// can be taken over"), "{}", refused.stderr);
}

#[test]
fn a_path_that_a_dead_process_has_left_is_taken() {
    let place = Place::new("stale");
    let (old, port) = first(&place, &[]);
    old.signal("KILL");
    drop(old);
    assert!(place.0.exists());
    let new = start(port, &place, &[]);
    block_on(async { exchange(&mut connect(port, &Config::new()).await, 1).await });
    new.signal("TERM");
    assert_eq!(new.output().code, 0);
    assert!(!place.0.exists());
}
