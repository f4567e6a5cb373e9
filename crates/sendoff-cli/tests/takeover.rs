//! `--takeover`: a second process takes the port, and not one open conversation notices.
#![cfg(unix)]

mod common;

use common::{Output, Running, WATCHDOG, random_bytes, run};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use sendoff::{Config, Crypt, Ending, Fec, KcpStream, Key};
use std::{
    fs,
    future::Future,
    io::{IoSlice, Read, Write},
    mem::MaybeUninit,
    net::{SocketAddr, UdpSocket},
    os::{
        fd::AsFd,
        unix::net::{UnixListener, UnixStream},
    },
    path::PathBuf,
};
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

impl Place {
    /// What has been made beside it, and not taken away.
    fn litter(&self) -> Vec<PathBuf> {
        let all = fs::read_dir(self.0.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path());
        all.filter(|path| *path != self.0 && path.to_str().unwrap().starts_with(self.path())).collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        _ = fs::remove_file(&self.0);
    }
}

fn launch(port: u16, path: &str, more: &[&str]) -> Running {
    let address = format!("kcp://127.0.0.1:{port}");
    let args = ["listen", &address, "--echo", "--drain-timeout", "1h", "--takeover", path];
    Running::start(&[&args, more].concat())
}

fn start(port: u16, place: &Place, more: &[&str]) -> Running {
    let mut listener = launch(port, place.path(), more);
    listener.event("listening");
    listener
}

/// One that isn't to begin to listen. Others run on meanwhile.
async fn refused(port: u16, path: &str) -> Output {
    let process = launch(port, path, &[]);
    let output = tokio::task::spawn_blocking(|| process.output()).await.unwrap();
    assert!(!output.stderr.contains("listening"), "{}", output.stderr);
    output
}

/// An old process that does what the test wants, and when.
struct ByHand {
    listener: UnixListener,
    socket: UdpSocket,
}

impl ByHand {
    fn new(place: &Place) -> Self {
        let listener = UnixListener::bind(&place.0).unwrap();
        Self { listener, socket: UdpSocket::bind("127.0.0.1:0").unwrap() }
    }

    fn port(&self) -> u16 {
        self.socket.local_addr().unwrap().port()
    }

    /// Gives the socket to who asks, and waits until it is ready.
    fn give(&self) -> UnixStream {
        let (mut stream, _) = self.listener.accept().unwrap();
        let sockets = [self.socket.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&sockets));
        sendmsg(&stream, &[IoSlice::new(&[2])], &mut control, SendFlags::empty()).unwrap();
        assert_eq!(read_byte(&mut stream), b'+');
        stream
    }
}

fn read_byte(stream: &mut UnixStream) -> u8 {
    let mut byte = [0];
    stream.set_read_timeout(Some(WATCHDOG)).unwrap();
    stream.read_exact(&mut byte).unwrap();
    byte[0]
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
    let place = Place::new("asked");
    let (old, port) = first(&place, &[]);
    block_on(async {
        let mut client = connect(port, &Config::new()).await;
        // One that goes at once, and one that says something else.
        drop(UnixStream::connect(&place.0).unwrap());
        let mut other = UnixStream::connect(&place.0).unwrap();
        other.read_exact(&mut [0]).unwrap();
        other.write_all(b"?").unwrap();
        assert_eq!(other.read(&mut [0]).unwrap(), 0, "it is turned away");
        exchange(&mut client, 1).await;
        let mut newcomer = connect(port, &Config::new()).await;
        exchange(&mut newcomer, 2).await;
        // Another port than that of the old one.
        let refused = refused(1, place.path()).await;
        assert_eq!(refused.code, 1);
        assert!(refused.stderr.contains(&format!("has port {port}, not 1")), "{}", refused.stderr);
        exchange(&mut client, 3).await;
        end(client).await;
        end(newcomer).await;
    });
    drop(old);
    assert_eq!(place.litter(), Vec::<PathBuf>::new());
    for (args, what) in [
        (&["tcp://127.0.0.1:0"][..], "--takeover: only kcp:// can be taken over"),
        (&["kcp://127.0.0.1:0", "--drivers", "4"][..], "--takeover: only with one driver, not --drivers 4"),
        (&["kcp://127.0.0.1:0?drivers=2"][..], "--takeover: only with one driver, not --drivers 2"),
    ] {
        let refused = run(&[&["listen", "--takeover", place.path()][..], args].concat(), b"");
        assert_eq!(refused.code, 2, "{}", refused.stderr);
        assert!(refused.stderr.contains(what), "{}", refused.stderr);
    }
}

#[test]
fn a_third_process_is_refused_until_the_first_has_gone() {
    let place = Place::new("third");
    let (mut first, port) = first(&place, &[]);
    block_on(async {
        let mut old = connect(port, &Config::new()).await;
        exchange(&mut old, 1).await;
        let mut second = start(port, &place, &[]);
        first.event("another process has the port now");
        let refused = refused(port, place.path()).await;
        assert_eq!(refused.code, 1);
        let why = "the process there refuses: the process before the running one still has connections";
        assert!(refused.stderr.contains(why), "{}", refused.stderr);
        // The others haven't noticed.
        let mut young = connect(port, &Config::new()).await;
        exchange(&mut young, 2).await;
        exchange(&mut old, 3).await;
        end(old).await;
        assert_eq!(tokio::task::spawn_blocking(|| first.output()).await.unwrap().code, 0);
        exchange(&mut young, 4).await;
        // The second one may learn it a moment later.
        let mut third = loop {
            let mut third = launch(port, place.path(), &[]);
            if !third.event("").contains("refuses") {
                break third;
            }
        };
        third.event("taken over");
        second.event("another process has the port now");
        let mut youngest = connect(port, &Config::new()).await;
        exchange(&mut youngest, 5).await;
        exchange(&mut young, 6).await;
        end(young).await;
        end(youngest).await;
    });
}

#[test]
fn only_a_socket_is_ever_replaced() {
    let place = Place::new("file");
    fs::write(&place.0, "dear").unwrap();
    let refused = run(&["listen", "kcp://127.0.0.1:0", "--takeover", place.path()], b"");
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("there is something else than a socket"), "{}", refused.stderr);
    assert_eq!(fs::read(&place.0).unwrap(), b"dear");
    let (old, port) = {
        fs::remove_file(&place.0).unwrap();
        first(&place, &[])
    };
    // Another's socket that has come there meanwhile stays when ours goes.
    fs::remove_file(&place.0).unwrap();
    let _other = UnixListener::bind(&place.0).unwrap();
    old.signal("TERM");
    assert_eq!(old.output().code, 0);
    assert!(place.0.exists(), "of port {port}");
}

#[test]
fn a_new_process_that_cannot_listen_at_its_path_changes_nothing() {
    let place = Place::new("long");
    // The same file by a longer name: one can connect there, but what is made beside it would be too long.
    let (directory, name) = (place.0.parent().unwrap().to_str().unwrap(), place.0.file_name().unwrap());
    let mut long = format!("{directory}/");
    while long.len() + name.len() < 101 {
        long += "./";
    }
    long += name.to_str().unwrap();
    let (mut old, port) = first(&place, &[]);
    block_on(async {
        let refused = refused(port, &long).await;
        assert_eq!(refused.code, 1);
        assert!(refused.stderr.contains(&format!("cannot listen at {long}.")), "{}", refused.stderr);
        let mut client = connect(port, &Config::new()).await;
        exchange(&mut client, 1).await;
        assert!(!client.is_peer_going_away());
        let _new = start(port, &place, &[]);
        old.event("another process has the port now");
        end(client).await;
    });
}

#[test]
fn a_new_process_that_is_not_handed_the_port_leaves_the_path_to_the_old_one() {
    let place = Place::new("kept");
    let old = ByHand::new(&place);
    let new = launch(old.port(), place.path(), &[]);
    drop(old.give());
    let output = new.output();
    assert_eq!(output.code, 1);
    assert!(output.stderr.contains("has ended, or keeps its port"), "{}", output.stderr);
    UnixStream::connect(&place.0).unwrap();
    assert_eq!(place.litter(), Vec::<PathBuf>::new());
}

#[test]
fn an_old_process_that_does_not_answer_is_not_waited_for_for_ever() {
    let (dumb, slow) = (Place::new("dumb"), Place::new("slow"));
    // One doesn't even accept, and one never hands over.
    let olds = (UnixListener::bind(&dumb.0).unwrap(), ByHand::new(&slow));
    let news = (launch(1, dumb.path(), &[]), launch(olds.1.port(), slow.path(), &[]));
    let _given = olds.1.give();
    for (new, what) in [
        (news.0, "the process there doesn't answer within 5s"),
        (news.1, "the other process has not handed over after 10s"),
    ] {
        let output = new.output();
        assert_eq!(output.code, 1);
        assert!(output.stderr.contains(what), "{}", output.stderr);
    }
    for place in [dumb, slow] {
        assert!(place.0.exists());
        assert_eq!(place.litter(), Vec::<PathBuf>::new());
    }
}

#[test]
fn who_has_handed_over_or_goes_away_keeps_nobody_waiting_at_its_path() {
    let place = Place::new("after");
    let (mut old, port) = first(&place, &[]);
    let address = format!("127.0.0.1:{port}");
    let mut client = Running::start(&["connect", &address, "--quit-after", "off"]);
    client.write(b"echo");
    client.stdout_until(|seen| seen == b"echo");
    // It dies as soon as it has the port.
    let mut new = UnixStream::connect(&place.0).unwrap();
    assert_eq!(read_byte(&mut new), 2);
    new.write_all(b"+").unwrap();
    assert_eq!(read_byte(&mut new), b'!');
    drop(new);
    old.event("going away");
    assert!(UnixStream::connect(&place.0).is_err(), "somebody is at the path");
    let next = launch(port, place.path(), &[]).output();
    assert_eq!(next.code, 1);
    assert!(next.stderr.contains("in use"), "{}", next.stderr);
    drop((client, old));
    // By SIGTERM: the path goes first.
    let (mut old, port) = first(&place, &[]);
    let address = format!("127.0.0.1:{port}");
    let mut client = Running::start(&["connect", &address, "--quit-after", "off"]);
    client.write(b"echo");
    client.stdout_until(|seen| seen == b"echo");
    old.signal("TERM");
    old.event("going away");
    assert!(!place.0.exists());
}

#[test]
fn a_new_process_that_cannot_have_the_path_any_more_serves_all_the_same_and_says_so() {
    let place = Place::new("lost");
    let old = ByHand::new(&place);
    let mut new = launch(old.port(), place.path(), &[]);
    let mut given = old.give();
    fs::remove_file(&place.0).unwrap();
    fs::write(&place.0, "dear").unwrap();
    given.write_all(b"!").unwrap();
    let said = new.event("taken over");
    assert!(said.contains("nobody can take over from here: "), "{said}");
    drop(given);
    block_on(async {
        let mut client = connect(old.port(), &Config::new()).await;
        exchange(&mut client, 1).await;
        end(client).await;
    });
    new.signal("TERM");
    assert_eq!(new.output().code, 0);
    assert_eq!(fs::read(&place.0).unwrap(), b"dear");
    assert_eq!(place.litter(), Vec::<PathBuf>::new());
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
