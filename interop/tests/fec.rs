//! Forward error correction with kcp-go: every ratio and role, with and without a cipher, over links that lose.

use std::time::Duration;

use interop_plan::{Checker, Options, Payload, SECRET};
use sendoff::{Cipher, Config, Crypt, Fec, FecStats, KcpListener, KcpStream, PeerKind};
use sendoff_interop::ours::EchoServer;
use sendoff_interop::peer::run_coded_client;
use sendoff_interop::talk::{WATCHDOG, echo};
use sendoff_interop::{Client, Link, Peer, Relay, Server, Shards, ready};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;
use tokio::time::timeout;

const BYTES: usize = 1 << 20;
const FAST3: [u32; 4] = [1, 10, 2, 1];
const WINDOW: u16 = 256;

type Ratio = Option<[usize; 2]>;

fn fec([data, parity]: [usize; 2]) -> Fec {
    Fec::new(data, parity).unwrap()
}

fn losing(loss: f64) -> Link {
    Link { loss, ..Link::CLEAN }
}

/// Who talks to whom, and how.
#[derive(Clone, Copy, Debug)]
struct Row {
    peer: Peer,
    ours: Ratio,
    theirs: Ratio,
    cipher: Cipher,
    loss: f64,
    bytes: usize,
}

impl Row {
    fn of(ours: Ratio, theirs: Ratio) -> Self {
        Self { peer: Peer::KcpGo5672, ours, theirs, cipher: Cipher::Null, loss: 0.0, bytes: BYTES }
    }

    fn config(&self) -> Config {
        let config = Config::fast3().crypt(Crypt::kcptun(self.cipher, SECRET)).fec(self.ours.map(fec));
        let window = u32::from(WINDOW);
        config.send_window(window).and_then(|config| config.recv_window(window)).unwrap()
    }

    fn options(&self) -> Options {
        Options {
            profile: Some(FAST3),
            window: Some(WINDOW),
            seed: format!("{self:?}"),
            bytes: self.bytes,
            crypt: Some(self.cipher.to_string()),
            fec: self.theirs,
            ..Options::default()
        }
    }

    /// We connect, send a payload, and check every byte of its echo. What FEC has counted here and there.
    async fn as_client(self) -> (FecStats, Shards) {
        let options = self.options();
        let mut server = Server::start(self.peer, &options).await.unwrap();
        let relay = Relay::start(server.address(), losing(self.loss), 11).unwrap();
        let stream = KcpStream::connect_with(relay.address(), self.config()).await.unwrap();
        assert_eq!(stream.peer_kind(), PeerKind::Stock, "{self:?}");
        let stream = exchange(stream, &options.seed, self.bytes).await;
        (stream.endpoint().stats().fec, server.shards().await.unwrap())
    }

    /// They do.
    async fn as_server(self) -> (FecStats, Shards) {
        let server = EchoServer::start(self.config(), false).await.unwrap();
        let relay = Relay::start(server.address(), losing(self.loss), 12).unwrap();
        let options = Options { address: relay.address().to_string(), ..self.options() };
        let ran = run_coded_client(self.peer, &options).await;
        let (bytes, _, shards) =
            ran.unwrap_or_else(|error| panic!("{self:?}: {error}; {}", server.account()));
        assert_eq!(bytes, self.bytes, "{self:?}");
        (server.stats().fec, shards)
    }

    /// Both, one after the other, with what holds for every row.
    async fn both(self) -> [(FecStats, Shards); 2] {
        let both = [self.as_client().await, self.as_server().await];
        for (role, (here, there)) in ["client", "server"].into_iter().zip(&both) {
            println!(
                "{} we are {role}, {} us {:?} them {:?} loss {}: recovered here {} there {}, parity here {} there {}",
                self.peer,
                self.cipher,
                self.ours,
                self.theirs,
                self.loss,
                here.recovered,
                there.recovered,
                here.parity_received,
                there.parity
            );
            assert_eq!((here.refused_groups, here.refused), (0, 0), "{self:?} as {role}: {here:?}");
            assert_eq!(there.errors, 0, "{self:?} as {role}: {there:?}");
            assert_eq!(here.data_sent > 0, self.ours.is_some(), "{self:?} as {role}: {here:?}");
            assert_eq!(here.parity_received > 0, self.theirs.is_some(), "{self:?} as {role}: {here:?}");
            assert_eq!(here.ratios_found, u64::from(self.theirs.is_some()), "{self:?} as {role}: {here:?}");
        }
        both
    }
}

/// Writes a payload and reads its echo at the same time; checked by the byte and by its hash.
async fn exchange(stream: KcpStream, seed: &str, bytes: usize) -> KcpStream {
    let (mut reader, mut writer) = stream.into_split();
    let mut checker = Checker::new(seed, bytes, None);
    let write = async {
        let mut source = Payload::new(seed);
        for _ in 0..bytes / 16_384 {
            writer.write_all(&source.take(16_384)).await.unwrap();
        }
    };
    let read = async {
        let mut buffer = vec![0; 65_536];
        while !checker.is_complete() {
            let length = reader.read(&mut buffer).await.unwrap();
            checker.take(&buffer[..length]).unwrap();
        }
    };
    if timeout(WATCHDOG, async { tokio::join!(write, read) }).await.is_err() {
        panic!("{seed}: after {} of {bytes} bytes: {:?}", checker.received(), reader.stats());
    }
    assert_eq!(checker.sha256(), interop_plan::sha256_of(seed, bytes));
    reader.reunite(writer).unwrap()
}

async fn all(rows: impl IntoIterator<Item = Row>) -> Vec<[(FecStats, Shards); 2]> {
    let mut running = JoinSet::new();
    rows.into_iter().for_each(|row| _ = running.spawn(row.both()));
    running.join_all().await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_ratio_passes_in_both_roles_with_and_without_a_cipher() {
    if !ready(&[Peer::KcpGo5672]) {
        return;
    }
    let mut rows = Vec::new();
    for ratio in [None, Some([10, 3]), Some([3, 2]), Some([1, 1])] {
        for cipher in [Cipher::Null, Cipher::Aes128Gcm] {
            rows.push(Row { cipher, ..Row::of(ratio, ratio) });
        }
    }
    all(rows).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_make_good_what_a_link_loses() {
    if !ready(&[Peer::KcpGo5672]) {
        return;
    }
    let ratio = Some([10, 10]);
    let rows = [Cipher::Null, Cipher::Aes128Gcm].map(|cipher| Row {
        cipher,
        loss: 0.2,
        bytes: BYTES / 2,
        ..Row::of(ratio, ratio)
    });
    for (here, there) in all(rows).await.concat() {
        assert!(here.recovered > 40 && there.recovered > 40, "{here:?} {there:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_side_has_a_ratio_of_its_own() {
    if !ready(&[Peer::KcpGo5672]) {
        return;
    }
    let pairs = [([10, 3], [3, 2]), ([2, 2], [10, 5]), ([10, 3], [10, 4])];
    let rows = pairs.map(|(ours, theirs)| Row { loss: 0.05, ..Row::of(Some(ours), Some(theirs)) });
    for (here, there) in all(rows).await.concat() {
        assert!(here.recovered > 10 && there.recovered > 10, "{here:?} {there:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_side_that_codes_nothing_makes_good_what_the_other_one_codes() {
    if !ready(&[Peer::KcpGo5672]) {
        return;
    }
    let rows = [(Some([4, 2]), None), (None, Some([4, 2]))];
    for row in rows.map(|(ours, theirs)| Row { loss: 0.05, ..Row::of(ours, theirs) }) {
        for (here, there) in row.both().await {
            if row.ours.is_some() {
                assert!(there.parity > 20 && there.recovered > 10, "{there:?}");
            } else {
                assert!(here.recovered > 10 && there.parity == 0, "{here:?} {there:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_kcp_go_with_the_same_ratio_passes_too() {
    if !ready(&[Peer::KcpGo561]) {
        return;
    }
    let mut rows = Vec::new();
    for (ratio, loss) in [([10, 3], 0.0), ([10, 3], 0.05), ([3, 2], 0.1)] {
        for cipher in [Cipher::Null, Cipher::Aes128] {
            let row = Row::of(Some(ratio), Some(ratio));
            rows.push(Row { peer: Peer::KcpGo561, cipher, loss, bytes: BYTES / 2, ..row });
        }
    }
    all(rows).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ratio_that_changes_while_running_is_followed() {
    if !ready(&[Peer::KcpGo5672]) {
        return;
    }
    let row = Row { loss: 0.03, ..Row::of(Some([10, 3]), Some([10, 3])) };
    let mut server = Server::start(row.peer, &Options { bytes: 0, ..row.options() }).await.unwrap();
    let relay = Relay::start(server.address(), losing(row.loss), 13).unwrap();
    let mut stream = KcpStream::connect_with(relay.address(), row.config()).await.unwrap();
    // Short ones: kcp-go finds a ratio where a row of some periods has come without a loss, also of its own socket.
    for (round, ratio) in [[10, 3], [5, 2], [3, 3], [8, 3]].into_iter().enumerate() {
        let before = server.shards().await.unwrap();
        stream.set_fec(fec(ratio)).unwrap();
        // Over the shards without parity between the ratios, and well beyond: there is no telling when it is found.
        let mut after = before;
        for piece in 0..10 {
            stream = exchange(stream, &format!("round {round}, {piece}"), 2 * BYTES).await;
            after = server.shards().await.unwrap();
            if after.recovered > before.recovered + 5 {
                break;
            }
        }
        println!("{ratio:?}: recovered there {}", after.recovered - before.recovered);
        assert!(after.recovered > before.recovered + 5, "{ratio:?}: {before:?} {after:?}");
        assert_eq!(after.errors, 0, "{ratio:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn datagrams_beside_the_stream_go_both_ways() {
    if !ready(&[Peer::KcpGo5672]) {
        return;
    }
    let ratio = Some([10, 3]);
    for cipher in [Cipher::Null, Cipher::Aes128Gcm] {
        let row = Row { cipher, ..Row::of(ratio, ratio) };
        let options = Options { out_of_band: true, bytes: 1_000, echo: true, ..row.options() };

        let mut server = Server::start(row.peer, &options).await.unwrap();
        let mut stream = KcpStream::connect_with(server.address(), row.config()).await.unwrap();
        // Theirs sends back what comes once its session is there: with the first bytes.
        echo(&mut stream, &mut Payload::new("beside"), 1_000).await;
        beside(&stream).await;
        assert!(server.shards().await.unwrap().out_of_band >= 3);

        let listener = KcpListener::bind_with("127.0.0.1:0", row.config()).await.unwrap();
        let address = listener.local_addr().to_string();
        let mut client = Client::start(row.peer, &Options { address, ..options }).unwrap();
        let (mut stream, _) = timeout(WATCHDOG, listener.accept()).await.unwrap().unwrap();
        let mut first = [0; 1_000];
        timeout(WATCHDOG, stream.read_exact(&mut first)).await.unwrap().unwrap();
        beside(&stream).await;
        // The stream is as it was.
        stream.write_all(&first).await.unwrap();
        loop {
            match client.event().await.unwrap() {
                interop_plan::Event::Result { ok, error, .. } => break assert!(ok, "{error}"),
                interop_plan::Event::Shards { out_of_band, .. } => assert!(out_of_band >= 3),
                _ => {}
            }
        }
    }
}

/// What goes beside the stream comes back as it was: nothing, a little, as much as there may be.
async fn beside(stream: &KcpStream) {
    let all = [Vec::new(), b"beside".to_vec(), Payload::new("most").take(stream.max_out_of_band())];
    for payload in all {
        // It isn't reliable, even here: who hears nothing says it again.
        let back = async {
            loop {
                stream.send_out_of_band(&payload).unwrap();
                if let Ok(back) = timeout(Duration::from_secs(1), stream.recv_out_of_band()).await {
                    break back.unwrap();
                }
            }
        };
        let back = timeout(WATCHDOG, back).await.expect("an answer must come");
        assert!(back == payload, "{} bytes came back of {}", back.len(), payload.len());
    }
}
