//! An ikcp.c peer for the interoperability tests: echo or sink server, and echo client.
//!
//! The C library, driven as its documentation shows: one thread, one UDP socket, `ikcp_update`
//! when `ikcp_check` says so, `ikcp_input` for each datagram.

mod connection;

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use connection::Connection;
use interop_plan::{Checker, Chunks, Event, LISTENING, Options, Payload, Report, Role, Serve, obey_stdin};
use kcp::Kcp;

/// Datagrams taken before the connections have a turn again.
const DATAGRAMS_PER_TURN: usize = 256;
/// The longest wait for a datagram, so that deadlines are seen.
const LONGEST_WAIT: Duration = Duration::from_millis(20);

/// Set when every connection is to be closed: ikcp.c knows no end but that of its control block.
static CLOSE: AtomicBool = AtomicBool::new(false);

/// A blocking socket, read in turns that end.
struct Socket {
    udp: UdpSocket,
    buffer: Vec<u8>,
}

impl Socket {
    fn bind(address: &str) -> io::Result<Self> {
        Ok(Self { udp: UdpSocket::bind(address)?, buffer: vec![0; 65_536] })
    }

    /// Waits for at most `wait`, then hands over what is there.
    fn turn(&mut self, wait: Duration, mut take: impl FnMut(SocketAddr, &[u8])) -> io::Result<()> {
        self.udp.set_read_timeout(Some(wait.clamp(Duration::from_millis(1), LONGEST_WAIT)))?;
        for count in 0..DATAGRAMS_PER_TURN {
            match self.udp.recv_from(&mut self.buffer) {
                Ok((length, peer)) => take(peer, &self.buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // An earlier datagram met a closed port: the peer's end, not ours.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(error) => return Err(error),
            }
            if count == 0 {
                self.udp.set_nonblocking(true)?;
            }
        }
        self.udp.set_nonblocking(false)
    }
}

/// What a server holds of one peer.
struct Served {
    connection: Connection,
    report: Report,
    unsent: Option<Vec<u8>>,
}

impl Served {
    /// Reads and echoes until the connection has nothing to read or no room to write.
    fn serve(&mut self, serve: Serve) -> io::Result<()> {
        loop {
            if let Some(message) = self.unsent.take_if(|_| self.connection.has_room()) {
                self.connection.send(&message)?;
            }
            if self.unsent.is_some() {
                return Ok(());
            }
            let Some(message) = self.connection.recv()? else { return Ok(()) };
            self.report.read(&message);
            self.unsent = (serve == Serve::Echo).then_some(message);
        }
    }
}

fn server(options: &Options) -> io::Result<()> {
    let mut socket = Socket::bind(&options.address)?;
    println!("{LISTENING}{}", socket.udp.local_addr()?);
    let mut peers: HashMap<SocketAddr, Served> = HashMap::new();
    let mut wait = LONGEST_WAIT;
    loop {
        socket.turn(wait, |peer, datagram| {
            let Some(conv) = Kcp::read_conv(datagram) else { return };
            let served = peers.entry(peer).or_insert_with(|| Served {
                connection: Connection::new(conv, options),
                report: Report::accepted(peer, options.bytes),
                unsent: None,
            });
            served.connection.input(datagram);
        })?;
        if CLOSE.swap(false, Ordering::Relaxed) {
            peers.drain().for_each(|(_, served)| served.report.emit_closed());
        }
        wait = LONGEST_WAIT;
        for (peer, served) in &mut peers {
            served.serve(options.serve)?;
            wait = wait.min(served.connection.update(&socket.udp, *peer)?);
        }
    }
}

fn client(options: &Options) -> io::Result<()> {
    let started = Instant::now();
    let peer: SocketAddr = options.address.parse().map_err(io::Error::other)?;
    let mut socket = Socket::bind("127.0.0.1:0")?;
    let mut connection = Connection::new(Kcp::rand_conv(), options);
    let mut source = Payload::new(&options.seed);
    let mut sizes = Chunks::new(&options.sizes, options.bytes).peekable();
    let messages = options.message.then(|| Chunks::new(&options.sizes, options.bytes));
    let mut checker = Checker::new(&options.seed, if options.echo { options.bytes } else { 0 }, messages);

    let mut wait = Duration::ZERO;
    let mut outcome = None;
    let mut leave_at = started + options.deadline;
    while Instant::now() < leave_at {
        while connection.has_room()
            && let Some(size) = sizes.next()
        {
            connection.send(&source.take(size))?;
        }
        while outcome.is_none()
            && let Some(message) = connection.recv()?
        {
            outcome = checker.take(&message).err();
        }
        wait = wait.min(connection.update(&socket.udp, peer)?);
        if outcome.is_none() && sizes.peek().is_none() && checker.is_complete() {
            outcome = Some(String::new());
        }
        if outcome.is_some() && leave_at == started + options.deadline {
            leave_at = Instant::now() + options.lifetime;
        }
        socket.turn(wait, |_, datagram| connection.input(datagram))?;
        wait = LONGEST_WAIT;
    }
    let error = outcome.unwrap_or_else(|| "timeout".into());
    let elapsed_ms = (started.elapsed().saturating_sub(options.lifetime)).as_secs_f64() * 1e3;
    Event::Result { ok: error.is_empty(), bytes: checker.received(), error, elapsed_ms }.emit();
    Ok(())
}

fn main() -> ExitCode {
    obey_stdin(|| CLOSE.store(true, Ordering::Relaxed));
    let outcome = match Options::parse(std::env::args().skip(1)) {
        Ok((Role::Server, options)) => server(&options),
        Ok((Role::Client, options)) => client(&options),
        Err(error) => Err(io::Error::other(error)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ikcp: {error}");
            ExitCode::FAILURE
        }
    }
}
