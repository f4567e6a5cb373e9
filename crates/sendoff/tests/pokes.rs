//! What another thread asks of a driver in the midst of its turn isn't lost.
#![cfg(unix)]

mod common;

use common::*;
use sendoff::{Config, Direction, Tap, TappedDatagram};
use std::{
    future::Future,
    io::{self, ErrorKind},
    net::SocketAddr,
    os::unix::net::UnixStream,
    pin::Pin,
    sync::{Arc, Mutex, mpsc},
    task::{Context, Waker},
    thread,
};
use tokio::{io::AsyncReadExt, runtime::Handle};

/// While the driver sends something to that peer, another thread acts, once.
#[derive(Default)]
struct Meanwhile(Mutex<Option<(SocketAddr, Box<dyn FnOnce() + Send>)>>);

impl Tap for Meanwhile {
    fn datagram(&self, datagram: &TappedDatagram<'_>) {
        let is_it = |peer| datagram.direction == Direction::Sent && datagram.peer == peer;
        let act = self.0.lock().unwrap().take_if(|(peer, _)| is_it(*peer));
        if let Some((_, act)) = act {
            thread::spawn(act).join().unwrap();
        }
    }
}

#[tokio::test]
async fn a_port_that_is_handed_over_in_the_midst_of_a_turn_is_handed_over() {
    watched(async {
        let _clock = Frozen::new();
        let meanwhile = Arc::new(Meanwhile::default());
        let Pair { mut client, mut server, listener } =
            Pair::of(Config::new(), Config::new().tap(meanwhile.clone())).await;
        // One that never acknowledges.
        let raw = RawPeer::client(listener.local_addr(), 7).await;
        raw.push(0, 0, b"hello").await;
        let (other, _) = listener.accept().await.unwrap();
        server.abort(16);
        failed(client.read(&mut [0]).await, ErrorKind::ConnectionReset);
        let endpoint = listener.endpoint().clone();
        let ((ours, _theirs), (begun, handing)) = (UnixStream::pair().unwrap(), mpsc::channel());
        let runtime = Handle::current();
        let mut hand_over: Pin<Box<dyn Future<Output = io::Result<()>> + Send>> =
            Box::pin(async move { endpoint.hand_over(ours).await });
        let act = move || {
            let _inside = runtime.enter();
            assert!(hand_over.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            begun.send(hand_over).unwrap();
        };
        *meanwhile.0.lock().unwrap() = Some((client.local_addr(), Box::new(act)));
        // In a turn to which a handle has woken the driver, while it repeats the RESET; then time stands still.
        advance(ms(199)).await;
        other.try_write(b"!").unwrap();
        advance(ms(1)).await;
        handing.try_recv().expect("a RESET after 200 ms").await.unwrap();
    })
    .await;
}
