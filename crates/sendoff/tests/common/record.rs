//! A tap that remembers what it saw.

use sendoff::{
    Direction, Tap, TappedDatagram,
    wire::{Block, Body, Command, segments},
};
use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

pub struct Seen {
    pub direction: Direction,
    pub local: SocketAddr,
    pub peer: SocketAddr,
    pub payload: Vec<u8>,
    /// What is inside, where it could be opened.
    pub opened: Option<Vec<u8>>,
}

#[derive(Default)]
pub struct Recorder(Mutex<Vec<Seen>>);

impl Recorder {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// What was seen since the last call.
    pub fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    pub fn count(&self, direction: Direction) -> u64 {
        self.0.lock().unwrap().iter().filter(|s| s.direction == direction).count() as u64
    }
}

impl fmt::Display for Seen {
    /// Such as `sent ACK sn=0 una=1 + PUSH sn=0 una=1 5 bytes`, or `received PONG`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.direction {
            Direction::Sent => "sent ",
            Direction::Received => "received ",
        })?;
        let Some(opened) = &self.opened else { return f.write_str("what can't be opened") };
        for (n, segment) in segments(opened).enumerate() {
            let segment = segment.expect("a segment");
            let (command, sn, una, data) = (segment.command(), segment.sn(), segment.una(), segment.data());
            f.write_str(if n > 0 { " + " } else { "" })?;
            if let Some(block) = Block::parse(&segment) {
                match block.body {
                    Body::Hello { .. } => f.write_str("HELLO")?,
                    Body::Welcome { .. } => f.write_str("WELCOME")?,
                    Body::Retry { .. } => f.write_str("RETRY")?,
                    Body::Ping { .. } => f.write_str("PING")?,
                    Body::Pong { .. } => f.write_str("PONG")?,
                    Body::Reset { code, reason } => write!(f, "RESET {code} {reason:?}")?,
                    Body::Fin { code, reason } => write!(f, "FIN sn={sn} una={una} {code} {reason:?}")?,
                }
                continue;
            }
            match command {
                Command::Push => write!(f, "PUSH sn={sn} una={una} {} bytes", data.len())?,
                Command::Ack => write!(f, "ACK sn={sn} una={una}")?,
                Command::WindowAsk | Command::WindowTell => write!(f, "{command} una={una}")?,
            }
        }
        Ok(())
    }
}

impl Tap for Recorder {
    fn datagram(&self, datagram: &TappedDatagram<'_>) {
        self.0.lock().unwrap().push(Seen {
            direction: datagram.direction,
            local: datagram.local,
            peer: datagram.peer,
            payload: datagram.payload.to_vec(),
            opened: datagram.opened.map(<[u8]>::to_vec),
        });
    }
}
