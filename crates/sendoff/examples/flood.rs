//! What a flood of openings from forged addresses does to a listener, and to those who mean well: 65,536 addresses of
//! 127.0.0.0/8 say HELLO, so many times a second, while clients connect, have 10 kB echoed, and leave.
//!
//! ```text
//! cargo run --release --example flood                     # 100,000 a second for 10 s
//! cargo run --release --example flood -- 50000 5 100      # a second; seconds; clients
//! ```

#[cfg(target_os = "linux")]
mod linux {
    use quinn_udp::{Transmit, UdpSockRef, UdpSocketState};
    use sendoff::{
        EndpointStats, KcpEndpoint, KcpListener, KcpStream,
        wire::{Block, Body, Command, Segment, Token},
    };
    use sendoff_proto::{SeqNumber, Timestamp};
    use std::{
        env, fs, io,
        net::{Ipv4Addr, SocketAddr, UdpSocket},
        sync::{
            Arc,
            atomic::{AtomicBool, AtomicU64, Ordering},
        },
        thread,
        time::{Duration, Instant},
    };
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, copy},
        time::{sleep, sleep_until, timeout},
    };

    /// What each client says, and hears again.
    const BYTES: usize = 10_000;

    /// How long a client may take for all of it.
    const PATIENCE: Duration = Duration::from_secs(30);

    #[tokio::main(flavor = "current_thread")]
    pub async fn main() -> io::Result<()> {
        let [rate, seconds, clients] = arguments();
        let (addr, endpoint) = serve();
        let before = resident();
        let quiet = visit_all(addr, clients, Duration::from_secs(1)).await;
        println!("quiet       {quiet}");

        let counted = endpoint.stats();
        let flood = Flood::start(addr, rate);
        sleep(Duration::from_secs(1)).await; // until the listener is under pressure
        let most = Arc::new(AtomicU64::new(0));
        let watching = tokio::spawn(watch(endpoint.clone(), most.clone()));
        let flooded = visit_all(addr, clients, Duration::from_secs(seconds)).await;
        watching.abort();
        let (sent, took) = flood.stop();
        println!("under flood {flooded}");

        let stats = endpoint.stats();
        let per_second = sent as f64 / took.as_secs_f64();
        println!("flood       {sent} HELLOs in {took:.1?}: {per_second:.0} a second, from 65,536 addresses");
        report(&counted, &stats);
        println!(
            "memory      {} unproven connections at most; resident {} MiB before, {} MiB after",
            most.load(Ordering::Relaxed),
            before >> 20,
            resident() >> 20
        );
        Ok(())
    }

    fn arguments() -> [u64; 3] {
        let mut given = env::args().skip(1).map(|text| text.parse().expect("a number"));
        [100_000, 10, 100].map(|default| given.next().unwrap_or(default))
    }

    /// A listener that echoes, on a thread of its own.
    fn serve() -> (SocketAddr, KcpEndpoint) {
        let (tell, told) = std::sync::mpsc::channel();
        thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listener = KcpListener::bind("127.0.0.1:0").await.expect("a free port");
                _ = tell.send((listener.local_addr(), listener.endpoint().clone()));
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(async move {
                        let (mut reader, mut writer) = stream.into_split();
                        _ = copy(&mut reader, &mut writer).await;
                        _ = writer.shutdown().await;
                    });
                }
            });
        });
        told.recv().expect("the listener's address")
    }

    /// All clients, spread over a time; in words, how they fared.
    async fn visit_all(addr: SocketAddr, clients: u64, over: Duration) -> String {
        let began = tokio::time::Instant::now();
        let visits: Vec<_> = (0..clients)
            .map(|n| {
                tokio::spawn(async move {
                    sleep_until(began + over * n as u32 / clients as u32).await;
                    let began = Instant::now();
                    let result = timeout(PATIENCE, visit(addr)).await;
                    (began.elapsed(), result)
                })
            })
            .collect();
        let (mut times, mut failures) = (Vec::new(), Vec::new());
        for visit in visits {
            match visit.await {
                Ok((took, Ok(Ok(())))) => times.push(took),
                Ok((_, Ok(Err(error)))) => failures.push(error.to_string()),
                Ok((_, Err(_))) => failures.push("not done in time".to_owned()),
                Err(error) => failures.push(error.to_string()),
            }
        }
        times.sort();
        let at = |percent: usize| times.get((times.len() * percent / 100).min(times.len().saturating_sub(1)));
        let words = |time: Option<&Duration>| time.map_or("-".to_owned(), |time| format!("{time:.1?}"));
        let mut text = format!("{} of {clients} clients served", times.len());
        text += &format!(", p50 {}, p99 {}, worst {}", words(at(50)), words(at(99)), words(times.last()));
        for failure in failures.iter().take(3) {
            text += &format!("\n            {failure}");
        }
        text
    }

    /// Connects, has 10 kB echoed, and leaves in order.
    async fn visit(addr: SocketAddr) -> io::Result<()> {
        let stream = KcpStream::connect(addr).await?;
        let (mut reader, mut writer) = stream.into_split();
        let data = vec![7; BYTES];
        let saying = async {
            writer.write_all(&data).await?;
            writer.shutdown().await
        };
        let mut heard = Vec::new();
        let (said, read) = tokio::join!(saying, reader.read_to_end(&mut heard));
        said.and(read)?;
        if heard == data { Ok(()) } else { Err(io::Error::other("something else came back")) }
    }

    async fn watch(endpoint: KcpEndpoint, most: Arc<AtomicU64>) {
        loop {
            most.fetch_max(endpoint.stats().unproven.0 as u64, Ordering::Relaxed);
            sleep(Duration::from_millis(10)).await;
        }
    }

    fn report(before: &EndpointStats, after: &EndpointStats) {
        let received = after.datagrams_received - before.datagrams_received;
        let bytes = [after.bytes_received - before.bytes_received, after.bytes_sent - before.bytes_sent];
        let ratio = bytes[1] as f64 / bytes[0] as f64;
        println!("listener    {received} datagrams in; {} bytes in, {} out: {ratio:.2}", bytes[0], bytes[1]);
        println!(
            "            {} asked for a cookie, {} came with one, {} unanswered; {} lost at the socket",
            after.retries_sent - before.retries_sent,
            after.cookies_accepted - before.cookies_accepted,
            after.dropped_unproven - before.dropped_unproven,
            after.socket_drops.unwrap_or(0) - before.socket_drops.unwrap_or(0),
        );
    }

    /// Bytes of memory that this process has.
    fn resident() -> u64 {
        let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
        statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0) * 4_096
    }

    /// A thread that sends HELLOs.
    struct Flood {
        stop: Arc<AtomicBool>,
        thread: thread::JoinHandle<(u64, Duration)>,
    }

    impl Flood {
        fn start(to: SocketAddr, rate: u64) -> Self {
            let stop = Arc::new(AtomicBool::new(false));
            let stopped = stop.clone();
            Self {
                stop,
                thread: thread::spawn(move || flood(to, rate, &stopped).expect("a socket that sends")),
            }
        }

        fn stop(self) -> (u64, Duration) {
            self.stop.store(true, Ordering::Relaxed);
            self.thread.join().expect("a flood that ends")
        }
    }

    /// One socket is enough: on loopback each address of 127.0.0.0/8 is ours, and a datagram can name its source.
    fn flood(to: SocketAddr, rate: u64, stop: &AtomicBool) -> io::Result<(u64, Duration)> {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        socket.set_nonblocking(false)?;
        let (began, mut sent) = (Instant::now(), 0u64);
        let mut random = 0x5eed_u64;
        while !stop.load(Ordering::Relaxed) {
            let due = (began.elapsed().as_secs_f64() * rate as f64) as u64;
            if sent >= due {
                thread::sleep(Duration::from_micros(200));
                continue;
            }
            while sent < due {
                random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
                let [a, b] = (sent as u16).to_be_bytes();
                let transmit = Transmit {
                    destination: to,
                    ecn: None,
                    contents: &hello(random),
                    segment_size: None,
                    src_ip: Some(Ipv4Addr::new(127, 77, a, b).into()),
                };
                state.try_send(UdpSockRef::from(&socket), &transmit)?;
                sent += 1;
            }
        }
        Ok((sent, began.elapsed()))
    }

    /// As a client's first, of a token and a conversation that are drawn.
    fn hello(random: u64) -> Vec<u8> {
        let body = Body::Hello { features: 0, cookie: [0; 16] };
        let mut data = Vec::new();
        Block { flags: 0, to: None, from: Token::new(random | 1), body }.encode(&mut data);
        let header = Segment {
            conv: (random >> 32) as u32 | 1,
            command: Command::WindowAsk,
            fragment: 0,
            window: 1_024,
            timestamp: Timestamp(0),
            sn: SeqNumber(0),
            una: SeqNumber(0),
        };
        let mut datagram = Vec::new();
        header.encode(&data, &mut datagram);
        datagram
    }
}

#[cfg(target_os = "linux")]
fn main() -> std::io::Result<()> {
    linux::main()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("this needs Linux: elsewhere a socket can't send from all of 127.0.0.0/8");
}
