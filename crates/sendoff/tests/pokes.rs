//! What another thread asks of a driver in the midst of its turn isn't lost, and who waits for a driver learns when it
//! has gone.
#![cfg(unix)]

mod common;

use common::*;
use sendoff::{Config, Direction, KcpEndpoint, Tap, TappedDatagram};
use std::{
    future::Future,
    io::{self, ErrorKind, Write},
    net::SocketAddr,
    os::unix::net::UnixStream,
    pin::{Pin, pin},
    sync::{Arc, Mutex, mpsc},
    task::{Context, Waker},
    thread,
};
use tokio::{io::AsyncReadExt, runtime::Handle};

/// While the driver sends something to that peer, another thread acts, once.
#[derive(Default)]
struct Meanwhile(Mutex<Option<(SocketAddr, Act)>>);

type Act = Box<dyn FnOnce() + Send>;

impl Tap for Meanwhile {
    fn datagram(&self, datagram: &TappedDatagram<'_>) {
        let is_it = |peer| datagram.direction == Direction::Sent && datagram.peer == peer;
        let act = self.0.lock().unwrap().take_if(|(peer, _)| is_it(*peer));
        if let Some((_, act)) = act {
            thread::spawn(act).join().unwrap();
        }
    }
}

/// The two ends of a handover whose successor has said that it is ready.
fn ready() -> (UnixStream, UnixStream) {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.write_all(b"+").unwrap();
    (ours, theirs)
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
        let ((ours, _theirs), (begun, handing)) = (ready(), mpsc::channel());
        let runtime = Handle::current();
        let mut hand_over: Pin<Box<dyn Future<Output = io::Result<()>> + Send>> =
            Box::pin(async move { endpoint.hand_over(ours).await });
        let mut nobody = Context::from_waker(Waker::noop());
        assert!(hand_over.as_mut().poll(&mut nobody).is_pending());
        let act = move || {
            let _inside = runtime.enter();
            assert!(hand_over.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            begun.send(hand_over).unwrap();
        };
        *meanwhile.0.lock().unwrap() = Some((client.local_addr(), Box::new(act)));
        // Now it can go on: in a turn to which a handle has woken the driver, while it repeats the RESET; then time stands still.
        advance(ms(199)).await;
        other.try_write(b"!").unwrap();
        advance(ms(1)).await;
        handing.try_recv().expect("a RESET after 200 ms").await.unwrap();
    })
    .await;
}

#[test]
fn who_waits_for_a_hand_over_learns_that_the_driver_has_gone() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (theirs, ours) = (runtime(), runtime());
    let endpoint = theirs.block_on(KcpEndpoint::bind("127.0.0.1:0")).unwrap();
    ours.block_on(watched(async {
        let (ours, _theirs) = ready();
        let mut handing = pin!(endpoint.hand_over(ours));
        for _ in 0..100 {
            // Its successor is ready, but nobody runs its driver.
            assert!(poll_once(handing.as_mut()).await.is_none());
            tokio::task::yield_now().await;
        }
        thread::spawn(move || drop(theirs)).join().unwrap();
        let error = handing.await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotConnected, "{error}");
    }));
}
