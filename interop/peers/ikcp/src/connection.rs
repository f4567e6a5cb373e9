//! One ikcp.c control block, and what its user has to do for it.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use interop_plan::Options;
use kcp::Kcp;

/// Holds the longest message whole: ikcp.c gives a message in one piece or not at all.
const READ_BUFFER: usize = 256 * 1024;

/// One connection of ikcp.c.
pub struct Connection {
    // Boxed: the library keeps a pointer to it.
    kcp: Box<Kcp>,
    window: u32,
    buffer: Vec<u8>,
}

impl Connection {
    /// A connection of this conv, set as the flags say.
    pub fn new(conv: u32, options: &Options) -> Self {
        let mut kcp = Box::new(Kcp::new(conv));
        kcp.initialize();
        kcp.set_stream(!options.message);
        if let Some([nodelay, interval, resend, nc]) = options.profile {
            kcp.set_nodelay(nodelay != 0, interval, resend, nc != 0);
        }
        let window = options.window.map_or(kcp::protocol::IKCP_WND_SND, u32::from);
        kcp.set_wndsize(window, window);
        if let Some(mtu) = options.mtu {
            kcp.set_mtu(mtu as u32).expect("the tests ask for valid MTUs");
        }
        Self { kcp, window, buffer: vec![0; READ_BUFFER] }
    }

    /// Takes a datagram. What doesn't parse is dropped, as C programs do.
    pub fn input(&mut self, datagram: &[u8]) {
        _ = self.kcp.input(datagram);
    }

    /// Whether to send more: `ikcp_send` itself never refuses.
    pub fn has_room(&self) -> bool {
        self.kcp.get_waitsnd() < 2 * self.window
    }

    /// Queues a message, or a part of the stream.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.kcp.send(bytes).map(drop)
    }

    /// The next message, or the next part of the stream.
    pub fn recv(&mut self) -> io::Result<Option<Vec<u8>>> {
        let length = self.kcp.recv(&mut self.buffer)?;
        Ok((length > 0).then(|| self.buffer[..length].to_vec()))
    }

    /// Runs the clock, sends what is due, and says when to come again.
    pub fn update(&mut self, socket: &UdpSocket, peer: SocketAddr) -> io::Result<Duration> {
        let now = self.kcp.get_system_time();
        self.kcp.update(now);
        while let Some(datagram) = self.kcp.pop_output() {
            match socket.send_to(&datagram, peer) {
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                sent => drop(sent?),
            }
        }
        Ok(Duration::from_millis(self.kcp.check(now).wrapping_sub(now).into()))
    }
}
