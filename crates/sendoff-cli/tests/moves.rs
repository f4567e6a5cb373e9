//! A client whose address changes, as the one who listens sees it.

mod common;

use common::{Running, objects};
use std::{
    net::{SocketAddr, UdpSocket},
    sync::{Arc, Mutex},
    thread,
};

/// Stands before a server as a NAT would, for one client.
struct Nat {
    front: Arc<UdpSocket>,
    server: SocketAddr,
    client: Arc<Mutex<Option<SocketAddr>>>,
    out: Mutex<Arc<UdpSocket>>,
}

impl Nat {
    fn before(port: u16) -> Arc<Self> {
        let front = Arc::new(UdpSocket::bind("127.0.0.1:0").unwrap());
        let out = Mutex::new(Arc::new(UdpSocket::bind("127.0.0.1:0").unwrap()));
        let server = SocketAddr::from(([127, 0, 0, 1], port));
        let nat = Arc::new(Self { front, server, client: Arc::default(), out });
        nat.change_port();
        let inside = nat.clone();
        thread::spawn(move || {
            let mut buffer = [0; 65_536];
            while let Ok((len, client)) = inside.front.recv_from(&mut buffer) {
                *inside.client.lock().unwrap() = Some(client);
                let out = inside.out.lock().unwrap().clone();
                _ = out.send_to(&buffer[..len], inside.server);
            }
        });
        nat
    }

    /// What the client sends comes from another port from now on.
    fn change_port(&self) {
        let out = Arc::new(UdpSocket::bind("127.0.0.1:0").unwrap());
        *self.out.lock().unwrap() = out.clone();
        let (front, client) = (self.front.clone(), self.client.clone());
        thread::spawn(move || {
            let mut buffer = [0; 65_536];
            while let Ok(len) = out.recv(&mut buffer) {
                let to = *client.lock().unwrap();
                _ = front.send_to(&buffer[..len], to.expect("a client that has sent"));
            }
        });
    }

    fn outside(&self) -> SocketAddr {
        self.out.lock().unwrap().local_addr().unwrap()
    }
}

#[test]
fn listen_says_where_a_client_has_gone_and_serves_it_there() {
    for json in [false, true] {
        let args: &[&str] = if json { &["--echo", "--json"] } else { &["--echo"] };
        let (mut listener, port) = Running::listen(args);
        let nat = Nat::before(port);
        let address = nat.front.local_addr().unwrap().to_string();
        let mut client = Running::start(&["connect", &address]);
        client.write(b"one");
        client.stdout_until(|seen| seen == b"one");
        let from = nat.outside();
        nat.change_port();
        client.write(b"two");
        client.stdout_until(|seen| seen == b"onetwo");
        let line = listener.event("moved");
        let to = nat.outside();
        if json {
            let event = &objects(&line)[0];
            assert_eq!((&event["event"], &event["connection"]), (&"moved".into(), &1.into()));
            assert_eq!((&event["from"], &event["peer"]), (&from.to_string().into(), &to.to_string().into()));
        } else {
            assert_eq!(line, format!("#1 {from} moved to {to}"));
        }
        client.close_stdin();
        assert_eq!(client.output().code, 0);
        // Where it is in the end, not where it came from.
        let ended = listener.event(if json { "\"ended\"" } else { "finished by the peer" });
        match json {
            true => assert_eq!(objects(&ended)[0]["peer"], to.to_string()),
            false => assert!(ended.starts_with(&format!("#1 {to} finished by the peer")), "{ended}"),
        }
    }
}
