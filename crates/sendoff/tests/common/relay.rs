//! UDP relays for one client: one that loses, doubles and reorders what passes through it, and one that can be shut.

use sendoff_netem::Rng;
use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::{net::UdpSocket, task::JoinHandle};

/// A relay for one client that loses 10 % each way, and has some come late or twice. Returns its address.
pub async fn bad_relay(server: SocketAddr, seed: u64) -> SocketAddr {
    losing_relay(server, seed, 0.1).await
}

/// The same with another share of losses, up to 0.9.
pub async fn losing_relay(server: SocketAddr, seed: u64, loss: f64) -> SocketAddr {
    let front = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
    let back = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
    back.connect(server).await.unwrap();
    let addr = front.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = vec![0; 65_536];
        let (first, client) = front.recv_from(&mut buffer).await.unwrap();
        front.connect(client).await.unwrap();
        back.send(&buffer[..first]).await.unwrap();
        let there = tokio::spawn(pass_on(front.clone(), back.clone(), seed, loss));
        pass_on(back, front, seed + 1, loss).await;
        there.abort();
    });
    addr
}

async fn pass_on(from: Arc<UdpSocket>, to: Arc<UdpSocket>, seed: u64, loss: f64) {
    let mut rng = Rng::new(seed);
    let mut buffer = vec![0; 65_536];
    let mut late = None;
    // An error is an ICMP message: that side is gone, which its peer is to find out by itself.
    while let Ok(len) = from.recv(&mut buffer).await {
        let datagram = buffer[..len].to_vec();
        let fate = rng.unit();
        if fate < loss {
            continue;
        }
        if fate < loss + 0.05 && late.is_none() {
            late = Some(datagram);
            continue;
        }
        _ = to.send(&datagram).await;
        if fate > 0.95 {
            _ = to.send(&datagram).await;
        }
        if let Some(late) = late.take() {
            _ = to.send(&late).await;
        }
    }
}

/// A relay that passes everything on, each way as long as it is open.
#[derive(Default)]
pub struct Gate {
    addr: Option<SocketAddr>,
    /// Where the server sees its client.
    pub back: Option<SocketAddr>,
    shut: [AtomicBool; 2],
    /// What the client has sent through it.
    passed: Mutex<Vec<Vec<u8>>>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    /// Towards the server.
    server: Mutex<Option<Arc<UdpSocket>>>,
}

#[derive(Clone, Copy)]
pub enum Way {
    There,
    Back,
}

impl Gate {
    pub async fn before(server: SocketAddr) -> Arc<Self> {
        let front = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let back = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        back.connect(server).await.unwrap();
        let (addr, seen) = (front.local_addr().ok(), back.local_addr().ok());
        let server = Mutex::new(Some(back.clone()));
        let gate = Arc::new(Self { addr, back: seen, server, ..Self::default() });
        let client = Arc::new(Mutex::new(None));
        let there = tokio::spawn({
            let (gate, front, back, client) = (gate.clone(), front.clone(), back.clone(), client.clone());
            async move {
                let mut buffer = vec![0; 65_536];
                while let Ok((len, from)) = front.recv_from(&mut buffer).await {
                    *client.lock().unwrap() = Some(from);
                    if gate.is_open(Way::There) {
                        gate.passed.lock().unwrap().push(buffer[..len].to_vec());
                        _ = back.send(&buffer[..len]).await;
                    }
                }
            }
        });
        let here = tokio::spawn({
            let gate = gate.clone();
            async move {
                let mut buffer = vec![0; 65_536];
                while let Ok(len) = back.recv(&mut buffer).await {
                    let to = *client.lock().unwrap();
                    if let Some(to) = to.filter(|_| gate.is_open(Way::Back)) {
                        _ = front.send_to(&buffer[..len], to).await;
                    }
                }
            }
        });
        gate.tasks.lock().unwrap().extend([there, here]);
        gate
    }

    /// Its sockets are closed without a word: to both sides, the other's process has died.
    pub async fn vanish(&self) {
        *self.server.lock().unwrap() = None;
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap());
        for task in tasks {
            task.abort();
            _ = task.await;
        }
    }

    /// Sends the server a datagram that the client hasn't sent, from where it sees its client.
    pub async fn forge(&self, datagram: &[u8]) {
        let server = self.server.lock().unwrap().clone().expect("it hasn't vanished");
        server.send(datagram).await.unwrap();
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr.unwrap()
    }

    pub fn shut(&self, way: Way) {
        self.shut[way as usize].store(true, Ordering::Relaxed);
    }

    pub fn open(&self, way: Way) {
        self.shut[way as usize].store(false, Ordering::Relaxed);
    }

    fn is_open(&self, way: Way) -> bool {
        !self.shut[way as usize].load(Ordering::Relaxed)
    }

    pub fn passed(&self) -> Vec<Vec<u8>> {
        self.passed.lock().unwrap().clone()
    }
}
