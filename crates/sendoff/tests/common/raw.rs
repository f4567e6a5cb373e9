//! A peer that is a plain UDP socket and speaks segments, one by one.

use sendoff::wire::{Block, Body, Command, Segment, Token, segments};
use sendoff_proto::{SeqNumber, Timestamp};
use std::{fmt, net::SocketAddr};
use tokio::net::UdpSocket;

/// A segment that came.
#[derive(Clone)]
pub struct Heard {
    pub segment: Segment,
    pub data: Vec<u8>,
}

impl fmt::Debug for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Segment { command, window, sn, una, .. } = self.segment;
        write!(f, "{command} sn={sn} una={una} wnd={window} {} bytes", self.data.len())
    }
}

/// The segments of a datagram; any that can't be parsed fails the test.
pub fn parse(datagram: &[u8]) -> Vec<Heard> {
    segments(datagram)
        .map(|segment| segment.expect("a segment"))
        .map(|view| Heard { segment: view.to_segment(), data: view.data().to_vec() })
        .collect()
}

pub struct RawPeer {
    socket: UdpSocket,
    peer: Option<SocketAddr>,
    pub conv: u32,
    /// The window that it advertises.
    pub window: u16,
}

impl RawPeer {
    /// One that waits for whoever comes first.
    pub async fn listening() -> Self {
        Self::at("127.0.0.1:0").await
    }

    pub async fn at(addr: &str) -> Self {
        let socket = UdpSocket::bind(addr).await.unwrap();
        Self { socket, peer: None, conv: 0, window: 1_024 }
    }

    /// One that opens a conversation, as soon as it sends something.
    pub async fn client(peer: SocketAddr, conv: u32) -> Self {
        Self { peer: Some(peer), conv, ..Self::listening().await }
    }

    /// From now on it sends there.
    pub fn turn_to(&mut self, peer: SocketAddr) {
        self.peer = Some(peer);
    }

    pub fn addr(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    /// A segment of its conversation.
    pub fn segment(&self, command: Command, sn: u32, una: u32) -> Segment {
        Segment {
            conv: self.conv,
            command,
            fragment: 0,
            window: self.window,
            timestamp: Timestamp(sn.wrapping_add(1_000)),
            sn: SeqNumber(sn),
            una: SeqNumber(una),
        }
    }

    pub async fn send_bytes(&self, datagram: &[u8]) {
        self.socket.send_to(datagram, self.peer.expect("a peer")).await.unwrap();
    }

    pub async fn send(&self, segment: Segment, data: &[u8]) {
        let mut datagram = Vec::new();
        segment.encode(data, &mut datagram);
        self.send_bytes(&datagram).await;
    }

    pub async fn push(&self, sn: u32, una: u32, data: &[u8]) {
        self.send(self.segment(Command::Push, sn, una), data).await;
    }

    /// One fragment of a message, `left` more to come.
    pub async fn push_fragment(&self, sn: u32, left: u8, data: &[u8]) {
        self.send(Segment { fragment: left, ..self.segment(Command::Push, sn, 0) }, data).await;
    }

    /// Acknowledges a PUSH by its number, and all below `una`.
    pub async fn ack(&self, push: &Heard, una: u32) {
        let Segment { sn, timestamp, .. } = push.segment;
        self.send(Segment { timestamp, ..self.segment(Command::Ack, sn.0, una) }, &[]).await;
    }

    /// Opens as an extended client does, under that token.
    pub async fn hello(&self, token: u64) {
        let body = Body::Hello { features: 0, cookie: [0; 16] };
        let mut data = Vec::new();
        Block { flags: 0, to: None, from: Token::new(token), body }.encode(&mut data);
        self.send(self.segment(Command::WindowAsk, 0, 0), &data).await;
    }

    /// Asks whether anyone is there, before a conversation.
    pub async fn ping(&self) {
        self.send(self.segment(Command::WindowAsk, 0, 0), &[]).await;
    }

    /// Asks for the window, in a conversation.
    pub async fn wask(&self, una: u32) {
        self.send(self.segment(Command::WindowAsk, 1, una), &[]).await;
    }

    pub async fn wins(&self, una: u32) {
        self.send(self.segment(Command::WindowTell, 1, una), &[]).await;
    }

    /// Waits for a HELLO, and answers it as a stock listener does, which takes it for a question.
    pub async fn answer_hello(&mut self) {
        while !self.recv().await.iter().any(|h| h.segment.command == Command::WindowAsk) {}
        self.wins(0).await;
    }

    /// The segments of the next datagram. Whoever sent it is the peer from now on.
    pub async fn recv(&mut self) -> Vec<Heard> {
        let mut buffer = vec![0; 65_536];
        let (len, peer) = self.socket.recv_from(&mut buffer).await.unwrap();
        let heard = parse(&buffer[..len]);
        self.peer = Some(peer);
        self.conv = heard[0].segment.conv;
        heard
    }

    /// The next datagram, which must hold one segment.
    pub async fn recv_one(&mut self) -> Heard {
        let mut heard = self.recv().await;
        assert_eq!(heard.len(), 1, "{heard:?}");
        heard.remove(0)
    }

    /// The next segment with data; what comes before it is passed over.
    pub async fn recv_push(&mut self) -> Heard {
        loop {
            if let Some(push) = self.recv().await.into_iter().find(|h| h.segment.command == Command::Push) {
                return push;
            }
        }
    }

    pub fn peer(&self) -> SocketAddr {
        self.peer.expect("a peer")
    }

    /// A datagram that is there already.
    pub fn try_recv(&self) -> Option<Vec<Heard>> {
        let mut buffer = vec![0; 65_536];
        let len = self.socket.try_recv(&mut buffer).ok()?;
        Some(parse(&buffer[..len]))
    }
}
