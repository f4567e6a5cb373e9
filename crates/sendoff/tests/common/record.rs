//! A tap that remembers what it saw.

use super::raw::parse;
use sendoff::{Direction, Tap, TappedDatagram, wire::Command};
use std::{
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

    /// What was seen so far, a line a datagram: `sent ACK sn=0 una=1 + PUSH sn=0 una=1 5 bytes`.
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().iter().map(line).collect()
    }
}

fn line(seen: &Seen) -> String {
    let direction = match seen.direction {
        Direction::Sent => "sent",
        Direction::Received => "received",
    };
    let segments = parse(&seen.payload).into_iter().map(|heard| {
        let (command, sn, una) = (heard.segment.command, heard.segment.sn, heard.segment.una);
        match command {
            Command::Push => format!("PUSH sn={sn} una={una} {} bytes", heard.data.len()),
            Command::Ack => format!("ACK sn={sn} una={una}"),
            Command::WindowAsk | Command::WindowTell => format!("{command} una={una}"),
        }
    });
    format!("{direction} {}", segments.collect::<Vec<_>>().join(" + "))
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
