//! A translator of addresses before a server, for one client: it can forget.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};
use tokio::{net::UdpSocket, task::JoinHandle};

/// Passes everything on, from a port of its own choice. When it forgets, that port is closed, and the client's next
/// datagram leaves from another.
pub struct Nat {
    front: UdpSocket,
    server: SocketAddr,
    client: Mutex<Option<SocketAddr>>,
    mapping: Mutex<Option<(Arc<UdpSocket>, JoinHandle<()>)>>,
    /// Says of each datagram to the client whether it is lost.
    pub loses: Mutex<Option<Fault>>,
}

type Fault = Box<dyn FnMut(&[u8]) -> bool + Send>;

impl Nat {
    pub async fn before(server: SocketAddr) -> Arc<Self> {
        let front = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let nat = Arc::new(Self {
            front,
            server,
            client: Mutex::default(),
            mapping: Mutex::default(),
            loses: Mutex::default(),
        });
        let (inside, mut buffer) = (nat.clone(), vec![0; 65_536]);
        tokio::spawn(async move {
            while let Ok((len, client)) = inside.front.recv_from(&mut buffer).await {
                *inside.client.lock().unwrap() = Some(client);
                let out = inside.out().await;
                _ = out.send(&buffer[..len]).await;
            }
        });
        nat
    }

    /// The socket towards the server, a new one if there is none.
    async fn out(self: &Arc<Self>) -> Arc<UdpSocket> {
        if let Some((socket, _)) = &*self.mapping.lock().unwrap() {
            return socket.clone();
        }
        let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        socket.connect(self.server).await.unwrap();
        let (outside, inside, mut buffer) = (socket.clone(), self.clone(), vec![0; 65_536]);
        let back = tokio::spawn(async move {
            loop {
                // An error is an ICMP message, which says nothing of the socket.
                let Ok(len) = outside.recv(&mut buffer).await else { continue };
                let lost = inside.loses.lock().unwrap().as_mut().is_some_and(|loses| loses(&buffer[..len]));
                let client = *inside.client.lock().unwrap();
                if let Some(client) = client.filter(|_| !lost) {
                    _ = inside.front.send_to(&buffer[..len], client).await;
                }
            }
        });
        *self.mapping.lock().unwrap() = Some((socket.clone(), back));
        socket
    }

    /// Where the client finds the server.
    pub fn addr(&self) -> SocketAddr {
        self.front.local_addr().unwrap()
    }

    /// Where the server finds the client, if it does.
    pub fn outside(&self) -> Option<SocketAddr> {
        self.mapping.lock().unwrap().as_ref().and_then(|(socket, _)| socket.local_addr().ok())
    }

    /// Who sends to the old port hears that nobody is there.
    pub async fn forget(&self) {
        let mapping = self.mapping.lock().unwrap().take();
        if let Some((_, back)) = mapping {
            back.abort();
            _ = back.await;
        }
    }
}
