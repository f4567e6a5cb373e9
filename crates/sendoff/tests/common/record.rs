//! A tap that remembers what it saw.

use super::raw::{Heard, parse};
use sendoff::{
    Direction, Tap, TappedDatagram,
    wire::{Command, Segment},
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
    /// Such as `sent ACK sn=0 una=1 + PUSH sn=0 una=1 5 bytes`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.direction {
            Direction::Sent => "sent ",
            Direction::Received => "received ",
        })?;
        for (n, Heard { segment, data }) in parse(&self.payload).into_iter().enumerate() {
            let Segment { command, sn, una, .. } = segment;
            f.write_str(if n > 0 { " + " } else { "" })?;
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
        });
    }
}
